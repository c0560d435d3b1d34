"""Models hosted in the clear: the node has the parameters and sees the inputs of queries."""

import copy
from collections.abc import Sequence

import torch

from gridward.client import wire
from gridward.client.checks import checked
from gridward.client.paging import collected
from gridward.client.payload import pack_tensors
from gridward.client.place import Place, segment
from gridward.client.rules import SIGNED_IN, ModelAccess
from gridward.client.uploads import upload
from gridward.core.errors import InvalidInputError
from gridward.core.plans import codec, trace
from gridward.core.schemas.models import InferenceIn, InferenceOut, ModelIn, ModelOut, ModelsOut
from gridward.core.schemas.plan import PlanDocument
from gridward.core.schemas.tensor import TensorInfo


def access_of(access: ModelAccess | None, allow_remote_inference: bool, allow_download: bool) -> ModelAccess:
    """Combine the two ways to say who may use a model; by default only its owner."""
    if access is not None:
        if allow_remote_inference or allow_download:
            raise InvalidInputError("give access, or allow_remote_inference and allow_download, not both")
        return access
    users = SIGNED_IN if allow_remote_inference else ()
    found = SIGNED_IN if allow_remote_inference or allow_download else ()
    return ModelAccess(
        discover=found,
        infer=users,
        infer_encrypted=users,
        download=SIGNED_IN if allow_download else (),
    )


def traced_inference(
    module: torch.nn.Module, example_input: torch.Tensor, name: str
) -> tuple[PlanDocument, dict[str, torch.Tensor]]:
    """Trace a model in evaluation mode, with a dynamic batch; the module itself stays as it is."""
    still = copy.deepcopy(module).to("cpu").eval()
    traced = trace.trace_module(still, (wire.travelling(example_input),), name=name)
    return PlanDocument.model_validate(codec.to_dict(traced.plan)), dict(traced.parameters)


def serve(
    node: Place,
    module: torch.nn.Module,
    model_id: str,
    example_input: torch.Tensor,
    *,
    description: str,
    tags: Sequence[str],
    access: ModelAccess,
) -> ModelOut:
    """Host plan and parameters at the node; raises ``AlreadyExistsError``, ``SendNotPermittedError``."""
    plan, parameters = traced_inference(module, example_input, model_id)
    with checked():
        body = ModelIn(
            id=model_id, description=description, tags=list(tags), plan=plan, access=access.to_schema()
        )
    body.upload_id = upload(node.transport, pack_tensors(parameters), f"model {model_id!r}")
    return node.transport.fetch(ModelOut, "POST", "/v1/models", body=body)


def describe(node: Place, model_id: str) -> ModelOut:
    """What may be known of a model; raises ``ObjectNotFoundError``."""
    return node.transport.fetch(ModelOut, "GET", f"/v1/models/{segment(model_id)}")


def hosted(node: Place) -> list[ModelOut]:
    """All models at the node that the user may discover."""
    return collected(lambda page: node.transport.fetch(ModelsOut, "GET", "/v1/models", params=page))


def withdraw(node: Place, model_id: str) -> None:
    """Delete a model from the node."""
    node.transport.send("DELETE", f"/v1/models/{segment(model_id)}")


def query(node: Place, model_id: str, x: torch.Tensor) -> torch.Tensor:
    """Ask the model in the clear. A single sample without a batch dimension gets one, and loses it again."""
    inputs = describe(node, model_id).inputs
    if len(inputs) != 1:
        raise InvalidInputError(f"model {model_id!r} takes {len(inputs)} inputs; a query gives one tensor")
    batch, single = batched(x, inputs[0])
    body = InferenceIn(inputs=[wire.encode(inputs[0].name, batch)])
    path = f"/v1/models/{segment(model_id)}/inference"
    outputs = node.transport.fetch(InferenceOut, "POST", path, body=body, timeout_s=300.0).outputs
    if len(outputs) != 1:
        raise InvalidInputError(f"model {model_id!r} gives {len(outputs)} outputs; a query reads one tensor")
    y = wire.decode(outputs[0])
    return y.squeeze(0) if single else y


def batched(x: torch.Tensor, wanted: TensorInfo) -> tuple[torch.Tensor, bool]:
    """Fit an input to what the model takes: its dtype, and a batch dimension in front; say if one was added.

    Raises ``InvalidInputError`` where the sample's shape is another one.
    """
    single = x.ndim == len(wanted.shape) - 1
    batch = x.unsqueeze(0) if single else x
    if list(batch.shape[1:]) != wanted.shape[1:] or batch.ndim != len(wanted.shape):
        raise InvalidInputError(
            f"the model takes samples of shape {wanted.shape[1:]}, not an input of shape {list(x.shape)}"
        )
    return batch.to(wire.torch_dtype(wanted.dtype)), single
