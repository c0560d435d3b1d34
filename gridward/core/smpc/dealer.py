"""The crypto provider: masks of the weights once, correlated randomness for each query. It holds no data."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gridward.core.smpc.comparison import Comparison
from gridward.core.smpc.correlations import (
    SIDES,
    Key,
    SlotArray,
    compared,
    cut,
    draw,
    input_gates,
    join_into,
    pairing_of,
    query_prgs,
    write_corrections,
)
from gridward.core.smpc.gate import (
    AddConstant,
    Compared,
    Concatenate,
    Convolution,
    Expand,
    Gate,
    Input,
    LookUp,
    Matmul,
    Multiply,
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
    Slice,
    Square,
    Truncate,
    TruncateFaithful,
    View,
    Windows,
)
from gridward.core.smpc.gates import guard, look_up, piecewise
from gridward.core.smpc.gates.compare import blocks, subsets
from gridward.core.smpc.gates.linear import add_product
from gridward.core.smpc.gates.local import joined_mask, moved_mask
from gridward.core.smpc.gates.maximum import beyond_last, differences, sides, win_products, with_floor
from gridward.core.smpc.gates.products import by_parameter, multiplied
from gridward.core.smpc.gates.select import pairs
from gridward.core.smpc.kernels import cpu
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.operands import Weights
from gridward.core.smpc.packets import NAME_BYTES, Packet, PacketKind, write_packet
from gridward.core.smpc.prg import KEY_BYTES, Entropy, Prg
from gridward.core.smpc.program import Form, Program, Slot, SlotKind
from gridward.core.smpc.ring import RingArray, pack_bits, unpack_bits
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
        self._weights = Weights(
            {slot.gate: _joined(slot, prgs).astype(np.uint64, copy=False) for slot in program.setup_manifest}
        )

    @property
    def bundle_bytes(self) -> int:
        """The bytes of all packets of one query together."""
        return self._program.costs.dealer_bytes

    def deal_setup(self) -> list[bytes]:
        """Make one packet a party: a seed that expands to its share of the masks B. Always the same bytes."""
        return [
            self._packet(PacketKind.SETUP, party, self._program.setup_digest, bytes(NAME_BYTES), seed, [])
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
                corrections if party == corrected_party else [],
            )
            for party, seed in enumerate(seeds)
        ]

    def _packet(
        self,
        kind: PacketKind,
        party: int,
        digest: str,
        serial: bytes,
        seed: bytes,
        body: Sequence[memoryview],
    ) -> bytes:
        parties = self._program.parties
        return write_packet(Packet(kind, party, parties, digest, self._name, serial, seed), body)


def _joined(slot: Slot, prgs: Iterable[Prg]) -> SlotArray:
    """Add up what all parties draw of a slot."""
    first, *others = prgs
    total = draw(first, slot)
    for prg in others:
        join_into(slot.kind, total, draw(prg, slot))
    return total


def sums_of_draws(program: Program, seeds: Sequence[bytes]) -> dict[Key, SlotArray]:
    """Give what all parties' draws of a query join to: the masks, where slots are not corrected."""
    prgs = [query_prgs(seed) for seed in seeds]
    inputs = input_gates(program.gates)
    return {
        (slot.gate, slot.name): _joined(slot, [prg[slot.gate in inputs] for prg in prgs])
        for slot in program.manifest
    }


@dataclass(slots=True, repr=False, eq=False)
class Dealing:
    """One query being dealt: what the seeds add up to, and the masks of the program's wires in the clear."""

    program: Program
    kernels: Kernels
    weights: Weights
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
            case View() | Permute() | Expand() | Slice() | Pick() | Windows():
                if (mask := self.masks.get(gate.sources[0])) is not None:
                    self.masks[gate.out] = moved_mask(gate, mask, registers[gate.out])
            case AddConstant():
                if registers[gate.out].form is not Form.SHARE:
                    self.masks[gate.out] = self.masks[gate.sources[0]]
            case Concatenate():
                if registers[gate.out].form is not Form.SHARE:
                    self.masks[gate.out] = joined_mask(gate, [self.masks[at] for at in gate.sources])
            case Matmul() | Convolution():
                weight = self.weights.fixed(gate, self.kernels)
                c = np.zeros(registers[gate.out].shape, dtype=np.uint64)
                add_product(gate, self.masks[gate.sources[0]].words, weight, c, self.kernels)
                self._correct(at, "product", c)
            case MultiplyParameter():
                words = self.masks[gate.sources[0]].words
                self._correct(at, "product", by_parameter(gate, words, self.weights.words(gate.weight)))
            case Multiply() | MultiplyMatrices():
                left, right = (self.masks[source].words for source in gate.sources)
                self._correct(at, "product", multiplied(gate, left, right, self.kernels))
            case Square():
                self._correct(at, "product", self.masks[gate.sources[0]].words ** np.uint64(2))
            case Truncate() | TruncateFaithful():
                self._truncate(at, gate)
            case Relu() | PairMax():
                self._select(at, gate)
            case Piecewise():
                self._piecewise(at, gate)
            case LookUp():
                flips = self.sums[at, "flips"].astype(np.uint8, copy=False)
                for name, value in look_up.corrections(gate, self._sum(at, "mask"), flips).items():
                    self._correct(at, name, value)
            case PairsMax():
                self._pairs_max(at, gate)
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

    def _corrected(self, at: int, name: str) -> SlotArray:
        """Give what was drawn of a slot, to be turned into its correction in place."""
        drawn = self.sums[at, name]
        self.corrections[at, name] = drawn
        return drawn

    def _corrected_words(self, at: int, name: str) -> RingArray:
        return self._corrected(at, name).astype(np.uint64, copy=False).reshape(-1)

    def _truncate(self, at: int, gate: Truncate | TruncateFaithful) -> None:
        mask = self._sum(at, "mask")
        high, carry = self._corrected_words(at, "high"), self._corrected(at, "carry").reshape(-1)
        upper, top = self.kernels.set_truncation(mask.reshape(-1), gate.shift, high, carry)
        if isinstance(gate, Truncate):
            self.masks[gate.out] = Mask(upper.reshape(mask.shape), top.reshape(mask.shape))
            return
        self._compare(at, mask.reshape(-1), compared(gate))
        flips = unpack_bits(self.sums[at, "flip"][0].astype(np.uint8, copy=False), mask.size)
        self._correct(at, "beta", flips.astype(np.uint64))

    def _compare(self, at: int, rho: RingArray, plan: Comparison) -> None:
        tables = [self._corrected(at, f"block{block}") for block in range(len(plan.blocks))]
        self.kernels.set_blocks(rho, *blocks(plan), tables)
        for depth, level in enumerate(plan.levels):
            for group, merge in enumerate(level):
                masks = self.sums[at, f"merge{depth}.{group}"].astype(np.uint8, copy=False)
                products = self._corrected(at, f"products{depth}.{group}").astype(np.uint8, copy=False)
                self.kernels.set_products(masks, subsets(merge), products)

    def _piecewise(self, at: int, gate: Piecewise) -> None:
        mask = self.masks[gate.sources[0]]
        self._compare(at, np.ascontiguousarray(mask.words).reshape(-1), compared(gate))
        flips = self.sums[at, "flip"][0].astype(np.uint8, copy=False)
        for name, value in piecewise.corrections(gate, mask, flips, self.kernels).items():
            self._correct(at, name, value)
        if gate.guard:
            self._guard(at, gate, *piecewise.guarded(gate, mask, flips))

    def _guard(self, at: int, gate: Compared, rho: RingArray, flips: NDArray[np.bool_]) -> None:
        for name, value in guard.corrections(gate, rho, flips, self.sums[at, "above"]).items():
            self._correct(at, name, value)

    def _select(self, at: int, gate: Relu | PairMax) -> None:
        mask = self.masks[gate.sources[0]]
        rho, carries = mask.words, {} if mask.carry is None else {"beta_carry": mask.carry}
        if isinstance(gate, PairMax):
            left, right = pairs(mask.words)
            rho = left - right
            if mask.carry is not None:
                carries = dict(zip(SIDES, pairs(mask.carry), strict=True))
        flat = np.ascontiguousarray(rho).reshape(-1)
        self._compare(at, flat, compared(gate))
        flips = self.sums[at, "flip"][0].astype(np.uint8, copy=False)
        beta, beta_mask = self._corrected_words(at, "beta"), self._corrected_words(at, "beta_mask")
        signs = self.kernels.set_selection(flat, gate.bits - 1, flips, beta, beta_mask)
        for name, carry in carries.items():
            bits = np.ascontiguousarray(carry.astype(np.uint8, copy=False)).reshape(-1)
            self.kernels.set_carry(signs, bits, self._corrected(at, name).reshape(-1))
        if gate.guard:
            self._guard(at, gate, flat, unpack_bits(flips, flat.size))

    def _pairs_max(self, at: int, gate: PairsMax) -> None:
        mask = self.masks[gate.sources[0]]
        plan = pairing_of(gate, self.program.registers[gate.sources[0]])
        rho = differences(plan, with_floor(gate, mask.words))
        self._compare(at, rho, compared(gate))
        top = unpack_bits(self.kernels.pack_bit(rho, gate.bits - 1), rho.size)
        self._correct(at, "top", pack_bits(top.reshape(len(plan.pairs), -1)))
        names = ["pair", *(f"factor{depth}" for depth in range(1, len(plan.levels)))]
        pairs, *factors = (self.sums[at, name].astype(np.uint8, copy=False) for name in names)
        for depth, products in enumerate(win_products(plan, pairs, factors)):
            self._correct(at, f"wins{depth}", products)
        chosen = beyond_last(gate, mask.words).reshape(-1)
        flips = unpack_bits(self.sums[at, "flip"][0].astype(np.uint8, copy=False), chosen.size)
        beta = flips.astype(np.uint64)
        self._correct(at, "beta", beta)
        self._correct(at, "beta_mask", beta * chosen)
        if gate.guard:
            hidden = unpack_bits(pairs, rho.size // len(plan.pairs)).reshape(-1)
            self._correct(at, "hidden", hidden.astype(np.uint64))
            self._guard(at, gate, rho, hidden ^ top)
        if mask.carry is not None:
            for name, carry in zip(SIDES, sides(gate, mask.carry), strict=False):
                self._correct(at, name, beta * carry.reshape(-1))
