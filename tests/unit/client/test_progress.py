import io

import pytest
from rich.console import Console

from gridward.client.progress import bar


def drawn(*, terminal: bool, shown: bool | None) -> str:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=120)
    with bar("Federated training", 2, shown=shown, console=console) as advance:
        advance(1, "loss 0.5")
        advance(2, "loss 0.25")
    return screen.getvalue()


def test_a_person_at_a_terminal_sees_what_how_far_and_the_note() -> None:
    seen = drawn(terminal=True, shown=None)
    assert "Federated training" in seen
    assert "2/2" in seen
    assert "loss 0.25" in seen


@pytest.mark.parametrize(("terminal", "shown"), [(False, None), (True, False)])
def test_a_log_file_and_who_does_not_want_it_see_nothing(terminal: bool, shown: bool | None) -> None:
    assert "training" not in drawn(terminal=terminal, shown=shown)
