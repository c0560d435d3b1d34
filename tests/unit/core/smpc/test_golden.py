"""Frozen bytes of what travels between builds: seeds, corrections, masked inputs and shares of a fixed run.

A party of another version must expand the same seed to the same shares. Where one of these has to change,
nodes of both versions no longer compute together: raise ``program.VERSION`` with it.
"""

import hashlib

import numpy as np

from gridward.core.smpc.correlations import draw, query_prgs, write_corrections
from gridward.core.smpc.dealer import Dealing, sums_of_draws
from gridward.core.smpc.gate import Relu, Truncate
from gridward.core.smpc.kernels import reference
from gridward.core.smpc.purposes import answer, bundle, parameters, setup, subkey
from tests.support.programs import program_of, share, truncating, wire

SEEDS = [bytes([at]) * 32 for at in (1, 2)]
FROZEN = {
    "truncate": "0c7fc8fdbbb50e3f",
    "truncate faithfully, 1 level": "3b73e2c1e3fdabb9",
    "truncate faithfully, 2 levels": "64ccff048800142e",
    "relu, 1 level": "38434ba8800e7878",
    "relu, 2 levels": "2ffbedde7579522d",
}
FROZEN_MASK = "638c05ef443131fb55338d0d59128879"
FROZEN_INPUT_MASK = "01538ddbed824ca9eccd69a2cffe33e5"


def corrections(shape: tuple[int, ...]) -> dict[str, str]:
    """Deal single gates under fixed seeds: the SHA-256 of the corrections, cut to 8 bytes."""
    programs = {
        "truncate": truncating(shape, 16, 2),
        "truncate faithfully, 1 level": truncating(shape, 16, 2, levels=1),
        "truncate faithfully, 2 levels": truncating(shape, 16, 2, levels=2),
        "relu, 1 level": program_of([Relu((0,), 1, 32, 1)], [wire(shape), share(shape)]),
        "relu, 2 levels": program_of([Relu((0,), 1, 32, 2)], [wire(shape), share(shape)]),
    }
    found = {}
    for name, program in programs.items():
        dealing = Dealing(program, reference, {}, sums_of_draws(program, SEEDS))
        dealing.deal_all()
        body = b"".join(write_corrections(program.manifest, dealing.corrections))
        found[name] = hashlib.sha256(body).hexdigest()[:16]
    return found


def test_corrections_of_single_gates_are_frozen() -> None:
    assert corrections((3, 5)) == FROZEN


def test_the_draws_of_a_seed_are_frozen() -> None:
    program = truncating((2,), 16, 2)
    slot = next(slot for slot in program.manifest if isinstance(program.gates[slot.gate], Truncate))
    of_bundle, of_input = query_prgs(SEEDS[0])
    assert draw(of_bundle, slot).astype("<u8").tobytes().hex() == FROZEN_MASK
    assert draw(of_input, program.manifest[0]).astype("<u8").tobytes().hex() == FROZEN_INPUT_MASK
    assert not np.array_equal(draw(of_bundle, slot), draw(of_input, program.manifest[0]))


def test_what_seals_are_bound_to_is_frozen() -> None:
    assert [setup("d", 1), bundle("d", 1, 2, 3, 4), parameters("d", 1), subkey("q", 1), answer("q", 1)] == [
        "gridward/setup/d/1",
        "gridward/bundle/d/1/2/3/4",
        "gridward/parameters/d/1",
        "gridward/subkey/q/1",
        "gridward/answer/q/1",
    ]
