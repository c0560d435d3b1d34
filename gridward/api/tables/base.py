"""The registry of the node's tables: its own, so that node and gateway can live in one process."""

from typing import Final

from sqlalchemy import MetaData
from sqlalchemy.orm import registry
from sqlmodel import SQLModel

_NAMES: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class NodeTable(SQLModel, registry=registry(metadata=MetaData(naming_convention=_NAMES))):
    """Base of every table of a node."""
