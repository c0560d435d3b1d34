"""The gateway as an app: what it is made of at start, and its routes."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from math import ceil
from typing import Final

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from gridward.gateway.pages import home
from gridward.gateway.pages import nodes as node_pages
from gridward.gateway.pages import runs as run_pages
from gridward.gateway.pages import search as search_pages
from gridward.gateway.pages.menu import LINKS
from gridward.gateway.routes import gateway as gateway_routes
from gridward.gateway.routes import matchmaking, nodes, runs, search, tokens
from gridward.gateway.state import Gateway
from gridward.gateway.tables import ACCOUNT_TABLES
from gridward.server import (
    account_routes,
    audit_heads,
    audit_routes,
    keys,
    mail,
    metrics,
    oidc_routes,
    restore,
    role_routes,
)
from gridward.server.accounts import Accounts
from gridward.server.app import build
from gridward.server.db import Database
from gridward.server.exclusive import claim
from gridward.server.ids import Clock, utc_now
from gridward.server.jobs import Repeated
from gridward.server.pages import account, audit, entry, oidc, roles, second_factor, users
from gridward.server.pages.shell import Shell
from gridward.server.rate_limit import RateLimit
from gridward.server.settings import GatewaySettings
from gridward.server.signing import ReplayGuard

MIGRATIONS: Final = "gridward.gateway:migrations"
_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3600.0
_DESCRIPTION: Final = (
    "Directory, search, matchmaking and identities of a grid. It never sees data and grants no right."
)


def create_app(settings: GatewaySettings | None = None, clock: Clock = utc_now) -> FastAPI:
    """Return the gateway's app; its parts are made when it starts. Without settings: from the environment."""
    chosen = settings or GatewaySettings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        gateway = await run_in_threadpool(open_gateway, chosen, clock)
        app.state.server = gateway
        app.state.metrics.show(metrics.of_accounts(gateway.accounts))
        heads = Repeated("audit heads", audit_heads.PAUSE_S, partial(audit_heads.keep, gateway.accounts))
        post = Repeated("mail", mail.PAUSE_S, partial(mail.deliver, gateway.accounts))
        try:
            await run_in_threadpool(restore.note, gateway.accounts)
            await run_in_threadpool(audit_heads.compare, gateway.accounts)
            heads.start()
            post.start()
            yield
            await run_in_threadpool(post.stop)
            await run_in_threadpool(heads.stop)
        finally:
            await run_in_threadpool(close_gateway, gateway)

    return build(
        title="Gridward gateway",
        description=_DESCRIPTION,
        routers=(
            gateway_routes.router,
            account_routes.router,
            role_routes.router,
            oidc_routes.router,
            audit_routes.router,
            nodes.router,
            search.router,
            tokens.router,
            matchmaking.router,
            runs.router,
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
            node_pages.router,
            search_pages.router,
            run_pages.router,
        ),
        lifespan=lifespan,
        body_max_bytes=min(chosen.body_max_bytes, chosen.catalogue_max_bytes),
        shell=Shell.make("gateway", chosen.name, LINKS, "gridward.gateway.pages"),
    )


def open_gateway(settings: GatewaySettings, clock: Clock) -> Gateway:
    """Load keys, bring the database's schema up to date and put the parts together.

    Raises `InvalidInputError` if the data folder holds no keys, `ConflictError` if another process has it.
    """
    own = keys.load(settings.data_dir)
    claimed = claim(settings.data_dir)
    database = Database(
        settings.url_of_database(), connections=settings.database_connections, wait_s=settings.database_wait_s
    )
    database.migrate(MIGRATIONS)

    def now_s() -> float:
        return clock().timestamp()

    return Gateway(
        claimed=claimed,
        keys=own,
        database=database,
        accounts=Accounts.make(settings, own, database, ACCOUNT_TABLES, clock),
        replays=ReplayGuard(),
        clock=clock,
        settings=settings,
        joins=RateLimit(settings.joins_per_address, _HOUR_S, now_s),
        # Twice the asked pace, and one before each catalogue.
        heartbeats=RateLimit(
            2 * ceil(_MINUTE_S / settings.heartbeat_s) + settings.catalogue_pushes, _MINUTE_S, now_s
        ),
        pushes=RateLimit(settings.catalogue_pushes, _MINUTE_S, now_s),
        chance=random.SystemRandom(),
    )


def close_gateway(gateway: Gateway) -> None:
    """Close what is open."""
    audit_heads.keep(gateway.accounts)
    gateway.database.close()
    gateway.claimed.close()
