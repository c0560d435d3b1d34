"""What the user wrote is checked before it is sent; what is wrong is named as the server would."""

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from gridward.core.errors import InvalidInputError


@contextmanager
def checked() -> Iterator[None]:
    """Turn what a schema refuses into ``InvalidInputError`` naming the fields; values are not repeated."""
    try:
        yield
    except ValidationError as why:
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in why.errors())
        raise InvalidInputError("; ".join(faults)) from why
