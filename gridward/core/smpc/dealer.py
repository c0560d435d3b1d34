"""The crypto provider: masks of the weights once, correlated randomness for each query. It holds no data."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from gridward.core.smpc.comparison import Comparison
from gridward.core.smpc.correlations import (
    Key,
    SlotArray,
    compared,
    cut,
    draw,
    input_gates,
    join,
    query_prgs,
    write_corrections,
)
from gridward.core.smpc.gate import (
    Concatenate,
    Convolution,
    Expand,
    Gate,
    Input,
    Matmul,
    Multiply,
    MultiplyMatrices,
    MultiplyParameter,
    Open,
    Output,
    PairMax,
    Permute,
    Relu,
    Slice,
    Square,
    Truncate,
    TruncateFaithful,
    View,
    Windows,
)
from gridward.core.smpc.gates.compare import mask_products, one_hot, top_bits
from gridward.core.smpc.gates.linear import product
from gridward.core.smpc.gates.local import joined_mask, moved_mask
from gridward.core.smpc.gates.products import by_parameter, multiplied
from gridward.core.smpc.gates.select import pairs
from gridward.core.smpc.gates.truncate import upper_bits
from gridward.core.smpc.kernels import cpu
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.packets import NAME_BYTES, Packet, PacketKind, write_packet
from gridward.core.smpc.prg import KEY_BYTES, Entropy, Prg
from gridward.core.smpc.program import Form, Program, Slot, SlotKind
from gridward.core.smpc.ring import BitArray, RingArray, unpack_bits, word
from gridward.core.smpc.session import Mask


def deployment_name(secret: bytes) -> bytes:
    """Name a deployment, publicly, after its secret: 16 bytes."""
    return Prg(secret).subkey("deployment name")[:NAME_BYTES]


class Dealer:
    """Deals for one program of one deployment. Safe to share between threads.

    ``secret`` is 32 unpredictable bytes that the provider keeps and uses for one set of parameters only: two
    sets under one secret would show the parties their difference. Programs for several batch sizes of the
    same plan may share it.
    """

    def __init__(self, program: Program, secret: bytes, kernels: Kernels = cpu) -> None:
        self._program = program
        self._kernels = kernels
        self._name = deployment_name(secret)
        label = f"setup seed {program.setup_digest}"
        self._seeds = [Prg(secret).subkey(f"{label} {party}") for party in range(program.parties)]
        prgs = [Prg(seed) for seed in self._seeds]
        self._weights = {
            slot.gate: _joined(slot, [draw(prg, slot) for prg in prgs]).astype(np.uint64, copy=False)
            for slot in program.setup_manifest
        }

    @property
    def bundle_bytes(self) -> int:
        """The bytes of all packets of one query together."""
        return self._program.costs.dealer_bytes

    def deal_setup(self) -> list[bytes]:
        """Make one packet a party: a seed that expands to its share of the masks B. Always the same bytes."""
        return [
            self._packet(PacketKind.SETUP, party, self._program.setup_digest, bytes(NAME_BYTES), seed, b"")
            for party, seed in enumerate(self._seeds)
        ]

    def deal_query(self, entropy: Entropy, corrected_party: int, name: bytes = b"") -> list[bytes]:
        """Make one packet a party for one query; ``corrected_party`` gets the corrections, rotate it.

        The serial begins with ``name``, at most 8 bytes: see ``packets.name_bundle``.

        Security: a packet holds a seed of fresh entropy, and words masked by the other parties' seeds; any
        n - 1 packets say nothing of the masks of the last party.
        Cost: ``program.costs.dealer_bytes`` together.
        """
        serial = name + entropy(NAME_BYTES - len(name))
        seeds = [entropy(KEY_BYTES) for _ in range(self._program.parties)]
        sums = sums_of_draws(self._program, seeds)
        dealing = Dealing(self._program, self._kernels, self._weights, sums)
        dealing.deal_all()
        corrections = write_corrections(self._program.manifest, dealing.corrections)
        return [
            self._packet(
                PacketKind.QUERY,
                party,
                self._program.digest,
                serial,
                seed,
                corrections if party == corrected_party else b"",
            )
            for party, seed in enumerate(seeds)
        ]

    def _packet(
        self, kind: PacketKind, party: int, digest: str, serial: bytes, seed: bytes, body: bytes
    ) -> bytes:
        parties = self._program.parties
        return write_packet(Packet(kind, party, parties, digest, self._name, serial, seed, body))


def _joined(slot: Slot, parts: Sequence[SlotArray]) -> SlotArray:
    return reduce(lambda left, right: join(slot.kind, left, right), parts)


def sums_of_draws(program: Program, seeds: Sequence[bytes]) -> dict[Key, SlotArray]:
    """Give what all parties' draws of a query join to: the masks, where slots are not corrected."""
    prgs = [query_prgs(seed) for seed in seeds]
    inputs = input_gates(program.gates)
    return {
        (slot.gate, slot.name): _joined(slot, [draw(prg[slot.gate in inputs], slot) for prg in prgs])
        for slot in program.manifest
    }


@dataclass(slots=True, repr=False, eq=False)
class Dealing:
    """One query being dealt: what the seeds add up to, and the masks of the program's wires in the clear."""

    program: Program
    kernels: Kernels
    weights: dict[int, RingArray]
    sums: dict[Key, SlotArray]
    corrections: dict[Key, SlotArray] = field(default_factory=dict)
    masks: dict[int, Mask] = field(default_factory=dict)
    _kinds: dict[Key, SlotKind] = field(init=False)

    def __post_init__(self) -> None:
        self._kinds = {(slot.gate, slot.name): slot.kind for slot in self.program.manifest}

    def deal_all(self) -> None:
        """Deal for all gates in order."""
        for at, gate in enumerate(self.program.gates):
            self.deal(at, gate)

    def deal(self, at: int, gate: Gate) -> None:
        """Deal for one gate; its sources were dealt before."""
        registers = self.program.registers
        match gate:
            case Input() | Open():
                self.masks[gate.out] = Mask(self._sum(at, "mask"))
            case View() | Permute() | Expand() | Slice() | Windows():
                if (mask := self.masks.get(gate.sources[0])) is not None:
                    self.masks[gate.out] = moved_mask(gate, mask, registers[gate.out])
            case Concatenate():
                if registers[gate.out].form is not Form.SHARE:
                    self.masks[gate.out] = joined_mask(gate, [self.masks[at] for at in gate.sources])
            case Matmul() | Convolution():
                words = self.masks[gate.sources[0]].words
                weight = self.weights[gate.weight]
                c = product(gate, words, weight, registers[gate.out], self.kernels)
                self._correct(at, "product", c)
            case MultiplyParameter():
                words = self.masks[gate.sources[0]].words
                self._correct(at, "product", by_parameter(gate, words, self.weights[gate.weight]))
            case Multiply() | MultiplyMatrices():
                left, right = (self.masks[source].words for source in gate.sources)
                self._correct(at, "product", multiplied(gate, left, right, self.kernels))
            case Square():
                self._correct(at, "product", self.masks[gate.sources[0]].words ** np.uint64(2))
            case Truncate() | TruncateFaithful():
                self._truncate(at, gate)
            case Relu() | PairMax():
                self._select(at, gate)
            case Output():
                self._correct(at, "zero", np.zeros_like(self._sum(at, "zero")))
            case _:
                return

    def _sum(self, at: int, name: str) -> RingArray:
        return self.sums[at, name].astype(np.uint64, copy=False)

    def _correct(self, at: int, name: str, value: SlotArray) -> None:
        drawn = self.sums[at, name]
        shaped = value.astype(drawn.dtype, copy=False).reshape(drawn.shape)
        self.corrections[at, name] = cut(self._kinds[at, name], shaped, drawn)

    def _truncate(self, at: int, gate: Truncate | TruncateFaithful) -> None:
        mask = self._sum(at, "mask")
        upper = upper_bits(mask, gate.shift)
        self._correct(at, "high", upper.words)
        if upper.carry is not None:
            self._correct(at, "carry", upper.carry)
        if isinstance(gate, Truncate):
            self.masks[gate.out] = upper
            return
        self._compare(at, mask.reshape(-1) & word((1 << gate.shift) - 1), compared(gate))
        self._correct(at, "beta", self._flip(at, mask.size).astype(np.uint64))

    def _compare(self, at: int, rho: RingArray, plan: Comparison) -> None:
        for block in range(len(plan.blocks)):
            dtype = str(self.sums[at, f"block{block}"].dtype)
            self._correct(at, f"block{block}", one_hot(rho, plan, block, dtype))
        for depth, level in enumerate(plan.levels):
            for group, merge in enumerate(level):
                masks: BitArray = self.sums[at, f"merge{depth}.{group}"].astype(np.uint8, copy=False)
                self._correct(at, f"products{depth}.{group}", mask_products(masks, merge))

    def _flip(self, at: int, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        return unpack_bits(self.sums[at, "flip"][0].astype(np.uint8, copy=False), count)

    def _select(self, at: int, gate: Relu | PairMax) -> None:
        mask = self.masks[gate.sources[0]]
        carries: dict[str, RingArray] = {}
        if isinstance(gate, Relu):
            rho = mask.words
            if mask.carry is not None:
                carries["beta_carry"] = mask.carry
        else:
            left, right = pairs(mask.words)
            rho = left - right
            if mask.carry is not None:
                carries["beta_carry0"], carries["beta_carry1"] = pairs(mask.carry)
        flat = np.ascontiguousarray(rho).reshape(-1)
        self._compare(at, flat & word((1 << (gate.bits - 1)) - 1), compared(gate))
        sign = unpack_bits(top_bits(flat, gate.bits), flat.size)
        beta = (self._flip(at, flat.size) ^ sign).astype(np.uint64)
        self._correct(at, "beta", beta)
        self._correct(at, "beta_mask", beta * flat)
        for name, carry in carries.items():
            self._correct(at, name, beta * np.ascontiguousarray(carry).reshape(-1))
