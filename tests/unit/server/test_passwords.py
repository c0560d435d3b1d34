from unittest.mock import patch

from argon2 import PasswordHasher

from gridward.server.passwords import Passwords
from gridward.server.settings import NodeSettings


def cheap(**changed: int) -> NodeSettings:
    return NodeSettings(**({"password_memory_kib": 1024, "password_passes": 1} | changed))  # type: ignore[arg-type]


def test_only_the_right_password_fits_its_hash() -> None:
    passwords = Passwords(cheap())
    stored = passwords.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert passwords.verify(stored, "correct horse")
    assert not passwords.verify(stored, "correct horsf")
    assert passwords.hash("correct horse") != stored


def test_without_a_stored_hash_the_same_work_is_done_and_nothing_fits() -> None:
    passwords = Passwords(cheap())
    stored = passwords.hash("x" * 10)
    with patch.object(PasswordHasher, "verify", autospec=True, side_effect=PasswordHasher.verify) as work:
        assert not passwords.verify(None, "x" * 10)
        assert not passwords.verify(stored, "y" * 10)
    first, second = (call.args[1].rsplit("$", 2)[0] for call in work.call_args_list)
    assert first == second  # same algorithm, version and costs


def test_a_broken_stored_hash_fits_nothing() -> None:
    assert not Passwords(cheap()).verify("$argon2id$broken", "x")
    assert not Passwords(cheap()).verify("plain", "plain")


def test_a_hash_of_other_costs_is_outdated() -> None:
    stored = Passwords(cheap()).hash("x" * 10)
    assert not Passwords(cheap()).is_outdated(stored)
    assert Passwords(cheap(password_passes=2)).is_outdated(stored)
