"""Every table module of the node, imported once, so that the metadata is whole."""

from typing import Final

from sqlalchemy import MetaData

from gridward.api.tables import (
    accounts,
    datasets,
    deployments,
    memberships,
    models,
    objects,
    requests,
    rules,
    secure_aggregations,
    trainings,
)
from gridward.api.tables.base import NodeTable

MODULES: Final = (
    accounts,
    datasets,
    deployments,
    memberships,
    models,
    objects,
    requests,
    rules,
    secure_aggregations,
    trainings,
)
METADATA: Final[MetaData] = NodeTable.metadata
