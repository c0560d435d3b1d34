"""What a node checks of its workers before it serves."""

import pytest
import torch

from gridward.api.main import open_node
from gridward.core.errors import InvalidInputError
from gridward.server.ids import utc_now
from gridward.server.settings import NodeSettings


def test_a_node_that_shall_train_on_a_device_it_has_not_does_not_start(
    settings: NodeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InvalidInputError, match="CUDA, and torch sees no such device"):
        open_node(settings.model_copy(update={"device": "cuda"}), utc_now)
    assert not settings.data_dir.exists()
