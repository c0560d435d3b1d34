"""Gridward: private data science on data that stays where it is. ``import gridward as gw``.

Names are loaded at first use: importing ``gridward.core`` needs nothing of the SDK or the servers.
"""

from typing import TYPE_CHECKING, Any

from gridward import client

if TYPE_CHECKING:
    from gridward.client import SGD as SGD
    from gridward.client import SIGNED_IN as SIGNED_IN
    from gridward.client import Access as Access
    from gridward.client import Adam as Adam
    from gridward.client import AdamW as AdamW
    from gridward.client import AlreadyExistsError as AlreadyExistsError
    from gridward.client import AuthorizationError as AuthorizationError
    from gridward.client import BusyError as BusyError
    from gridward.client import ConflictError as ConflictError
    from gridward.client import Constant as Constant
    from gridward.client import CosineDecay as CosineDecay
    from gridward.client import DatasetPointer as DatasetPointer
    from gridward.client import DeploymentRefusedError as DeploymentRefusedError
    from gridward.client import Disclosure as Disclosure
    from gridward.client import DuplicateRequestError as DuplicateRequestError
    from gridward.client import DuplicateRequestException as DuplicateRequestException
    from gridward.client import EmptyCryptoPrimitiveStoreError as EmptyCryptoPrimitiveStoreError
    from gridward.client import EncryptedAnswer as EncryptedAnswer
    from gridward.client import EncryptedModel as EncryptedModel
    from gridward.client import ExponentialDecay as ExponentialDecay
    from gridward.client import FedAdagrad as FedAdagrad
    from gridward.client import FedAdam as FedAdam
    from gridward.client import FedAvg as FedAvg
    from gridward.client import FedAvgM as FedAvgM
    from gridward.client import FedMedian as FedMedian
    from gridward.client import FedProx as FedProx
    from gridward.client import FedYogi as FedYogi
    from gridward.client import GatewayClient as GatewayClient
    from gridward.client import GetNotPermittedError as GetNotPermittedError
    from gridward.client import GridError as GridError
    from gridward.client import InternalError as InternalError
    from gridward.client import InvalidInputError as InvalidInputError
    from gridward.client import Krum as Krum
    from gridward.client import LinearWarmup as LinearWarmup
    from gridward.client import LocalRule as LocalRule
    from gridward.client import ModelAccess as ModelAccess
    from gridward.client import NodeClient as NodeClient
    from gridward.client import NodeUnreachableError as NodeUnreachableError
    from gridward.client import NoMatchError as NoMatchError
    from gridward.client import NotAvailableYetError as NotAvailableYetError
    from gridward.client import NotEnoughBudgetError as NotEnoughBudgetError
    from gridward.client import NotEnoughBudgetException as NotEnoughBudgetException
    from gridward.client import NotSignedInError as NotSignedInError
    from gridward.client import ObjectNotFoundError as ObjectNotFoundError
    from gridward.client import OutOfRangeError as OutOfRangeError
    from gridward.client import PlanFailedError as PlanFailedError
    from gridward.client import PlanLimitError as PlanLimitError
    from gridward.client import PlanRejectedError as PlanRejectedError
    from gridward.client import Pointer as Pointer
    from gridward.client import PreparedQueries as PreparedQueries
    from gridward.client import ProtocolError as ProtocolError
    from gridward.client import Ranges as Ranges
    from gridward.client import RangeViolationError as RangeViolationError
    from gridward.client import RemoteModel as RemoteModel
    from gridward.client import Request as Request
    from gridward.client import RequestPendingError as RequestPendingError
    from gridward.client import ResultSuppressedError as ResultSuppressedError
    from gridward.client import RoundPlan as RoundPlan
    from gridward.client import RoundReport as RoundReport
    from gridward.client import Rule as Rule
    from gridward.client import Scaffold as Scaffold
    from gridward.client import SearchResult as SearchResult
    from gridward.client import SecondFactorRequiredError as SecondFactorRequiredError
    from gridward.client import Secure as Secure
    from gridward.client import SendNotPermittedError as SendNotPermittedError
    from gridward.client import SetupRefusedError as SetupRefusedError
    from gridward.client import StepDecay as StepDecay
    from gridward.client import Strategy as Strategy
    from gridward.client import TensorsNotCollocatedError as TensorsNotCollocatedError
    from gridward.client import TensorsNotCollocatedException as TensorsNotCollocatedException
    from gridward.client import TooLargeError as TooLargeError
    from gridward.client import TooManyAttemptsError as TooManyAttemptsError
    from gridward.client import TrainingError as TrainingError
    from gridward.client import TrainingResult as TrainingResult
    from gridward.client import TrimmedMean as TrimmedMean
    from gridward.client import Update as Update
    from gridward.client import UploadRefusedError as UploadRefusedError
    from gridward.client import WrongCredentialsError as WrongCredentialsError
    from gridward.client import accept_invitation as accept_invitation
    from gridward.client import cat as cat
    from gridward.client import connect as connect
    from gridward.client import install_torch_methods as install_torch_methods
    from gridward.client import network as network
    from gridward.client import request_password_reset as request_password_reset
    from gridward.client import send as send
    from gridward.client import setup_owner as setup_owner
    from gridward.client import stack as stack
    from gridward.client import where as where

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


def __getattr__(name: str) -> Any:  # noqa: ANN401 - PEP 562: any public name
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(client, name)


def __dir__() -> list[str]:
    return __all__
