import threading
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np
import pytest

from gridward.core.errors import InvalidInputError, ProtocolError
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.fixed_reference import evaluate, truncation_masks
from gridward.core.smpc.kernels import reference
from gridward.core.smpc.link import Link, local_mesh
from gridward.core.smpc.party import RunResult, answer, input_subkey, prepare, run
from gridward.core.smpc.query import mask_input, reconstruct_output
from tests.support.encrypted import assert_costs
from tests.support.networks import MODULES, Network, network
from tests.support.parties import Grid, ask, deployed, jointly, linear_plan, mlp_plan, random_values

ULP = 2.0**-16


@pytest.fixture(scope="module")
def networks() -> dict[str, Network]:
    return {name: network(name, 2) for name in MODULES}


@pytest.fixture(scope="module")
def small() -> Grid:
    program = compile_plan(mlp_plan(3, 4, 2), batch=1, parties=2)
    return deployed(program, random_values(program, 1))


@pytest.mark.parametrize("parties", [2, 3])
def test_the_linear_model_of_the_first_story_gives_1022(networks: dict[str, Network], parties: int) -> None:
    model = networks["linear"]
    grid = deployed(compile_plan(model.plan, batch=1, parties=parties), model.parameters)
    assert ask(grid, np.array([[5.0, 3.0]])).output.tolist() == [[1022.0]]


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize(
    ("parties", "levels", "batch"), [(2, 2, 1), (2, 1, 2), (3, 2, 2), (4, 1, 1), (5, 2, 1)]
)
def test_answers_equal_the_fixed_point_reference_bit_for_bit_and_costs_what_was_stated(
    networks: dict[str, Network], name: str, parties: int, levels: int, batch: int
) -> None:
    model = networks[name]
    program = compile_plan(model.plan, batch=batch, parties=parties, levels=levels)
    grid = deployed(program, model.parameters)
    x = model.example.numpy()[:batch]
    got = ask(grid, x, corrected_party=parties - 1)
    clear = evaluate(program, model.parameters, x, truncation_masks(program, got.packets))
    assert np.array_equal(got.output, clear)
    assert np.max(np.abs(got.output - model.eager(x))) < 16 * ULP
    assert_costs(grid, got)


def test_numba_and_numpy_kernels_give_the_same_shares(networks: dict[str, Network]) -> None:
    model = networks["averaging"]
    program = compile_plan(model.plan, batch=1, parties=2)
    answers = [
        ask(grid, model.example.numpy()[:1])
        for grid in (
            deployed(program, model.parameters),
            deployed(program, model.parameters, kernels=reference),
        )
    ]
    for ours, theirs in zip(answers[0].results, answers[1].results, strict=True):
        assert np.array_equal(ours.output_share, theirs.output_share)


def test_lenet_answers_well_under_a_second(networks: dict[str, Network]) -> None:
    model = networks["lenet"]
    grid = deployed(compile_plan(model.plan, batch=1, parties=2), model.parameters)
    x = model.example.numpy()[:1]
    times = []
    for _ in range(3):
        began = perf_counter()
        ask(grid, x)
        times.append(perf_counter() - began)
    assert min(times) < 1.0


def test_one_deployment_serves_several_batch_sizes(networks: dict[str, Network]) -> None:
    model = networks["mlp"]
    programs = [compile_plan(model.plan, batch=batch, parties=2) for batch in (1, 2)]
    assert programs[0].setup_digest == programs[1].setup_digest
    assert programs[0].digest != programs[1].digest
    first, second = (deployed(program, model.parameters) for program in programs)
    x = model.example.numpy()
    both = ask(Grid(programs[1], second.dealer, first.models, first.entropy), x)
    assert np.max(np.abs(both.output - model.eager(x))) < 16 * ULP


def test_many_queries_run_side_by_side(small: Grid) -> None:
    inputs = [np.full((1, 3), at / 8) for at in range(8)]
    lock = threading.Lock()

    def query(x: np.ndarray) -> bool:  # type: ignore[type-arg]
        with lock:
            packets = small.dealer.deal_query(small.entropy, 0)
        subkeys = [input_subkey(small.program, party, packet) for party, packet in enumerate(packets)]
        masked = mask_input(small.program, x, subkeys)

        def work(party: int, link: Link) -> RunResult:
            return run(small.program, small.models[party], packets[party], masked, link)

        shares = [result.output_share for result in jointly(2, work)]
        got = reconstruct_output(small.program, shares)
        masks = truncation_masks(small.program, packets)
        return np.array_equal(got, evaluate(small.program, random_values(small.program, 1), x, masks))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(query, inputs))


def _packets(grid: Grid) -> list[bytes]:
    return grid.dealer.deal_query(grid.entropy, 0)


def test_a_session_answers_once(small: Grid) -> None:
    packets = _packets(small)
    sessions = [prepare(small.program, small.models[party], packets[party]) for party in range(2)]
    masked = mask_input(
        small.program,
        np.zeros((1, 3)),
        [input_subkey(small.program, party, packet) for party, packet in enumerate(packets)],
    )
    jointly(2, lambda party, link: answer(sessions[party], masked, link))
    with pytest.raises(InvalidInputError, match="once"):
        jointly(2, lambda party, link: answer(sessions[party], masked, link))


def test_packets_of_another_use_are_refused_by_name(small: Grid) -> None:
    packets = _packets(small)
    with pytest.raises(InvalidInputError, match="for party 1, not 0"):
        prepare(small.program, small.models[0], packets[1])
    with pytest.raises(InvalidInputError, match="for party 1, not 0"):
        input_subkey(small.program, 0, packets[1])
    other = compile_plan(mlp_plan(3, 4, 2), batch=2, parties=2)
    with pytest.raises(InvalidInputError, match="of program"):
        prepare(other, small.models[0], packets[0])
    with pytest.raises(InvalidInputError, match="kind setup"):
        prepare(small.program, small.models[0], small.dealer.deal_setup()[0])


def test_a_packet_of_another_deployment_is_refused(small: Grid) -> None:
    other = deployed(small.program, random_values(small.program, 1), seed=9)
    with pytest.raises(InvalidInputError, match="of deployment"):
        prepare(small.program, small.models[0], _packets(other)[0])


def test_a_model_of_another_program_is_refused(small: Grid) -> None:
    other = compile_plan(mlp_plan(3, 5, 2), batch=1, parties=2)
    with pytest.raises(InvalidInputError, match="deployed for"):
        prepare(other, small.models[0], _packets(small)[0])


@pytest.mark.parametrize("cut", [-1, -100])
def test_cut_corrections_are_refused(small: Grid, cut: int) -> None:
    packet = _packets(small)[0]
    with pytest.raises(InvalidInputError, match="bytes"):
        prepare(small.program, small.models[0], packet[:cut])


def test_a_client_that_sends_different_words_to_different_parties_ends_the_session(small: Grid) -> None:
    packets = _packets(small)
    masked = [np.zeros((1, 3), dtype=np.uint64), np.ones((1, 3), dtype=np.uint64)]
    with pytest.raises(ProtocolError, match=r"another session, program, bundle or input|ended the session"):
        jointly(
            2,
            lambda party, link: run(small.program, small.models[party], packets[party], masked[party], link),
        )


def test_parties_with_different_bundles_end_the_session(small: Grid) -> None:
    packets = [_packets(small), _packets(small)]
    masked = np.zeros((1, 3), dtype=np.uint64)
    with pytest.raises(ProtocolError, match=r"another session, program, bundle or input|ended the session"):
        jointly(
            2,
            lambda party, link: run(small.program, small.models[party], packets[party][party], masked, link),
        )


def test_an_input_of_another_shape_ends_the_session_on_every_party(small: Grid) -> None:
    packets = _packets(small)
    mesh = local_mesh(2)
    links = [Link(mesh[party], party, 2, bytes(16), 5.0) for party in range(2)]
    with pytest.raises(InvalidInputError, match="input of shape"):
        run(small.program, small.models[0], packets[0], np.zeros((2, 3), dtype=np.uint64), links[0])
    with pytest.raises(ProtocolError, match="party 0 ended the session: input of shape"):
        run(small.program, small.models[1], packets[1], np.zeros((1, 3), dtype=np.uint64), links[1])


def test_secrets_are_not_printed(small: Grid) -> None:
    got = ask(small, np.zeros((1, 3)))
    session = prepare(small.program, small.models[0], _packets(small)[0])
    for value in (got.results[0], small.models[0], session, session.supply, small.models[0].shares):
        assert "array" not in repr(value)


def test_output_shares_are_uniform_even_for_a_fixed_query() -> None:
    program = compile_plan(linear_plan(2, 1), batch=1, parties=3)
    grid = deployed(program, random_values(program, 1))
    x = np.array([[1.0, -2.0]])
    shares = np.array([[r.output_share[0, 0] for r in ask(grid, x).results] for _ in range(64)])
    assert len(np.unique(np.sum(shares, axis=1, dtype=np.uint64))) == 1
    ones = np.unpackbits(shares.view(np.uint8)).mean()
    assert abs(ones - 0.5) < 5 * 0.5 / np.sqrt(shares.size * 64)
    assert len(np.unique(shares)) == shares.size
