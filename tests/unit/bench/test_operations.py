from dataclasses import replace

import numpy as np
import pytest

from gridward.bench import operations
from gridward.bench.measure import Options
from gridward.bench.operations import OPERATIONS


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_measured_on_values_of_its_kind(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = OPERATIONS[name]
    if name != "matmul":
        operation = replace(operation, row=(50,))
    small = replace(operation, batch=1)
    result = operations.measure(name, small, Options(repeat=1))
    assert (result.case["operation"], result.case["batch"]) == (name, 1)
    assert result.measured["max_abs_err_fixed"] == 0


def test_the_relu_sees_both_signs() -> None:
    network = operations.network_of("relu", replace(OPERATIONS["relu"], row=(1000,)))
    answers = network.in_the_clear(network.inputs(1, seed=0))
    assert 0.4 < np.mean(answers > 0) < 0.6


def test_all_operations_have_the_sizes_that_they_are_compared_at() -> None:
    sizes = [operation.batch * operation.row[0] for operation in OPERATIONS.values()]
    assert sizes == [1_000_000, 1_000_000, 1024 * 1024]


def test_one_operation_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPERATIONS, "relu", replace(OPERATIONS["relu"], row=(9,)))
    (result,) = operations.run(Options(repeat=1, operation="relu"))
    assert result.case["what"].startswith("ReLU")
