"""Put a model among the parties: parameters split once, masked weights opened once, kept across restarts."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from gridward.core.errors import InvalidInputError, OutOfRangeError
from gridward.core.smpc.correlations import draw
from gridward.core.smpc.fixed_point import encode
from gridward.core.smpc.link import Link
from gridward.core.smpc.operands import FixedWeights
from gridward.core.smpc.packets import (
    NAME_BYTES,
    Packet,
    PacketKind,
    empty_seed,
    read_packet,
    write_packet,
)
from gridward.core.smpc.prg import KEY_BYTES, Entropy, Prg
from gridward.core.smpc.program import Parameter, Program, SlotKind
from gridward.core.smpc.ring import WORD_BYTES, RingArray, from_bytes, to_bytes
from gridward.core.smpc.session import Opening, open_together

_SHA256_BYTES: Final = 32


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class DeployedModel:
    """What one party keeps of a model: its shares, and the weights behind their masks.

    ``shares`` has one array a parameter of the program; ``opened`` the public W + B, None for biases.
    ``deployment`` names the dealer's masks that these weights go with; ``fixed`` keeps both forms of the
    weights as the kernels want them, from their first product on.
    """

    party: int
    parties: int
    setup_digest: str
    deployment: bytes
    shares: tuple[RingArray, ...]
    opened: tuple[RingArray | None, ...]
    fixed: FixedWeights = field(default_factory=FixedWeights)

    def __repr__(self) -> str:
        return f"DeployedModel(party={self.party} of {self.parties}, deployment={self.deployment.hex()})"

    def to_bytes(self) -> bytes:
        """Write everything, for the party's own disk: it holds shares. A check sum of 32 bytes ends it."""
        body = b"".join(to_bytes(words) for words in (*self.shares, *_present(self.opened)))
        packet = Packet(
            PacketKind.DEPLOYED,
            self.party,
            self.parties,
            self.setup_digest,
            self.deployment,
            bytes(NAME_BYTES),
            empty_seed(),
            body + hashlib.sha256(body).digest(),
        )
        return write_packet(packet)

    @staticmethod
    def from_bytes(program: Program, party: int, data: bytes) -> "DeployedModel":
        """Read what ``to_bytes`` wrote; raises ``InvalidInputError`` if it is of another model or damaged."""
        packet = read_packet(data, PacketKind.DEPLOYED, party, program.parties, program.setup_digest)
        body, check = packet.body[:-_SHA256_BYTES], packet.body[-_SHA256_BYTES:]
        if hashlib.sha256(body).digest() != check:
            raise InvalidInputError("the stored model is damaged")
        masked = [parameter for parameter in program.parameters if parameter.masked]
        arrays = _cut(body, [*program.parameters, *masked])
        count = len(program.parameters)
        opened = iter(arrays[count:])
        return DeployedModel(
            party,
            program.parties,
            program.setup_digest,
            packet.deployment,
            tuple(arrays[:count]),
            tuple(next(opened) if parameter.masked else None for parameter in program.parameters),
        )


def _present(arrays: Sequence[RingArray | None]) -> list[RingArray]:
    return [array for array in arrays if array is not None]


def _cut(data: bytes, parameters: Sequence[Parameter]) -> list[RingArray]:
    sizes = [prod(parameter.shape) * WORD_BYTES for parameter in parameters]
    if sum(sizes) != len(data):
        raise InvalidInputError(f"{len(data)} bytes of parameters where {sum(sizes)} are due")
    view = memoryview(data)
    ends = np.cumsum(sizes, dtype=np.int64).tolist()
    return [
        from_bytes(view[end - size : end], parameter.shape)
        for parameter, size, end in zip(parameters, sizes, ends, strict=True)
    ]


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


def load_parameters(program: Program, party: int, packet: bytes) -> tuple[RingArray, ...]:
    """Give one party's shares of all parameters; raises ``InvalidInputError`` for a packet of another use."""
    parsed = read_packet(packet, PacketKind.PARAMETERS, party, program.parties, program.setup_digest)
    if party == 0:
        return tuple(_cut(parsed.body, program.parameters))
    if parsed.body:
        raise InvalidInputError("a packet of a seed has a body")
    prg = Prg(parsed.seed)
    return tuple(
        prg.words(at, prod(parameter.shape)).reshape(parameter.shape)
        for at, parameter in enumerate(program.parameters)
    )


def deploy(
    program: Program, party: int, setup_packet: bytes, parameter_packet: bytes, link: Link
) -> DeployedModel:
    """Open the masked weights W + B, once per deployment, with all parties at the same time.

    Security: B is uniform and used for these parameters alone; repeating it with the same packets sends the
    same bytes, with other parameters under the same masks it would show their difference: refuse that.
    Cost: 1 round; 8 bytes a weight to each peer. Works for every batch size of the plan.
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
    openings = [
        Opening(SlotKind.SUM, shares[slot.gate] + draw(prg, slot).astype(np.uint64, copy=False))
        for slot in program.setup_manifest
    ]
    link.bind(program.setup_digest.encode(), setup.deployment)
    words = open_together(openings, link) if openings else []
    opened = iter([array.astype(np.uint64, copy=False) for array in words])
    return DeployedModel(
        party,
        program.parties,
        program.setup_digest,
        setup.deployment,
        shares,
        tuple(next(opened) if parameter.masked else None for parameter in program.parameters),
    )
