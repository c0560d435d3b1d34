"""What counts as a word or a tag."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridward.gateway.words import LONGEST, tag_of, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Monthly birth records: weight (kg)", {"monthly", "birth", "records", "weight", "kg"}),
        ("birth-records mother_id", {"birth", "records", "mother", "id"}),
        ("Straße STRASSE", {"strasse"}),
        ("ﬁle № ①", {"file", "no", "1"}),
        ("50% _ # * ' OR 1=1 --", {"50", "or", "1"}),
        (" \n\t…!", set()),
    ],
)
def test_anything_but_letters_and_digits_parts_words(text: str, words: set[str]) -> None:
    assert words_of(text) == words


@given(st.text())
def test_case_does_not_matter(text: str) -> None:
    assert words_of(text.upper().lower()) == words_of(text.upper())


@given(st.text())
def test_a_word_is_its_own_only_word(text: str) -> None:
    for word in words_of(text):
        assert words_of(word) == {word}


@given(st.text(max_size=200))
def test_no_word_is_mistaken_for_a_tag_or_a_pattern_and_all_fit_the_index(text: str) -> None:
    for word in words_of(text):
        assert word
        assert len(word) <= LONGEST
        assert not set(word) & set("#%_'\\\x00 ")


@given(st.from_regex(r"#[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}", fullmatch=True))
def test_a_tag_is_found_in_any_case_with_or_without_its_sign(tag: str) -> None:
    assert tag_of(tag) == tag_of(tag.upper()) == tag_of(tag[1:]) == tag.lower()
