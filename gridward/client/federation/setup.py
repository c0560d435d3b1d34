"""What a run is from its first round to its last, and the document that says so to another process."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from gridward.client.checks import checked
from gridward.client.dataset_pointers import DatasetPointer
from gridward.client.federation.named import (
    schedule_document,
    schedule_of,
    strategy_document,
    strategy_of,
)
from gridward.client.federation.sites import Site
from gridward.client.federation.terms import Terms
from gridward.client.place import Place
from gridward.client.training import Lesson, Run
from gridward.core.errors import InvalidInputError
from gridward.core.federation.schedules import RateSchedule
from gridward.core.federation.strategies import Strategy
from gridward.core.schemas.runs import RunSetup, SecureSetup, SiteSetup


def new_run_id() -> str:
    """Name a run."""
    return f"run-{secrets.token_hex(12)}"


@dataclass(frozen=True, slots=True)
class Choice:
    """How the best model is found.

    ``validation``: the part of each node's rows that judges the joint model and that no step trains on; 0
    judges nothing, and the last model is taken. ``patience``: rounds without a better one that end the run.
    """

    validation: float = 0.0
    patience: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be judged."""
        if not 0 <= self.validation <= 0.5:
            raise InvalidInputError(f"validation is a part of the rows up to 0.5, not {self.validation:g}")
        if self.patience is not None and (self.patience < 1 or not self.validation):
            raise InvalidInputError("patience is at least 1 round, and needs validation=, such as 0.1")


@dataclass(frozen=True, slots=True)
class Setup:
    """A run's data, lesson and terms; ``model_names`` are the tensors that are not the optimizer's state."""

    sites: Mapping[str, Site]
    lesson: Lesson
    model_names: tuple[str, ...]
    run: Run
    rounds: int
    strategy: Strategy
    terms: Terms
    choice: Choice
    schedule: RateSchedule
    secure: SecureSetup | None = None
    id: str = field(default_factory=new_run_id)

    @property
    def statistics(self) -> frozenset[str]:
        """Tensors of the model that follow no gradient: batch norm's."""
        state = {given.name for given in self.lesson.plan.inputs if given.role == "state"}
        return frozenset(self.model_names) & state


def document(setup: Setup) -> RunSetup:
    """Write a setup without its tensors."""
    with checked():
        return RunSetup(
            id=setup.id,
            plan=setup.lesson.plan,
            evaluation=setup.lesson.evaluation,
            hyper=list(setup.lesson.hyper),
            model_names=list(setup.model_names),
            sites=[
                SiteSetup(
                    node_id=site.data.location.id,
                    dataset_id=site.data.dataset_id,
                    dataset=site.data.name,
                    inputs=site.pair[0],
                    targets=site.pair[1],
                )
                for site in setup.sites.values()
            ],
            strategy=strategy_document(setup.strategy),
            rounds=setup.rounds,
            epochs=setup.run.epochs,
            batch_size=setup.run.batch_size,
            seed=setup.run.seed,
            deadline_s=setup.terms.deadline_s,
            quorum=setup.terms.quorum,
            wait_s=setup.terms.wait_s,
            validation=setup.choice.validation,
            patience=setup.choice.patience,
            schedule=schedule_document(setup.schedule),
            secure=setup.secure,
        )


def restored(
    said: RunSetup,
    parameters: Mapping[str, torch.Tensor],
    place: Callable[[str], Place],
    strategy: Strategy | None,
) -> Setup:
    """Make a setup of its document; ``place`` finds a node by id.

    Raises ``InvalidInputError`` where the strategy was the user's own and is not given, or is another one.
    """
    sites = [_site(one, place(one.node_id)) for one in said.sites]
    return Setup(
        sites={site.name: site for site in sites},
        lesson=Lesson(said.plan, parameters, tuple(said.hyper), said.evaluation),
        model_names=tuple(said.model_names),
        run=Run(said.epochs, said.batch_size, said.seed),
        rounds=said.rounds,
        strategy=strategy_of(said.strategy, strategy),
        terms=Terms(said.deadline_s, said.quorum, said.wait_s),
        choice=Choice(said.validation, said.patience),
        schedule=schedule_of(said.schedule),
        secure=said.secure,
        id=said.id,
    )


def _site(said: SiteSetup, place: Place) -> Site:
    tensors = [said.inputs, said.targets]
    pointer = DatasetPointer(place, said.dataset_id, said.dataset, tensors, description="", tags=())
    return Site(pointer, (said.inputs, said.targets))
