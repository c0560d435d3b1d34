"""Against a real node in this process."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import safetensors.torch
import torch
from fastapi.testclient import TestClient

import gridward as gw
from gridward.client.payload import Data
from tests.support.nodes import PASSWORD

WEIGHT = [3.5, 3.7, 3.9, 4.1, 4.1]
TABLE = {"weight": WEIGHT, "height": [47.3, 48.1, 50.0, 52.3, 49.7]}


def as_user(bob: gw.NodeClient, name: str, http: TestClient) -> gw.NodeClient:
    if name not in [user.username for user in bob.users.list()]:
        bob.users.add(name, PASSWORD)
    return gw.connect(bob.url, name, PASSWORD, http=http)


@pytest.fixture
def http(bob: gw.NodeClient) -> TestClient:
    client = bob.transport._http
    assert isinstance(client, TestClient)
    return client


@pytest.mark.parametrize(
    "data",
    [
        TABLE,
        {**TABLE, "who": list("abcde")},
        pd.DataFrame(TABLE),
        pl.DataFrame(TABLE),
        "file.csv",
        "file.parquet",
    ],
    ids=["dict", "dict-with-text", "pandas", "polars", "csv", "parquet"],
)
def test_a_table_arrives_whatever_it_was(bob: gw.NodeClient, data: Data, tmp_path: Path) -> None:
    pd.DataFrame(TABLE).to_csv(tmp_path / "file.csv", index=False)
    pd.DataFrame(TABLE).to_parquet(tmp_path / "file.parquet")
    entity = "who" if isinstance(data, dict) and "who" in data else None
    source = tmp_path / data if isinstance(data, str) else data
    pointer = bob.publish("table", source, entity=entity, description="a ward", tags=["#ward"])
    try:
        assert repr(pointer) == "<Pointer table float64[5, 2] #ward @hospital>"
        assert pointer.columns == ("weight", "height")
        assert pointer.description == "a ward"
    finally:
        bob.withdraw("table")


def test_data_is_examined_published_with_other_types_and_replaced(bob: gw.NodeClient) -> None:
    noted = {**TABLE, "note": list("abcde")}
    found = {one.name: one.dtype for one in bob.examine(noted)}
    assert found == {"weight": "float64", "height": "float64", "note": None}
    bob.publish("table", noted, types={"weight": "float32", "note": "skip"})
    try:
        longer = {name: [*values, values[0]] for name, values in noted.items()}
        pointer = bob.replace("table", longer)
        assert [(one.name, one.dtype, one.shape) for one in bob.dataset("table").tensors] == [
            ("weight", "float32", [6]),
            ("height", "float64", [6]),
        ]
        assert [(one.version, one.rows) for one in bob.versions("table")] == [(2, 6), (1, 5)]
        assert pointer.name == "table"
    finally:
        bob.withdraw("table")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
def test_an_array_file_arrives(bob: gw.NodeClient, suffix: str, tmp_path: Path) -> None:
    path, images = tmp_path / f"images{suffix}", np.ones((12, 4), dtype=np.float32)
    if suffix == ".npy":
        np.save(path, images)
    elif suffix == ".npz":
        np.savez(path, images=images)
    else:
        safetensors.torch.save_file({"images": torch.from_numpy(images)}, path)
    try:
        assert bob.publish("images", path).shape == (12, 4)
    finally:
        bob.withdraw("images")


def test_a_matrix_with_column_names_becomes_a_table(bob: gw.NodeClient) -> None:
    pointer = bob.publish("matrix", torch.ones(20, 3), columns=["a", "b", "c"])
    assert pointer.columns == ("a", "b", "c")
    assert pointer["b"].shape == (20,)
    bob.withdraw("matrix")


def test_many_chunks_arrive_whole(bob: gw.NodeClient) -> None:
    values = torch.arange(20_000, dtype=torch.float64)
    pointer = bob.publish("long", values)
    assert torch.equal(pointer.get(), values)
    bob.withdraw("long")


def test_the_same_name_again_is_refused_with_what_to_do(bob: gw.NodeClient) -> None:
    bob.publish("twice", torch.ones(20))
    with pytest.raises(gw.AlreadyExistsError, match=r"withdraw it first with node\.withdraw\('twice'\)"):
        bob.publish("twice", torch.ones(20))
    bob.withdraw("twice")
    with pytest.raises(gw.ObjectNotFoundError, match="'twice' on 'hospital'"):
        bob.dataset("twice")


def test_datasets_are_found_by_tags_and_words(bob: gw.NodeClient) -> None:
    bob.publish("births", torch.ones(20), description="Weight of newborns", tags=["#ward", "#may"])
    bob.publish("deaths", torch.ones(20), description="Age", tags=["#ward"])
    assert [p.name for p in bob.search("#ward")] == ["births", "deaths"]
    assert [p.name for p in bob.search("#ward", "NEWBORNS")] == ["births"]
    assert len(bob.search("#ward", "#june")) == 0
    assert bob.search("#may")["hospital"][0].dataset_id == bob.dataset("births").dataset_id
    changed = bob.change("births", tags=["#june"], min_rows=3)
    assert changed.tags == ("#june",)
    assert [p.name for p in bob.search("#june")] == ["births"]
    for name in ("births", "deaths"):
        bob.withdraw(name)


def test_a_hidden_dataset_and_none_are_the_same_to_others(bob: gw.NodeClient, http: TestClient) -> None:
    bob.publish("hidden", torch.ones(20))
    eve = as_user(bob, "eve", http)
    assert len(eve.search()) == 0
    refusals = []
    for name in ("hidden", "nothing"):
        with pytest.raises(gw.ObjectNotFoundError) as caught:
            eve.dataset(name)
        refusals.append(caught.value.detail.replace(name, "…"))
    assert refusals[0] == refusals[1]
    bob.withdraw("hidden")


def test_a_dataset_whose_columns_are_not_shown_says_so(bob: gw.NodeClient, http: TestClient) -> None:
    access = gw.Access(discover=gw.SIGNED_IN, describe="dana")
    bob.publish("births", TABLE, access=access, description="a ward\nand more")
    try:
        found = as_user(bob, "ana", http).dataset("births")
        assert (found.columns, found.description) == ((), "a ward")
        for use in (lambda: found["weight"], lambda: found.mean(), lambda: len(found)):
            with pytest.raises((gw.InvalidInputError, TypeError), match="no columns that are shown here"):
                use()
        with pytest.raises(gw.AuthorizationError, match="not see its checks"):
            as_user(bob, "ana", http).disclosure("births")
        assert as_user(bob, "dana", http).dataset("births").columns == ("weight", "height")
        bob.change("births", describe_apart=False)
        assert as_user(bob, "ana", http).dataset("births").columns == ("weight", "height")
    finally:
        bob.withdraw("births")


def test_someone_without_the_right_cannot_publish(bob: gw.NodeClient, http: TestClient) -> None:
    if "guest" not in [user.username for user in bob.users.list()]:
        bob.users.add("guest", PASSWORD, role="guest")
    guest = gw.connect(bob.url, "guest", PASSWORD, http=http)
    with pytest.raises(gw.SendNotPermittedError):
        guest.publish("mine", torch.ones(20))
    with pytest.raises(gw.SendNotPermittedError):
        guest.send(torch.ones(20))


def test_a_sent_tensor_comes_back_to_its_sender(bob: gw.NodeClient) -> None:
    sent = bob.send(torch.arange(6.0).reshape(2, 3), description="mine", tags=["#mine"])
    assert repr(sent) == "<Pointer float32[2, 3] of mine #mine @hospital>"
    assert torch.equal((sent * 2).get(), torch.arange(6.0).reshape(2, 3) * 2)
    assert any(pointer.description == "mine" for pointer in bob.objects())


def test_accounts_are_kept(bob: gw.NodeClient) -> None:
    assert bob.admit("dana@grid").role == "data_scientist"
    bob.users.add("ute", PASSWORD, role="guest")
    assert bob.users.set_role("ute", "data_officer").role == "data_officer"
    assert bob.users.disable("ute").disabled
    assert not bob.users.enable("ute").disabled
    assert {"bob", "dana@grid", "ute"} <= {user.username for user in bob.users.list()}


def test_a_model_served_in_the_clear_answers_as_in_torch(bob: gw.NodeClient, http: TestClient) -> None:
    model = torch.nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[2.0, 4.0]]))
        model.bias.fill_(1000.0)
    bob.serve_model(model, id="linear", example_input=torch.zeros(1, 2), allow_remote_inference=True)
    assert bob.query_model("linear", torch.tensor([5, 3])).tolist() == [1022.0]
    assert bob.query_model("linear", torch.tensor([[5.0, 3.0], [0.0, 0.0]])).tolist() == [[1022.0], [1000.0]]
    with pytest.raises(gw.InvalidInputError, match=r"samples of shape \[2\]"):
        bob.query_model("linear", torch.ones(3))
    eve = as_user(bob, "eve", http)
    assert [facts.id for facts in eve.models()] == ["linear"]
    assert eve.query_model("linear", torch.tensor([5.0, 3.0])).item() == 1022.0
    with pytest.raises(gw.GridError):
        eve.withdraw_model("linear")
    bob.withdraw_model("linear")
    with pytest.raises(gw.ObjectNotFoundError):
        bob.describe_model("linear")


def test_serving_leaves_the_users_model_as_it_was(bob: gw.NodeClient) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.5)).train()
    bob.serve_model(model, id="dropout", example_input=torch.zeros(1, 2))
    assert model.training
    x = torch.ones(1, 2)
    assert torch.allclose(bob.query_model("dropout", x), model[0](x))
    bob.withdraw_model("dropout")


def test_a_session_that_was_signed_out_is_over(bob: gw.NodeClient, http: TestClient) -> None:
    eve = as_user(bob, "eve", http)
    eve.sign_out()
    with pytest.raises(gw.NotSignedInError, match="sign in again"):
        eve.search()


def test_a_wrong_password_and_a_wrong_kind_of_server_are_clear(bob: gw.NodeClient, http: TestClient) -> None:
    with pytest.raises(gw.WrongCredentialsError):
        gw.connect(bob.url, "bob", "wrong password", http=http)
    with pytest.raises(gw.InvalidInputError, match=r"is no gateway; for a node: gw\.connect"):
        gw.network(bob.url, "bob", PASSWORD, http=http)
    with pytest.raises(gw.SetupRefusedError):
        gw.setup_owner(bob.url, "guess", "eve", PASSWORD, http=http)


def test_what_is_written_wrong_is_named_before_anything_is_sent(bob: gw.NodeClient) -> None:
    with pytest.raises(gw.InvalidInputError, match="name"):
        bob.publish("no spaces please", torch.ones(20))
    with pytest.raises(gw.InvalidInputError, match=r"tags\.0"):
        bob.publish("fine", torch.ones(20), tags=["ward"])
    with pytest.raises(gw.InvalidInputError, match=r"bounds|high"):
        bob.publish("fine", torch.ones(20), bounds={"values": (0.0, float("inf"))})
    with pytest.raises(gw.InvalidInputError, match="gateway_url"):
        bob.join("not an address")
    with pytest.raises(gw.InvalidInputError, match="no role 'king'"):
        bob.users.set_role("bob", "king")


def test_rules_with_conditions_are_written_listed_and_ended(bob: gw.NodeClient, http: TestClient) -> None:
    eve = as_user(bob, "eve", http)
    access = gw.Access(raw=gw.Rule("eve", times=1))
    pointer = bob.publish("ruled", torch.arange(20.0), access=access, rows_are_entities=True)
    found = eve.dataset("ruled")
    assert torch.equal(found.get(), torch.arange(20.0))
    with pytest.raises(gw.GetNotPermittedError):
        found.get()
    (rule,) = bob.rules("ruled")
    assert (rule.who, rule.times, rule.used) == ("eve", 1, 1)
    bob.end_rule("ruled", rule.id)
    bob.allow("ruled", "compute", "eve")
    seen = pointer.preview("eve", pointer.mean())
    assert [one.verb for one in seen.verbs] == ["discover", "describe", "compute"]
    assert seen.decision is not None
    assert (seen.decision.answer, seen.decision.reason) == ("value", "aggregate")
    with pytest.raises(gw.AuthorizationError):
        found.preview("bob")
    with pytest.raises(gw.InvalidInputError, match="no condition"):
        bob.allow("ruled", "discover", gw.Rule("eve", times=1))
    bob.withdraw("ruled")


def test_groups_and_roles_are_kept(bob: gw.NodeClient, http: TestClient) -> None:
    eve = as_user(bob, "eve", http)
    assert bob.groups.make("ward", ["eve"]).members == ["eve"]
    access = gw.Access(compute="group:ward")
    bob.publish("grouped", torch.arange(20.0), access=access, rows_are_entities=True)
    assert eve.dataset("grouped").mean().get().item() == 9.5
    assert bob.groups.change("ward", remove=["eve"], add=["dana@grid"]).members == ["dana@grid"]
    with pytest.raises(gw.ObjectNotFoundError):
        eve.dataset("grouped")
    bob.groups.delete("ward")
    assert bob.groups.list() == []
    bob.withdraw("grouped")
    assert bob.roles.make("steward", ["publish"]).capabilities == ["publish"]
    assert bob.roles.change("steward", capabilities=["publish", "compute"]).capabilities == [
        "compute",
        "publish",
    ]
    bob.roles.delete("steward")
    assert "steward" not in [role.name for role in bob.roles.list()]


def test_rules_of_a_model_are_written_and_ended(bob: gw.NodeClient, http: TestClient) -> None:
    eve = as_user(bob, "eve", http)
    bob.serve_model(torch.nn.Linear(2, 1), id="ruled", example_input=torch.zeros(1, 2))
    made = bob.allow_model("ruled", "infer", gw.Rule("eve", times=1))
    assert eve.query_model("ruled", torch.tensor([5.0, 3.0])).shape == (1,)
    with pytest.raises(gw.AuthorizationError):
        eve.query_model("ruled", torch.tensor([5.0, 3.0]))
    assert [(rule.id, rule.used) for rule in bob.model_rules("ruled")] == [(made.id, 1)]
    bob.end_model_rule("ruled", made.id)
    assert bob.model_rules("ruled") == []
    bob.withdraw_model("ruled")
