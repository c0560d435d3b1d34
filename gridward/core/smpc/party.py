"""A party's part of one query: load a bundle, answer with an output share."""

import hashlib
from dataclasses import dataclass

import numpy as np

from gridward.core.errors import GridError, InvalidInputError
from gridward.core.smpc.correlations import input_gates, query_prgs
from gridward.core.smpc.deployment import DeployedModel
from gridward.core.smpc.gate import (
    Add,
    AddConstant,
    AddParameter,
    Concatenate,
    Convolution,
    Expand,
    Gate,
    Input,
    LookUp,
    Matmul,
    Multiply,
    MultiplyConstant,
    MultiplyMatrices,
    MultiplyParameter,
    Open,
    Output,
    PairMax,
    PairsMax,
    Permute,
    Pick,
    Piecewise,
    Relu,
    Scale,
    Slice,
    Square,
    Sum,
    SumPool,
    Truncate,
    TruncateFaithful,
    View,
    Windows,
)
from gridward.core.smpc.gates import local, look_up, maximum, piecewise, products, select, truncate
from gridward.core.smpc.kernels import cpu
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.link import Link
from gridward.core.smpc.memory import ahead_bytes
from gridward.core.smpc.packets import OpenPacket, PacketKind, check_packet, open_packet
from gridward.core.smpc.precompute import add_weighted, precompute
from gridward.core.smpc.prg import Prg
from gridward.core.smpc.program import Form, Program, SlotKind
from gridward.core.smpc.ring import RingArray, as_bytes
from gridward.core.smpc.session import Held, Opening, Session, Steps, run_gates
from gridward.core.smpc.supply import Supply


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class RunResult:
    """What one party answers with, and what the query took.

    ``output_share`` and ``checks``, of what the guards found, are for the client alone.
    """

    output_share: RingArray
    rounds: int
    bytes_sent: int
    checks: RingArray

    def to_bytes(self) -> memoryview:
        """Write what goes to the client, who reads it with ``query.cut_answer``: a view, where it can be."""
        if not self.checks.size:
            return as_bytes(self.output_share)
        return as_bytes(np.concatenate([self.output_share.reshape(-1), self.checks]))

    def __repr__(self) -> str:
        return (
            f"RunResult(shape={self.output_share.shape}, rounds={self.rounds}, bytes_sent={self.bytes_sent})"
        )


def input_subkey(program: Program, party: int, query_packet: bytes | OpenPacket) -> bytes:
    """Give the 32 bytes that expand to this party's share of the first wire's mask, and to nothing else.

    All parties' subkeys go to the client, sealed: together they are the mask of its input. They say nothing
    of the other masks of the bundle, whose seed never leaves the party.
    """
    return Prg(_checked(program, party, query_packet).header.seed).subkey("input mask")


def _checked(program: Program, party: int, query_packet: bytes | OpenPacket) -> OpenPacket:
    packet = open_packet(query_packet) if isinstance(query_packet, bytes) else query_packet
    check_packet(packet.header, PacketKind.QUERY, party, program.parties, program.digest)
    return packet


def prepare(
    program: Program,
    deployed: DeployedModel,
    query_packet: bytes | OpenPacket,
    kernels: Kernels = cpu,
) -> Session:
    """Do what does not depend on the query: compute C - A * W^, and expand ``ahead_bytes`` of the bundle.

    The rest is expanded when its gate runs: the packet's body is read until then, and closed by the session.
    The session is for one ``answer``. The packet must be marked spent before.
    Raises ``InvalidInputError`` for a packet of another program, party or deployment.
    """
    if deployed.setup_digest != program.setup_digest:
        raise InvalidInputError(f"the model was deployed for {deployed.setup_digest}, not this program")
    packet = _checked(program, deployed.party, query_packet)
    head = packet.header
    if head.deployment != deployed.deployment:
        raise InvalidInputError(f"a packet of deployment {head.deployment.hex()}")
    bundle, first_wire = query_prgs(head.seed)
    supply = Supply(program.manifest, bundle, first_wire, input_gates(program.gates), packet.body)
    agreed = (program.digest.encode(), head.deployment, head.serial)
    return load(program, deployed, supply, agreed, kernels)


def load(
    program: Program,
    deployed: DeployedModel,
    supply: Supply,
    agreed: tuple[bytes, ...],
    kernels: Kernels = cpu,
) -> Session:
    """Make a session of a party's parts; ``agreed`` is what the parties must have in common."""
    session = Session(program, deployed.party, kernels, agreed, supply, deployed.shares)
    try:
        supply.hold(ahead_bytes(program.parameters))
        precompute(session, deployed.opened)
    except BaseException:
        session.close()
        raise
    return session


def answer(session: Session, masked_input: RingArray, link: Link, digest: bytes | None = None) -> RunResult:
    """Run a prepared session on the client's masked input, with all parties at the same time.

    ``masked_input`` is the same on every party, of ``program.input.shape``: a client that sends different
    words to different parties, or a host that mixes bundles up, ends the session in its first round. It is
    given away. ``digest`` is the SHA-256 of its bytes, if the caller made it while they came.
    Security: semi-honest; all but one party may collude. Shares leave in the result alone.
    Cost: ``program.costs``. Raises ``ProtocolError`` where a peer fails; every peer is told, and the bundle
    stays spent.
    """
    program = session.program
    try:
        if masked_input.shape != program.input.shape:
            raise InvalidInputError(f"input of shape {masked_input.shape}, not {program.input.shape}")
        session.begin()
        link.bind(*session.agreed, digest=digest or hashlib.sha256(as_bytes(masked_input)).digest())
        session.values[program.gates[0].out] = session.from_wire(masked_input, session.whole(0, "mask"))
        del masked_input  # the value's own now
        run_gates(session, _start, link)
        output, checks = session.share(program.gates[-1].out), _checks(session)
    except GridError as why:
        link.abort(why.detail)
        raise
    except BaseException:
        link.abort("an internal error")
        raise
    finally:
        session.close()
    return RunResult(output, link.rounds, link.bytes_sent, checks)


def _checks(session: Session) -> RingArray:
    """Give this party's shares of what all guards found, in the order of their gates."""
    found = [session.checks[at].astype(np.uint64) for at in session.program.guarded]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.uint64)


def run(
    program: Program,
    deployed: DeployedModel,
    query_packet: bytes,
    masked_input: RingArray,
    link: Link,
    kernels: Kernels = cpu,
) -> RunResult:
    """Prepare and answer; see both."""
    return answer(prepare(program, deployed, query_packet, kernels), masked_input, link)


def _start(at: int, gate: Gate, session: Session) -> Steps:
    match gate:
        case Open():
            return _open(at, gate, session)
        case Truncate():
            return truncate.truncate(at, gate, session)
        case TruncateFaithful():
            return truncate.truncate_faithfully(at, gate, session)
        case Relu():
            return select.relu(at, gate, session)
        case PairMax():
            return select.pair_max(at, gate, session)
        case Piecewise():
            return piecewise.piecewise(at, gate, session)
        case LookUp():
            return look_up.look_up(at, gate, session)
        case PairsMax():
            return maximum.pairs_max(at, gate, session)
        case _:
            return _alone(at, gate, session)


def _open(at: int, gate: Open, session: Session) -> Steps:
    """Turn a share into a wire: opens x + A, A uniform. Cost: 1 round; 8 bytes an element to each peer."""
    mask = session.whole(at, "mask")
    opened = yield Opening(SlotKind.SUM, session.last(gate.sources[0]).share + mask)
    return session.from_wire(opened.astype(np.uint64, copy=False), mask)


Local = (
    Input
    | Matmul
    | Convolution
    | MultiplyParameter
    | Multiply
    | Square
    | MultiplyMatrices
    | AddParameter
    | AddConstant
    | Add
    | Scale
    | MultiplyConstant
    | Sum
    | View
    | Permute
    | Expand
    | Slice
    | Pick
    | Concatenate
    | SumPool
    | Windows
    | Output
)


def _alone(at: int, gate: Local, session: Session) -> Steps:
    """Run a gate that opens nothing."""
    return _local(at, gate, session)
    yield  # a generator, like the gates that open something


def _local(at: int, gate: Local, session: Session) -> Held:
    match gate:
        case Input():
            return session.values[gate.out]
        case View() | Permute() | Expand() | Slice() | Pick() | Windows():
            return _moved(gate, session)
        case Concatenate():
            return _joined(gate, session)
        case AddConstant():
            return _plus_constant(gate, session)
        case Matmul() | Convolution() | MultiplyParameter():
            y = session.offline.pop(at)
            add_weighted(gate, session.public(gate.sources[0]), session.shares, y, session.kernels)
            return Held(y)
        case Multiply() | MultiplyMatrices():
            return products.multiply(at, gate, session)
        case Square():
            return products.square(at, gate, session)
        case Add():
            return Held(local.add(gate, session.share(gate.sources[0]), session.share(gate.sources[1])))
        case _:
            return Held(_single(at, gate, session, session.share(gate.sources[0])))


def _single(
    at: int,
    gate: AddParameter | Scale | MultiplyConstant | Sum | SumPool | Output,
    session: Session,
    share: RingArray,
) -> RingArray:
    result = session.program.registers[gate.out]
    match gate:
        case AddParameter():
            addend = session.shares.words(gate.parameter).reshape(gate.shape)
            return share + addend if gate.sign > 0 else share - addend
        case Scale():
            return local.scale(gate, share)
        case MultiplyConstant():
            return share * local.constant(gate)
        case Sum():
            return local.summed(gate, share)
        case SumPool():
            return local.pooled(gate, share, result)
        case Output():
            # fresh for the client whatever gates came before: its shares are uniform but for their sum
            fresh = session.whole(at, "zero")
            fresh += share
            return fresh


def _plus_constant(gate: AddConstant, session: Session) -> Held:
    held, constant = session.last(gate.sources[0]), local.constant(gate)
    share, public, unwrapped = held.share, held.public, held.unwrapped
    del held  # each array may go when the next one is there
    share = share + (constant if session.first else np.zeros_like(constant))
    if public is None or session.form(gate.out) is Form.SHARE:
        return Held(share)
    public = public + constant
    return Held(share, public, unwrapped)


def _joined(gate: Concatenate, session: Session) -> Held:
    parts = [session.values[source] for source in gate.sources]
    share = np.concatenate([part.share for part in parts], axis=gate.axis)
    if session.form(gate.out) is Form.SHARE:
        return Held(share)
    public = np.concatenate([session.public(source) for source in gate.sources], axis=gate.axis)
    carried = [part.unwrapped for part in parts if part.unwrapped is not None]
    return Held(share, public, np.concatenate(carried, axis=gate.axis) if carried else None)


def _moved(gate: local.Move, session: Session) -> Held:
    result = session.program.registers[gate.out]
    held = session.last(gate.sources[0])
    share, public, unwrapped = held.share, held.public, held.unwrapped
    del held  # each array may go when the next one is there
    share = local.move(gate, share, result)
    if public is None or result.form is Form.SHARE:
        return Held(share)
    public = local.move(gate, public, result)
    if unwrapped is not None:
        unwrapped = local.move_bytes(gate, unwrapped, result)
    return Held(share, public, unwrapped)
