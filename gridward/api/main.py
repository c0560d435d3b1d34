"""The node's app: `create_app` wires its parts; uvicorn calls it as a factory."""

import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import httpx2
from fastapi import FastAPI
from sqlmodel import Session
from starlette.concurrency import run_in_threadpool

from gridward.api import gauges, queries, queries_access, storage
from gridward.api.hearts import Hearts
from gridward.api.lanes.accept import authenticate
from gridward.api.lanes.listener import LaneListener
from gridward.api.lanes.tls import server_context
from gridward.api.node import Node
from gridward.api.pages import datasets as dataset_pages
from gridward.api.pages import groups as group_pages
from gridward.api.pages import home
from gridward.api.pages import models as model_pages
from gridward.api.pages import reports as report_pages
from gridward.api.pages import requests as request_pages
from gridward.api.pages import rules as rule_pages
from gridward.api.pages import status as status_pages
from gridward.api.pages import trainings as training_pages
from gridward.api.pages.menu import LINKS
from gridward.api.parties.budget import Budget
from gridward.api.parties.calls import Calls
from gridward.api.parties.offline import Offline
from gridward.api.parties.room import Room
from gridward.api.routes import (
    bundles,
    computations,
    datasets,
    deployments,
    groups,
    memberships,
    models,
    objects,
    parties,
    provider,
    reports,
    requests,
    rules,
    secure_aggregations,
    secure_sums,
    trainings,
    uploads,
)
from gridward.api.routes import node as node_routes
from gridward.api.services.bundles import resume_bundles
from gridward.api.services.decisions import end_approvals, forget_answers
from gridward.api.services.secure_aggregations import drop_updates
from gridward.api.services.trainings import mark_interrupted
from gridward.api.services.uploads import expire
from gridward.api.tables.accounts import ACCOUNT_TABLES
from gridward.api.training_runs import TrainingRuns
from gridward.api.workers import Workers
from gridward.core.smpc.kernels import cpu
from gridward.core.smpc.kernels.paces import read_paces
from gridward.core.smpc.kernels.seam import Kernels
from gridward.server import (
    account_routes,
    audit_heads,
    audit_routes,
    mail,
    oidc_routes,
    restore,
    role_routes,
)
from gridward.server.accounts import Accounts
from gridward.server.app import build
from gridward.server.blobs import BlobFolder
from gridward.server.db import Database
from gridward.server.exclusive import claim
from gridward.server.ids import Clock, utc_now
from gridward.server.jobs import Bell, Repeated
from gridward.server.keys import load
from gridward.server.pages import account, audit, entry, oidc, roles, second_factor, users
from gridward.server.pages.shell import Shell
from gridward.server.settings import NodeSettings
from gridward.server.signing import ReplayGuard

PACES: Final = "paces.json"
"""In the data folder: what `gridward bench ring-matmul --tune` measured."""
MIGRATIONS: Final = "gridward.api:migrations"
ROUTERS: Final = (
    account_routes.router,
    role_routes.router,
    groups.router,
    oidc_routes.router,
    audit_routes.router,
    node_routes.router,
    memberships.router,
    uploads.router,
    datasets.router,
    rules.of_datasets,
    objects.router,
    computations.router,
    requests.router,
    reports.router,
    requests.notices,
    trainings.router,
    models.router,
    rules.of_models,
    deployments.router,
    parties.before,
    parties.router,
    provider.router,
    bundles.router,
    secure_sums.router,
    secure_aggregations.router,
    entry.router,
    entry.strangers,
    oidc.router,
    oidc.strangers,
    account.router,
    second_factor.router,
    users.router,
    roles.router,
    audit.router,
    home.router,
    group_pages.router,
    request_pages.router,
    dataset_pages.router,
    rule_pages.router,
    model_pages.router,
    training_pages.router,
    status_pages.router,
    report_pages.router,
)
_EXPIRY_PAUSE_S: Final = 600.0
_log: Final = logging.getLogger("gridward.node")


def create_app(settings: NodeSettings | None = None, clock: Clock = utc_now) -> FastAPI:
    """Return the node's app; without settings they come from the environment.

    Keys are read, the schema is migrated and leftovers of a crash are swept when it starts.
    """
    wanted = settings or NodeSettings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        node = await run_in_threadpool(open_node, wanted, clock)
        hearts = Hearts(node)
        expiry = Repeated("expiry", _EXPIRY_PAUSE_S, partial(_expire, node))
        heads = Repeated("audit heads", audit_heads.PAUSE_S, partial(audit_heads.keep, node.accounts))
        post = Repeated("mail", mail.PAUSE_S, partial(mail.deliver, node.accounts))
        app.state.server, app.state.hearts = node, hearts
        app.state.metrics.show(gauges.of_node(node))
        try:
            await run_in_threadpool(_begin, node, hearts)
            expiry.start()
            heads.start()
            post.start()
            yield
            await run_in_threadpool(post.stop)
            await run_in_threadpool(expiry.stop)
            await run_in_threadpool(heads.stop)
        finally:
            await run_in_threadpool(hearts.stop)
            await run_in_threadpool(close_node, node)

    return build(
        title="Gridward node",
        description="Holds private data; computes, trains and serves without giving it away.",
        routers=ROUTERS,
        lifespan=lifespan,
        body_max_bytes=wanted.body_max_bytes,
        shell=Shell.make("node", wanted.name, LINKS, "gridward.api.pages"),
    )


def open_node(settings: NodeSettings, clock: Clock) -> Node:
    """Make the parts of a node. Raises `InvalidInputError` if it has no keys, or not the device."""
    workers = Workers(settings)
    keys = load(settings.data_dir)
    claimed = claim(settings.data_dir)
    database = Database(
        settings.url_of_database(),
        connections=settings.database_connections,
        wait_s=settings.database_wait_s,
    )
    database.migrate(MIGRATIONS)
    node = Node(
        settings=settings,
        claimed=claimed,
        keys=keys,
        database=database,
        accounts=Accounts.make(settings, keys, database, ACCOUNT_TABLES, clock, queries_access.is_named),
        replays=ReplayGuard(),
        blobs=BlobFolder(settings.data_dir / "blobs"),
        catalogue_changed=Bell(),
        workers=workers,
        trainings=TrainingRuns(settings, workers),
        calls=Calls(keys, httpx2.Client(trust_env=False), clock),
        room=Room(kernels=_kernels(settings)),
        offline=Offline(Budget(settings.bundles_bytes)),
        clock=clock,
        started_at=clock(),
    )
    if settings.lane_port is not None:
        node.room.listener = _listener(node, settings.lane_port)
        node.room.listener.start()
    return node


def _expire(node: Node) -> None:
    expire(node)
    forget_answers(node)


def _kernels(settings: NodeSettings) -> Kernels:
    """Give the kernels with the paces that were measured on this machine, if the folder holds any."""
    measured = settings.data_dir / PACES
    return cpu.Tuned(read_paces(measured.read_text())) if measured.exists() else cpu


def _listener(node: Node, port: int) -> LaneListener:
    """Take direct connections of parties on a port of their own."""
    family = socket.AF_INET6 if ":" in node.settings.host else socket.AF_INET
    listener = socket.create_server((node.settings.host, port), family=family, backlog=64)
    return LaneListener(
        listener,
        server_context(node.keys.sign_key, node.settings.data_dir, node.clock()),
        partial(authenticate, node),
        node.room.switchboard,
        node.settings.party_timeout_s,
    )


def _undo(db: Session) -> None:
    """Let nothing be used again after a restore that may have been used since the back-up."""
    end_approvals(db)
    drop_updates(db)


def _begin(node: Node, hearts: Hearts) -> None:
    restore.note(node.accounts, _undo)
    audit_heads.compare(node.accounts)
    mark_interrupted(node)
    swept = storage.sweep(node)
    if swept:
        _log.info("removed %d files that a crash left behind", swept)
    resume_bundles(node)
    if node.settings.offer_party or node.settings.offer_provider:
        cpu.warm_up()  # before anybody is served: compiling changes the warnings of the whole process
    with node.database.read() as db:
        urls = {row.gateway_url for row in queries.memberships(db)}
    if node.settings.gateway_url is not None:
        urls.add(node.settings.gateway_url.rstrip("/"))
    for url in sorted(urls):
        hearts.start(url)


def close_node(node: Node) -> None:
    """Stop what runs and close what is open."""
    node.workers.close()
    node.trainings.stop()
    mark_interrupted(node)
    audit_heads.keep(node.accounts)
    node.room.close()
    node.offline.close()
    node.calls.client.close()
    node.database.close()
    node.claimed.close()
