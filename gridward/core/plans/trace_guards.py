"""What tracing is done within: refusals in torch's words with a hint, and a module's mode put back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from torch import nn

from gridward.core.errors import PlanRejectedError

HINTS: Final = {
    "data-dependent expression": (
        " (values decide what is computed; an encoder with a mask needs is_causal, batch norm a momentum)"
    ),
    "Cannot call numel()": " (dropout is random: only a training step has it; elsewhere put it in eval mode)",
}


@contextmanager
def refusing() -> Iterator[None]:
    """Say of what torch cannot run or trace that it cannot be a plan."""
    try:
        yield
    except RuntimeError as why:
        text = (str(why).strip() or type(why).__name__).splitlines()[0][:400]
        hint = next((words for part, words in HINTS.items() if part in text), "")
        raise PlanRejectedError(f"the function cannot become a plan: {text}{hint}") from why


@contextmanager
def mode(module: nn.Module, *, training: bool) -> Iterator[None]:
    """Put a module into training or evaluation mode, and every part back into its own."""
    before = {part: part.training for part in module.modules()}
    module.train(training)
    try:
        yield
    finally:
        for part, was in before.items():
            part.training = was
