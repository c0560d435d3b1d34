import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gridward.api.parties.budget import Budget
from gridward.api.parties.shelf import STALE_S, Shelf, Shelved
from gridward.core.errors import BusyError, ConflictError
from gridward.core.smpc.ledger import Total
from gridward.core.smpc.packets import HEADER_BYTES, Packet, PacketKind, name_bundle, write_packet

PARTIES = 3
BODY = b"corrections"
SIZES = [HEADER_BYTES + len(BODY), HEADER_BYTES, HEADER_BYTES]
BUNDLE_BYTES = sum(SIZES)


class CountingDealer:
    """Deals real packets; each deal has a seed of its own."""

    def __init__(self) -> None:
        self.dealt = 0

    def __call__(self, batch: int = 1, number: int = 0) -> Sequence[bytes]:
        self.dealt += 1
        serial = name_bundle(batch, number) + self.dealt.to_bytes(8, "little")
        return [
            write_packet(
                Packet(
                    PacketKind.QUERY,
                    party,
                    PARTIES,
                    "ab" * 32,
                    bytes(16),
                    serial,
                    bytes([self.dealt]) * 32,
                    b"" if party else BODY,
                )
            )
            for party in range(PARTIES)
        ]


class Provider:
    """A shelf with a dealer; ``restart`` reads the folder anew."""

    def __init__(self, folder: Path, limit: int = 8, limit_bytes: int = 1 << 20) -> None:
        self.folder, self.limit, self.limit_bytes = folder, limit, limit_bytes
        self.deal = CountingDealer()
        self.restart()

    def restart(self) -> None:
        self.budget = Budget(self.limit_bytes)
        self.shelf = Shelf(self.folder / "bundles", PARTIES, self.limit, self.budget)

    def fetch(self, batch: int, number: int, party: int) -> bytes:
        self.shelf.bring(batch, number, BUNDLE_BYTES, lambda: self.deal(batch, number))
        head, size = self.shelf.header(batch, number, party)
        assert head.serial.startswith(name_bundle(batch, number))
        return self.shelf.read(batch, number, party, 0, size)

    def ahead(self, batch: int, number: int) -> bool:
        return self.shelf.deal_ahead(batch, number, BUNDLE_BYTES, lambda: self.deal(batch, number))

    def confirm_all(self, batch: int, *numbers: int) -> None:
        for party in range(PARTIES):
            self.shelf.confirm(batch, numbers, party)
        self.shelf.sweep()

    def files(self) -> list[str]:
        return [
            path.name for path in self.shelf.folder.rglob("*") if path.is_file() and path.name != "ledger"
        ]


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    return Provider(tmp_path)


def test_all_parties_get_packets_of_one_deal(provider: Provider) -> None:
    assert [provider.fetch(1, 0, party) for party in range(PARTIES)] == CountingDealer()()
    assert provider.deal.dealt == 1
    assert provider.budget.used_bytes == BUNDLE_BYTES


def test_a_packet_may_be_fetched_again_until_it_is_confirmed(provider: Provider) -> None:
    assert provider.fetch(1, 0, 0) == provider.fetch(1, 0, 0)
    assert [provider.shelf.confirm(1, [0], 0) for _ in range(2)] == [1, 0]
    with pytest.raises(ConflictError, match="serves once"):
        provider.fetch(1, 0, 0)
    assert provider.fetch(1, 0, 1) == CountingDealer()()[1]


def test_after_a_restart_the_same_bytes_are_given(provider: Provider) -> None:
    first = [provider.fetch(1, 0, 0), provider.fetch(2, 5, 1)]
    provider.restart()
    assert [provider.fetch(1, 0, 0), provider.fetch(2, 5, 1)] == first
    assert provider.budget.used_bytes == 2 * BUNDLE_BYTES


def test_a_bundle_is_never_dealt_again_even_after_a_restart(provider: Provider) -> None:
    provider.fetch(1, 0, 0)
    provider.confirm_all(1, 0)
    for _ in range(2):
        with pytest.raises(ConflictError):
            provider.fetch(1, 0, 0)
        assert not provider.ahead(1, 0)
        provider.restart()
    assert (provider.deal.dealt, provider.files()) == (1, [])


def test_bundles_of_other_batches_and_numbers_are_dealt_apart(provider: Provider) -> None:
    packets = {provider.fetch(batch, serial, 0) for batch in (1, 2) for serial in (0, 1)}
    assert len(packets) == 4


def test_bundles_made_ahead_are_found_by_those_who_ask(provider: Provider) -> None:
    assert [provider.ahead(1, 0), provider.ahead(1, 0)] == [True, False]
    assert provider.shelf.is_ready(1, 0)
    assert provider.shelf.waiting() == {1: Shelved(1, 0, BUNDLE_BYTES)}
    provider.fetch(1, 0, 2)
    assert provider.shelf.waiting() == {1: Shelved(0, 1, BUNDLE_BYTES)}
    assert provider.deal.dealt == 1


def test_what_is_lacking_follows_what_was_asked_for_the_emptiest_first(provider: Provider) -> None:
    shelf = provider.shelf
    assert shelf.lacking(2) is None
    shelf.expect(1)
    assert shelf.lacking(2) == (1, 0)
    provider.ahead(1, 0)
    provider.fetch(7, 3, 0)
    assert shelf.lacking(2) == (7, 4)
    provider.ahead(7, 4)
    provider.ahead(7, 5)
    assert shelf.lacking(2) == (1, 1)
    provider.ahead(1, 1)
    assert shelf.lacking(2) is None
    provider.confirm_all(7, 3)
    provider.restart()
    assert provider.shelf.lacking(2) is None
    assert provider.shelf.lacking(3) in {(1, 2), (7, 6)}


def test_bundles_that_nobody_fetches_are_bounded(tmp_path: Path) -> None:
    provider = Provider(tmp_path, limit=2)
    provider.fetch(1, 0, 0)
    provider.fetch(1, 1, 0)
    with pytest.raises(BusyError, match="at most 2"):
        provider.fetch(1, 2, 0)
    provider.confirm_all(1, 0)
    assert provider.fetch(1, 2, 0)


def test_bytes_are_bounded_and_half_of_them_is_kept_for_those_who_wait(tmp_path: Path) -> None:
    provider = Provider(tmp_path, limit_bytes=4 * BUNDLE_BYTES)
    assert [provider.ahead(1, number) for number in range(3)] == [True, True, False]
    for number in range(4):
        provider.fetch(1, number, 0)
    with pytest.raises(BusyError, match=f"{4 * BUNDLE_BYTES} bytes of all models"):
        provider.fetch(1, 4, 0)
    provider.confirm_all(1, 1, 2)
    assert provider.budget.used_bytes == 2 * BUNDLE_BYTES
    assert provider.fetch(1, 4, 0)


def test_bundles_made_ahead_make_room_for_those_asked_for(tmp_path: Path) -> None:
    provider = Provider(tmp_path, limit=2)
    provider.ahead(1, 0)
    provider.ahead(2, 0)
    assert provider.fetch(3, 0, 0)
    assert provider.shelf.waiting() == {3: Shelved(0, 1, BUNDLE_BYTES)}
    assert provider.fetch(1, 0, 0)
    assert len(provider.files()) == 2 * PARTIES


def test_a_bundle_larger_than_all_room_is_refused(tmp_path: Path) -> None:
    provider = Provider(tmp_path, limit_bytes=BUNDLE_BYTES - 1)
    with pytest.raises(BusyError, match=f"takes {BUNDLE_BYTES} bytes"):
        provider.fetch(1, 0, 0)


def test_parties_that_ask_at_once_share_one_deal(provider: Provider) -> None:
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda party: provider.fetch(1, 5, party % PARTIES), range(24)))
    assert provider.deal.dealt == 1
    assert len(set(got)) == PARTIES


def test_a_slow_deal_holds_up_no_other(provider: Provider) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> Sequence[bytes]:
        begun.set()
        assert go_on.wait(20)
        return CountingDealer()(1, 0)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(provider.shelf.bring, 1, 0, BUNDLE_BYTES, slow)
        assert begun.wait(20)
        assert provider.fetch(1, 1, 0)
        assert not waiting.done()
        go_on.set()
        waiting.result(20)
    assert provider.shelf.is_ready(1, 0)


def test_a_deal_that_fails_leaves_nothing_behind(provider: Provider) -> None:
    def broken() -> Sequence[bytes]:
        raise RuntimeError("out of entropy")

    with pytest.raises(RuntimeError):
        provider.shelf.bring(1, 0, BUNDLE_BYTES, broken)
    assert (provider.files(), provider.budget.used_bytes) == ([], 0)
    assert provider.fetch(1, 0, 0)


def test_bundles_that_a_party_never_came_for_make_room_in_time(tmp_path: Path) -> None:
    provider = Provider(tmp_path, limit=2)
    kept = provider.fetch(1, 0, 0)
    provider.fetch(1, 1, 0)
    long_ago = time.time() - STALE_S - 1
    os.utime(tmp_path / "bundles" / "asked" / "1-1", (long_ago, long_ago))
    assert provider.fetch(1, 2, 0)
    assert provider.fetch(1, 0, 0) == kept
    for restarted in (False, True):
        if restarted:
            provider.restart()
        for party in range(PARTIES):
            with pytest.raises(ConflictError):
                provider.fetch(1, 1, party)
    assert provider.deal.dealt == 3


def test_the_account_of_each_party_is_exact(provider: Provider) -> None:
    for number in range(4):
        provider.fetch(1, number, 0)
    provider.shelf.confirm(1, [0, 1, 2, 2, 9], 0)
    provider.shelf.confirm(1, [2, 3], 0)
    provider.shelf.confirm(1, [3], 2)
    for _ in range(2):
        assert provider.shelf.had() == {
            0: Total(4, 4 * SIZES[0]),
            1: Total(0, 0),
            2: Total(1, SIZES[2]),
        }
        provider.restart()


def test_the_folder_does_not_grow_with_bundles(provider: Provider) -> None:
    used = set()
    for number in range(20):
        provider.fetch(1, number, 0)
        provider.confirm_all(1, number)
        used.add(sum(path.stat().st_size for path in provider.shelf.folder.rglob("*") if path.is_file()))
    assert len(used) == 1
    assert provider.budget.used_bytes == 0


def test_a_packet_that_moved_away_while_it_was_read_is_not_given(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.fetch(1, 0, 0)
    pread = os.pread

    def reading(file: int, size: int, at: int) -> bytes:
        monkeypatch.setattr(os, "pread", pread)
        provider.confirm_all(1, 0)
        return pread(file, size, at)

    monkeypatch.setattr(os, "pread", reading)
    with pytest.raises(ConflictError):
        provider.shelf.read(1, 0, 0, 0, 10)


def test_a_closed_shelf_gives_and_keeps_nothing(provider: Provider) -> None:
    provider.fetch(1, 0, 0)
    provider.shelf.close()
    assert provider.budget.used_bytes == 0
    for ask in (lambda: provider.fetch(1, 0, 0), lambda: provider.shelf.read(1, 0, 0, 0, 10)):
        with pytest.raises(ConflictError):
            ask()
    assert not provider.ahead(1, 1)


KILLED = """
import os, signal, sys
from pathlib import Path
from gridward.api.parties import shelf
from gridward.core.smpc import ledger
from tests.unit.api.parties.test_shelf import Provider
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
provider = Provider(Path(sys.argv[1]))
{before}
setattr({target}, {name!r}, die)
{act}
"""
FETCHED = "provider.fetch(1, 0, 0)"
CONFIRM = "provider.shelf.confirm(1, [0], 0)"


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("before", "act", "target", "name", "had", "waiting"),
    [
        ("", FETCHED, "shelf", "write_durably", 0, {}),
        ("", FETCHED, "Path", "rename", 0, {}),
        ("", FETCHED, "shelf", "sync_folder", 0, {}),
        ("provider.ahead(1, 0)", FETCHED, "Path", "rename", 0, {1: Shelved(1, 0, BUNDLE_BYTES)}),
        (FETCHED, CONFIRM, "ledger", "sync_data", 1, {1: Shelved(0, 1, BUNDLE_BYTES - SIZES[0])}),
        (FETCHED, CONFIRM, "Path", "rename", 1, {1: Shelved(0, 1, BUNDLE_BYTES - SIZES[0])}),
        (
            f"{FETCHED}; {CONFIRM}",
            "provider.shelf.sweep()",
            "shelf",
            "wipe",
            1,
            {1: Shelved(0, 1, 2 * HEADER_BYTES)},
        ),
        (FETCHED, "provider.confirm_all(1, 0)", "Path", "rmdir", 3, {}),
    ],
)
def test_a_provider_killed_at_any_step_goes_on_with_whole_bundles_and_its_accounts(
    tmp_path: Path, before: str, act: str, target: str, name: str, had: int, waiting: dict[int, Shelved]
) -> None:
    code = KILLED.format(before=before, act=act, target=target, name=name)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    provider = Provider(tmp_path)
    assert sum(total.count for total in provider.shelf.had().values()) == had
    assert provider.shelf.waiting() == waiting
    left = sum(one.waiting_bytes for one in waiting.values())
    assert provider.budget.used_bytes == left
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.name in set("012")) == left
    if not had:
        assert provider.fetch(1, 0, 1) == provider.fetch(1, 0, 1)
