"""Where a training computes: on the processor, or on a CUDA device of the machine."""

from enum import StrEnum
from typing import Final

import torch

from gridward.core.errors import InvalidInputError

CPU: Final = torch.device("cpu")


class Device(StrEnum):
    """What a node's owner may ask for; ``auto`` is CUDA where torch sees it."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def find(wanted: Device) -> torch.device:
    """Give the device; raises ``InvalidInputError`` if CUDA is asked for and torch sees none."""
    seen = wanted is not Device.CPU and torch.cuda.is_available()
    if wanted is Device.CUDA and not seen:
        raise InvalidInputError(
            "trainings shall compute on CUDA, and torch sees no such device here; "
            "set GRIDWARD_DEVICE to 'auto' or 'cpu', or install a driver and a torch build for CUDA"
        )
    return torch.device("cuda") if seen else CPU
