from gridward.bench.live import live_bytes
from gridward.core.smpc.compile import compile_plan
from tests.support.parties import linear_plan, mlp_plan


def test_a_linear_layer_needs_its_input_and_one_result_at_once() -> None:
    # 4 x 3 weights and 4 biases; the input of 3 words lives beside the product of 4, later two times 4
    program = compile_plan(linear_plan(3, 4), batch=1, parties=2)
    assert live_bytes(program) == 8 * (12 + 4 + max(3 + 4, 4 + 4))


def test_what_no_later_gate_reads_is_not_counted() -> None:
    deep = compile_plan(mlp_plan(3, 64, 2), batch=1, parties=2)
    parameters = 64 * 3 + 64 + 2 * 64 + 2
    assert live_bytes(deep) == 8 * (parameters + 2 * 64)


def test_rows_multiply_activations_and_not_parameters() -> None:
    one, many = (compile_plan(linear_plan(3, 4), batch=batch, parties=2) for batch in (1, 10))
    assert live_bytes(many) - live_bytes(one) == 8 * 9 * 8
