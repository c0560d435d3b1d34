"""``model.send(node)``, for those who ask for it."""

import torch

from gridward.client.remote_models import send


def install_torch_methods() -> None:
    """Give every ``torch.nn.Module`` a method ``send``; ``gw.send(model, node)`` works without it.

    Raises ``AttributeError`` if another library has put its own ``send`` there.
    """
    present = getattr(torch.nn.Module, "send", None)
    if present not in (None, send):
        raise AttributeError("torch.nn.Module already has a method 'send'; use gw.send(model, node)")
    torch.nn.Module.send = send  # type: ignore[attr-defined]  # at the user's word, here only
