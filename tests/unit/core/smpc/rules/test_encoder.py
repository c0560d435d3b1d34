"""A transformer's encoder block, whole."""

import pytest
import torch

from gridward.bench.architectures import EncoderBlock
from tests.support.encrypted import drawn, run_module


def block(width: int, heads: int, hidden: int) -> EncoderBlock:
    torch.manual_seed(7)
    return EncoderBlock(width, heads, hidden)


@pytest.mark.parametrize(("parties", "levels", "batch"), [(2, 2, 2), (3, 1, 1)])
def test_an_encoder_block_is_that_of_torch(parties: int, levels: int, batch: int) -> None:
    # ten thousandths after two norms, whose results have a deviation of 1
    run_module(block(16, 2, 32), drawn(batch, 6, 16), 32, parties=parties, levels=levels)


def test_an_encoder_block_may_come_before_a_head() -> None:
    module = torch.nn.Sequential(
        block(8, 2, 16), torch.nn.Flatten(), torch.nn.Linear(40, 3), torch.nn.Softmax(1)
    )
    run_module(module, drawn(3, 5, 8), 24)
