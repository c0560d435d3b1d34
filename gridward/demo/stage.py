"""How the demo speaks: titles, what was done, what came of it, and which node saw what."""

from rich.console import Console
from rich.table import Table


class Stage:
    """Prints the demo. Every figure that it shows was measured or received just now."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def title(self, text: str) -> None:
        """Begin a story."""
        self._console.print()
        self._console.rule(f"[bold]{text}")

    def act(self, who: str, what: str) -> None:
        """Say what somebody does."""
        self._console.print(f"[cyan]{who:>10}[/]  {what}", highlight=False)

    def result(self, text: str) -> None:
        """Say what came of it."""
        self._console.print(f"[green]{'→':>10}[/]  {text}", highlight=False)

    def refused(self, error: Exception) -> None:
        """Show a refusal, as the SDK raises it."""
        self._console.print(f"[yellow]{'refused':>10}[/]  {type(error).__name__}: {error}", highlight=False)

    def saw(self, rows: list[tuple[str, str]]) -> None:
        """Say which node saw what."""
        table = Table(show_header=True, header_style="dim", box=None, padding=(0, 2))
        table.add_column("node", justify="right", min_width=10)
        table.add_column("saw")
        for node, what in rows:
            table.add_row(node, what)
        self._console.print(table)
