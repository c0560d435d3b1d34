import httpx2
import pytest
import torch
from torch import nn

import gridward as gw
from gridward.client import wire
from gridward.client.federation import entry
from gridward.client.federation.driver import Surroundings
from gridward.client.parcels import Sent
from gridward.client.training import Recipe, Run, request
from gridward.core.schemas.tensor import Tensor
from tests.support.places import RecordingPlace
from tests.support.schools import DIGITS, School

QUIET = Surroundings(shown=False)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(4, 3)


@pytest.fixture
def schools() -> list[School]:
    return [School("north", rows=30, step=1.0), School("south", rows=10, step=5.0)]


def train(
    model: nn.Module, schools: list[School], strategy: gw.FedAvg | None = None, rounds: int = 1
) -> gw.TrainingResult:
    data = [school.dataset("digits", **DIGITS) for school in schools]
    return entry.train(
        model, data, recipe=Recipe(), rounds=rounds, run=Run(), strategy=strategy or gw.FedAvg(), around=QUIET
    )


def test_results_are_averaged_by_rows_and_the_given_model_stays(
    model: nn.Module, schools: list[School]
) -> None:
    before = model.weight.detach().clone()
    result = train(model, schools, rounds=2)
    assert torch.allclose(result.model.weight, before + 2 * (30 * 1.0 + 10 * 5.0) / 40, atol=1e-6)
    assert torch.equal(model.weight, before)
    assert [report.number for report in result.history] == [1, 2]
    assert [school.forgotten for school in schools] == [2, 2]
    assert result.history[0].metrics == {"loss": (30 * 30 + 10 * 10) / 40}
    assert {(node.node, node.rows) for node in result.history[0].nodes} == {("north", 30), ("south", 10)}


def test_each_round_is_one_message_with_plan_data_and_joint_parameters(
    model: nn.Module, schools: list[School]
) -> None:
    train(model, schools, rounds=2)
    first, second = schools[0].asked
    assert first["feeds"] == [{"input": "x", "tensor": "images"}, {"input": "y", "tensor": "labels"}]
    assert first["dataset_id"] == "ds-digits"
    assert first["plan"] == second["plan"]
    assert first["seed"] != second["seed"]
    assert schools[1].asked[1]["parameters"] == second["parameters"] != first["parameters"]


def test_a_node_that_fails_is_named_and_left_out(model: nn.Module, schools: list[School]) -> None:
    schools[1].bend = lambda state: state.update(state="failed", detail="out of memory")
    before = model.weight.detach().clone()
    result = train(model, schools)
    assert result.history[0].failures == {"south": "training on 'south' failed: out of memory"}
    assert torch.allclose(result.model.weight, before + 1.0, atol=1e-6)


def test_too_few_answers_end_the_run_and_name_every_cause(model: nn.Module, schools: list[School]) -> None:
    schools[1].bend = lambda _: httpx2.Response(403, json={"code": "not_authorized", "detail": "not you"})
    with pytest.raises(gw.TrainingError, match="1 of 2 nodes answered, 2 are needed; south: not you"):
        train(model, schools, gw.FedAvg(min_nodes=2))
    schools[0].bend = lambda _: httpx2.Response(503)
    with pytest.raises(gw.TrainingError, match=r"0 of 2 .*north: .*HTTP 503.*south: not you"):
        train(model, schools)


def test_a_node_that_lets_no_model_leave_is_named_so(model: nn.Module, schools: list[School]) -> None:
    schools[1].bend = lambda state: state.update(parameters=[])
    assert "lets no model leave" in train(model, schools).history[0].failures["south"]


def test_an_update_of_another_shape_is_left_out_and_its_node_named(
    model: nn.Module, schools: list[School]
) -> None:
    odd = wire.encode("weight", torch.ones(9)).model_dump()
    schools[1].bend = lambda state: state.update(parameters=[odd, *state["parameters"][1:]])
    failures = train(model, schools).history[0].failures
    assert failures == {"south": "south returned weight as float32[9], not float32[3, 4]"}


def test_a_lost_connection_is_taken_up_again_while_the_node_trains_on(
    model: nn.Module, schools: list[School]
) -> None:
    schools[0].polls_left = 3
    lost = iter([True, True, False])
    schools[0].bend = lambda state: (
        httpx2.Response(502) if schools[0].left == 2 and next(lost, False) else None
    )
    assert not train(model, schools).history[0].failures
    assert len(schools[0].asked) == 1


def test_the_optimizer_starts_afresh_every_round(model: nn.Module, schools: list[School]) -> None:
    data = [school.dataset("digits", **DIGITS) for school in schools]
    recipe = Recipe(optimizer=gw.SGD(lr=0.1, momentum=0.9))
    entry.train(model, data, recipe=recipe, rounds=2, run=Run(), strategy=gw.FedAvg(), around=QUIET)
    for asked in schools[0].asked:
        state = [
            Tensor.model_validate(one) for one in asked["parameters"] if one["name"].startswith("momentum")
        ]
        assert {one.name for one in state} == {"momentum.weight", "momentum.bias"}
        assert all(not wire.decode(one).any() for one in state)


@pytest.mark.parametrize(
    ("datasets", "words"),
    [
        ([], "search found nothing"),
        ([{"images": ("float32", [40, 4])}], "say which tensors"),
        ([DIGITS, {"images": ("float32", [40, 5]), "labels": ("int64", [40])}], "samples differ"),
        ([{"images": ("float32", [40, 7]), "labels": ("int64", [40])}], "cannot be trained on 'images'"),
    ],
)
def test_data_that_does_not_fit_is_refused_before_anything_is_sent(
    model: nn.Module, datasets: list[dict[str, tuple[str, list[int]]]], words: str
) -> None:
    places = [School(f"school{at}") for at in range(len(datasets))]
    data = [place.dataset("digits", **shapes) for place, shapes in zip(places, datasets, strict=True)]
    with pytest.raises((gw.InvalidInputError, gw.PlanRejectedError), match=words):
        entry.train(model, data, recipe=Recipe(), rounds=1, run=Run(), strategy=gw.FedAvg(), around=QUIET)
    assert all(not place.requests for place in places)


def test_two_datasets_of_one_node_are_refused(model: nn.Module, schools: list[School]) -> None:
    with pytest.raises(gw.InvalidInputError, match="one dataset a node; north has several"):
        train(model, [schools[0], schools[0]])


def test_inputs_and_targets_are_found_by_their_kind_or_by_name(hospital: RecordingPlace) -> None:
    digits = hospital.dataset(**DIGITS)
    assert [info.name for info in Recipe().paired(digits)] == ["images", "labels"]
    births = hospital.dataset()
    with pytest.raises(gw.InvalidInputError, match="inputs= and targets="):
        Recipe().paired(births)
    assert [info.name for info in Recipe(targets="height").paired(births)] == ["weight", "height"]
    with pytest.raises(gw.InvalidInputError, match="no tensor 'pixels'"):
        Recipe(inputs="pixels", targets="labels").paired(digits)


def test_a_model_with_what_plans_do_not_have_is_refused_by_name(schools: list[School]) -> None:
    with pytest.raises(gw.PlanRejectedError):
        train(nn.Sequential(nn.Linear(4, 3), nn.RReLU()), schools)


def test_a_sent_model_trains_only_where_it_is(model: nn.Module, schools: list[School]) -> None:
    remote = gw.send(model, schools[0])
    assert repr(remote) == "<RemoteModel Linear @north>"
    with pytest.raises(gw.TensorsNotCollocatedError, match="on 'north', 'digits' on 'south'"):
        remote.train(schools[1].dataset("digits", **DIGITS))


def test_a_model_that_was_not_trained_comes_back_as_it_was_and_only_once(
    model: nn.Module, schools: list[School]
) -> None:
    remote = gw.send(model, schools[0])
    assert torch.equal(remote.get().weight, model.weight)
    assert schools[0].requests == []
    with pytest.raises(gw.ConflictError, match="send it again"):
        remote.get()


def test_send_is_no_method_of_models_until_it_is_asked_for(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(nn.Module, "send", raising=False)
    assert not hasattr(model, "send")
    gw.install_torch_methods()
    gw.install_torch_methods()
    assert isinstance(model.send(School("north")), gw.RemoteModel)
    monkeypatch.setattr(nn.Module, "send", lambda self: None)
    with pytest.raises(AttributeError, match="already has a method"):
        gw.install_torch_methods()
    monkeypatch.delattr(nn.Module, "send")


def test_a_strategys_anchor_is_the_rounds_own_and_a_control_is_each_nodes(
    model: nn.Module, schools: list[School]
) -> None:
    def sent(school: School, number: int, prefix: str) -> dict[str, torch.Tensor]:
        tensors = [Tensor.model_validate(one) for one in school.asked[number]["parameters"]]
        found = {one.name: wire.decode(one) for one in tensors}
        return {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}

    train(model, schools, gw.FedProx(mu=0.5), rounds=2)
    for school in schools:
        for number in (0, 1):
            now, anchor = sent(school, number, ""), sent(school, number, "anchor.")
            assert all(torch.equal(anchor[name], now[name]) for name in ("weight", "bias"))
    assert not torch.equal(sent(schools[0], 0, "anchor.")["bias"], sent(schools[0], 1, "anchor.")["bias"])
    for school in schools:
        school.asked.clear()
    train(model, schools, gw.Scaffold(local_rate=0.1), rounds=2)
    controls = [sent(school, 1, "control.")["bias"] for school in schools]
    assert all(not sent(school, 0, "control.")["bias"].any() for school in schools)
    # north moved by 1 and south by 5 in 2 steps: their directions are -5 and -25, the common one -15
    assert torch.allclose(controls[0], torch.full((3,), -10.0))
    assert torch.allclose(controls[1], torch.full((3,), 10.0))


def test_scaffold_needs_the_rate_that_the_nodes_step_with(model: nn.Module, schools: list[School]) -> None:
    with pytest.raises(gw.InvalidInputError, match=r"optimizer=SGD\(lr=0.5\)"):
        train(model, schools, gw.Scaffold(local_rate=0.5))
    assert not schools[0].asked


def test_a_request_holds_out_judges_and_scales_the_rate(model: nn.Module, schools: list[School]) -> None:
    data = schools[0].dataset("digits", **DIGITS)
    recipe = Recipe(optimizer=gw.AdamW(lr=0.2), metrics={"sureness": lambda output, _: output.amax(1).mean()})
    pair = recipe.paired(data)
    lesson = recipe.lesson(model, *pair)
    sent = Sent()
    body = request(lesson, data, pair, Run(), parameters=sent, holdout=0.2, holdout_seed=7, lr_factor=0.25)
    assert [(item.input, item.value) for item in body.hyper] == [("lr", pytest.approx(0.05))]
    assert body.evaluation is not None
    assert (body.evaluation.holdout, body.evaluation.holdout_seed) == (0.2, 7)
    assert {one.name for one in body.evaluation.plan.outputs} == {"loss", "accuracy", "sureness"}
    assert request(lesson, data, pair, Run(), parameters=sent).evaluation is None
    only = request(lesson, data, pair, Run(epochs=0), parameters=sent)
    assert (only.plan, only.hyper) == (None, [])
    assert only.evaluation is not None
