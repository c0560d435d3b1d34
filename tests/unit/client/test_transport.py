from collections.abc import Callable, Iterator
from itertools import count

import httpx2
import pytest

from gridward.client.transport import Retry, Transport
from gridward.core.errors import (
    ERRORS,
    BusyError,
    Code,
    GetNotPermittedError,
    GridError,
    InvalidInputError,
    NodeUnreachableError,
    NotSignedInError,
)
from gridward.core.schemas.gateway import TokenOut

Handler = Callable[[httpx2.Request], httpx2.Response]
FINE = {"token": "t", "expires_in_s": 300}


def problem(code: str, status: int, detail: str = "because", **headers: str) -> httpx2.Response:
    return httpx2.Response(status, json={"code": code, "detail": detail, "title": "x"}, headers=headers)


class Server:
    """Answers from a list, the last one for ever; an exception is raised instead."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self.answers = answers
        self.requests: list[httpx2.Request] = []
        self.tokens: list[str | None] = []
        self.pauses: list[float] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
        self.requests.append(request)
        self.tokens.append(request.headers.get("authorization"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def transport(self, credentials: "Tokens | None" = None) -> Transport:
        return Transport(
            "http://node.test",
            credentials=credentials,
            http=httpx2.Client(transport=httpx2.MockTransport(self)),
            retry=Retry(attempts=3, first_s=1.0),
            sleep=self.pauses.append,
            jitter=lambda: 0.5,
        )


class Tokens:
    """Numbers its tokens: t0, t1 …"""

    def __init__(self) -> None:
        self.numbers: Iterator[int] = count()
        self.current = f"t{next(self.numbers)}"

    def token(self) -> str:
        return self.current

    def renew(self, refused: str) -> None:
        assert refused == self.current
        self.current = f"t{next(self.numbers)}"


@pytest.mark.parametrize("code", list(Code))
def test_a_problem_becomes_the_exception_of_its_code_with_the_servers_words(code: Code) -> None:
    server = Server(problem(code.value, 403, "ask the owner"))
    with pytest.raises(ERRORS[code], match="ask the owner") as caught:
        server.transport().send("POST", "/v1/x")
    assert type(caught.value) is ERRORS[code]


def test_a_code_of_a_newer_server_is_still_a_grid_error() -> None:
    with pytest.raises(GridError, match="because"):
        Server(problem("moon_phase", 418)).transport().send("GET", "/v1/x")


def test_an_answer_that_is_no_problem_names_server_and_status() -> None:
    with pytest.raises(NodeUnreachableError, match=r"node\.test.*HTTP 404"):
        Server(httpx2.Response(404, text="<html>")).transport().send("GET", "/v1/x")


def test_an_answer_of_another_shape_is_refused() -> None:
    with pytest.raises(NodeUnreachableError, match="not a Gridward TokenOut"):
        Server(httpx2.Response(200, json={"hello": 1})).transport().fetch(TokenOut, "GET", "/v1/x")


def test_a_node_that_is_down_is_named_and_a_write_is_repeated_because_it_never_arrived() -> None:
    server = Server(httpx2.ConnectError("connection refused"))
    with pytest.raises(NodeUnreachableError, match=r"http://node\.test cannot be reached.*refused"):
        server.transport().send("POST", "/v1/x")
    assert len(server.requests) == 3
    assert server.pauses == [0.5, 1.0]


def test_a_read_is_repeated_after_a_time_out() -> None:
    server = Server(httpx2.ReadTimeout("slow"), httpx2.Response(200, json=FINE))
    assert server.transport().fetch(TokenOut, "GET", "/v1/x").token == "t"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_write_is_not_repeated_once_it_may_have_arrived(method: str) -> None:
    server = Server(httpx2.ReadTimeout("slow"))
    with pytest.raises(NodeUnreachableError, match="may or may not have done it"):
        server.transport().send(method, "/v1/x")
    assert len(server.requests) == 1


def test_a_busy_server_is_asked_again_when_it_says_even_for_a_write() -> None:
    server = Server(problem("busy", 503, **{"retry-after": "7"}), httpx2.Response(200, json=FINE))
    server.transport().send("POST", "/v1/x", body={})
    assert server.pauses == [7.0]


def test_a_server_that_stays_busy_ends_in_busy_error() -> None:
    with pytest.raises(BusyError):
        Server(problem("busy", 503)).transport().send("POST", "/v1/x", body={})


def test_a_write_is_not_repeated_after_a_gateway_time_out() -> None:
    server = Server(httpx2.Response(504))
    with pytest.raises(NodeUnreachableError, match="HTTP 504"):
        server.transport().send("POST", "/v1/x")
    assert len(server.requests) == 1


def test_a_refusal_is_not_repeated() -> None:
    server = Server(problem("get_not_permitted", 403))
    with pytest.raises(GetNotPermittedError):
        server.transport().send("GET", "/v1/x")
    assert len(server.requests) == 1


def test_a_refused_token_is_renewed_once_and_the_call_repeated() -> None:
    server = Server(problem("not_signed_in", 401), httpx2.Response(200, json=FINE))
    server.transport(Tokens()).send("POST", "/v1/x")
    assert server.tokens == ["Bearer t0", "Bearer t1"]


def test_a_token_that_stays_refused_ends_in_not_signed_in() -> None:
    server = Server(problem("not_signed_in", 401))
    with pytest.raises(NotSignedInError):
        server.transport(Tokens()).send("GET", "/v1/x")
    assert len(server.requests) == 2


def test_redirects_are_not_followed_with_the_token() -> None:
    server = Server(httpx2.Response(307, headers={"location": "http://evil.test/"}))
    with pytest.raises(NodeUnreachableError, match="HTTP 307"):
        server.transport(Tokens()).send("GET", "/v1/x")
    assert len(server.requests) == 1


@pytest.mark.parametrize("url", ["node:5001", "ftp://node.test", "http://", "http://user:pw@node.test"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match="not an address"):
        Transport(url)


def test_the_pause_grows_up_to_a_ceiling_and_honours_retry_after_within_reason() -> None:
    retry = Retry(first_s=0.5, longest_s=3.0)
    assert [retry.pause_s(attempt, 1.0) for attempt in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 3.0]
    assert retry.pause_s(1, 0.0, retry_after_s=2.0) == 2.0
    assert retry.pause_s(1, 0.0, retry_after_s=9000.0) == 60.0
