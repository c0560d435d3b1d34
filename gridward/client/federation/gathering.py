"""How what nodes learned in a round comes back: the seam between single updates and sums of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch

from gridward.core.errors import GetNotPermittedError, TrainingError
from gridward.core.federation.aggregate import Update
from gridward.core.schemas.trainings import TrainingIn, TrainingOut

Parameters: TypeAlias = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Opening:
    """A round as it begins; ``number`` counts from 0, ``joint`` are the parameters that all nodes get."""

    number: int
    nodes: tuple[str, ...]
    quorum: int
    joint: Parameters


class Gathering(Protocol):
    """One way for updates to come back. A round calls ``begin``, the rest for each node, then ``close``.

    ``asked`` and ``arrived`` are called for several nodes at once, each from a thread of its own.
    A ``GridError`` of theirs is the failure of that node; of ``begin`` and ``close``, that of the round.
    """

    def begin(self, opening: Opening) -> None:
        """Get ready for a round, which may be one that was begun before and did not count."""
        ...

    def asked(self, opening: Opening, node: str, body: TrainingIn, start: Parameters) -> TrainingIn:
        """Give what a node is asked, from what it would be asked for its parameters in the clear.

        ``opening``: what the round began with; a thread may come after its round has ended.
        ``start``: all that it starts from, which travels in the message or as a file before it.
        """
        ...

    def arrived(self, opening: Opening, node: str, out: TrainingOut, found: Parameters) -> Update | None:
        """Read a node's update, if it is in its answer or the parameters that came with it."""
        ...

    def close(self, nodes: tuple[str, ...]) -> Iterable[Update]:
        """Give what is known only once these nodes, as many as the quorum, have answered: a joint mean.

        It is an update too, whose rows and steps are those of all nodes together.
        """
        ...


class PlainGathering:
    """Every node's parameters come back in its answer; who drives the run sees each."""

    def begin(self, opening: Opening) -> None:
        """Remember which tensors are the model's; a node returns optimizer state as well."""
        self._joint = opening.joint

    def asked(self, opening: Opening, node: str, body: TrainingIn, start: Parameters) -> TrainingIn:
        """Ask as it is."""
        return body

    def arrived(self, opening: Opening, node: str, out: TrainingOut, found: Parameters) -> Update:
        """Take the parameters.

        Raises ``GetNotPermittedError`` if the node lets none leave, ``TrainingError`` for another dtype.
        """
        if not found:
            raise GetNotPermittedError(f"{node!r} trained, but lets no model leave: {out.withheld}")
        odd = sorted(
            name for name, one in self._joint.items() if name in found and found[name].dtype != one.dtype
        )
        if odd:
            raise TrainingError(
                f"{node} returned {odd[0]} as {found[odd[0]].dtype}, not {self._joint[odd[0]].dtype}"
            )
        arrays = {name: found[name].numpy() for name in self._joint if name in found}
        return Update(node, out.rows, arrays, sum(epoch.steps for epoch in out.history))

    def close(self, nodes: tuple[str, ...]) -> Iterable[Update]:
        """Nothing is left."""
        return ()
