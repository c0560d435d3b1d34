"""A signed-in view of one node: publish, find, administer, host models."""

from collections.abc import Mapping, Sequence
from types import TracebackType

import torch

from gridward.client import encrypted, granting, memberships, models, objects
from gridward.client.accounts import Accounts, OwnAccount
from gridward.client.audit import AuditLog
from gridward.client.checks import checked
from gridward.client.credentials import PasswordSession
from gridward.client.dataset_pointers import DatasetPointer
from gridward.client.encrypted import EncryptedModel
from gridward.client.groups import Groups
from gridward.client.paging import collected
from gridward.client.payload import Data, pack
from gridward.client.place import segment
from gridward.client.pointers import Pointer
from gridward.client.ranges import Ranges
from gridward.client.requests import Notifications, Requests
from gridward.client.roles import Roles
from gridward.client.rules import Access, Disclosure, ModelAccess, Names, Rule, dataset_access
from gridward.client.search import SearchResult
from gridward.client.transport import Transport
from gridward.client.uploads import upload
from gridward.core.errors import (
    AlreadyExistsError,
    AuthorizationError,
    InvalidInputError,
    ObjectNotFoundError,
)
from gridward.core.schemas.access import RuleOut
from gridward.core.schemas.accounts import UserOut
from gridward.core.schemas.bundles import ModelStockOut
from gridward.core.schemas.datasets import (
    Bounds,
    ContentIn,
    DatasetIn,
    DatasetOut,
    DatasetPatch,
    DatasetsOut,
    DatasetVersion,
    DatasetVersionsOut,
)
from gridward.core.schemas.deployments import Maxima
from gridward.core.schemas.gateway import GatewayOut
from gridward.core.schemas.models import ModelOut
from gridward.core.schemas.node import MembershipOut, NodeOut
from gridward.core.schemas.status import NodeStatusOut
from gridward.core.schemas.tensor import StoredAs
from gridward.core.schemas.trainings import TrainingRecord, TrainingsOut
from gridward.core.schemas.uploads import ColumnFound, UploadContent


class NodeClient:
    """One node, as the signed-in user sees it. Get one from ``gw.connect`` or ``grid.node``."""

    def __init__(
        self, transport: Transport, *, id: str, name: str, gateway: GatewayOut | None = None
    ) -> None:
        self._transport = transport
        self._id = id
        self._name = name
        self._gateway = gateway
        transport.label = f"node {name!r} at {transport.url}"
        self.users = Accounts(transport)
        self.roles = Roles(transport)
        self.groups = Groups(transport)
        self.account = OwnAccount(transport)
        self.audit = AuditLog(transport)
        self.requests = Requests(self)
        self.notifications = Notifications(self)

    def __repr__(self) -> str:
        return f"<NodeClient {self._name} {self.url}>"

    def __enter__(self) -> "NodeClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def id(self) -> str:
        """The node's id, derived from its signing key."""
        return self._id

    @property
    def name(self) -> str:
        """The name that its owner gave it."""
        return self._name

    @property
    def url(self) -> str:
        """Where it answers."""
        return self._transport.url

    @property
    def transport(self) -> Transport:
        """Calls to it, signed in."""
        return self._transport

    def describe(self) -> NodeOut:
        """Ask the node for its public facts."""
        return self._transport.fetch(NodeOut, "GET", "/v1/node")

    def status(self) -> NodeStatusOut:
        """How the node is doing: storage, queues, gateways, roles, the audit log; for its owner."""
        return self._transport.fetch(NodeStatusOut, "GET", "/v1/node/status")

    def publish(
        self,
        name: str,
        data: Data,
        *,
        description: str = "",
        tags: Sequence[str] = (),
        allowed_users: Names | None = None,
        access: Access | None = None,
        columns: Sequence[str] | None = None,
        types: Mapping[str, StoredAs] | None = None,
        entity: str | None = None,
        rows_are_entities: bool = False,
        bounds: Mapping[str, tuple[float, float]] | None = None,
        min_rows: int = 10,
        disclosure: Disclosure | None = None,
        reviewers: int = 1,
    ) -> DatasetPointer:
        """Send data to the node and describe it; without ``allowed_users`` or ``access`` nobody else sees it.

        ``data``: a torch tensor or NumPy array (``columns`` splits the second dimension), a dict of columns
        or tensors that share their rows, a pandas, polars or Arrow frame, or the path of a Parquet, CSV,
        .npy, .npz or .safetensors file. ``allowed_users`` may have the real values, and every signed-in user
        may find it and compute on it; ``access`` says it verb by verb. ``entity`` names the column of the
        data subject, which nobody can compute on; without one say whether ``rows_are_entities``: nobody has
        aggregates of rows of which it is not known whose they are. ``bounds`` are the ranges that the owner
        vouches for, in the column's unit. ``types`` says per column as what it is stored, ``"skip"`` to leave
        it out. No released aggregate stands on fewer than ``min_rows`` rows and entities, nor beyond the
        thresholds of ``disclosure``. ``reviewers`` people have to agree to a request for what the rules do
        not give; with 0 it takes none.

        Raises ``AlreadyExistsError``, ``SendNotPermittedError``, ``UploadRefusedError``.
        """
        rules = dataset_access(allowed_users, access).to_schema()
        with checked():
            body = DatasetIn(
                name=name,
                description=description,
                tags=list(tags),
                upload_id="",
                columns=None if columns is None else list(columns),
                types=dict(types or {}),
                access=rules,
                entity=entity,
                rows_are_entities=rows_are_entities,
                bounds=_bounds(bounds or {}),
                min_rows=min_rows,
                disclosure=(disclosure or Disclosure()).to_schema(),
                reviewers=reviewers,
            )
        body.upload_id = upload(self._transport, pack(data), repr(name))
        try:
            out = self._transport.fetch(DatasetOut, "POST", "/v1/datasets", body=body)
        except AlreadyExistsError as why:
            raise AlreadyExistsError(
                f"{why.detail}; choose another name, or withdraw it first with node.withdraw({name!r})"
            ) from why
        return DatasetPointer.of(self, out)

    def search(self, *words: str) -> SearchResult:
        """Datasets here that the user may discover; words starting with # are tags, others are looked up."""
        items = self._listed(tag=[word for word in words if word.startswith("#")])
        terms = [word.lower() for word in words if not word.startswith("#")]
        fitting = [
            item for item in items if all(term in f"{item.name} {item.description}".lower() for term in terms)
        ]
        return SearchResult([DatasetPointer.of(self, item) for item in fitting], len(fitting))

    def dataset(self, name: str) -> DatasetPointer:
        """The dataset of this name or id; raises ``ObjectNotFoundError``."""
        return DatasetPointer.of(self, self._find(name))

    def change(
        self,
        name: str,
        *,
        description: str | None = None,
        tags: Sequence[str] | None = None,
        access: Access | None = None,
        bounds: Mapping[str, tuple[float, float]] | None = None,
        min_rows: int | None = None,
        rows_are_entities: bool | None = None,
        disclosure: Disclosure | None = None,
        reviewers: int | None = None,
        describe_apart: bool | None = None,
    ) -> DatasetPointer:
        """Change what is said of a dataset, or who may do what; what is left out stays.

        ``describe_apart``: columns, counts and checks are for those only whom a rule lets see them.
        """
        with checked():
            patch = DatasetPatch(
                description=description,
                tags=None if tags is None else list(tags),
                access=None if access is None else access.to_schema(),
                bounds=None if bounds is None else _bounds(bounds),
                min_rows=min_rows,
                rows_are_entities=rows_are_entities,
                disclosure=None if disclosure is None else disclosure.to_schema(),
                reviewers=reviewers,
                describe_apart=describe_apart,
            )
        path = f"/v1/datasets/{self._find(name).id}"
        return DatasetPointer.of(self, self._transport.fetch(DatasetOut, "PATCH", path, body=patch))

    def disclosure(self, name: str) -> Disclosure:
        """The thresholds of a dataset; raises ``AuthorizationError`` for who may only find it."""
        told = self._find(name).disclosure
        if told is None:
            raise AuthorizationError(f"you may find {name!r} and not see its checks; its owner may let you")
        return Disclosure(**told.model_dump())

    def examine(self, data: Data) -> list[ColumnFound]:
        """What the node would make of data, column by column; the node forgets what was sent for it."""
        path = f"/v1/uploads/{upload(self._transport, pack(data), 'the data')}"
        try:
            return self._transport.fetch(UploadContent, "GET", f"{path}/content").columns
        finally:
            self._transport.send("DELETE", path)

    def replace(self, name: str, data: Data, *, columns: Sequence[str] | None = None) -> DatasetPointer:
        """Put data in place of a dataset's values, as its next version; rules and columns stay.

        Columns that the dataset does not have are left out. Requests and approvals for the version before
        end with it. Raises ``UploadRefusedError`` where a column is missing or of another type.
        """
        path = f"/v1/datasets/{self._find(name).id}/content"
        sent = upload(self._transport, pack(data), repr(name))
        body = ContentIn(upload_id=sent, columns=None if columns is None else list(columns))
        return DatasetPointer.of(self, self._transport.fetch(DatasetOut, "PUT", path, body=body))

    def versions(self, name: str) -> list[DatasetVersion]:
        """The contents that a dataset had, the newest first; for its publisher and the node's owner."""
        path = f"/v1/datasets/{self._find(name).id}/versions"
        return self._transport.fetch(DatasetVersionsOut, "GET", path).items

    def trainings(self, name: str | None = None) -> list[TrainingRecord]:
        """What was trained here by the user, or on data that the user answers for; the newest first."""
        only = {} if name is None else {"dataset_id": self._find(name).id}
        return collected(
            lambda page: self._transport.fetch(TrainingsOut, "GET", "/v1/trainings", params={**only, **page})
        )

    def withdraw(self, name: str) -> None:
        """Delete a dataset from the node, for good."""
        self._transport.send("DELETE", f"/v1/datasets/{self._find(name).id}")

    def rules(self, name: str) -> list[RuleOut]:
        """The rules of a dataset that you manage, with their conditions and how often each was used."""
        return granting.listed(self._transport, granting.of_dataset(self._find(name).id))

    def allow(self, name: str, verb: str, rule: Rule | str) -> RuleOut:
        """Add one rule to a dataset, such as ``allow("births", "raw", gw.Rule("ana", times=3))``."""
        return granting.add(self._transport, granting.of_dataset(self._find(name).id), verb, rule)

    def end_rule(self, name: str, rule_id: str) -> None:
        """End one rule of a dataset at once; ``rules`` gives the ids."""
        granting.end(self._transport, granting.of_dataset(self._find(name).id), rule_id)

    def model_rules(self, model_id: str) -> list[RuleOut]:
        """The rules of a model that you host."""
        return granting.listed(self._transport, granting.of_model(model_id))

    def allow_model(self, model_id: str, verb: str, rule: Rule | str) -> RuleOut:
        """Add one rule to a model, such as ``allow_model("diagnosis", "infer", "group:ward")``."""
        return granting.add(self._transport, granting.of_model(model_id), verb, rule)

    def end_model_rule(self, model_id: str, rule_id: str) -> None:
        """End one rule of a model at once."""
        granting.end(self._transport, granting.of_model(model_id), rule_id)

    def send(self, values: torch.Tensor, *, description: str = "", tags: Sequence[str] = ()) -> Pointer:
        """Store a tensor on the node; it belongs to the sender. Raises ``SendNotPermittedError``."""
        return objects.send(self, values, description=description, tags=tags)

    def objects(self) -> list[Pointer]:
        """The user's stored tensors here: sent, or materialised."""
        return objects.owned(self)

    def admit(self, identity: str, role: str = "data_scientist") -> UserOut:
        """Give an identity of a gateway (``"dana@grid"``) a role here."""
        return self.users.admit(identity, role)

    def join(self, gateway_url: str) -> MembershipOut:
        """Ask a gateway to take this node in; its owner has to approve."""
        return memberships.join(self._transport, gateway_url)

    def memberships(self) -> list[MembershipOut]:
        """Which gateways this node asked or joined, and how that stands."""
        return memberships.listed(self._transport)

    def serve_model(
        self,
        model: torch.nn.Module,
        id: str,
        example_input: torch.Tensor,
        *,
        mpc: bool = False,
        parties: Sequence[str] = (),
        crypto_provider: str | None = None,
        description: str = "",
        tags: Sequence[str] = (),
        access: ModelAccess | None = None,
        allow_remote_inference: bool = False,
        allow_download: bool = False,
        ranges: Ranges | None = None,
        maxima: Maxima = "fitting",
    ) -> ModelOut | EncryptedModel:
        """Host a model: a plan traced from ``example_input`` (batch first), and its parameters.

        With ``mpc=True`` the node keeps the plan only: each of ``parties`` (2 to 5 names of nodes) receives
        an additive share of every parameter, and ``crypto_provider`` deals correlations. The gateway chooses
        those that are not named; no owner fills two roles. Through ``grid.node`` the gateway's word for each
        of them is checked before a share leaves; through ``gw.connect`` the node's word is taken for it.
        ``allow_remote_inference`` lets every signed-in user find and query it, ``allow_download`` have its
        parameters; ``access`` says it verb by verb. ``ranges`` tells how large the values of an encrypted
        model get, so that it costs less, and whether askers are told where they get larger.
        ``maxima`` says how the largest of several is found: as a ``tree`` for fewer bytes, in ``pairs`` for
        fewer rounds, or as the shapes say.
        """
        rules = models.access_of(access, allow_remote_inference, allow_download)
        if mpc:
            return encrypted.serve(
                self,
                model,
                id,
                example_input,
                parties=parties,
                crypto_provider=crypto_provider,
                description=description,
                tags=tags,
                access=rules,
                gateway=self._gateway,
                ranges=ranges or Ranges(),
                maxima=maxima,
            )
        if parties or crypto_provider is not None or ranges is not None:
            raise InvalidInputError("parties, crypto_provider and ranges are for mpc=True")
        return models.serve(self, model, id, example_input, description=description, tags=tags, access=rules)

    def query_model(self, id: str, x: torch.Tensor) -> torch.Tensor:
        """Ask a model hosted here, in the clear: the node sees ``x``. Ask encrypted ones through the grid."""
        return models.query(self, id, x)

    def describe_model(self, id: str) -> ModelOut | EncryptedModel:
        """What may be known of a model hosted here."""
        return encrypted.describe_any(self, id)

    def models(self) -> list[ModelOut]:
        """The models hosted here that the user may discover."""
        return models.hosted(self)

    def model_stock(self, id: str) -> ModelStockOut:
        """Say how many bundles are left at each party of an encrypted model that you host."""
        return self.transport.fetch(ModelStockOut, "GET", f"/v1/models/{segment(id)}/stock")

    def withdraw_model(self, id: str) -> None:
        """Delete a model from the node, for good."""
        models.withdraw(self, id)

    def close(self) -> None:
        """Close the connections; the session lives on until it expires."""
        self._transport.close()

    def sign_out(self) -> None:
        """End the session at the node and close."""
        if isinstance(self._transport.credentials, PasswordSession):
            self._transport.credentials.close()
        self.close()

    def _listed(self, **terms: str | list[str]) -> list[DatasetOut]:
        return collected(
            lambda page: self._transport.fetch(DatasetsOut, "GET", "/v1/datasets", params={**terms, **page})
        )

    def _find(self, name: str) -> DatasetOut:
        found = self._listed(name=name)
        if len(found) > 1:
            publishers = ", ".join(item.published_by for item in found)
            raise InvalidInputError(f"{name!r} was published by {publishers}; name it by its id")
        if found:
            return found[0]
        try:
            return self._transport.fetch(DatasetOut, "GET", f"/v1/datasets/{segment(name)}")
        except ObjectNotFoundError as why:
            raise ObjectNotFoundError(
                f"there is no dataset {name!r} on {self._name!r}, or none that you may discover"
            ) from why


def _bounds(bounds: Mapping[str, tuple[float, float]]) -> dict[str, Bounds]:
    return {column: Bounds(low=low, high=high) for column, (low, high) in bounds.items()}
