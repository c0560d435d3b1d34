"""Headers that every response carries, whoever made it."""

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import Scope

_SECURITY_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def set_headers(headers: MutableHeaders, scope: Scope) -> None:
    """Set what every response carries."""
    headers["X-Request-Id"] = str(scope.get("request_id", ""))
    for name, value in _SECURITY_HEADERS.items():
        headers.setdefault(name, value)
