import pickle

import numpy as np
import pytest

from gridward.core.smpc.prg import KEY_BYTES, PASSING_BYTES, PIECE_BYTES, Prg

# RFC 8439, appendix A.1, test vectors 1 and 2: key 0, nonce 0, blocks 0 and 1
ZERO_KEY_STREAM = bytes.fromhex(
    "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
    "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
    "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
    "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"
)
# RFC 8439, appendix A.1, test vector 5: key 0, nonce ...02, block 0
LAST_NONCE_STREAM = bytes.fromhex(
    "c2c64d378cd536374ae204b9ef933fcd1a8b2288b3dfa49672ab765b54ee27c7"
    "8a970e0e955c14f3a88e741b97c286f75f8fc299e8148362fa198a39531bed6d"
)
# RFC 8439: key, nonce, block and its keystream; section 2.3.2 and appendix A.1, test vectors 3 and 4
OTHER_BLOCKS = [
    (
        bytes(range(32)).hex(),
        "000000090000004a00000000",
        1,
        "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
        "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e",
    ),
    (
        "00" * 31 + "01",
        "00" * 12,
        1,
        "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a"
        "8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0",
    ),
    (
        "00ff" + "00" * 30,
        "00" * 12,
        2,
        "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca"
        "13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096",
    ),
]
FROZEN_SUBKEY = "3936f45d03af3de3085d3d39aa7adc819960c4329c849b6c1a1ca3a22c494aac"


def test_streams_are_those_of_the_rfc() -> None:
    assert Prg(bytes(32)).draw(0, 128) == ZERO_KEY_STREAM


def test_the_stream_number_is_the_nonce() -> None:
    assert Prg(bytes(32)).draw(int.from_bytes(bytes(11) + b"\x02", "little"), 64) == LAST_NONCE_STREAM


@pytest.mark.parametrize(("key", "nonce", "block", "stream"), OTHER_BLOCKS)
def test_later_blocks_of_other_keys_are_those_of_the_rfc(
    key: str, nonce: str, block: int, stream: str
) -> None:
    number = int.from_bytes(bytes.fromhex(nonce), "little")
    drawn = Prg(bytes.fromhex(key)).draw(number, 64 * (block + 1))
    assert drawn[64 * block :].hex() == stream


def test_words_are_the_streams_bytes_little_endian() -> None:
    expected = np.frombuffer(ZERO_KEY_STREAM, dtype="<u8")
    assert np.array_equal(Prg(bytes(32)).words(0, 16), expected)


def test_subkeys_are_frozen_and_differ_by_label() -> None:
    prg = Prg(bytes(range(32)))
    assert prg.subkey("bundle").hex() == FROZEN_SUBKEY
    assert prg.subkey("bundle") != prg.subkey("input mask")
    assert len(prg.subkey("bundle")) == KEY_BYTES


def test_a_key_is_not_shown_and_not_pickled() -> None:
    prg = Prg(b"k" * 32)
    assert "k" * 4 not in repr(prg)
    with pytest.raises(TypeError):
        pickle.dumps(prg)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_keys_of_another_length_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Prg(bytes(size))


def test_a_stream_ends_where_the_block_counter_does() -> None:
    with pytest.raises(ValueError, match="one stream"):
        Prg(bytes(32)).draw(0, (64 << 32) + 1)


@pytest.mark.parametrize(
    "count", [0, 1, 8, PIECE_BYTES + 8, PASSING_BYTES, 2 * PASSING_BYTES + PIECE_BYTES + 3]
)
def test_pieces_that_pass_by_are_the_stream(count: int) -> None:
    whole = bytearray(count)
    Prg(bytes(32)).fill(7, memoryview(whole))
    assert b"".join(map(bytes, Prg(bytes(32)).passing(7, count))) == whole
