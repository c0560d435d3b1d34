"""Pointers to whole datasets: a matrix if it is a table, else a bundle of named tensors."""

from collections.abc import Sequence
from typing import Any

from gridward.client import computations, granting, notebook
from gridward.client.computations import Stored
from gridward.client.place import Place
from gridward.client.pointers import Pointer
from gridward.core.errors import InvalidInputError
from gridward.core.plans import expression
from gridward.core.plans.expression import Expression
from gridward.core.schemas.datasets import DatasetOut
from gridward.core.schemas.gateway import Hit
from gridward.core.schemas.previews import AccessPreview
from gridward.core.schemas.tensor import TensorInfo


class DatasetPointer(Pointer):
    """A dataset on a node. ``pointer["name"]`` is one column or tensor of it.

    A table (all of whose tensors are columns) is at the same time the matrix of its columns, and a dataset of
    one tensor is that tensor; others are computed on by name only.
    """

    __slots__ = ("_id", "_name", "_tensors")

    def __init__(
        self,
        location: Place,
        dataset_id: str,
        name: str,
        tensors: Sequence[TensorInfo],
        *,
        description: str,
        tags: Sequence[str],
    ) -> None:
        self._id = dataset_id
        self._name = name
        self._tensors = tuple(tensors)
        rows = computations.rows_of(location, dataset_id)
        sizes = {rows.name: tensors[0].shape[0]} if tensors and tensors[0].shape else {}
        super().__init__(location, self._joined(location), sizes, description=description, tags=tags)

    @classmethod
    def of(cls, location: Place, item: DatasetOut) -> "DatasetPointer":
        """Point to a dataset that a node described."""
        return cls(location, item.id, item.name, item.tensors, description=item.description, tags=item.tags)

    @classmethod
    def of_hit(cls, location: Place, hit: Hit) -> "DatasetPointer":
        """Point to a dataset that a gateway found."""
        return cls(location, hit.id, hit.name, hit.tensors, description=hit.description, tags=hit.tags)

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self._name

    @property
    def dataset_id(self) -> str:
        """The dataset's id on its node."""
        return self._id

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        """Name, element type and shape of every column or tensor."""
        return self._tensors

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns or tensors."""
        return tuple(info.name for info in self._tensors)

    @property
    def content(self) -> str:
        """Element types and sizes in words."""
        if self._held is not None:
            return super().content
        return ", ".join(f"{info.name} {info.dtype}{info.shape}" for info in self._tensors)

    def __getitem__(self, index: Any) -> Pointer:  # noqa: ANN401 (a name, or whatever torch takes)
        if not isinstance(index, str):
            return super().__getitem__(index)
        found = [info for info in self._tensors if info.name == index]
        if not found:
            raise InvalidInputError(f"{self._name!r} has no {index!r}; it has {self._what()}")
        value = self._tensor(self._location, found[0])
        return Pointer(self._location, value, self._sizes, description=self._description, tags=())

    def __len__(self) -> int:
        if not self._tensors:
            raise InvalidInputError(f"{self._name!r} has {self._what()}")
        return self._tensors[0].shape[0]

    def __repr__(self) -> str:
        words = (self._name, self.content, *self._tags, f"@{self._location.name}")
        return f"<Pointer {' '.join(words)}>"

    def _repr_html_(self) -> str:
        rows = [(info.name, info.dtype, str(info.shape)) for info in self._tensors]
        head = f"{self._name} on {self._location.name}: {self._description} {' '.join(self._tags)}"
        return notebook.grid(("tensor", "type", "shape"), rows, after=head.strip())

    def preview(self, who: str, question: Pointer | None = None) -> AccessPreview:
        """Say what somebody would get of it: ``"ana"``, ``"dana@grid"``, ``"role:guest"``, ``"group:ward"``.

        For those who write its rules or answer requests for it. ``question``: what they would ask, such as
        ``pointer["weight"].mean()``; nothing is run or counted, and they do not notice.
        """
        asked = None if question is None else computations.question({"output": question._value})
        return granting.preview(self._location, self._id, who, asked)

    def row(self) -> tuple[str, str, str, str, str]:
        """Give what a list of datasets says of it: node, name, content, tags, description."""
        return (self._location.name, self._name, self.content, " ".join(self._tags), self._description)

    def _tensor(self, location: Place, info: TensorInfo) -> Expression:
        key = Stored(f"{self._name}[{info.name!r}]", dataset_id=self._id, tensor=info.name)
        return computations.stored(key, info, computations.rows_of(location, self._id))

    def _joined(self, location: Place) -> Expression | None:
        values = [self._tensor(location, info) for info in self._tensors]
        if len(values) == 1:
            return values[0]
        if values and all(len(info.shape) == 1 for info in self._tensors):
            return expression.stack(values, 1)
        return None

    def _choose(self) -> str:
        if not self._tensors:
            return f"{self._name!r} has {self._what()}"
        return f"{self._name!r} holds several tensors; take one, such as pointer[{self.columns[0]!r}]"

    def _what(self) -> str:
        there = f"node {self._location.name!r}"
        hidden = f"no columns that are shown here; {there} shows them to those who may describe it"
        return ", ".join(self.columns) or hidden
