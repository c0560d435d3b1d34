"""Words and tags as search compares them: Unicode-normalised, case-folded, letters and digits only."""

import re
import unicodedata
from typing import Final

LONGEST: Final = 64
_WORD: Final = re.compile(r"[^\W_]+")


def words_of(text: str) -> frozenset[str]:
    """Return the words of a text; anything but letters and digits parts them, so none holds `%`, `_` or `#`.

    Only the first `LONGEST` characters of a word count, in catalogues and in queries alike.
    """
    return frozenset(word[:LONGEST] for word in _WORD.findall(_fold(text)))


def tag_of(text: str) -> str:
    """Return a tag with its `#`, as search compares it."""
    return "#" + _fold(text).removeprefix("#")[:LONGEST]


def _fold(text: str) -> str:
    # Compatibility caseless matching, Unicode 3.13, D146: one round would leave some letters to fold again.
    once = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", text).casefold())
    return unicodedata.normalize("NFKC", once.casefold())
