"""Words on their way to who follows a run: in order, the newest of each kind, none in the way of the work."""

import threading

import pytest

from gridward.client.federation import telling
from gridward.client.federation.telling import Line
from gridward.core.schemas.runs import RoundRecord, RunWord


def word(text: str) -> RunWord:
    return RunWord(detail=text)


class Ear:
    """Hears what is said once it is `ready`, but for the first so many words."""

    def __init__(self, deaf: int = 0) -> None:
        self.deaf = deaf
        self.asked = threading.Event()
        self.ready = threading.Event()
        self.heard: list[str] = []

    def __call__(self, what: str, body: RunWord | RoundRecord) -> bool:
        assert isinstance(body, RunWord)
        self.asked.set()
        self.ready.wait(20)
        self.deaf -= 1
        if self.deaf < 0:
            self.heard.append(f"{what} {body.detail}")
        return self.deaf < 0


def test_what_waits_is_replaced_by_what_is_newer_of_its_kind() -> None:
    ear = Ear()
    line = Line(ear)
    line.say("a", "/a", word("1"))
    assert ear.asked.wait(20)
    for key, text in (("a", "2"), ("b", "1"), ("a", "3"), ("b", "2"), ("c", "1")):
        line.say(key, f"/{key}", word(text))
    ear.ready.set()
    line.end(20)
    assert ear.heard == ["/a 1", "/a 3", "/b 2", "/c 1"]


def test_what_was_not_heard_is_said_again_unless_there_is_something_newer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(telling, "_FIRST_PAUSE_S", 0.01)
    ear = Ear(deaf=2)
    line = Line(ear)
    line.say("a", "/a", word("1"))
    assert ear.asked.wait(20)
    line.say("b", "/b", word("1"))
    line.say("a", "/a", word("2"))
    ear.ready.set()
    line.end(20)
    assert ear.heard == ["/a 2", "/b 1"]


def test_nobody_waits_for_who_does_not_hear() -> None:
    ear = Ear(deaf=10**6)
    ear.ready.set()
    line = Line(ear)
    line.say("a", "/a", word("1"))
    line.settle(600)
    line.say("b", "/b", word("1"))
    line.settle(600)
    ear.ready.clear()
    line.end(0.05)
    ear.ready.set()
    assert not ear.heard
