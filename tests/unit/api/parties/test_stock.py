"""A party's stock against a real provider, over a wire that is cut, slow or down."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridward.api.parties import stock
from gridward.api.parties.stock import KEPT_BEHIND, fetch_ahead, pool_of, take_bundle
from gridward.api.services import provider
from gridward.core.errors import (
    ConflictError,
    EmptyCryptoPrimitiveStoreError,
    InvalidInputError,
    NodeUnreachableError,
    ObjectNotFoundError,
)
from gridward.core.smpc import pieces
from gridward.core.smpc.packets import named_bundle, parse_packet
from tests.support.grids import eventually
from tests.support.offline import Pair, pair
from tests.support.packets import whole


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Pair]:
    with pair(tmp_path) as made:
        yield made


def asked(ours: Pair, what: str = "bundles") -> list[dict[str, int]]:
    return [json.loads(body) for kind, body in ours.wire.asked if kind == what]


def held(ours: Pair, batch: int = 1) -> list[int]:
    return sorted(pool_of(ours.party.node, ours.record).held().get(batch, {}))


def test_a_bundle_that_is_not_here_is_fetched_spent_and_counted(ours: Pair) -> None:
    packet = whole(take_bundle(ours.party.node, ours.record, 3, 5))
    parsed = parse_packet(packet)
    assert (named_bundle(parsed.serial), parsed.party) == ((3, 5), 1)
    assert parsed.body  # 5 is odd: the corrections go to party 1
    assert ours.had() == (1, len(packet))
    with pytest.raises(EmptyCryptoPrimitiveStoreError, match="was spent"):
        take_bundle(ours.party.node, ours.record, 3, 5)
    assert len(asked(ours)) == 1


def test_corrections_rotate_among_the_parties(ours: Pair) -> None:
    sizes = [take_bundle(ours.party.node, ours.record, 1, number).body.size for number in range(4)]
    assert [size > 0 for size in sizes] == [False, True, False, True]


def test_a_stock_is_filled_with_several_bundles_a_round_trip_before_it_is_empty(tmp_path: Path) -> None:
    with pair(tmp_path, bundles_ahead=6) as ours:
        fetch_ahead(ours.party.node, ours.record, 0)
        eventually(lambda: len(held(ours)) == 6 or None, "a stock")
        assert [(body["serial"], body["count"]) for body in asked(ours)] == [(0, 2), (2, 4)]
        for number in range(2):
            take_bundle(ours.party.node, ours.record, 1, number)
        ours.party.node.offline.refills.ask("last", lambda: None)
        assert len(asked(ours)) == 2
        take_bundle(ours.party.node, ours.record, 1, 2)
        eventually(lambda: len(held(ours)) == 6 or None, "a refill")
        assert [(body["serial"], body["count"]) for body in asked(ours)] == [(0, 2), (2, 4), (6, 3)]
        eventually(lambda: ours.had()[0] == 9 or None, "the last confirmation")


def test_every_batch_size_that_is_used_gets_a_stock(tmp_path: Path) -> None:
    with pair(tmp_path, bundles_ahead=2) as ours:
        take_bundle(ours.party.node, ours.record, 5, 0)
        eventually(lambda: held(ours, 5) == [1, 2] or None, "a stock of the batch size")


def test_a_stock_is_bounded_in_bytes_and_has_one_bundle_at_least(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pair(tmp_path, bundles_ahead=8, bundles_ahead_bytes=1) as ours:
        node = ours.party.node
        monkeypatch.setattr(node.offline.refills, "ask", lambda *_, **__: None)
        stock._refill(node, ours.record, 1, 0)
        assert held(ours) == [0, 1]  # how large they are was not known before
        for number, left in ((0, [1]), (1, [2]), (2, [3])):
            take_bundle(node, ours.record, 1, number)
            stock._refill(node, ours.record, 1, 0)
            assert held(ours) == left


def test_a_stock_of_several_batch_sizes_shares_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pair(tmp_path, bundles_ahead=6, bundles_ahead_bytes=4000) as ours:
        node = ours.party.node
        monkeypatch.setattr(node.offline.refills, "ask", lambda *_, **__: None)
        for batch in (16, 1):
            stock._refill(node, ours.record, batch, 0)
        sizes = pool_of(node, ours.record).held()
        assert held(ours, 16) == [0, 1]
        assert held(ours, 1) == [0, 1]
        assert sum(sum(one.values()) for one in sizes.values()) <= 4000


@pytest.mark.parametrize("cut", [1, 28, 500, 1_000])
def test_a_cut_connection_goes_on_where_it_was(ours: Pair, cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 256)
    monkeypatch.setattr(stock, "PIECE_BYTES", 256)
    monkeypatch.setattr(provider, "PIECE_BYTES", 256)
    ours.wire.cuts = [cut, 1_500]
    packet = whole(take_bundle(ours.party.node, ours.record, 16, 1))
    assert len(packet) > 3_000
    arrived = cut // (256 + 28 + 48)
    assert [body["piece"] for body in asked(ours)] == [0, arrived, arrived + 1_500 // (256 + 28 + 48)]
    (body,) = asked(ours, "confirmation")
    assert (body, ours.had()) == ({"batch": 16, "serials": [1]}, (1, len(packet)))


def test_a_provider_restarted_in_the_middle_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (pieces, stock, provider):
        monkeypatch.setattr(module, "PIECE_BYTES", 256)
    with pair(tmp_path) as ours:
        shelf = provider.shelf_of(ours.dealer.node, ours.dealt)
        ours.wire.cuts = [1000, 0, 0]
        with pytest.raises(EmptyCryptoPrimitiveStoreError, match="no bundle 1"):
            take_bundle(ours.party.node, ours.record, 16, 1)
        expected = shelf.read(16, 1, 1, 0, 1 << 20)
        ours.dealer.node.offline.remove_shelf(ours.document.id)
        assert provider.shelf_of(ours.dealer.node, ours.dealt) is not shelf
        assert whole(take_bundle(ours.party.node, ours.record, 16, 1)) == expected
        assert asked(ours)[-1]["piece"] == 3


def test_a_bundle_dealt_anew_in_the_middle_is_fetched_from_its_beginning(
    ours: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (pieces, stock, provider):
        monkeypatch.setattr(module, "PIECE_BYTES", 256)
    ours.wire.cuts = [1000, 0, 0]
    with pytest.raises(EmptyCryptoPrimitiveStoreError):
        take_bundle(ours.party.node, ours.record, 16, 1)
    shelf = provider.shelf_of(ours.dealer.node, ours.dealt)
    with shelf._changed:
        shelf._clear((16, 1))  # as if the disk had lost it
    packet = whole(take_bundle(ours.party.node, ours.record, 16, 1))
    assert shelf.had()[1].amount == len(packet)
    assert [body["piece"] for body in asked(ours)][-2:] == [3, 0]


def test_a_provider_that_is_down_is_named_where_nothing_is_left(ours: Pair) -> None:
    ours.wire.down = True
    with pytest.raises(
        EmptyCryptoPrimitiveStoreError, match=r"no bundle 4 for queries of 2 rows left.*university"
    ):
        take_bundle(ours.party.node, ours.record, 2, 4)
    ours.wire.down = False
    assert take_bundle(ours.party.node, ours.record, 2, 4)


def test_refills_are_put_off_longer_each_time_the_provider_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pair(tmp_path, bundles_ahead=2) as ours:
        node, put_off = ours.party.node, []
        monkeypatch.setattr(
            node.offline.refills, "ask", lambda key, task, delay_s=0.0: put_off.append(delay_s)
        )
        ours.wire.down = True
        for _ in range(8):
            stock._refill(node, ours.record, 1, 0)
        assert put_off == [1, 2, 4, 8, 16, 32, 60, 60]
        ours.wire.down = False
        stock._refill(node, ours.record, 1, 0)
        assert held(ours) == [0, 1]
        ours.wire.down = True
        stock._refill(node, ours.record, 2, 0)
        assert put_off[8:] == [1]


def test_a_number_that_the_provider_has_no_more_is_left_out(tmp_path: Path) -> None:
    with pair(tmp_path, bundles_ahead=2) as ours:
        shelf = provider.shelf_of(ours.dealer.node, ours.dealt)
        shelf._ledger.add(1 << 3 | 7, 0)  # given up
        with pytest.raises(ConflictError, match="given up already"):
            take_bundle(ours.party.node, ours.record, 1, 0)
        fetch_ahead(ours.party.node, ours.record, 0)
        eventually(lambda: held(ours) == [1, 2] or None, "the next bundles")


def test_packets_whose_queries_never_came_are_given_up(ours: Pair) -> None:
    node, pool = ours.party.node, pool_of(ours.party.node, ours.record)
    stock._fetch(node, ours.record, 1, [0, 1])
    take_bundle(node, ours.record, 1, KEPT_BEHIND + 1)
    stock._tidy(pool, 1, KEPT_BEHIND + 1)
    assert held(ours) == [1]


def test_a_party_that_ended_before_it_told_the_provider_tells_it_after_its_start(ours: Pair) -> None:
    ours.wire.cuts = []
    stored = stock._receive(ours.party.node, ours.record, pool_of(ours.party.node, ours.record), 1, [0, 1])
    assert (stored, ours.had()[0]) == (([0, 1], None), 0)
    stock.resume(ours.party.node, ours.record)
    eventually(lambda: ours.had()[0] == 2 or None, "the confirmation")


def test_an_ended_deployment_takes_no_bundle(ours: Pair) -> None:
    record, host = ours.record, ours.party.cast.nodes["company"]
    take_bundle(ours.party.node, record, 1, 0)
    path = f"/v1/parties/deployments/{record.id}"
    assert ours.party.call(host, "DELETE", path).status_code == 204
    with pytest.raises(ObjectNotFoundError):
        take_bundle(ours.party.node, record, 1, 1)
    assert not (ours.party.node.settings.data_dir / "parties" / record.id).exists()


def test_bundles_that_were_not_asked_for_are_not_kept(ours: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock, "named_bundle", lambda serial: (1, 9))
    with pytest.raises(InvalidInputError, match="bundle 9 of batch 1 came, which was not asked for"):
        take_bundle(ours.party.node, ours.record, 1, 0)
    assert held(ours) == []


def test_a_party_restarted_with_half_of_its_packets_keeps_the_whole_ones_and_begins_the_cut_one_anew(
    ours: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (pieces, stock, provider):
        monkeypatch.setattr(module, "PIECE_BYTES", 256)
    node = ours.party.node
    stock._fetch(node, ours.record, 16, [1])
    ours.wire.cuts = [1000, 0, 0]
    with pytest.raises(NodeUnreachableError):
        stock._fetch(node, ours.record, 16, [3])
    pool = pool_of(node, ours.record)
    assert pool.drafted(16, 3) > 0
    node.room.pools.drop(lambda _: False)  # as a restart does, which opens the folder anew
    assert pool_of(node, ours.record) is not pool
    assert pool.drafted(16, 3) == 0 and list(pool.held()[16]) == [1]
    asked_before = len(asked(ours))
    expected = provider.shelf_of(ours.dealer.node, ours.dealt).read(16, 3, 1, 0, 1 << 20)
    stock._fetch(node, ours.record, 16, [1, 3])
    assert [(body["serial"], body["piece"]) for body in asked(ours)[asked_before:]] == [(3, 0)]
    assert whole(take_bundle(node, ours.record, 16, 3)) == expected
    assert pool.holds(16, 1)
