"""A report on a node in the order of the Five Safes: projects, people, settings, data, outputs."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from gridward.core.schemas.audit import AuditHead
from gridward.core.schemas.datasets import Disclosure
from gridward.core.schemas.examples_reports import REPORT_EXAMPLE

_COUNT: dict[str, Any] = {"format": "int64"}


class ProjectLine(BaseModel):
    """One request: who wanted what for what, and what became of it."""

    request_id: str
    asked_by: str
    reason: str
    datasets: list[str]
    status: str
    decided_by: str
    used: int = Field(json_schema_extra=_COUNT)
    created_at: datetime


class PersonLine(BaseModel):
    """One account."""

    username: str
    role: str
    disabled: bool
    second_factor: bool
    sign_ins: int = Field(description="In the period.", json_schema_extra=_COUNT)
    refused_sign_ins: int = Field(description="In the period.", json_schema_extra=_COUNT)


class SettingLine(BaseModel):
    """One fact of how the node is set up; never a secret."""

    name: str
    value: str


class DataLine(BaseModel):
    """One dataset and the rules under which answers leave it."""

    dataset_id: str
    name: str
    version: int = Field(json_schema_extra={"format": "int32"})
    rows: int = Field(json_schema_extra=_COUNT)
    published_by: str
    entity: str = Field(description="Whose the rows are: a column, 'every row', or 'not said'.")
    min_rows: int = Field(json_schema_extra={"format": "int32"})
    reviewers: int = Field(json_schema_extra={"format": "int32"})
    disclosure: Disclosure
    access: dict[str, list[str]] = Field(description="Who may, verb by verb.")
    standing_rules: int = Field(json_schema_extra=_COUNT)


class OutputCount(BaseModel):
    """How many decisions of one kind there were."""

    action: str
    decision: str
    reason: str
    times: int = Field(json_schema_extra=_COUNT)


class OutputLine(BaseModel):
    """One value that left, named and not shown."""

    entry: int = Field(description="Its number in the audit log.", json_schema_extra=_COUNT)
    at: datetime
    actor: str
    action: str
    subject: str
    reason: str
    request_id: str | None
    plan_digest: str | None
    result_digest: str | None


class FiveSafesOut(BaseModel):
    """What an owner shows to those who ask whether a node is run safely. It holds no value from data."""

    model_config = ConfigDict(json_schema_extra={"examples": [REPORT_EXAMPLE]})

    node: str
    version: str
    since: datetime | None
    until: datetime
    head: AuditHead = Field(description="Signs the log that the report was made of, up to this entry.")
    flaws: list[str] = Field(description="What is wrong with the log; empty where all is well.")
    projects: list[ProjectLine] = Field(description="Requests of the period, newest first.")
    projects_total: int = Field(json_schema_extra=_COUNT)
    people: list[PersonLine]
    settings: list[SettingLine]
    data: list[DataLine]
    decisions: list[OutputCount] = Field(description="Of the period, by act, answer and reason.")
    outputs: list[OutputLine] = Field(description="What left in the period, newest first.")
    outputs_total: int = Field(json_schema_extra=_COUNT)
