"""Findings for people: grouped by rule, the worst first, drawn for the width that there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final

from rotator.cli.posturing.words import clean, counted, place_of, summary, suppressed_lines
from rotator.cli.text import canvas_of, console, say, show_lines
from rotator.domain.posture.finding import Finding
from rotator.domain.posture.judgement import Judgement, Standing
from rotator.domain.risk import Risk

if TYPE_CHECKING:
    from rich.text import Text

STYLES: Final = {
    Risk.CRITICAL: "bold white on red",
    Risk.HIGH: "bold red",
    Risk.MEDIUM: "yellow",
    Risk.LOW: "cyan",
    Risk.NOTE: "dim",
}
WIDE: Final = 150
"""From so many columns on, place, finding and mending stand side by side."""
WIDEST: Final = 220
INDENT: Final = 10
LEAST: Final = 30
MOST_PLACE: Final = 40
"""Columns that a place has at most, where it stands beside the rest."""


def show_table(judgement: Judgement) -> None:
    """Print new findings, then what else is to be told, then the sum of it."""
    canvas = canvas_of(console())
    new = [each.finding for each in judgement.standing(Standing.NEW)]
    show_lines(table_lines(new, canvas.width, ascii_only=canvas.ascii_only))
    for entry in judgement.fixed:
        say(clean(f"fixed: {entry.rule} at {entry.subject}"))
    for line in suppressed_lines(judgement):
        say(line)
    say(summary(judgement))


def table_lines(findings: Sequence[Finding], width: int, *, ascii_only: bool) -> Iterator[Text]:
    """The findings, in groups of one severity and rule."""
    from rich.cells import cell_len
    from rich.text import Text

    width = max(min(width, WIDEST), LEAST)
    arrow = "->" if ascii_only else "→"
    longest = max((cell_len(place_of(finding)) for finding in findings), default=0)
    place = min(longest, MOST_PLACE) + 2
    for (severity, rule), group in groupby(findings, key=lambda f: (f.severity, f.rule)):
        members = list(group)
        head = Text(f"{severity.name:<{INDENT - 1}}", STYLES[severity])
        told = f"{rule.id}: {rule.title}"
        told += f" ({counted(len(members), 'finding')})" if len(members) > 1 else ""
        first, *more = folded(clean(told), width - INDENT)
        yield head.append(f" {first}", "bold")
        yield from (Text(" " * INDENT + line, "bold") for line in more)
        for finding in members:
            if width >= WIDE:
                yield from _beside(finding, width, place, arrow)
            else:
                yield from _below(finding, width, arrow)
        yield Text("")


def _below(finding: Finding, width: int, arrow: str) -> Iterator[Text]:
    """Place, finding and mending one below the other."""
    from rich.text import Text

    room = max(width - INDENT, LEAST - INDENT)
    pad = " " * INDENT
    for line in folded(place_of(finding), room):
        yield Text(pad + line, "cyan")
    for line in folded(clean(finding.message), room):
        yield Text(pad + line)
    lead = f"{arrow} "
    for line in folded(clean(finding.mend), room - len(lead)):
        yield Text(pad + lead + line, "dim")
        lead = " " * len(lead)


def _beside(finding: Finding, width: int, place: int, arrow: str) -> Iterator[Text]:
    """Place, finding and mending side by side."""
    from rich.cells import set_cell_size
    from rich.text import Text

    second = (width - INDENT - place) // 2
    third = width - INDENT - place - second
    mend = folded(clean(finding.mend), third - 3)
    columns = (
        folded(place_of(finding), place - 2),
        folded(clean(finding.message), second - 2),
        [f"{arrow if n == 0 else ' ' * len(arrow)} {line}" for n, line in enumerate(mend)],
    )
    for number in range(max(len(column) for column in columns)):
        cells = [column[number] if number < len(column) else "" for column in columns]
        line = Text(" " * INDENT)
        line.append(set_cell_size(cells[0], place), "cyan")
        line.append(set_cell_size(cells[1], second))
        line.append(cells[2], "dim")
        line.rstrip()
        yield line


def folded(text: str, room: int) -> list[str]:
    """Lines of at most so many columns. Those that are given stay apart, and as they are where
    they fit; else words stay whole."""
    from rich.cells import cell_len

    found: list[str] = []
    for given in text.split("\n"):
        if cell_len(given) <= room:
            found.append(given)
            continue
        lead = given[: len(given) - len(given.lstrip(" "))][: room // 2]
        line = lead
        for word in given.split():
            for part in _parts(word, room - len(lead)):
                if line.strip() and cell_len(line) + 1 + cell_len(part) > room:
                    found.append(line)
                    line = lead
                line += f" {part}" if line.strip() else part
        found.append(line)
    return found


def _parts(word: str, room: int) -> Iterator[str]:
    """A word that is longer than a line, in pieces."""
    from rich.cells import cell_len

    piece = ""
    for ch in word:
        if cell_len(piece + ch) > room and piece:
            yield piece
            piece = ""
        piece += ch
    yield piece
