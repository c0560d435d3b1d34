"""Where a run stands between two rounds, and which of its models is the best."""

from dataclasses import dataclass, replace

from gridward.client.federation.gathering import Parameters
from gridward.client.federation.history import NodeReport, RoundReport, weighted


@dataclass(frozen=True, slots=True)
class Best:
    """The best model so far, made by ``round`` (0: the given one)."""

    round: int
    loss: float
    joint: Parameters


@dataclass(frozen=True, slots=True)
class State:
    """All that the next round needs, besides the setup and the strategy's own state.

    ``ended``: no round follows, even where the last look at the model makes it the best.
    """

    joint: Parameters
    history: tuple[RoundReport, ...] = ()
    best: Best | None = None
    ended: bool = False

    @property
    def done(self) -> int:
        """Rounds that counted."""
        return len(self.history)


def after_round(state: State, joint: Parameters, report: RoundReport) -> State:
    """Note a round; its nodes have judged the model that it began with."""
    judged = after_look(state, report.nodes)
    return State(joint, (*judged.history, report), judged.best)


def after_look(state: State, reports: tuple[NodeReport, ...]) -> State:
    """Note how nodes judged the joint model, and keep it if none was better."""
    values = weighted(reports, lambda report: report.validation, lambda report: report.validation_rows)
    if "loss" not in values:
        return state
    history = state.history
    if history:
        history = (*history[:-1], replace(history[-1], validation=values))
    best = state.best
    if best is None or values["loss"] < best.loss:
        best = Best(state.done, values["loss"], state.joint)
    return State(state.joint, history, best, state.ended)


def has_stalled(state: State, patience: int | None) -> bool:
    """Say whether the best model is so many rounds older than the last that was judged."""
    if patience is None or state.best is None:
        return False
    judged = max((report.number for report in state.history if "loss" in report.validation), default=0)
    return judged - state.best.round >= patience
