"""What a party sees is uniform, whatever the query; and these tests notice builds in which it is not.

A view is everything that is not the party's own randomness: the masked input, every opened value, and the
dealer's corrections. Two statistics: chi-squares of every place for itself, and the worst correlation of two
bits anywhere in the view, which also finds values that are uniform alone but tied to each other.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Plan, Ref, Step
from gridward.core.smpc import correlations, session
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.correlations import Slot, SlotArray, query_prgs
from gridward.core.smpc.link import HEADER_BYTES, Link
from gridward.core.smpc.lowering import MaxForm
from gridward.core.smpc.packets import parse_packet
from gridward.core.smpc.prg import PASSING_BYTES, Prg
from gridward.core.smpc.program import Program
from gridward.core.smpc.ring import to_bytes
from gridward.core.smpc.session import Opening
from tests.support.parties import (
    BATCH,
    Grid,
    SeededEntropy,
    ask,
    deployed,
    mlp_plan,
    plan_of,
    random_values,
    step,
)

QUERIES = 96
BINS = 16
CHI_LIMIT = 6.0
"""Standard deviations of a sum of chi-squares; with these fixed seeds an honest build stays below 3."""
PAIR_LIMIT = 7.5
"""Standard deviations of a correlation; honest ones stay below 6 among some millions, equal bits have 9.8."""

FIRST = np.array([[1.0, -2.0, 0.5]])
SECOND = np.array([[-30.0, 4.0, 11.0]])

Bytes = NDArray[np.uint8]


class Opened:
    """Keeps what party 0 learns by openings."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self._open_together = session.open_together

    def __call__(self, openings: Sequence[Opening], link: Link) -> list[SlotArray]:
        opened = self._open_together(openings, link)
        if link.party == 0:
            self.pieces += [array.tobytes() for array in opened]
        return opened


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    recorder = Opened()
    monkeypatch.setattr(session, "open_together", recorder)
    return recorder


def pool_plan() -> Plan:
    """Between two convolutions of 1 x 1, the largest of three: compared as truncated, and as masked."""
    pooled = step(
        Op.MAX_POOL2D_WITH_INDICES, Ref("h"), (1, 3), (1, 3), (0, 0), (1, 1), False, out=("p", "places")
    )
    shapes = {"c": (1, 1, 1, 1), "d": (1, 1, 1, 1)}
    return plan_of(
        [convolved("x", "c", "h"), pooled, convolved("p", "d", "y")], (BATCH, 1, 1, 3), shapes, "y"
    )


def convolved(source: str, weight: str, out: str) -> Step:
    return step(
        Op.CONVOLUTION, Ref(source), Ref(weight), None, (1, 1), (0, 0), (1, 1), False, (0, 0), 1, out=out
    )


def smooth_plan() -> Plan:
    """A table read between bounds."""
    return plan_of([step(Op.SIGMOID, Ref("x"), out="y")], (BATCH, 3), {}, "y")


PLANS: dict[str, Callable[[], Plan]] = {
    "mlp": lambda: mlp_plan(3, 3, 2),
    "pool": pool_plan,
    "smooth": smooth_plan,
}


def compiled(parties: int = 2, plan: str = "mlp", levels: int = 2) -> Program:
    return compile_plan(PLANS[plan](), batch=1, parties=parties, levels=levels)


def grid_of(program: Program) -> Grid:
    return deployed(program, random_values(program, 3))


def views(grid: Grid, x: NDArray[np.float64], opened: Opened, queries: int = QUERIES) -> Bytes:
    """Give many views of one query at party 0: (queries, bytes)."""
    rows = []
    for _ in range(queries):
        opened.pieces.clear()
        got = ask(grid, x.reshape(grid.program.input.shape), corrected_party=0)
        body = parse_packet(got.packets[0]).body
        rows.append(
            np.frombuffer(to_bytes(got.masked_input) + b"".join(opened.pieces) + body, dtype=np.uint8)
        )
    return np.stack(rows)


def histograms(seen: Bytes) -> NDArray[np.float64]:
    """Count the values of each half-byte: (places, BINS)."""
    halves = np.concatenate([seen >> 4, seen & 15], axis=1)
    return np.stack([(halves == value).sum(axis=0) for value in range(BINS)], axis=1).astype(np.float64)


def deviation(chi_squares: NDArray[np.float64]) -> float:
    """Say how many standard deviations a sum of chi-squares lies above its mean."""
    freedom = (BINS - 1) * chi_squares.size
    return float((chi_squares.sum() - freedom) / np.sqrt(2 * freedom))


def uniformity(seen: Bytes) -> float:
    """Compare every place with the uniform distribution."""
    expected = len(seen) / BINS
    return deviation(((histograms(seen) - expected) ** 2 / expected).sum(axis=1))


def difference(left: Bytes, right: Bytes) -> float:
    """Compare every place of two sets of views with each other."""
    a, b = histograms(left), histograms(right)
    return deviation(((a - b) ** 2 / np.maximum(a + b, 1)).sum(axis=1))


def correlation(seen: Bytes) -> float:
    """Give the strongest bias of a bit, or tie between two bits, in standard deviations."""
    signs = np.unpackbits(seen, axis=1).astype(np.float32) * 2 - 1
    with_one = np.concatenate([signs, np.ones((len(signs), 1), dtype=np.float32)], axis=1)
    products = with_one.T @ with_one
    np.fill_diagonal(products, 0)
    return float(np.abs(products).max() / np.sqrt(len(signs)))


CASES = [
    (2, "mlp", 2),
    (3, "mlp", 2),
    (2, "mlp", 1),
    (5, "mlp", 2),
    (2, "pool", 2),
    (3, "pool", 1),
    (2, "smooth", 2),
]


@pytest.mark.parametrize(("parties", "plan", "levels"), CASES)
def test_a_partys_view_of_a_fixed_query_is_uniform(
    parties: int, plan: str, levels: int, opened: Opened
) -> None:
    seen = views(grid_of(compiled(parties, plan, levels)), FIRST, opened)
    assert abs(uniformity(seen)) < CHI_LIMIT
    assert correlation(seen) < PAIR_LIMIT


@pytest.mark.parametrize(("parties", "plan", "levels"), CASES)
def test_views_of_two_queries_cannot_be_told_apart(
    parties: int, plan: str, levels: int, opened: Opened
) -> None:
    grid = grid_of(compiled(parties, plan, levels))
    assert abs(difference(views(grid, FIRST, opened), views(grid, SECOND, opened))) < CHI_LIMIT


def leftover(grid: Grid, knowing: int) -> Bytes:
    """Take from the masked input all that the first ``knowing`` parties know of its mask."""
    rows = []
    for _ in range(QUERIES):
        got = ask(grid, FIRST)
        slot = grid.program.manifest[0]
        seeds = [parse_packet(packet).seed for packet in got.packets[:knowing]]
        known = [correlations.draw(query_prgs(seed)[1], slot) for seed in seeds]
        words = got.masked_input - np.sum(known, axis=0, dtype=np.uint64)
        rows.append(np.frombuffer(to_bytes(words), dtype=np.uint8))
    return np.stack(rows)


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_what_all_parties_but_one_can_take_off_an_input_leaves_it_uniform(parties: int) -> None:
    seen = leftover(grid_of(compiled(parties)), parties - 1)
    assert abs(uniformity(seen)) < CHI_LIMIT
    assert correlation(seen) < PAIR_LIMIT


def test_with_the_last_partys_mask_an_input_is_laid_open() -> None:
    seen = leftover(grid_of(compiled(3)), 3)
    assert uniformity(seen) > CHI_LIMIT and correlation(seen) > PAIR_LIMIT


@pytest.mark.parametrize("plan", PLANS)
def test_received_frames_are_uniform_at_every_party(plan: str) -> None:
    grid = grid_of(compiled(3, plan))
    answers = [ask(grid, FIRST.reshape(grid.program.input.shape)) for _ in range(QUERIES)]
    for party in range(3):
        rows = [b"".join(frame[HEADER_BYTES:] for frame in answer.frames[party]) for answer in answers]
        seen = np.stack([np.frombuffer(row, dtype=np.uint8) for row in rows])
        assert abs(uniformity(seen)) < CHI_LIMIT
        assert correlation(seen) < PAIR_LIMIT


def test_masked_weights_are_uniform_over_deployments() -> None:
    program = compile_plan(mlp_plan(2, 2, 1), batch=1, parties=2)
    values = random_values(program, 3)
    rows = []
    for seed in range(QUERIES):
        opened = deployed(program, values, seed).models[0].opened
        arrays = [opened.words(number) for number in sorted(opened.numbers)]
        rows.append(np.frombuffer(b"".join(to_bytes(array) for array in arrays), dtype=np.uint8))
    assert abs(uniformity(np.stack(rows))) < CHI_LIMIT
    assert correlation(np.stack(rows)) < PAIR_LIMIT


def attending() -> Program:
    """Compile the product of a secret matrix and its transpose, squared, and a ReLU."""
    steps = [
        step(Op.PERMUTE, Ref("x"), (1, 0), out="t"),
        step(Op.MM, Ref("x"), Ref("t"), out="p"),
        step(Op.POW_TENSOR_SCALAR, Ref("p"), 2, out="q"),
        step(Op.MUL_TENSOR, Ref("q"), Ref("w"), out="r"),
        step(Op.RELU, Ref("r"), out="y"),
    ]
    return compile_plan(plan_of(steps, (BATCH, 3), {"w": (1, 1)}, "y"), batch=1, parties=2)


def test_views_of_products_of_secrets_are_uniform_and_alike(opened: Opened) -> None:
    grid = grid_of(attending())
    first, second = views(grid, FIRST, opened), views(grid, SECOND, opened)
    assert abs(uniformity(first)) < CHI_LIMIT and correlation(first) < PAIR_LIMIT
    assert abs(difference(first, second)) < CHI_LIMIT


def choosing() -> Program:
    """Compile the largest of six values and 0, all pairs at once, after a product that truncates them."""
    steps = [
        step(Op.MM, Ref("x"), Ref("w"), out="h"),
        step(Op.RELU, Ref("h"), out="r"),
        step(Op.AMAX, Ref("r"), (1,), False, out="m"),
        step(Op.UNSQUEEZE, Ref("m"), 1, out="u"),
        step(Op.MM, Ref("u"), Ref("v"), out="y"),
    ]
    plan = plan_of(steps, (BATCH, 3), {"w": (3, 6), "v": (1, 1)}, "y")
    return compile_plan(plan, batch=1, parties=2, maxima=MaxForm.PAIRS)


def test_views_of_a_maximum_in_pairs_are_uniform_and_alike(opened: Opened) -> None:
    grid = grid_of(choosing())
    first, second = views(grid, FIRST, opened), views(grid, SECOND, opened)
    assert abs(uniformity(first)) < CHI_LIMIT and correlation(first) < PAIR_LIMIT
    assert abs(difference(first, second)) < CHI_LIMIT


@pytest.mark.parametrize("name", ["top", "pair", "factor1", "wins0", "flip", "beta_carry0"])
def test_a_build_that_forgets_a_mask_of_a_maximum_is_noticed(
    name: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = grid_of(choosing())
    break_draws(monkeypatch, name)
    assert correlation(views(grid, FIRST, opened)) > PAIR_LIMIT


def without(*names: str) -> Callable[[Prg, Slot, SlotArray], Iterator[SlotArray]]:
    """Give a broken expansion that draws zeros for some slots, or for all."""
    drawn = correlations.draw_into

    def draw_into(prg: Prg, slot: Slot, out: SlotArray) -> Iterator[SlotArray]:
        for piece in drawn(prg, slot, out):
            if slot.name in names or not names:
                piece[:] = 0
            yield piece

    return draw_into


def break_draws(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    broken = without(*names)
    for module in ("correlations", "supply"):
        monkeypatch.setattr(f"gridward.core.smpc.{module}.draw_into", broken)

    def draw_passing(prg: Prg, slot: Slot) -> Iterator[SlotArray]:
        out = np.empty(slot.shape, dtype=slot.dtype).reshape(-1)
        for _ in broken(prg, slot, out):
            pass
        for start in range(0, out.nbytes, PASSING_BYTES):
            yield out[start // out.itemsize : (start + PASSING_BYTES) // out.itemsize]

    monkeypatch.setattr("gridward.core.smpc.query.draw_passing", draw_passing)


def test_a_build_with_constant_masks_is_noticed(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = grid_of(compiled())
    break_draws(monkeypatch)
    seen = views(grid, FIRST, opened)
    assert uniformity(seen) > CHI_LIMIT and correlation(seen) > PAIR_LIMIT
    assert difference(seen, views(grid, SECOND, opened)) > CHI_LIMIT


class RepeatingEntropy(SeededEntropy):
    """The same seeds for every query; they differ between parties, or the client would refuse them."""

    def __call__(self, count_bytes: int) -> bytes:
        self._drawn = self._drawn % 3
        return super().__call__(count_bytes)


def test_a_build_that_repeats_seeds_is_noticed(opened: Opened) -> None:
    grid = grid_of(compiled())
    repeating = Grid(grid.program, grid.dealer, grid.models, RepeatingEntropy(1))
    seen = views(repeating, FIRST, opened)
    assert uniformity(seen) > CHI_LIMIT and correlation(seen) > PAIR_LIMIT


@pytest.mark.parametrize("name", ["mask", "product"])
def test_a_build_that_forgets_a_mask_of_products_is_noticed(
    name: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = grid_of(attending())
    break_draws(monkeypatch, name)
    assert correlation(views(grid, FIRST, opened)) > PAIR_LIMIT


NAMES = ["mask", "merge0.0", "merge0.2", "merge1.0", "flip"]
CORRECTED = ["product", "high", "carry", "block0", "products0.0", "beta", "beta_mask", "beta_carry", "zero"]
BROKEN = [
    *(("mlp", name) for name in (*NAMES, *CORRECTED)),
    *(("pool", name) for name in ("beta_carry0", "beta_carry1", "top", "pair", "wins0")),
    *(("smooth", name) for name in ("hot", "flips", "low", "beta_low")),
]


@pytest.mark.parametrize(("plan", "name"), BROKEN)
def test_a_build_that_forgets_one_kind_of_mask_is_noticed(
    plan: str, name: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = grid_of(compiled(plan=plan))
    break_draws(monkeypatch, name)
    # a bare product of two bits is 1 in one case of four: that takes more queries to see
    assert correlation(views(grid, FIRST, opened, 4 * QUERIES if plan == "pool" else QUERIES)) > PAIR_LIMIT


def family(name: str) -> str:
    """Give a slot's name without the numbers of levels, groups and blocks."""
    return (
        name if name.startswith("beta") else name.rstrip("0123456789").removesuffix(".").rstrip("0123456789")
    )


def test_every_kind_of_slot_is_broken_once() -> None:
    kinds = {family(slot.name) for plan in PLANS for slot in compiled(plan=plan).manifest}
    assert kinds == {family(name) for _, name in BROKEN}
