"""The SDK's public list; each name is loaded at first use, so that importing a part stays light."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gridward.client.connect import connect as connect
    from gridward.client.connect import network as network
    from gridward.client.connect import setup_owner as setup_owner
    from gridward.client.federated import RoundReport as RoundReport
    from gridward.client.federated import TrainingResult as TrainingResult
    from gridward.client.gateway import GatewayClient as GatewayClient
    from gridward.client.node import NodeClient as NodeClient
    from gridward.client.pointers import DatasetPointer as DatasetPointer
    from gridward.client.pointers import Pointer as Pointer
    from gridward.client.pointers import cat as cat
    from gridward.client.pointers import stack as stack
    from gridward.client.pointers import where as where
    from gridward.client.rules import SIGNED_IN as SIGNED_IN
    from gridward.client.rules import Access as Access
    from gridward.client.rules import ModelAccess as ModelAccess
    from gridward.client.search import SearchResult as SearchResult
    from gridward.client.torch_methods import install_torch_methods as install_torch_methods
    from gridward.client.training import RemoteModel as RemoteModel
    from gridward.client.training import send as send
