"""Parameters that the model's owner derives from those of the plan, before they are split.

Batch norm in evaluation is (x - mean) * gain + bias with gain = weight / sqrt(variance + eps). Behind a layer
it goes into that layer's parameters. Everyone compiles the recipes by name; the owner alone has the numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridward.core.errors import InvalidInputError, OutOfRangeError


class Part(StrEnum):
    """What a recipe makes.

    SCALED: a weight, each of its output channels times the gain. SHIFTED: a layer's bias, or 0, put through
    the norm. GAIN: the gain.
    """

    SCALED = "scaled"
    SHIFTED = "shifted"
    GAIN = "gain"


@dataclass(frozen=True, slots=True)
class Norm:
    """A batch norm by the names of the plan's parameters; an absent weight is 1, an absent bias 0."""

    weight: str | None
    bias: str | None
    mean: str
    variance: str
    eps: float


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one parameter is derived; ``base`` names the layer's own, ``axis`` counts its output channels."""

    part: Part
    norm: Norm
    base: str | None = None
    axis: int = 0

    @property
    def name(self) -> str:
        """Say what it is, for messages."""
        return f"{self.base or self.norm.mean} {self.part} by {self.norm.variance}"

    @property
    def sources(self) -> tuple[str, ...]:
        """Name the plan's parameters that it reads."""
        norm = self.norm
        shift = (norm.bias, norm.mean) if self.part is Part.SHIFTED else ()
        return tuple(name for name in (self.base, norm.weight, norm.variance, *shift) if name is not None)

    def derive(self, values: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        """Compute the parameter in float64 from real numbers by name.

        Raises ``InvalidInputError`` where one is missing or misshapen, ``OutOfRangeError`` where the variance
        is not positive.
        """
        if missing := [name for name in self.sources if name not in values]:
            raise InvalidInputError(f"parameter {missing[0]!r} is missing")
        reals = {name: np.asarray(values[name], dtype=np.float64) for name in self.sources}
        variance = reals[self.norm.variance] + self.norm.eps
        if not np.all(variance > 0):
            raise OutOfRangeError(f"parameter {self.norm.variance!r}: a variance is not positive")
        try:
            return self._derived(reals, variance)
        except ValueError as why:
            raise InvalidInputError(f"parameter {self.name!r}: {why}") from why

    def _derived(
        self, reals: Mapping[str, NDArray[np.float64]], variance: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        def named(name: str | None, absent: float) -> NDArray[np.float64]:
            return np.full_like(variance, absent) if name is None else reals[name]

        gain = named(self.norm.weight, 1.0) / np.sqrt(variance)
        match self.part:
            case Part.GAIN:
                return gain
            case Part.SHIFTED:
                shift = named(self.base, 0.0) - reals[self.norm.mean]
                return shift * gain + named(self.norm.bias, 0.0)
            case Part.SCALED:
                weight = named(self.base, 1.0)
                return weight * gain.reshape([-1 if at == self.axis else 1 for at in range(weight.ndim)])
