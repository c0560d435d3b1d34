import numpy as np
import pytest

from gridward.core.errors import InvalidInputError, OutOfRangeError
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.fixed_point import decode, encode
from gridward.core.smpc.prg import PASSING_BYTES
from gridward.core.smpc.query import mask_input, masking, reconstruct_output
from tests.support.parties import linear_plan

PROGRAM = compile_plan(linear_plan(2, 1), batch=1, parties=3)
SUBKEYS = [bytes([at]) * 32 for at in range(3)]


def test_the_mask_is_a_function_of_all_subkeys_and_independent_of_their_order() -> None:
    zero = mask_input(PROGRAM, [[0.0, 0.0]], SUBKEYS)
    assert np.array_equal(zero, mask_input(PROGRAM, [[0.0, 0.0]], SUBKEYS[::-1]))
    other = mask_input(PROGRAM, [[0.0, 0.0]], [*SUBKEYS[:2], b"x" * 32])
    assert not np.any(zero == other)
    moved = mask_input(PROGRAM, [[5.0, -3.5]], SUBKEYS)
    assert decode(moved - zero, 16).tolist() == [[5.0, -3.5]]


def test_the_words_of_a_masked_input_are_frozen() -> None:
    words = mask_input(PROGRAM, [[5.0, 3.0]], SUBKEYS)[0]
    assert [f"{word:016x}" for word in words] == [
        "babed9da7649996e",
        "322d598bce1fd82f",
    ]


@pytest.mark.parametrize("shape", [(2,), (1, 3), (2, 2), (1, 2, 1)])
def test_inputs_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInputError, match="input of shape"):
        mask_input(PROGRAM, np.zeros(shape), SUBKEYS)


@pytest.mark.parametrize("value", [32768.0, -40000.0, float("nan"), float("inf")])
def test_values_out_of_range_are_refused(value: float) -> None:
    with pytest.raises(OutOfRangeError):
        mask_input(PROGRAM, [[value, 0.0]], SUBKEYS)


@pytest.mark.parametrize("subkeys", [[], SUBKEYS[:2], [*SUBKEYS, b"x" * 32], [SUBKEYS[0]] * 3])
def test_missing_spare_and_repeated_subkeys_are_refused(subkeys: list[bytes]) -> None:
    with pytest.raises(InvalidInputError, match="different subkeys where 3"):
        mask_input(PROGRAM, [[0.0, 0.0]], subkeys)


def test_output_shares_add_up_modulo_the_ring() -> None:
    shares = [np.array([[word]], dtype=np.uint64) for word in (2**64 - 1, 2**63 + 5, 2**63 - 4 + 2**16)]
    assert reconstruct_output(PROGRAM, shares).tolist() == [[1.0]]


@pytest.mark.parametrize("shares", [[], [np.zeros((1, 1), np.uint64)] * 2, [np.zeros((1, 2), np.uint64)] * 3])
def test_missing_and_misshapen_output_shares_are_refused(shares: list[np.ndarray]) -> None:  # type: ignore[type-arg]
    with pytest.raises(InvalidInputError, match="shares of shape"):
        reconstruct_output(PROGRAM, shares)


LONG = compile_plan(linear_plan(2, 1), batch=3 * PASSING_BYTES // 16 + 1, parties=3)


@pytest.mark.parametrize("single", [True, False])
def test_an_input_is_masked_in_its_order_and_is_the_same_as_at_once(single: bool) -> None:
    reals = (
        np.random.default_rng(3).uniform(-9, 9, LONG.input.shape).astype(np.float32 if single else np.float64)
    )
    words, making = masking(LONG, reals, SUBKEYS)
    whole = mask_input(LONG, reals, SUBKEYS)
    made = 0
    for done in making:
        assert done > made
        made = done
        assert np.array_equal(words.reshape(-1)[: made // 8], whole.reshape(-1)[: made // 8])
    assert made == whole.nbytes
    masks = mask_input(LONG, np.zeros(LONG.input.shape), SUBKEYS)
    assert np.array_equal(whole - masks, encode(reals, 16))


def test_a_value_too_large_at_the_end_is_refused_before_anything_is_masked() -> None:
    reals = np.zeros(LONG.input.shape)
    reals[-1, -1] = 32768.0
    with pytest.raises(OutOfRangeError, match="32768 does not fit"):
        masking(LONG, reals, SUBKEYS)
