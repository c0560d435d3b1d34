"""Story 3: a model answers without anybody seeing it, the question or the answer."""

from functools import partial

import torch
from torch import nn

from gridward.demo.federated import accuracy
from gridward.demo.grid import DemoGrid, await_found
from gridward.demo.materials import Digits, linear_example
from gridward.demo.stage import Stage

PARTIES = ["hospital", "public"]
PROVIDER = "university"
ASKED = 20


def play(grid: DemoGrid, stage: Stage, model: nn.Module, digits: Digits) -> None:
    """Serve and ask the linear example and the trained LeNet. Raises ``AssertionError`` on a wrong answer."""
    stage.title("3  Encrypted inference: nobody but the asker sees input or answer")
    _ask_linear(grid, stage)
    _serve(grid, model, "digits-lenet", digits.held_out["images"][:1])
    stage.act(
        "carol", "splits the trained LeNet into shares for hospital and public; the university deals masks"
    )
    described = await_found(lambda: grid.scientist.describe_model("digits-lenet"), "the model")
    stage.result(str(described))
    _classify(grid, stage, model, digits)
    stage.saw(
        [
            ("company", "the plan (operations and shapes), who asked and how often; no parameter, no query"),
            ("hospital", "one additive share of each parameter, masked values"),
            ("public", "the other share of each parameter, masked values"),
            ("university", "randomness that it made itself"),
            ("dana", "her digits and the answers"),
        ]
    )


def _serve(grid: DemoGrid, model: nn.Module, name: str, example: torch.Tensor) -> None:
    grid.owners["company"].serve_model(
        model,
        id=name,
        example_input=example,
        mpc=True,
        parties=PARTIES,
        crypto_provider=PROVIDER,
        allow_remote_inference=True,
    )


def _ask_linear(grid: DemoGrid, stage: Stage) -> None:
    model, x = linear_example(), torch.tensor([[5.0, 3.0]])
    _serve(grid, model, "linear", x)
    grid.owners["company"].serve_model(
        model, id="linear-in-the-clear", example_input=x, allow_remote_inference=True
    )
    for name in ("linear", "linear-in-the-clear"):
        await_found(partial(grid.scientist.describe_model, name), f"model {name}")
    encrypted = float(grid.scientist.query_model("linear", x, mpc=True))
    clear = float(grid.scientist.query_model("linear-in-the-clear", x))
    stage.act("dana", "asks the model with weights [2, 4] and bias 1000 about [5, 3]")
    stage.result(f"{encrypted:.3f} encrypted, {clear:.3f} in the clear")
    assert abs(encrypted - 1022) < 0.001 and clear == 1022  # noqa: S101 - the demo checks what it shows


def _classify(grid: DemoGrid, stage: Stage, model: nn.Module, digits: Digits) -> None:
    images = digits.held_out["images"][:ASKED]
    with torch.no_grad():
        clear = model(images)
    answers = [grid.scientist.ask_encrypted("digits-lenet", image) for image in images]
    encrypted = torch.stack([answer.output for answer in answers])
    same = int((encrypted.argmax(1) == clear.argmax(1)).sum())
    times = sorted(answer.seconds for answer in answers[1:])
    stage.act("dana", f"asks the encrypted LeNet about {ASKED} held-out digits, one at a time")
    stage.result(f"labels: {' '.join(str(int(label)) for label in encrypted.argmax(1))}")
    stage.result(
        f"{same} of {ASKED} labels as in the clear; largest difference of a logit "
        f"{float((encrypted - clear).abs().max()):.5f}; the model is right on "
        f"{accuracy(model, digits.held_out):.1%}"
    )
    stage.result(
        f"median {1000 * times[len(times) // 2]:.0f} ms a query, {answers[-1].rounds} rounds, "
        f"{answers[-1].sent_bytes / 1e3:.0f} kB sent by all parties together"
    )
    assert same == ASKED, "an encrypted label differs from the one in the clear"  # noqa: S101 - as above
