"""Metrics in Prometheus' format, for whoever holds their token; off unless the settings name its file.

Labels are templates of routes, methods and classes of status: bounded, and nothing of data or people. What is
counted in the database is read when metrics are asked for. Each app has a registry of its own.
"""

import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from fastapi import APIRouter, Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.responses import Response
from starlette.types import Scope

from gridward.core.errors import NotSignedInError, ObjectNotFoundError
from gridward.server import audit, mail
from gridward.server.accounts import Accounts
from gridward.server.settings import ServerSettings
from gridward.server.state import server_of

Read: TypeAlias = Callable[[], float]
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS: Final = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)
_bearer: Final = HTTPBearer(
    auto_error=False, scheme_name="MetricsToken", description="Of `metrics_token_file`."
)


@dataclass(frozen=True, slots=True)
class Gauge:
    """One number that is read when metrics are asked for."""

    name: str
    meaning: str
    read: Read


class Metrics:
    """What one app counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "gridward_requests",
            "Requests answered, by route, method and class of status.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "gridward_request_seconds",
            "Time from a request's head to the end of its answer, by route.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )

        self._gauges = _Gauges()
        self.registry.register(self._gauges)

    def count(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one request."""
        route = getattr(scope.get("route"), "path", "unrouted")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._requests.labels(route, method, f"{status // 100}xx").inc()
        self._seconds.labels(route).observe(seconds)

    def show(self, gauges: list[Gauge]) -> None:
        """Read these numbers whenever metrics are asked for, and no earlier ones."""
        self._gauges.shown = gauges

    def text(self) -> bytes:
        """Write everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _Gauges(Collector):
    def __init__(self) -> None:
        self.shown: list[Gauge] = []

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the numbers without reading them."""
        for gauge in self.shown:
            yield GaugeMetricFamily(gauge.name, gauge.meaning)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read the numbers."""
        for gauge in self.shown:
            yield GaugeMetricFamily(gauge.name, gauge.meaning, value=gauge.read())


def of_accounts(accounts: Accounts) -> list[Gauge]:
    """What both services show."""

    def audit_length() -> float:
        with accounts.database.read() as db:
            return audit.last(db, accounts.tables.audit)[0]

    return [
        Gauge("gridward_audit_entries", "Entries of the audit log.", audit_length),
        Gauge("gridward_outbox_waiting", "Letters that have not left.", lambda: mail.waiting(accounts)),
    ]


def require_token(settings: ServerSettings, sent: str | None) -> None:
    """Raise unless metrics are on and this is their token."""
    file = settings.metrics_token_file
    if file is None:
        raise ObjectNotFoundError("there is nothing at this path")
    wanted = file.read_text().strip()
    if not wanted or sent is None or not hmac.compare_digest(wanted.encode(), sent.encode()):
        raise NotSignedInError("metrics need their own token: `Authorization: Bearer …`")


router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def get_metrics(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Response:
    """Give metrics in Prometheus' text format, with their own token; off unless the settings say so."""
    settings = server_of(request).accounts.settings
    require_token(settings, None if credentials is None else credentials.credentials)
    return Response(request.app.state.metrics.text(), media_type=CONTENT_TYPE_LATEST)
