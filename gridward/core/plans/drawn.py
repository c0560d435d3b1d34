"""Dropout in plans: its random numbers are inputs of role ``random``, so that a plan stays a pure function.

The executor draws them, uniform in [0, 1), for each row of each step; the plan compares them with the rate.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gridward.core.errors import PlanRejectedError
from gridward.core.plans.torch_private import HINT, MULTI_HEAD, attention

_EACH: Final = frozenset({nn.functional.dropout})
_CHANNELS: Final = frozenset({nn.functional.dropout1d, nn.functional.dropout2d, nn.functional.dropout3d})


@dataclass(frozen=True, slots=True)
class Draw:
    """Numbers for one dropout: ``shape`` for each row; rows run along ``axis`` of what is dropped."""

    shape: tuple[int, ...]
    axis: int

    def example(self, rows: int) -> Tensor:
        """Give numbers for so many rows, the same ones each time."""
        return torch.rand(rows, *self.shape, generator=torch.Generator().manual_seed(0))


class Drawing(TorchFunctionMode):
    """Has dropout read ``numbers``, in the order of its calls; without them it drops nothing and is noted.

    What was noted means something once a function ran on ``HINT`` rows.
    """

    def __init__(self, numbers: Sequence[tuple[Draw, Tensor]] | None = None) -> None:
        super().__init__()
        self._shapes: list[tuple[int, ...]] = []
        self._numbers: Iterator[tuple[Draw, Tensor]] | None = None if numbers is None else iter(numbers)

    @property
    def draws(self) -> list[Draw]:
        """What the calls need; raises ``PlanRejectedError`` where that is not by row."""
        return [_draw(shape) for shape in self._shapes]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - torch calls anything through here
        given = kwargs or {}
        if func in _EACH | _CHANNELS:
            return self._drop(func in _CHANNELS, *args, **given)
        if func is nn.functional.multi_head_attention_forward:
            with self:
                return MULTI_HEAD(*args, **given)
        if func is nn.functional.scaled_dot_product_attention and _drops(*args, **given):
            with self:
                return attention(*args, **given)
        return func(*args, **given)

    def _drop(
        self,
        channels: bool,
        input: Tensor,
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
    ) -> Tensor:
        if not training or p == 0:
            return input
        if channels and input.ndim < 3:
            raise PlanRejectedError("dropout of channels takes a batch of channels")
        shape = (*input.shape[:2], *[1] * (input.ndim - 2)) if channels else tuple(input.shape)
        if self._numbers is None:
            self._shapes.append(tuple(shape))
            return input
        draw, numbers = next(self._numbers)
        placed = numbers.movedim(0, draw.axis) if draw.axis else numbers.reshape(shape)
        kept = (placed >= p).to(input.dtype)
        return input * (kept * (1 / (1 - p) if p < 1 else 0.0))


def _draw(shape: Sequence[int]) -> Draw:
    """Find the rows in a shape: they, or a multiple of them, come first, or one axis is theirs."""
    if shape and shape[0] % HINT == 0:
        several = shape[0] // HINT
        return Draw((*([several] if several > 1 else []), *shape[1:]), 0)
    if HINT in shape:
        axis = list(shape).index(HINT)
        return Draw((*shape[:axis], *shape[axis + 1 :]), axis)
    raise PlanRejectedError(f"dropout of a value of shape {list(shape)}, which has no rows")


def _drops(*args: Any, dropout_p: float = 0.0, **_: Any) -> bool:  # noqa: ANN401 - torch's arguments
    return bool(args[4] if len(args) > 4 else dropout_p)
