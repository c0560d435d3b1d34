from collections.abc import Sequence

import pytest

from gridward.core.errors import ProtocolError
from gridward.core.smpc.link import HEADER_BYTES, FrameKind, Link, Transport, local_mesh, pack_header
from tests.unit.core.smpc.link_contract import LinkContract


class TestLocalMesh(LinkContract):
    def connect(self, parties: int) -> Sequence[Transport]:
        return local_mesh(parties)


def test_the_bytes_of_a_frame_are_frozen() -> None:
    payload = [b"wo", b"rds"]
    header = pack_header(FrameKind.OPENING, bytes(range(32)), 2, 5, payload, checked=True)
    frame = b"".join([header, *payload])
    assert frame.hex() == (
        "47574632"  # magic
        "00"  # kind
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"  # context
        "02"  # sender
        "05000000"  # round
        "0500000000000000"  # length
        "8c1e7d71"  # CRC-32
        "776f726473"
    )
    assert len(frame) == HEADER_BYTES + 5
    unchecked = pack_header(FrameKind.OPENING, bytes(range(32)), 2, 5, payload, checked=False)
    assert unchecked == header[:-4] + bytes(4)


def test_a_frame_of_the_former_magic_whose_check_meant_another_thing_is_no_frame() -> None:
    mesh = local_mesh(2)
    mine, peer = (Link(transport, party, 2, bytes(16), 1.0) for party, transport in enumerate(mesh))
    header = pack_header(FrameKind.OPENING, peer.context, 1, 0, [b"word"], checked=True)
    mesh[1].send(0, b"GWF1", header[4:], b"word")
    with pytest.raises(ProtocolError, match="party 1 sent something that is not a frame"):
        mine.exchange(b"word")


def test_links_bound_to_different_things_have_different_contexts() -> None:
    def context(*agreed: bytes) -> bytes:
        link = Link(local_mesh(2)[0], 0, 2, bytes(16), 1.0)
        link.bind(*agreed)
        return link.context

    contexts = {context(), context(b""), context(b"ab"), context(b"a", b"b"), context(b"b", b"a")}
    assert len(contexts) == 5


@pytest.mark.parametrize("session", [b"", bytes(15), bytes(17)])
def test_a_session_name_has_sixteen_bytes(session: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Link(local_mesh(2)[0], 0, 2, session, 1.0)


@pytest.mark.parametrize("party", [-1, 2])
def test_a_party_is_one_of_the_parties(party: int) -> None:
    with pytest.raises(ValueError, match="of 2"):
        Link(local_mesh(2)[0], party, 2, bytes(16), 1.0)
