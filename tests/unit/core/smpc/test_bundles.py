import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gridward.core.errors import AlreadyExistsError, EmptyCryptoPrimitiveStoreError, InvalidInputError
from gridward.core.smpc import bundles
from gridward.core.smpc.bundles import BundlePool, open_pool
from gridward.core.smpc.packets import Packet, PacketKind, write_packet


def packet(number: int, kind: PacketKind = PacketKind.QUERY) -> bytes:
    serial = number.to_bytes(16, "big")
    return write_packet(Packet(kind, 0, 2, "ab" * 32, bytes(16), serial, b"s" * 32, b"secret words"))


@pytest.fixture
def pool(tmp_path: Path) -> BundlePool:
    return open_pool(tmp_path / "pool")


def test_a_stored_packet_is_taken_once(pool: BundlePool) -> None:
    serial = pool.store(packet(1))
    assert (pool.left, pool.serials()) == (1, [serial])
    assert pool.take(serial) == packet(1)
    assert pool.left == 0
    with pytest.raises(EmptyCryptoPrimitiveStoreError, match=r"was spent|not in the pool"):
        pool.take(serial)


def test_a_packet_that_was_never_stored_is_refused(pool: BundlePool) -> None:
    with pytest.raises(EmptyCryptoPrimitiveStoreError, match="not in the pool"):
        pool.take("0" * 32)


def test_a_spent_packet_cannot_be_stored_again(pool: BundlePool) -> None:
    pool.take(pool.store(packet(1)))
    with pytest.raises(AlreadyExistsError, match="was spent"):
        pool.store(packet(1))


def test_a_packet_is_stored_once(pool: BundlePool) -> None:
    pool.store(packet(1))
    with pytest.raises(AlreadyExistsError, match="is in the pool"):
        pool.store(packet(1))
    assert pool.left == 1


def test_a_taken_packet_leaves_no_bytes_on_disk(pool: BundlePool) -> None:
    pool.take(pool.store(packet(1)))
    left = [path.read_bytes() for path in pool.folder.rglob("*") if path.is_file()]
    assert left == [b""]


def test_a_copy_put_back_behind_the_pools_back_is_not_given_out(pool: BundlePool) -> None:
    serial = pool.store(packet(1))
    pool.take(serial)
    (pool.folder / "unspent" / serial).write_bytes(packet(1))
    assert pool.left == 0
    with pytest.raises(EmptyCryptoPrimitiveStoreError, match="was spent"):
        pool.take(serial)


def test_the_mark_is_on_disk_before_the_bytes_are_read(
    pool: BundlePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    read, sync = Path.read_bytes, bundles._sync

    def reading(path: Path) -> bytes:
        events.append("read")
        return read(path)

    def syncing(folder: Path) -> None:
        events.append(f"sync {folder.name}")
        sync(folder)

    serial = pool.store(packet(1))
    monkeypatch.setattr(Path, "read_bytes", reading)
    monkeypatch.setattr(bundles, "_sync", syncing)
    pool.take(serial)
    assert events.index("sync spent") < events.index("read")


def test_of_many_threads_one_gets_the_packet(pool: BundlePool) -> None:
    serial = pool.store(packet(1))

    def attempt(_: int) -> bool:
        try:
            return pool.take(serial) == packet(1)
        except EmptyCryptoPrimitiveStoreError:
            return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(attempt, range(32))) == 1


@pytest.mark.parametrize("serial", ["", "../spent", "A" * 32, "0" * 31, "0" * 33, f"{'0' * 32}\n"])
def test_a_serial_that_is_none_is_refused(pool: BundlePool, serial: str) -> None:
    with pytest.raises(InvalidInputError):
        pool.take(serial)


def test_only_bundles_are_kept(pool: BundlePool) -> None:
    with pytest.raises(InvalidInputError, match="no bundle"):
        pool.store(packet(1, PacketKind.SETUP))


def test_a_pool_is_readable_by_its_owner_alone(pool: BundlePool) -> None:
    serial = pool.store(packet(1))
    assert (pool.folder.stat().st_mode & 0o77, (pool.folder / "unspent" / serial).stat().st_mode & 0o77) == (
        0,
        0,
    )


KILLED = """
import os, signal, sys
from pathlib import Path
from gridward.core.smpc import bundles
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
setattr({target}, {name!r}, die)
bundles.BundlePool(Path(sys.argv[1])).take(sys.argv[2])
"""


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("target", "name", "spent"),
    [
        ("os", "link", False),  # killed before the mark: the bundle is whole, nobody saw it
        ("bundles", "_sync", True),  # killed right after the mark
        ("Path", "unlink", True),
        ("Path", "read_bytes", True),  # killed before the bytes were read
        ("bundles", "_wipe", True),  # killed with the bytes in hand
    ],
)
def test_a_party_killed_between_mark_and_use_never_uses_the_bundle_again(
    pool: BundlePool, target: str, name: str, spent: bool
) -> None:
    serial = pool.store(packet(1))
    code = KILLED.format(target=target, name=name)
    done = subprocess.run([sys.executable, "-c", code, str(pool.folder), serial], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    again = open_pool(pool.folder)
    if spent:
        assert again.left == 0
        with pytest.raises(EmptyCryptoPrimitiveStoreError):
            again.take(serial)
        with pytest.raises(AlreadyExistsError):
            again.store(packet(1))
        assert not any(path.stat().st_size for path in pool.folder.rglob("*") if path.is_file())
    else:
        assert again.take(serial) == packet(1)


def test_half_written_packets_are_wiped_at_start(pool: BundlePool) -> None:
    (pool.folder / "left.draft").write_bytes(b"half a secret")
    assert open_pool(pool.folder).left == 0
    assert not list(pool.folder.glob("*.draft"))


def test_several_pools_over_one_folder_spend_once(pool: BundlePool) -> None:
    serial = pool.store(packet(1))
    other = BundlePool(pool.folder)
    assert other.take(serial) == packet(1)
    with pytest.raises(EmptyCryptoPrimitiveStoreError):
        pool.take(serial)
    assert os.listdir(pool.folder / "unspent") == []
