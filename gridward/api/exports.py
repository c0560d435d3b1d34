"""The parameters of a hosted model as what people open: named by their content, with the data behind them."""

from dataclasses import dataclass

from sqlmodel import Session

from gridward.api import parameters, questions
from gridward.api.model_store import behind_models
from gridward.api.provenance import Behind
from gridward.api.questions import Question
from gridward.api.tables.models import Model
from gridward.core.errors import ConflictError
from gridward.core.plans import codec
from gridward.core.plans.plan import Plan
from gridward.core.schemas.plan import PlanDocument
from gridward.core.schemas.requests import ExportQuestion


@dataclass(frozen=True, slots=True)
class Export:
    """A model's parameters as they are now. ``learnt``: how many numbers the data had a part in."""

    body: ExportQuestion
    plan: Plan
    question: Question
    behind: tuple[Behind, ...]
    learnt: int


def of(db: Session, model: Model) -> Export:
    """Name a model's parameters; raises ``ConflictError`` if the node holds none."""
    if model.blob is None:
        raise ConflictError(f"this node holds no parameters of model '{model.id}'")
    plan, behind = codec.from_dict(model.plan), behind_models(db, [model.id])
    body = ExportQuestion(
        plan=PlanDocument.model_validate(model.plan), model_id=model.id, parameters=model.blob
    )
    learnt = parameters.count(plan) if behind else 0
    return Export(body, plan, questions.exported(body, model.plan_digest), behind, learnt)
