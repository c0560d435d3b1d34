"""A second factor: codes count once, and who needs one gets nowhere without."""

from base64 import b32decode
from urllib.parse import parse_qs, urlsplit

from sqlmodel import select, text

from gridward.api.tables.accounts import AuditEntry
from gridward.core.schemas.accounts import RoleName
from tests.support.accounts import (
    Device,
    acts,
    call,
    code,
    enrolled,
    sign_in,
)
from tests.support.files import publish
from tests.support.gateways import MovingClock
from tests.support.nodes import PASSWORD, NodeUnderTest


def test_with_a_second_factor_the_password_is_not_enough(node: NodeUnderTest, clock: MovingClock) -> None:
    device, _ = enrolled(node, clock)
    assert code(sign_in(node, "bob")) == "second_factor_required"
    assert code(sign_in(node, "bob", code="000000")) == "wrong_credentials"
    assert sign_in(node, "bob", code=device.code()).status_code == 201
    assert call(node, "GET", "/users/me").json()["second_factor"] is True
    with node.node.database.read() as db:
        told = [
            row.reason for row in db.exec(select(AuditEntry).where(AuditEntry.decision == "refused")).all()
        ]
    assert [reason.partition(": ")[2] for reason in told] == ["the code is missing", "the code is wrong"]


def test_a_wrong_password_tells_nothing_of_the_second_factor(node: NodeUnderTest, clock: MovingClock) -> None:
    device, _ = enrolled(node, clock)
    for more in ({}, {"code": device.code()}, {"code": "000000"}):
        answer = sign_in(node, "bob", password="wrong", **more)
        assert (answer.status_code, code(answer)) == (401, "wrong_credentials")
    assert sign_in(node, "bob", code=device.code()).status_code == 201


def test_a_code_counts_once(node: NodeUnderTest, clock: MovingClock) -> None:
    device, _ = enrolled(node, clock)
    used = device.code()
    assert sign_in(node, "bob", code=used).status_code == 201
    assert code(sign_in(node, "bob", code=used)) == "wrong_credentials"
    clock.forward(30)
    assert sign_in(node, "bob", code=device.code()).status_code == 201


def test_each_recovery_code_works_once(node: NodeUnderTest, clock: MovingClock) -> None:
    _, codes = enrolled(node, clock)
    for one in codes[:2]:
        assert sign_in(node, "bob", code=one).status_code == 201
        assert code(sign_in(node, "bob", code=one)) == "wrong_credentials"


def test_nothing_of_the_second_factor_is_readable_in_the_database(
    node: NodeUnderTest, clock: MovingClock
) -> None:
    begun = call(node, "POST", "/users/me/second-factor", password=PASSWORD).json()
    secret = parse_qs(urlsplit(begun["address"]).query)["secret"][0]
    device = Device(begun["address"], clock)
    codes = call(node, "PUT", "/users/me/second-factor", code=device.code()).json()["codes"]
    with node.node.database.read() as db:
        stored = repr(db.connection().execute(text("SELECT * FROM users")).all())
    for one in (secret, b32decode(secret).hex(), *codes, *(each.replace("-", "") for each in codes)):
        assert one not in stored


def test_guessing_codes_is_limited_for_an_account_from_wherever_it_comes(
    node: NodeUnderTest, clock: MovingClock
) -> None:
    enrolled(node, clock)
    limits = node.node.accounts.per_user
    for number in range(12):
        limits.give_back("bob\ntestclient")  # as if each came from another address
        answer = code(sign_in(node, "bob", code=f"{number:06}"))
    assert answer == "too_many_attempts"


def test_guessing_codes_is_limited(node: NodeUnderTest, clock: MovingClock) -> None:
    enrolled(node, clock)
    answers = [code(sign_in(node, "bob", code=f"{number:06}")) for number in range(12)]
    assert answers == ["wrong_credentials"] * 10 + ["too_many_attempts"] * 2


def test_setting_it_up_takes_the_password_and_a_first_code(node: NodeUnderTest, clock: MovingClock) -> None:
    assert code(call(node, "PUT", "/users/me/second-factor", code="000000")) == "conflict"
    begun = call(node, "POST", "/users/me/second-factor", password="wrong")
    assert code(begun) == "wrong_credentials"
    begun = call(node, "POST", "/users/me/second-factor", password=PASSWORD)
    assert code(call(node, "PUT", "/users/me/second-factor", code="000000")) == "wrong_credentials"
    assert sign_in(node, "bob").status_code == 201
    assert begun.status_code == 201


def test_a_second_one_cannot_be_set_up_over_the_first(node: NodeUnderTest, clock: MovingClock) -> None:
    device, _ = enrolled(node, clock)
    assert code(call(node, "POST", "/users/me/second-factor", password=PASSWORD)) == "conflict"
    assert code(call(node, "PUT", "/users/me/second-factor", code=device.code())) == "conflict"


def test_taking_it_away_oneself_takes_password_and_code(node: NodeUnderTest, clock: MovingClock) -> None:
    device, _ = enrolled(node, clock)
    path = "/users/me/second-factor/removal"
    assert code(call(node, "POST", path, password="wrong", code=device.code())) == "wrong_credentials"
    assert code(call(node, "POST", path, password=PASSWORD, code="000000")) == "wrong_credentials"
    assert call(node, "POST", path, password=PASSWORD, code=device.code()).status_code == 204
    assert sign_in(node, "bob").status_code == 201


def test_an_administrator_takes_it_away_from_who_lost_the_device(
    node: NodeUnderTest, clock: MovingClock
) -> None:
    node.as_("ana")
    enrolled(node, clock, "ana")
    node.as_("adam", "admin")
    assert call(node, "DELETE", "/users/ana/second-factor", "adam").status_code == 204
    assert sign_in(node, "ana").status_code == 201
    assert ("adam", "remove_second_factor", "ana") in acts(node)
    enrolled(node, clock)
    for user in ("adam", "bob"):
        assert call(node, "DELETE", "/users/bob/second-factor", user).status_code == 403


def test_a_role_that_needs_one_may_do_nothing_without(node: NodeUnderTest, clock: MovingClock) -> None:
    node.as_("adam", "admin")
    node.node.settings.second_factor_roles = frozenset({RoleName.OWNER, RoleName.ADMIN})
    for user in ("bob", "adam"):
        for path in ("/users", "/users/melissa/sessions", "/datasets", "/node/anything"):
            answer = call(node, "GET", path, user)
            assert answer.status_code == (404 if path == "/node/anything" else 403)
            assert answer.status_code == 404 or "second factor" in answer.json()["detail"]
    enrolled(node, clock)
    assert call(node, "GET", "/users").status_code == 200
    assert call(node, "GET", "/users", "adam").status_code == 403


def test_who_lacks_a_needed_second_factor_reaches_no_data_that_a_list_gives(
    node: NodeUnderTest, clock: MovingClock
) -> None:
    access = {"discover": ["adam"], "compute": ["adam"], "raw": ["adam"]}
    node.as_("adam", "admin")
    made = publish(node, node.as_("bob"), {"weight": [3.5, 3.7]}, name="births", access=access)
    path = f"/datasets/{made['id']}"
    assert "raw" in call(node, "GET", path, "adam").json()["verbs"]
    node.node.settings.second_factor_roles = frozenset({RoleName.ADMIN})
    assert call(node, "GET", path, "adam").status_code == 403
