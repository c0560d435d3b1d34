"""The user's own tensors on a node: sent, or kept results."""

from collections.abc import Sequence

import torch

from gridward.client import wire
from gridward.client.checks import checked
from gridward.client.paging import collected
from gridward.client.place import Place
from gridward.client.pointers import Pointer
from gridward.core.schemas.objects import ObjectIn, ObjectOut, ObjectsOut


def send(node: Place, values: torch.Tensor, *, description: str, tags: Sequence[str]) -> Pointer:
    """Store a tensor; raises ``SendNotPermittedError``."""
    with checked():
        body = ObjectIn(tensor=wire.encode("values", values), description=description, tags=list(tags))
    return Pointer.of_object(node, node.transport.fetch(ObjectOut, "POST", "/v1/objects", body=body))


def owned(node: Place) -> list[Pointer]:
    """All objects of the user at the node."""
    items = collected(lambda page: node.transport.fetch(ObjectsOut, "GET", "/v1/objects", params=page))
    return [Pointer.of_object(node, item) for item in items]
