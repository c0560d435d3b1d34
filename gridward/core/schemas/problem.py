"""The body of every refusal: RFC 9457 problem details with a stable code."""

from pydantic import BaseModel, Field

from gridward.core.errors import Code


class Problem(BaseModel):
    """`application/problem+json`."""

    type: str = Field(default="about:blank", description="A URI naming the problem type.")
    title: str = Field(description="The refusal's name in words.")
    status: int = Field(description="The HTTP status.", json_schema_extra={"format": "int32"})
    detail: str = Field(description="What happened and what to do next.")
    code: Code = Field(description="Stable code; the SDK turns it into an exception class.")
    instance: str = Field(default="", description="The request's id, as in the server's log.")
