import pytest

from gridward.core.errors import InvalidInputError
from gridward.core.smpc.packets import (
    HEADER_BYTES,
    Packet,
    PacketKind,
    parse_packet,
    read_packet,
    write_packet,
)

DIGEST = "ab" * 32
PACKET = Packet(PacketKind.QUERY, 1, 3, DIGEST, b"d" * 16, b"s" * 16, b"k" * 32, b"corrections")


def test_the_bytes_of_a_packet_are_frozen() -> None:
    assert write_packet(PACKET).hex() == (
        "47575031"  # magic
        "03"
        "01"
        "03"
        "00"  # kind, party, parties
        + DIGEST
        + "64" * 16
        + "73" * 16
        + "6b" * 32
        + "0b00000000000000"
        + b"corrections".hex()
    )


def test_a_packet_reads_back() -> None:
    packet = read_packet(write_packet(PACKET), PacketKind.QUERY, 1, 3, DIGEST)
    assert (packet.seed, packet.body, packet.serial) == (PACKET.seed, PACKET.body, PACKET.serial)


@pytest.mark.parametrize(
    ("kind", "party", "parties", "digest", "cause"),
    [
        (PacketKind.SETUP, 1, 3, DIGEST, "kind query, not setup"),
        (PacketKind.QUERY, 0, 3, DIGEST, "for party 1, not 0"),
        (PacketKind.QUERY, 1, 2, DIGEST, "for 3 parties, not 2"),
        (PacketKind.QUERY, 1, 3, "cd" * 32, "program abab.*not cdcd"),
    ],
)
def test_a_packet_for_another_use_is_refused_by_name(
    kind: PacketKind, party: int, parties: int, digest: str, cause: str
) -> None:
    with pytest.raises(InvalidInputError, match=cause):
        read_packet(write_packet(PACKET), kind, party, parties, digest)


@pytest.mark.parametrize("length", [0, 4, HEADER_BYTES - 1, HEADER_BYTES + 3])
def test_a_cut_packet_is_refused(length: int) -> None:
    with pytest.raises(InvalidInputError, match="bytes"):
        parse_packet(write_packet(PACKET)[:length])


@pytest.mark.parametrize(("at", "value"), [(0, 0), (3, ord("9")), (4, 77)])
def test_bytes_of_another_format_are_refused(at: int, value: int) -> None:
    data = bytearray(write_packet(PACKET))
    data[at] = value
    with pytest.raises(InvalidInputError, match="this version"):
        parse_packet(bytes(data))


def test_a_packets_printed_form_shows_no_seed() -> None:
    assert "kkkk" not in repr(PACKET) and "6b6b" not in repr(PACKET)
