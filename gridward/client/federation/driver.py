"""Federated learning over nodes: each trains on its own rows, side by side; a strategy joins the results."""

import copy
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Final

import torch

from gridward.client.federation.checkpoints import Checkpoints
from gridward.client.federation.following import Follower, Nobody
from gridward.client.federation.gathering import Gathering, Parameters, PlainGathering
from gridward.client.federation.history import RoundReport, TrainingResult
from gridward.client.federation.presence import Presence, unknown
from gridward.client.federation.rounds import Means, MissedQuorumError, Round, look
from gridward.client.federation.setup import Setup
from gridward.client.federation.state import State, after_look, after_round, has_stalled
from gridward.client.federation.terms import Deadline
from gridward.client.progress import bar
from gridward.core.errors import GridError, InvalidInputError

_FIRST_PAUSE_S: Final = 0.5
_MOST_PAUSE_S: Final = 30.0


_NOBODY: Final = Nobody()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a run is driven: what is known of nodes, how updates come back, who keeps and who follows it."""

    presence: Presence = unknown
    gathering: Gathering | None = None
    checkpoints: Checkpoints | None = None
    follower: Follower = _NOBODY
    shown: bool | None = None


def start(setup: Setup, around: Surroundings) -> State:
    """Drive a run from its beginning to its end.

    Every round each node starts from the joint parameters and a fresh optimizer, and trains ``run.epochs``
    over its rows. A node that fails or is late is named in the history and asked again next round.
    ``TrainingError`` names all of them if fewer answer than ``strategy`` and ``terms`` want, for longer than
    ``terms`` wait. With checkpoints, every round that counted is kept.
    """
    with around.checkpoints.held() if around.checkpoints else nullcontext():
        if around.checkpoints is not None:
            around.checkpoints.begin(setup)
        return _drive(setup, _begun(setup), around)


def resume(setup: Setup, around: Surroundings) -> State:
    """Drive a run on from its last checkpoint; one that has ended is only read."""
    kept = around.checkpoints
    if kept is None:
        raise TypeError("a run is resumed from checkpoints")
    with kept.held():
        state, found = _begun(setup), kept.state()
        if found is not None:
            state = found[0]
            setup.strategy.load_state_dict(found[1])
        return _drive(setup, state, around)


def result_of(model: torch.nn.Module, setup: Setup, state: State) -> TrainingResult:
    """Put the run's model into a copy of a module of the same kind."""
    best = state.best
    joint, number = (state.joint, state.done) if best is None else (best.joint, best.round)
    return TrainingResult(_filled(model, joint), list(state.history), number, setup.id)


def _begun(setup: Setup) -> State:
    return State({name: setup.lesson.parameters[name] for name in setup.model_names})


def _drive(setup: Setup, state: State, around: Surroundings) -> State:
    """Drive a run to its end, and say how it ended."""
    if setup.secure is not None and around.gathering is None:
        raise InvalidInputError(
            "this run's updates come back in sums only, and nothing was given to add them up"
        )
    follower = around.follower
    try:
        follower.begin(setup, state)
        state = _through(setup, state, around)
    except GridError as why:
        follower.end(why.detail, None)
        raise
    except BaseException as why:
        follower.end(f"its driver ended: {type(why).__name__}", None)
        raise
    follower.end("", state.done if state.best is None else state.best.round)
    return state


def _through(setup: Setup, state: State, around: Surroundings) -> State:
    gathering = around.gathering if around.gathering is not None else PlainGathering()
    with bar(f"Federated training {setup.id}", setup.rounds, shown=around.shown) as advance:
        while not state.ended:
            around.follower.go_on()
            means = Means(setup, gathering, around.presence, _teller(advance, around, state.done))
            joint, report = _counted(state, means)
            state = after_round(state, joint, report)
            state = replace(state, ended=_is_over(setup, state))
            _keep(setup, state, around)
            advance(state.done, _note(report))
        if setup.choice.validation and state.history and not state.history[-1].validation:
            means = Means(setup, gathering, around.presence, _teller(advance, around, state.done))
            state = after_look(state, look(means, state.joint))
            _keep(setup, state, around)
    return state


def _is_over(setup: Setup, state: State) -> bool:
    return state.done >= setup.rounds or has_stalled(state, setup.choice.patience)


def _keep(setup: Setup, state: State, around: Surroundings) -> None:
    if around.checkpoints is not None:
        around.checkpoints.save(state, setup.strategy.state_dict())
    around.follower.rounds(*state.history[-2:])


def _counted(state: State, means: Means) -> tuple[Mapping[str, torch.Tensor], RoundReport]:
    """Perform a round until it counts, or its terms wait no longer: then raises ``MissedQuorumError``."""
    wait: Deadline | None = None
    pause_s = _FIRST_PAUSE_S
    while True:
        this = Round(state.done, means)
        try:
            return this.perform(state.joint), this.report()
        except MissedQuorumError as why:
            wait = wait or Deadline(means.setup.terms.wait_s)
            if wait.passed:
                raise
            means.tell(f"{why.detail}; they are asked again")
            time.sleep(wait.left_s(pause_s))
            pause_s = min(2 * pause_s, _MOST_PAUSE_S)


def _filled(model: torch.nn.Module, joint: Parameters) -> torch.nn.Module:
    result = copy.deepcopy(model).to("cpu")
    own = result.state_dict()
    odd = sorted(name for name, value in joint.items() if name not in own or own[name].shape != value.shape)
    if odd:
        raise InvalidInputError(f"this is not the model of the run: {', '.join(odd[:5])} do not fit")
    with torch.no_grad():
        for name, value in joint.items():
            own[name].copy_(value)
    return result


def _teller(advance: Callable[[float, str], None], around: Surroundings, done: int) -> Callable[[str], None]:
    def tell(text: str) -> None:
        advance(done, text)
        around.follower.tell(text)

    return tell


def _note(report: RoundReport) -> str:
    loss = report.metrics.get("loss")
    lost = f", without {', '.join(sorted(report.failures))}" if report.failures else ""
    return (f"loss {loss:.4f}" if loss is not None else "") + lost
