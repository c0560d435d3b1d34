"""The host's side of an encrypted model: it finds the roles, has them agree, and says who may ask.

The host holds the plan only. Parameter shares and queries pass it by.
"""

import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pydantic import ValidationError
from sqlmodel import Session

from gridward.api import queries, queries_results, rule_uses
from gridward.api.node import Node
from gridward.api.parties import grants, levels, records
from gridward.api.parties.directory import find_holders
from gridward.api.parties.dismissal import dismiss, peer_of, role_paths
from gridward.api.parties.documents import check_roles, compile_document
from gridward.api.parties.grants import Grant, Purpose
from gridward.api.parties.roles import Role
from gridward.api.tables.deployments import Deployment, QuerySerial
from gridward.api.tables.models import Model
from gridward.core.errors import (
    AuthorizationError,
    ConflictError,
    DeploymentRefusedError,
    GridError,
    ObjectNotFoundError,
)
from gridward.core.identity import read_sign_key
from gridward.core.schemas.bundles import ModelStockOut, PartyLeft, PartyStock
from gridward.core.schemas.deployments import (
    Acceptance,
    ActivationIn,
    ActivationOut,
    Costs,
    DeploymentDocument,
    DeploymentIn,
    DeploymentOut,
    DeploymentState,
    LaneBetween,
    PartyGrant,
    QueryIn,
    QueryOut,
    RoleHolder,
)
from gridward.core.schemas.plan import PlanDocument
from gridward.core.smpc.program import Program
from gridward.server.principals import Capability, Principal


def propose(node: Node, caller: Principal, body: DeploymentIn) -> DeploymentOut:
    """Find the holders of all roles, have each check and accept, and store the deployment.

    Raises ``DeploymentRefusedError`` naming who refused and why; then nobody keeps anything.
    """
    with node.database.read() as db:
        model = _own_model(node, caller, db, body.model_id)
        membership = queries.first_joined_membership(db)
    if membership is None:
        raise DeploymentRefusedError(
            f"{node.settings.name} is no member of a gateway, which has to vouch for who owns which node; "
            "join one first"
        )
    host, parties, provider = find_holders(
        node.calls, membership, node.keys, body, node.settings.peer_timeout_s
    )
    document, program = _draft(node, body, model, membership.gateway_id, host, parties, provider)
    check_roles(document, read_sign_key(membership.sign_key), node.clock())
    _ask_all(node, document)
    try:
        with node.database.write() as db:
            records.remember(node, db, document, Role.HOST, -1, caller.name)
    except BaseException:
        dismiss(node, document)
        raise
    return _describe(node, document, DeploymentState.PROPOSED, program, None, caller)


def activate(node: Node, caller: Principal, deployment_id: str, body: ActivationIn) -> DeploymentOut:
    """Have all parties open the masked weights together; afterwards the model answers."""
    record = records.find(node, deployment_id, Role.HOST)
    document = record.document
    with node.database.read() as db:
        _own_model(node, caller, db, document.model_id)
    path = f"/v1/parties/deployments/{deployment_id}/activation"
    with ThreadPoolExecutor(len(document.parties)) as pool:
        calls = [
            pool.submit(
                node.calls.send, peer_of(party), "POST", path, timeout_s=2 * node.settings.party_timeout_s
            )
            for party in document.parties
        ]
        answers = [ActivationOut.model_validate_json(call.result()) for call in calls]
    lanes = [
        LaneBetween(parties=(position, peer), kind=kind).model_dump(mode="json")
        for position, answer in enumerate(answers)
        for peer, kind in sorted(answer.lanes.items())
    ]
    with node.database.write() as db:
        row = db.get_one(Deployment, deployment_id)
        row.state, row.measured_error = DeploymentState.READY.value, body.measured_error
        row.lanes = lanes
        db.add(row)
        records.log(node, db, caller.name, "deployment.ready", deployment_id)
    node.room.records.drop(deployment_id)
    node.catalogue_changed.ring()
    program = compile_document(document, 1)
    return _describe(node, document, DeploymentState.READY, program, body.measured_error, caller)


def withdraw(node: Node, caller: Principal, deployment_id: str) -> None:
    """End a deployment; parties and provider that cannot be reached are named, and the rest is gone."""
    record = records.find(node, deployment_id, Role.HOST)
    with node.database.read() as db:
        _own_model(node, caller, db, record.document.model_id)
    dismiss(node, record.document)
    records.forget(node, deployment_id, caller.name)


def describe(node: Node, caller: Principal, model_id: str) -> DeploymentOut:
    """Say who holds what and what a query costs, to whoever may discover the model."""
    with node.database.read() as db:
        if queries_results.visible_model(caller, db, model_id, node.clock()) is None:
            raise ObjectNotFoundError(f"no model '{model_id}'")
        row = _deployed(db, model_id)
    record = records.record_of(row)
    program = compile_document(record.document, 1)
    return _describe(node, record.document, record.state, program, row.measured_error, caller)


def stock(node: Node, caller: Principal, model_id: str) -> ModelStockOut:
    """Ask every party at once what is left with it; who does not answer in time is said to be silent.

    For who hosts the model, and the node's owner.
    """
    with node.database.read() as db:
        _own_model(node, caller, db, model_id)
        document = records.record_of(_deployed(db, model_id)).document
    with ThreadPoolExecutor(len(document.parties)) as pool:
        parties = list(pool.map(partial(_left, node, document.id), document.parties))
    return ModelStockOut(deployment_id=document.id, parties=parties)


def _left(node: Node, deployment_id: str, party: RoleHolder) -> PartyLeft:
    path = f"/v1/parties/deployments/{deployment_id}/stock"
    try:
        said = node.calls.send(peer_of(party), "GET", path, timeout_s=node.settings.peer_timeout_s)
        known = PartyStock.model_validate_json(said).stock
    except (GridError, ValidationError):
        return PartyLeft(party=party.name, owner=party.owner, stock=None)
    return PartyLeft(party=party.name, owner=party.owner, stock=known)


def grant_query(node: Node, caller: Principal, model_id: str, body: QueryIn) -> QueryOut:
    """Let one caller run one query: a fresh bundle number, and a signed grant for every party."""
    with node.database.write() as db:
        model = queries_results.visible_model(caller, db, model_id, node.clock())
        if model is None:
            raise ObjectNotFoundError(f"no model '{model_id}'")
        uses = queries_results.model_rights(caller, db, model, node.clock()).uses("infer_encrypted")
        if uses is None:
            raise AuthorizationError(f"'{caller.name}' may not query '{model_id}'; ask its owner")
        if caller.limited_to is not None:
            caller.require(Capability.INFER)
        row = _deployed(db, model_id)
        if row.state != DeploymentState.READY:
            raise ConflictError(f"'{model_id}' is not ready: its parameter shares are not delivered yet")
        if not rule_uses.take(node, caller, db, uses, node.clock()):
            raise AuthorizationError(f"the rule by which '{caller.name}' may query '{model_id}' is used up")
        serial = _next_serial(db, row.id, body.batch)
        query_id = secrets.token_hex(16)
        records.log(node, db, caller.name, "deployment.query", f"{model_id}/{query_id}")
        deployment_id = row.id
    document = records.find(node, deployment_id, Role.HOST).document
    grant = Grant(document.id, Purpose.QUERY, caller.name, query_id, body.batch, serial, body.seal_key)
    return QueryOut(
        id=query_id,
        batch=body.batch,
        serial=serial,
        deployment_id=document.id,
        grants=_grants(node, document, grant),
    )


def _own_model(node: Node, caller: Principal, db: Session, model_id: str) -> Model:
    model = queries_results.visible_model(caller, db, model_id, node.clock())
    if model is None:
        raise ObjectNotFoundError(f"no model '{model_id}'")
    if not queries_results.hosts(caller, model):
        raise AuthorizationError(f"only who hosts '{model_id}' may deploy it")
    return model


def _deployed(db: Session, model_id: str) -> Deployment:
    row = records.deployment_of_model(db, model_id)
    if row is None:
        raise ObjectNotFoundError(f"'{model_id}' is not served encrypted; ask it with mpc=False")
    return row


def _draft(
    node: Node,
    body: DeploymentIn,
    model: Model,
    gateway_id: str,
    host: RoleHolder,
    parties: list[RoleHolder],
    provider: RoleHolder,
) -> tuple[DeploymentDocument, Program]:
    document = DeploymentDocument(
        id=secrets.token_hex(16),
        model_id=model.id,
        plan=PlanDocument.model_validate(model.plan),
        fraction_bits=body.fraction_bits,
        width=body.width,
        levels=body.levels or levels.UNMEASURED,
        input_range=body.input_range,
        widths=body.widths,
        guard=body.guard,
        maxima=body.maxima,
        gateway_id=gateway_id,
        host=host,
        parties=parties,
        crypto_provider=provider,
        program_digest="0" * 64,
    )
    program = compile_document(document, 1)
    if body.levels is None:
        other = document.model_copy(update={"levels": 1})
        flat = compile_document(other, 1)
        measured = levels.measure(node, gateway_id, host, parties, provider)
        if levels.choose(measured, flat.costs, program.costs) == 1:
            document, program = other, flat
    return document.model_copy(update={"program_digest": program.digest}), program


def _ask_all(node: Node, document: DeploymentDocument) -> None:
    raw = document.model_dump_json(by_alias=True).encode()
    try:
        for holder, path in role_paths(document):
            answer = node.calls.send(
                peer_of(holder), "PUT", path, raw, timeout_s=node.settings.party_timeout_s
            )
            if Acceptance.model_validate_json(answer).program_digest != document.program_digest:
                raise DeploymentRefusedError(f"{holder.name} compiles another program from this plan")
    except GridError as why:
        dismiss(node, document)
        raise DeploymentRefusedError(f"the deployment was refused: {why.detail}") from why


def _next_serial(db: Session, deployment_id: str, batch: int) -> int:
    counter = db.get(QuerySerial, (deployment_id, batch), with_for_update=True)
    if counter is None:
        counter = QuerySerial(deployment_id=deployment_id, batch=batch)
    serial = counter.next_serial
    counter.next_serial = serial + 1
    db.add(counter)
    return serial


def _grants(node: Node, document: DeploymentDocument, grant: Grant) -> list[PartyGrant]:
    now = node.clock()
    return [
        PartyGrant(
            party=position,
            node_id=party.node_id,
            url=party.url,
            seal_key=party.seal_key,
            token=grants.sign(grant, node.keys, party.node_id, now),
        )
        for position, party in enumerate(document.parties)
    ]


def _describe(
    node: Node,
    document: DeploymentDocument,
    state: DeploymentState,
    program: Program,
    measured_error: float | None,
    caller: Principal,
) -> DeploymentOut:
    with node.database.read() as db:
        row = db.get_one(Deployment, document.id)
        model = queries_results.visible_model(caller, db, document.model_id, node.clock())
        owns = model is not None and queries_results.hosts(caller, model)
    wants = owns and state is DeploymentState.PROPOSED
    grant = Grant(document.id, Purpose.PARAMETERS, caller.name)
    costs = program.costs
    return DeploymentOut(
        document=document,
        state=state,
        costs=Costs(
            rounds=costs.rounds,
            online_bytes_per_party=costs.online_bytes_per_party,
            dealer_bytes=costs.dealer_bytes,
            setup_bytes=costs.setup_bytes,
            ring_macs=costs.ring_macs,
            memory_bytes=costs.memory.running_bytes,
        ),
        measured_error=measured_error,
        lanes=[LaneBetween.model_validate(lane) for lane in row.lanes],
        parameter_grants=_grants(node, document, grant) if wants else [],
        created_at=row.created_at,
    )
