from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridward.core.errors import InvalidInputError
from gridward.core.smpc.packets import HEADER_BYTES
from gridward.core.smpc.pieces import PIECE_BYTES, Place, count_pieces, read_pieces, wire_bytes, write_piece
from gridward.core.smpc.sealing import public_key

PRIVATE = bytes(range(32))
DEPLOYMENT = "d" * 32
SERIAL = b"serial of bundle"
WHOLE = bytes(range(256)) * (2 * PIECE_BYTES // 256) + b"the rest"


def sent(packet: bytes, serial: bytes = SERIAL, first: int = 0, party: int = 1) -> list[bytes]:
    places = [Place(serial, len(packet), at) for at in range(first, count_pieces(len(packet)))]
    return [
        write_piece(
            place,
            packet[place.begins : place.begins + place.piece_bytes],
            public_key(PRIVATE),
            DEPLOYMENT,
            party,
        )
        for place in places
    ]


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@pytest.mark.parametrize("size", [1 << 16, PIECE_BYTES, len(WHOLE) * 2])
def test_a_packet_arrives_whole_however_the_wire_cuts_it(size: int) -> None:
    data = b"".join(sent(WHOLE))
    assert len(data) == wire_bytes(len(WHOLE))
    pieces = list(read_pieces(cut(data, size), len(WHOLE)))
    assert b"".join(piece.opened(PRIVATE, DEPLOYMENT, 1) for piece in pieces) == WHOLE
    assert [piece.place.at for piece in pieces] == [0, 1, 2]
    assert [piece.place.is_last for piece in pieces] == [False, False, True]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(HEADER_BYTES, 500), min_size=1, max_size=5), st.integers(1, 700), st.data())
def test_what_is_cut_off_leaves_the_pieces_before_it(
    sizes: list[int], size: int, data: st.DataObject
) -> None:
    packets = [bytes([at]) * length for at, length in enumerate(sizes)]
    wire = b"".join(piece for packet in packets for piece in sent(packet))
    kept = data.draw(st.integers(0, len(wire)))
    ends = [sum(map(wire_bytes, sizes[: at + 1])) for at in range(len(sizes))]
    arrived = [
        piece.opened(PRIVATE, DEPLOYMENT, 1) for piece in read_pieces(cut(wire[:kept], size), max(sizes))
    ]
    assert arrived == packets[: sum(end <= kept for end in ends)]


def test_a_transfer_goes_on_at_the_piece_that_is_missing() -> None:
    first = list(read_pieces([sent(WHOLE)[0]], len(WHOLE)))
    rest = list(read_pieces(sent(WHOLE, first=1), len(WHOLE)))
    assert b"".join(piece.opened(PRIVATE, DEPLOYMENT, 1) for piece in first + rest) == WHOLE


def test_a_piece_opens_in_its_own_place_for_its_own_party_only() -> None:
    (piece,) = read_pieces(sent(WHOLE[:200]), len(WHOLE))
    with pytest.raises(InvalidInputError, match="sealed for another"):
        piece.opened(PRIVATE, DEPLOYMENT, 0)
    with pytest.raises(InvalidInputError, match="sealed for another"):
        piece.opened(PRIVATE, "e" * 32, 1)


@pytest.mark.parametrize("at", [0, 15, 16])
def test_a_piece_whose_place_was_changed_does_not_open(at: int) -> None:
    pieces = sent(WHOLE)
    changed = bytearray(pieces[0])
    changed[at] ^= 1
    read = list(read_pieces([bytes(changed)], 2 * len(WHOLE)))
    assert len(read) == 1
    with pytest.raises(InvalidInputError, match="sealed for another"):
        read[0].opened(PRIVATE, DEPLOYMENT, 1)


def test_pieces_swapped_within_a_packet_do_not_open() -> None:
    first, second, _ = sent(WHOLE)
    head = 28
    read = list(read_pieces([first[:head] + second[head:]], len(WHOLE)))
    with pytest.raises(InvalidInputError, match="sealed for another"):
        read[0].opened(PRIVATE, DEPLOYMENT, 1)


def test_a_packet_larger_than_it_may_be_is_refused_before_it_is_kept() -> None:
    with pytest.raises(InvalidInputError, match="no piece 0 of a packet"):
        next(read_pieces([sent(WHOLE)[0][:28]], len(WHOLE) - 1))
    with pytest.raises(InvalidInputError, match="no piece 3 of a packet"):
        next(read_pieces([SERIAL + len(WHOLE).to_bytes(8, "little") + b"\3\0\0\0"], len(WHOLE)))
