"""One example of everything that travels as JSON, for the OpenAPI documents; a test validates each."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from gridward.core.schemas.examples_access import ACCESS_EXAMPLES
from gridward.core.schemas.examples_accounts import ACCOUNT_EXAMPLES
from gridward.core.schemas.examples_disclosure import DISCLOSURE
from gridward.core.schemas.examples_node import NODE_EXAMPLES
from gridward.core.schemas.examples_runs import RUN_EXAMPLES

Example: TypeAlias = Mapping[str, Any]

_TIME: Final = "2026-02-03T10:15:00Z"
_NODE_ID: Final = "mfrggzdfmztwq2lknnwg23tpoa"
_PROVIDER_ID: Final = "nbswy3dpeb3w64tmmqqgs4zamq"
_HOST_ID: Final = "orsxg5bamv4gc3lqnrssa43fpi"
_PUBLIC_ID: Final = "pfxxk3tbnvsseidon5sgkidjmq"
_GATEWAY_ID: Final = "krugkidxn53gk4tomvzca3lfon"
_KEY: Final = "A" * 42 + "E"
_JWT: Final = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJleGFtcGxlIn0.c2lnbmF0dXJl"
_DIGEST: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_TENSOR: Final = {"name": "x", "dtype": "float32", "shape": [2], "data": "AACgQAAAQEA="}
_INFO: Final = {"name": "x", "dtype": "float32", "shape": [0, 2]}
_PAGE: Final = {"total": 1, "offset": 0, "limit": 100}

_MEAN_PLAN: Final = {
    "format": "gridward.plan",
    "version": 1,
    "opset": "aten-core-1",
    "kind": "statistics",
    "name": "mean",
    "producer": "gridward expression",
    "dims": {"N0": {"min": 1}},
    "inputs": [{"name": "x0", "role": "data", "dtype": "float64", "shape": [0], "dims": {"0": "N0"}}],
    "constants": [],
    "ops": [
        {"op": "aten.mean.dim", "args": [{"ref": "x0"}, {}, {"bool": False}, {}], "out": ["t0"]},
    ],
    "outputs": [{"name": "output", "role": "output", "ref": "t0"}],
}
_MODEL_PLAN: Final = {
    "format": "gridward.plan",
    "version": 1,
    "opset": "aten-core-1",
    "kind": "inference",
    "name": "linear",
    "producer": "torch 2.13.0",
    "dims": {"B": {"min": 1}},
    "inputs": [
        {"name": "bias", "role": "param", "dtype": "float32", "shape": [1]},
        {"name": "weight", "role": "param", "dtype": "float32", "shape": [1, 2]},
        {"name": "x", "role": "data", "dtype": "float32", "shape": [0, 2], "dims": {"0": "B"}},
    ],
    "constants": [],
    "ops": [
        {"op": "aten.permute.default", "args": [{"ref": "weight"}, {"ints": [1, 0]}], "out": ["v0"]},
        {
            "op": "aten.addmm.default",
            "args": [{"ref": "bias"}, {"ref": "x"}, {"ref": "v0"}, {"int": 1}, {"int": 1}],
            "out": ["v1"],
        },
    ],
    "outputs": [{"name": "output", "role": "output", "ref": "v1"}],
}
_DATASET: Final = {
    "id": "ds-0123456789abcdef01234567",
    "name": "birth-records",
    "description": "Monthly birth records: weight (kg), height (cm)",
    "tags": ["#birth-records", "#february"],
    "version": 1,
    "rows": 5,
    "tensors": [
        {"name": "weight", "dtype": "float64", "shape": [5]},
        {"name": "height", "dtype": "float64", "shape": [5]},
    ],
    "entity": None,
    "rows_are_entities": True,
    "disclosure": DISCLOSURE,
    "bounds": {"weight": {"low": 0.5, "high": 6.0}},
    "describe_apart": False,
    "min_rows": 5,
    "reviewers": 1,
    "published_by": "bob",
    "created_at": _TIME,
    "verbs": ["discover", "describe", "compute"],
    "access": None,
    "standing_rules": [
        {
            "user": "ana",
            "question": _DIGEST,
            "request_id": "req-0123456789abcdef01234567",
            "made_by": "bob",
            "made_at": _TIME,
        }
    ],
}
_OBJECT: Final = {
    "id": "obj-0123456789abcdef01234567",
    "tensor": {"name": "output", "dtype": "float64", "shape": []},
    "description": "",
    "tags": [],
    "stored_by": "dana@grid",
    "provenance": {"plan_digest": _DIGEST, "datasets": ["ds-0123456789abcdef01234567@1"], "rows": False},
    "created_at": _TIME,
}
_MODEL: Final = {
    "id": "diagnosis",
    "description": "",
    "tags": ["#diagnosis"],
    "version": 1,
    "plan_digest": _DIGEST,
    "inputs": [_INFO],
    "outputs": ["output"],
    "parameters": [
        {"name": "weight", "dtype": "float32", "shape": [1, 2]},
        {"name": "bias", "dtype": "float32", "shape": [1]},
    ],
    "holds_parameters": True,
    "deployment_id": None,
    "hosted_by": "carol",
    "trained_on": [],
    "created_at": _TIME,
    "verbs": ["discover", "infer"],
}
_MEMBERSHIP: Final = {
    "gateway_id": _GATEWAY_ID,
    "gateway_name": "grid",
    "gateway_url": "http://127.0.0.1:5000",
    "state": "joined",
    "last_heartbeat_at": _TIME,
    "detail": "",
}
_GATEWAY: Final = {"id": _GATEWAY_ID, "name": "grid", "version": "0.1.0", "sign_key": _KEY, "owned": True}
_DIRECTORY_NODE: Final = {
    "id": _NODE_ID,
    "name": "hospital",
    "url": "http://127.0.0.1:5001",
    "owner": "St. Mary Hospital",
    "state": "live",
    "sign_key": _KEY,
    "seal_key": _KEY,
    "offers_party": True,
    "offers_provider": False,
    "last_seen_at": _TIME,
    "attestation": _JWT,
}
_PROVIDER_NODE: Final = _DIRECTORY_NODE | {
    "id": _PROVIDER_ID,
    "name": "university",
    "url": "http://127.0.0.1:5004",
    "owner": "University of Gridford",
    "offers_party": False,
    "offers_provider": True,
}
_PUBLIC_NODE: Final = _DIRECTORY_NODE | {
    "id": _PUBLIC_ID,
    "name": "public",
    "url": "http://127.0.0.1:5002",
    "owner": "Office of Statistics",
}
_STOCK: Final = {"batch": 1, "left": 8, "left_bytes": 3328, "spent": 4, "spent_bytes": 1664}
_ENTRY: Final = {
    "kind": "dataset",
    "id": "ds-0123456789abcdef01234567",
    "name": "birth-records",
    "description": "Monthly birth records: weight (kg), height (cm)",
    "tags": ["#birth-records", "#february"],
    "rows": 5,
    "tensors": _DATASET["tensors"],
    "discover": ["@signed-in"],
}
_HIT: Final = {key: value for key, value in _ENTRY.items() if key != "discover"} | {
    "node_id": _NODE_ID,
    "node_name": "hospital",
    "node_url": "http://127.0.0.1:5001",
}


def _holder(node_id: str, name: str, owner: str, port: int) -> Example:
    return {
        "node_id": node_id,
        "name": name,
        "url": f"http://127.0.0.1:{port}",
        "owner": owner,
        "sign_key": _KEY,
        "seal_key": _KEY,
        "attestation": _JWT,
    }


_DOCUMENT: Final = {
    "id": "0123456789abcdef0123456789abcdef",
    "model_id": "diagnosis",
    "plan": _MODEL_PLAN,
    "fraction_bits": 16,
    "width": 32,
    "levels": 2,
    "gateway_id": _GATEWAY_ID,
    "host": _holder(_HOST_ID, "company", "Diagnosis Ltd", 5003),
    "parties": [
        _holder(_NODE_ID, "hospital", "St. Mary Hospital", 5001),
        _holder(_PUBLIC_ID, "public", "Office of Statistics", 5002),
    ],
    "crypto_provider": _holder(_PROVIDER_ID, "university", "University of Gridford", 5004),
    "program_digest": _DIGEST,
}
_GRANT: Final = {
    "party": 0,
    "node_id": _NODE_ID,
    "url": "http://127.0.0.1:5001",
    "seal_key": _KEY,
    "token": _JWT,
}
_COSTS: Final = {
    "rounds": 2,
    "online_bytes_per_party": 154,
    "dealer_bytes": 416,
    "setup_bytes": 730,
    "ring_macs": 2,
    "memory_bytes": 4096,
}

EXAMPLES: Final[Mapping[str, Example]] = {
    **ACCESS_EXAMPLES,
    **ACCOUNT_EXAMPLES,
    **NODE_EXAMPLES,
    **RUN_EXAMPLES,
    "Access": {
        "discover": ["@signed-in"],
        "compute": ["@signed-in"],
        "raw": ["bob", "ana", "alice"],
        "train": [],
        "export_model": [],
        "approve": [],
    },
    "Acceptance": {"program_digest": _DIGEST},
    "ActivationIn": {"measured_error": 0.00002},
    "ActivationOut": {"lanes": {"1": "tls"}},
    "ApprovalIn": {"approved": True, "owner": "St. Mary Hospital", "takes_over": False},
    "BundlesHad": {"batch": 1, "serials": [0, 1, 2, 3]},
    "BundlesIn": {"batch": 1, "serial": 0, "count": 4},
    "BundlesOut": {
        "dealt": [
            {
                "deployment_id": "0123456789abcdef0123456789abcdef",
                "model_id": "diagnosis",
                "host": "company",
                "parties": [
                    {"party": "hospital", "bundles": 12, "packet_bytes": 4992},
                    {"party": "public", "bundles": 12, "packet_bytes": 4992},
                ],
                "shelf": [{"batch": 1, "ahead": 8, "asked": 0, "waiting_bytes": 3328}],
            }
        ],
        "held": [],
    },
    "PartyStock": {"stock": [_STOCK]},
    "ModelStockOut": {
        "deployment_id": "0123456789abcdef0123456789abcdef",
        "parties": [
            {"party": "hospital", "owner": "bob", "stock": [_STOCK]},
            {"party": "public", "owner": "paula", "stock": None},
        ],
    },
    "CatalogueIn": {"entries": [_ENTRY]},
    "ComputationIn": {
        "plan": _MEAN_PLAN,
        "sources": [{"input": "x0", "dataset_id": "ds-0123456789abcdef01234567", "tensor": "weight"}],
        "values": [],
        "release": True,
    },
    "ComputationOut": {
        "answer": "value",
        "values": [{"name": "output", "dtype": "float64", "shape": [], "data": "4XoUrkfhDkA="}],
        "objects": [],
        "notes": [],
    },
    "DatasetIn": {
        "name": "birth-records",
        "description": "Monthly birth records: weight (kg), height (cm)",
        "tags": ["#birth-records", "#february"],
        "upload_id": "upl-0123456789abcdef01234567",
        "columns": ["weight", "height"],
        "access": {"discover": ["@signed-in"], "compute": ["@signed-in"], "raw": ["bob"]},
        "rows_are_entities": True,
        "bounds": {"weight": {"low": 0.5, "high": 6.0}},
        "min_rows": 10,
    },
    "DatasetOut": _DATASET,
    "DatasetPatch": {"tags": ["#birth-records", "#march"], "min_rows": 10},
    "DatasetsOut": {"items": [_DATASET], **_PAGE},
    "DeploymentDocument": _DOCUMENT,
    "DeploymentIn": {
        "model_id": "diagnosis",
        "parties": ["hospital", "public"],
        "crypto_provider": "university",
    },
    "DeploymentOut": {
        "document": _DOCUMENT,
        "state": "ready",
        "costs": _COSTS,
        "measured_error": 0.00002,
        "lanes": [{"parties": [0, 1], "kind": "tls"}],
        "parameter_grants": [],
        "created_at": _TIME,
    },
    "DirectoryNode": _DIRECTORY_NODE,
    "DirectoryOut": {"items": [_DIRECTORY_NODE], **_PAGE},
    "GatewayOut": _GATEWAY,
    "Health": {"status": "alive"},
    "HeartbeatIn": {
        "url": "http://127.0.0.1:5001",
        "offers_party": True,
        "offers_provider": False,
        "catalogue_digest": _DIGEST,
    },
    "HeartbeatOut": {"state": "live", "next_s": 5.0, "catalogue_wanted": False, "attestation": _JWT},
    "InferenceIn": {"inputs": [{"name": "x", "dtype": "float32", "shape": [1, 2], "data": "AACgQAAAQEA="}]},
    "InferenceOut": {
        "outputs": [{"name": "output", "dtype": "float32", "shape": [1, 1], "data": "AIB/RA=="}]
    },
    "JoinIn": {
        "name": "hospital",
        "url": "http://127.0.0.1:5001",
        "sign_key": _KEY,
        "seal_key": _KEY,
        "offers_party": True,
        "offers_provider": False,
    },
    "JoinOut": {"state": "pending", "gateway": _GATEWAY},
    "LaneOut": {"port": 5101},
    "MatchIn": {"host": _HOST_ID, "parties": 2},
    "MatchOut": {"parties": [_DIRECTORY_NODE, _PUBLIC_NODE], "crypto_provider": _PROVIDER_NODE},
    "MembershipIn": {"gateway_url": "http://127.0.0.1:5000"},
    "MembershipOut": _MEMBERSHIP,
    "MembershipsOut": {"items": [_MEMBERSHIP]},
    "ModelAccess": {
        "discover": ["@signed-in"],
        "infer": [],
        "infer_encrypted": ["@signed-in"],
        "download": [],
    },
    "ModelIn": {
        "id": "diagnosis",
        "tags": ["#diagnosis"],
        "plan": _MODEL_PLAN,
        "upload_id": "upl-0123456789abcdef01234567",
        "access": {"discover": ["@signed-in"], "infer": ["@signed-in"]},
    },
    "ModelLocation": {"model_id": "diagnosis", "node": _DIRECTORY_NODE},
    "ModelOut": _MODEL,
    "ModelsOut": {"items": [_MODEL], **_PAGE},
    "NodeOut": {
        "id": _NODE_ID,
        "name": "hospital",
        "version": "0.1.0",
        "sign_key": _KEY,
        "seal_key": _KEY,
        "offers_party": True,
        "offers_provider": False,
        "owned": True,
    },
    "ObjectIn": {"tensor": _TENSOR, "tags": ["#weights"]},
    "ObjectOut": _OBJECT,
    "ObjectsOut": {"items": [_OBJECT], **_PAGE},
    "ParametersIn": {"upload_id": "upl-0123456789abcdef01234567"},
    "ParametersOut": {"version": 1, "parameters": [_TENSOR]},
    "PlanDocument": _MEAN_PLAN,
    "Problem": {
        "type": "about:blank",
        "title": "Get not permitted",
        "status": 403,
        "detail": "'birth-records' may be read by its owner's list only; ask with request('why')",
        "code": "get_not_permitted",
        "instance": "req-4f1c",
    },
    "QueryAnswer": {"sealed": "c2VhbGVk", "rounds": 40, "sent_bytes": 120222, "seconds": 0.03},
    "QueryIn": {"batch": 1, "seal_key": _KEY},
    "QueryOut": {
        "id": "fedcba9876543210fedcba9876543210",
        "batch": 1,
        "serial": 0,
        "deployment_id": "0123456789abcdef0123456789abcdef",
        "grants": [_GRANT],
    },
    "SealedOut": {"sealed": "c2VhbGVk"},
    "SearchOut": {"items": [_HIT], **_PAGE},
    "Tensor": _TENSOR,
    "TokenIn": {"audience": _NODE_ID},
    "TokenOut": {"token": _JWT, "expires_in_s": 300},
    "TrainingIn": {
        "plan": _MODEL_PLAN | {"kind": "training"},
        "dataset_id": "ds-0123456789abcdef01234567",
        "feeds": [{"input": "x", "tensor": "images"}],
        "parameters": [_TENSOR],
        "hyper": [{"input": "lr", "value": 0.1}],
        "epochs": 1,
        "batch_size": 64,
        "seed": 0,
    },
    "TrainingOut": {
        "id": "run-0123456789abcdef01234567",
        "state": "done",
        "detail": "",
        "rows": 2000,
        "epochs_done": 1,
        "history": [{"epoch": 1, "steps": 63, "values": {"loss": 0.41}}],
        "validation": {"loss": 0.52, "accuracy": 0.84},
        "validation_rows": 200,
        "seconds": 3.2,
        "parameters": [_TENSOR],
        "content_bytes": 0,
        "withheld": "",
        "created_at": _TIME,
    },
    "UploadIn": {"size_bytes": 4096, "sha256": _DIGEST, "media_type": "application/vnd.apache.parquet"},
    "UploadOut": {
        "id": "upl-0123456789abcdef01234567",
        "size_bytes": 4096,
        "received_bytes": 0,
        "chunk_bytes": 8388608,
        "complete": False,
    },
}
