import torch

from gridward.bench.catalogue import MODELS
from gridward.bench.networks import MAKERS, network


def test_the_command_line_knows_every_network() -> None:
    assert tuple(MAKERS) == MODELS


def test_the_same_name_gives_the_same_weights() -> None:
    first, second = network("lenet").parameters, network("lenet").parameters
    assert first.keys() == second.keys()
    assert all((first[name] == second[name]).all() for name in first)


def test_the_networks_have_the_parameters_that_they_are_known_for() -> None:
    for name, count in (("mlp", 118_282), ("lenet", 431_080)):
        asked = network(name)
        assert sum(value.size for value in asked.parameters.values()) == count
        assert asked.in_the_clear(asked.inputs(3, seed=0)).shape == (3, 10)


def test_an_encoder_block_keeps_the_shape_of_its_tokens() -> None:
    asked = network("transformer")
    assert sum(value.size for value in asked.parameters.values()) == 49_984
    assert asked.in_the_clear(asked.inputs(3, seed=0)).shape == (3, 16, 64)


def test_inputs_are_pixels_and_follow_their_seed() -> None:
    asked = network("lenet")
    x = asked.inputs(4, seed=5)
    assert x.shape == (4, 1, 28, 28)
    assert 0 <= float(x.min()) < float(x.max()) < 1
    assert torch.equal(x, asked.inputs(4, seed=5))
    assert not torch.equal(x, asked.inputs(4, seed=6))
