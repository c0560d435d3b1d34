"""The body of every refusal: RFC 9457 problem details with a stable code."""

from pydantic import BaseModel, ConfigDict, Field

from gridward.core.errors import Code


class Problem(BaseModel):
    """`application/problem+json`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Get not permitted",
                    "status": 403,
                    "detail": "'birth-records' may be read by its owner's list only; ask with request('why')",
                    "code": "get_not_permitted",
                    "instance": "req-4f1c",
                }
            ]
        }
    )

    type: str = Field(default="about:blank", description="A URI naming the problem type.")
    title: str = Field(description="The refusal's name in words.")
    status: int = Field(description="The HTTP status.", json_schema_extra={"format": "int32"})
    detail: str = Field(description="What happened and what to do next.")
    code: Code = Field(description="Stable code; the SDK turns it into an exception class.")
    instance: str = Field(default="", description="The request's id, as in the server's log.")
