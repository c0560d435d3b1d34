import pytest

import gridward as gw
from gridward.client.search import words_and_tags
from tests.support.places import RecordingPlace


@pytest.fixture
def hits(hospital: RecordingPlace, clinic: RecordingPlace) -> gw.SearchResult:
    found = [
        hospital.dataset("births", tags=("#ward",)),
        hospital.dataset("deaths"),
        clinic.dataset("births"),
    ]
    return gw.SearchResult(found, total=5)


def test_a_result_is_grouped_by_node_and_reads_like_a_dict(hits: gw.SearchResult) -> None:
    assert [pointer.name for pointer in hits["hospital"]] == ["births", "deaths"]
    assert list(hits.keys()) == ["hospital", "clinic"]
    assert {name: len(group) for name, group in dict(hits).items()} == {"hospital": 2, "clinic": 1}
    assert "clinic" in hits
    assert "bakery" not in hits


def test_iteration_and_len_run_over_the_pointers_of_all_nodes(hits: gw.SearchResult) -> None:
    assert len(hits) == 3
    assert [(pointer.location.name, pointer.name) for pointer in hits] == [
        ("hospital", "births"),
        ("hospital", "deaths"),
        ("clinic", "births"),
    ]


def test_a_node_without_hits_is_an_error_that_names_those_with(hits: gw.SearchResult) -> None:
    with pytest.raises(KeyError, match="hospital, clinic"):
        hits["bakery"]


def test_what_is_printed_names_everything_and_says_what_is_left_out(hits: gw.SearchResult) -> None:
    assert repr(hits).startswith(
        "{'hospital': [<Pointer births float64[5, 2] #ward @hospital>, <Pointer deaths"
    )
    assert repr(hits).endswith("and 2 more")
    html = hits._repr_html_()
    assert html.count("<tr>") == 4
    assert "2 more" in html
    assert "<b>" not in html


def test_words_with_a_hash_are_tags_and_others_are_looked_up() -> None:
    assert words_and_tags(["#a", "birth", "#b", "weight"]) == {"tag": ["#a", "#b"], "q": "birth weight"}
    assert words_and_tags([]) == {}
