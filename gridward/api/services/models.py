"""Hosted models: publish, describe, query in the clear, replace and give out parameters.

A model that was trained here on private rows carries its datasets with it. What it gives away, answers as
well as parameters, is bounded by what whoever hosts it may take away from those datasets: nobody grants more
than they hold.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sqlmodel import Session, col, delete

from gridward.api import feeding, parameters, queries, queries_results, storage
from gridward.api.model_store import behind_models, load, replace_parameters
from gridward.api.node import Node
from gridward.api.parties.dismissal import end_deployments
from gridward.api.provenance import grants
from gridward.api.services import releases
from gridward.api.tables.accounts import AuditEntry
from gridward.api.tables.datasets import Upload
from gridward.api.tables.models import Model, ModelGrant
from gridward.core import tensors
from gridward.core.errors import (
    AlreadyExistsError,
    AuthorizationError,
    ConflictError,
    InvalidInputError,
    ObjectNotFoundError,
    SendNotPermittedError,
)
from gridward.core.plans import codec
from gridward.core.plans.plan import Kind, Plan, Role
from gridward.core.privacy.policy import Answer, Decision, decide_export
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
from gridward.core.schemas.uploads import MediaType
from gridward.server import audit
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
    lists = body.access.model_dump().items()
    rules = [
        ModelGrant(model_id=body.id, verb=verb, entry=e) for verb, some in lists for e in dict.fromkeys(some)
    ]
    with node.database.read() as db:
        _require_free(db, body.id)
    if body.upload_id is None:
        with node.database.write() as db:
            _insert(node, db, caller, model, rules)
    else:
        with node.blobs.lock(body.upload_id):
            path = _uploaded(node, caller, body.upload_id, plan)
            seal = node.blobs.seal(path)
            with node.database.write() as db:
                _insert(node, db, caller, model, rules)
                db.delete(db.get_one(Upload, body.upload_id))
                db.flush()
                replace_parameters(node, db, model, seal, ())
    node.catalogue_changed.ring()
    with node.database.read() as db:
        return get(caller, db, body.id)


def list_visible(caller: Principal, db: Session, tags: Sequence[str], offset: int, limit: int) -> ModelsOut:
    """List the models that the caller may discover, by id; ``tags`` must all be there."""
    rows = db.exec(queries_results.visible_models(caller).order_by(col(Model.id))).all()
    found = [model for model in rows if set(tags) <= set(model.tags)]
    page = [_describe(caller, db, model) for model in found[offset : offset + limit]]
    return ModelsOut(items=page, total=len(found), offset=offset, limit=limit)


def get(caller: Principal, db: Session, model_id: str) -> ModelOut:
    """Describe a model, unless it is hidden from the caller or missing: the same refusal."""
    return _describe(caller, db, _visible(caller, db, model_id))


def get_plan(caller: Principal, db: Session, model_id: str) -> PlanDocument:
    """Return the plan of a model that the caller may discover: its architecture, not its parameters."""
    return PlanDocument.model_validate(_visible(caller, db, model_id).plan)


def get_parameters(node: Node, caller: Principal, model_id: str) -> ParametersOut:
    """Release a model's parameters, for those who may download it."""
    with node.database.read() as db:
        model = _visible(caller, db, model_id)
        allowed = "download" in queries_results.model_verbs(caller, db, model)
        decision = _export(db, model)
        subjects = [f"model:{model.id}", *(item.table for item in behind_models(db, [model.id]))]
    if not allowed:
        raise AuthorizationError(f"you may not download model '{model_id}'; ask whoever hosts it")
    values = load(node, model)
    feeding.require_fits(node, sum(value.numel() * value.element_size() for value in values.values()))
    releases.settle(
        node,
        caller,
        decision,
        action="parameters",
        subjects=subjects,
        plan_digest=model.plan_digest,
        values=values,
    )
    encoded = [tensors.encode(name, value) for name, value in sorted(values.items())]
    return ParametersOut(version=model.version, parameters=encoded)


def put_parameters(node: Node, caller: Principal, model_id: str, body: ParametersIn) -> ModelOut:
    """Replace the parameters of a model by an upload; for whoever hosts it and the node's owner."""
    with node.database.read() as db:
        model = _hosted(caller, db, model_id)
    with node.blobs.lock(body.upload_id):
        path = _uploaded(node, caller, body.upload_id, codec.from_dict(model.plan))
        seal = node.blobs.seal(path)
        with node.database.write() as db:
            current = _hosted(caller, db, model_id)
            current.version += 1
            db.delete(db.get_one(Upload, body.upload_id))
            db.flush()
            unused = replace_parameters(node, db, current, seal, ())
            audit.record(db, AuditEntry, caller, node.clock(), "replace_parameters", model_id)
    storage.collect(node, unused)
    with node.database.read() as db:
        return get(caller, db, model_id)


def infer(node: Node, caller: Principal, model_id: str, body: InferenceIn) -> InferenceOut:
    """Answer a query in the clear, in a worker process.

    Who learns what: the caller the outputs, this node the inputs. Raises ``AuthorizationError`` without the
    verb ``infer``; ``PlanLimitError``, ``PlanFailedError``, ``BusyError`` as for any plan.
    """
    with node.database.read() as db:
        model = _visible(caller, db, model_id)
        allowed = "infer" in queries_results.model_verbs(caller, db, model)
        decision = _export(db, model)
    if not allowed or not caller.may(Capability.INFER):
        raise AuthorizationError(f"you may not query model '{model_id}' in the clear; ask whoever hosts it")
    door = partial(
        releases.settle,
        node,
        caller,
        decision,
        action="inference",
        subjects=[f"model:{model.id}"],
        plan_digest=model.plan_digest,
    )
    if decision.answer is not Answer.VALUE:
        door()
    plan = codec.from_dict(model.plan)
    values = load(node, model)
    given = {value.name: tensors.decode(value) for value in body.inputs}
    forged = sorted(given.keys() & values.keys())
    if forged:
        raise InvalidInputError(f"{', '.join(forged)} are parameters of the model, not inputs")
    inputs = {**values, **given}
    feeding.require_room(node, plan, feeding.meta_values(plan, inputs))
    outputs = node.workers.run(plan, inputs)
    door(values=outputs)
    return InferenceOut(outputs=[tensors.encode(out.name, outputs[out.name]) for out in plan.outputs])


def remove(node: Node, caller: Principal, model_id: str) -> None:
    """Delete a model and end its encrypted deployments; for whoever hosts it and the node's owner."""
    with node.database.read() as db:
        _hosted(caller, db, model_id)
    end_deployments(node, model_id, caller.name)
    with node.database.write() as db:
        model = _hosted(caller, db, model_id)
        unused = storage.drop(db, f"model:{model.id}")
        db.exec(delete(ModelGrant).where(col(ModelGrant.model_id) == model_id))
        db.delete(model)
        audit.record(db, AuditEntry, caller, node.clock(), "delete_model", model_id)
    storage.collect(node, unused)
    node.catalogue_changed.ring()


def _read_plan(document: PlanDocument) -> Plan:
    plan = codec.from_dict(document.model_dump(mode="json", by_alias=True, exclude_none=True))
    if plan.kind is not Kind.INFERENCE:
        raise InvalidInputError(f"a hosted model is an inference plan, not one for {plan.kind.value}")
    return plan


def _insert(node: Node, db: Session, caller: Principal, model: Model, rules: Sequence[ModelGrant]) -> None:
    _require_free(db, model.id)
    db.add(model)
    db.flush()
    db.add_all(rules)
    audit.record(
        db, AuditEntry, caller, node.clock(), "publish_model", model.id, plan_digest=model.plan_digest
    )


def _require_free(db: Session, model_id: str) -> None:
    if db.get(Model, model_id) is not None:
        raise AlreadyExistsError(f"a model '{model_id}' exists on this node; take another id")


def _uploaded(node: Node, caller: Principal, upload_id: str, plan: Plan) -> Path:
    with node.database.read() as db:
        upload = queries.own_upload(caller, db, upload_id)
    if upload is None:
        raise ObjectNotFoundError(f"no upload '{upload_id}' of yours")
    if not upload.complete or upload.media_type != MediaType.SAFETENSORS.value:
        raise ConflictError("parameters come as a complete upload of safetensors")
    path = node.blobs.part(upload.id)
    parameters.read(path, plan)
    return path


def _export(db: Session, model: Model) -> Decision:
    """Decide by the rights of whoever hosts the model; an account that is gone or disabled has none."""
    user = queries_results.model_host(db, model)
    name = user.username if user is not None else ""
    user_id = user.id if user is not None and not user.disabled else None
    role = RoleName(user.role) if user is not None else RoleName.GUEST
    behind = behind_models(db, [model.id])
    learnt = parameters.count(codec.from_dict(model.plan)) if behind else 0
    return decide_export(grants(Principal(name, role, user_id, ""), db, behind), learnt)


def _visible(caller: Principal, db: Session, model_id: str) -> Model:
    model = queries_results.visible_model(caller, db, model_id)
    if model is None:
        raise ObjectNotFoundError(f"no model '{model_id}' on this node")
    return model


def _hosted(caller: Principal, db: Session, model_id: str) -> Model:
    model = _visible(caller, db, model_id)
    if not queries_results.hosts(caller, model):
        raise AuthorizationError(f"only whoever hosts model '{model_id}' and the node's owner change it")
    return model


def _describe(caller: Principal, db: Session, model: Model) -> ModelOut:
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
        verbs=queries_results.model_verbs(caller, db, model),
    )
