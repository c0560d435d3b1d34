import hashlib

import numpy as np
import pytest

from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.correlations import correction_bytes
from gridward.core.smpc.dealer import Dealer, deployment_name
from gridward.core.smpc.packets import HEADER_BYTES, parse_packet
from tests.support.parties import SeededEntropy, ask, deployed, linear_plan, mlp_plan, random_values


@pytest.fixture(scope="module")
def dealer() -> Dealer:
    return Dealer(compile_plan(mlp_plan(3, 4, 2), batch=1, parties=3), b"s" * 32)


def test_one_party_gets_corrections_and_the_others_a_seed(dealer: Dealer) -> None:
    program = compile_plan(mlp_plan(3, 4, 2), batch=1, parties=3)
    for corrected in range(3):
        lengths = [len(packet) for packet in dealer.deal_query(SeededEntropy(1), corrected)]
        expected = [HEADER_BYTES] * 3
        expected[corrected] += correction_bytes(program.manifest)
        assert lengths == expected


def test_packets_of_one_query_share_serial_and_deployment_and_nothing_else(dealer: Dealer) -> None:
    packets = [parse_packet(packet) for packet in dealer.deal_query(SeededEntropy(1), 0)]
    assert {packet.serial for packet in packets} == {packets[0].serial}
    assert {packet.deployment for packet in packets} == {deployment_name(b"s" * 32)}
    assert len({packet.seed for packet in packets}) == 3


def test_queries_have_fresh_serials_and_seeds(dealer: Dealer) -> None:
    entropy = SeededEntropy(1)
    packets = [parse_packet(dealer.deal_query(entropy, 0)[1]) for _ in range(3)]
    assert len({packet.serial for packet in packets}) == len({packet.seed for packet in packets}) == 3


def test_the_bytes_of_a_dealt_query_are_frozen() -> None:
    # if this changes, packets of another version must be refused: raise the packet's magic
    program = compile_plan(linear_plan(2, 1), batch=1, parties=2)
    packets = Dealer(program, b"s" * 32).deal_query(SeededEntropy(1), 1)
    assert (
        hashlib.sha256(b"".join(packets)).hexdigest()
        == "cc91859c2d45b8fd9f46f5c2a3a3a90d22427c48cb49114774da5235718cba98"
    )


def test_any_party_may_be_the_corrected_one(dealer: Dealer) -> None:
    program = compile_plan(mlp_plan(3, 4, 2), batch=1, parties=3)
    grid = deployed(program, random_values(program, 1))
    x = np.array([[0.5, -1.0, 2.0]])
    outputs = [ask(grid, x, corrected_party=party).output for party in range(3)]
    assert all(np.max(np.abs(output - outputs[0])) < 2.0**-13 for output in outputs)


def test_the_deployments_name_says_nothing_of_its_secret() -> None:
    assert deployment_name(b"s" * 32) != deployment_name(b"t" * 32)
    assert deployment_name(b"s" * 32) not in b"s" * 32
