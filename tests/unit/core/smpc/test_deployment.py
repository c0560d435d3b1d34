from io import BytesIO

import numpy as np
import pytest

from gridward.core.errors import InvalidInputError, OutOfRangeError, ProtocolError
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.dealer import Dealer
from gridward.core.smpc.deployment import DeployedModel, deploy, load_parameters, split_parameters
from gridward.core.smpc.fixed_point import decode
from gridward.core.smpc.link import Link, local_mesh
from gridward.core.smpc.packets import HEADER_BYTES
from gridward.core.smpc.program import Program
from tests.support.parties import (
    Recorder,
    SeededEntropy,
    ask,
    deployed,
    jointly,
    linear_plan,
    mlp_plan,
    random_values,
)


@pytest.fixture(params=[2, 3, 5])
def program(request: pytest.FixtureRequest) -> Program:
    return compile_plan(mlp_plan(3, 4, 2), batch=1, parties=request.param)


def test_shares_of_parameters_add_up_to_them(program: Program) -> None:
    values = random_values(program, 1)
    packets = split_parameters(program, values, SeededEntropy(1))
    shares = [load_parameters(program, party, packet) for party, packet in enumerate(packets)]
    for parameter, *parts in zip(program.parameters, *shares, strict=True):
        total = np.sum(parts, axis=0, dtype=np.uint64)
        assert np.max(np.abs(decode(total, parameter.scale) - values[parameter.name])) <= 2.0**-17


def test_all_parties_but_one_get_a_seed_only(program: Program) -> None:
    packets = split_parameters(program, random_values(program, 1), SeededEntropy(1))
    assert [len(packet) for packet in packets[1:]] == [HEADER_BYTES] * (program.parties - 1)


def test_opened_weights_are_weights_and_masks_and_equal_on_every_party(program: Program) -> None:
    grid = deployed(program, random_values(program, 1))
    for at, parameter in enumerate(program.parameters):
        assert [at in model.opened.numbers for model in grid.models] == [parameter.masked] * program.parties
        if parameter.masked:
            first, *others = (model.opened.words(at) for model in grid.models)
            assert all(np.array_equal(words, first) for words in others)


def test_stated_setup_bytes_are_those_that_travel(program: Program) -> None:
    entropy = SeededEntropy(1)
    dealer = Dealer(program, entropy(32))
    setup, parameters = dealer.deal_setup(), split_parameters(program, random_values(program, 1), entropy)
    recorders = [Recorder(transport) for transport in local_mesh(program.parties)]
    jointly(
        program.parties,
        lambda party, link: deploy(program, party, setup[party], parameters[party], link),
        recorders,
    )
    frames = sum(len(frame) for recorder in recorders for frame in recorder.frames)
    packets = sum(len(packet) for packet in (*setup, *parameters))
    assert program.costs.setup_bytes == frames + packets


def test_a_large_weight_is_opened_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("costs", "deployment"):
        monkeypatch.setattr(f"gridward.core.smpc.{module}.SETUP_PIECE_WORDS", 7)
    program = compile_plan(mlp_plan(3, 4, 2), batch=1, parties=2)
    test_stated_setup_bytes_are_those_that_travel(program)
    test_opened_weights_are_weights_and_masks_and_equal_on_every_party(program)


def stored(model: DeployedModel) -> bytes:
    """Give what a party writes to its disk."""
    file = BytesIO()
    model.write_to(file)
    return file.getvalue()


def test_a_stored_model_reads_back_and_answers_after_a_restart(program: Program) -> None:
    values = random_values(program, 1)
    grid = deployed(program, values)
    before = ask(grid, np.ones((1, 3))).output
    grid.models = [
        DeployedModel.read_from(program, party, BytesIO(stored(model)))
        for party, model in enumerate(grid.models)
    ]
    assert np.max(np.abs(ask(grid, np.ones((1, 3))).output - before)) < 2.0**-13


def test_a_damaged_or_foreign_stored_model_is_refused() -> None:
    program = compile_plan(mlp_plan(3, 4, 2), batch=1, parties=2)
    data = stored(deployed(program, random_values(program, 1)).models[0])
    spoiled = bytearray(data)
    spoiled[-50] ^= 1
    with pytest.raises(InvalidInputError, match="damaged"):
        DeployedModel.read_from(program, 0, BytesIO(spoiled))
    with pytest.raises(InvalidInputError, match="came with"):
        DeployedModel.read_from(program, 0, BytesIO(data[:-1]))
    with pytest.raises(InvalidInputError, match="for party 0, not 1"):
        DeployedModel.read_from(program, 1, BytesIO(data))
    with pytest.raises(InvalidInputError, match="of program"):
        DeployedModel.read_from(compile_plan(mlp_plan(3, 5, 2), batch=1, parties=2), 0, BytesIO(data))


def test_setup_packets_are_the_same_on_every_call_and_differ_by_secret() -> None:
    program = compile_plan(linear_plan(2, 1), batch=1, parties=2)
    first, again, other = (
        Dealer(program, secret).deal_setup() for secret in (b"a" * 32, b"a" * 32, b"b" * 32)
    )
    assert first == again
    assert not set(first) & set(other)
    assert b"a" * 32 not in b"".join(first)


@pytest.mark.parametrize(
    ("change", "error", "cause"),
    [
        ({"fc.bias": None}, InvalidInputError, "'fc.bias' is missing"),
        ({"fc.weight": np.zeros((2, 1))}, InvalidInputError, r"shape \(2, 1\), not \(1, 2\)"),
        ({"fc.weight": np.array([[1.0, np.nan]])}, OutOfRangeError, "'fc.weight': NaN"),
        ({"fc.weight": np.array([[1.0, 40000.0]])}, OutOfRangeError, "'fc.weight': 40000 does not fit"),
        ({"fc.bias": np.array([32768.0])}, OutOfRangeError, "'fc.bias'"),
    ],
)
def test_wrong_parameters_are_refused_by_name(
    change: dict[str, np.ndarray | None],
    error: type[Exception],
    cause: str,  # type: ignore[type-arg]
) -> None:
    program = compile_plan(linear_plan(2, 1), batch=1, parties=2)
    given = {"fc.weight": np.ones((1, 2)), "fc.bias": np.ones(1)} | change
    values = {name: value for name, value in given.items() if value is not None}
    with pytest.raises(error, match=cause):
        split_parameters(program, values, SeededEntropy(1))


def test_packets_for_another_party_or_use_are_refused() -> None:
    program = compile_plan(linear_plan(2, 1), batch=1, parties=2)
    entropy = SeededEntropy(1)
    setup = Dealer(program, entropy(32)).deal_setup()
    parameters = split_parameters(program, random_values(program, 1), entropy)
    link = Link(local_mesh(2)[0], 0, 2, bytes(16), 0.1)
    with pytest.raises(InvalidInputError, match="for party 1, not 0"):
        deploy(program, 0, setup[1], parameters[0], link)
    with pytest.raises(InvalidInputError, match="for party 1, not 0"):
        deploy(program, 0, setup[0], parameters[1], link)
    with pytest.raises(InvalidInputError, match="kind setup, not parameters"):
        deploy(program, 0, setup[0], setup[0], link)


def test_a_wrong_packet_at_one_party_ends_the_deployment_on_the_others() -> None:
    program = compile_plan(linear_plan(2, 1), batch=1, parties=2)
    setup = Dealer(program, b"a" * 32).deal_setup()
    parameters = split_parameters(program, random_values(program, 1), SeededEntropy(1))
    mesh = local_mesh(2)
    links = [Link(mesh[party], party, 2, bytes(16), 5.0) for party in range(2)]
    with pytest.raises(InvalidInputError):
        deploy(program, 0, setup[1], parameters[0], links[0])
    with pytest.raises(ProtocolError, match="party 0 ended the session: a packet for party 1, not 0"):
        deploy(program, 1, setup[1], parameters[1], links[1])


def test_parties_with_masks_of_different_deployments_do_not_open() -> None:
    program = compile_plan(linear_plan(2, 1), batch=1, parties=2)
    setups = [Dealer(program, secret).deal_setup() for secret in (b"a" * 32, b"b" * 32)]
    parameters = split_parameters(program, random_values(program, 1), SeededEntropy(1))
    with pytest.raises(ProtocolError, match=r"another session|ended the session"):
        jointly(2, lambda party, link: deploy(program, party, setups[party][party], parameters[party], link))
