"""Public facts of this node."""

from importlib.metadata import version

from gridward.api.node import Node
from gridward.core.schemas.node import NodeOut
from gridward.server import users


def describe(node: Node) -> NodeOut:
    """Return what anyone may know: id, name, public keys, offered roles."""
    return NodeOut(
        id=node.keys.id,
        name=node.settings.name,
        version=version("gridward"),
        sign_key=node.keys.sign_key_text,
        seal_key=node.keys.seal_key_text,
        offers_party=node.settings.offer_party,
        offers_provider=node.settings.offer_provider,
        owned=users.is_owned(node.accounts),
    )
