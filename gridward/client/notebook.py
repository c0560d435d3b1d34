"""HTML for notebooks. What others wrote is escaped."""

from collections.abc import Iterable, Sequence
from html import escape


def grid(headings: Sequence[str], rows: Iterable[Sequence[str]], *, after: str = "") -> str:
    """Give a table with headings, and a line after it."""
    head = "".join(f"<th>{escape(word)}</th>" for word in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" + (
        f"<p>{escape(after)}</p>" if after else ""
    )


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Give a table of facts, those that are empty left out."""
    body = "".join(f"<tr><th>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in rows if value)
    return f"<table><tbody>{body}</tbody></table>"
