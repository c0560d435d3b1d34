import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridward.core.errors import InvalidInputError
from gridward.core.smpc import ledger
from gridward.core.smpc.ledger import (
    RECORD_BYTES,
    ROOM_RECORDS,
    SECTOR_BYTES,
    WINDOW,
    Ledger,
    Total,
    open_ledger,
)

MARKS = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2 * WINDOW), st.integers(0, 99)), max_size=60)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


def test_a_number_is_added_once_for_each_lane(path: Path) -> None:
    book = open_ledger(path)
    assert [book.add(1, 5, 10), book.add(1, 5, 10), book.add(2, 5, 30)] == [True, False, True]
    assert (book.has(1, 5), book.has(1, 4), book.has(3, 5)) == (True, False, False)
    assert book.totals() == {1: Total(1, 10), 2: Total(1, 30)}
    assert book.nexts() == {1: 6, 2: 6}


def test_only_the_fresh_ones_of_several_are_added(path: Path) -> None:
    book = open_ledger(path)
    book.add(1, 1)
    assert book.add_all([(1, 1, 0), (1, 2, 7), (1, 2, 7), (2, 0, 1)]) == [(1, 2, 7), (2, 0, 1)]
    assert open_ledger(path).totals() == {1: Total(2, 7), 2: Total(1, 1)}


def test_what_lies_far_behind_counts_as_there(path: Path) -> None:
    book = open_ledger(path)
    book.add(1, WINDOW + 9)
    assert (book.has(1, 9), book.has(1, 10)) == (True, False)
    assert not book.add(1, 9)
    assert book.totals() == {1: Total(1, 0)}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MARKS, st.integers(0, 60))
def test_a_ledger_is_a_set_with_totals_whoever_reads_it(
    tmp_path_factory: pytest.TempPathFactory, marks: list[tuple[int, int, int]], reopened: int
) -> None:
    path = tmp_path_factory.mktemp("law") / "ledger"
    books = [open_ledger(path), open_ledger(path)]
    seen: dict[int, set[int]] = {}
    amounts: dict[int, int] = {}
    for at, (lane, number, amount) in enumerate(marks):
        if at == reopened:
            books.append(open_ledger(path))
        numbers = seen.setdefault(lane, set())
        fresh = number not in numbers and number > max(numbers, default=0) - WINDOW
        assert books[at % len(books)].add(lane, number, amount) is fresh
        if fresh:
            numbers.add(number)
            amounts[lane] = amounts.get(lane, 0) + amount
    for book in (*books, open_ledger(path)):
        assert book.totals() == {lane: Total(len(seen[lane]), amounts[lane]) for lane in amounts}
        assert all(book.has(lane, number) for lane, numbers in seen.items() for number in numbers)


def test_the_file_does_not_grow_with_what_is_added(path: Path) -> None:
    book, most = open_ledger(path), 3 * ROOM_RECORDS
    for start in range(0, most, 64):
        book.add_all([(1, number, 2) for number in range(start, start + 64) if number % 9])
    added = sum(bool(number % 9) for number in range(most))
    again = open_ledger(path)
    assert again.totals() == book.totals() == {1: Total(added, 2 * added)}
    assert again.nexts() == {1: most}
    assert path.stat().st_size < RECORD_BYTES * (ROOM_RECORDS + WINDOW)
    assert [again.has(1, number) for number in (most - 10, most - 9, most - 8)] == [
        bool(number % 9) for number in (most - 10, most - 9, most - 8)
    ]


def test_a_reader_follows_a_file_that_was_written_anew(path: Path) -> None:
    reader, writer = open_ledger(path), open_ledger(path)
    reader.add(1, 0)
    for start in range(1, ROOM_RECORDS + 2, 64):
        writer.add_all([(1, number, 0) for number in range(start, start + 64)])
    assert not reader.add(1, 0)
    assert reader.totals() == writer.totals()


@pytest.mark.parametrize("kept", range(1, RECORD_BYTES))
def test_a_record_that_a_crash_cut_off_was_never_there(path: Path, kept: int) -> None:
    one, other, amount = 0x0111111111111111, 0x0111111111111112, 0x0101010101010101  # no byte is zero
    open_ledger(path).add_all([(1, one, 0), (1, other, amount)])
    raw = bytearray(path.read_bytes())
    raw[2 * RECORD_BYTES + kept : 3 * RECORD_BYTES] = bytes(RECORD_BYTES - kept)
    path.write_bytes(raw)
    book = open_ledger(path)
    assert (book.has(1, one), book.has(1, other)) == (True, False)
    assert book.add(1, other, amount)
    assert open_ledger(path).totals() == {1: Total(2, amount)}


@pytest.mark.parametrize("at", [0, RECORD_BYTES - 1, RECORD_BYTES, 2 * RECORD_BYTES + 20])
def test_damage_before_the_last_record_is_refused(path: Path, at: int) -> None:
    open_ledger(path).add_all([(1, number, 0) for number in range(4)])
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InvalidInputError, match="damaged"):
        open_ledger(path)


def test_no_write_reaches_over_a_sector_that_is_not_durable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = open_ledger(path)
    written: list[tuple[int, int]] = []
    pwrite = os.pwrite

    def writing(file: int, said: bytes, at: int) -> int:
        written.append((at, at + len(said)))
        return pwrite(file, said, at)

    monkeypatch.setattr(os, "pwrite", writing)
    book.add_all([(1, number, 0) for number in range(50)])
    assert all(first // SECTOR_BYTES == (end - 1) // SECTOR_BYTES for first, end in written)
    assert written[-1][1] == 51 * RECORD_BYTES


def test_a_disk_that_refuses_is_asked_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = open_ledger(path)

    def refusing(_: int) -> None:
        raise OSError("no")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "sync_data", refusing)
        with pytest.raises(OSError, match="no"):
            book.add(1, 1)
    assert book.has(1, 1) == open_ledger(path).has(1, 1)


def test_of_many_threads_and_objects_one_adds_a_number(path: Path) -> None:
    books = [open_ledger(path) for _ in range(4)]
    with ThreadPoolExecutor(8) as threads:
        added = list(threads.map(lambda at: books[at % 4].add(1, at // 16), range(128)))
    assert sum(added) == 8
    assert books[0].totals() == {1: Total(8, 0)}


RACING = """
import sys
from pathlib import Path
from gridward.core.smpc.ledger import open_ledger
book = open_ledger(Path(sys.argv[1]))
print(sum(book.add(1, number) for number in range(300)))
"""


@pytest.mark.e2e
def test_of_several_processes_one_adds_a_number(path: Path) -> None:
    open_ledger(path)
    racers = [
        subprocess.Popen([sys.executable, "-c", RACING, str(path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    added = [int(racer.communicate(timeout=60)[0]) for racer in racers]
    assert sum(added) == 300


KILLED = """
import os, signal, sys
from pathlib import Path
from gridward.core.smpc import ledger
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
book = ledger.open_ledger(Path(sys.argv[1]))
book.add_all([(1, number, 0) for number in range(int(sys.argv[2]))])
setattr({target}, {name!r}, die)
book.add(1, int(sys.argv[2]))
"""


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("target", "name", "before", "there"),
    [
        ("os", "pwrite", 3, False),
        ("ledger", "sync_data", 3, True),  # the bytes are with the kernel, which outlives the process
        ("os", "close", 3, True),
        ("ledger", "write_durably", ROOM_RECORDS, False),  # the log is full: it is written anew
        ("Path", "rename", ROOM_RECORDS, False),
        ("ledger", "sync_folder", ROOM_RECORDS, True),
    ],
)
def test_a_process_killed_while_it_adds_leaves_a_ledger_that_others_go_on_with(
    path: Path, target: str, name: str, before: int, there: bool
) -> None:
    code = KILLED.format(target=target, name=name)
    done = subprocess.run([sys.executable, "-c", code, str(path), str(before)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    book = open_ledger(path)
    assert book.totals() == {1: Total(before + there, 0)}
    assert book.add(1, before) is not there
    assert Ledger(path).has(1, before)
