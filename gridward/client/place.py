"""What a pointer, a model or an upload needs to know of the node it lives on."""

from typing import Protocol

from gridward.client.transport import Transport
from gridward.core.errors import InvalidInputError


class Place(Protocol):
    """A node that can be called; ``NodeClient`` is the one kind."""

    @property
    def id(self) -> str:
        """The node's id, derived from its key."""
        ...

    @property
    def name(self) -> str:
        """The name that its owner gave it."""
        ...

    @property
    def transport(self) -> Transport:
        """Calls to it, signed in."""
        ...


def segment(text: str) -> str:
    """Check that a name or id from the user is one segment of a path."""
    if not text or not all(c.isalnum() or c in "@_.-" for c in text) or set(text) <= {"."}:
        raise InvalidInputError(f"{text!r} is not a name or id")
    return text
