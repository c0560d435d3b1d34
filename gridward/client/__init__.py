"""The SDK's public list; each name is loaded at first use, so that importing a part stays light."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gridward.client.asking import EncryptedAnswer as EncryptedAnswer
    from gridward.client.asking import PreparedQueries as PreparedQueries
    from gridward.client.dataset_pointers import DatasetPointer as DatasetPointer
    from gridward.client.encrypted import EncryptedModel as EncryptedModel
    from gridward.client.entry import accept_invitation as accept_invitation
    from gridward.client.entry import connect as connect
    from gridward.client.entry import network as network
    from gridward.client.entry import request_password_reset as request_password_reset
    from gridward.client.entry import setup_owner as setup_owner
    from gridward.client.federation.history import RoundReport as RoundReport
    from gridward.client.federation.history import TrainingResult as TrainingResult
    from gridward.client.federation.secure import Secure as Secure
    from gridward.client.gateway import GatewayClient as GatewayClient
    from gridward.client.node import NodeClient as NodeClient
    from gridward.client.pointers import Pointer as Pointer
    from gridward.client.pointers import stack as stack
    from gridward.client.pointers import where as where
    from gridward.client.ranges import Ranges as Ranges
    from gridward.client.remote_models import RemoteModel as RemoteModel
    from gridward.client.remote_models import send as send
    from gridward.client.requests import Request as Request
    from gridward.client.rules import SIGNED_IN as SIGNED_IN
    from gridward.client.rules import Access as Access
    from gridward.client.rules import Disclosure as Disclosure
    from gridward.client.rules import ModelAccess as ModelAccess
    from gridward.client.rules import Rule as Rule
    from gridward.client.search import SearchResult as SearchResult
    from gridward.client.spread import cat as cat
    from gridward.client.torch_methods import install_torch_methods as install_torch_methods
    from gridward.core.errors import AlreadyExistsError as AlreadyExistsError
    from gridward.core.errors import AuthorizationError as AuthorizationError
    from gridward.core.errors import BusyError as BusyError
    from gridward.core.errors import ConflictError as ConflictError
    from gridward.core.errors import DeploymentRefusedError as DeploymentRefusedError
    from gridward.core.errors import DuplicateRequestError as DuplicateRequestError
    from gridward.core.errors import DuplicateRequestException as DuplicateRequestException
    from gridward.core.errors import EmptyCryptoPrimitiveStoreError as EmptyCryptoPrimitiveStoreError
    from gridward.core.errors import GetNotPermittedError as GetNotPermittedError
    from gridward.core.errors import GridError as GridError
    from gridward.core.errors import InternalError as InternalError
    from gridward.core.errors import InvalidInputError as InvalidInputError
    from gridward.core.errors import NodeUnreachableError as NodeUnreachableError
    from gridward.core.errors import NoMatchError as NoMatchError
    from gridward.core.errors import NotAvailableYetError as NotAvailableYetError
    from gridward.core.errors import NotEnoughBudgetError as NotEnoughBudgetError
    from gridward.core.errors import NotEnoughBudgetException as NotEnoughBudgetException
    from gridward.core.errors import NotSignedInError as NotSignedInError
    from gridward.core.errors import ObjectNotFoundError as ObjectNotFoundError
    from gridward.core.errors import OutOfRangeError as OutOfRangeError
    from gridward.core.errors import PlanFailedError as PlanFailedError
    from gridward.core.errors import PlanLimitError as PlanLimitError
    from gridward.core.errors import PlanRejectedError as PlanRejectedError
    from gridward.core.errors import ProtocolError as ProtocolError
    from gridward.core.errors import RangeViolationError as RangeViolationError
    from gridward.core.errors import RequestPendingError as RequestPendingError
    from gridward.core.errors import ResultSuppressedError as ResultSuppressedError
    from gridward.core.errors import SecondFactorRequiredError as SecondFactorRequiredError
    from gridward.core.errors import SendNotPermittedError as SendNotPermittedError
    from gridward.core.errors import SetupRefusedError as SetupRefusedError
    from gridward.core.errors import TensorsNotCollocatedError as TensorsNotCollocatedError
    from gridward.core.errors import TensorsNotCollocatedException as TensorsNotCollocatedException
    from gridward.core.errors import TooLargeError as TooLargeError
    from gridward.core.errors import TooManyAttemptsError as TooManyAttemptsError
    from gridward.core.errors import TrainingError as TrainingError
    from gridward.core.errors import UploadRefusedError as UploadRefusedError
    from gridward.core.errors import WrongCredentialsError as WrongCredentialsError
    from gridward.core.federation.aggregate import Update as Update
    from gridward.core.federation.robust import FedMedian as FedMedian
    from gridward.core.federation.robust import Krum as Krum
    from gridward.core.federation.robust import TrimmedMean as TrimmedMean
    from gridward.core.federation.scaffold import Scaffold as Scaffold
    from gridward.core.federation.schedules import Constant as Constant
    from gridward.core.federation.schedules import CosineDecay as CosineDecay
    from gridward.core.federation.schedules import ExponentialDecay as ExponentialDecay
    from gridward.core.federation.schedules import LinearWarmup as LinearWarmup
    from gridward.core.federation.schedules import StepDecay as StepDecay
    from gridward.core.federation.server_optimizers import FedAdagrad as FedAdagrad
    from gridward.core.federation.server_optimizers import FedAdam as FedAdam
    from gridward.core.federation.server_optimizers import FedAvgM as FedAvgM
    from gridward.core.federation.server_optimizers import FedYogi as FedYogi
    from gridward.core.federation.strategies import FedAvg as FedAvg
    from gridward.core.federation.strategies import FedProx as FedProx
    from gridward.core.federation.strategies import LocalRule as LocalRule
    from gridward.core.federation.strategies import RoundPlan as RoundPlan
    from gridward.core.federation.strategies import Strategy as Strategy
    from gridward.core.plans.optimizers import SGD as SGD
    from gridward.core.plans.optimizers import Adam as Adam
    from gridward.core.plans.optimizers import AdamW as AdamW


__all__ = [
    "SGD",
    "SIGNED_IN",
    "Access",
    "Adam",
    "AdamW",
    "AlreadyExistsError",
    "AuthorizationError",
    "BusyError",
    "ConflictError",
    "Constant",
    "CosineDecay",
    "DatasetPointer",
    "DeploymentRefusedError",
    "Disclosure",
    "DuplicateRequestError",
    "DuplicateRequestException",
    "EmptyCryptoPrimitiveStoreError",
    "EncryptedAnswer",
    "EncryptedModel",
    "ExponentialDecay",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedAvgM",
    "FedMedian",
    "FedProx",
    "FedYogi",
    "GatewayClient",
    "GetNotPermittedError",
    "GridError",
    "InternalError",
    "InvalidInputError",
    "Krum",
    "LinearWarmup",
    "LocalRule",
    "ModelAccess",
    "NoMatchError",
    "NodeClient",
    "NodeUnreachableError",
    "NotAvailableYetError",
    "NotEnoughBudgetError",
    "NotEnoughBudgetException",
    "NotSignedInError",
    "ObjectNotFoundError",
    "OutOfRangeError",
    "PlanFailedError",
    "PlanLimitError",
    "PlanRejectedError",
    "Pointer",
    "PreparedQueries",
    "ProtocolError",
    "RangeViolationError",
    "Ranges",
    "RemoteModel",
    "Request",
    "RequestPendingError",
    "ResultSuppressedError",
    "RoundPlan",
    "RoundReport",
    "Rule",
    "Scaffold",
    "SearchResult",
    "SecondFactorRequiredError",
    "Secure",
    "SendNotPermittedError",
    "SetupRefusedError",
    "StepDecay",
    "Strategy",
    "TensorsNotCollocatedError",
    "TensorsNotCollocatedException",
    "TooLargeError",
    "TooManyAttemptsError",
    "TrainingError",
    "TrainingResult",
    "TrimmedMean",
    "Update",
    "UploadRefusedError",
    "WrongCredentialsError",
    "accept_invitation",
    "cat",
    "connect",
    "install_torch_methods",
    "network",
    "request_password_reset",
    "send",
    "setup_owner",
    "stack",
    "where",
]

_HOMES: Final[dict[str, tuple[str, ...]]] = {
    "gridward.client.entry": (
        "connect",
        "network",
        "setup_owner",
        "accept_invitation",
        "request_password_reset",
    ),
    "gridward.client.asking": (
        "EncryptedAnswer",
        "PreparedQueries",
    ),
    "gridward.client.encrypted": ("EncryptedModel",),
    "gridward.client.federation.secure": ("Secure",),
    "gridward.client.federation.history": (
        "RoundReport",
        "TrainingResult",
    ),
    "gridward.client.gateway": ("GatewayClient",),
    "gridward.client.node": ("NodeClient",),
    "gridward.client.dataset_pointers": ("DatasetPointer",),
    "gridward.client.spread": ("cat",),
    "gridward.client.pointers": (
        "Pointer",
        "stack",
        "where",
    ),
    "gridward.client.ranges": ("Ranges",),
    "gridward.client.requests": ("Request",),
    "gridward.client.rules": (
        "Access",
        "Disclosure",
        "ModelAccess",
        "Rule",
        "SIGNED_IN",
    ),
    "gridward.client.search": ("SearchResult",),
    "gridward.client.torch_methods": ("install_torch_methods",),
    "gridward.client.remote_models": (
        "RemoteModel",
        "send",
    ),
    "gridward.core.errors": (
        "AlreadyExistsError",
        "AuthorizationError",
        "BusyError",
        "ConflictError",
        "DeploymentRefusedError",
        "DuplicateRequestError",
        "DuplicateRequestException",
        "EmptyCryptoPrimitiveStoreError",
        "GetNotPermittedError",
        "GridError",
        "InternalError",
        "InvalidInputError",
        "NoMatchError",
        "NodeUnreachableError",
        "NotAvailableYetError",
        "NotEnoughBudgetError",
        "NotEnoughBudgetException",
        "NotSignedInError",
        "ObjectNotFoundError",
        "OutOfRangeError",
        "PlanFailedError",
        "PlanLimitError",
        "PlanRejectedError",
        "ProtocolError",
        "RangeViolationError",
        "RequestPendingError",
        "ResultSuppressedError",
        "SecondFactorRequiredError",
        "SendNotPermittedError",
        "SetupRefusedError",
        "TensorsNotCollocatedError",
        "TensorsNotCollocatedException",
        "TooLargeError",
        "TooManyAttemptsError",
        "TrainingError",
        "UploadRefusedError",
        "WrongCredentialsError",
    ),
    "gridward.core.federation.strategies": ("FedAvg", "FedProx", "LocalRule", "RoundPlan", "Strategy"),
    "gridward.core.federation.server_optimizers": ("FedAdagrad", "FedAdam", "FedAvgM", "FedYogi"),
    "gridward.core.federation.robust": ("FedMedian", "Krum", "TrimmedMean"),
    "gridward.core.federation.scaffold": ("Scaffold",),
    "gridward.core.federation.aggregate": ("Update",),
    "gridward.core.federation.schedules": (
        "Constant",
        "CosineDecay",
        "ExponentialDecay",
        "LinearWarmup",
        "StepDecay",
    ),
    "gridward.core.plans.optimizers": (
        "Adam",
        "AdamW",
        "SGD",
    ),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - PEP 562: any public name
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
