"""Lines of a plan with widths of their own: the same answers for less, and what leaves them is named."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from gridward.core.errors import OutOfRangeError, RangeViolationError
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Plan, Ref
from gridward.core.plans.trace import trace_function, trace_module
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.correlations import CHECKS, checked
from gridward.core.smpc.fixed_reference import evaluate
from gridward.core.smpc.gate import Compared, Relu
from gridward.core.smpc.lowering import MaxForm
from gridward.core.smpc.program import Program, StepWidth
from gridward.core.smpc.widths import MARGIN_BITS, most, narrowed, proved_bits, seen_bits
from tests.support.encrypted import assert_kept, drawn
from tests.support.parties import BATCH, ask, deployed, mlp_plan, plan_of, random_values, step

RELU = plan_of([step(Op.RELU, Ref("x"), out="y")], (BATCH, 3), {}, "y")
UNIT = 2.0**-16


class Mixed(nn.Module):
    """Every gate that compares: pools, ReLU, clamp, a table behind bounds, softmax."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.first, self.last = nn.Conv2d(1, 3, 3), nn.Linear(27, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(nn.functional.max_pool2d(self.first(x), 2)).flatten(1)
        return torch.softmax(torch.sigmoid(self.last(y)).clamp(0.25, 0.625) * 3.0, 1)


@pytest.fixture(scope="module")
def mixed() -> tuple[Plan, dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]]:
    traced = trace_module(Mixed().eval(), (torch.zeros(2, 1, 8, 8),), name="mixed")
    return traced.plan, {name: value.double().numpy() for name, value in traced.parameters.items()}


def bits_of(program: Program) -> list[int]:
    return [gate.bits for gate in program.gates if isinstance(gate, Compared)]


@pytest.mark.parametrize("parties", [2, 3, 4, 5])
@pytest.mark.parametrize(("levels", "maxima"), [(1, MaxForm.PAIRS), (2, MaxForm.TREE)])
@pytest.mark.parametrize("guard", [False, True])
def test_narrow_lines_answer_bit_for_bit_as_the_reference_and_as_wide_ones(
    mixed: tuple[Plan, dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]],
    parties: int,
    levels: int,
    maxima: MaxForm,
    guard: bool,
) -> None:
    plan, values = mixed
    x = drawn(2, 1, 8, 8).numpy()
    wide = compile_plan(plan, batch=2, parties=parties, levels=levels, maxima=maxima)
    widths = narrowed(32, proved_bits(wide), seen_bits(wide, values, x))
    narrow = compile_plan(
        plan, batch=2, parties=parties, levels=levels, maxima=maxima, widths=widths, guard=guard
    )
    assert len(bits_of(narrow)) == len(bits_of(wide))
    # what a sum of powers takes is told by their number, not by a width
    assert sum(a < b for a, b in zip(bits_of(narrow), bits_of(wide), strict=True)) >= 4
    got = assert_kept(narrow, values, x)
    assert np.array_equal(evaluate(narrow, values, x), evaluate(wide, values, x))
    assert narrow.costs.online_bytes_per_party < wide.costs.online_bytes_per_party
    assert bool(narrow.guarded) == guard
    assert {result.checks.shape for result in got.results} == {(CHECKS * len(narrow.guarded),)}


@pytest.mark.parametrize("maxima", [MaxForm.PAIRS, MaxForm.TREE])
def test_a_guard_opens_nothing_and_costs_the_words_that_it_states(maxima: MaxForm) -> None:
    plan = plan_of([step(Op.AMAX, Ref("x"), (1,), False, out="y")], (BATCH, 4), {}, "y")
    bare, guarded = (
        compile_plan(plan, batch=8, parties=2, maxima=maxima, guard=guard) for guard in (False, True)
    )
    assert (bare.costs.rounds, bare.costs.online_bytes_per_party) == (
        guarded.costs.rounds,
        guarded.costs.online_bytes_per_party,
    )
    words = 3 if maxima is MaxForm.PAIRS else 2
    more = sum(
        2 * (words * checked(gate, guarded.registers[gate.sources[0]]) + CHECKS)
        for gate in guarded.guarded.values()
    )
    assert guarded.costs.dealer_bytes - bare.costs.dealer_bytes == more > 0
    assert_kept(guarded, {}, drawn(8, 4).numpy())


EDGE = 2.0**3
"""Of 20 bits at 16 fraction bits."""


@pytest.mark.parametrize("parties", [2, 3, 4, 5])
def test_values_at_both_ends_of_the_bits_raise_no_alarm_and_one_unit_beyond_does(parties: int) -> None:
    width = StepWidth("input x", 20, proved=False)
    program = compile_plan(RELU, batch=1, parties=parties, widths=[width], guard=True)
    grid = deployed(program, {})
    for row in ([EDGE - UNIT, -EDGE, 0.0], [-UNIT, UNIT, -EDGE], [-EDGE, -EDGE, -EDGE]):
        assert ask(grid, np.array([row])).output.tolist() == [np.maximum(row, 0).tolist()]
    beyond = [EDGE, -EDGE - UNIT, 2 * EDGE, -3 * EDGE, 2.0**15 - UNIT, UNIT - 2.0**15]
    for value in beyond:
        with pytest.raises(RangeViolationError, match=r"input x: gate 1 \(Relu\).* 20 bits.* up to 8"):
            ask(grid, np.array([[0.0, value, 1.0]]))
        with pytest.raises(OutOfRangeError, match=r"gate 1 \(Relu\): a value takes more than 20 bits"):
            evaluate(program, {}, [[0.0, value, 1.0]])


def test_without_a_guard_what_leaves_the_bits_is_wrong_and_nobody_is_told() -> None:
    program = compile_plan(RELU, batch=1, parties=2, widths=[StepWidth("input x", 20, proved=False)])
    assert ask(deployed(program, {}), np.array([[EDGE, 1.0, -1.0]])).output[0, 0] != EDGE


def test_a_guard_at_full_width_tells_of_values_beyond_it() -> None:
    program = compile_plan(mlp_plan(2, 2, 1), batch=1, parties=2, guard=True)
    values = {
        "a.weight": np.full((2, 2), 300.0),
        "a.bias": np.zeros(2),
        "b.weight": np.full((1, 2), 0.5),
        "b.bias": np.zeros(1),
    }
    grid = deployed(program, values)
    assert ask(grid, np.array([[50.0, 4.0]])).output.tolist() == [[16200.0]]
    for row in ([200.0, 200.0], [-400.0, 1.0], [9000.0, 9000.0]):
        with pytest.raises(RangeViolationError, match=r"step 1 aten.addmm.default: gate \d+ \(Relu\)"):
            ask(grid, np.array([row]))


def test_every_line_whose_values_leave_their_bits_is_named() -> None:
    steps = [
        step(Op.RELU, Ref("x"), out="h"),
        step(Op.HARDTANH, Ref("x"), -1.0, 1.0, out="k"),
        step(Op.ADD_TENSOR, Ref("h"), Ref("k"), 1, out="y"),
    ]
    plan = plan_of(steps, (BATCH, 1), {}, "y")
    widths = [StepWidth(line, 20, False) for line in ("input x", "step 1 aten.hardtanh.default")]
    grid = deployed(compile_plan(plan, batch=1, parties=2, widths=widths, guard=True), {})
    assert ask(grid, np.array([[EDGE - UNIT]])).output.tolist() == [[EDGE - UNIT + 1]]
    with pytest.raises(RangeViolationError, match=r"^input x: [^;]*$"):
        ask(grid, np.array([[EDGE]]))
    with pytest.raises(RangeViolationError, match=r"aten\.hardtanh\.default: gate .*; input x: gate"):
        ask(grid, np.array([[2 * EDGE]]))


def test_one_row_of_a_batch_is_enough() -> None:
    program = compile_plan(
        RELU, batch=50, parties=2, widths=[StepWidth("input x", 20, proved=False)], guard=True
    )
    x = np.full((50, 3), EDGE - UNIT)
    grid = deployed(program, {})
    assert np.array_equal(ask(grid, x).output, x)
    x[33, 1] = EDGE
    with pytest.raises(RangeViolationError):
        ask(grid, x)


def test_what_is_proved_is_not_guarded_and_a_query_beyond_the_declared_range_is_refused() -> None:
    base = compile_plan(RELU, batch=1, parties=2, input_range=(-1.0, 3.0))
    widths = narrowed(32, proved_bits(base))
    assert widths == (StepWidth("input x", 19, proved=True),)
    program = compile_plan(RELU, batch=1, parties=2, input_range=(-1.0, 3.0), widths=widths, guard=True)
    assert not program.guarded
    grid = deployed(program, {})
    assert ask(grid, np.array([[-1.0, 3.0, 0.5]])).output.tolist() == [[0.0, 3.0, 0.5]]
    with pytest.raises(OutOfRangeError, match=r"values from -1 to 3\.5; this model takes -1 to 3"):
        ask(grid, np.array([[-1.0, 3.5, 0.5]]))


def test_a_mask_leaves_the_widths_of_scores_as_narrow_as_they_are_without() -> None:
    mask = torch.full((4, 4), -torch.inf).triu(1)
    programs = []
    for addend in (torch.zeros(4, 4), mask):
        traced = trace_function(
            lambda x, addend=addend: torch.softmax(x * 3.0 + addend, 2), {"x": torch.zeros(2, 4, 4)}, name="f"
        )
        base = compile_plan(traced.plan, batch=2, parties=2, input_range=(-4.0, 4.0))
        widths = narrowed(32, proved_bits(base))
        programs.append(
            compile_plan(traced.plan, batch=2, parties=2, input_range=(-4.0, 4.0), widths=widths, guard=True)
        )
    bare, masked = programs
    assert bits_of(masked) == bits_of(bare)
    assert max(bits_of(masked)[:2]) < 32  # the last is the sum of powers, as above
    assert masked.widths == bare.widths
    assert_kept(masked, {}, drawn(2, 4, 4, spread=2.0).clamp(-4, 4).numpy())


def test_a_margin_is_added_to_what_samples_take_and_nothing_is_guessed_without() -> None:
    program = compile_plan(mlp_plan(3, 4, 2), batch=5, parties=2)
    values = random_values(program, 3)
    x = np.random.default_rng(1).normal(0, 1, (5, 3))
    hidden = np.abs(x @ values["a.weight"].T + values["a.bias"]).max()
    seen = seen_bits(program, values, x)
    line = "step 1 aten.addmm.default"
    assert seen == {line: int(np.floor(np.log2(hidden))) + 18}
    proved = proved_bits(program)
    assert narrowed(32, proved) == ()
    (width,) = narrowed(32, proved, seen)
    assert width == StepWidth(line, seen[line] + MARGIN_BITS, proved=False)
    assert narrowed(seen[line] + 3, proved, seen, 3) == ()
    with pytest.raises(ValueError, match="a margin of 0 bits"):
        narrowed(32, proved, seen, 0)


def test_what_is_proved_goes_before_what_is_seen_only_where_it_is_no_wider() -> None:
    proved, seen = {"a": 20, "b": 20, "c": 40}, {"a": 18, "b": 10, "c": 31}
    assert narrowed(32, proved, seen, 2) == (StepWidth("a", 20, True), StepWidth("b", 12, False))
    assert most([{"a": 3}, {"a": 5, "b": 2}]) == {"a": 5, "b": 2}


def test_parameters_bound_what_the_owner_has_proved_of_every_input() -> None:
    base = compile_plan(mlp_plan(2, 2, 1), batch=1, parties=2, input_range=(0.0, 1.0))
    values = {
        "a.weight": np.array([[1.0, 2.0], [-3.0, 0.5]]),
        "a.bias": np.array([0.5, 0.25]),
        "b.weight": np.ones((1, 2)),
        "b.bias": np.zeros(1),
    }
    assert proved_bits(base, values) == {"step 1 aten.addmm.default": 19}
    assert proved_bits(base)["step 1 aten.addmm.default"] == 32


def test_widths_that_do_not_fit_the_plan_are_refused() -> None:
    line = StepWidth("input x", 20, proved=True)
    for widths, why in (
        ([line, line], "once a line"),
        ([replace(line, bits=1)], "from 2 to 32 bits"),
        ([replace(line, bits=33)], "from 2 to 32 bits"),
        ([replace(line, line="step 9 relu")], "which this plan has not"),
    ):
        with pytest.raises(ValueError, match=why):
            compile_plan(RELU, batch=1, parties=2, widths=widths)
    for bad in ((1.0, 0.0), (-40_000.0, 0.0), (0.0, float("nan"))):
        with pytest.raises(ValueError, match="input range"):
            compile_plan(RELU, batch=1, parties=2, input_range=bad)


def test_widths_guards_and_ranges_are_part_of_what_parties_agree_on() -> None:
    line = StepWidth("input x", 20, proved=False)
    programs = [
        compile_plan(RELU, batch=1, parties=2),
        compile_plan(RELU, batch=1, parties=2, widths=[line]),
        compile_plan(RELU, batch=1, parties=2, widths=[line], guard=True),
        compile_plan(RELU, batch=1, parties=2, guard=True),
        compile_plan(RELU, batch=1, parties=2, input_range=(0.0, 1.0)),
    ]
    assert len({program.digest for program in programs}) == len(programs)
    assert len({program.setup_digest for program in programs}) == 1


def test_a_value_truncated_or_opened_keeps_the_line_that_made_it() -> None:
    plan = mlp_plan(2, 2, 1)
    for batch in (1, 64):
        program = compile_plan(plan, batch=batch, parties=2)
        (relu,) = [gate for gate in program.gates if isinstance(gate, Relu)]
        assert program.origins[relu.sources[0]] == "step 1 aten.addmm.default"
        assert program.compared == relu.sources
