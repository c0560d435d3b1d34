"""Asking several nodes for a total: shares from each, added up by aggregators, opened here."""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from gridward.client import directory
from gridward.client.attestation import check_attestations
from gridward.client.checks import checked
from gridward.client.computations import Stored
from gridward.client.credentials import GatewayIdentity
from gridward.client.place import Place
from gridward.client.transport import Transport
from gridward.core.errors import GridError, InvalidInputError, NoMatchError, ObjectNotFoundError
from gridward.core.identity import encode_key
from gridward.core.plans import codec, expression
from gridward.core.plans.expression import Expression
from gridward.core.schemas.deployments import RoleHolder, SealedOut
from gridward.core.schemas.gateway import DirectoryNode, GatewayOut, NodeState
from gridward.core.schemas.plan import PlanDocument
from gridward.core.schemas.secure_sums import (
    MOST_AGGREGATORS,
    ContributionIn,
    ContributionOut,
    OpeningIn,
    SumDocument,
    SumOutput,
    SumShare,
)
from gridward.core.smpc import purposes, secure_sum
from gridward.core.smpc.ring import RingArray, from_bytes
from gridward.core.smpc.sealing import public_key, unseal
from gridward.core.smpc.secure_sum import Layout, Numbers

Item = TypeVar("Item")
Result = TypeVar("Result")

_COMPUTE_S: Final = 600.0
_LEAST_AGGREGATORS: Final = 2


@dataclass(frozen=True, slots=True)
class Part:
    """What one node contributes: the same outputs, of the same types and sizes, as every other node."""

    place: Place
    outputs: Mapping[str, Expression]


def add_up(
    parts: Sequence[Part], outputs: Sequence[SumOutput], *, fraction_bits: int, aggregators: Sequence[str]
) -> dict[str, Numbers]:
    """Run one secure sum and open its total, by output name.

    Who learns what: the caller the total; each aggregator uniform words; a contributor nothing of others.
    All aggregators together could open every contribution: see ``choose_aggregators``.
    Cost: each node computes once; two calls one after the other, side by side over the nodes; a contributor
    sends 8 bytes a number and 32 bytes for each further aggregator.
    Raises the refusal of a node, naming it; ``NoMatchError`` where two aggregators cannot be found.
    """
    gateway = gateway_of(part.place for part in parts)
    facts = gateway.fetch(GatewayOut, "GET", "/v1/gateway")
    nodes = directory.nodes(gateway)
    contributors = [live(nodes, part.place.id) for part in parts]
    named = [live(nodes, name) for name in aggregators]
    private = secrets.token_bytes(32)
    with checked():
        document = SumDocument(
            id=secrets.token_hex(16),
            gateway_id=facts.id,
            asker_key=encode_key(public_key(private)),
            fraction_bits=fraction_bits,
            outputs=list(outputs),
            contributors=[holder(node) for node in contributors],
            aggregators=[holder(node) for node in named or choose_aggregators(contributors, nodes)],
        )
    document.words()
    check_attestations(document.roles(), facts)
    document.require_fair()
    gathered = side_by_side(lambda part: _contribution(part, document), parts)
    asked = list(enumerate(document.aggregators))
    sums = side_by_side(
        lambda at: _opening(gateway, document, at[1], [shares[at[0]] for shares in gathered], private), asked
    )
    layouts = [Layout(output.dtype == "int64", tuple(output.shape)) for output in outputs]
    totals = secure_sum.unpack(secure_sum.add_up(sums), layouts, fraction_bits)
    return dict(zip((output.name for output in outputs), totals, strict=True))


def choose_aggregators(
    contributors: Sequence[DirectoryNode], nodes: Sequence[DirectoryNode]
) -> list[DirectoryNode]:
    """Take contributors first, then others by chance until there are two; no owner twice.

    A contributor that is an aggregator too needs to trust nobody else: without its own share its numbers
    stay closed. Raises ``NoMatchError``.
    """
    others = [node for node in nodes if node.state is NodeState.LIVE and node.attestation is not None]
    secrets.SystemRandom().shuffle(others)
    chosen: dict[str, DirectoryNode] = {}
    for node in contributors:
        if node.offers_party and len(chosen) < MOST_AGGREGATORS:
            chosen.setdefault(node.owner.casefold(), node)
    for node in others:
        if node.offers_party and len(chosen) < _LEAST_AGGREGATORS:
            chosen.setdefault(node.owner.casefold(), node)
    if len(chosen) < _LEAST_AGGREGATORS:
        raise NoMatchError(
            "a secure sum needs two live nodes of different owners that offer to be a party, and there are "
            f"{len(chosen)}; ask owners to set GRIDWARD_OFFER_PARTY"
        )
    return list(chosen.values())


def gateway_of(places: Iterable[Place]) -> Transport:
    """Give the one gateway over which all nodes were reached: it says who owns what."""
    gateways: dict[str, Transport] = {}
    for place in places:
        identity = place.transport.credentials
        if not isinstance(identity, GatewayIdentity):
            raise InvalidInputError(
                f"{place.name!r} was reached without a gateway, which would say who owns it; a secure sum is "
                "over pointers that gw.network(…).search(…) found"
            )
        gateways[identity.gateway.url] = identity.gateway
    if len(gateways) != 1:
        raise InvalidInputError(f"a secure sum is over nodes of one gateway, not of {', '.join(gateways)}")
    return next(iter(gateways.values()))


def _contribution(part: Part, document: SumDocument) -> list[SumShare]:
    plan, sources = expression.to_plan(part.outputs)
    body = ContributionIn(
        document=document,
        plan=PlanDocument.model_validate(codec.to_dict(plan)),
        sources=[source.key.feed(name) for name, source in sources.items() if isinstance(source.key, Stored)],
    )
    path = "/v1/secure-sums/contributions"
    try:
        out = part.place.transport.fetch(ContributionOut, "POST", path, body=body, timeout_s=_COMPUTE_S)
    except GridError as why:
        if part.place.name in why.detail:
            raise
        raise type(why)(f"{part.place.name}: {why.detail}") from why
    if len(out.shares) != len(document.aggregators):
        raise InvalidInputError(f"{part.place.name} answered with {len(out.shares)} shares")
    return out.shares


def _opening(
    gateway: Transport,
    document: SumDocument,
    aggregator: RoleHolder,
    shares: Sequence[SumShare],
    private: bytes,
) -> RingArray:
    identity = GatewayIdentity(gateway, aggregator.node_id)
    calls = gateway.with_credentials(identity, aggregator.url)
    calls.label = f"aggregator {aggregator.name!r} at {calls.url}"
    body = OpeningIn(document=document, shares=list(shares))
    sealed = calls.fetch(SealedOut, "POST", "/v1/secure-sums/openings", body=body)
    purpose = purposes.sum_answer(document.digest(), aggregator.node_id)
    return from_bytes(unseal(private, sealed.raw(), purpose), (document.words(),))


def live(nodes: Iterable[DirectoryNode], name: str) -> DirectoryNode:
    """Find a node that is live, by name or id; raises ``ObjectNotFoundError``, ``NoMatchError``."""
    found = next((node for node in nodes if name in (node.id, node.name)), None)
    if found is None:
        raise ObjectNotFoundError(f"the gateway knows no node {name!r}")
    if found.state is not NodeState.LIVE or found.attestation is None:
        raise NoMatchError(f"{found.name} is {found.state.value}, not live; start it or leave it out")
    return found


def holder(node: DirectoryNode) -> RoleHolder:
    """Write a node into a document, with the gateway's word for it."""
    stated = node.model_dump(include={"name", "url", "owner", "sign_key", "seal_key", "attestation"})
    return RoleHolder(node_id=node.id, **stated)


def side_by_side(call: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Call for every item at once; gives the results in order."""
    with ThreadPoolExecutor(len(items)) as pool:
        return list(pool.map(call, items))
