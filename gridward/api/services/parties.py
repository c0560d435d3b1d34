"""A party's side of a deployment: it keeps one share of each parameter and runs queries with its peers."""

import hashlib
import time
from contextlib import AbstractContextManager, ExitStack, closing
from math import prod
from pathlib import Path
from typing import Final

from gridward.api.lanes.accept import lane_path
from gridward.api.lanes.connect import connect_parties
from gridward.api.node import Node
from gridward.api.parties import grants, records
from gridward.api.parties.calls import Peer
from gridward.api.parties.dealt import replace_durably, wipe_folder
from gridward.api.parties.documents import compile_within, party_bytes
from gridward.api.parties.grants import Grant, Purpose
from gridward.api.parties.roles import Record, Role
from gridward.api.parties.room import OPEN_QUERIES, OpenQuery
from gridward.api.parties.stock import fetch_ahead, take_bundle
from gridward.core.errors import (
    AuthorizationError,
    ConflictError,
    DeploymentRefusedError,
    InvalidInputError,
)
from gridward.core.framing import Frame
from gridward.core.identity import decode_key, read_sign_key
from gridward.core.schemas.channel import Answered, Opened
from gridward.core.schemas.deployments import (
    Acceptance,
    ActivationOut,
    DeploymentDocument,
    DeploymentState,
    LaneOut,
    SealedOut,
)
from gridward.core.smpc import party, purposes
from gridward.core.smpc.deployment import DeployedModel, check_parameters, deploy
from gridward.core.smpc.packets import open_file
from gridward.core.smpc.program import Program
from gridward.core.smpc.ring import WORD_BYTES, take_bytes
from gridward.core.smpc.sealing import seal, unseal

PARAMETERS: Final = "parameters"
MODEL: Final = "model"


def accept(
    node: Node, token: str, raw: bytes, deployment_id: str, document: DeploymentDocument
) -> Acceptance:
    """Take the role if it is offered, all roles are attested, no owner has two, and the programs agree."""
    path = f"PUT /v1/parties/deployments/{deployment_id}"
    records.verify_signer(node, token, raw, path, document.host)
    if not node.settings.offer_party:
        raise DeploymentRefusedError(f"{node.settings.name}'s owner does not offer to be a party")
    position = _position(node, document)
    records.check_document(node, document, deployment_id, document.parties[position])
    digest = compile_within(document, 1, node.settings.query_memory_bytes, party_bytes).digest
    if digest != document.program_digest:
        raise DeploymentRefusedError(f"{node.settings.name} compiles another program than the host")
    with node.database.write() as db:
        records.remember(node, db, document, Role.PARTY, position, document.host.node_id)
    return Acceptance(program_digest=digest)


def withdraw(node: Node, token: str, deployment_id: str) -> None:
    """Wipe shares and bundles, then forget the deployment."""
    record = records.find(node, deployment_id, Role.PARTY, ending=True)
    path = f"DELETE /v1/parties/deployments/{deployment_id}"
    signer = records.verify_signer(node, token, b"", path, record.document.host)
    records.close(node, deployment_id, signer.name)
    with node.room.fetching(deployment_id), node.room.storing:
        node.room.forget(deployment_id)
        wipe_folder(folder_of(node, deployment_id))
    records.bury(node, deployment_id)


def store_parameters(node: Node, token: str, deployment_id: str, sealed: bytes) -> None:
    """Keep this party's parameter shares. They come once: masks must not be used for other parameters."""
    record = records.find(node, deployment_id, Role.PARTY)
    grant = _read_grant(node, record, token, Purpose.PARAMETERS)
    purpose = purposes.parameters(deployment_id, record.position)
    packet = unseal(node.keys.seal_key.private_bytes_raw(), sealed, purpose)
    check_parameters(_program(node, record, 1), record.position, packet)
    path = folder_of(node, deployment_id) / PARAMETERS
    with node.room.storing:
        records.find(
            node, deployment_id, Role.PARTY
        )  # may have been withdrawn meanwhile: leave no share behind
        if path.exists() and path.read_bytes() != packet:
            raise ConflictError("this deployment has its parameters; deploy the changed model anew")
        replace_durably(path, packet)
    with node.database.write() as db:
        records.log(node, db, grant.caller, "deployment.parameters", deployment_id)


def activate(node: Node, token: str, deployment_id: str) -> ActivationOut:
    """Fetch the set-up packet and open W + B with the other parties.

    A party that is ready does it again when asked: another may have been cut off before it was, and needs all
    to take part. Repeating sends the same bytes.
    """
    record = records.find(node, deployment_id, Role.PARTY)
    path = f"POST /v1/parties/deployments/{deployment_id}/activation"
    records.verify_signer(node, token, b"", path, record.document.host)
    folder = folder_of(node, deployment_id)
    if not (folder / PARAMETERS).exists():
        raise ConflictError(f"{node.settings.name} has no parameter share yet; send it first")
    program = _program(node, record, 1)
    parameters = open_file(folder / PARAMETERS)
    setup = _fetch_setup(node, record)
    connected = connect_parties(node, record, _setup_session(deployment_id), program.costs.setup_bytes)
    model = deploy(program, record.position, setup, parameters, connected.link)
    connected.link.complete()
    parameters.body.close()
    with node.room.storing:
        records.find(node, deployment_id, Role.PARTY)
        replace_durably(folder / MODEL, model.write_to)
    records.set_state(node, deployment_id, DeploymentState.READY, record.document.host.name)
    fetch_ahead(node, record, 0)
    return ActivationOut(lanes={peer: kind.value for peer, kind in connected.kinds.items()})


def direct_port(node: Node, token: str, deployment_id: str) -> LaneOut:
    """Tell a party of a deployment where this one takes direct connections, if it does."""
    record = records.find(node, deployment_id, Role.PARTY)
    records.verify_signer(node, token, b"", f"POST {lane_path(deployment_id)}", *record.document.parties)
    return LaneOut(port=node.room.listener.port if node.room.listener is not None else None)


def open_query(node: Node, token: str, deployment_id: str, query_id: str | None = None) -> Opened:
    """Spend the query's bundle and prepare it; the subkey of the input mask goes to the asker, sealed.

    Without ``query_id`` the grant alone says which query it is.
    """
    record = records.find(node, deployment_id, Role.PARTY)
    grant = _query_grant(node, record, token, query_id)
    proof = proof_of(token)
    query = node.room.known(grant.query_id, proof)
    if query is None:
        program = _program(node, record, grant.batch)
        waiting = program.costs.memory.waiting_bytes
        node.room.admit(grant.caller, time.monotonic(), waiting, node.settings.open_queries_bytes)
        model = _model(node, record, program)
        packet = take_bundle(node, record, grant.batch, grant.serial)
        with ExitStack() as undo:
            undo.callback(packet.body.close)
            with node.database.write() as db:
                records.log(node, db, grant.caller, "deployment.query", f"{deployment_id}/{grant.query_id}")
            subkey = party.input_subkey(program, record.position, packet)
            session = party.prepare(program, model, packet, node.room.kernels)
            query = OpenQuery(grant, proof, program, session, subkey, time.monotonic())
            node.room.open(query)
            undo.pop_all()
    purpose = purposes.subkey(grant.query_id, record.position)
    return Opened(grant.query_id, seal(decode_key(grant.seal_key), query.subkey, purpose))


def answer(
    node: Node, deployment_id: str, query_id: str, proof: bytes, masked: Frame, digest: bytes | None = None
) -> Answered:
    """Run the query with the other parties; the output share goes to the asker, sealed.

    ``proof`` says that the asker has the grant that opened the query, see ``proof_of``.
    Parties that were sent different inputs do not compute together: frames are bound to the input's SHA-256,
    ``digest`` if the caller made it while the input came. ``masked`` is given away.
    Party 0 alone limits how many queries run at once: two parties that each admitted others would wait for
    each other.
    """
    began = time.perf_counter()
    record = records.find(node, deployment_id, Role.PARTY)
    node.room.require(query_id, proof)  # nobody waits for a place without one
    with node.room.running(node.settings.queries_at_once if record.position == 0 else OPEN_QUERIES):
        query = node.room.take(
            query_id, proof, lambda query: _check_length(query, deployment_id, len(masked))
        )
        program, grant = query.program, query.grant
        with closing(query.session):  # also where the parties do not meet
            link = connect_parties(node, record, query_id, program.costs.online_bytes_per_party).link
            result = party.answer(query.session, take_bytes(masked, program.input.shape), link, digest)
            link.complete()
    records.find(node, deployment_id, Role.PARTY)  # else its bundle may have been wiped while it was read
    purpose = purposes.answer(query_id, record.position)
    return Answered(
        sealed=seal(decode_key(grant.seal_key), result.to_bytes(), purpose),
        rounds=result.rounds,
        sent_bytes=result.bytes_sent,
        seconds=time.perf_counter() - began,
    )


def check_query_grant(node: Node, token: str, deployment_id: str) -> Grant:
    """Read a grant for a query of this deployment, any query, or raise a refusal."""
    return _query_grant(node, records.find(node, deployment_id, Role.PARTY), token, None)


def receiving(
    node: Node, deployment_id: str, query_id: str, proof: bytes, masked_bytes: int
) -> AbstractContextManager[None]:
    """Be the only one who takes a masked input of so many bytes into memory for a query.

    Raises what ``answer`` would of it, before; and ``ConflictError`` while another channel takes one.
    """
    return node.room.receiving(
        query_id, proof, lambda query: _check_length(query, deployment_id, masked_bytes)
    )


def proof_of(token: str) -> bytes:
    """Give what proves to a party that the asker holds a grant that the party has read before: 32 bytes."""
    return hashlib.sha256(token.encode()).digest()


def _setup_session(deployment_id: str) -> str:
    return hashlib.sha256(f"setup {deployment_id}".encode()).hexdigest()[:32]


def _check_length(query: OpenQuery, deployment_id: str, masked_bytes: int) -> None:
    shape = query.program.input.shape
    if query.grant.deployment_id != deployment_id:
        raise AuthorizationError("the query is of another deployment")
    if masked_bytes != WORD_BYTES * prod(shape):
        raise InvalidInputError(f"a masked input of shape {shape} takes 8 bytes an element")


def folder_of(node: Node, deployment_id: str) -> Path:
    """Where a party keeps shares and bundles of a deployment."""
    return node.settings.data_dir / "parties" / deployment_id


def _position(node: Node, document: DeploymentDocument) -> int:
    for position, holder in enumerate(document.parties):
        if holder.node_id == node.keys.id:
            return position
    raise DeploymentRefusedError(f"{node.settings.name} is not a party of this deployment")


def _read_grant(node: Node, record: Record, token: str, purpose: Purpose) -> Grant:
    host = record.document.host
    grant = grants.read(token, host.node_id, read_sign_key(host.sign_key), node.keys.id, node.clock())
    if grant.deployment_id != record.id or grant.purpose is not purpose:
        raise AuthorizationError("the grant is for something else; ask the model's host for another")
    return grant


def _query_grant(node: Node, record: Record, token: str, query_id: str | None) -> Grant:
    grant = _read_grant(node, record, token, Purpose.QUERY)
    if query_id not in (None, grant.query_id):
        raise AuthorizationError("the grant is for another query")
    if record.state is not DeploymentState.READY:
        raise ConflictError(f"{node.settings.name} is not ready for this model yet; activate the deployment")
    return grant


def _fetch_setup(node: Node, record: Record) -> bytes:
    provider = record.document.crypto_provider
    answer = node.calls.send(
        Peer(provider.node_id, provider.name, provider.url),
        "POST",
        f"/v1/provider/deployments/{record.id}/setup",
        timeout_s=node.settings.party_timeout_s,
    )
    purpose = purposes.setup(record.id, record.position)
    return unseal(
        node.keys.seal_key.private_bytes_raw(), SealedOut.model_validate_json(answer).raw(), purpose
    )


def _program(node: Node, record: Record, batch: int) -> Program:
    limit = node.settings.query_memory_bytes
    return node.room.programs.get(
        (record.id, batch), lambda: compile_within(record.document, batch, limit, party_bytes)
    )


def _model(node: Node, record: Record, program: Program) -> DeployedModel:
    path = folder_of(node, record.id) / MODEL

    def read() -> DeployedModel:
        with path.open("rb") as file:
            return DeployedModel.read_from(program, record.position, file)

    return node.room.models.get(record.id, read)
