"""Rows on disk give the batches that rows in memory give, to the bit, whatever becomes of their file."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gridward.core.errors import ObjectNotFoundError, PlanLimitError
from gridward.core.plans.dtypes import DTYPES
from gridward.core.plans.executors.evaluation import evaluate
from gridward.core.plans.executors.limits import Limits
from gridward.core.plans.executors.rows import MappedRows, StoredRows
from gridward.core.plans.executors.training import Schedule, run_epochs
from gridward.core.plans.optimizers import SGD
from gridward.core.plans.plan import DType
from gridward.core.plans.trace import trace_evaluation, trace_training
from tests.support.rows import stored

SIZES = st.lists(st.integers(0, 4), max_size=2)


@given(st.sampled_from(list(DType)), SIZES, st.integers(0, 9), st.data())
def test_picked_rows_are_those_that_a_tensor_gives(
    dtype: DType, sizes: list[int], offset: int, drawn: st.DataObject
) -> None:
    values = torch.randint(0, 2, (7, *sizes)).to(DTYPES[dtype])
    picked = torch.tensor(drawn.draw(st.lists(st.integers(0, 6), max_size=9)), dtype=torch.int64)
    with TemporaryDirectory() as folder:
        place = stored(Path(folder), {"x": values}, offset=offset)["x"]
        given_rows = MappedRows(place)[picked]
    assert given_rows.dtype is values.dtype
    assert torch.equal(given_rows, values[picked])
    assert place.first(3).shape == values[:3].shape


def test_training_and_judging_give_the_bits_that_rows_in_memory_give(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(50, 3)
    rows = {"x": x, "y": (x[:, 0] > 0).long()}
    mapped = {name: MappedRows(place) for name, place in stored(tmp_path, rows).items()}
    batch = (x[:4], rows["y"][:4])
    step = trace_training(nn.Linear(3, 2), F.cross_entropy, SGD(0.5, momentum=0.9), batch, name="m")
    chosen, schedule = torch.arange(0, 50, 2), Schedule(8, 3, 7, 3)
    on_disk, in_memory = (
        run_epochs(step.plan, step.parameters, values, schedule, hyper=step.hyper, chosen=chosen)
        for values in (mapped, rows)
    )
    assert on_disk.history == in_memory.history
    assert all(torch.equal(value, in_memory.parameters[name]) for name, value in on_disk.parameters.items())
    check = trace_evaluation(nn.Linear(3, 2), F.cross_entropy, batch, name="m")
    held = {name: on_disk.parameters[name] for name in check.parameters}
    judged = [evaluate(check.plan, held, values, 8, chosen=chosen) for values in (mapped, rows)]
    assert judged[0] == judged[1]


def test_memory_counts_rows_that_are_in_it_and_none_on_disk(tmp_path: Path) -> None:
    torch.manual_seed(0)
    rows = {"x": torch.randn(2000, 30), "y": torch.arange(2000) % 2}
    step = trace_training(
        nn.Linear(30, 2), F.cross_entropy, SGD(0.5), (rows["x"][:4], rows["y"][:4]), name="m"
    )
    limits, schedule = Limits(memory_bytes=100_000), Schedule(8, 1, 1)
    mapped = {name: MappedRows(place) for name, place in stored(tmp_path, rows).items()}
    run_epochs(step.plan, step.parameters, mapped, schedule, hyper=step.hyper, limits=limits)
    with pytest.raises(PlanLimitError, match="bytes of memory"):
        run_epochs(step.plan, step.parameters, rows, schedule, hyper=step.hyper, limits=limits)


def test_a_file_that_is_deleted_or_replaced_stays_as_it_was_mapped(tmp_path: Path) -> None:
    values = torch.arange(12.0).reshape(4, 3)
    place = stored(tmp_path, {"x": values})["x"]
    first, second = MappedRows(place), MappedRows(place)
    (tmp_path / "new").write_bytes(bytes(51))
    (tmp_path / "new").replace(place.path)
    assert torch.equal(first[torch.arange(4)], values)
    Path(place.path).unlink()
    assert torch.equal(second[torch.arange(4)], values)
    with pytest.raises(ObjectNotFoundError, match="deleted or replaced"):
        MappedRows(place)


def test_what_names_no_rows_is_refused() -> None:
    for offset, shape in ((0, ()), (-1, (3,)), (0, (3, -1))):
        with pytest.raises(ValueError, match="first size"):
            StoredRows("x", offset, DType.FLOAT32, shape)
