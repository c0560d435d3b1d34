"""Bundles of all deployments, as provider and as party: taken up again at a start, and shown to the owner."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from gridward.api.node import Node
from gridward.api.parties import records, stock
from gridward.api.parties.dealt import wipe_folder
from gridward.api.parties.roles import Record, Role
from gridward.api.services import provider
from gridward.core.errors import GridError
from gridward.core.schemas.bundles import (
    BundlesOut,
    DealtOut,
    HeldOut,
    PartyAccount,
    PartyStock,
    ShelfOut,
    StockOut,
)
from gridward.core.schemas.deployments import DeploymentState
from gridward.core.smpc.ledger import Total
from gridward.server.principals import Capability, Principal

_FOLDERS: Final = {Role.PARTY: "parties", Role.PROVIDER: "provider"}
_log: Final = logging.getLogger("gridward.node")


def resume_bundles(node: Node) -> None:
    """Wipe what ended or what a crash left half done, then go on dealing ahead and refilling."""
    live = {role: records.of_role(node, role) for role in _FOLDERS}
    for role, name in _FOLDERS.items():
        _wipe_leftovers(node.settings.data_dir / name, {record.id for record in live[role]})
    for deployment_id in records.unburied(node):
        records.bury(node, deployment_id)
    for record in live[Role.PROVIDER]:
        _resume(node, record)
    for record in live[Role.PARTY]:
        if record.state is DeploymentState.READY:
            _resume(node, record)


def list_all(node: Node, caller: Principal) -> BundlesOut:
    """Show the owner who had how many bundles and what is left of them, by deployment."""
    caller.require(Capability.MANAGE_SERVER)
    return BundlesOut(
        dealt=[_dealt(node, record) for record in records.of_role(node, Role.PROVIDER)],
        held=[_held(node, record) for record in records.of_role(node, Role.PARTY)],
    )


def tell_host(node: Node, token: str, deployment_id: str) -> PartyStock:
    """Tell a deployment's host what is left here; it lets queries in, so it knows what was spent.

    Raises `ObjectNotFoundError` for any other signer.
    """
    record = records.find(node, deployment_id, Role.PARTY)
    target = f"GET /v1/parties/deployments/{deployment_id}/stock"
    records.verify_signer(node, token, b"", target, record.document.host)
    return PartyStock(stock=_stock(node, record))


def _wipe_leftovers(folder: Path, live: Iterable[str]) -> None:
    for ended in {path.name for path in folder.glob("*")} - set(live):
        wipe_folder(folder / ended)
        _log.info("wiped what was left of deployment %s", ended)


def _resume(node: Node, record: Record) -> None:
    """A damaged ledger ends the use of one deployment, not the node."""
    try:
        if record.role is Role.PROVIDER:
            provider.shelf_of(node, record)
            provider.deal_ahead_soon(node, record.id)
        else:
            stock.resume(node, record)
    except GridError as why:
        _log.error("bundles of deployment %s cannot be used: %s", record.id, why)


def _dealt(node: Node, record: Record) -> DealtOut:
    shelf, document = provider.shelf_of(node, record), record.document
    had = shelf.had()
    return DealtOut(
        deployment_id=record.id,
        model_id=document.model_id,
        host=document.host.name,
        parties=[
            PartyAccount(party=holder.name, bundles=had[at].count, packet_bytes=had[at].amount)
            for at, holder in enumerate(document.parties)
        ],
        shelf=[
            ShelfOut(batch=batch, ahead=one.ahead, asked=one.asked, waiting_bytes=one.waiting_bytes)
            for batch, one in sorted(shelf.waiting().items())
        ],
    )


def _held(node: Node, record: Record) -> HeldOut:
    document = record.document
    return HeldOut(
        deployment_id=record.id,
        model_id=document.model_id,
        host=document.host.name,
        crypto_provider=document.crypto_provider.name,
        stock=_stock(node, record),
    )


def _stock(node: Node, record: Record) -> list[StockOut]:
    pool = stock.pool_of(node, record)
    held, spent = pool.held(), pool.spent()
    return [
        StockOut(
            batch=batch,
            left=len(held.get(batch, {})),
            left_bytes=sum(held.get(batch, {}).values()),
            spent=spent.get(batch, Total()).count,
            spent_bytes=spent.get(batch, Total()).amount,
        )
        for batch in sorted({*held, *spent})
    ]
