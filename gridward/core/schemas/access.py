"""Who may do what with a dataset or model: lists of names, evaluated on the node by session identity."""

from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

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


class Access(BaseModel):
    """Verbs on a dataset. The dataset's publisher and the node's owner always may.

    An entry is a user of the node (`bob`), an identity of a gateway (`dana@grid`), a role
    (`role:data_scientist`) or `@signed-in`. For every verb but `discover`, `@signed-in` means accounts of
    this node, gateway identities that its owner admitted included.
    """

    model_config = ConfigDict(extra="forbid")

    discover: Entries = Field(default=[], description="May find it and see name, description, tags, schema.")
    compute: Entries = Field(default=[], description="May compute on it and read checked aggregates.")
    raw: Entries = Field(default=[], description="May have the real values.")
    train: Entries = Field(default=[], description="May train models on it.")
    export_model: Entries = Field(default=[], description="May take away a model trained on it.")
    approve: Entries = Field(
        default=[],
        description="May answer requests for it, with a role that decides on requests; never one's own.",
    )


class ModelAccess(BaseModel):
    """Verbs on a hosted model. Its publisher and the node's owner always may."""

    model_config = ConfigDict(extra="forbid")

    discover: Entries = Field(default=[], description="May find it and see its shapes and costs.")
    infer: Entries = Field(default=[], description="May query it in the clear.")
    infer_encrypted: Entries = Field(default=[], description="May query it encrypted.")
    download: Entries = Field(default=[], description="May have its parameters.")
