"""Put a model among the parties: parameters split once, masked weights opened once, kept across restarts."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from math import prod
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from gridward.core.errors import InvalidInputError, OutOfRangeError
from gridward.core.smpc.correlations import draw
from gridward.core.smpc.costs import SETUP_PIECE_WORDS
from gridward.core.smpc.fixed_point import encode
from gridward.core.smpc.link import Link
from gridward.core.smpc.operands import Weights
from gridward.core.smpc.packets import (
    HEADER_BYTES,
    NAME_BYTES,
    OpenPacket,
    Packet,
    PacketKind,
    check_packet,
    empty_seed,
    open_packet,
    parse_header,
    read_packet,
    write_header,
    write_packet,
)
from gridward.core.smpc.prg import KEY_BYTES, Entropy, Prg
from gridward.core.smpc.program import Parameter, Program, SlotKind
from gridward.core.smpc.ring import WIRE_WORD, WORD_BYTES, RingArray, to_bytes
from gridward.core.smpc.session import Opening, open_together

_SHA256_BYTES: Final = 32


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class DeployedModel:
    """What one party keeps of a model: its shares, and the weights behind their masks.

    ``shares`` has all parameters of the program by number; ``opened`` the public W + B of masked ones.
    ``deployment`` names the dealer's masks that these weights go with.
    """

    party: int
    parties: int
    setup_digest: str
    deployment: bytes
    shares: Weights
    opened: Weights

    def __repr__(self) -> str:
        return f"DeployedModel(party={self.party} of {self.parties}, deployment={self.deployment.hex()})"

    def write_to(self, file: BufferedIOBase) -> None:
        """Write everything, for the party's own disk: it holds shares. A check sum of 32 bytes ends it."""
        arrays = [(side, at) for side in (self.shares, self.opened) for at in sorted(side.numbers)]
        size = sum(side.words(at).nbytes for side, at in arrays)
        kind, nobody, no_seed = PacketKind.DEPLOYED, bytes(NAME_BYTES), empty_seed()
        stored = Packet(kind, self.party, self.parties, self.setup_digest, self.deployment, nobody, no_seed)
        file.write(write_header(stored, size + _SHA256_BYTES))
        check = hashlib.sha256()
        for side, at in arrays:
            words = np.ascontiguousarray(side.words(at), dtype=WIRE_WORD).reshape(-1).data.cast("B")
            check.update(words)
            file.write(words)
        file.write(check.digest())

    @staticmethod
    def read_from(program: Program, party: int, file: BufferedIOBase) -> "DeployedModel":
        """Read what ``write_to`` wrote; raises ``InvalidInputError`` if it is of another model or damaged."""
        begin = file.tell()
        size = file.seek(0, os.SEEK_END) - begin
        file.seek(begin)
        packet = parse_header(file.read(HEADER_BYTES), size)
        check_packet(packet, PacketKind.DEPLOYED, party, program.parties, program.setup_digest)
        masked = [at for at, parameter in enumerate(program.parameters) if parameter.masked]
        numbers = [*range(len(program.parameters)), *masked]
        sizes = [prod(program.parameters[at].shape) * WORD_BYTES for at in numbers]
        if size != HEADER_BYTES + sum(sizes) + _SHA256_BYTES:
            raise InvalidInputError(f"a stored model of {size} bytes is not of this program")
        check = hashlib.sha256()
        arrays = []
        for at in numbers:
            words = np.empty(program.parameters[at].shape, dtype=WIRE_WORD)
            _fill(file, words.reshape(-1).data.cast("B"))
            check.update(words.reshape(-1).data.cast("B"))
            arrays.append(words.astype(np.uint64, copy=False))
        if file.read(_SHA256_BYTES) != check.digest():
            raise InvalidInputError("the stored model is damaged")
        count = len(program.parameters)
        return DeployedModel(
            party,
            program.parties,
            program.setup_digest,
            packet.deployment,
            Weights(dict(enumerate(arrays[:count]))),
            Weights(dict(zip(masked, arrays[count:], strict=True))),
        )


def _fill(file: BufferedIOBase, view: memoryview) -> None:
    while view:
        count = file.readinto(view)
        if not count:
            raise InvalidInputError("the stored model ends too soon")
        view = view[count:]


def split_parameters(program: Program, values: Mapping[str, ArrayLike], entropy: Entropy) -> list[bytes]:
    """Split a model's parameters: one packet a party, to be sealed to it; all but party 0's hold a seed only.

    ``values`` maps the sources of every parameter in ``program.parameters`` to real numbers.
    Security: any n - 1 packets are uniform. Cost: 8 bytes a parameter to party 0.
    Raises ``InvalidInputError`` for missing or misshapen values, ``OutOfRangeError`` for too large ones.
    """
    seeds = [entropy(KEY_BYTES) for _ in range(program.parties)]
    prgs = [Prg(seed) for seed in seeds[1:]]
    rest = []
    for at, parameter in enumerate(program.parameters):
        words = encode_parameter(program, parameter, values)
        for prg in prgs:
            words = words - prg.words(at, words.size).reshape(words.shape)
        rest.append(to_bytes(words))
    return [
        write_packet(
            Packet(
                PacketKind.PARAMETERS,
                party,
                program.parties,
                program.setup_digest,
                bytes(NAME_BYTES),
                bytes(NAME_BYTES),
                seed if party else empty_seed(),
                b"" if party else b"".join(rest),
            )
        )
        for party, seed in enumerate(seeds)
    ]


def encode_parameter(program: Program, parameter: Parameter, values: Mapping[str, ArrayLike]) -> RingArray:
    """Encode one parameter at its scale, derived if it has a recipe; raises as ``split_parameters``."""
    if parameter.recipe is not None:
        array = parameter.recipe.derive(values)
    elif parameter.name in values:
        array = np.asarray(values[parameter.name], dtype=np.float64)
    else:
        raise InvalidInputError(f"parameter {parameter.name!r} is missing")
    if array.shape != parameter.shape:
        raise InvalidInputError(
            f"parameter {parameter.name!r} has shape {array.shape}, not {parameter.shape}"
        )
    try:
        return encode(array, parameter.scale, parameter.scale + program.width - program.fraction_bits)
    except OutOfRangeError as why:
        raise OutOfRangeError(f"parameter {parameter.name!r}: {why.detail}") from why


def load_parameters(program: Program, party: int, packet: bytes | OpenPacket) -> tuple[RingArray, ...]:
    """Give one party's shares of all parameters; raises ``InvalidInputError`` for a packet of another use."""
    source = check_parameters(program, party, packet)
    prg = Prg(source.header.seed)
    shares, begin = [], 0
    for at, parameter in enumerate(program.parameters):
        if party:
            shares.append(prg.words(at, prod(parameter.shape)).reshape(parameter.shape))
            continue
        words = np.empty(parameter.shape, dtype=WIRE_WORD)
        source.body.read_into(begin, words.reshape(-1).data.cast("B"))
        begin += words.nbytes
        shares.append(words.astype(np.uint64, copy=False))
    return tuple(shares)


def check_parameters(program: Program, party: int, packet: bytes | OpenPacket) -> OpenPacket:
    """Refuse a packet of another use as ``load_parameters`` does, without reading the parameters."""
    source = open_packet(packet) if isinstance(packet, bytes) else packet
    check_packet(source.header, PacketKind.PARAMETERS, party, program.parties, program.setup_digest)
    size = sum(prod(parameter.shape) * WORD_BYTES for parameter in program.parameters)
    if party and source.body.size:
        raise InvalidInputError("a packet of a seed has a body")
    if not party and source.body.size != size:
        raise InvalidInputError(f"{source.body.size} bytes of parameters where {size} are due")
    return source


def deploy(
    program: Program, party: int, setup_packet: bytes, parameter_packet: bytes | OpenPacket, link: Link
) -> DeployedModel:
    """Open the masked weights W + B, once per deployment, with all parties at the same time.

    Security: B is uniform and used for these parameters alone; repeating it with the same packets sends the
    same bytes, with other parameters under the same masks it would show their difference: refuse that.
    Cost: 8 bytes a weight to each peer; a round for every ``SETUP_PIECE_WORDS`` of a weight, so that memory
    is the model and one piece. Works for every batch size of the plan.
    Raises ``InvalidInputError`` for a packet of another use, ``ProtocolError`` where a peer fails; every peer
    is told.
    """
    try:
        setup = read_packet(setup_packet, PacketKind.SETUP, party, program.parties, program.setup_digest)
        shares = load_parameters(program, party, parameter_packet)
    except InvalidInputError as why:
        link.abort(why.detail)
        raise
    prg = Prg(setup.seed)
    link.bind(program.setup_digest.encode(), setup.deployment)
    opened: dict[int, RingArray] = {}
    for slot in program.setup_manifest:
        words = draw(prg, slot).astype(np.uint64, copy=False)
        words += shares[slot.gate]
        flat = words.reshape(-1)
        for begin in range(0, flat.size, SETUP_PIECE_WORDS):
            piece = flat[begin : begin + SETUP_PIECE_WORDS]
            piece[:] = open_together([Opening(SlotKind.SUM, piece)], link)[0]
        opened[slot.gate] = words
    return DeployedModel(
        party,
        program.parties,
        program.setup_digest,
        setup.deployment,
        Weights(dict(enumerate(shares))),
        Weights(opened),
    )
