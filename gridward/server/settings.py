"""Settings of both services: `GRIDWARD_…` variables, each with its unit and meaning. No secret has a default.

The only module that reads the environment. `docs/settings.md` is rendered from these classes
(`server/settings_page.py`).
"""

from ipaddress import ip_network
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from gridward.core.schemas.accounts import RoleName
from gridward.core.schemas.node import NODE_NAME_PATTERN, URL_PATTERN
from gridward.server.settings_mail import MailSettings
from gridward.server.settings_oidc import OidcSettings

MEBIBYTE: Final = 2**20
GIBIBYTE: Final = 2**30


class ServerSettings(OidcSettings, MailSettings):
    """What a node and a gateway have in common."""

    model_config = SettingsConfigDict(env_prefix="GRIDWARD_", extra="ignore", validate_default=True)

    data_dir: Path = Field(
        default=Path("gridward-data"),
        description="Folder of keys, database and blobs; made by `gridward init`, mode 0700.",
    )
    database_url: str | None = Field(
        default=None,
        description="SQLAlchemy URL, such as `postgresql+psycopg://user@host/name`. "
        "Unset: SQLite in the data folder.",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    public_url: str | None = Field(
        default=None,
        pattern=URL_PATTERN,
        description="URL under which others reach this server. Unset: built from host and port.",
    )
    forwarded_allow_ips: str = Field(
        default="127.0.0.1",
        description="Addresses and networks of proxies, with commas between them, whose `X-Forwarded-For` "
        "and `X-Forwarded-Proto` are believed; `*` believes everyone.",
    )
    log_format: Literal["json", "text"] = Field(default="json", description="How log lines are written.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe log line that is written."
    )
    metrics_token_file: Path | None = Field(
        default=None,
        description="File that holds the token with which `/metrics` is read. Unset: there are no metrics.",
    )
    body_max_bytes: int = Field(
        default=256 * MEBIBYTE,
        ge=1024,
        description="Largest request body, bytes. Larger things go through uploads.",
    )
    access_token_s: float = Field(
        default=900, gt=0, le=86_400, description="Lifetime of an access token, seconds."
    )
    refresh_token_s: float = Field(
        default=30 * 86_400, gt=0, description="A session that is not refreshed for so long ends, seconds."
    )
    page_session_s: float = Field(
        default=8 * 3600,
        gt=0,
        description="A browser that is signed in and asks for nothing for so long is signed out, seconds.",
    )
    sign_in_attempts: int = Field(
        default=10,
        ge=1,
        description="Failed sign-ins for one user name from one address within `sign_in_window_s`.",
    )
    sign_in_attempts_global: int = Field(
        default=300, ge=1, description="Failed sign-ins from everywhere within `sign_in_window_s`."
    )
    sign_in_window_s: float = Field(default=300, gt=0, description="Window of the sign-in limits, seconds.")
    password_memory_kib: int = Field(
        default=65_536, ge=1024, description="argon2id memory for one password hash, KiB."
    )
    password_passes: int = Field(default=3, ge=1, description="argon2id passes over that memory.")
    password_hashes_at_once: int = Field(
        default=2, ge=1, description="Password hashes computed at the same time; more wait."
    )
    second_factor_roles: frozenset[RoleName] = Field(
        default=frozenset(),
        description='Roles that may do nothing without a second factor, as JSON: `["owner", "admin"]`.',
    )
    invitation_s: float = Field(
        default=7 * 86_400, gt=0, description="Lifetime of a one-time token that sets a password, seconds."
    )
    database_connections: int = Field(default=20, ge=2, description="Most open database connections.")
    database_wait_s: float = Field(
        default=15, gt=0, description="Longest wait for the database's write lock or a connection, seconds."
    )

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _are_addresses(cls, given: str) -> str:
        for one in filter(None, map(str.strip, "" if given == "*" else given.split(","))):
            ip_network(one)
        return given

    def url(self) -> str:
        """Return the URL under which others reach this server."""
        raise NotImplementedError

    def url_of_database(self) -> str:
        """Return the SQLAlchemy URL: the given one, or SQLite in the data folder."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'gridward.db').absolute()}"


class NodeSettings(ServerSettings):
    """A node: holds private data, computes, trains, serves."""

    name: str = Field(default="node", pattern=NODE_NAME_PATTERN, description="Name shown to users.")
    port: int = Field(default=5001, ge=0, le=65_535, description="TCP port.")
    gateway_url: str | None = Field(
        default=None, pattern=URL_PATTERN, description="Gateway to join at start. Unset: none."
    )
    offer_party: bool = Field(default=False, description="Let others place shares of their models here.")
    secure_quorum: int = Field(
        default=2,
        ge=2,
        le=64,
        description="Fewest nodes whose updates stand behind a sum that this node contributes to or adds up.",
    )
    offer_provider: bool = Field(default=False, description="Deal correlations for others' computations.")
    upload_max_bytes: int = Field(default=8 * GIBIBYTE, ge=1, description="Largest upload, bytes.")
    upload_quota_bytes: int = Field(
        default=32 * GIBIBYTE, ge=1, description="Open uploads and stored blobs of one user, bytes."
    )
    upload_total_bytes: int = Field(
        default=256 * GIBIBYTE, ge=1, description="Open uploads and stored blobs of everyone, bytes."
    )
    upload_chunk_bytes: int = Field(
        default=8 * MEBIBYTE, ge=1024, description="Largest chunk of an upload, bytes."
    )
    uploads_open: int = Field(default=64, ge=1, description="Open uploads of one user.")
    upload_expiry_s: float = Field(
        default=86_400,
        gt=0,
        description="An upload that nothing was made of for so long is dropped, seconds.",
    )
    dataset_max_tensors: int = Field(default=4096, ge=1, description="Most tensors or columns of a dataset.")
    plan_time_s: float = Field(default=60, gt=0, description="Longest run of a computation, seconds.")
    plan_memory_bytes: int = Field(
        default=4 * GIBIBYTE, ge=64 * MEBIBYTE, description="Most memory of a plan's worker process, bytes."
    )
    plan_operations: int = Field(
        default=10**12, ge=1, description="Most elementary operations of a computation, by its shapes."
    )
    plan_workers: int = Field(default=2, ge=1, description="Plans that run at the same time.")
    plan_queue: int = Field(
        default=32, ge=0, description="Plans that may wait for a worker; more are refused."
    )
    request_max_bytes: int = Field(
        default=MEBIBYTE,
        ge=1024,
        description="Largest question that may be put to people: plan, sources and public values, bytes.",
    )
    request_expiry_s: float = Field(
        default=30 * 86_400, gt=0, description="A request that nobody decided for so long expires, seconds."
    )
    requests_open: int = Field(
        default=100,
        ge=1,
        description="Requests of one user that may be undecided, those that expired lately included.",
    )
    request_answer_s: float = Field(
        default=3600,
        gt=0,
        description="How long an answer that a counted approval gave is kept for an asker who was cut off, "
        "seconds.",
    )
    training_time_s: float = Field(default=3600, gt=0, description="Longest run of a training, seconds.")
    training_operations: int = Field(
        default=10**15, ge=1, description="Most elementary operations of a whole training, by its shapes."
    )
    trainings_at_once: int = Field(default=2, ge=1, description="Trainings that run at the same time.")
    training_queue: int = Field(
        default=16, ge=0, description="Trainings that may wait for a worker; more are refused."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="cpu",
        description="Where trainings compute: `cpu`, `cuda`, or `auto` for CUDA where torch sees it. "
        "Not tried on CUDA yet.",
    )
    bundles_ahead: int = Field(
        default=8,
        ge=0,
        le=512,
        description="Bundles that a party fetches ahead for each encrypted model and batch size in use.",
    )
    bundles_ahead_bytes: int = Field(
        default=2 * GIBIBYTE,
        ge=0,
        description="Most bytes that a party keeps ahead of queries for one encrypted model; "
        "at least one bundle of a batch size in use is kept.",
    )
    bundles_dealt_ahead: int = Field(
        default=8,
        ge=0,
        le=512,
        description="Bundles that a crypto provider deals ahead for each encrypted model and batch size "
        "in use.",
    )
    bundles_waiting: int = Field(
        default=256,
        ge=1,
        description="Bundles of one encrypted model that a crypto provider keeps for parties that have not "
        "fetched.",
    )
    bundles_bytes: int = Field(
        default=16 * GIBIBYTE,
        ge=MEBIBYTE,
        description="Most bytes of bundles that a crypto provider keeps; dealt ahead is half of it at most.",
    )
    deployments_proposed: int = Field(
        default=32,
        ge=1,
        description="Encrypted models of one host that may be proposed here and not ready yet.",
    )
    queries_at_once: int = Field(
        default=4, ge=1, description="Encrypted queries that a party computes at the same time; more wait."
    )
    query_memory_bytes: int = Field(
        default=4 * GIBIBYTE,
        ge=MEBIBYTE,
        description="Most memory of one encrypted query, its model included, at a party or provider, bytes.",
    )
    open_queries_bytes: int = Field(
        default=2 * GIBIBYTE,
        ge=MEBIBYTE,
        description="Most memory that encrypted queries hold at a party until their input comes, bytes.",
    )
    lane_port: int | None = Field(
        default=None,
        ge=0,
        le=65_535,
        description="TCP port of direct TLS connections between parties, 0 for a free one. "
        "Unset: none, parties meet over WebSockets on `port`.",
    )
    party_timeout_s: float = Field(
        default=30, gt=0, description="Longest wait of a party for another within a round, seconds."
    )
    heartbeat_retry_s: float = Field(
        default=2, gt=0, description="First pause after a failed heartbeat, seconds; doubles up to a minute."
    )
    peer_timeout_s: float = Field(
        default=10, gt=0, description="Longest wait for an answer of a gateway or peer, seconds."
    )

    def url(self) -> str:
        """Return the URL under which others reach this node."""
        return self.public_url or f"http://{self.host}:{self.port}"


class GatewaySettings(ServerSettings):
    """A gateway: directory, search, identities. It never holds data."""

    name: str = Field(
        default="grid",
        pattern=NODE_NAME_PATTERN,
        description="Name of the grid: its users are `name@grid` on the nodes.",
    )
    port: int = Field(default=5000, ge=0, le=65_535, description="TCP port.")
    heartbeat_s: float = Field(default=5, gt=0, description="Pause between a node's heartbeats, seconds.")
    away_after_s: float = Field(
        default=15, gt=0, description="A node that is silent for so long leaves search, seconds."
    )
    identity_token_s: float = Field(
        default=300, gt=0, le=3600, description="Lifetime of an identity token for a node, seconds."
    )
    attestation_s: float = Field(
        default=86_400, gt=0, description="Lifetime of what the gateway attests of a node, seconds."
    )
    catalogue_max_bytes: int = Field(
        default=32 * MEBIBYTE, ge=1024, description="Largest catalogue that a node may push, bytes."
    )
    catalogue_max_terms: int = Field(
        default=200_000,
        ge=1,
        description="Most distinct words, tags and names of one node's catalogue, summed over its entries.",
    )
    catalogue_pushes: int = Field(
        default=120, ge=1, description="Catalogues that one node may push within a minute."
    )
    joins_waiting: int = Field(
        default=200, ge=1, description="Nodes that may wait for approval or be kept as refused."
    )
    joins_per_address: int = Field(
        default=60, ge=1, description="New nodes that may ask to join from one address within an hour."
    )

    def url(self) -> str:
        """Return the URL under which others reach this gateway."""
        return self.public_url or f"http://{self.host}:{self.port}"
