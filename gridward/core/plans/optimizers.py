"""Optimizers as part of a training plan: pure functions of parameters, gradients and state."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]
ANCHOR: Final = "anchor."
CONTROL: Final = "control."
LEARNING_RATE: Final = "lr"


class Optimizer(Protocol):
    """What a traced training step needs of an optimizer; what ``hyper`` gives stays an input of the plan."""

    def hyper(self) -> dict[str, Tensor]:
        """Give the hyperparameters that a runner may change between steps, as 0-dimensional tensors."""
        ...

    def initial_state(self, parameters: Tensors) -> dict[str, Tensor]:
        """Give the state before the first step."""
        ...

    def step(
        self, parameters: Tensors, gradients: Tensors, state: Tensors, hyper: Tensors
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Give the updated parameters and the updated state."""
        ...


@dataclass(frozen=True, slots=True)
class SGD:
    """Stochastic gradient descent, with the meaning of ``torch.optim.SGD`` (dampening 0)."""

    lr: float
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what ``torch.optim.SGD`` refuses."""
        if self.lr < 0 or self.momentum < 0 or self.weight_decay < 0:
            raise ValueError("lr, momentum and weight_decay are not negative")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum")

    def hyper(self) -> dict[str, Tensor]:
        """Give the learning rate."""
        return {LEARNING_RATE: torch.tensor(self.lr, dtype=torch.float32)}

    def initial_state(self, parameters: Tensors) -> dict[str, Tensor]:
        """Give zero momentum: the first step then equals torch's, which starts from the first gradient."""
        if not self.momentum:
            return {}
        return {f"momentum.{name}": torch.zeros_like(value) for name, value in parameters.items()}

    def step(
        self, parameters: Tensors, gradients: Tensors, state: Tensors, hyper: Tensors
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Move against the gradient."""
        updated, buffers = {}, {}
        for name, value in parameters.items():
            direction = gradients[name]
            if self.weight_decay:
                direction = direction + self.weight_decay * value
            if self.momentum:
                buffer = self.momentum * state[f"momentum.{name}"] + direction
                buffers[f"momentum.{name}"] = buffer
                direction = direction + self.momentum * buffer if self.nesterov else buffer
            updated[name] = value - hyper[LEARNING_RATE] * direction
        return updated, buffers


@dataclass(frozen=True, slots=True)
class Adam:
    """Adam (Kingma and Ba 2015), with the meaning of ``torch.optim.Adam``."""

    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what ``torch.optim.Adam`` refuses."""
        if self.lr < 0 or self.eps < 0 or self.weight_decay < 0:
            raise ValueError("lr, eps and weight_decay are not negative")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise ValueError("betas are at least 0 and below 1")

    def hyper(self) -> dict[str, Tensor]:
        """Give the learning rate."""
        return {LEARNING_RATE: torch.tensor(self.lr, dtype=torch.float32)}

    def initial_state(self, parameters: Tensors) -> dict[str, Tensor]:
        """Give zero moments and a step count of 0."""
        # 1 - 0.999**steps keeps no four digits in float32
        state = {"adam.steps": torch.zeros((), dtype=torch.float64)}
        for name, value in parameters.items():
            state[f"adam.mean.{name}"] = torch.zeros_like(value)
            state[f"adam.square.{name}"] = torch.zeros_like(value)
        return state

    def step(
        self, parameters: Tensors, gradients: Tensors, state: Tensors, hyper: Tensors
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Move against the mean gradient, scaled by its root mean square."""
        if self.weight_decay:
            gradients = {
                name: gradients[name] + self.weight_decay * value for name, value in parameters.items()
            }
        return self._moved(parameters, gradients, state, hyper)

    def _moved(
        self, parameters: Tensors, gradients: Tensors, state: Tensors, hyper: Tensors
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        steps = state["adam.steps"] + 1
        moments = {"adam.steps": steps}
        rate = hyper[LEARNING_RATE] / (1 - self.beta1**steps)
        correction = (1 - self.beta2**steps).sqrt()
        updated = {}
        for name, value in parameters.items():
            gradient = gradients[name]
            mean = self.beta1 * state[f"adam.mean.{name}"] + (1 - self.beta1) * gradient
            square = self.beta2 * state[f"adam.square.{name}"] + (1 - self.beta2) * gradient * gradient
            moments |= {f"adam.mean.{name}": mean, f"adam.square.{name}": square}
            updated[name] = value - rate * mean / (square.sqrt() / correction + self.eps)
        return updated, moments


@dataclass(frozen=True, slots=True)
class AdamW(Adam):
    """Adam whose weights decay apart from the gradient (Loshchilov and Hutter 2019), as torch's ``AdamW``."""

    weight_decay: float = 0.01

    def step(
        self, parameters: Tensors, gradients: Tensors, state: Tensors, hyper: Tensors
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Shrink the parameters, then move them as Adam does."""
        kept = 1 - hyper[LEARNING_RATE] * self.weight_decay
        shrunk = {name: value * kept for name, value in parameters.items()}
        return self._moved(shrunk, gradients, state, hyper)


@dataclass(frozen=True, slots=True)
class Guided:
    """Another optimizer, whose gradients a strategy adds to: what keeps nodes together in federated learning.

    The gradient gets ``proximal`` times the way from the values that the run began with, and, if
    ``controlled``, a control that stays as it is given. Both are state of the plan that no step changes:
    ``anchor.<name>`` and ``control.<name>``.
    """

    inner: Optimizer
    proximal: float = 0.0
    controlled: bool = False

    def hyper(self) -> dict[str, Tensor]:
        """Give the other's."""
        return self.inner.hyper()

    def initial_state(self, parameters: Tensors) -> dict[str, Tensor]:
        """Give the other's, the values now, and a control of zero."""
        state = self.inner.initial_state(parameters)
        if self.proximal:
            state |= {f"{ANCHOR}{name}": value.detach().clone() for name, value in parameters.items()}
        if self.controlled:
            state |= {f"{CONTROL}{name}": torch.zeros_like(value) for name, value in parameters.items()}
        return state

    def step(
        self, parameters: Tensors, gradients: Tensors, state: Tensors, hyper: Tensors
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Add to the gradients, then step as the other does."""
        guided = dict(gradients)
        for name, value in parameters.items():
            if self.proximal:
                guided[name] = guided[name] + self.proximal * (value - state[f"{ANCHOR}{name}"])
            if self.controlled:
                guided[name] = guided[name] + state[f"{CONTROL}{name}"]
        return self.inner.step(parameters, guided, state, hyper)
