"""Checkpoints of a run: all that the next round needs, in a folder that is whole at any moment.

`setup.json` and `setup.safetensors` are written once. A round writes its tensors under a name of their own,
then `progress.json`, which names them, by renaming: that moment is the checkpoint. Who reads the folder has
the model: it is the user's alone.
"""

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from gridward.client.federation.history import record_of, report_of
from gridward.client.federation.setup import Setup, document
from gridward.client.federation.state import Best, State
from gridward.core.errors import ConflictError, InvalidInputError, ObjectNotFoundError
from gridward.core.plans import canonical
from gridward.core.schemas.runs import RunProgress, RunSetup

_Read = TypeVar("_Read")
_SETUP: Final = "setup.json"
_GIVEN: Final = "setup.safetensors"
_PROGRESS: Final = "progress.json"
_ARRAY: Final = "array"
_GROUPS: Final = ("joint", "best", "strategy")


class Checkpoints:
    """The folder of one run. ``held`` keeps other drivers away from it; ``taken``: this one has held it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.taken = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the folder for this process.

        Raises ``ConflictError`` if another one drives the run, ``InvalidInputError`` without a folder.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as why:
            raise InvalidInputError(
                f"no checkpoints can be kept in {self.folder} ({why.strerror}); "
                "name a folder as checkpoint=, or give checkpoint=False"
            ) from why
        with (self.folder / "running").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as why:
                raise ConflictError(f"another process drives the run in {self.folder}") from why
            self.taken = True
            yield

    def begin(self, setup: Setup) -> None:
        """Write what the run is; raises ``ConflictError`` if there is a run in the folder."""
        if (self.folder / _SETUP).exists():
            raise ConflictError(f"there is a run in {self.folder}; resume it, or take another folder")
        self._write(_GIVEN, save(_plain(setup.lesson.parameters)))
        self._write(_SETUP, canonical.dumps(document(setup).model_dump(mode="json", by_alias=True)))

    def save(self, state: State, strategy: Mapping[str, Any]) -> None:
        """Write where the run stands; what was there before stays until this is whole."""
        tensors = {f"joint/{name}": value for name, value in state.joint.items()}
        if state.best is not None:
            tensors |= {f"best/{name}": value for name, value in state.best.joint.items()}
        described = _lifted(strategy, tensors)
        name = f"round-{state.done:06}-{secrets.token_hex(4)}.safetensors"
        progress = RunProgress(
            tensors=name,
            strategy=described,
            best_round=None if state.best is None else state.best.round,
            best_loss=None if state.best is None else state.best.loss,
            ended=state.ended,
            history=[record_of(report) for report in state.history],
        )
        self._write(name, save(_plain(tensors)))
        self._write(_PROGRESS, canonical.dumps(progress.model_dump(mode="json")))
        for old in self.folder.glob("round-*.safetensors"):
            if old.name != name:
                old.unlink()

    def setup(self) -> tuple[RunSetup, dict[str, torch.Tensor]]:
        """Read what the run is; raises ``ObjectNotFoundError`` if there is none."""
        return self._read(_SETUP, RunSetup.model_validate_json), self._read(_GIVEN, load)

    def state(self) -> tuple[State, Mapping[str, Any]] | None:
        """Read where the run stands and the strategy's state; None before its first round has counted."""
        if not (self.folder / _PROGRESS).exists():
            return None
        progress = self._read(_PROGRESS, RunProgress.model_validate_json)
        groups: dict[str, dict[str, torch.Tensor]] = {group: {} for group in _GROUPS}
        for key, value in self._read(progress.tensors, load).items():
            group, _, name = key.partition("/")
            groups[group][name] = value
        best = None
        if progress.best_round is not None and progress.best_loss is not None:
            best = Best(progress.best_round, progress.best_loss, groups["best"])
        history = tuple(report_of(record) for record in progress.history)
        strategy = _lowered(progress.strategy, groups["strategy"])
        return State(groups["joint"], history, best, progress.ended), strategy

    def remove(self) -> None:
        """Take the run's files away."""
        names = (_PROGRESS, _SETUP, _GIVEN, "running")
        for path in [*self.folder.glob("round-*.safetensors"), *(self.folder / name for name in names)]:
            path.unlink(missing_ok=True)
        self.folder.rmdir()

    def _write(self, name: str, blob: bytes) -> None:
        temporary = self.folder / f"{name}.part"
        with open(temporary, "wb", opener=_private) as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.folder / name)
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _read(self, name: str, parse: Callable[[bytes], _Read]) -> _Read:
        try:
            return parse((self.folder / name).read_bytes())
        except FileNotFoundError as why:
            raise ObjectNotFoundError(f"there is no run in {self.folder}: {name} is missing") from why
        except (ValidationError, SafetensorError) as why:
            raise InvalidInputError(f"{self.folder / name} is damaged: {why}") from why


def default_folder(run_id: str) -> Path:
    """Give the place of a run where none was chosen."""
    return Path.home() / ".local" / "share" / "gridward" / "runs" / run_id


def _private(path: str, flags: int) -> int:
    """Open a file that is the user's alone, whatever folder it is in."""
    handle = os.open(path, flags, 0o600)
    os.fchmod(handle, 0o600)
    return handle


def _plain(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give tensors that share no memory, as the format wants it."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


def _lifted(state: object, tensors: dict[str, torch.Tensor]) -> object:
    """Put a state's arrays among the tensors, and their names in their place."""
    if isinstance(state, Mapping):
        return {str(key): _lifted(value, tensors) for key, value in state.items()}
    if isinstance(state, np.ndarray | np.generic):
        name = str(len(tensors))
        tensors[f"strategy/{name}"] = torch.from_numpy(np.array(state))
        return {_ARRAY: name}
    return state


def _lowered(state: Any, tensors: Mapping[str, torch.Tensor]) -> Any:  # noqa: ANN401 (a state is any tree)
    """Put arrays back in their places."""
    if not isinstance(state, dict):
        return state
    if set(state) == {_ARRAY} and isinstance(state[_ARRAY], str):
        return tensors[state[_ARRAY]].numpy()
    return {key: _lowered(value, tensors) for key, value in state.items()}
