import os
import socket

import pytest

from gridward.bench import traffic

LISTING = """\
ESTAB 0      0      127.0.0.1:5001 127.0.0.1:41000 users:(("python",pid=10,fd=9))
\t cubic wscale:7,7 rto:200 bytes_sent:900 bytes_acked:900 bytes_received:700
ESTAB 0      0      127.0.0.1:41000 127.0.0.1:5001 users:(("python",pid=11,fd=7))
\t cubic wscale:7,7 bytes_sent:730 bytes_retrans:30 bytes_acked:701
ESTAB 0      0      127.0.0.1:5001 127.0.0.1:42000 users:(("python",pid=10,fd=9))
\t cubic bytes_sent:5 bytes_acked:5
TIME-WAIT 0  0      127.0.0.1:5001 127.0.0.1:43000
\t cubic
"""


def test_only_connections_between_the_processes_count() -> None:
    found = traffic.between(traffic.connections(LISTING), [10, 11])
    assert found == {
        (10, "127.0.0.1:5001", "127.0.0.1:41000"): 900,
        (11, "127.0.0.1:41000", "127.0.0.1:5001"): 700,
    }


def test_a_connection_inside_one_process_is_none_between_two() -> None:
    listing = LISTING.replace("pid=11", "pid=10")
    assert traffic.between(traffic.connections(listing), [10, 11]) == {}


def test_the_busiest_process_is_told_over_all_its_connections() -> None:
    before = {(1, "a", "b"): 100, (2, "b", "a"): 50}
    after = {(1, "a", "b"): 300, (2, "b", "a"): 60, (2, "c", "d"): 500}
    assert traffic.most_sent(before, after) == 510


@pytest.mark.parametrize("after", [{}, {(1, "c", "d"): 5}])
def test_connections_that_do_not_last_tell_nothing(after: dict[tuple[int, str, str], int]) -> None:
    assert traffic.most_sent({(1, "a", "b"): 100}, after) is None
    assert traffic.most_sent({}, {(1, "a", "b"): 100}) is None


def test_the_kernel_counts_what_is_sent() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as ours,
    ):
        theirs, _ = server.accept()
        with theirs:
            ours.sendall(bytes(1234))
            theirs.recv(4096)
            here = [
                one
                for one in traffic.listed(os.getpid())
                if one.pid == os.getpid() and one.sent_bytes == 1234
            ]
    assert len(here) == 1
