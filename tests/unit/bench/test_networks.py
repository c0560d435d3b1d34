from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gridward.bench.architectures import Basic, Bottleneck, settled
from gridward.bench.catalogue import FLAGS
from gridward.bench.networks import MAKERS, Network, network, of_module
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.gate import MultiplyParameter
from gridward.core.smpc.lowering import MaxForm
from tests.support.encrypted import ULP, assert_kept


def test_the_same_name_gives_the_same_weights() -> None:
    first, second = network("lenet").parameters, network("lenet").parameters
    assert first.keys() == second.keys()
    assert all((first[name] == second[name]).all() for name in first)


COUNTS = {"mlp": 118_282, "lenet": 431_080, "transformer": 49_984}
LARGE = {"vgg16": 15_245_130, "alexnet": 61_100_840, "resnet18": 11_173_962, "resnet50": 25_557_032}


def parameters_of(asked: Network) -> int:
    return sum(value.numel() for value in asked.module.parameters())


def test_a_small_network_has_the_parameters_that_it_is_known_for() -> None:
    for name, count in COUNTS.items():
        asked = network(name)
        assert parameters_of(asked) == sum(value.size for value in asked.parameters.values()) == count
        assert len(asked.in_the_clear(asked.inputs(3, seed=0))) == 3


def test_every_network_may_be_asked_for() -> None:
    assert set(MAKERS) == set(COUNTS) | set(LARGE) == set(FLAGS["model"].choices)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_a_large_network_compiles_in_a_moment_with_every_norm_in_a_layer(name: str) -> None:
    asked = network(name)
    assert parameters_of(asked) == LARGE[name]
    program = compile_plan(asked.plan, batch=1, parties=2)
    assert not any(isinstance(gate, MultiplyParameter) for gate in program.gates)
    assert (program.costs.rounds, program.costs.ring_macs) == {
        "vgg16": (98, 313_725_952),
        "alexnet": (87, 714_188_480),
        "resnet18": (89, 555_422_720),
        "resnet50": (266, 4_089_184_256),
    }[name]


def held(asked: Network, ulps: float, **numbers: Any) -> None:
    x = asked.inputs(1, seed=3)
    program = compile_plan(asked.plan, batch=1, **({"parties": 2} | numbers))
    got = assert_kept(program, asked.parameters, x.numpy())
    assert np.max(np.abs(got.output - asked.in_the_clear(x))) < ulps * ULP


@pytest.mark.parametrize(("name", "ulps"), [("mlp", 16), ("lenet", 16), ("transformer", 64)])
def test_a_network_answers_as_the_reference_does_and_near_to_float(name: str, ulps: float) -> None:
    held(network(name), ulps)


@pytest.mark.parametrize("block", [Basic, Bottleneck])
@pytest.mark.parametrize("parties", [2, 3])
def test_residual_networks_answer_as_the_reference_does(
    block: type[Basic | Bottleneck], parties: int
) -> None:
    torch.manual_seed(4)
    stem = nn.Sequential(nn.Conv2d(1, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU())
    stages = nn.Sequential(block(64, 8, 1), block(8 * block.spread, 8, 2))
    module = nn.Sequential(stem, stages, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8 * block.spread, 3))
    held(of_module(settled(module, (1, 8, 8), rows=4), (1, 8, 8), "small"), 64, parties=parties)


def test_a_pooled_network_answers_alike_in_both_forms() -> None:
    asked = network("lenet")
    rounds = []
    for form in (MaxForm.TREE, MaxForm.PAIRS):
        held(asked, 16, maxima=form)
        rounds.append(compile_plan(asked.plan, batch=1, parties=2, maxima=form).costs.rounds)
    assert rounds == [35, 21]


def test_inputs_are_pixels_and_follow_their_seed() -> None:
    asked = network("lenet")
    x = asked.inputs(4, seed=5)
    assert x.shape == (4, 1, 28, 28)
    assert 0 <= float(x.min()) < float(x.max()) < 1
    assert torch.equal(x, asked.inputs(4, seed=5))
    assert not torch.equal(x, asked.inputs(4, seed=6))
