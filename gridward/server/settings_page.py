"""The page that documents every setting, rendered from the settings classes themselves."""

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gridward.server.settings import GatewaySettings, NodeSettings, ServerSettings

_HEAD = """# Settings

Written by `scripts/generate` from `gridward/server/settings.py`; do not edit.

Every setting is an environment variable. No secret is a setting: keys lie in the data folder, made by
`gridward init`, secrets of other servers in files that settings name, and the database's password can come
from PostgreSQL's own password file.
"""


def render() -> str:
    """Return the page as Markdown: what both services have in common, then each one's own."""
    common = set(ServerSettings.model_fields)
    node = {name: field for name, field in NodeSettings.model_fields.items() if name not in common}
    gateway = {name: field for name, field in GatewaySettings.model_fields.items() if name not in common}
    return "\n".join(
        [
            _HEAD,
            _table("Both services", ServerSettings.model_fields),
            _table("Node (`gridward node`)", node),
            _table("Gateway (`gridward gateway`)", gateway),
        ]
    )


def _table(title: str, fields: dict[str, FieldInfo]) -> str:
    rows = [
        f"| `GRIDWARD_{name.upper()}` | {_default(field)} | {field.description} |"
        for name, field in fields.items()
    ]
    return "\n".join([f"## {title}\n", "| variable | default | meaning |", "| --- | --- | --- |", *rows, ""])


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if field.default is None:
        return "unset"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"
