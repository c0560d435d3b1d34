"""Forms become what REST takes: the same schemas, the same rules."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, TypeVar, get_origin

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData

from gridward.core.errors import InvalidInputError
from gridward.server.browser import FORM_TOKEN

Schema = TypeVar("Schema", bound=BaseModel)
_MOST_FIELDS: Final = 10_000
"""Two for each of a dataset's 4,096 columns, and the rest of its form."""


def checked(schema: type[Schema], given: dict[str, Any]) -> Schema:
    """Return a form's content as a schema of REST, or raise `InvalidInputError` that names the fields."""
    try:
        return schema.model_validate(given)
    except ValidationError as why:
        # Paths and reasons only: the rejected input may hold a password or private values.
        faults = [f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in why.errors()]
        raise InvalidInputError("; ".join(faults[:20])) from None


async def form_of(request: Request) -> FormData:
    """Return the form that was sent. Files come in by routes that ask for one; FastAPI read it there."""
    return await request.form(max_files=0, max_fields=_MOST_FIELDS)


def midnight_after(day: date | None) -> datetime | None:
    """Return when a last day ends, in UTC."""
    if day is None:
        return None
    try:
        return datetime.combine(day + timedelta(days=1), time.min, UTC)
    except OverflowError as why:
        raise InvalidInputError("last_day: there is no day after it") from why


def posted(schema: type[Schema]) -> Any:  # noqa: ANN401 (what FastAPI's Depends returns)
    """Give a route the form that was sent, as a schema; an empty field is one that was left out.

    It stands after the caller, who is refused first.
    """

    async def read(request: Request) -> Schema:
        return checked(schema, _given(schema, await form_of(request)))

    return Depends(read)


def _given(schema: type[BaseModel], form: FormData) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name in form:
        if name == FORM_TOKEN:
            continue
        field = schema.model_fields.get(name)
        words = [word for word in form.getlist(name) if word != ""]
        if words:
            given[name] = words if field is not None and get_origin(field.annotation) is list else words[-1]
    return given
