import os
import stat
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gridward.api.parties.dealt import STALE_S, Shelf, replace_durably
from gridward.core.errors import BusyError, ConflictError


class CountingDealer:
    def __init__(self) -> None:
        self.dealt = 0

    def __call__(self) -> Sequence[bytes]:
        self.dealt += 1
        return [f"packet {self.dealt} of party {party}".encode() for party in range(3)]


def shelf(folder: Path, limit: int = 8) -> Shelf:
    return Shelf(folder / "bundles", limit, threading.Lock())


def test_all_parties_get_packets_of_one_deal(tmp_path: Path) -> None:
    deal, ours = CountingDealer(), shelf(tmp_path)
    assert [ours.fetch(1, 0, party, deal) for party in range(3)] == [
        b"packet 1 of party 0",
        b"packet 1 of party 1",
        b"packet 1 of party 2",
    ]
    assert deal.dealt == 1


def test_a_packet_may_be_fetched_again_until_it_is_confirmed(tmp_path: Path) -> None:
    deal, ours = CountingDealer(), shelf(tmp_path)
    assert ours.fetch(1, 0, 0, deal) == ours.fetch(1, 0, 0, deal)
    ours.confirm(1, 0, 0)
    ours.confirm(1, 0, 0)
    with pytest.raises(ConflictError, match="serves once"):
        ours.fetch(1, 0, 0, deal)
    assert ours.fetch(1, 0, 1, deal) == b"packet 1 of party 1"


def test_a_bundle_is_never_dealt_again_even_after_a_restart(tmp_path: Path) -> None:
    deal = CountingDealer()
    for party in range(3):
        shelf(tmp_path).fetch(1, 0, party, deal)
        shelf(tmp_path).confirm(1, 0, party)
    with pytest.raises(ConflictError):
        shelf(tmp_path).fetch(1, 0, 0, deal)
    assert deal.dealt == 1


def test_bundles_of_other_batches_and_numbers_are_dealt_apart(tmp_path: Path) -> None:
    deal, ours = CountingDealer(), shelf(tmp_path)
    packets = {ours.fetch(batch, serial, 0, deal) for batch in (1, 2) for serial in (0, 1)}
    assert len(packets) == 4


def test_bundles_that_nobody_fetches_are_bounded(tmp_path: Path) -> None:
    deal, ours = CountingDealer(), shelf(tmp_path, limit=2)
    ours.fetch(1, 0, 0, deal)
    ours.fetch(1, 1, 0, deal)
    with pytest.raises(BusyError):
        ours.fetch(1, 2, 0, deal)
    for party in range(3):
        ours.confirm(1, 0, party)
    assert ours.fetch(1, 2, 0, deal)


def test_parties_that_ask_at_once_share_one_deal(tmp_path: Path) -> None:
    deal, ours = CountingDealer(), shelf(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda party: ours.fetch(1, 5, party % 3, deal), range(24)))
    assert deal.dealt == 1
    assert len(set(got)) == 3


def test_a_deal_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def broken() -> Sequence[bytes]:
        raise RuntimeError("out of entropy")

    ours = shelf(tmp_path)
    with pytest.raises(RuntimeError):
        ours.fetch(1, 0, 0, broken)
    assert list((tmp_path / "bundles").iterdir()) == []
    assert ours.fetch(1, 0, 0, CountingDealer()) == b"packet 1 of party 0"


def test_secret_files_are_for_their_owner_only_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deployment" / "secret"
    replace_durably(path, b"first")
    replace_durably(path, b"second")
    assert path.read_bytes() == b"second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["secret"]


def test_bundles_that_a_party_never_came_for_make_room_in_time(tmp_path: Path) -> None:
    deal, ours = CountingDealer(), shelf(tmp_path, limit=2)
    kept = ours.fetch(1, 0, 0, deal)
    ours.fetch(1, 1, 0, deal)
    long_ago = time.time() - STALE_S - 1
    os.utime(tmp_path / "bundles" / "1-1", (long_ago, long_ago))
    assert ours.fetch(1, 2, 0, deal)
    assert ours.fetch(1, 0, 0, deal) == kept
    for party in range(3):
        with pytest.raises(ConflictError):
            ours.fetch(1, 1, party, deal)
    assert deal.dealt == 3
    with pytest.raises(BusyError):
        ours.fetch(1, 3, 0, deal)


def test_bundles_that_are_done_with_are_not_among_those_that_are_counted(tmp_path: Path) -> None:
    deal, ours = CountingDealer(), shelf(tmp_path)
    ours.fetch(1, 0, 0, deal)
    for party in range(3):
        ours.confirm(1, 0, party)
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == [".dealt"]
    assert ours.waiting() == 0
