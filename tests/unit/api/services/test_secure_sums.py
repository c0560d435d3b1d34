"""Two nodes in a secure sum: the total is right, and whatever is not exactly agreed is refused."""

import json
import secrets
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from httpx2 import Response

from gridward.core.identity import decode_key
from gridward.core.plans.expression import Expression
from gridward.core.schemas.secure_sums import ContributionOut, OpeningIn, SumDocument, SumOutput, SumShare
from gridward.core.smpc import purposes, secure_sum
from gridward.core.smpc.ring import from_bytes
from gridward.core.smpc.sealing import public_key, seal, unseal
from tests.support.files import publish
from tests.support.gateways import fresh_keys
from tests.support.questions import code, column, question
from tests.support.sums import ASKER, Joined

NAMES = ("hospital", "public")
WEIGHTS = {"hospital": np.linspace(2.0, 4.0, 30), "public": np.linspace(3.0, 3.5, 12)}


@dataclass
class Sums(Joined):
    """Two nodes, each both contributor and aggregator."""

    wards: dict[str, dict[str, Any]] = field(default_factory=dict)

    def document(self, **changes: Any) -> SumDocument:
        fields: dict[str, Any] = {
            "id": secrets.token_hex(16),
            "gateway_id": self.gateway.id,
            "asker_key": urlsafe_b64encode(public_key(ASKER)).rstrip(b"=").decode(),
            "fraction_bits": 24,
            "outputs": [SumOutput(name="y0", dtype="float64", shape=[])],
            "contributors": [self.holder(name) for name in NAMES],
            "aggregators": [self.holder(name) for name in NAMES],
        }
        return SumDocument.model_validate(fields | changes)

    def ask(
        self,
        name: str,
        document: SumDocument,
        value: Callable[[Expression], Expression] = lambda weight: weight.sum(),
        user: str = "dana",
    ) -> Response:
        """Ask a node to contribute."""
        asked = question(value(column(self.wards[name], "weight")))
        body = {
            "document": document.model_dump(mode="json"),
            "plan": asked["plan"],
            "sources": asked["sources"],
        }
        return self.nodes[name].client.post(
            "/v1/secure-sums/contributions", json=body, headers=self.caller(name, user)
        )

    def shares(self, document: SumDocument) -> dict[str, list[SumShare]]:
        """All contributions, as each aggregator is to get them."""
        given = []
        for name in NAMES:
            answer = self.ask(name, document)
            assert answer.status_code == 200, answer.text
            given.append(ContributionOut.model_validate_json(answer.content).shares)
        return {name: [shares[at] for shares in given] for at, name in enumerate(NAMES)}

    def open(self, name: str, document: SumDocument, shares: list[SumShare], user: str = "dana") -> Response:
        body = OpeningIn(document=document, shares=shares).model_dump(mode="json")
        return self.nodes[name].client.post(
            "/v1/secure-sums/openings", json=body, headers=self.caller(name, user)
        )


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sums]:
    with ExitStack() as stack:
        grid = Sums(fresh_keys())
        for name in NAMES:
            grid.add(stack, tmp_path_factory, name)
            grid.wards[name] = publish(
                grid.nodes[name],
                grid.nodes[name].as_("bob"),
                {"weight": WEIGHTS[name]},
                name="ward",
                access={"discover": ["@signed-in"], "compute": ["dana@grid"], "raw": ["rita@grid"]},
            )
        yield grid


def test_the_asker_learns_the_total_and_both_nodes_write_it_down(sums: Sums) -> None:
    document = sums.document()
    shares = sums.shares(document)
    opened = []
    for name in NAMES:
        answer = sums.open(name, document, shares[name])
        assert answer.status_code == 200, answer.text
        purpose = purposes.sum_answer(document.digest(), sums.nodes[name].node.keys.id)
        sealed = SumShare(sealed=answer.json()["sealed"], token="").raw()
        opened.append(from_bytes(unseal(ASKER, sealed, purpose), (1,)))
    layouts = [secure_sum.Layout(integer=False, shape=())]
    total = secure_sum.unpack(secure_sum.add_up(opened), layouts, document.fraction_bits)[0]
    assert float(total) == pytest.approx(sum(float(rows.sum()) for rows in WEIGHTS.values()), abs=1e-6)
    for name in NAMES:
        last = sums.audited(name, "secure_sum")[-1]
        assert last.decision == "value"
        assert last.plan_digest
        assert [row.subject for row in sums.audited(name, "secure_sum.open")][-1] == document.id


@pytest.mark.parametrize(
    ("user", "value", "outcome"),
    [
        ("eve", lambda weight: weight.sum(), "get_not_permitted"),
        ("dana", lambda weight: weight[0], "get_not_permitted"),
        ("dana", lambda weight: weight.max(), "get_not_permitted"),
        ("dana", lambda weight: (weight > 3.4).sum(), "result_suppressed"),
        ("dana", lambda weight: (weight * 0.0).log().sum(), "result_suppressed"),
        ("dana", lambda weight: weight.sum() * 2.0**40, "out_of_range"),
        ("dana", lambda weight: (weight > 0).sum(), "invalid_input"),
        ("rita", lambda weight: weight, "invalid_input"),
    ],
)
def test_what_a_node_would_not_release_it_does_not_contribute(
    sums: Sums, user: str, value: Callable[[Expression], Expression], outcome: str
) -> None:
    answer = sums.ask("public", sums.document(), value, user)
    assert code(answer) == outcome
    assert str(float(WEIGHTS["public"].sum()))[:4] not in answer.text
    if outcome in ("out_of_range", "invalid_input"):
        assert "public" in answer.json()["detail"]


def test_a_node_contributes_to_a_sum_once(sums: Sums) -> None:
    document = sums.document()
    assert sums.ask("public", document).status_code == 200
    assert code(sums.ask("public", document)) == "conflict"


Change = Callable[[Sums], dict[str, Any]]
UNFAIR: dict[str, Change] = {
    "one owner has two aggregators": lambda s: {
        "aggregators": [s.holder("hospital", "St. Mary"), s.holder("public", "ST. MARY")]
    },
    "one owner has all contributors": lambda s: {
        "contributors": [s.holder("hospital", "St. Mary"), s.holder("public", "St. mary")]
    },
    "a contributor is named twice": lambda s: {
        "contributors": [s.holder("hospital"), s.holder("public"), s.holder("public", "another")]
    },
    "an aggregator is named twice": lambda s: {
        "aggregators": [s.holder("hospital"), s.holder("public"), s.holder("public", "another")]
    },
    "an aggregator is not attested": lambda s: {
        "aggregators": [s.holder("hospital", signer=s.nodes["public"].node.keys), s.holder("public")]
    },
    "a contributor is not attested": lambda s: {
        "contributors": [s.holder("hospital", signer=s.nodes["public"].node.keys), s.holder("public")]
    },
    "an aggregator's key was exchanged": lambda s: {
        "aggregators": [
            s.holder("hospital").model_copy(update={"seal_key": s.gateway.seal_key_text}),
            s.holder("public"),
        ]
    },
    "the gateway is a stranger": lambda s: {"gateway_id": fresh_keys().id},
}


@pytest.mark.parametrize("why", UNFAIR)
def test_a_sum_that_would_protect_nobody_gets_no_contribution_and_no_opening(sums: Sums, why: str) -> None:
    document = sums.document(**UNFAIR[why](sums))
    assert code(sums.ask("public", document)) == "deployment_refused"
    dummy = [SumShare(sealed="AAAA", token="x")] * len(document.contributors)
    assert code(sums.open("public", document, dummy)) == "deployment_refused"


def test_a_node_whose_owner_does_not_offer_the_role_opens_nothing(
    sums: Sums, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = sums.document()
    shares = sums.shares(document)["public"]
    node = sums.nodes["public"].node
    monkeypatch.setattr(node, "settings", node.settings.model_copy(update={"offer_party": False}))
    assert code(sums.open("public", document, shares)) == "deployment_refused"


Forge = Callable[[Sums, SumDocument, list[SumShare]], list[SumShare]]


def _resealed(sums: Sums, document: SumDocument, shares: list[SumShare]) -> list[SumShare]:
    """The asker's own share in the place of the first contributor's, under that contributor's signature."""
    hospital, public = (sums.nodes[name].node.keys for name in NAMES)
    purpose = purposes.sum_share(document.digest(), hospital.id, public.id)
    sealed = b64encode(seal(decode_key(public.seal_key_text), bytes(32), purpose)).decode()
    return [SumShare(sealed=sealed, token=shares[0].token), shares[1]]


def _of_another_sum(sums: Sums, document: SumDocument, shares: list[SumShare]) -> list[SumShare]:
    return [sums.shares(sums.document())["public"][0], shares[1]]


FORGED: dict[str, Forge] = {
    "one is missing": lambda s, d, shares: shares[:1],
    "there is one more": lambda s, d, shares: [*shares, shares[0]],
    "one counts twice": lambda s, d, shares: [shares[0], shares[0]],
    "they stand in another order": lambda s, d, shares: shares[::-1],
    "one is the asker's own": _resealed,
    "one is of another sum": _of_another_sum,
    "one is not signed": lambda s, d, shares: [shares[0].model_copy(update={"token": "x"}), shares[1]],
}


@pytest.mark.parametrize("why", FORGED)
def test_only_the_sum_of_exactly_the_listed_contributions_is_opened(sums: Sums, why: str) -> None:
    document = sums.document()
    shares = sums.shares(document)["public"]
    answer = sums.open("public", document, FORGED[why](sums, document, shares))
    assert code(answer) == "protocol_failed"
    assert sums.open("public", document, shares).status_code == 200


def test_a_sum_is_opened_once_for_its_asker_and_for_the_aggregator_meant(sums: Sums) -> None:
    document = sums.document()
    shares = sums.shares(document)
    assert code(sums.open("public", document, shares["public"], user="eve")) == "protocol_failed"
    assert code(sums.open("public", document, shares["hospital"])) == "protocol_failed"
    changed = document.model_copy(update={"asker_key": fresh_keys().seal_key_text})
    assert code(sums.open("public", changed, shares["public"])) == "protocol_failed"
    assert sums.open("public", document, shares["public"]).status_code == 200
    assert code(sums.open("public", document, shares["public"])) == "conflict"


def test_nobody_without_an_identity_takes_part(sums: Sums) -> None:
    document = sums.document()
    body = json.loads(OpeningIn(document=document, shares=[]).model_dump_json())
    assert code(sums.nodes["public"].client.post("/v1/secure-sums/openings", json=body)) == "not_signed_in"
