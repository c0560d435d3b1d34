"""Parameters of models as safetensors blobs: read against the plan that they are for, written, described."""

from collections.abc import Mapping
from math import prod
from pathlib import Path

import torch
from fastapi.responses import FileResponse
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from gridward.api.content import usable_upload
from gridward.api.node import Node
from gridward.core.errors import ConflictError, InvalidInputError, UploadRefusedError
from gridward.core.plans.dtypes import DTYPES
from gridward.core.plans.plan import Dim, DType, Input, Plan, Role
from gridward.core.schemas.tensor import TensorInfo
from gridward.core.schemas.uploads import MediaType
from gridward.server.principals import Principal

LEARNT = (Role.PARAM, Role.STATE)


def learnt_inputs(plan: Plan) -> dict[str, Input]:
    """Inputs that hold what a model learnt."""
    return {given.name: given for given in plan.inputs if given.role in LEARNT}


def count(plan: Plan) -> int:
    """Numbers that a model of this plan learns."""
    shapes = (given.shape for given in learnt_inputs(plan).values())
    return sum(prod(size for size in shape if not isinstance(size, Dim)) for shape in shapes)


def types(plan: Plan) -> dict[str, tuple[DType, tuple[int, ...]]]:
    """Element type and shape of what a model of this plan learns."""
    return {
        name: (given.dtype, tuple(size for size in given.shape if not isinstance(size, Dim)))
        for name, given in learnt_inputs(plan).items()
    }


def read(path: Path, plan: Plan) -> dict[str, torch.Tensor]:
    """Map the parameters of a plan from a file.

    Raises:
        UploadRefusedError: the file is not safetensors, or not these parameters; says which one.
    """
    found = read_all(path)
    problems = mismatches(plan, found)
    if problems:
        raise UploadRefusedError(f"the upload does not hold the plan's parameters: {'; '.join(problems[:5])}")
    return found


def read_all(path: Path) -> dict[str, torch.Tensor]:
    """Map every tensor of a file; raises ``UploadRefusedError`` if it is not safetensors."""
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, ValueError) as why:
        raise UploadRefusedError("the upload is not a readable safetensors file") from why
    return found


def file_response(blob: Path) -> FileResponse:
    """Answer with a blob that may leave: by range, under its hash as the entity tag (RFC 9110, 8.8.3, 14)."""
    return FileResponse(blob, media_type=MediaType.SAFETENSORS.value, headers={"etag": f'"{blob.name}"'})


def require(plan: Plan, found: Mapping[str, torch.Tensor]) -> None:
    """Raise ``InvalidInputError`` unless these are the plan's parameters."""
    problems = mismatches(plan, found)
    if problems:
        raise InvalidInputError(f"these are not the plan's parameters: {'; '.join(problems[:5])}")


def require_among(plan: Plan, found: Mapping[str, torch.Tensor]) -> None:
    """Raise ``InvalidInputError`` unless the plan's parameters are among these."""
    wanted = learnt_inputs(plan)
    require(plan, {name: value for name, value in found.items() if name in wanted})


def mismatches(plan: Plan, found: Mapping[str, torch.Tensor]) -> list[str]:
    """Say what is missing, foreign, or of another dtype or shape."""
    wanted = learnt_inputs(plan)
    problems = [f"{name} is missing" for name in sorted(wanted.keys() - found.keys())]
    problems += [f"{name} is not one of them" for name in sorted(found.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & found.keys()):
        given, value = wanted[name], found[name]
        if DTYPES[given.dtype] is not value.dtype or list(given.shape) != list(value.shape):
            problems.append(f"{name} is {value.dtype} {list(value.shape)}")
    return problems


def write(path: Path, values: Mapping[str, torch.Tensor]) -> None:
    """Write parameters as safetensors; tensors that share memory are written apart.

    Cost: no copy in memory but of tensors that are not contiguous or share theirs.
    """
    seen: set[int] = set()
    apart: dict[str, torch.Tensor] = {}
    for name, value in values.items():
        at = value.untyped_storage().data_ptr()
        apart[name] = value.detach().clone() if at in seen else value.detach()
        seen.add(at)
    save_file({name: value.contiguous() for name, value in apart.items()}, path)


def uploaded(node: Node, caller: Principal, upload_id: str) -> Path:
    """Return the file of a complete upload of the caller's that holds parameters, or refuse."""
    with node.database.read() as db:
        upload = usable_upload(caller, db, upload_id)
    if upload.media_type != MediaType.SAFETENSORS.value:
        raise ConflictError("parameters come as an upload of safetensors")
    return node.blobs.part(upload.id)


def describe(inputs: Mapping[str, Input]) -> list[TensorInfo]:
    """Shapes of inputs; size 0 stands for a dynamic one."""
    return [
        TensorInfo.model_validate(
            {
                "name": given.name,
                "dtype": given.dtype.value,
                "shape": [0 if isinstance(size, Dim) else size for size in given.shape],
            }
        )
        for given in inputs.values()
    ]
