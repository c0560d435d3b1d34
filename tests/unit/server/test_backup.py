"""A back-up is put back as it was, or refused as a whole; nothing of a bundle comes back."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlmodel import select

from gridward.api.main import create_app
from gridward.api.tables.accounts import AuditEntry
from gridward.core.errors import AlreadyExistsError, ConflictError, InvalidInputError
from gridward.server import audit_log
from gridward.server.backup import back_up
from gridward.server.backup_format import PACKETS, ServerKind
from gridward.server.ids import utc_now
from gridward.server.keys import make
from gridward.server.restore import restore
from gridward.server.settings import NodeSettings
from tests.support import databases
from tests.support.files import publish
from tests.support.nodes import NodeUnderTest, running_node

QUICK = {"password_memory_kib": 1024, "password_passes": 1}
Members = list[tuple[str, bytes]]


@pytest.fixture
def migrations() -> str:
    return databases.NODE


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> NodeSettings:
    return NodeSettings(data_dir=tmp_path / "node", database_url=database_url, **QUICK)


@pytest.fixture
def elsewhere(tmp_path: Path, other_database_url: str | None) -> NodeSettings:
    return NodeSettings(data_dir=tmp_path / "again", database_url=other_database_url, **QUICK)


@pytest.fixture
def node(settings: NodeSettings) -> Iterator[NodeUnderTest]:
    with running_node(settings) as under_test:
        yield under_test


@pytest.fixture
def archive(node: NodeUnderTest, settings: NodeSettings, tmp_path: Path) -> Path:
    """A back-up of a running node with a dataset, some shares and some packets."""
    publish(node, node.as_("bob"), {"weight": [3.5, 3.7, 3.9]}, name="births")
    for name in (
        "shares",
        "bundles/ledger",
        "bundles/1-8.draft",
        *(f"bundles/{part}/1-7" for part in PACKETS),
    ):
        path = settings.data_dir / "parties" / ("d" * 32) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    back_up(settings, ServerKind.NODE, AuditEntry, tmp_path / "node.backup")
    return tmp_path / "node.backup"


def members(archive: Path) -> Members:
    with tarfile.open(archive) as file:
        return [(entry.name, file.extractfile(entry).read()) for entry in file]  # type: ignore[union-attr]


def written(archive: Path, entries: Members) -> Path:
    with tarfile.open(archive, "w") as file:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return archive


def test_a_restored_node_has_its_identity_accounts_data_and_log(
    archive: Path, node: NodeUnderTest, elsewhere: NodeSettings
) -> None:
    restore(elsewhere, ServerKind.NODE, archive)
    with TestClient(create_app(elsewhere)) as client:
        again = NodeUnderTest(client, client.app.state.server, "")  # type: ignore[attr-defined]
        assert again.node.keys.id == node.node.keys.id
        found = client.get("/v1/datasets", headers=again.as_("bob")).json()["items"]
        assert [item["name"] for item in found] == ["births"]
        with again.node.database.read() as db:
            acts = db.exec(select(AuditEntry.action).order_by(AuditEntry.id)).all()  # type: ignore[arg-type]
        assert [act for act in acts if act in ("backup", "restore")] == ["backup", "restore"]
        assert audit_log.verify(again.node.accounts).flaws == []
        blobs = {path.name for path in (elsewhere.data_dir / "blobs").rglob("*") if path.is_file()}
        assert blobs == {
            path.name for path in (node.node.settings.data_dir / "blobs").rglob("*") if path.is_file()
        }
    with TestClient(create_app(elsewhere)) as client:
        server = client.app.state.server  # type: ignore[attr-defined]
        with server.database.read() as db:
            assert len(db.exec(select(AuditEntry).where(AuditEntry.action == "restore")).all()) == 1


def test_sessions_and_tokens_of_the_time_of_the_back_up_are_worth_nothing_after_a_restore(
    archive: Path, node: NodeUnderTest, elsewhere: NodeSettings
) -> None:
    before = node.as_("bob")
    assert node.client.get("/v1/users/me", headers=before).status_code == 200
    restore(elsewhere, ServerKind.NODE, archive)
    with TestClient(create_app(elsewhere)) as client:
        assert client.get("/v1/users/me", headers=before).status_code == 401


def test_a_database_of_another_name_in_the_data_folder_is_packed_as_its_snapshot_alone(
    tmp_path: Path,
) -> None:
    def placed(name: str) -> NodeSettings:
        folder = tmp_path / name
        return NodeSettings(data_dir=folder, database_url=f"sqlite:///{folder / 'own.sqlite'}", **QUICK)

    settings, again = placed("node"), placed("again")
    make(settings.data_dir)
    with TestClient(create_app(settings)):
        assert (settings.data_dir / "own.sqlite-wal").exists()
        back_up(settings, ServerKind.NODE, AuditEntry, tmp_path / "node.backup")
    assert not any("own.sqlite" in name for name, _ in members(tmp_path / "node.backup"))
    restore(again, ServerKind.NODE, tmp_path / "node.backup")
    assert sorted(path.name for path in again.data_dir.glob("own.sqlite*")) == ["own.sqlite"]
    with TestClient(create_app(again)) as client:
        assert audit_log.verify(client.app.state.server.accounts).flaws == []  # type: ignore[attr-defined]


def test_a_journal_that_lies_where_a_database_is_to_be_is_left_alone(
    archive: Path, elsewhere: NodeSettings, tmp_path: Path
) -> None:
    if elsewhere.database_url is not None:
        pytest.skip("SQLite's journals")
    apart = elsewhere.model_copy(update={"database_url": f"sqlite:///{tmp_path / 'apart.db'}"})
    (tmp_path / "apart.db-wal").touch()
    with pytest.raises(AlreadyExistsError, match="a restore replaces nothing"):
        restore(apart, ServerKind.NODE, archive)


def test_a_mount_point_is_refused_before_anything_is_done(archive: Path, elsewhere: NodeSettings) -> None:
    with pytest.raises(InvalidInputError, match="is a mount point"):
        restore(elsewhere.model_copy(update={"data_dir": Path("/proc")}), ServerKind.NODE, archive)


def test_no_packet_of_a_bundle_comes_back_and_the_account_of_spent_ones_does(
    archive: Path, elsewhere: NodeSettings
) -> None:
    restore(elsewhere, ServerKind.NODE, archive)
    party = elsewhere.data_dir / "parties" / ("d" * 32)
    assert sorted(path.relative_to(party).as_posix() for path in party.rglob("*") if path.is_file()) == [
        "bundles/ledger",
        "shares",
    ]
    assert not any(name.split("/")[-2:-1] == [part] for name, _ in members(archive) for part in PACKETS)


def test_secret_files_stay_closed_to_others(archive: Path, elsewhere: NodeSettings) -> None:
    restore(elsewhere, ServerKind.NODE, archive)
    for path in (archive, *elsewhere.data_dir.rglob("*"), elsewhere.data_dir):
        assert path.stat().st_mode & 0o077 == 0, path


def test_neither_replaces_what_is_there(
    archive: Path, settings: NodeSettings, elsewhere: NodeSettings
) -> None:
    with pytest.raises(AlreadyExistsError, match="a back-up replaces nothing"):
        back_up(settings, ServerKind.NODE, AuditEntry, archive)
    with pytest.raises(AlreadyExistsError, match="a restore replaces nothing"):
        restore(settings, ServerKind.NODE, archive)
    elsewhere.data_dir.mkdir()
    (elsewhere.data_dir / "mine").touch()
    with pytest.raises(AlreadyExistsError, match="a restore replaces nothing"):
        restore(elsewhere, ServerKind.NODE, archive)


def test_a_database_that_is_not_empty_is_left_alone(
    archive: Path, settings: NodeSettings, elsewhere: NodeSettings
) -> None:
    taken = elsewhere.model_copy(update={"database_url": settings.url_of_database()})
    with pytest.raises(AlreadyExistsError, match="a restore replaces nothing"):
        restore(taken, ServerKind.NODE, archive)
    assert not elsewhere.data_dir.exists()


def test_an_archive_of_a_node_makes_no_gateway(archive: Path, elsewhere: NodeSettings) -> None:
    with pytest.raises(InvalidInputError, match="is of a node, not of a gateway"):
        restore(elsewhere, ServerKind.GATEWAY, archive)


def _first_key(entries: Members) -> int:
    return next(at for at, (name, _) in enumerate(entries) if name.startswith("files/keys/"))


def _changed(entries: Members) -> Members:
    at = _first_key(entries)
    return [*entries[:at], (entries[at][0], b"0" * 64), *entries[at + 1 :]]


def _without_one(entries: Members) -> Members:
    return [entry for at, entry in enumerate(entries) if at != _first_key(entries)]


def _with_another(name: str) -> Callable[[Members], Members]:
    return lambda entries: [(name, b"planted"), *entries]


def _of_another_server(entries: Members) -> Members:
    manifest = json.loads(entries[-1][1])
    manifest["head"]["count"] += 1
    return [*entries[:-1], (entries[-1][0], json.dumps(manifest).encode())]


@pytest.mark.parametrize(
    "spoil",
    [
        _changed,
        _without_one,
        _of_another_server,
        lambda entries: entries[:-1],
        lambda entries: [*entries, ("files/late", b"")],
        lambda entries: [entries[0], *entries],
        _with_another("files/planted"),
        _with_another("files/../planted"),
        _with_another("/tmp/planted"),
        _with_another("files/parties/x/bundles/unspent/1-7"),
        _with_another("files/.hidden"),
        _with_another("files"),
    ],
)
def test_an_archive_that_was_changed_is_refused_as_a_whole(
    archive: Path, elsewhere: NodeSettings, spoil: Callable[[Members], Members]
) -> None:
    path = written(archive.with_name("spoilt"), spoil(members(archive)))
    before = set(archive.parent.iterdir())
    with pytest.raises(InvalidInputError):
        restore(elsewhere, ServerKind.NODE, path)
    assert set(archive.parent.iterdir()) == before


def test_a_cut_archive_is_refused(archive: Path, elsewhere: NodeSettings) -> None:
    whole = archive.read_bytes()
    for size in (0, 1, 700, len(whole) // 2):
        archive.with_name("cut").write_bytes(whole[:size])
        with pytest.raises(InvalidInputError):
            restore(elsewhere, ServerKind.NODE, archive.with_name("cut"))
    assert not elsewhere.data_dir.exists()


def test_a_link_in_an_archive_is_refused(archive: Path, elsewhere: NodeSettings) -> None:
    path = archive.with_name("linked")
    with tarfile.open(path, "w") as file:
        entry = tarfile.TarInfo("files/keys")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/"
        file.addfile(entry)
    with pytest.raises(InvalidInputError, match="not a back-up"):
        restore(elsewhere, ServerKind.NODE, path)


def test_a_server_that_never_ran_has_nothing_to_back_up(elsewhere: NodeSettings, tmp_path: Path) -> None:
    make(elsewhere.data_dir)
    with pytest.raises(InvalidInputError, match="start it once"):
        back_up(elsewhere, ServerKind.NODE, AuditEntry, tmp_path / "node.backup")
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_data_deleted_during_a_back_up_ends_it(
    node: NodeUnderTest, settings: NodeSettings, tmp_path: Path
) -> None:
    made = publish(node, node.as_("bob"), {"weight": [3.5, 3.7, 3.9]}, name="births")

    def withdraw() -> datetime:
        """Be asked for the time, which is once the files were listed."""
        path = f"/v1/datasets/{made['id']}"
        assert node.client.delete(path, headers=node.as_("bob")).status_code == 204
        return utc_now()

    with pytest.raises(ConflictError, match="was deleted during the back-up"):
        back_up(settings, ServerKind.NODE, AuditEntry, tmp_path / "node.backup", clock=withdraw)
    assert [path.name for path in tmp_path.iterdir()] == ["node"]
