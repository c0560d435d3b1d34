"""Equal plans have equal bytes, and no bytes become an unchecked plan."""

import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridward.core.errors import PlanRejectedError
from gridward.core.plans.codec import MAX_BYTES, decode, digest, encode, from_dict, to_dict
from gridward.core.plans.ops import ArgKind, Op, Param
from gridward.core.plans.plan import (
    Argument,
    Constant,
    Cost,
    Dim,
    DimRange,
    DType,
    Input,
    Kind,
    Output,
    Plan,
    Ref,
    Role,
    Step,
)
from gridward.core.plans.table import SPECS
from gridward.core.plans.validate import EXTRA
from gridward.core.schemas.plan import PlanDocument

LINEAR = Plan(
    name="linear",
    kind=Kind.INFERENCE,
    producer="torch 2.13.0",
    dims=(("B", DimRange(1)),),
    inputs=(
        Input("w", Role.PARAM, DType.FLOAT32, (2, 1)),
        Input("b", Role.PARAM, DType.FLOAT32, (1,)),
        Input("x", Role.DATA, DType.FLOAT32, (Dim("B"), 2)),
    ),
    constants=(),
    steps=(Step(Op.ADDMM, (Ref("b"), Ref("x"), Ref("w"), 1, 1), ("t0",)),),
    outputs=(Output("output", Role.OUTPUT, "t0"),),
    cost=Cost(5, 44),
)
LINEAR_BYTES = (
    b'{"constants":[],"cost":{"flops_per_sample":5,"peak_bytes":44},"dims":{"B":{"min":1}},'
    b'"format":"gridward.plan","inputs":[{"dtype":"float32","name":"w","role":"param","shape":[2,1]},'
    b'{"dtype":"float32","name":"b","role":"param","shape":[1]},'
    b'{"dims":{"0":"B"},"dtype":"float32","name":"x","role":"data","shape":[0,2]}],'
    b'"kind":"inference","name":"linear","ops":[{"args":[{"ref":"b"},{"ref":"x"},{"ref":"w"},{"int":1},{"int":1}],'
    b'"op":"aten.addmm.default","out":["t0"]}],"opset":"aten-core-1",'
    b'"outputs":[{"name":"output","ref":"t0","role":"output"}],"producer":"torch 2.13.0","version":1}'
)
LINEAR_DIGEST = "bede4d54a3498ff6e7ce2ea48964eb733d08f0486ba71700c28eabe7508d43f4"

INTS = st.integers(-(2**53) + 1, 2**53 - 1)
NUMS = st.booleans() | INTS | st.floats().map(lambda v: math.nan if math.isnan(v) else v + 0.0)
KINDS: dict[ArgKind, st.SearchStrategy[Any]] = {
    ArgKind.TENSOR: st.sampled_from([Ref("x"), Ref("c")]),
    ArgKind.TENSORS: st.lists(st.just(Ref("x")), min_size=1, max_size=3).map(tuple),
    ArgKind.INDICES: st.lists(st.sampled_from([None, Ref("x")]), max_size=3).map(lambda v: (*v, Ref("c"))),
    ArgKind.INT: INTS,
    ArgKind.INTS: st.lists(INTS, min_size=1, max_size=4).map(tuple),
    ArgKind.SIZES: st.lists(st.sampled_from([Dim("B"), 3, 0]), max_size=4).map(tuple),
    ArgKind.NUM: NUMS,
    ArgKind.BOOL: st.booleans(),
    ArgKind.BOOLS: st.tuples(st.booleans(), st.booleans(), st.booleans()),
    ArgKind.DTYPE: st.sampled_from(DType),
}


def arguments(param: Param) -> st.SearchStrategy[Any]:
    values = st.sampled_from(param.choices) if param.kind is ArgKind.STR else KINDS[param.kind]
    return st.none() | values if param.optional else values


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Well-formed plans of any op: shapes need not fit, which is not the codec's affair."""
    steps = []
    for at, op in enumerate(
        draw(st.lists(st.sampled_from([op for op in Op if op not in EXTRA]), max_size=5))
    ):
        args: tuple[Argument, ...] = tuple(draw(arguments(param)) for param in SPECS[op].params)
        steps.append(Step(op, args, tuple(f"t{at}.{place}" for place in range(SPECS[op].results))))
    high = draw(st.none() | st.integers(1, 99))
    return Plan(
        name=draw(st.from_regex(r"[A-Za-z0-9_.:/+ -]{1,20}", fullmatch=True)),
        kind=draw(st.sampled_from([Kind.INFERENCE, Kind.STATISTICS])),
        producer="torch 2.13.0+cpu",
        dims=(("B", DimRange(1, high)),),
        inputs=(
            Input("x", Role.DATA, draw(st.sampled_from(DType)), (Dim("B"), draw(st.integers(0, 2**40)))),
        ),
        constants=(Constant("c", DType.INT32, (2,), draw(st.binary(min_size=8, max_size=8))),),
        steps=tuple(steps),
        outputs=(Output("y", Role.OUTPUT, "x"),),
        cost=draw(st.none() | st.builds(Cost, st.integers(0, 2**50), st.integers(0, 2**50))),
    )


@given(plans())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_decoding_undoes_encoding(plan: Plan) -> None:
    blob = encode(plan)
    again = decode(blob)
    assert again == plan
    assert encode(again) == blob
    assert from_dict(to_dict(plan)) == plan


@given(plans())
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=30)
def test_the_wire_schema_takes_every_plan_and_changes_none(plan: Plan) -> None:
    document = PlanDocument.model_validate(to_dict(plan))
    assert digest(from_dict(document.model_dump(mode="json", by_alias=True))) == digest(plan)


def test_bytes_and_digest_are_frozen() -> None:
    assert encode(LINEAR) == LINEAR_BYTES
    assert digest(LINEAR) == LINEAR_DIGEST


def test_any_spelling_of_the_json_has_the_same_digest() -> None:
    spelled = json.dumps(json.loads(LINEAR_BYTES), indent=3).encode()
    assert digest(decode(spelled)) == LINEAR_DIGEST


def test_integers_floats_and_truths_are_told_apart() -> None:
    blobs = set()
    for number in (1, 1.0, True):
        step = Step(Op.ADD_SCALAR, (Ref("x"), number, 1), ("t0",))
        blobs.add(encode(Plan(**{**_fields(LINEAR), "steps": (step,)})))
    assert len(blobs) == 3


def _fields(plan: Plan) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in Plan.__slots__}


def document(**changes: object) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(LINEAR_BYTES)
    raw.update(changes)
    return raw


def step(**changes: object) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(LINEAR_BYTES)["ops"][0]
    raw.update(changes)
    return raw


REFUSED: dict[str, tuple[object, str]] = {
    "no object": ([], "the plan is not an object"),
    "another format": (document(format="onnx"), "format 'onnx' 1 is not 'gridward.plan' 1"),
    "another version": (document(version=2), "format 'gridward.plan' 2"),
    "a true version": (document(version=True), "format 'gridward.plan' True"),
    "a member too few": ({k: v for k, v in document().items() if k != "ops"}, "lacks 'ops'"),
    "a member too many": (document(code="rm"), "unknown member 'code'"),
    "an unknown kind": (document(kind="attack"), "the plan's kind 'attack' is unknown"),
    "an unknown op": (document(ops=[step(op="os.system")]), "step 0: op 'os.system' is unknown"),
    "an op without args": (document(ops=[{"op": "x", "out": []}]), "step 0: the step lacks 'args'"),
    "two unknown ops": (document(ops=[step(op="a"), step(op="b")]), "step 0: .*step 1: "),
    "an argument of two kinds": (document(ops=[step(args=[{"int": 1, "num": 2.0}])]), "more than one thing"),
    "an argument of no kind": (document(ops=[step(args=[{"code": "1"}])]), "unknown member 'code'"),
    "dims without ints": (
        document(ops=[step(args=[{"ref": "x", "dims": {"0": "B"}}])]),
        "more than one thing",
    ),
    "dims at a number": (document(ops=[step(args=[{"ints": [3], "dims": {"0": "B"}}])]), "where no 0 stands"),
    "dims outside": (document(ops=[step(args=[{"ints": [0], "dims": {"1": "B"}}])]), "where no 0 stands"),
    "a fraction as int": (document(ops=[step(args=[{"int": 1.5}])]), "'int' is not an integer"),
    "a truth as int": (document(ops=[step(args=[{"int": True}])]), "'int' is not an integer"),
    "a word as num": (document(ops=[step(args=[{"num": "1"}])]), "'num' is not a number"),
    "a huge num": (document(ops=[step(args=[{"num": 10**400}])]), "'num' is too large"),
    "an unknown special": (document(ops=[step(args=[{"special": "inf "}])]), "not inf, -inf or nan"),
    "a number as bool": (document(ops=[step(args=[{"bool": 1}])]), "neither true nor false"),
    "an unknown dtype": (document(ops=[step(args=[{"dtype": "object"}])]), "dtype 'object' is unknown"),
    "numbers as refs": (document(ops=[step(args=[{"refs": [1]}])]), "'refs' is not a string"),
    "a list as op": (document(ops=[step(op=["x"])]), "op is not a string"),
    "base64": (
        document(constants=[{"name": "c", "dtype": "bool", "shape": [1], "data": "%%"}]),
        "constant 'c' is not base64",
    ),
    "a huge constant": (
        document(constants=[{"name": "c", "dtype": "bool", "shape": [1], "data": "A" * 2_000_001}]),
        "holds more than",
    ),
    "too many steps": (document(ops=[step()] * 20_001), "not a list of at most 20000"),
    "dims as a list": (document(dims=[]), "'dims' is not an object"),
    "a dim range": (document(dims={"B": {"min": "1"}}), "dim 'B' is not an integer"),
    "an input's dims": (
        document(inputs=[{"name": "x", "role": "data", "dtype": "bool", "shape": [0], "dims": 3}]),
        "'dims' of input 'x' is not an object",
    ),
    "a cost": (
        document(cost={"flops_per_sample": 1.5, "peak_bytes": 1}),
        "flops_per_sample is not an integer",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_malformed_document_is_refused_by_name(name: str) -> None:
    raw, words = REFUSED[name]
    with pytest.raises(PlanRejectedError, match=words):
        decode(json.dumps(raw).encode())


@pytest.mark.parametrize("blob", [b"", b"\x80\x04K\x01.", b'{"format":1,"format":1}', b"[" * 200_000])
def test_what_is_not_json_is_refused(blob: bytes) -> None:
    with pytest.raises(PlanRejectedError, match="not JSON"):
        decode(blob)


def test_a_huge_document_is_refused_unread() -> None:
    with pytest.raises(PlanRejectedError, match="more than"):
        decode(b" " * (MAX_BYTES + 1))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda v: (
            st.lists(v)
            | st.dictionaries(
                st.sampled_from(
                    ["format", "version", "kind", "name", "inputs", "ops", "outputs", "args", "op", "out"]
                ),
                v,
            )
        ),
    )
)
def test_arbitrary_json_is_refused_and_never_crashes(raw: object) -> None:
    with pytest.raises(PlanRejectedError):
        from_dict(raw)


@given(st.data())
def test_a_damaged_document_is_refused_or_another_good_plan(data: st.DataObject) -> None:
    blob = bytearray(LINEAR_BYTES)
    for _ in range(data.draw(st.integers(1, 3))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    try:
        plan = decode(bytes(blob))
    except PlanRejectedError:
        return
    assert decode(encode(plan)) == plan
