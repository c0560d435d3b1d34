"""What a search found: pointers, grouped by node."""

from collections.abc import ItemsView, Iterator, KeysView, Sequence, ValuesView

from gridward.client import notebook
from gridward.client.dataset_pointers import DatasetPointer


class SearchResult:
    """``{node name: [pointer, …]}``. Iterating, ``len`` and ``in`` are over the pointers of all nodes."""

    def __init__(self, pointers: Sequence[DatasetPointer], total: int) -> None:
        self._groups: dict[str, list[DatasetPointer]] = {}
        for pointer in pointers:
            self._groups.setdefault(pointer.location.name, []).append(pointer)
        self.total = total

    def __getitem__(self, node_name: str) -> list[DatasetPointer]:
        if node_name not in self._groups:
            raise KeyError(
                f"nothing found on {node_name!r}; found on: {', '.join(self._groups) or 'no node'}"
            )
        return list(self._groups[node_name])

    def __iter__(self) -> Iterator[DatasetPointer]:
        return iter([pointer for group in self._groups.values() for pointer in group])

    def __len__(self) -> int:
        return sum(len(group) for group in self._groups.values())

    def __contains__(self, node_name: str) -> bool:
        return node_name in self._groups

    def keys(self) -> KeysView[str]:
        """Names of the nodes."""
        return self._groups.keys()

    def values(self) -> ValuesView[list[DatasetPointer]]:
        """Pointers, node by node."""
        return self._groups.values()

    def items(self) -> ItemsView[str, list[DatasetPointer]]:
        """Node names and pointers."""
        return self._groups.items()

    def __repr__(self) -> str:
        inside = ", ".join(f"{name!r}: {group!r}" for name, group in self._groups.items())
        more = f" and {self.total - len(self)} more" if self.total > len(self) else ""
        return f"{{{inside}}}{more}"

    def _repr_html_(self) -> str:
        left = self.total - len(self)
        headings = ("node", "dataset", "content", "tags", "description")
        rows = [pointer.row() for pointer in self]
        return notebook.grid(headings, rows, after=f"{left} more: ask with limit=…" if left else "")


def words_and_tags(words: Sequence[str]) -> dict[str, str | list[str]]:
    """Turn search words into query parameters: those starting with # are tags, all others are looked up."""
    tags = [word for word in words if word.startswith("#")]
    rest = " ".join(word for word in words if not word.startswith("#"))
    return ({"tag": tags} if tags else {}) | ({"q": rest} if rest else {})
