"""Forms become what REST takes: the same schemas, the same rules."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from gridward.core.errors import InvalidInputError

Schema = TypeVar("Schema", bound=BaseModel)


def checked(schema: type[Schema], given: dict[str, Any]) -> Schema:
    """Return a form's content as a schema of REST, or raise `InvalidInputError` that names the fields."""
    try:
        return schema.model_validate(given)
    except ValidationError as why:
        # Paths and reasons only: the rejected input may hold a password or private values.
        faults = [f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in why.errors()]
        raise InvalidInputError("; ".join(faults[:20])) from None
