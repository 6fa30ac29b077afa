"""The pieces a report is made of, as HTML text: tables, figures, notes. Whatever comes from outside is escaped here."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


class Html(str):
    """Text that is HTML already; any other `str` is escaped where it is put into a page."""

    __slots__ = ()


@dataclass(frozen=True)
class Table:
    """A table of text cells: `numeric` counts the last columns that hold numbers, which are set to the right.

    Parameters
    ----------
    caption, headings, rows : plain text, or `Html`; every row as long as the headings; its first cell is its heading.
    small : for tables of many rows.
    grouped : a thin line above every row whose first cell is not empty.

    Example
    -------
    >>> render_table(Table("Errors", ("case", "MAE (HU)"), [("<p1>", "61.3")], numeric=1))[-85:]
    '<tr><th scope="row">&lt;p1&gt;</th><td class="n">61.3</td></tr></tbody></table></div>'
    """

    caption: str
    headings: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    numeric: int = 0
    small: bool = False
    grouped: bool = False


def text(value: str) -> Html:
    """`value` escaped for HTML, unless it is `Html` already.

    Example
    -------
    >>> text("a < b"), text(Html("<b>a</b>"))
    ('a &lt; b', '<b>a</b>')
    """
    return value if isinstance(value, Html) else Html(escape(value, quote=True))


def render_table(table: Table) -> Html:
    """A table with its caption and proper headers, in a box that scrolls where the page is narrow."""
    first_number = len(table.headings) - table.numeric
    heads = "".join(
        f'<th scope="col"{_right(n >= first_number)}>{text(heading)}</th>' for n, heading in enumerate(table.headings)
    )
    body = "".join(_row(row, first_number, grouped=table.grouped) for row in table.rows)
    size = ' class="small"' if table.small else ""
    return Html(
        f'<div class="scroll"><table{size}><caption>{text(table.caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(row: Sequence[str], first_number: int, *, grouped: bool) -> str:
    cells = [f'<th scope="row"{_right(first_number == 0)}>{text(row[0])}</th>']
    cells += [f"<td{_right(n >= first_number)}>{text(cell)}</td>" for n, cell in enumerate(row[1:], start=1)]
    group = ' class="group"' if grouped and row[0] else ""
    return f"<tr{group}>{''.join(cells)}</tr>"


def _right(is_number: bool) -> str:
    return ' class="n"' if is_number else ""


def figure(content: Sequence[Html], caption: str) -> Html:
    """A numbered figure of one or more pictures or charts, side by side where there is room."""
    inside = content[0] if len(content) == 1 else f'<div class="panels">{"".join(content)}</div>'
    return Html(f"<figure>{inside}<figcaption>{text(caption)}</figcaption></figure>")


def png(picture: bytes, alternative: str) -> Html:
    """A PNG inside the page itself, with a text for those who do not see it."""
    data = base64.b64encode(picture).decode("ascii")
    return Html(f'<img alt="{text(alternative)}" src="data:image/png;base64,{data}">')


def note(heading: str, lines: Sequence[str], *, alert: bool = False) -> Html:
    """A box a reader must not miss: a heading and a list."""
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    kind = "note alert" if alert else "note"
    return Html(f'<div class="{kind}"><p><strong>{text(heading)}</strong></p><ul>{items}</ul></div>')


def section(heading: str, parts: Sequence[Html], *, level: int = 2) -> Html:
    """A heading and what stands under it; nothing at all where nothing does."""
    inside = "\n".join(part for part in parts if part)
    return Html(f"<h{level}>{text(heading)}</h{level}>\n{inside}\n" if inside else "")


def paragraph(words: str) -> Html:
    """A paragraph of text."""
    return Html(f"<p>{text(words)}</p>")
