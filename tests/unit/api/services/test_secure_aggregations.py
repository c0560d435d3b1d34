"""Three nodes in sums of updates: the mean is right, nobody gives one update, and no second subset opens."""

import secrets
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from httpx2 import Response
from sqlmodel import col, delete
from torch import nn
from torch.nn import functional

from gridward.api.tables.secure_aggregations import UpdateOpening
from gridward.core import tensors
from gridward.core.audit import sign_head
from gridward.core.errors import ProtocolError
from gridward.core.plans import codec
from gridward.core.plans.optimizers import SGD
from gridward.core.plans.trace import trace_module, trace_training
from gridward.core.schemas.secure_aggregations import AggregationDocument, lesson_digest
from gridward.core.schemas.secure_sums import ContributionOut, SumShare
from gridward.core.schemas.tensor import Tensor, TensorInfo
from gridward.core.schemas.trainings import TrainingIn
from gridward.core.schemas.uploads import MediaType
from gridward.core.smpc import purposes
from gridward.core.smpc.kernels.seam import ShortWords
from gridward.core.smpc.quantised import WIRE_SHORT, Slot, Terms, Total, read
from gridward.core.smpc.sealing import public_key, seal, unseal
from gridward.server.backup_format import RESTORED, Manifest, ServerKind
from gridward.server.ids import utc_now
from tests.support.files import publish, safetensors, upload
from tests.support.gateways import fresh_keys
from tests.support.questions import code
from tests.support.sums import ASKER, Joined

NAMES = ("hospital", "public", "company")
ROWS = {"hospital": 30, "public": 20, "company": 24}
MODEL = nn.Linear(4, 3)
STEP = trace_training(
    MODEL, functional.cross_entropy, SGD(0.2), (torch.zeros(4, 4), torch.arange(4) % 3), name="step"
)
START = {
    name: value.detach()
    for name, value in STEP.parameters.items()
    if name not in {given.name for given in STEP.plan.inputs if given.role == "hyper"}
}
SLOTS = (Slot("weight", True, (3, 4)), Slot("bias", True, (3,)))
ACCESS = {"discover": ["@signed-in"], "train": ["@signed-in"], "export_model": ["dana@grid"]}
LARGE = {"residual_degrees": None, "parameter_share": None}


@dataclass
class Rounds(Joined):
    """Three nodes, each both contributor and aggregator; dana may export, rita may only train.

    Every document is of a lesson of its own, which is then trained.
    """

    data: dict[str, dict[str, Any]] = field(default_factory=dict)
    seed: int = 0

    def lesson(self, **changes: Any) -> dict[str, Any]:
        hyper = {given.name for given in STEP.plan.inputs if given.role == "hyper"}
        return {
            "plan": codec.to_dict(STEP.plan),
            "dataset_id": "",
            "feeds": [{"input": "x", "tensor": "points"}, {"input": "y", "tensor": "labels"}],
            "parameters": [
                tensors.encode(name, value.detach()).model_dump()
                for name, value in STEP.parameters.items()
                if name not in hyper
            ],
            "hyper": [{"input": name, "value": 0.2} for name in hyper],
            "epochs": 2,
            "batch_size": 10,
            "seed": self.seed,
            "secure": True,
        } | changes

    def train(self, name: str, user: str = "dana", **changes: Any) -> dict[str, Any]:
        body = self.lesson(**changes) | {"dataset_id": self.data[name]["id"]}
        client, headers = self.nodes[name].client, self.caller(name, user)
        answer = client.post("/v1/trainings", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        said: dict[str, Any] = answer.json()
        deadline = time.monotonic() + 60
        while said["state"] == "running":
            assert time.monotonic() < deadline
            said = client.get(f"/v1/trainings/{said['id']}", params={"wait_s": 20}, headers=headers).json()
        assert said["state"] == "done", said["detail"]
        return said

    def document(self, **changes: Any) -> AggregationDocument:
        self.seed += 1
        fields: dict[str, Any] = {
            "id": secrets.token_hex(16),
            "run": "0" * 32,
            "round": 0,
            "gateway_id": self.gateway.id,
            "asker_key": urlsafe_b64encode(public_key(ASKER)).rstrip(b"=").decode(),
            "lesson": lesson_digest(TrainingIn.model_validate(self.lesson()), tensors.digest(START)),
            "parameters": [
                TensorInfo(name=slot.name, dtype="float32", shape=list(slot.shape)) for slot in SLOTS
            ],
            "clip": 10.0,
            "most_rows": 100,
            "fraction_bits": Terms.finest(3, 10.0, 100).fraction_bits,
            "quorum": 2,
            "contributors": [self.holder(name) for name in NAMES],
            "aggregators": [self.holder(name) for name in NAMES],
        }
        return AggregationDocument.model_validate(fields | changes)

    def ask(self, name: str, document: AggregationDocument, training_id: str, user: str = "dana") -> Response:
        body = {"document": document.model_dump(mode="json"), "training_id": training_id}
        path = "/v1/secure-aggregations/contributions"
        return self.nodes[name].client.post(path, json=body, headers=self.caller(name, user))

    def shares(self, document: AggregationDocument) -> dict[str, list[SumShare]]:
        """What every node contributes to a new round: a list in the order of the aggregators."""
        return self.asked(document, {name: self.train(name)["id"] for name in NAMES})

    def asked(self, document: AggregationDocument, trained: dict[str, str]) -> dict[str, list[SumShare]]:
        """What nodes contribute of these trainings."""
        given = {}
        for name, training_id in trained.items():
            answer = self.ask(name, document, training_id)
            assert answer.status_code == 200, answer.text
            given[name] = ContributionOut.model_validate_json(answer.content).shares
        return given

    def open(
        self,
        at: str,
        document: AggregationDocument,
        shares: Sequence[SumShare],
        names: Sequence[str] = NAMES,
    ) -> Response:
        body = {
            "document": document.model_dump(mode="json"),
            "contributors": [self.nodes[name].node.keys.id for name in names],
            "shares": [share.model_dump() for share in shares],
        }
        path = "/v1/secure-aggregations/openings"
        return self.nodes[at].client.post(path, json=body, headers=self.caller(at))

    def opened(
        self, at: str, document: AggregationDocument, given: dict[str, list[SumShare]], names: Sequence[str]
    ) -> ShortWords:
        """One aggregator's share of a sum, unsealed."""
        position = NAMES.index(at)
        answer = self.open(at, document, [given[name][position] for name in names], names)
        assert answer.status_code == 200, answer.text
        ids = ",".join(self.nodes[name].node.keys.id for name in names)
        purpose = purposes.update_sum(document.digest(), 0, ids, self.nodes[at].node.keys.id)
        sealed = SumShare(sealed=answer.json()["sealed"], token="").raw()
        return np.frombuffer(unseal(ASKER, sealed, purpose), WIRE_SHORT)

    def total(
        self, document: AggregationDocument, given: dict[str, list[SumShare]], names: Sequence[str]
    ) -> Total:
        words = [self.opened(at, document, given, names) for at in NAMES]
        terms = Terms(3, document.clip, document.most_rows, document.fraction_bits)
        return read(words[0] + words[1] + words[2], SLOTS, terms, len(names))

    def updates(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The weighted mean of what the nodes learn, asked for in the clear."""
        mean = {slot.name: np.zeros(slot.shape) for slot in SLOTS}
        for name in names:
            said = self.train(name, secure=False)
            after = {item["name"]: tensors.decode(Tensor.model_validate(item)) for item in said["parameters"]}
            for slot in SLOTS:
                change = (after[slot.name] - STEP.parameters[slot.name].detach()).numpy()
                mean[slot.name] += ROWS[name] * change.astype(np.float64)
        return {name: value / sum(ROWS[one] for one in names) for name, value in mean.items()}


def renamed(document: AggregationDocument, **changes: Any) -> AggregationDocument:
    """A document of the same lesson."""
    return document.model_copy(update={"id": secrets.token_hex(16)} | changes)


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rounds]:
    with ExitStack() as stack:
        grid = Rounds(fresh_keys())
        for seed, name in enumerate(NAMES):
            grid.add(stack, tmp_path_factory, name)
            labels = np.arange(ROWS[name]) % 3
            noise = np.random.default_rng(seed).normal(0, 0.3, (ROWS[name], 4))
            arrays = {"points": (noise + np.eye(4)[labels] * 2).astype(np.float32), "labels": labels}
            node = grid.nodes[name]
            grid.data[name] = publish(
                node, node.as_("bob"), arrays, name="clouds", access=ACCESS, disclosure=LARGE
            )
        yield grid


def test_the_sum_gives_the_weighted_mean_of_whoever_contributed(rounds: Rounds) -> None:
    for names in (NAMES, NAMES[:2]):
        document = rounds.document()
        given = rounds.shares(document)
        total = rounds.total(document, given, names)
        wanted = rounds.updates(names)
        room = Terms.finest(3, 10.0, 100).error(len(names), total.rows) + 1e-7
        assert (total.rows, total.clipped) == (sum(ROWS[name] for name in names), 0)
        for slot in SLOTS:
            assert np.abs(total.mean[slot.name] - wanted[slot.name]).max() <= room
        for name in NAMES:
            assert document.id in [row.subject for row in rounds.audited(name, "secure_update.open")]
            assert rounds.audited(name, "secure_update")[-1].decision == "value"


def test_a_long_update_is_scaled_down_to_the_clip_and_counted(rounds: Rounds) -> None:
    document = rounds.document(clip=0.01, fraction_bits=Terms.finest(3, 0.01, 100).fraction_bits)
    total = rounds.total(document, rounds.shares(document), NAMES)
    assert total.clipped == 3
    assert sum(float(np.square(total.mean[slot.name]).sum()) for slot in SLOTS) <= 0.0101**2


def test_the_update_of_a_secure_training_is_told_to_nobody(rounds: Rounds) -> None:
    said = rounds.train("hospital")
    assert (said["parameters"], "inside sums" in said["withheld"]) == ([], True)
    path, headers = f"/v1/trainings/{said['id']}/content", rounds.caller("hospital")
    assert code(rounds.nodes["hospital"].client.get(path, headers=headers)) == "get_not_permitted"
    record = (
        rounds.nodes["hospital"]
        .client.get(f"/v1/trainings/{said['id']}/record", headers=rounds.caller("hospital"))
        .json()
    )
    for history in (said["history"], record["history"]):
        values = [value for item in history for value in item["values"].values()]
        assert values and all(value == float(f"{value:.3g}") for value in values)


def test_a_secure_training_is_of_no_hosted_model(rounds: Rounds) -> None:
    node, bob = rounds.nodes["hospital"], rounds.nodes["hospital"].as_("bob")
    traced = trace_module(MODEL, (torch.zeros(2, 4),), name="points")
    content = safetensors({key: value.numpy() for key, value in traced.parameters.items()})
    sent = upload(node, bob, content, MediaType.SAFETENSORS)
    body = {"id": "points", "plan": codec.to_dict(traced.plan), "upload_id": sent}
    assert node.client.post("/v1/models", json=body, headers=bob).status_code == 201
    order = rounds.lesson(model_id="points", parameters=[]) | {"dataset_id": rounds.data["hospital"]["id"]}
    refused = node.client.post("/v1/trainings", json=order, headers=bob)
    assert (code(refused), "takes its parameters with it" in refused.json()["detail"]) == (
        "invalid_input",
        True,
    )
    order |= {"secure": False}
    assert node.client.post("/v1/trainings", json=order, headers=bob).status_code == 201


def test_an_update_goes_into_one_sum_and_a_sum_takes_one_update(rounds: Rounds) -> None:
    document, one, other = rounds.document(), rounds.train("hospital")["id"], rounds.train("hospital")["id"]
    assert rounds.ask("hospital", document, one).status_code == 200
    assert rounds.ask("hospital", document, one).status_code == 200
    assert code(rounds.ask("hospital", document, other)) == "conflict"
    assert code(rounds.ask("hospital", renamed(document), one)) == "conflict"
    changed = document.model_copy(update={"quorum": 3})
    assert code(rounds.ask("hospital", changed, one)) == "conflict"


def test_one_lesson_goes_into_one_sum_of_a_caller_also_after_a_restart(rounds: Rounds) -> None:
    """All three in one document, two of them in another: the difference would be the third's update."""
    document = rounds.document()
    given = rounds.shares(document)
    rounds.total(document, given, NAMES)
    again = renamed(document, contributors=[rounds.holder(name) for name in NAMES[1:]])
    rounds.restart("public")
    for name in NAMES[1:]:
        refused = rounds.ask(name, again, rounds.train(name)["id"])
        assert (code(refused), "another seed" in refused.json()["detail"]) == ("conflict", True)
    other = rounds.document()
    assert rounds.ask("public", other, rounds.train("public")["id"]).status_code == 200


def test_asked_again_a_node_gives_the_same_shares(rounds: Rounds) -> None:
    document = rounds.document()
    trained = {name: rounds.train(name)["id"] for name in NAMES}
    answers = [rounds.ask(name, document, trained[name]) for name in (*NAMES, *NAMES)]
    parts = [ContributionOut.model_validate_json(answer.content).shares for answer in answers]
    first = rounds.total(document, dict(zip(NAMES, parts[:3], strict=True)), NAMES)
    # the vector of the first time, the seeds of the second
    mixed = {name: [parts[at][0], *parts[at + 3][1:]] for at, name in enumerate(NAMES)}
    again = rounds.total(document, mixed, NAMES)
    assert all(np.array_equal(first.mean[slot.name], again.mean[slot.name]) for slot in SLOTS)


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"lesson": "0" * 64}, "invalid_input"),
        ({"parameters": [TensorInfo(name="weight", dtype="float32", shape=[4, 3])]}, "invalid_input"),
        ({"parameters": [TensorInfo(name="other", dtype="float32", shape=[])]}, "invalid_input"),
        ({"parameters": [TensorInfo(name="bias", dtype="int64", shape=[3])]}, "invalid_input"),
        ({"most_rows": 29}, "out_of_range"),
        ({"fraction_bits": 40}, "invalid_input"),
        ({"gateway_id": "a" * 26}, "deployment_refused"),
    ],
)
def test_what_a_node_did_not_train_or_cannot_bound_it_does_not_contribute(
    rounds: Rounds, changes: dict[str, Any], outcome: str
) -> None:
    answer = rounds.ask("hospital", rounds.document(**changes), rounds.train("hospital")["id"])
    assert code(answer) == outcome


def test_who_may_not_export_contributes_nothing_and_others_have_no_such_training(rounds: Rounds) -> None:
    document = rounds.document()
    mine = rounds.train("hospital", user="rita")["id"]
    assert code(rounds.ask("hospital", document, mine, user="rita")) == "get_not_permitted"
    assert rounds.audited("hospital", "secure_update")[-1].decision == "refused"
    assert code(rounds.ask("hospital", document, mine)) == "object_not_found"
    plain = rounds.train("hospital", secure=False)["id"]
    assert code(rounds.ask("hospital", document, plain)) == "conflict"


def test_sums_that_protect_nobody_are_refused_by_every_role(rounds: Rounds) -> None:
    one = [rounds.holder(name, owner="the same") for name in NAMES]
    forged = [rounds.holder(name, signer=fresh_keys()) for name in NAMES]
    claimed = [*(rounds.holder(name) for name in NAMES[:2]), one[2].model_copy(update={"owner": "another"})]
    training_id = rounds.train("hospital")["id"]
    for changes in (
        {"contributors": one},
        {"aggregators": one[:2]},
        {"contributors": forged},
        {"contributors": claimed},
        {"contributors": [rounds.holder("hospital")] * 2},
        {"contributors": [rounds.holder(name) for name in NAMES[1:]], "aggregators": claimed[1:]},
        {"quorum": 4},
    ):
        document = rounds.document(**changes)
        assert code(rounds.ask("hospital", document, training_id)) == "deployment_refused"
        share = SumShare(sealed="c2VhbGVk", token="x")
        assert code(rounds.open("public", document, [share] * 3)) == "deployment_refused"
    body = {"document": rounds.document().model_dump(mode="json") | {"quorum": 1}, "training_id": "x"}
    path = "/v1/secure-aggregations/contributions"
    answer = rounds.nodes["hospital"].client.post(path, json=body, headers=rounds.caller("hospital"))
    assert code(answer) == "invalid_input"


def test_an_owner_may_want_more_behind_every_sum(rounds: Rounds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds.nodes["hospital"].node.settings, "secure_quorum", 3)
    document = rounds.document()
    training_id = rounds.train("hospital")["id"]
    refused = rounds.ask("hospital", document, training_id)
    assert (code(refused), "at least 3" in refused.json()["detail"]) == ("deployment_refused", True)
    allowed = document.model_copy(update={"quorum": 3})
    assert rounds.ask("hospital", allowed, training_id).status_code == 200


def test_too_few_repeated_or_foreign_shares_open_nothing(rounds: Rounds) -> None:
    document = rounds.document(quorum=3)
    given = rounds.shares(document)
    first = [given[name][0] for name in NAMES]
    assert code(rounds.open("hospital", document, first[:2], NAMES[:2])) == "deployment_refused"
    assert code(rounds.open("hospital", document, first[:2])) == "protocol_failed"
    twice = ("hospital", "hospital", "public")
    assert code(rounds.open("hospital", document, [first[0], first[0], first[1]], twice)) == "protocol_failed"
    replayed = rounds.open("hospital", document, [first[0], first[0], first[2]])
    assert (code(replayed), "public" in replayed.json()["detail"]) == ("protocol_failed", True)
    elsewhere = [given[name][1] for name in NAMES]
    assert code(rounds.open("hospital", document, elsewhere)) == "protocol_failed"
    older = rounds.shares(rounds.document(quorum=3))
    old = [*first[:2], older["company"][0]]
    assert code(rounds.open("hospital", document, old)) == "protocol_failed"
    purpose = purposes.update_share(
        document.digest(), 0, rounds.nodes["company"].node.keys.id, rounds.nodes["hospital"].node.keys.id
    )
    own = seal(
        rounds.nodes["hospital"].node.keys.seal_key.public_key().public_bytes_raw(), bytes(72), purpose
    )
    forged = first[2].model_copy(update={"sealed": b64encode(own).decode()})
    assert code(rounds.open("hospital", document, [*first[:2], forged])) == "protocol_failed"
    assert rounds.open("hospital", document, first).status_code == 200


def test_one_set_of_nodes_is_opened_and_no_other_ever_also_after_a_restart(rounds: Rounds) -> None:
    document = rounds.document()
    given = rounds.shares(document)
    whole = rounds.opened("hospital", document, given, NAMES)
    without = [given[name][0] for name in NAMES[:2]]
    refused = rounds.open("hospital", document, without, NAMES[:2])
    assert (code(refused), "no other" in refused.json()["detail"]) == ("conflict", True)
    assert np.array_equal(rounds.opened("hospital", document, given, NAMES), whole)
    # an aggregator that would open another set gives what does not fit the first one's: uniform words
    other = rounds.opened("public", document, given, NAMES[:2])
    third = rounds.opened("company", document, given, NAMES)
    with pytest.raises(ProtocolError, match="add up"):
        read(whole + other + third, SLOTS, Terms.finest(3, 10.0, 100), 3)
    late = rounds.train("company")["id"]
    rounds.restart("company")
    thirds = [given[name][2] for name in NAMES[1:]]
    assert code(rounds.open("company", document, thirds, NAMES[1:])) == "conflict"
    assert np.array_equal(rounds.opened("company", document, given, NAMES), third)
    assert code(rounds.ask("company", document, late)) == "conflict"


def test_after_a_restore_no_update_goes_out_and_no_older_share_is_opened(rounds: Rounds) -> None:
    """The last test: a node that was restored opens nothing of the seconds before."""
    document, name = rounds.document(), "company"
    trained = {one: rounds.train(one)["id"] for one in NAMES}
    given = rounds.asked(document, trained)
    rounds.opened(name, document, given, NAMES)
    node, late = rounds.nodes[name].node, rounds.train(name)["id"]
    head = sign_head(node.keys.sign_key, 0, "0" * 64, utc_now())
    said = Manifest(
        kind=ServerKind.NODE, program="1", made_at=utc_now(), database="sqlite", head=head, files={}
    )
    (node.settings.data_dir / RESTORED).write_text(said.model_dump_json())
    with node.database.write() as db:  # what the back-up would not know
        db.exec(delete(UpdateOpening).where(col(UpdateOpening.document_id) == document.id))
    rounds.restart(name)
    for training_id in (trained.pop(name), late):
        refused = rounds.ask(name, document, training_id)
        assert (code(refused), "none any more" in refused.json()["detail"]) == ("conflict", True)
    for shares in (given, rounds.asked(document, trained)):
        refused = rounds.open(name, document, [shares[one][2] for one in NAMES[:2]], NAMES[:2])
        assert (code(refused), "restored" in refused.json()["detail"]) == ("protocol_failed", True)
