"""A transformer's encoder block (Vaswani et al. 2017) of ordinary layers, norm after each half, with GELU."""

from torch import Tensor, nn


class Attention(nn.Module):
    """Self-attention of several heads over (rows, tokens, width), without a mask."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Weigh the values of all tokens by how well keys fit queries."""
        query, key, value = (self._split(layer(x)) for layer in (self.query, self.key, self.value))
        fit = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
        seen: Tensor = self.out((fit.softmax(-1) @ value).transpose(1, 2).flatten(2))
        return seen

    def _split(self, x: Tensor) -> Tensor:
        return x.view(-1, x.shape[1], self.heads, x.shape[2] // self.heads).transpose(1, 2)


class EncoderBlock(nn.Module):
    """Attention and two layers for each token; both are added to what they read, then normed."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Apply both halves."""
        seen = self.first_norm(x + self.attention(x))
        normed: Tensor = self.second_norm(seen + self.layers(seen))
        return normed
