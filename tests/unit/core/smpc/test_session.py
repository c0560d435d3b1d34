import numpy as np
import pytest

from gridward.core.smpc.link import HEADER_BYTES, Link, local_mesh
from gridward.core.smpc.program import SlotKind
from gridward.core.smpc.session import Opening, open_together
from tests.support.parties import Recorder, jointly


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_sums_and_bits_of_all_parties_open_together_in_one_round(parties: int) -> None:
    rng = np.random.default_rng(parties)
    words = rng.integers(0, 2**64, (parties, 2, 3), dtype=np.uint64)
    bits = rng.integers(0, 256, (parties, 1, 5), dtype=np.uint8)
    recorders = [Recorder(transport) for transport in local_mesh(parties)]

    def work(party: int, link: Link) -> list[np.ndarray]:  # type: ignore[type-arg]
        openings = [Opening(SlotKind.SUM, words[party].copy()), Opening(SlotKind.XOR, bits[party].copy())]
        return list(open_together(openings, link))

    for opened in jointly(parties, work, recorders):
        assert np.array_equal(opened[0], words.sum(axis=0, dtype=np.uint64))
        assert np.array_equal(opened[1], np.bitwise_xor.reduce(bits, axis=0))
    assert all(len(frame) == HEADER_BYTES + 48 + 5 for recorder in recorders for frame in recorder.frames)
