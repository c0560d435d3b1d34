"""Models served encrypted: parameter shares go straight to the parties."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx2
import numpy as np
import torch
from numpy.typing import NDArray

from gridward.client import models
from gridward.client.attestation import check_roles
from gridward.client.channels import ANSWER_S, OCTETS
from gridward.client.granted import calls_to_parties
from gridward.client.place import Place, segment
from gridward.client.ranges import Ranges, widths_of
from gridward.client.rules import ModelAccess
from gridward.client.transport import TIMEOUT
from gridward.core.errors import DeploymentRefusedError
from gridward.core.identity import decode_key
from gridward.core.plans import codec
from gridward.core.schemas.deployments import (
    ActivationIn,
    DeploymentDocument,
    DeploymentIn,
    DeploymentOut,
    LineWidth,
    Maxima,
)
from gridward.core.schemas.gateway import GatewayOut
from gridward.core.schemas.models import ModelIn, ModelOut
from gridward.core.schemas.plan import PlanDocument
from gridward.core.smpc import fixed_reference, purposes
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.deployment import split_parameters
from gridward.core.smpc.lowering import MaxForm
from gridward.core.smpc.program import Costs, Program, StepWidth
from gridward.core.smpc.sealing import seal


@dataclass(frozen=True, slots=True)
class EncryptedModel:
    """Who holds what of an encrypted model, and what a query of one row costs. Exact, but for the error.

    ``levels``: in how many rounds masked bits are merged in a comparison, 1 or 2, as the network asks for.
    ``memory_bytes`` is what one party's arrays take at most. ``lanes`` says how each pair of parties was
    linked at activation: `tls` or `websocket`.
    ``bits`` names the lines of the plan that are compared in fewer bits than others, ``guard`` whether the
    asker is told of values that leave them; ``at_full_width`` is what a query would cost without either.
    """

    id: str
    state: str
    host: str
    parties: tuple[str, ...]
    crypto_provider: str
    rounds: int
    online_bytes_per_party: int
    dealer_bytes: int
    setup_bytes: int
    ring_macs: int
    memory_bytes: int
    measured_error: float | None
    levels: int
    lanes: tuple[str, ...]
    input_range: tuple[float, float] | None
    bits: Mapping[str, int]
    guard: bool
    at_full_width: Costs | None

    def __str__(self) -> str:
        """Say it in a few lines."""
        error = "not measured" if self.measured_error is None else f"{self.measured_error:.2g} on its example"
        return (
            f"{self.id} ({self.state}): plan at {self.host}, one share of each parameter at each of "
            f"{', '.join(self.parties)}, correlations from {self.crypto_provider}\n"
            f"a query: {self.rounds} rounds, {self.online_bytes_per_party / 1e3:,.1f} kB sent by each party "
            f"online, {self.dealer_bytes / 1e3:,.1f} kB dealt offline, "
            f"{self.ring_macs:,} multiplications a party; error against float: {error}\n"
            f"the parties are linked by {' and '.join(sorted(set(self.lanes))) or 'nothing yet'}"
            f"{self._ranges()}"
        )

    def _ranges(self) -> str:
        """Say what is narrower than it would be, and what is watched."""
        told = []
        if self.input_range is not None:
            told.append(f"queries lie from {self.input_range[0]:g} to {self.input_range[1]:g}")
        if self.bits:
            least, most = min(self.bits.values()), max(self.bits.values())
            told.append(f"{len(self.bits)} lines of the plan are compared in {least} to {most} bits")
        if self.guard:
            told.append("values that leave the bits they are compared in are told to the asker")
        if (full := self.at_full_width) is not None:
            told.append(
                f"at full width, unguarded, a query takes {full.rounds} rounds, "
                f"{full.online_bytes_per_party / 1e3:,.1f} kB online, {full.dealer_bytes / 1e3:,.1f} kB dealt"
            )
        return "".join(f"\n{line}" for line in told)


def serve(
    node: Place,
    module: torch.nn.Module,
    model_id: str,
    example_input: torch.Tensor,
    *,
    parties: Sequence[str],
    crypto_provider: str | None,
    description: str,
    tags: Sequence[str],
    access: ModelAccess,
    gateway: GatewayOut | None,
    ranges: Ranges,
    maxima: Maxima = "fitting",
) -> EncryptedModel:
    """Serve a model encrypted: its plan at ``node``, one share of each parameter straight to each party.

    The node never sees a parameter. If anything fails on the way, what was begun is withdrawn. Without a
    ``gateway`` nobody but the node says who the parties are: it is its owner's own node, or trusted.
    Raises ``DeploymentRefusedError`` naming who refused a role, ``PlanRejectedError`` naming every operation
    that has no encrypted form, ``OutOfRangeError`` for parameters beyond the fixed-point range, or samples
    beyond it or the declared one.
    """
    plan, parameters = models.traced_inference(module, example_input, model_id)
    values = {name: value.double().numpy() for name, value in parameters.items()}
    widths = widths_of(
        codec.from_dict(plan.model_dump(mode="json", by_alias=True, exclude_none=True)), values, ranges
    )
    body = ModelIn(
        id=model_id, description=description, tags=list(tags), plan=plan, access=access.to_schema()
    )
    node.transport.fetch(ModelOut, "POST", "/v1/models", body=body)
    deployment: DeploymentOut | None = None
    try:
        wish = DeploymentIn(
            model_id=model_id,
            parties=list(parties),
            crypto_provider=crypto_provider,
            input_range=ranges.input,
            widths=[LineWidth(line=item.line, bits=item.bits, proved=item.proved) for item in widths],
            guard=ranges.guard,
            maxima=maxima,
        )
        deployment = node.transport.fetch(
            DeploymentOut, "POST", "/v1/deployments", body=wish, timeout_s=ANSWER_S
        )
        _check_offer(deployment.document, node, wish, plan, gateway)
        _deliver(deployment, values)
        error = _measured_error(deployment.document, values, module, example_input)
        path = f"/v1/deployments/{deployment.document.id}/activation"
        ready = node.transport.fetch(
            DeploymentOut, "POST", path, body=ActivationIn(measured_error=error), timeout_s=ANSWER_S
        )
    except BaseException:
        if deployment is not None:
            node.transport.send("DELETE", f"/v1/deployments/{deployment.document.id}")
        models.withdraw(node, model_id)
        raise
    return described(model_id, ready)


def describe(node: Place, model_id: str) -> EncryptedModel:
    """Who holds what of an encrypted model; raises ``ObjectNotFoundError`` if it is not served encrypted."""
    path = f"/v1/models/{segment(model_id)}/deployment"
    return described(model_id, node.transport.fetch(DeploymentOut, "GET", path))


def describe_any(node: Place, model_id: str) -> ModelOut | EncryptedModel:
    """What may be known of a model, whether its node holds the parameters or only its plan."""
    model = models.describe(node, model_id)
    return model if model.holds_parameters else describe(node, model_id)


def described(model_id: str, deployment: DeploymentOut) -> EncryptedModel:
    """Put a deployment into users' words."""
    document, costs = deployment.document, deployment.costs
    return EncryptedModel(
        id=model_id,
        state=deployment.state.value,
        host=document.host.name,
        parties=tuple(party.name for party in document.parties),
        crypto_provider=document.crypto_provider.name,
        rounds=costs.rounds,
        online_bytes_per_party=costs.online_bytes_per_party,
        dealer_bytes=costs.dealer_bytes,
        setup_bytes=costs.setup_bytes,
        ring_macs=costs.ring_macs,
        memory_bytes=costs.memory_bytes,
        measured_error=deployment.measured_error,
        levels=document.levels,
        lanes=tuple(lane.kind for lane in deployment.lanes),
        input_range=document.input_range,
        bits={item.line: item.bits for item in document.widths},
        guard=document.guard,
        at_full_width=_costs_at_full_width(document),
    )


def _costs_at_full_width(document: DeploymentDocument) -> Costs | None:
    if not document.widths and not document.guard:
        return None
    return compiled(document.model_copy(update={"widths": [], "guard": False}), 1).costs


def compiled(document: DeploymentDocument, batch: int) -> Program:
    """Compile a deployment's plan, as every role does for itself."""
    return compile_plan(
        codec.from_dict(document.plan.model_dump(mode="json", by_alias=True, exclude_none=True)),
        batch=batch,
        parties=len(document.parties),
        fraction_bits=document.fraction_bits,
        width=document.width,
        levels=document.levels,
        maxima=MaxForm(document.maxima),
        input_range=document.input_range,
        widths=[StepWidth(item.line, item.bits, item.proved) for item in document.widths],
        guard=document.guard,
    )


def _check_offer(
    document: DeploymentDocument,
    node: Place,
    wish: DeploymentIn,
    plan: PlanDocument,
    gateway: GatewayOut | None,
) -> None:
    """Refuse what the host offers where it is not what the owner asked for; shares leave after this."""
    if gateway is not None:
        check_roles(document, gateway)
    document.require_distinct_holders()
    offered = (
        document.model_id,
        document.host.node_id,
        document.fraction_bits,
        document.width,
        document.input_range,
        document.widths,
        document.guard,
        document.maxima,
        compiled(document, 1).digest,
    )
    ours = compiled(document.model_copy(update={"plan": plan}), 1).digest
    if wish.levels not in (None, document.levels) or offered != (
        wish.model_id,
        node.id,
        wish.fraction_bits,
        wish.width,
        wish.input_range,
        wish.widths,
        wish.guard,
        wish.maxima,
        ours,
    ):
        raise DeploymentRefusedError(f"{node.name} offers another deployment than was asked for")
    asked = [*wish.parties, wish.crypto_provider] if wish.parties else [wish.crypto_provider]
    chosen = [*document.parties, document.crypto_provider] if wish.parties else [document.crypto_provider]
    if len(asked) != len(chosen) or not all(
        name in (None, holder.name, holder.node_id) for name, holder in zip(asked, chosen, strict=True)
    ):
        raise DeploymentRefusedError(f"{node.name} chose other nodes than were asked for")


def _deliver(deployment: DeploymentOut, values: dict[str, NDArray[np.float64]]) -> None:
    document = deployment.document
    packets = split_parameters(compiled(document, 1), values, secrets.token_bytes)
    path = f"/v1/parties/deployments/{document.id}/parameters"
    with httpx2.Client(timeout=TIMEOUT) as http:
        calls = calls_to_parties(deployment.parameter_grants, document, http)
        for party, (call, packet) in enumerate(zip(calls, packets, strict=True)):
            key = decode_key(document.parties[party].seal_key)
            sealed = seal(key, packet, purposes.parameters(document.id, party))
            call.send("PUT", path, content=sealed, headers=OCTETS, timeout_s=ANSWER_S)


def _measured_error(
    document: DeploymentDocument,
    values: dict[str, NDArray[np.float64]],
    module: torch.nn.Module,
    example: torch.Tensor,
) -> float:
    was_training = module.training
    module.eval()
    with torch.no_grad():
        clear = module(example).double().numpy()
    module.train(was_training)
    fixed = fixed_reference.evaluate(compiled(document, len(example)), values, example.double().numpy())
    return float(np.abs(fixed - clear).max())
