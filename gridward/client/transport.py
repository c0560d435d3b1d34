"""HTTP calls to one server: time-outs, retries where a repeat is harmless, problems back into exceptions."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import BinaryIO, Final, Protocol, TypeAlias, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from gridward.core.errors import (
    ERRORS,
    BusyError,
    Code,
    GridError,
    InvalidInputError,
    NodeUnreachableError,
    NotSignedInError,
)

Out = TypeVar("Out", bound=BaseModel)
Body: TypeAlias = BaseModel | Mapping[str, str | bool]
Params: TypeAlias = Mapping[str, str | int | float | list[str]]

_RANDOM: Final = random.SystemRandom()
TIMEOUT: Final = httpx2.Timeout(30.0, connect=5.0)
_REPEATABLE: Final = frozenset({"GET", "HEAD"})
_GATEWAY_TROUBLE: Final = frozenset(
    {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
)
_NEVER_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class Credentials(Protocol):
    """Where the bearer token of a call comes from."""

    def token(self) -> str:
        """Give a token that is not about to expire."""
        ...

    def renew(self, refused: str) -> None:
        """Replace a token that the server refused, once for all threads that saw it refused."""
        ...


@dataclass(frozen=True, slots=True)
class Retry:
    """Exponential back-off with full jitter."""

    attempts: int = 4
    first_s: float = 0.2
    longest_s: float = 5.0

    def pause_s(self, attempt: int, jitter: float, retry_after_s: float = 0.0) -> float:
        """Say how long to wait after the given attempt (from 1); ``jitter`` is uniform in [0, 1)."""
        ceiling = min(self.longest_s, self.first_s * 2.0 ** (attempt - 1))
        return max(jitter * ceiling, min(retry_after_s, 60.0))


class Transport:
    """Calls to one node or gateway. Safe for use by several threads at once."""

    def __init__(
        self,
        url: str,
        *,
        credentials: Credentials | None = None,
        http: httpx2.Client | None = None,
        owns_http: bool | None = None,
        retry: Retry = Retry(),
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self.url = _checked_url(url)
        self.label = f"the server at {self.url}"
        self.credentials = credentials
        self._http = http if http is not None else httpx2.Client(timeout=TIMEOUT, follow_redirects=False)
        self._owns_http = owns_http if owns_http is not None else http is None
        self._retry = retry
        self._sleep = sleep
        self._jitter = jitter

    def fetch(
        self,
        into: type[Out],
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: Body | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        repeatable: bool = False,
    ) -> Out:
        """Call and read the answer as a schema; a problem response is raised as the exception of its code."""
        answer = self.send(
            method,
            path,
            params=params,
            body=body,
            content=content,
            headers=headers,
            timeout_s=timeout_s,
            repeatable=repeatable,
        )
        try:
            return into.model_validate_json(answer.content)
        except ValidationError as why:
            raise NodeUnreachableError(
                f"{self.label} answered {method} {path} with something that is not a Gridward "
                f"{into.__name__}; is the address right and the version the same?"
            ) from why

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: Body | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        repeatable: bool = False,
    ) -> httpx2.Response:
        """Call with retries: reads are repeated, writes only where the server certainly did not act.

        ``repeatable``: a write that may be done twice, since the server knows it again.
        """
        request = self._http.build_request(
            method,
            self.url + path,
            params=params,
            content=_encoded(body) if body is not None else content,
            headers=dict(headers or {}) | ({"content-type": "application/json"} if body is not None else {}),
            timeout=TIMEOUT if timeout_s is None else httpx2.Timeout(timeout_s, connect=5.0),
        )
        renewed = False
        for attempt in range(1, self._retry.attempts + 1):
            token = self._sign(request)
            try:
                return self._once(request, safe=repeatable or method in _REPEATABLE)
            except _TransientError as trouble:
                if attempt == self._retry.attempts or not trouble.repeatable:
                    raise trouble.error from trouble.__cause__
                self._sleep(self._retry.pause_s(attempt, self._jitter(), trouble.retry_after_s))
            except NotSignedInError:
                if self.credentials is None or renewed:
                    raise
                self.credentials.renew(token)
                renewed = True
        raise NotSignedInError(f"{self.label} refused a fresh token; sign in again with gw.connect")

    def save(self, path: str, into: BinaryIO) -> None:
        """Write the body of a GET to a file as it comes, without retries; raises what ``send`` raises."""
        with self.streamed(path) as answer:
            for chunk in answer.iter_bytes():
                into.write(chunk)

    @contextmanager
    def streamed(
        self, path: str, headers: Mapping[str, str] | None = None, quiet_s: float = 30.0
    ) -> Iterator[httpx2.Response]:
        """Give the answer of a GET whose body is still to come, without retries; raises as ``send``.

        ``quiet_s``: how long the server may say nothing.
        """
        wait = httpx2.Timeout(quiet_s, connect=5.0)
        request = self._http.build_request("GET", self.url + path, headers=headers, timeout=wait)
        self._sign(request)
        try:
            answer = self._http.send(request, stream=True)
            try:
                if not answer.is_success:
                    answer.read()
                    raise self._error(answer)
                yield answer
            finally:
                answer.close()
        except httpx2.TransportError as why:
            raise NodeUnreachableError(
                f"{self.label} did not send all of {path} ({_reason(why)}); try again"
            ) from why

    def lines(self, path: str, headers: Mapping[str, str], *, quiet_s: float) -> Iterator[str]:
        """Read the lines of a GET as they come, without retries; raises what ``send`` raises.

        ``quiet_s``: how long the server may say nothing.
        """
        wait = httpx2.Timeout(quiet_s, connect=5.0)
        request = self._http.build_request("GET", self.url + path, headers=dict(headers), timeout=wait)
        self._sign(request)
        try:
            answer = self._http.send(request, stream=True)
            try:
                if not answer.is_success:
                    answer.read()
                    raise self._error(answer)
                yield from answer.iter_lines()
            finally:
                answer.close()
        except httpx2.TransportError as why:
            raise NodeUnreachableError(f"{self.label} stopped telling of {path} ({_reason(why)})") from why

    def with_credentials(self, credentials: Credentials, url: str | None = None) -> "Transport":
        """Give calls over the same connection pool, signed in; ``url`` names another server."""
        return Transport(
            url or self.url,
            credentials=credentials,
            http=self._http,
            owns_http=self._owns_http and url is None,
            retry=self._retry,
            sleep=self._sleep,
            jitter=self._jitter,
        )

    def pause(self, seconds: float) -> None:
        """Wait between two calls."""
        self._sleep(seconds)

    def close(self) -> None:
        """Close the connections, unless they were given or belong to another server's calls."""
        if self._owns_http:
            self._http.close()

    def _sign(self, request: httpx2.Request) -> str:
        if self.credentials is None:
            return ""
        token = self.credentials.token()
        request.headers["authorization"] = f"Bearer {token}"
        return token

    def _once(self, request: httpx2.Request, *, safe: bool) -> httpx2.Response:
        try:
            answer = self._http.send(request)
        except _NEVER_SENT as why:
            text = (
                f"{self.label} cannot be reached ({_reason(why)}); is it running, and is the address right?"
            )
            raise _TransientError(NodeUnreachableError(text), repeatable=True) from why
        except httpx2.TransportError as why:
            text = f"{self.label} did not answer {request.method} {request.url.path} ({_reason(why)})"
            if not safe:
                text += "; it may or may not have done it: look before you repeat the call"
            raise _TransientError(NodeUnreachableError(text), repeatable=safe) from why
        if answer.is_success:
            return answer
        error = self._error(answer)
        if isinstance(error, BusyError):
            raise _TransientError(error, repeatable=True, retry_after_s=retry_after_s(answer))
        if answer.status_code in _GATEWAY_TROUBLE:
            raise _TransientError(error, repeatable=safe, retry_after_s=retry_after_s(answer))
        raise error

    def _error(self, answer: httpx2.Response) -> GridError:
        try:
            refusal = _Refusal.model_validate_json(answer.content)
        except ValidationError:
            if answer.status_code in _GATEWAY_TROUBLE:
                return NodeUnreachableError(f"{self.label} is not available (HTTP {answer.status_code})")
            request = answer.request
            return NodeUnreachableError(
                f"{self.label} answered {request.method} {request.url.path} with HTTP {answer.status_code} "
                "and no Gridward problem; is the address that of a node or gateway?"
            )
        kind = ERRORS[Code(refusal.code)] if refusal.code in set(Code) else GridError
        return kind(refusal.detail or f"{self.label} refused without a reason (HTTP {answer.status_code})")


class _Refusal(BaseModel):
    """What matters of a problem document; a newer server may know codes that this SDK does not."""

    code: str
    detail: str = ""


class _TransientError(Exception):
    """Trouble that may pass; ``error`` is what the caller sees if it does not."""

    def __init__(self, error: GridError, *, repeatable: bool, retry_after_s: float = 0.0) -> None:
        super().__init__(error.detail)
        self.error = error
        self.repeatable = repeatable
        self.retry_after_s = retry_after_s


def _checked_url(url: str) -> str:
    parsed = httpx2.URL(url)
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo:
        raise InvalidInputError(f"{url!r} is not an address such as http://127.0.0.1:5001")
    return url.rstrip("/")


def _encoded(body: Body) -> bytes:
    if isinstance(body, BaseModel):
        return body.model_dump_json(by_alias=True, exclude_none=True).encode()
    return httpx2.Request("POST", "http://localhost", json=body).content


def _reason(why: Exception) -> str:
    if isinstance(why, httpx2.TimeoutException):
        return "timed out"
    return str(why) or type(why).__name__


def retry_after_s(answer: httpx2.Response) -> float:
    """Say how long the server wants to be left alone; 0 where it does not say."""
    raw = answer.headers.get("retry-after", "")
    if raw.isdigit():
        return float(raw)
    try:
        then = parsedate_to_datetime(raw)
    except ValueError:
        return 0.0
    return max(0.0, then.timestamp() - time.time())
