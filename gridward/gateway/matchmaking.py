"""Who computes together: parties and a crypto provider, no owner in two roles."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from sqlmodel import Session

from gridward.core.errors import NoMatchError, ObjectNotFoundError
from gridward.core.schemas.gateway import MatchIn, MatchOut
from gridward.gateway import queries, registry
from gridward.gateway.state import Gateway
from gridward.gateway.tables import Node, Standing


@dataclass(frozen=True, slots=True)
class Candidate:
    """A live node and the roles that its owner offers."""

    id: str
    owner: str
    offers_party: bool
    offers_provider: bool


@dataclass(frozen=True, slots=True)
class Roles:
    """Node ids of the parties, in party order, and of the crypto provider."""

    parties: tuple[str, ...]
    crypto_provider: str


def match(gateway: Gateway, db: Session, body: MatchIn) -> MatchOut:
    """Choose live nodes for the roles around a host, or raise `NoMatchError` that says what is missing."""
    host = db.get(Node, body.host)
    if host is None or host.standing != Standing.APPROVED:
        raise ObjectNotFoundError(f"no node '{body.host}'")
    live = {node.id: node for node in db.exec(queries.members(live_since=gateway.live_since()))}
    candidates = [
        Candidate(node.id, node.owner, node.offers_party, node.offers_provider) for node in live.values()
    ]
    roles = choose_roles(candidates, host.owner, body.parties, gateway.chance)
    return MatchOut(
        parties=[registry.describe(gateway, live[node_id]) for node_id in roles.parties],
        crypto_provider=registry.describe(gateway, live[roles.crypto_provider]),
    )


def choose_roles(candidates: Iterable[Candidate], host_owner: str, parties: int, chance: Random) -> Roles:
    """Choose `parties` parties and a provider under distinct owners, none of them the host's.

    The choice is random: first among owners, then among an owner's nodes, so that an owner gains nothing by
    running many nodes and load spreads. A provider is taken from owners who offer nothing else if there are
    such, which never makes a possible match impossible. Raises `NoMatchError`.
    """
    as_party: dict[str, list[str]] = defaultdict(list)
    as_provider: dict[str, list[str]] = defaultdict(list)
    for node in sorted(candidates, key=lambda node: node.id):
        owner = node.owner.casefold()
        if owner != host_owner.casefold() and node.offers_party:
            as_party[owner].append(node.id)
        if owner != host_owner.casefold() and node.offers_provider:
            as_provider[owner].append(node.id)
    only_providers = sorted(as_provider.keys() - as_party.keys())
    owners = len(as_party.keys() | as_provider.keys())
    if not as_provider or len(as_party) < parties or owners < parties + 1:
        raise NoMatchError(
            f"{parties} parties and a crypto provider are wanted, each under an owner of its own, not the "
            f"host's; {len(as_party)} owners of live nodes offer to be a party, {len(as_provider)} to be the "
            f"provider, {owners} owners in all: ask more owners to offer a role, or wait for nodes to return"
        )
    provider = chance.choice(only_providers or sorted(as_provider))
    able = sorted(as_party.keys() - {provider})
    chosen = chance.sample(able, parties)
    return Roles(
        tuple(chance.choice(as_party[owner]) for owner in chosen), chance.choice(as_provider[provider])
    )
