"""Pages of datasets: what is published by upload is what REST would publish, and who sees what of it."""

import pytest
from httpx2 import Response
from sqlmodel import select

from gridward.api.pages.dataset_forms import bounds_of
from gridward.api.services import uploads
from gridward.api.tables.datasets import Upload
from gridward.core.errors import InvalidInputError
from tests.support.files import parquet, publish
from tests.support.nodes import NodeUnderTest
from tests.support.visitors import BROWSER, Visitor, forms_on, text_of
from tests.unit.api.services.test_datasets import WARD

CSV = b"mother,weight,height,twins,note\n" + b"".join(
    f"m{i},{3 + i / 10},{47 + i},{i % 2},n{i}\n".encode() for i in range(12)
)
CANARY = "<script>alert('canary')</script>\"'><img src=x>"


def uploaded(visitor: Visitor, content: bytes, filename: str = "births 2026.csv") -> Response:
    return visitor.client.post(
        "/datasets/uploads",
        data={"form_token": visitor.token()},
        files={"file": (filename, content)},
        headers=BROWSER,
    )


def open_uploads(node: NodeUnderTest) -> list[Upload]:
    with node.node.database.read() as db:
        return list(db.exec(select(Upload)).all())


def published(
    visitor: Visitor, content: bytes = CSV, filename: str = "births 2026.csv", **fields: str | list[str]
) -> str:
    """Publish by the forms and return the path of the page that it leads to."""
    page = uploaded(visitor, content, filename)
    assert page.status_code == 200, page.text
    form: dict[str, str | list[str]] = {
        "upload_id": page.url.path.rsplit("/", 1)[1],
        "name": "births",
        "column": ["mother", "weight", "height", "twins", "note"],
        "stored_as": ["skip", "found", "float32", "bool", "skip"],
        "entity": "mother",
    }
    return visitor.sends("/datasets", **(form | fields)).url.path


def test_a_file_is_uploaded_corrected_and_published_with_its_rules(node: NodeUnderTest) -> None:
    bob = Visitor(
        node.client,
        "bob",
    )
    page = uploaded(bob, CSV)
    said = text_of(page.text)
    assert page.url.params["name"] == "births-2026"
    assert all(name in said for name in ("mother", "weight", "twins", "string", "int64"))
    path = published(
        bob,
        description="a ward",
        tags="births, #february",
        compute="ana role:guest",
        everyone=["discover"],
        min_rows="5",
        reviewers="2",
    )
    found = node.client.get(f"/v1{path}", headers=node.as_("bob")).json()
    assert {one["name"]: one["dtype"] for one in found["tensors"]} == {
        "weight": "float64",
        "height": "float32",
        "twins": "bool",
    }
    assert (found["entity"], found["tags"], found["min_rows"]) == ("mother", ["#births", "#february"], 5)
    assert (found["access"]["discover"], found["access"]["compute"]) == (
        ["@signed-in"],
        ["ana", "role:guest"],
    )
    assert found["reviewers"] == 2
    assert "a ward" in text_of(bob.shows(path))


@pytest.mark.parametrize("filename", ["births.xlsx", "births", "births.pickle"])
def test_a_file_that_nodes_do_not_read_is_refused_by_its_name(node: NodeUnderTest, filename: str) -> None:
    answer = uploaded(Visitor(node.client, "bob"), CSV, filename)
    assert answer.status_code == 422
    assert ".parquet" in answer.text


@pytest.mark.parametrize("content", [b"", b"\x00\x01", b"a,a\n1,2\n"])
def test_a_file_that_is_not_what_it_says_is_refused(node: NodeUnderTest, content: bytes) -> None:
    answer = uploaded(Visitor(node.client, "bob"), content)
    assert answer.status_code == 422
    assert answer.text.startswith("<!doctype html>")
    assert answer.url.path == "/datasets/uploads"  # not led on: the form is there to choose another
    assert open_uploads(node) == []


def test_a_file_that_cannot_be_stored_whole_leaves_no_upload_behind(
    node: NodeUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = Visitor(node.client, "bob")
    bob.token()
    for setting, limit, status in (("upload_max_bytes", 10, 413), ("upload_quota_bytes", 10, 413)):
        with monkeypatch.context() as patched:
            patched.setattr(node.node.settings, setting, limit)
            assert uploaded(bob, CSV).status_code == status, setting
        assert open_uploads(node) == []

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(uploads, "_write", full)
        with pytest.raises(OSError, match="No space"):
            uploaded(bob, CSV)
    assert open_uploads(node) == []


def test_a_refused_type_keeps_the_upload_for_another_try(node: NodeUnderTest) -> None:
    bob = Visitor(node.client, "bob")
    form = {
        "upload_id": uploaded(bob, CSV).url.path.rsplit("/", 1)[1],
        "name": "births",
        "column": ["mother", "weight", "height", "twins", "note"],
        "rows_are_entities": "true",
    }
    refused = bob.send("/datasets", **form, stored_as=["skip", "bool", "found", "found", "skip"])
    assert (refused.status_code, "weight" in refused.text) == (422, True)
    assert len(open_uploads(node)) == 1
    taken = bob.send("/datasets", **form, stored_as=["skip", "found", "found", "found", "skip"])
    assert taken.status_code == 200
    assert open_uploads(node) == []


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(node: NodeUnderTest) -> None:
    bob = Visitor(node.client, "bob")
    headers = BROWSER | {
        "Content-Type": "multipart/form-data; boundary=x",
        "Content-Length": str(node.node.settings.body_max_bytes + 1),
    }
    answer = bob.client.post("/datasets/uploads", content=b"x", headers=headers)
    assert answer.status_code == 413


def test_a_refused_form_says_which_field(node: NodeUnderTest) -> None:
    bob = Visitor(node.client, "bob")
    upload_id = uploaded(bob, CSV).url.path.rsplit("/", 1)[1]
    for wrong in ({"name": "no spaces"}, {"tags": "a/b"}, {"compute": "Ana!"}, {"min_rows": "0"}):
        answer = bob.send("/datasets", upload_id=upload_id, **({"name": "births"} | wrong))
        assert answer.status_code == 422
        assert next(iter(wrong)) in answer.text.lower()


def test_who_may_not_publish_is_told_so_and_offered_no_button(node: NodeUnderTest) -> None:
    node.as_("ana")
    ana = Visitor(node.client, "ana")
    assert "/datasets/new" not in ana.shows("/datasets")
    node.as_("gina", "guest")
    assert uploaded(Visitor(node.client, "gina"), CSV).status_code == 403


def test_anothers_upload_looks_like_none(node: NodeUnderTest) -> None:
    path = uploaded(Visitor(node.client, "bob"), CSV).url.path
    node.as_("cleo", "data_officer")
    cleo = Visitor(node.client, "cleo")
    assert cleo.get(path).status_code == cleo.get("/datasets/new/upl-0").status_code == 404


def test_the_list_is_searched_by_tags_and_words_and_holds_what_one_may_see(node: NodeUnderTest) -> None:
    bob = node.as_("bob")
    publish(node, bob, WARD, name="open", tags=["#births"], access={"discover": ["@signed-in"]})
    publish(node, bob, WARD, name="closed", description="Births of 100%_")
    publish(node, bob, WARD, name="third", tags=["#deaths"])
    visitor = Visitor(node.client, "bob")
    for query, wanted in {
        "": {"open", "closed", "third"},
        "%23births": {"open"},
        "births": {"closed"},
        "100%25_": {"closed"},
        "1001": set(),
        "%23births nothing": set(),
    }.items():
        page = visitor.shows(f"/datasets?q={query}")
        assert {name for name in ("open", "closed", "third") if f">{name}</a>" in page} == wanted
    node.as_("ana")
    page = Visitor(node.client, "ana").shows("/datasets")
    assert ("open" in page, "closed" in page, "third" in page) == (True, False, False)


def test_a_hidden_dataset_and_a_missing_one_are_the_same_page(node: NodeUnderTest) -> None:
    said = publish(node, node.as_("bob"), WARD)
    node.as_("ana")
    ana = Visitor(node.client, "ana")
    for tail in ("", "/edit"):
        hidden = ana.get(f"/datasets/{said['id']}{tail}")
        missing = ana.get(f"/datasets/ds-missing{tail}")
        assert hidden.status_code == missing.status_code == 404
        assert hidden.text.replace(said["id"], "ds-missing") == missing.text
    for tail in ("", "/delete"):
        hidden = ana.send(f"/datasets/{said['id']}{tail}")
        missing = ana.send(f"/datasets/ds-missing{tail}")
        assert hidden.status_code == missing.status_code == 404


def test_who_only_finds_a_dataset_sees_no_rules_and_no_forms(node: NodeUnderTest) -> None:
    said = publish(node, node.as_("bob"), WARD, access={"discover": ["ana"], "compute": ["zoe"]})
    node.as_("ana")
    path = f"/datasets/{said['id']}"
    page = Visitor(node.client, "ana").shows(path)
    assert forms_on(page) == set()
    assert "zoe" not in page
    assert 'request("why you need it")' in Visitor(node.client, "ana").shows(path).replace("&#34;", '"')
    bobs = Visitor(node.client, "bob").shows(path)
    assert {f"{path}/content", f"{path}/delete", f"{path}/rules", f"{path}/preview"} < forms_on(bobs)
    assert "zoe" in bobs


def test_a_publisher_changes_replaces_and_deletes(node: NodeUnderTest) -> None:
    node.as_("cleo", "data_officer")
    cleo = Visitor(node.client, "cleo")
    path = published(cleo, compute="ana")
    form = cleo.shows(f"{path}/edit")
    assert forms_on(form) == {path}
    cleo.sends(
        path,
        description="new words",
        tags="#x",
        bounds="weight: 0.5 to 6\n\ntwins: 0 to 1",
        min_rows="3",
        reviewers="0",
    )
    found = node.client.get(f"/v1{path}", headers=node.as_("cleo")).json()
    assert (found["description"], found["min_rows"], found["reviewers"]) == ("new words", 3, 0)
    assert found["bounds"]["weight"] == {"low": 0.5, "high": 6.0}
    assert found["access"]["compute"] == ["ana"]
    assert "weight: 0.5 to 6.0" in cleo.shows(f"{path}/edit")
    columns = {"mother": ["a", "b"], "weight": [3.0, 4.0], "height": [50.0, 51.0], "twins": [True, False]}
    answer = cleo.client.post(
        f"{path}/content",
        data={"form_token": cleo.token()},
        files={"file": ("next.parquet", parquet(columns))},
        headers=BROWSER,
    )
    assert answer.status_code == 200, answer.text
    assert node.client.get(f"/v1{path}", headers=node.as_("cleo")).json()["version"] == 2
    assert cleo.sends(f"{path}/delete").url.path == "/datasets"
    assert cleo.get(path).status_code == 404


@pytest.mark.parametrize("bounds", ["weight", "weight: low to high", "nothing: 0 to 1", "weight: 2 to 1"])
def test_bounds_that_cannot_be_read_change_nothing(node: NodeUnderTest, bounds: str) -> None:
    bob = Visitor(node.client, "bob")
    path = published(bob, description="before")
    answer = bob.send(path, description="after", bounds=bounds)
    assert answer.status_code == 422
    assert "before" in bob.shows(path)


def test_no_form_is_taken_without_its_token(node: NodeUnderTest) -> None:
    bob = Visitor(node.client, "bob")
    path = published(bob)
    sent = {"file": ("x.csv", CSV)}
    for form in (path, f"{path}/delete", "/datasets"):
        assert bob.send(form, token="forged").status_code == 403
    for form in (f"{path}/content", "/datasets/uploads"):
        answer = bob.client.post(form, data={"form_token": "forged"}, files=sent, headers=BROWSER)
        assert answer.status_code == 403
    assert bob.shows(path)


def test_what_others_wrote_is_text_and_never_markup(node: NodeUnderTest) -> None:
    columns = {"a<b>c": [1.0, 2.0], CANARY: [1.0, 2.0]}
    bob = Visitor(node.client, "bob")
    page = uploaded(bob, parquet(columns), "x.parquet")
    assert page.status_code == 200, page.text
    path = published(
        bob,
        parquet(columns),
        "x.parquet",
        description=CANARY,
        column=list(columns),
        stored_as=["found", "found"],
        entity="",
    )
    pages = [page.text, *map(bob.shows, (path, f"{path}/edit", "/datasets", f"/datasets?q={CANARY}"))]
    for shown in pages:
        assert "<script>alert" not in shown
        assert "<img src=x" not in shown
        assert "<b>c" not in shown


def test_whose_the_rows_are_is_asked_for_shown_and_changed(node: NodeUnderTest) -> None:
    bob = Visitor(node.client, "bob")
    path = published(bob, entity="", stored_as=["skip", "found", "found", "found", "skip"])
    assert "nobody said whose the rows are" in text_of(bob.shows(path))
    bob.sends(path, rows_are_entities="true")
    assert "every row is one of its own" in text_of(bob.shows(path))
    assert 'value="true" checked' in bob.shows(f"{path}/edit")


def test_bounds_are_read_line_by_line() -> None:
    assert bounds_of(" at 10:30 : -1 to 1e3 \n\nweight:0.5  to 6") == {
        "at 10:30": {"low": "-1", "high": "1e3"},
        "weight": {"low": "0.5", "high": "6"},
    }
    for line in ("a" + ":" * 200_000, ": 1 to 2", "a: 1 2", "a: 1 to 2 to 3", "a 1 to 2"):
        with pytest.raises(InvalidInputError, match="one line a column"):
            bounds_of(line)


def test_a_field_longer_than_any_is_refused_before_it_is_read(node: NodeUnderTest) -> None:
    answer = Visitor(node.client, "bob").send("/datasets/ds-missing", tags="a " * 10_001)
    assert answer.status_code == 422
    assert "at most 20000 characters" in answer.text


def test_a_wide_dataset_is_published(node: NodeUnderTest) -> None:
    names = [f"c{at}" for at in range(600)]
    rows = "\n".join(",".join(str(row + at) for at in range(600)) for row in range(12))
    content = f"{','.join(names)}\n{rows}\n".encode()
    bob = Visitor(node.client, "bob")
    path = published(bob, content, column=names, stored_as=["found"] * 600, entity="")
    found = node.client.get(f"/v1{path}", headers=node.as_("bob")).json()
    assert len(found["tensors"]) == 600


def test_a_form_without_a_file_takes_none(node: NodeUnderTest) -> None:
    bob = Visitor(node.client, "bob")
    form = {"form_token": bob.token(), "old_password": "x", "new_password": "x"}
    answer = bob.client.post("/account/password", data=form, files={"file": ("a", b"a")}, headers=BROWSER)
    assert answer.status_code == 400
    assert "Too many files" in answer.text


def test_a_refused_file_leaves_no_upload_behind(node: NodeUnderTest) -> None:
    bob = Visitor(node.client, "bob")
    path = published(bob, compute="cleo")
    node.as_("cleo", "data_officer")
    cleo = Visitor(node.client, "cleo")
    refused = ((bob, b"other,columns\n1,2\n", 422), (bob, b"\x00", 422), (cleo, CSV, 403))
    for visitor, content, status in refused:
        answer = visitor.client.post(
            f"{path}/content",
            data={"form_token": visitor.token()},
            files={"file": ("next.csv", content)},
            headers=BROWSER,
        )
        assert answer.status_code == status, answer.text
        assert open_uploads(node) == []
