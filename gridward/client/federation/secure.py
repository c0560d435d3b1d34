"""Updates come back as shares for aggregators: whoever drives the run opens a round's sum, and no more."""

import secrets
import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from gridward.client import directory, secure_sum
from gridward.client.attestation import check_attestations
from gridward.client.checks import checked
from gridward.client.credentials import GatewayIdentity
from gridward.client.dataset_pointers import DatasetPointer
from gridward.client.federation.gathering import Opening, Parameters
from gridward.client.federation.rounds import MissedQuorumError
from gridward.client.place import Place
from gridward.client.transport import Transport
from gridward.core import tensors
from gridward.core.errors import (
    InvalidInputError,
    NodeUnreachableError,
    NoMatchError,
    ProtocolError,
    TrainingError,
)
from gridward.core.federation.aggregate import Array, Update
from gridward.core.federation.strategies import Strategy, mean_suffices
from gridward.core.identity import encode_key
from gridward.core.schemas.deployments import RoleHolder, SealedOut
from gridward.core.schemas.gateway import DirectoryNode, GatewayOut, NodeState
from gridward.core.schemas.runs import SecureSetup
from gridward.core.schemas.secure_aggregations import (
    LEAST_CLIP,
    MOST_CLIP,
    AggregationDocument,
    UpdateContributionIn,
    UpdateOpeningIn,
    lesson_digest,
)
from gridward.core.schemas.secure_sums import ContributionOut, SumShare
from gridward.core.schemas.trainings import TrainingIn, TrainingOut
from gridward.core.smpc import purposes
from gridward.core.smpc.kernels.seam import ShortWords
from gridward.core.smpc.quantised import ROWS_BITS, WIRE_SHORT, Slot, Terms, Total, read
from gridward.core.smpc.sealing import public_key, unseal

_LEAST: Final = 2
_PIECE_S: Final = 600.0
_REAL: Final = ("float32", "float64")
_MOST_ROWS: Final = (1 << ROWS_BITS) - 1


@dataclass(frozen=True, slots=True)
class Secure:
    """How updates are added up. ``aggregators``: names of nodes; left out, contributors are, or others.

    ``clip``: a node's update is scaled down to this L2 norm; the mean is off by rounding up to about
    2 * ``clip`` * nodes / 2^31. ``quorum``: fewest nodes in a sum, 2 at least.
    """

    clip: float = 100.0
    quorum: int = _LEAST
    aggregators: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not (LEAST_CLIP <= self.clip <= MOST_CLIP and self.quorum >= _LEAST):
            raise InvalidInputError(
                f"clip is from {LEAST_CLIP:g} to {MOST_CLIP:g}, and quorum at least {_LEAST}"
            )
        if len(self.aggregators) == 1 or isinstance(self.aggregators, str):
            raise InvalidInputError("name two aggregators at least: one alone would see every update")


def setup_of(secure: bool | Secure) -> SecureSetup | None:
    """Write down how updates come back; None for one by one."""
    if secure is False:
        return None
    said = Secure() if secure is True else secure
    with checked():
        return SecureSetup(clip=said.clip, quorum=said.quorum, aggregators=list(said.aggregators))


def restored(said: SecureSetup | None, given: bool | Secure) -> bool | Secure:
    """Give what a run was started with, once its driver has said again that it is secure.

    Raises ``InvalidInputError`` where it was started otherwise.
    """
    if said is None or given is False:
        if said is None and given is False:
            return False
        begun = "without secure=" if said is None else "with secure=, which is to be given again"
        raise InvalidInputError(f"this run was started {begun}")
    if given is not True and setup_of(given) != said:
        raise InvalidInputError(
            f"this run was started with clip={said.clip:g}, quorum={said.quorum} and "
            f"aggregators={tuple(said.aggregators)}; secure=True takes them again"
        )
    return Secure(said.clip, said.quorum, tuple(said.aggregators))


def gathering_of(
    data: Sequence[DatasetPointer], strategy: Strategy, secure: bool | Secure, *, resumed: bool = False
) -> "SecureGathering | None":
    """Say how updates shall come back; None for one by one.

    Raises ``InvalidInputError``, before anything is sent, where ``strategy`` needs single updates or the
    nodes were not found over one gateway. ``resumed``: the first round may have been asked for before.
    """
    if secure is False:
        return None
    if not mean_suffices(strategy):
        raise InvalidInputError(
            f"{type(strategy).__name__} looks at each node's update, and with secure nobody sees one; take "
            "FedAvg, FedProx, FedAvgM, FedAdam, FedYogi or FedAdagrad, or train with secure=False"
        )
    places = {pointer.location.name: pointer.location for pointer in data}
    rows = max((info.shape[0] for one in data for info in one.tensors if info.shape), default=1)
    return SecureGathering(places, rows, Secure() if secure is True else secure, resumed=resumed)


@dataclass(slots=True)
class _Gathered:
    """What one node handed over: a list of pieces, each a share for every aggregator."""

    shares: list[list[SumShare]]
    rows: int
    steps: int


@dataclass(slots=True)
class _Sum:
    """One round's sum in the making; the document is whole once the first node is asked."""

    opening: Opening
    holders: dict[str, RoleHolder]
    aggregators: list[RoleHolder]
    private: bytes
    seed: int | None
    document: AggregationDocument | None = None
    gathered: dict[str, _Gathered] = field(default_factory=dict)

    @property
    def agreed(self) -> AggregationDocument:
        """The document, which was made when the first node was asked."""
        if self.document is None:
            raise TrainingError("a node answered that nobody asked")
        return self.document


class SecureGathering:
    """Satisfies ``Gathering``: a document a round, shares of every node, one sum opened of those who came.

    Security: see ``docs/federated.md``. Cost: a node sends what its update takes in float32, 32 bytes and a
    signature for each further aggregator; the shares of all nodes are held here until the round ends.
    """

    def __init__(
        self, places: Mapping[str, Place], rows: int, options: Secure, *, resumed: bool = False
    ) -> None:
        self._places = places
        self._gateway = secure_sum.gateway_of(places.values())
        self._facts = self._gateway.fetch(GatewayOut, "GET", "/v1/gateway")
        self._most_rows = min(1 << rows.bit_length(), _MOST_ROWS)  # room for datasets that grow
        self._options = options
        self._run = secrets.token_hex(16)
        self._lock = threading.Lock()
        self._begun: set[int] = set()
        self._doubtful = resumed

    def begin(self, opening: Opening) -> None:
        """Look up who is live and can add up.

        Raises ``MissedQuorumError`` where they are too few for a sum, or the gateway does not say.
        """
        try:
            nodes = directory.nodes(self._gateway)
        except NodeUnreachableError as why:
            raise MissedQuorumError(f"round {opening.number + 1}: {why.detail}") from why
        found = {name: _live(nodes, self._places[name].id) for name in opening.nodes}
        contributors = [node for node in found.values() if node is not None]
        if len(contributors) < max(_LEAST, opening.quorum, self._options.quorum):
            raise MissedQuorumError(
                f"round {opening.number + 1}: {len(contributors)} of {len(found)} nodes are live"
            )
        try:
            chosen = [secure_sum.live(nodes, name) for name in self._options.aggregators]
            chosen = chosen or secure_sum.choose_aggregators(contributors, nodes)
        except NoMatchError as why:
            raise MissedQuorumError(f"round {opening.number + 1}: {why.detail}") from why
        holders = {name: secure_sum.holder(node) for name, node in found.items() if node is not None}
        aggregators = [secure_sum.holder(node) for node in chosen]
        self._sum = _Sum(opening, holders, aggregators, secrets.token_bytes(32), self._seed(opening.number))

    def asked(self, opening: Opening, node: str, body: TrainingIn, start: Parameters) -> TrainingIn:
        """Ask for a training whose update leaves inside sums only.

        Nodes give an update of one lesson into one sum only, so that a round that is asked for again has
        another seed.
        """
        made = self._of(opening)
        if node not in made.holders:
            raise NodeUnreachableError(f"{node!r} was not live when the round began")
        seed = body.seed if made.seed is None else made.seed
        asked = body.model_copy(update={"secure": True, "seed": seed})
        lesson = lesson_digest(asked, tensors.digest(start))
        with self._lock:
            if made.document is None:
                made.document = self._document(made, lesson)
            elif made.document.lesson != lesson:
                raise InvalidInputError(f"{node!r} would train another lesson than the others")
        return asked

    def arrived(self, opening: Opening, node: str, out: TrainingOut, found: Parameters) -> None:
        """Fetch the node's shares; what it does not give now is missing from the sum."""
        made = self._of(opening)
        document = made.agreed
        shares = [
            self._contribution(self._places[node], document, out.id, piece)
            for piece in range(len(document.pieces()))
        ]
        with self._lock:
            made.gathered[node] = _Gathered(shares, out.rows, sum(epoch.steps for epoch in out.history))

    def close(self, nodes: tuple[str, ...]) -> Iterable[Update]:
        """Have all aggregators open the sum of these nodes; gives their mean as one update.

        Raises ``MissedQuorumError`` where they are too few for a sum, or an aggregator cannot be reached:
        the round is asked anew.
        """
        made = self._sum
        names = [name for name in made.holders if name in nodes]
        _require_enough(made, names)
        try:
            total = self._total(made, names)
        except NodeUnreachableError as why:
            raise MissedQuorumError(f"round {made.opening.number + 1}: {why.detail}") from why
        given = [made.gathered[name] for name in names]
        if total.rows != sum(one.rows for one in given):
            raise ProtocolError("the sum's rows are not those that the nodes told; one of them is wrong")
        if total.clipped:
            warnings.warn(
                f"{total.clipped} of {len(names)} updates were longer than clip={self._options.clip:g} and "
                "scaled down to it",
                stacklevel=2,
            )
        joint = {name: value.numpy() for name, value in made.opening.joint.items()}
        after = {name: _moved(value, total.mean[name]) for name, value in joint.items()}
        yield Update(f"the sum of {len(names)} nodes", total.rows, after, sum(one.steps for one in given))

    def _of(self, opening: Opening) -> _Sum:
        """Give the sum of this round; raises ``TrainingError`` for a thread whose round has ended."""
        made = self._sum
        if made.opening is not opening:
            raise TrainingError(f"round {opening.number + 1} has ended")
        return made

    def _seed(self, number: int) -> int | None:
        """Draw a seed for a round whose sum may have been begun before; None: as the run says."""
        again = self._doubtful or number in self._begun
        self._begun.add(number)
        self._doubtful = False
        return secrets.randbelow(1 << 53) if again else None

    def _document(self, made: _Sum, lesson: str) -> AggregationDocument:
        infos = [tensors.info(name, value) for name, value in made.opening.joint.items()]
        clip, quorum = self._options.clip, max(_LEAST, self._options.quorum, made.opening.quorum)
        with checked():
            terms = Terms.finest(len(made.holders), clip, self._most_rows)
            document = AggregationDocument(
                id=secrets.token_hex(16),
                run=self._run,
                round=made.opening.number,
                gateway_id=self._facts.id,
                asker_key=encode_key(public_key(made.private)),
                lesson=lesson,
                parameters=sorted(infos, key=lambda info: info.dtype not in _REAL),
                clip=clip,
                most_rows=self._most_rows,
                fraction_bits=terms.fraction_bits,
                quorum=quorum,
                contributors=list(made.holders.values()),
                aggregators=made.aggregators,
            )
        check_attestations(document.roles(), self._facts)
        document.require_fair()
        return document

    def _contribution(
        self, place: Place, document: AggregationDocument, training_id: str, piece: int
    ) -> list[SumShare]:
        out = place.transport.fetch(
            ContributionOut,
            "POST",
            "/v1/secure-aggregations/contributions",
            body=UpdateContributionIn(document=document, training_id=training_id, piece=piece),
            timeout_s=_PIECE_S,
            repeatable=True,
        )
        if len(out.shares) != len(document.aggregators):
            raise InvalidInputError(f"{place.name} answered with {len(out.shares)} shares")
        return out.shares

    def _total(self, made: _Sum, names: Sequence[str]) -> Total:
        document = made.agreed
        pieces = [self._piece(made, names, piece) for piece in range(len(document.pieces()))]
        terms = Terms(len(document.contributors), document.clip, document.most_rows, document.fraction_bits)
        slots = [Slot(info.name, info.dtype in _REAL, tuple(info.shape)) for info in document.parameters]
        return read(np.concatenate(pieces), slots, terms, len(names))

    def _piece(self, made: _Sum, names: Sequence[str], piece: int) -> ShortWords:
        def share(at: int) -> ShortWords:
            return _open(self._gateway, made, names, at, piece)

        first, *others = secure_sum.side_by_side(share, range(len(made.aggregators)))
        return sum(others, start=first)


def _open(gateway: Transport, made: _Sum, names: Sequence[str], position: int, piece: int) -> ShortWords:
    """Have one aggregator open its share of one piece; its seal tells whose sum it is."""
    document, aggregator = made.agreed, made.aggregators[position]
    ids = [made.holders[name].node_id for name in names]
    calls = gateway.with_credentials(GatewayIdentity(gateway, aggregator.node_id), aggregator.url)
    calls.label = f"aggregator {aggregator.name!r} at {calls.url}"
    body = UpdateOpeningIn(
        document=document,
        piece=piece,
        contributors=ids,
        shares=[made.gathered[name].shares[piece][position] for name in names],
    )
    path = "/v1/secure-aggregations/openings"
    sealed = calls.fetch(SealedOut, "POST", path, body=body, timeout_s=_PIECE_S, repeatable=True)
    purpose = purposes.update_sum(document.digest(), piece, ",".join(ids), aggregator.node_id)
    words = np.frombuffer(unseal(made.private, sealed.raw(), purpose), dtype=WIRE_SHORT)
    if words.size != len(document.piece(piece)):
        raise ProtocolError(f"aggregator {aggregator.name!r} gave {words.size} words, not all of them")
    return words.astype(np.uint32, copy=False)


def _require_enough(made: _Sum, names: Sequence[str]) -> None:
    """Ask aggregators only for what they may open: a sum of the document's quorum, of two owners at least."""
    quorum, owners = made.agreed.quorum, {made.holders[name].owner.casefold() for name in names}
    if len(names) < quorum or len(owners) < _LEAST:
        raise MissedQuorumError(
            f"round {made.opening.number + 1}: {', '.join(names)} answered; their sum needs {quorum} nodes "
            f"of {_LEAST} owners at least"
        )


def _live(nodes: Iterable[DirectoryNode], node_id: str) -> DirectoryNode | None:
    found = next((node for node in nodes if node.id == node_id), None)
    ready = found is not None and found.state is NodeState.LIVE and found.attestation is not None
    return found if ready else None


def _moved(joint: Array, mean: Array) -> Array:
    """Add the mean update; counts move by their mean, rounded."""
    if np.issubdtype(joint.dtype, np.floating):
        return (joint.astype(np.float64) + mean).astype(joint.dtype)
    return (joint.astype(np.int64) + np.rint(mean).astype(np.int64)).astype(joint.dtype)
