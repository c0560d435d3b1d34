"""A scientist asks, an officer decides, a node dies in between: real processes, real HTTP."""

import random
import threading
from collections.abc import Iterator

import pytest
import torch

import gridward as gw
from tests.support.grids import PASSWORD, ServerProcess, gridward

pytestmark = pytest.mark.e2e

WEIGHT = [3.5, 3.7, 3.9, 4.1, 4.1]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The hospital: bob owns it, olga publishes and approves, ana and dana are scientists."""
    node = ServerProcess("node", "hospital", tmp_path_factory.mktemp("requests") / "hospital")
    token = node.init()
    node.start()
    try:
        gw.setup_owner(node.url, token, "bob", PASSWORD)
        with signed_in(node, "bob") as bob:
            bob.users.add("olga", PASSWORD, role="data_officer")
            for name in ("ana", "dana"):
                bob.users.add(name, PASSWORD)
        with signed_in(node, "olga") as olga:
            olga.publish(
                "births", {"weight": WEIGHT}, access=gw.Access(compute=gw.SIGNED_IN), rows_are_entities=True
            )
        yield node
    finally:
        node.kill()


def signed_in(node: ServerProcess, name: str) -> gw.NodeClient:
    return gw.connect(node.url, username=name, password=PASSWORD)


def asked(node: ServerProcess, pointer: str, who: str = "ana") -> str:
    with signed_in(node, who) as scientist:
        weight = scientist.dataset("births")["weight"]
        return {"mean": weight.mean, "sum": weight.sum, "max": weight.max}[pointer]().request("report").id


def total_unless_cut_off(request: gw.Request) -> float | None:
    try:
        value = request.get()
    except gw.NodeUnreachableError:
        return None
    assert isinstance(value, torch.Tensor)
    return value.item()


def test_ana_asks_an_officer_approves_once_and_she_gets_the_number_once(node: ServerProcess) -> None:
    with signed_in(node, "ana") as ana, signed_in(node, "olga") as olga, signed_in(node, "dana") as dana:
        mean = ana.dataset("births")["weight"].mean()
        with pytest.raises(gw.ResultSuppressedError):
            mean.get()
        request = mean.request("ward report")
        assert [one.kind.value for one in olga.notifications if one.request_id == request.id] == ["asked"]
        preview = olga.requests[request.id].preview()
        assert [verdict.figures for verdict in preview.verdicts if verdict.check == "rows"] == [
            "5 rows, 10 wanted"
        ]
        olga.requests[request.id].approve(note="once, for the report")
        with pytest.raises(gw.ResultSuppressedError):
            dana.dataset("births")["weight"].mean().get()
        assert request.wait(20).status == "approved"
        assert mean.get().item() == pytest.approx(3.86)
        with pytest.raises(gw.ResultSuppressedError):
            mean.get()
        assert request.refresh().status == "used_up"


def test_a_denial_comes_with_its_reason(node: ServerProcess) -> None:
    request_id = asked(node, "sum", "dana")
    with signed_in(node, "olga") as olga:
        olga.requests[request_id].deny("five rows are five people")
    with signed_in(node, "dana") as dana:
        with pytest.raises(gw.GetNotPermittedError, match="denied by olga: five rows are five people"):
            dana.requests[request_id].get()
        with pytest.raises(gw.ResultSuppressedError):
            dana.dataset("births")["weight"].sum().get()


def test_a_node_killed_between_any_two_steps_loses_none_of_them(node: ServerProcess) -> None:
    request_id = asked(node, "max")
    node.kill()
    node.start()
    with signed_in(node, "olga") as olga:
        olga.requests[request_id].approve(times=2)
    node.kill()
    node.start()
    with signed_in(node, "ana") as ana:
        value = ana.requests[request_id].get()
        assert isinstance(value, torch.Tensor)
        assert value.item() == 4.1
    node.kill()
    node.start()
    with signed_in(node, "ana") as ana:
        assert ana.dataset("births")["weight"].max().get().item() == 4.1
        with pytest.raises(gw.GetNotPermittedError, match="used up"):
            ana.requests[request_id].get()
        with pytest.raises(gw.GetNotPermittedError, match="ask for it"):
            ana.dataset("births")["weight"].max().get()


def test_a_node_killed_while_it_answers_gives_that_answer_once(node: ServerProcess) -> None:
    chance = random.Random(11)
    for weight_times in (2, 3):
        with signed_in(node, "ana") as ana:
            asked = (ana.dataset("births")["weight"] * weight_times).sum().request("report")
            with signed_in(node, "olga") as olga:
                olga.requests[asked.id].approve()
            killing = threading.Timer(chance.uniform(0.0, 0.4), node.kill)
            killing.start()
            found = total_unless_cut_off(asked)
            killing.join()
            node.start()
            if found is None:
                found = total_unless_cut_off(asked)
            assert found == pytest.approx(weight_times * sum(WEIGHT))
            assert (asked.refresh().status, asked.described.used) == ("used_up", 1)


def test_an_owner_answers_at_the_command_line(node: ServerProcess) -> None:
    who = {"GRIDWARD_USERNAME": "bob", "GRIDWARD_PASSWORD": PASSWORD, "COLUMNS": "200"}

    def said(*words: str) -> str:
        done = gridward("request", *words, GRIDWARD_URL=node.url, **who)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with signed_in(node, "dana") as dana:
        mean = dana.dataset("births")["weight"].mean()
        first = mean.request("report\nwhat leaves: nothing").id
    second = asked(node, "max", "dana")
    listed = said("list", "--status", "pending")
    assert first in listed
    assert "births" in listed
    shown = said("show", first)
    assert "mean.dim(x0, keepdim=False)" in shown
    assert "\nwhat leaves: value" in shown
    assert "\nwhat leaves: nothing" not in shown
    assert "rows failed: births: 5 rows, 10 wanted" in shown
    assert f"said to {first}" in said("comment", first, "for whom?")
    assert f"{first} is approved" in said("approve", first, "--times", "3")
    assert f"{first} is revoked" in said("revoke", first, "a mistake")
    assert f"{second} is denied" in said("deny", second, "single people")
    refused = gridward("request", "approve", second, GRIDWARD_URL=node.url, **who)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
