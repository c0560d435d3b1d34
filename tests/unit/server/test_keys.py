import stat
from pathlib import Path

import pytest

from gridward.core.errors import AlreadyExistsError, InvalidInputError
from gridward.core.identity import decode_key, encode_key, id_of
from gridward.server import keys as key_folder
from gridward.server.keys import Keys, is_setup_token, load, make


def test_what_was_made_is_loaded_and_the_id_is_the_keys_own(tmp_path: Path) -> None:
    make(tmp_path / "node")
    first, again = load(tmp_path / "node"), load(tmp_path / "node")
    assert first.id == again.id == id_of(first.sign_key_text)
    assert len(first.id) == 26
    assert first.token_secret == again.token_secret != first.entity_secret


def test_two_servers_never_share_anything(keys: Keys, other_keys: Keys) -> None:
    for name in ("id", "sign_key_text", "seal_key_text", "token_secret", "entity_secret"):
        assert getattr(keys, name) != getattr(other_keys, name)


def test_the_folder_is_closed_to_other_users(tmp_path: Path) -> None:
    make(tmp_path / "node")
    assert stat.S_IMODE((tmp_path / "node").stat().st_mode) == 0o700
    folder = tmp_path / "node" / "keys"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "node")
    (tmp_path / "node" / "keys" / "signing").chmod(0o640)
    with pytest.raises(InvalidInputError, match="chmod 600"):
        load(tmp_path / "node")


def test_a_broken_or_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="gridward init"):
        load(tmp_path)
    make(tmp_path / "node")
    path = tmp_path / "node" / "keys" / "tokens"
    path.write_text("zz")
    with pytest.raises(InvalidInputError, match="tokens is not a key"):
        load(tmp_path / "node")
    path.write_text("00" * 31)
    with pytest.raises(InvalidInputError, match="tokens is not a key"):
        load(tmp_path / "node")
    path.unlink()
    with pytest.raises(InvalidInputError, match="tokens is missing"):
        load(tmp_path / "node")


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    make(tmp_path / "node")
    before = load(tmp_path / "node").id
    with pytest.raises(AlreadyExistsError):
        make(tmp_path / "node")
    assert load(tmp_path / "node").id == before


def test_the_owners_token_is_stored_as_a_hash_and_works_until_it_is_spent(tmp_path: Path) -> None:
    token = make(tmp_path / "node")
    stored = "".join(path.read_text() for path in (tmp_path / "node" / "keys").iterdir())
    assert token not in stored
    assert is_setup_token(tmp_path / "node", token)
    assert not is_setup_token(tmp_path / "node", token + "x")
    assert not is_setup_token(tmp_path / "node", "")
    key_folder.spend_setup_token(tmp_path / "node")
    assert not is_setup_token(tmp_path / "node", token)
    assert not is_setup_token(tmp_path / "node", "")


def test_a_renewed_token_replaces_the_lost_one(tmp_path: Path) -> None:
    lost = make(tmp_path / "node")
    token = key_folder.renew_setup_token(tmp_path / "node")
    assert is_setup_token(tmp_path / "node", token)
    assert not is_setup_token(tmp_path / "node", lost)


def test_nothing_secret_is_in_the_repr(keys: Keys) -> None:
    assert repr(keys) == f"Keys(id='{keys.id}')"


@pytest.mark.parametrize("text", ["", "a", "A" * 42, "A" * 44, "é" * 43, "A" * 42 + "B", "+" * 43])
def test_a_malformed_public_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        decode_key(text)


def test_a_public_key_survives_its_text(keys: Keys) -> None:
    raw = keys.sign_key.public_key().public_bytes_raw()
    assert decode_key(encode_key(raw)) == raw
