"""Who may do what with a dataset or model: lists of rules, evaluated on the node by session identity."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Final, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

SIGNED_IN: Final = "@signed-in"
USERNAME_PATTERN: Final = r"^[a-z][a-z0-9_.-]{1,31}$"
PRINCIPAL_PATTERN: Final = r"^[a-z][a-z0-9_.-]{1,31}(@[a-z0-9][a-z0-9_.-]{0,31})?$"
ROLE_PATTERN: Final = r"^[a-z][a-z0-9_]{1,31}$"
GROUP_PATTERN: Final = r"^[a-z][a-z0-9_.-]{1,31}$"
ENTRY_PATTERN: Final = (
    r"^(@signed-in|role:[a-z][a-z0-9_]{1,31}|group:[a-z][a-z0-9_.-]{1,31}"
    r"|[a-z][a-z0-9_.-]{1,31}(@[a-z0-9][a-z0-9_.-]{0,31})?)$"
)
ROLE_ENTRY: Final = "role:"
GROUP_ENTRY: Final = "group:"

RoleId: TypeAlias = Annotated[str, Field(pattern=ROLE_PATTERN)]
Entry: TypeAlias = Annotated[str, Field(pattern=ENTRY_PATTERN)]
Entries: TypeAlias = Annotated[list[Entry], Field(max_length=1000)]
_CONDITIONS: Final = {"until", "times", "plan", "min_rows", "min_entities"}
_COUNTED: Final[frozenset[str]] = frozenset({"until", "times"})
_COMPUTED: Final = _COUNTED | {"plan", "min_rows", "min_entities"}
DATASET_CONDITIONS: Final[dict[str, frozenset[str]]] = {
    "discover": frozenset({"until"}),
    "describe": frozenset({"until"}),
    "compute": _COMPUTED,
    "raw": _COUNTED | {"plan"},
    "train": _COMPUTED,
    "export_model": frozenset({"until"}),
    "approve": frozenset({"until"}),
}
"""Conditions that a rule for each verb of a dataset may have."""
MODEL_CONDITIONS: Final[dict[str, frozenset[str]]] = {
    "discover": frozenset({"until"}),
    "infer": _COUNTED,
    "infer_encrypted": _COUNTED,
    "download": _COUNTED,
}


class Rule(BaseModel):
    """Who may, and under which conditions. Without any it is the same as the plain name."""

    model_config = ConfigDict(extra="forbid")

    who: Entry
    until: AwareDatetime | None = Field(default=None, description="Before this moment only.")
    times: int | None = Field(
        default=None,
        ge=1,
        le=10**6,
        description="So many answers in all, whoever of those it names has them.",
        json_schema_extra={"format": "int32"},
    )
    plan: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="Only this question, by its digest with the data's version or without; to train, a plan.",
    )
    min_rows: int | None = Field(
        default=None,
        ge=1,
        le=10**9,
        description="Fewest rows behind a value by this rule; the dataset's own number holds too.",
        json_schema_extra={"format": "int32"},
    )
    min_entities: int | None = Field(
        default=None,
        ge=1,
        le=10**9,
        description="Fewest distinct entities behind a value by this rule; the dataset's own holds too.",
        json_schema_extra={"format": "int32"},
    )

    @field_validator("until")
    @classmethod
    def _in_utc(cls, until: datetime | None) -> datetime | None:
        if until is not None and not 1970 < until.year < 9000:
            raise ValueError("a year from 1971 to 8999")
        return until and until.astimezone(UTC)

    def conditions(self) -> frozenset[str]:
        """Names of the conditions that it has."""
        return frozenset(self.model_dump(exclude_none=True, include=_CONDITIONS))


Rules: TypeAlias = Annotated[list[Entry | Rule], Field(max_length=1000)]


class RuleIn(Rule):
    """One more rule of a dataset or model."""

    verb: str = Field(max_length=32, description="Of datasets or of models: see their `access`.")


class RuleOut(RuleIn):
    """One rule as it stands, for those who manage what it is about."""

    id: str
    used: int = Field(description="Answers that it gave so far.", json_schema_extra={"format": "int32"})
    made_by: str
    made_at: datetime


class RulesOut(BaseModel):
    """Rules of a dataset or model, by verb and name."""

    items: list[RuleOut]


def require_fitting(verb: str, rule: Rule, conditions: Mapping[str, frozenset[str]]) -> None:
    """Raise `ValueError` where a rule has a condition that means nothing for its verb."""
    if verb not in conditions:
        raise ValueError(f"there is no verb '{verb}'; there are {', '.join(conditions)}")
    wrong = sorted(rule.conditions() - conditions[verb])
    if wrong:
        fitting = ", ".join(sorted(conditions[verb]))
        raise ValueError(f"a rule for {verb} has no condition {', '.join(wrong)}; it may have {fitting}")


class Access(BaseModel):
    """Verbs on a dataset. The dataset's publisher and the node's owner always may.

    An entry is a user of the node (`bob`), an identity of a gateway (`dana@grid`), a role
    (`role:data_scientist`), a group (`group:ward`) or `@signed-in`; or one of these with conditions. For
    every verb but `discover`, `@signed-in` means accounts of this node, gateway identities that its owner
    admitted included.
    """

    model_config = ConfigDict(extra="forbid")

    discover: Rules = Field(
        default=[], description="May find it: its name, its tags and the first line of its description."
    )
    describe: Rules | None = Field(
        default=None,
        description="May see what else is said of it: columns, shapes, counts of rows, ranges and checks. "
        "Whoever has a verb beyond discover may; and, without this list, whoever finds it.",
    )
    compute: Rules = Field(default=[], description="May compute on it and read checked aggregates.")
    raw: Rules = Field(default=[], description="May have the real values.")
    train: Rules = Field(default=[], description="May train models on it.")
    export_model: Rules = Field(default=[], description="May take away a model trained on it.")
    approve: Rules = Field(
        default=[],
        description="May answer requests for it, with a role that decides on requests; never one's own.",
    )

    @model_validator(mode="after")
    def _fits(self) -> "Access":
        for verb, rule in rules_of(self):
            require_fitting(verb, rule, DATASET_CONDITIONS)
        return self


class ModelAccess(BaseModel):
    """Verbs on a hosted model. Its publisher and the node's owner always may."""

    model_config = ConfigDict(extra="forbid")

    discover: Rules = Field(default=[], description="May find it and see its shapes and costs.")
    infer: Rules = Field(default=[], description="May query it in the clear.")
    infer_encrypted: Rules = Field(default=[], description="May query it encrypted.")
    download: Rules = Field(default=[], description="May have its parameters.")

    @model_validator(mode="after")
    def _fits(self) -> "ModelAccess":
        for verb, rule in rules_of(self):
            require_fitting(verb, rule, MODEL_CONDITIONS)
        return self


def rules_of(access: Access | ModelAccess) -> list[tuple[str, Rule]]:
    """Every rule of all lists with its verb; a plain name is a rule without conditions."""
    return [
        (verb, one if isinstance(one, Rule) else Rule(who=one))
        for verb, listed in access
        for one in listed or ()
    ]
