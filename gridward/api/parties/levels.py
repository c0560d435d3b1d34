"""How many levels a deployment compares in: fewer rounds against more of the dealer's bytes, as measured."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from pydantic import ValidationError

from gridward.api.node import Node
from gridward.api.parties.dismissal import peer_of
from gridward.api.parties.probe import PROBE_PATH
from gridward.core.errors import GridError
from gridward.core.schemas.deployments import RoleHolder
from gridward.core.schemas.probes import ProbeIn, ProbeOut
from gridward.core.smpc.program import Costs

UNMEASURED: Final = 2
_log: Final = logging.getLogger("gridward.deployments")


def measure(
    node: Node, gateway_id: str, host: RoleHolder, parties: Sequence[RoleHolder], provider: RoleHolder
) -> list[ProbeOut]:
    """Have all parties measure at the same time; an empty list where one cannot."""
    body = ProbeIn(gateway_id=gateway_id, host=host, parties=list(parties), crypto_provider=provider)
    raw = body.model_dump_json().encode()
    with ThreadPoolExecutor(len(parties)) as pool:
        calls = [
            pool.submit(
                node.calls.send,
                peer_of(party),
                "POST",
                PROBE_PATH,
                raw,
                timeout_s=node.settings.peer_timeout_s,
            )
            for party in parties
        ]
        try:
            return [ProbeOut.model_validate_json(call.result()) for call in calls]
        except (GridError, ValidationError) as why:
            _log.warning("the network between the parties could not be measured: %s", why)
            return []


def choose(measured: Sequence[ProbeOut], one: Costs, two: Costs) -> int:
    """Give 1 where the rounds that one level spares take longer than its greater bundle, else 2.

    The farthest pair decides for rounds, the slowest way from the provider for bundles: a party that asks
    again and again can be no faster than its bundles come.
    """
    if not measured:
        return UNMEASURED
    spared_s = (two.rounds - one.rounds) * max(probe.round_trip_s for probe in measured)
    slowest = min(probe.provider_bytes_per_s for probe in measured)
    return 1 if spared_s > (one.dealer_bytes - two.dealer_bytes) / slowest else 2
