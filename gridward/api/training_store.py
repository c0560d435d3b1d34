"""How a training ends in rows and on disk: its parameters kept, or its model brought to a new version."""

import logging
from dataclasses import replace
from typing import Final

from sqlmodel import Session

from gridward.api import model_store, parameters, rule_uses, storage
from gridward.api.node import Node
from gridward.api.provenance import Behind
from gridward.api.tables.accounts import AuditEntry
from gridward.api.tables.models import Model
from gridward.api.tables.trainings import Training
from gridward.api.training_runs import Ending
from gridward.core.errors import ConflictError, GridError
from gridward.core.plans import codec
from gridward.core.schemas.trainings import TrainingState
from gridward.server import audit
from gridward.server.db import lock
from gridward.server.principals import Principal

NOT_STORED: Final = "the node could not store how this training ended; its log knows more"
_log: Final = logging.getLogger("gridward.trainings")


def end(
    node: Node, caller: Principal, training_id: str, base: int, behind: tuple[Behind, ...], ending: Ending
) -> None:
    """Store how a run ended; what cannot be stored makes it fail, with the reason."""
    try:
        _store(node, caller, training_id, base, behind, ending)
    except GridError as why:
        failed = replace(ending, training=None, detail=why.detail)
        _store(node, caller, training_id, base, behind, failed)
    except Exception:  # noqa: BLE001 (a full disk, say: the run must not stay running for ever)
        _log.exception("the parameters of training %s could not be stored", training_id)
        failed = replace(ending, training=None, detail=NOT_STORED)
        _store(node, caller, training_id, base, behind, failed)


def lose(node: Node, training_id: str) -> None:
    """Fail a run of which this process knows no more: its end could not be written down when it came."""
    with node.database.write() as db:
        lock(db, f"training {training_id}")
        training = db.get(Training, training_id)
        if training is None or training.state != TrainingState.RUNNING:
            return
        training.state, training.detail = TrainingState.FAILED.value, NOT_STORED
        if not training.told:
            rule_uses.give_back(db, training_id, node.clock())
        db.add(training)


def _store(
    node: Node, caller: Principal, training_id: str, base: int, behind: tuple[Behind, ...], ending: Ending
) -> None:
    unused: list[str] = []
    with node.blobs.scratch() as path:
        values = ending.training.parameters if ending.training is not None else None
        with node.database.read() as db:
            model_id = db.get_one(Training, training_id).model_id
        if values is not None and model_id is not None:
            values = {name: values[name] for name in _names_of(node, model_id)}
        if values is not None:
            parameters.write(path, values)
        seal = node.blobs.seal(path) if values is not None else None
        with node.database.write() as db:
            lock(db, f"training {training_id}")
            training = db.get_one(Training, training_id)
            training.state = (TrainingState.FAILED if ending.detail else TrainingState.DONE).value
            training.detail = ending.detail[:2000]
            # A use is counted with its answer: of a run that failed before anything was told, none came.
            training.told = training.told or ending.told
            untold = bool(ending.detail) and not training.told
            training.history = [] if untold else [item.model_dump() for item in ending.history]
            training.validation = None if untold else ending.validation
            if untold:
                rule_uses.give_back(db, training_id, node.clock())
            training.seconds = ending.seconds
            if seal is not None and model_id is not None:
                model = _unchanged(db, model_id, base)
                model.version += 1
                unused = model_store.replace_parameters(node, db, model, seal, behind)
            elif seal is not None:
                training.blob = seal.sha256
                storage.keep(node, db, seal, used_by=training_id, user_id=training.user_id)
            db.add(training)
            audit.record(
                db,
                AuditEntry,
                caller,
                node.clock(),
                "training_ended",
                training_id,
                decision=training.state,
                reason=training.detail,
                plan_digest=training.plan_digest,
            )
    storage.collect(node, unused)


def _names_of(node: Node, model_id: str) -> list[str]:
    with node.database.read() as db:
        model = db.get(Model, model_id)
    if model is None:
        raise ConflictError(f"model '{model_id}' was deleted while it was trained")
    return sorted(parameters.learnt_inputs(codec.from_dict(model.plan)))


def _unchanged(db: Session, model_id: str, base: int) -> Model:
    model = db.get(Model, model_id)
    if model is None or model.version != base:
        raise ConflictError(f"model '{model_id}' was changed while it was trained; train it again")
    return model
