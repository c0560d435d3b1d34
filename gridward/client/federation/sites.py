"""Datasets that take part in a federated training: one a node, paired, all of the same kind of samples."""

from collections.abc import Iterable
from dataclasses import dataclass

from gridward.client.dataset_pointers import DatasetPointer
from gridward.client.training import Recipe
from gridward.core.errors import InvalidInputError
from gridward.core.schemas.tensor import TensorInfo


@dataclass(frozen=True, slots=True)
class Site:
    """A dataset that takes part, with its inputs and targets."""

    data: DatasetPointer
    pair: tuple[TensorInfo, TensorInfo]

    @property
    def name(self) -> str:
        """The node's name."""
        return self.data.location.name


def sites_of(data: Iterable[DatasetPointer], recipe: Recipe) -> dict[str, Site]:
    """Pair every dataset's inputs and targets; gives sites by node.

    Raises ``InvalidInputError`` where there are none, two of one node, or samples that differ.
    """
    sites = [Site(pointer, recipe.paired(pointer)) for pointer in data]
    if not sites:
        raise InvalidInputError("there is no data to train on: the search found nothing")
    names = [site.name for site in sites]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInputError(f"give one dataset a node; {', '.join(twice)} has several")
    shapes = {tuple((info.dtype, tuple(info.shape[1:])) for info in site.pair) for site in sites}
    if len(shapes) > 1:
        raise InvalidInputError(
            "the nodes' samples differ: "
            + "; ".join(f"{s.name} has {s.pair[0].dtype}{s.pair[0].shape[1:]}" for s in sites)
        )
    return {site.name: site for site in sites}
