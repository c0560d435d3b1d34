from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gridward.bench import relu
from gridward.bench.measure import WrongResultError
from gridward.bench.mesh import Mesh, Query, phases, require_as_stated
from gridward.bench.networks import network
from gridward.core.smpc.compile import compile_plan


@pytest.mark.parametrize("parties", [2, 3])
def test_what_is_counted_is_what_the_program_states(parties: int) -> None:
    asked = network("mlp")
    program = compile_plan(asked.plan, batch=2, parties=parties)
    x = asked.inputs(2, seed=1)
    with Mesh(program, asked.parameters) as mesh:
        queries = [mesh.ask(x.double().numpy(), serial) for serial in range(2)]
    for query in queries:
        assert np.abs(query.output - asked.in_the_clear(x)).max() < 0.001
        require_as_stated(program, query)
        assert min(query.online_s, query.protocol_s, query.load_s, query.dealer_s) > 0
    assert phases(queries)["online_s"]["runs"] == 2


def test_costs_that_differ_from_the_stated_ones_are_refused() -> None:
    asked = network("mlp")
    program = compile_plan(asked.plan, batch=1, parties=2)
    with Mesh(program, asked.parameters) as mesh:
        query = mesh.ask(asked.inputs(1, seed=1).double().numpy(), 0)
    require_as_stated(program, query)
    costs = program.costs
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"rounds": 15}, "rounds"),
        ({"bytes_of_parties": (costs.online_bytes_per_party, 3)}, "3 bytes where"),
        ({"written_bytes": (costs.online_bytes_per_party,)}, "at the socket"),
        ({"packets": query.packets[:1]}, "dealer bytes"),
    )
    for changed, fault in cases:
        with pytest.raises(WrongResultError, match=fault):
            require_as_stated(program, replace(query, **changed), 8)


def test_a_layer_is_exact_for_every_number_of_parties() -> None:
    result = relu.measure_layer(33, parties=3, repeat=2)
    assert result.case == {"elements": 33, "parties": 3, "link": "process"}
    assert result.measured["rounds"] == 3
    assert result.measured["elements_per_s"] == pytest.approx(33 / result.measured["online_s"]["median"])


def test_a_layer_that_is_off_by_one_unit_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Off(Mesh):
        def ask(self, x: object, serial: int) -> Query:
            query = super().ask(x, serial)  # type: ignore[arg-type]
            query.output[0, 5] += 2.0**-16
            return query

    monkeypatch.setattr(relu, "Mesh", Off)
    with pytest.raises(WrongResultError, match="is not ReLU"):
        relu.measure_layer(33, parties=2, repeat=1)
