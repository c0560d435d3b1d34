"""How kernels are compiled for this processor; every kernel is, by what this module offers.

LLVM keeps to 256-bit vectors on many processors that have 512-bit ones, for fear of a lower clock; products
of 64-bit words gain more than that.
"""

import ctypes
import platform
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeVar, cast

import numba as nb
from llvmlite import binding
from numba.core import config

Function = TypeVar("Function", bound=Callable[..., Any])

_ARCH_PRCTL: Final = 158
_REQUEST_PERMISSION: Final = 0x1023
_TILE_DATA: Final = 18


def _features() -> dict[str, bool]:
    return dict(binding.get_host_cpu_features())


def widen_vectors() -> None:
    """Let LLVM use 512-bit vectors where the processor has them; settings of the user's own stay."""
    settings: Any = config
    chosen = settings.CPU_FEATURES is not None or settings.CPU_NAME is not None
    if not chosen and _features().get("avx512dq", False):
        settings.CPU_NAME = binding.get_host_cpu_name()
        settings.CPU_FEATURES = binding.get_host_cpu_features().flatten() + ",-prefer-256-bit"


@lru_cache(maxsize=1)
def has_tiles() -> bool:
    """Say whether the processor multiplies 8-bit tiles (AMX), asking Linux for leave to use them once."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    if not all(_features().get(name, False) for name in ("amx-tile", "amx-int8", "avx512vbmi")):
        return False
    refused: int = ctypes.CDLL(None).syscall(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA)
    return refused == 0


def compiled(signature: str) -> Callable[[Function], Function]:
    """Compile a function for one signature when its module is imported; it releases Python's lock."""
    return cast(Callable[[Function], Function], nb.njit(signature, cache=True, nogil=True))


def compiled_for(*signatures: str) -> Callable[[Function], Function]:
    """Compile a function as ``compiled`` does, for several signatures; a call takes the first that fits."""
    return cast(Callable[[Function], Function], nb.njit(list(signatures), cache=True, nogil=True))


def compiled_late(function: Function) -> Function:
    """Compile a function when it is first called, or where it is called from one that is."""
    return cast(Function, nb.njit(cache=True, nogil=True)(function))


widen_vectors()
