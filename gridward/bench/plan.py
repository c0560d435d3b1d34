"""A network as a plan, run by the plain executor, against the same network in torch."""

from collections.abc import Iterator

import torch

from gridward.bench.measure import Options, Result, require, seconds_a_call, summary
from gridward.bench.networks import network
from gridward.core.plans.executors import plain


def run(options: Options) -> Iterator[Result]:
    """Measure the chosen case; the two answers are compared bit for bit first."""
    torch.set_num_threads(options.threads)
    asked = network(options.model)
    x = asked.inputs(options.batch, seed=0)
    held = {name: value.detach() for name, value in asked.module.state_dict().items()}
    (data,) = [value.name for value in asked.plan.inputs if value.name not in held]
    (output,) = [value.name for value in asked.plan.outputs]
    inputs = held | {data: x}
    with torch.no_grad():
        same = torch.equal(plain.run(asked.plan, inputs)[output], asked.module(x))
        require(same, f"the plan of {options.model} gives another answer than torch")
        planned = summary(seconds_a_call(lambda: plain.run(asked.plan, inputs), options.repeat))
        eager = summary(seconds_a_call(lambda: asked.module(x), options.repeat))
    steps = len(asked.plan.steps)
    yield Result(
        {"model": options.model, "batch": options.batch, "torch_threads": options.threads},
        {
            "plan_s": planned,
            "torch_s": eager,
            "steps": steps,
            "overhead_per_step_s": (planned["median"] - eager["median"]) / steps,
            "time_against_torch": planned["median"] / eager["median"],
        },
    )
