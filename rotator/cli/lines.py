"""Lines of text in columns: padded, cut and folded so that none is too wide."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from rotator.cli.glyphs import ASCII, UNICODE, Glyphs

if TYPE_CHECKING:
    from rich.text import Text

LEAST_ROOM: Final = 10
"""Text is never folded to less than this; what is too wide then is cut."""


def styled(text: str, style: str) -> Text:
    from rich.text import Text

    return Text(text, style, no_wrap=True)


def fit(text: str, width: int, glyphs: Glyphs) -> str:
    """Padded or cut to a width in columns."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + glyphs.ellipsis


def cut(line: Text, width: int, glyphs: Glyphs) -> Text:
    line.no_wrap = True
    if line.cell_len > width:
        line.truncate(max(width - 1, 0))
        line.append(glyphs.ellipsis if width > 0 else "")
    return line


def wrapped_lines(
    text: str,
    width: int,
    *,
    label: str = "",
    style: str = "",
    fold: bool = False,
    ascii_only: bool = False,
) -> list[Text]:
    """Text as lines of at most `width` columns, under a label; longer ones are folded or cut."""
    import textwrap

    from rich.text import Text

    from rotator.redaction import scrubbed

    room = max(LEAST_ROOM, width - len(label))
    found: list[Text] = []
    for given in scrubbed(text).splitlines() or [""]:
        folded = textwrap.wrap(given, room) if fold else [given]
        for line in folded or [""]:
            lead = label if not found else " " * len(label)
            drawn = Text.assemble((lead, "dim"), (line, style))
            found.append(cut(drawn, width, ASCII if ascii_only else UNICODE))
    return found


def plain_lines(lines: Iterable[Text]) -> list[str]:
    """The lines without colour and without blanks at their ends."""
    return [line.plain.rstrip() for line in lines]
