import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridward.core.errors import AlreadyExistsError, EmptyCryptoPrimitiveStoreError, InvalidInputError
from gridward.core.smpc import ledger
from gridward.core.smpc.bundles import BundlePool, join_pool, open_pool
from gridward.core.smpc.ledger import WINDOW, Total
from gridward.core.smpc.packets import HEADER_BYTES, Packet, PacketKind, name_bundle, write_packet
from tests.support.packets import whole

SECRET = b"secret words"
Steps = list[tuple[str, int, int]]


def packet(number: int, batch: int = 1, kind: PacketKind = PacketKind.QUERY) -> bytes:
    serial = name_bundle(batch, number) + b"deal 001"
    return write_packet(Packet(kind, 0, 2, "ab" * 32, bytes(16), serial, b"s" * 32, SECRET))


def secrets_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and SECRET in path.read_bytes()]


@pytest.fixture
def pool(tmp_path: Path) -> BundlePool:
    return open_pool(tmp_path / "pool")


def test_a_stored_packet_is_taken_once(pool: BundlePool) -> None:
    pool.store(1, 7, packet(7))
    assert (pool.left, pool.held(), pool.holds(1, 7)) == (1, {1: {7: len(packet(7))}}, True)
    assert whole(pool.take(1, 7)) == packet(7)
    assert (pool.left, pool.holds(1, 7), pool.was_spent(1, 7)) == (0, False, True)
    assert pool.spent() == {1: Total(1, len(packet(7)))}
    with pytest.raises(EmptyCryptoPrimitiveStoreError, match="was spent"):
        pool.take(1, 7)


def test_batch_sizes_are_counted_apart(pool: BundlePool) -> None:
    pool.store(1, 7, packet(7))
    pool.store(2, 7, packet(7, batch=2))
    assert whole(pool.take(2, 7)) == packet(7, batch=2)
    assert whole(pool.take(1, 7)) == packet(7)


def test_a_packet_that_was_never_stored_is_refused_and_may_still_come(pool: BundlePool) -> None:
    with pytest.raises(EmptyCryptoPrimitiveStoreError, match="not in the pool"):
        pool.take(1, 0)
    pool.store(1, 0, packet(0))
    assert whole(pool.take(1, 0)) == packet(0)


def test_a_spent_packet_cannot_be_stored_again(pool: BundlePool) -> None:
    pool.store(1, 1, packet(1))
    pool.discard(1, 1)
    pool.sweep()
    with pytest.raises(AlreadyExistsError, match="was spent"):
        pool.store(1, 1, packet(1))
    assert secrets_in(pool.folder) == []


def test_a_packet_is_stored_once(pool: BundlePool) -> None:
    pool.store(1, 1, packet(1))
    with pytest.raises(AlreadyExistsError, match="is in the pool"):
        pool.store(1, 1, packet(1))
    assert pool.left == 1


def test_one_packet_cannot_pass_for_two_bundles(pool: BundlePool) -> None:
    with pytest.raises(InvalidInputError, match="bundle 1 of batch 1 came as 2 of 1"):
        pool.store(1, 2, packet(1))
    with pytest.raises(InvalidInputError, match="bundle 1 of batch 1 came as 1 of 2"):
        pool.store(2, 1, packet(1))
    assert secrets_in(pool.folder) == []


def test_packets_may_come_in_pieces_and_are_in_the_pool_when_whole(pool: BundlePool) -> None:
    sent = packet(1)
    pool.add_piece(1, 1, 0, sent[:20])
    with pytest.raises(InvalidInputError, match="20 bytes are here, not 21"):
        pool.add_piece(1, 1, 21, sent[21:])
    assert (pool.drafted(1, 1), pool.left) == (20, 0)
    pool.add_piece(1, 1, 20, sent[20:])
    pool.keep(1, [1])
    assert (pool.drafted(1, 1), whole(pool.take(1, 1))) == (0, sent)


def test_a_packet_with_a_piece_missing_is_wiped(pool: BundlePool) -> None:
    pool.add_piece(1, 1, 0, packet(1)[:-1])
    with pytest.raises(InvalidInputError, match="came with"):
        pool.keep(1, [1])
    assert (pool.drafted(1, 1), pool.left) == (0, 0)


def test_a_swept_pool_holds_no_byte_of_taken_packets(pool: BundlePool) -> None:
    for number in range(3):
        pool.store(1, number, packet(number))
    reading = pool.take(1, 0)
    pool.take(1, 2).body.close()
    pool.sweep()
    assert {path.name for path in secrets_in(pool.folder)} == {"1-0", "1-1"}
    assert whole(reading) == packet(0)
    pool.sweep()
    assert [path.name for path in secrets_in(pool.folder)] == ["1-1"]


def test_a_taken_packets_seed_is_gone_from_the_disk_while_its_body_is_read(pool: BundlePool) -> None:
    pool.store(1, 0, packet(0))
    reading = pool.take(1, 0)
    (left,) = secrets_in(pool.folder)
    assert left.read_bytes() == bytes(HEADER_BYTES) + SECRET
    open_pool(pool.folder)
    assert secrets_in(pool.folder) == []
    reading.body.close()


def test_closing_a_packet_is_told_once(pool: BundlePool) -> None:
    told: list[str] = []
    pool.store(1, 0, packet(0))
    reading = pool.take(1, 0, lambda: told.append("closed"))
    assert told == []
    reading.body.close()
    reading.body.close()
    assert told == ["closed"]


def test_a_folder_does_not_grow_with_queries(pool: BundlePool) -> None:
    files = []
    for number in range(20):
        pool.store(1, number, packet(number))
        pool.take(1, number).body.close()
        pool.sweep()
        files.append(sum(path.stat().st_size for path in pool.folder.rglob("*") if path.is_file()))
    assert len(set(files)) == 1


def test_a_packet_far_behind_those_that_were_spent_is_not_given_out(pool: BundlePool) -> None:
    pool.store(1, 0, packet(0))
    pool.store(1, WINDOW, packet(WINDOW))
    pool.take(1, WINDOW)
    assert pool.left == 0
    with pytest.raises(EmptyCryptoPrimitiveStoreError, match="was spent"):
        pool.take(1, 0)
    open_pool(pool.folder)
    assert secrets_in(pool.folder) == []


def test_a_copy_put_back_behind_the_pools_back_is_not_given_out(pool: BundlePool) -> None:
    pool.store(1, 1, packet(1))
    pool.take(1, 1)
    (pool.folder / "unspent" / "1-1").write_bytes(packet(1))
    assert pool.left == 0
    with pytest.raises(EmptyCryptoPrimitiveStoreError, match="was spent"):
        pool.take(1, 1)


def test_packets_without_a_ledger_are_wiped(pool: BundlePool) -> None:
    pool.store(1, 1, packet(1))
    (pool.folder / "ledger").unlink()
    assert open_pool(pool.folder).left == 0
    assert secrets_in(pool.folder) == []


def test_a_take_makes_one_write_durable_and_that_before_the_bytes_are_read(
    pool: BundlePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    opened, sync = Path.open, ledger.sync_data

    class Watched:
        def __init__(self, file: BinaryIO) -> None:
            self.file = file

        def __enter__(self) -> "Watched":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def fileno(self) -> int:
            return self.file.fileno()

        def read(self, count: int) -> bytes:
            events.append("read")
            return self.file.read(count)

        def seek(self, at: int) -> None:
            self.file.seek(at)

        def write(self, data: bytes) -> None:
            self.file.write(data)

    def opening(path: Path, mode: str, buffering: int) -> Watched:
        return Watched(opened(path, mode, buffering))  # type: ignore[arg-type, call-overload]

    def syncing(file: int) -> None:
        events.append("sync data")
        sync(file)

    pool.store(1, 1, packet(1))
    monkeypatch.setattr(Path, "open", opening)
    monkeypatch.setattr(ledger, "sync_data", syncing)
    monkeypatch.setattr(os, "fsync", lambda _: events.append("sync"))
    assert whole(pool.take(1, 1)) == packet(1)
    assert events == ["sync data", "read"]


def test_of_many_threads_one_gets_the_packet(pool: BundlePool) -> None:
    pool.store(1, 1, packet(1))

    def attempt(_: int) -> bool:
        try:
            return whole(pool.take(1, 1)) == packet(1)
        except EmptyCryptoPrimitiveStoreError:
            return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(attempt, range(32))) == 1


@pytest.mark.parametrize(("batch", "number"), [(0, 0), (1025, 0), (1, -1), (1, 2**53)])
def test_a_bundle_that_cannot_be_is_refused(pool: BundlePool, batch: int, number: int) -> None:
    with pytest.raises(InvalidInputError, match="no bundle"):
        pool.take(batch, number)


def test_only_bundles_are_kept(pool: BundlePool) -> None:
    with pytest.raises(InvalidInputError, match="no bundle"):
        pool.store(1, 1, packet(1, kind=PacketKind.SETUP))


def test_a_pool_is_readable_by_its_owner_alone(pool: BundlePool) -> None:
    pool.store(1, 1, packet(1))
    pool.add_piece(1, 2, 0, b"half")
    assert all(path.stat().st_mode & 0o77 == 0 for path in (pool.folder, *pool.folder.rglob("*")))


KILLED = """
import os, signal, sys
from pathlib import Path
from gridward.core.smpc import bundles, disk, ledger
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
pool = bundles.open_pool(Path(sys.argv[1]))
setattr({target}, {name!r}, die)
{act}
"""
TAKE = "pool.take(1, 1)"
SWEEP = f"{TAKE}.body.close(); pool.sweep()"


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("target", "name", "act", "spent"),
    [
        ("ledger.Ledger", "add", TAKE, False),  # killed before the mark: the bundle is whole, nobody saw it
        ("os", "pwrite", TAKE, False),
        ("ledger", "sync_data", TAKE, True),  # killed with the mark written
        ("os", "close", TAKE, True),
        ("Path", "rename", TAKE, True),  # killed with the bytes in hand
        ("bundles", "wipe", SWEEP, True),
        ("disk", "sync_data", SWEEP, True),  # killed with the zeros written
        ("Path", "unlink", SWEEP, True),
    ],
)
def test_a_party_killed_between_mark_and_use_never_uses_the_bundle_again(
    pool: BundlePool, target: str, name: str, act: str, spent: bool
) -> None:
    pool.store(1, 1, packet(1))
    code = KILLED.format(target=target, name=name, act=act)
    done = subprocess.run([sys.executable, "-c", code, str(pool.folder)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    again = open_pool(pool.folder)
    if spent:
        assert (again.left, secrets_in(pool.folder)) == (0, [])
        with pytest.raises(EmptyCryptoPrimitiveStoreError):
            again.take(1, 1)
        with pytest.raises(AlreadyExistsError):
            again.store(1, 1, packet(1))
    else:
        assert whole(again.take(1, 1)) == packet(1)


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("target", "name", "stored"),
    [
        ("bundles", "append", False),
        ("bundles", "sync_file", False),
        ("os", "link", False),
        ("Path", "unlink", True),
        ("bundles", "sync_folder", True),
    ],
)
def test_a_party_killed_while_it_stores_has_the_whole_packet_or_nothing(
    pool: BundlePool, target: str, name: str, stored: bool
) -> None:
    act = f"pool.store(1, 1, bytes.fromhex({packet(1).hex()!r}))"
    code = KILLED.format(target=target, name=name, act=act)
    done = subprocess.run([sys.executable, "-c", code, str(pool.folder)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    again = open_pool(pool.folder)
    assert again.held() == ({1: {1: len(packet(1))}} if stored else {})
    assert list(pool.folder.glob("*.draft")) == []
    assert len(secrets_in(pool.folder)) == stored


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["store", "take", "sweep", "reopen"]), st.integers(1, 2), st.integers(0, 4)
        ),
        max_size=40,
    )
)
def test_whatever_happens_in_whatever_order_a_packet_is_given_out_once(
    tmp_path_factory: pytest.TempPathFactory, steps: Steps
) -> None:
    pool = open_pool(tmp_path_factory.mktemp("law"))
    held: set[tuple[int, int]] = set()
    spent: set[tuple[int, int]] = set()
    for act, batch, number in steps:
        bundle = (batch, number)
        if act == "store" and bundle not in held | spent:
            pool.store(batch, number, packet(number, batch))
            held.add(bundle)
        elif act == "store":
            with pytest.raises(AlreadyExistsError):
                pool.store(batch, number, packet(number, batch))
        elif act == "take" and bundle in held:
            assert whole(pool.take(batch, number)) == packet(number, batch)
            held.remove(bundle)
            spent.add(bundle)
        elif act == "take":
            with pytest.raises(EmptyCryptoPrimitiveStoreError):
                pool.take(batch, number)
        elif act == "sweep":
            pool.sweep()
        else:
            pool = open_pool(pool.folder)
        assert {(size, at) for size, numbers in pool.held().items() for at in numbers} == held


def test_half_written_packets_are_wiped_at_start(pool: BundlePool) -> None:
    pool.add_piece(1, 1, 0, SECRET)
    assert open_pool(pool.folder).left == 0
    assert secrets_in(pool.folder) == []


def test_several_pools_over_one_folder_spend_once(pool: BundlePool) -> None:
    pool.store(1, 1, packet(1))
    other = join_pool(pool.folder)
    assert other.left == 1
    assert whole(other.take(1, 1)) == packet(1)
    with pytest.raises(EmptyCryptoPrimitiveStoreError):
        pool.take(1, 1)
    assert os.listdir(pool.folder / "unspent") == []
