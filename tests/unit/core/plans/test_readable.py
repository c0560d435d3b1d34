from gridward.core.plans import readable
from gridward.core.plans.expression import Expression, Source, to_plan
from gridward.core.plans.plan import Dim, DType

ROWS = Dim("rows")


def column(name: str) -> Expression:
    return Expression.of(Source(name, DType.FLOAT64, (ROWS,)))


def test_every_operation_is_a_line_with_names_shapes_and_sources() -> None:
    plan, sources = to_plan({"output": (column("weight") * 2.5).mean()})
    types = {"x0": (DType.FLOAT64, (5,)), "t0": (DType.FLOAT64, (5,)), "t1": (DType.FLOAT64, ())}
    words = {name: f"'{source.key}' of dataset 'births'" for name, source in sources.items()}
    assert readable.lines(plan, types, words) == [
        "x0: float64[5] = 'weight' of dataset 'births'",
        "t0: float64[5] = mul.Scalar(x0, other=2.5)",
        "t1: float64[] = mean.dim(t0, keepdim=False)",
        "output output: float64[] = t1",
    ]


def test_an_input_without_a_source_is_called_public_and_unknown_types_are_left_out() -> None:
    plan, _ = to_plan({"output": column("weight").sum()})
    first, *_ = readable.lines(plan, {}, {})
    assert first == "x0 = a public value"


def test_constants_are_shown_and_long_ones_are_counted() -> None:
    values = b"".join(number.to_bytes(8, "little") for number in range(20))
    literal = Expression.literal(DType.INT64, (20,), values)
    plan, _ = to_plan({"output": literal * literal})
    line = next(line for line in readable.lines(plan, {}, {}) if "int64[20]" in line)
    assert line.endswith("= " + ", ".join(map(str, range(16))) + ", and 4 more")
