"""Flower's strategies over Gridward's nodes. Import it where ``flwr`` is installed; nothing else needs it.

Flower decides who takes part and how updates are joined; what a node runs stays the traced plan, under its
owner's rules. So of Flower's fit configuration only ``proximal_mu`` has a meaning here.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from flwr.common import FitRes, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.typing import Code, Status

from gridward.core.errors import InvalidInputError, TrainingError
from gridward.core.federation.aggregate import Array, Parameters, Update, check
from gridward.core.federation.strategies import LocalRule, RoundPlan

PROXIMAL = "proximal_mu"


def parameters_of(model: torch.nn.Module) -> Any:  # noqa: ANN401 (a type of Flower's)
    """Give a model's parameters and buffers as Flower's, for strategies that want ``initial_parameters``."""
    return ndarrays_to_parameters([value.detach().cpu().numpy() for value in model.state_dict().values()])


@dataclass(frozen=True, slots=True)
class _Client:
    """A node as Flower's strategies see it."""

    cid: str


class _Clients:
    """The nodes of one round as Flower's client manager, which never waits for more of them."""

    def __init__(self, nodes: Sequence[str], drawn: random.Random) -> None:
        self._nodes = {name: _Client(name) for name in nodes}
        self._drawn = drawn

    def num_available(self) -> int:
        return len(self._nodes)

    def all(self) -> dict[str, _Client]:
        return dict(self._nodes)

    def sample(
        self,
        num_clients: int,
        min_num_clients: int | None = None,
        criterion: Any = None,  # noqa: ANN401
    ) -> list[_Client]:
        wanted = max(num_clients, min_num_clients or 0)
        if criterion is not None:
            raise InvalidInputError("criteria of Flower's client managers are not known here")
        if wanted > len(self._nodes):
            raise InvalidInputError(f"the strategy wants {wanted} nodes, and there are {len(self._nodes)}")
        return [self._nodes[name] for name in self._drawn.sample(sorted(self._nodes), num_clients)]


class FlowerStrategy:
    """A strategy of ``flwr.server.strategy`` for ``grid.train(strategy=…)``; tried with Flower 1.42.

    ``model`` is the one that is trained. ``seed`` draws the nodes of each round, where the strategy takes not
    all. Memory: all updates of a round at once, as Flower's. Flower's own evaluation is not called: see the
    history's validation. Raises ``InvalidInputError`` where the strategy asks nodes for anything but
    ``proximal_mu``, or for more nodes than there are.
    """

    def __init__(self, strategy: Any, model: torch.nn.Module, *, seed: int = 0) -> None:  # noqa: ANN401
        self._strategy = strategy
        self._seed = seed
        self._last = {name: value.detach().cpu().numpy().copy() for name, value in model.state_dict().items()}

    @property
    def local(self) -> LocalRule:
        """FedProx's pull, if the strategy has one."""
        return LocalRule(proximal=float(getattr(self._strategy, PROXIMAL, 0.0)))

    def configure_round(self, number: int, nodes: Sequence[str]) -> RoundPlan:
        """Let Flower choose."""
        clients = _Clients(nodes, random.Random(f"{self._seed} {number}"))  # noqa: S311 (not a secret)
        asked = self._strategy.configure_fit(number + 1, _packed(self._last.values()), clients)
        extra = sorted({key for _, said in asked for key in said.config} - {PROXIMAL})
        if extra:
            raise InvalidInputError(
                f"the strategy configures nodes by {', '.join(extra)}; nodes run a traced plan: say it in "
                "grid.train(…) instead"
            )
        chosen = tuple(client.cid for client, _ in asked)
        fewest = int(getattr(self._strategy, "min_fit_clients", 1))
        return RoundPlan(chosen, max(1, min(fewest, len(chosen))))

    def aggregate(self, number: int, parameters: Parameters, updates: Iterable[Update]) -> dict[str, Array]:
        """Let Flower join the updates; tensors that count are rounded.

        Raises:
            TrainingError: an update does not fit, or the strategy made nothing of them.
        """
        self._last = dict(parameters)
        self._stand_at(parameters)
        answers = []
        for update in updates:
            check(parameters, update)
            values = _packed(update.parameters[name] for name in parameters)
            answers.append((_Client(update.node), FitRes(Status(Code.OK, ""), values, update.rows, {})))
        made, _ = self._strategy.aggregate_fit(number + 1, answers, [])
        if made is None:
            raise TrainingError(f"{type(self._strategy).__name__} made nothing of {len(answers)} updates")
        pairs = zip(parameters.items(), parameters_to_ndarrays(made), strict=True)
        self._last = {name: _like(value, before) for (name, before), value in pairs}
        return dict(self._last)

    def state_dict(self) -> dict[str, Any]:
        """Give the last parameters, and every list of arrays that the strategy keeps (its moments)."""
        kept = {name: value for name, value in vars(self._strategy).items() if _arrays(value)}
        lists = {
            name: {str(at): np.asarray(one) for at, one in enumerate(value)} for name, value in kept.items()
        }
        return {"last": dict(self._last), "lists": lists}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put them back."""
        self._last = dict(state["last"])
        for name, held in state["lists"].items():
            setattr(self._strategy, name, [held[str(at)] for at in range(len(held))])

    def _stand_at(self, parameters: Parameters) -> None:
        """Tell strategies that step from parameters of their own where the run stands."""
        if hasattr(self._strategy, "current_weights"):
            self._strategy.current_weights = list(parameters.values())
        if getattr(self._strategy, "initial_parameters", None) is not None:
            self._strategy.initial_parameters = _packed(parameters.values())


def _packed(values: Iterable[Array]) -> Any:  # noqa: ANN401 (a type of Flower's)
    return ndarrays_to_parameters([np.asarray(value) for value in values])


def _arrays(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, np.ndarray | np.generic) for one in value)
    )


def _like(value: Array, before: Array) -> Array:
    whole = np.rint(value) if np.issubdtype(before.dtype, np.integer) else value
    return np.asarray(whole).astype(before.dtype).reshape(before.shape)
