"""Hosted models: publish, describe, query in the clear, replace and give out parameters.

A model that was trained here on private rows carries its datasets with it. What it gives away, answers as
well as parameters, is bounded by what whoever hosts it may take away from those datasets: nobody grants more
than they hold.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import torch
from sqlmodel import Session, col

from gridward.api import access, exports, feeding, parameters, queries_results, storage
from gridward.api.access import Ruled
from gridward.api.managed import hosted_model, visible_model
from gridward.api.model_store import behind_models, load, path_of, replace_parameters
from gridward.api.node import Node
from gridward.api.parties.dismissal import end_deployments
from gridward.api.provenance import grants
from gridward.api.services import releases
from gridward.api.tables.accounts import AuditEntry, CustomRole
from gridward.api.tables.datasets import Upload
from gridward.api.tables.models import Model
from gridward.core import tensors
from gridward.core.errors import (
    AlreadyExistsError,
    AuthorizationError,
    InvalidInputError,
    SendNotPermittedError,
)
from gridward.core.plans import codec
from gridward.core.plans.plan import Kind, Plan, Role
from gridward.core.privacy.decision import Answer, Asked, Decision
from gridward.core.privacy.policy import decide_export
from gridward.core.schemas.access import ModelAccess
from gridward.core.schemas.accounts import RoleName
from gridward.core.schemas.models import (
    InferenceIn,
    InferenceOut,
    ModelIn,
    ModelOut,
    ModelsOut,
    ParametersIn,
    ParametersOut,
)
from gridward.core.schemas.plan import PlanDocument
from gridward.server import audit, roles
from gridward.server.principals import Capability, Principal


def publish(node: Node, caller: Principal, body: ModelIn) -> ModelOut:
    """Host a model; an upload with its parameters is used up.

    Raises:
        SendNotPermittedError: without the capability to host models.
        AlreadyExistsError: the id is taken.
        PlanRejectedError, UploadRefusedError: the plan, or parameters that are not the plan's.
    """
    if caller.user_id is None or not caller.may(Capability.HOST_MODELS):
        raise SendNotPermittedError(f"'{caller.name}' may not host models on this node; ask its owner")
    plan = _read_plan(body.plan)
    model = Model(
        id=body.id,
        description=body.description,
        tags=list(dict.fromkeys(body.tags)),
        plan=codec.to_dict(plan),
        plan_digest=codec.digest(plan),
        user_id=caller.user_id,
        hosted_by=caller.name,
        created_at=node.clock(),
    )
    with node.database.read() as db:
        _require_free(db, body.id)
    if body.upload_id is None:
        with node.database.write() as db:
            _insert(node, db, caller, model, body.access)
    else:
        with node.blobs.lock(body.upload_id):
            path = parameters.uploaded(node, caller, body.upload_id)
            parameters.read(path, plan)
            seal = node.blobs.seal(path)
            with node.database.write() as db:
                _insert(node, db, caller, model, body.access)
                db.delete(db.get_one(Upload, body.upload_id))
                db.flush()
                replace_parameters(node, db, model, seal, ())
    node.catalogue_changed.ring()
    with node.database.read() as db:
        return get(node, caller, db, body.id)


def list_visible(
    node: Node, caller: Principal, db: Session, tags: Sequence[str], offset: int, limit: int
) -> ModelsOut:
    """List the models that the caller may discover, by id; ``tags`` must all be there."""
    now = node.clock()
    rows = db.exec(queries_results.visible_models(caller, now).order_by(col(Model.id))).all()
    found = [model for model in rows if set(tags) <= set(model.tags)]
    page = [_describe(caller, db, model, now) for model in found[offset : offset + limit]]
    return ModelsOut(items=page, total=len(found), offset=offset, limit=limit)


def get(node: Node, caller: Principal, db: Session, model_id: str) -> ModelOut:
    """Describe a model, unless it is hidden from the caller or missing: the same refusal."""
    now = node.clock()
    return _describe(caller, db, visible_model(caller, db, model_id, now), now)


def get_plan(node: Node, caller: Principal, db: Session, model_id: str) -> PlanDocument:
    """Return the plan of a model that the caller may discover: its architecture, not its parameters."""
    return PlanDocument.model_validate(visible_model(caller, db, model_id, node.clock()).plan)


def get_parameters(node: Node, caller: Principal, model_id: str) -> ParametersOut:
    """Release a model's parameters, for those who may download it; large ones leave as ``get_content``."""
    model, values = _release(node, caller, model_id, fits=True)
    encoded = [tensors.encode(name, value) for name, value in sorted(values.items())]
    return ParametersOut(version=model.version, parameters=encoded)


def get_content(node: Node, caller: Principal, model_id: str, attempt: str | None) -> Path:
    """Release a model's parameters as a file; each call is a release of its own.

    By a counted approval, calls with the same ``attempt`` count once.
    """
    model, _ = _release(node, caller, model_id, fits=False, attempt=attempt)
    return path_of(node, model)


def _release(
    node: Node, caller: Principal, model_id: str, *, fits: bool, attempt: str | None = None
) -> tuple[Model, dict[str, torch.Tensor]]:
    with node.database.read() as db:
        model, decision = _may(node, caller, db, model_id, "download")
        subjects = [f"model:{model.id}", *(item.table for item in behind_models(db, [model.id]))]
    if decision is None:
        raise AuthorizationError(f"you may not download model '{model_id}'; ask whoever hosts it")
    values = load(node, model)
    if fits:
        feeding.require_fits(node, sum(value.numel() * value.element_size() for value in values.values()))
    if decision.answer is not Answer.VALUE and model.user_id == caller.user_id:
        with node.database.read() as db:
            export = exports.of(db, model)
        releases.give_parameters(node, caller, export, partial(_by_people, node, model), values, attempt)
        return model, values
    releases.settle(
        node,
        caller,
        decision,
        action="parameters",
        subjects=subjects,
        plan_digest=model.plan_digest,
        values=values,
    )
    return model, values


def put_parameters(node: Node, caller: Principal, model_id: str, body: ParametersIn) -> ModelOut:
    """Replace the parameters of a model by an upload; for whoever hosts it and the node's owner."""
    with node.database.read() as db:
        model = hosted_model(caller, db, model_id, node.clock())
    with node.blobs.lock(body.upload_id):
        path = parameters.uploaded(node, caller, body.upload_id)
        parameters.read(path, codec.from_dict(model.plan))
        seal = node.blobs.seal(path)
        with node.database.write() as db:
            current = hosted_model(caller, db, model_id, node.clock())
            current.version += 1
            db.delete(db.get_one(Upload, body.upload_id))
            db.flush()
            unused = replace_parameters(node, db, current, seal, ())
            audit.record(db, AuditEntry, caller, node.clock(), "replace_parameters", model_id)
    storage.collect(node, unused)
    with node.database.read() as db:
        return get(node, caller, db, model_id)


def infer(node: Node, caller: Principal, model_id: str, body: InferenceIn) -> InferenceOut:
    """Answer a query in the clear, in a worker process.

    Who learns what: the caller the outputs, this node the inputs. Raises ``AuthorizationError`` without the
    verb ``infer``; ``PlanLimitError``, ``PlanFailedError``, ``BusyError`` as for any plan.
    """
    model, decision = _infers(node, caller, model_id)
    door = partial(
        releases.settle,
        node,
        caller,
        action="inference",
        subjects=[f"model:{model.id}"],
        plan_digest=model.plan_digest,
    )
    if decision.answer is not Answer.VALUE:
        door(decision)
    plan = codec.from_dict(model.plan)
    values = load(node, model)
    given = {value.name: tensors.decode(value) for value in body.inputs}
    forged = sorted(given.keys() & values.keys())
    if forged:
        raise InvalidInputError(f"{', '.join(forged)} are parameters of the model, not inputs")
    inputs = {**values, **given}
    feeding.require_room(node, plan, feeding.meta_values(plan, inputs))
    outputs = node.workers.run(plan, inputs)
    door(_infers(node, caller, model_id)[1], values=outputs)  # a right taken back meanwhile is gone
    return InferenceOut(outputs=[tensors.encode(out.name, outputs[out.name]) for out in plan.outputs])


def remove(node: Node, caller: Principal, model_id: str) -> None:
    """Delete a model and end its encrypted deployments; for whoever hosts it and the node's owner."""
    with node.database.read() as db:
        hosted_model(caller, db, model_id, node.clock())
    end_deployments(node, model_id, caller.name)
    with node.database.write() as db:
        model = hosted_model(caller, db, model_id, node.clock())
        unused = storage.drop(db, f"model:{model.id}")
        db.delete(model)
        audit.record(db, AuditEntry, caller, node.clock(), "delete_model", model_id)
    storage.collect(node, unused)
    node.catalogue_changed.ring()


def _read_plan(document: PlanDocument) -> Plan:
    plan = codec.from_dict(document.model_dump(mode="json", by_alias=True, exclude_none=True))
    if plan.kind is not Kind.INFERENCE:
        raise InvalidInputError(f"a hosted model is an inference plan, not one for {plan.kind.value}")
    return plan


def _insert(node: Node, db: Session, caller: Principal, model: Model, rules: ModelAccess) -> None:
    _require_free(db, model.id)
    db.add(model)
    db.flush()
    access.write(db, caller, model.created_at, Ruled(model_id=model.id), rules)
    audit.record(
        db, AuditEntry, caller, node.clock(), "publish_model", model.id, plan_digest=model.plan_digest
    )


def _require_free(db: Session, model_id: str) -> None:
    if db.get(Model, model_id) is not None:
        raise AlreadyExistsError(f"a model '{model_id}' exists on this node; take another id")


def _may(
    node: Node, caller: Principal, db: Session, model_id: str, verb: str
) -> tuple[Model, Decision | None]:
    """Decide by the caller's rights, None without the verb, and by those of whoever hosts the model."""
    now = node.clock()
    model = visible_model(caller, db, model_id, now)
    uses = queries_results.model_rights(caller, db, model, now).uses(verb)
    if uses is None:
        return model, None
    decision = _export(db, model, now)
    return model, replace(decision, uses=uses) if decision.answer is Answer.VALUE else decision


def _infers(node: Node, caller: Principal, model_id: str) -> tuple[Model, Decision]:
    with node.database.read() as db:
        model, decision = _may(node, caller, db, model_id, "infer")
    if decision is None or not caller.may(Capability.INFER):
        raise AuthorizationError(f"you may not query model '{model_id}' in the clear; ask whoever hosts it")
    return model, decision


def _export(db: Session, model: Model, now: datetime, asked: Asked | None = None) -> Decision:
    """Decide by the rights of whoever hosts the model; an account that is gone or disabled has none."""
    user = queries_results.model_host(db, model)
    if user is None or user.disabled:
        host = Principal("", RoleName.GUEST, None, "")
    else:
        host = roles.principal(db, CustomRole, user)
    behind = behind_models(db, [model.id])
    learnt = parameters.count(codec.from_dict(model.plan)) if behind else 0
    return decide_export(grants(host, db, behind, now), learnt, asked)


def _by_people(node: Node, model: Model, db: Session, asked: Asked) -> Decision:
    decision = _export(db, model, node.clock(), asked)
    if decision.answer in (Answer.VALUE, Answer.PENDING):
        return decision
    hint = 'or ask for it: remote.request("why") where it was sent for training'
    return replace(decision, detail=f"{decision.detail}; {hint}")


def _describe(caller: Principal, db: Session, model: Model, now: datetime) -> ModelOut:
    plan = codec.from_dict(model.plan)
    data = {given.name: given for given in plan.inputs if given.role is Role.DATA}
    return ModelOut(
        id=model.id,
        description=model.description,
        tags=model.tags,
        version=model.version,
        plan_digest=model.plan_digest,
        inputs=parameters.describe(data),
        outputs=[output.name for output in plan.outputs],
        parameters=parameters.describe(parameters.learnt_inputs(plan)),
        holds_parameters=model.blob is not None,
        deployment_id=queries_results.deployment_of(db, model.id),
        hosted_by=model.hosted_by,
        trained_on=sorted(item.table for item in behind_models(db, [model.id])),
        created_at=model.created_at,
        verbs=queries_results.model_verbs(caller, db, model, now),
    )
