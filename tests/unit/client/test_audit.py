"""An exported log is checked without its server, whatever was done to the file."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gridward.client.audit import verify_export
from gridward.core.audit import GENESIS, digest_of, moment, sign_head
from gridward.core.errors import InvalidInputError
from gridward.core.schemas.audit import AuditHead

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))


def entries(*actions: str) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    previous = GENESIS
    for number, action in enumerate(actions, 1):
        entry: dict[str, Any] = {
            "id": number,
            "at": moment(NOON),
            "actor": "bob",
            "session_id": "",
            "action": action,
            "subject": "",
            "decision": "done",
            "reason": "",
            "plan_digest": None,
        }
        previous = entry["digest"] = digest_of(previous, entry)
        made.append(entry)
    return made


def head_of(made: list[dict[str, Any]], key: Ed25519PrivateKey = KEY) -> AuditHead:
    return sign_head(key, len(made), made[-1]["digest"], NOON)


def exported(folder: Path, made: list[dict[str, Any]], head: AuditHead | None) -> Path:
    lines = [json.dumps(entry) for entry in made] + ([head.model_dump_json()] if head else [])
    (folder / "log.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder / "log.jsonl"


def test_a_whole_export_has_no_flaw_and_agrees_with_an_older_head(tmp_path: Path) -> None:
    made = entries("setup", "sign_in", "publish_dataset")
    own, verdict = verify_export(exported(tmp_path, made, head_of(made)), [head_of(made[:2])])
    assert own == head_of(made)
    assert (verdict.count, verdict.flaws) == (3, ())


def test_a_log_made_anew_by_the_server_itself_contradicts_an_older_head(tmp_path: Path) -> None:
    older, anew = entries("setup", "sign_in"), entries("setup", "nothing", "more")
    path = exported(tmp_path, anew, head_of(anew))
    assert verify_export(path)[1].flaws == ()
    assert "entry 2 is not the one that was signed" in verify_export(path, [head_of(older)])[1].flaws[0]


def test_entries_added_behind_what_was_signed_are_told(tmp_path: Path) -> None:
    made = entries("setup", "sign_in", "forged")
    _, verdict = verify_export(exported(tmp_path, made, head_of(made[:2])))
    assert verdict.flaws == ("1 entries stand behind the last one that the server signed",)


def test_an_export_without_its_head_is_refused(tmp_path: Path) -> None:
    for made in (entries("setup"), []):
        with pytest.raises(InvalidInputError, match="does not end with a signed head"):
            verify_export(exported(tmp_path, made, None))


def test_a_line_that_is_no_entry_is_refused_with_its_number(tmp_path: Path) -> None:
    made = entries("setup", "sign_in")
    path = exported(tmp_path, made, head_of(made))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "{}", lines[2]]))
    with pytest.raises(InvalidInputError, match="line 2 of"):
        verify_export(path)


def test_a_head_of_another_server_or_with_another_signature_is_refused(tmp_path: Path) -> None:
    made = entries("setup", "sign_in")
    path = exported(tmp_path, made, head_of(made))
    with pytest.raises(InvalidInputError, match="a head of"):
        verify_export(path, [head_of(made, OTHER)])
    forged = head_of(made).model_copy(update={"count": 1})
    with pytest.raises(InvalidInputError, match="signature"):
        verify_export(path, [forged])
