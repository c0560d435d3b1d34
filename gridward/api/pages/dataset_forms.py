"""What the forms of datasets send, as REST takes it."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, Field

from gridward.core.errors import InvalidInputError
from gridward.core.privacy.access import DESCRIBE
from gridward.core.schemas.access import SIGNED_IN, Access
from gridward.core.schemas.datasets import DatasetIn, DatasetPatch
from gridward.server.pages.forms import checked

AS_FOUND: Final = "found"
_BETWEEN: Final = re.compile(r"[\s,;]+")
Text: TypeAlias = Annotated[str, Field(max_length=20_000)]
"""What a field may hold, characters: it is read before any right is looked at."""


@dataclass(frozen=True, slots=True)
class SearchText:
    """What somebody looks for: tags, and words."""

    tags: list[str]
    words: str

    @classmethod
    def of(cls, text: str) -> "SearchText":
        """Take words that begin with # for tags."""
        pieces = text.split()
        return cls(
            [piece for piece in pieces if piece.startswith("#")],
            " ".join(piece for piece in pieces if not piece.startswith("#")),
        )


class AccessForm(BaseModel):
    """Who may do what: names for each verb, and the verbs that everybody with an account has."""

    everyone: list[Text] = []
    discover: Text = ""
    describe: Text = ""
    compute: Text = ""
    raw: Text = ""
    train: Text = ""
    export_model: Text = ""
    approve: Text = ""

    def access(self) -> dict[str, list[str] | None]:
        """Return the list of each verb; nobody named to describe it means whoever finds it."""
        lists: dict[str, list[str] | None] = {verb: self._entries(verb) for verb in Access.model_fields}
        return lists | {DESCRIBE: lists[DESCRIBE] or None}

    def _entries(self, verb: str) -> list[str]:
        everyone = [SIGNED_IN] if verb in self.everyone else []
        return [*everyone, *split(getattr(self, verb))]


class PublishForm(AccessForm):
    """A new dataset. `column` and `stored_as` go together, one for each column of the file."""

    upload_id: Text
    name: Text = ""
    description: Text = ""
    tags: Text = ""
    entity: Text | None = None
    rows_are_entities: bool = False
    min_rows: int = 10
    reviewers: int = 1
    column: list[Text] = []
    stored_as: list[Text] = []

    def checked(self) -> DatasetIn:
        """Return it as REST takes it."""
        if len(self.column) != len(self.stored_as):
            raise InvalidInputError("stored_as: say it for each column")
        pairs = zip(self.column, self.stored_as, strict=True)
        types = {name: kind for name, kind in pairs if kind != AS_FOUND and name != self.entity}
        given: dict[str, Any] = self.model_dump(
            include={
                "upload_id",
                "name",
                "description",
                "entity",
                "rows_are_entities",
                "min_rows",
                "reviewers",
            }
        )
        return checked(
            DatasetIn, given | {"tags": tags_of(self.tags), "types": types, "access": self.access()}
        )


class ChangeForm(BaseModel):
    """What is said of a dataset; all of it, as the form showed it. Its rules change one by one."""

    description: Text = ""
    tags: Text = ""
    rows_are_entities: bool = False
    min_rows: int = 10
    reviewers: int = 1
    describe_apart: bool = False
    bounds: Annotated[str, Field(max_length=500_000)] = ""

    def checked(self) -> DatasetPatch:
        """Return it as REST takes it."""
        shown = {"description", "rows_are_entities", "min_rows", "reviewers", "describe_apart"}
        given: dict[str, Any] = self.model_dump(include=shown)
        given |= {"tags": tags_of(self.tags), "bounds": bounds_of(self.bounds)}
        return checked(DatasetPatch, given)


def split(text: str) -> list[str]:
    """Return the words of a list that was written with spaces, commas or lines between them."""
    return [word for word in _BETWEEN.split(text) if word]


def tags_of(text: str) -> list[str]:
    """Return tags, written with # or without it."""
    return [word if word.startswith("#") else f"#{word}" for word in split(text)]


def bounds_of(text: str) -> dict[str, dict[str, str]]:
    """Read bounds as `column: low to high`, one a line."""
    found: dict[str, dict[str, str]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, bounds = map(str.strip, line.rpartition(":"))
        words = bounds.split()
        if not name or len(words) != 3 or words[1] != "to":
            raise InvalidInputError("bounds: write one line a column, as in `weight: 0.5 to 6`")
        found[name] = {"low": words[0], "high": words[2]}
    return found
