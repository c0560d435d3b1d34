"""Attention and encoders of torch's own modules, in evaluation mode, with seeded weights."""

from typing import Any

import torch
from torch import Tensor, nn


def causal(places: int) -> Tensor:
    """Give the additive mask that hides later places."""
    return nn.Transformer.generate_square_subsequent_mask(places)


def encoder_layer(width: int, heads: int, hidden: int, **more: Any) -> nn.TransformerEncoderLayer:
    """Give an encoder layer, batch first where nothing else is said."""
    torch.manual_seed(7)
    return nn.TransformerEncoderLayer(
        width, heads, hidden, **({"batch_first": True, "dropout": 0.0} | more)
    ).eval()


class Attention(nn.Module):
    """Attention of a sequence to itself, with a mask that is the same for all."""

    def __init__(self, width: int, heads: int, mask: Tensor | None = None, **how: Any) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mask, self.how = mask, how
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Give what each place takes from the others."""
        mask = self.mask
        if mask is not None and mask.is_floating_point():
            mask = mask.to(x.dtype)
        made: Tensor = self.attention(x, x, x, attn_mask=mask, **self.how)[0]
        return made


class Encoder(nn.Module):
    """Two encoder layers behind a parameter for each place."""

    def __init__(self, places: int, width: int, heads: int, hidden: int, masked: bool = False) -> None:
        super().__init__()
        self.layers = nn.TransformerEncoder(encoder_layer(width, heads, hidden), 2)
        self.places = nn.Parameter(torch.randn(1, places, width))
        self.masked = masked
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Encode sequences."""
        placed = x + self.places[:, : x.shape[1]]
        mask = causal(x.shape[1]) if self.masked else None
        made: Tensor = self.layers(placed, mask=mask, is_causal=self.masked)
        return made
