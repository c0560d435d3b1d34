"""The gateway is killed in the middle of the stories: nodes serve on, everything returns with it."""

import pytest
import torch

import gridward as gw
from tests.support.grids import Grid, eventually

pytestmark = pytest.mark.e2e


def test_work_under_way_goes_on_without_the_gateway_and_all_returns_with_it(grid: Grid) -> None:
    with grid.owner("public") as owner:
        owner.publish(
            "steady",
            torch.arange(40.0),
            tags=["#steady"],
            access=gw.Access(discover=gw.SIGNED_IN, compute=gw.SIGNED_IN),
            rows_are_entities=True,
        )
        owner.admit("eve@grid")
        with grid.user("eve") as eve:
            pointer = eventually(lambda: next(iter(eve.search("#steady")), None), "the dataset")
            assert pointer.mean().get() == 19.5
            grid.gateway.kill()
            assert pointer.mean().get() == 19.5  # the node needs no gateway for a token that it has seen
            with pytest.raises(gw.NodeUnreachableError, match="gateway"):
                eve.search("#steady")
            owner.change("steady", tags=["#steady", "#changed"])
            grid.gateway.start()
            grid.await_live()
            found = eventually(lambda: next(iter(eve.search("#changed")), None), "the changed catalogue")
            assert found.mean().get() == 19.5
        owner.withdraw("steady")
