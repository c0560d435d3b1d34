"""A sum of updates at the nodes: processor seconds to contribute and to add up, and bytes, messages included.

One node's work of each kind is timed, from arrays to the bytes of its HTTP body and back: clipping, masking,
sealing, signing, base64 and JSON. Network, database and the check of attestations are not in it.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeVar

import numpy as np
import pybase64
import torch
from pydantic import BaseModel

from gridward.api.parties import sum_shares
from gridward.bench.measure import Line, Options, Result, require, summary
from gridward.core import tensors
from gridward.core.schemas.deployments import SealedOut
from gridward.core.schemas.secure_sums import ContributionOut, SumShare
from gridward.core.schemas.tensor import Tensor
from gridward.core.smpc.kernels.seam import ShortWords
from gridward.core.smpc.quantised import WIRE_SHORT, Array, Slot, Terms, norm_of, read, words_of
from gridward.core.smpc.sealing import public_key, seal, unseal
from gridward.core.smpc.secure_aggregation import Contribution, add_up, share_of
from gridward.server.keys import Keys, load, make

PARAMETERS: Final = 1_000_000
AGGREGATORS: Final = (2, 8)
CLIP: Final = 100.0
ROWS: Final = 5000
SEED: Final = 8
PURPOSE: Final = "gridward/benchmark"
SLOTS: Final = (Slot("update", True, (PARAMETERS,)),)
SPAN: Final = range(words_of(SLOTS))
Made = TypeVar("Made")


class _Shares(BaseModel):
    """As much of an opening as grows with the nodes."""

    shares: list[SumShare]


@dataclass(frozen=True, slots=True)
class Bench:
    """One sum: a node's keys for all signatures, and each aggregator's key to seal to."""

    keys: Keys
    terms: Terms
    private: Sequence[bytes]
    asker: bytes

    def contribute(self, update: Array) -> bytes:
        """Do all that a contributor does; gives the body of its answer."""
        norm = norm_of({"update": update}, SLOTS)
        given = Contribution({"update": update}, SLOTS, self.terms, ROWS, norm)
        packets = given.packets(SPAN, [secrets.token_bytes(32) for _ in self.private[1:]])
        return (
            ContributionOut(
                shares=[self._share(packet, key) for packet, key in zip(packets, self.private, strict=True)]
            )
            .model_dump_json()
            .encode()
        )

    def open(self, position: int, body: bytes) -> bytes:
        """Do all that an aggregator does, but for checking signatures and who the contributors are."""
        shares = _Shares.model_validate_json(body).shares
        private = self.private[position]
        packets = (unseal(private, share.raw(), PURPOSE) for share in shares)
        total = add_up((share_of(packet, position, len(SPAN)) for packet in packets), len(SPAN))
        sealed = seal(public_key(self.asker), total.astype(WIRE_SHORT, copy=False).data.cast("B"), PURPOSE)
        return SealedOut.of(sealed).model_dump_json().encode()

    def read_share(self, body: bytes) -> ShortWords:
        """Unseal an aggregator's answer, as the asker does."""
        sealed = SealedOut.model_validate_json(body).raw()
        return np.frombuffer(unseal(self.asker, sealed, PURPOSE), WIRE_SHORT)

    def _share(self, packet: bytes | memoryview, private: bytes) -> SumShare:
        sealed = seal(public_key(private), packet, PURPOSE)
        token = sum_shares.sign(self.keys, "asker", "aggregator", "0" * 64, sealed, datetime.now(UTC))
        return SumShare(sealed=pybase64.b64encode(sealed).decode(), token=token)


def run(options: Options) -> Iterator[Result]:
    """Measure a node among ``options.nodes``, with two aggregators and with as many as a sum may have."""
    torch.set_num_threads(1)
    drawn = np.random.default_rng(SEED)
    updates = [drawn.normal(0, 0.01, PARAMETERS).astype(np.float32) for _ in range(options.nodes)]
    with TemporaryDirectory() as folder:
        make(Path(folder) / "keys")
        keys = load(Path(folder) / "keys")
    terms = Terms.finest(options.nodes, CLIP, ROWS)
    for aggregators in AGGREGATORS:
        private = [secrets.token_bytes(32) for _ in range(aggregators)]
        yield _measure(Bench(keys, terms, private, secrets.token_bytes(32)), updates, options.repeat)


def _measure(bench: Bench, updates: Sequence[Array], repeat: int) -> Result:
    bodies = [bench.contribute(update) for update in updates]
    read_back = [ContributionOut.model_validate_json(body).shares for body in bodies]
    asked = [
        _Shares(shares=[shares[at] for shares in read_back]).model_dump_json().encode()
        for at in range(len(bench.private))
    ]
    error = _checked(bench, updates, asked)
    contribute = _cpu_seconds(lambda: bench.contribute(updates[0]), repeat)
    vectors = _cpu_seconds(lambda: bench.open(0, asked[0]), repeat)
    seeds = _cpu_seconds(lambda: bench.open(1, asked[1]), repeat)
    plain = _plain_bytes(updates[0])
    work = summary(contribute)["median"] + max(summary(vectors)["median"], summary(seeds)["median"])
    measured: Line = {
        "contribute_cpu_s": summary(contribute),
        "add_vectors_cpu_s": summary(vectors),
        "add_seeds_cpu_s": summary(seeds),
        "work_cpu_s": work,
        "plain_bytes": plain,
        "contributed_bytes": len(bodies[0]),
        "contributed_over_plain": len(bodies[0]) / plain,
        "largest_error": error,
        "stated_error": bench.terms.error(len(updates), len(updates) * ROWS),
    }
    case = {"parameters": PARAMETERS, "nodes": len(updates), "aggregators": len(bench.private), "clip": CLIP}
    return Result(case, measured)


def _checked(bench: Bench, updates: Sequence[Array], asked: Sequence[bytes]) -> float:
    """Open the sum and give its largest error; refuse one that is beyond what is stated."""
    shares = (bench.read_share(bench.open(at, body)) for at, body in enumerate(asked))
    total = read(add_up((share.copy() for share in shares), len(SPAN)), SLOTS, bench.terms, len(updates))
    wanted = np.mean([update.astype(np.float64) for update in updates], axis=0)
    error = float(np.abs(total.mean["update"] - wanted).max())
    require(total.rows == len(updates) * ROWS, "the sum has other rows than were contributed")
    require(error <= bench.terms.error(len(updates), total.rows) + 1e-15, "the mean is off by too much")
    return error


def _plain_bytes(update: Array) -> int:
    """Bytes of the same update in the clear, in the message that it has without ``secure``."""
    said: Tensor = tensors.encode("update", torch.from_numpy(update))
    return len(said.model_dump_json().encode())


def _cpu_seconds(work: Callable[[], Made], repeat: int) -> list[float]:
    """Seconds of processor time of each run, after one that is not counted; others may run beside."""
    work()
    times = []
    for _ in range(repeat):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return times
