"""A rollout as lines: a machine each, bars over time on one scale, groups and waves marked.

Every phase has a glyph of its own, so that it reads without colour; ASCII where the output has
nothing else. No line is wider than asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from rotator.cli.glyphs import ASCII, COLOURS, MEANINGS, UNICODE, Glyphs
from rotator.cli.lines import LEAST_ROOM, cut, fit, styled
from rotator.cli.rollout_view import RolloutView, restart_time
from rotator.cli.styles import state_style
from rotator.cli.text import elapsed
from rotator.cli.timeline import (
    WELL,
    Phase,
    Scale,
    Span,
    canary_waves,
    over,
    portions,
    scale_of,
    soak_ends,
    spans_of,
    worked_on,
)
from rotator.domain.rotation import MachineRestart, RestartState

if TYPE_CHECKING:
    from rich.text import Text

NARROWEST: Final = 24
"""Below this nothing useful can be said; what is drawn is cut."""
_ID_WIDTH: Final = 14
_REGION_WIDTH: Final = 4
_STATE_WIDTH: Final = 13
_TIME_WIDTH: Final = 6
_LEAST_BAR: Final = 10
_TICK_COLUMNS: Final = 9
_INDENT: Final = "    "


@dataclass
class _Picture:
    """A rollout on its way to lines."""

    view: RolloutView
    now: datetime
    width: int
    glyphs: Glyphs
    bars: dict[str, tuple[Span, ...]] = field(default_factory=dict)
    drawn: set[Phase] = field(default_factory=set)

    def __post_init__(self) -> None:
        view = self.view
        soaks = soak_ends(view.rollout, view.restarts, repairing=view.repairing)
        self.bars = {
            each.machine_id: spans_of(each, view.rollout, self.now, soaks.get(each.machine_id))
            for each in view.restarts
        }
        self.scale = scale_of(self.bars.values(), view.rollout.started_at, self.bar_columns)

    @property
    def bar_columns(self) -> int:
        """How wide the bars may be."""
        taken = len(_INDENT) + _ID_WIDTH + _REGION_WIDTH + 2
        return max(_LEAST_BAR, self.width - taken - _STATE_WIDTH - _TIME_WIDTH - 3)


def draw_rollout(
    view: RolloutView,
    now: datetime,
    width: int,
    *,
    ascii_only: bool = False,
    most_lines: int | None = None,
) -> list[Text]:
    """The rollout's machines as lines of at most `width` columns.

    With `most_lines`, waves in which nothing happens are told in one line each where the whole
    would be longer.
    """
    glyphs = ASCII if ascii_only else UNICODE
    picture = _Picture(view, now, max(width, 1), glyphs)
    lines = list(_lines(picture, folded=False))
    if most_lines is not None and len(lines) > most_lines:
        picture.drawn.clear()
        lines = list(_lines(picture, folded=True))
    return [cut(line, picture.width, glyphs) for line in lines]


def _lines(picture: _Picture, *, folded: bool) -> Iterator[Text]:
    worked = [each for each in picture.view.restarts if worked_on(each)]
    if worked:
        yield _axis(picture)
    for group, members in by_group(worked):
        count = sum(not rehearses(each) for each in members)
        machines = "1 machine" if count == 1 else f"{count} machines"
        named = f"process group {group}" if group else "no process group"
        yield styled(f"{named}, {machines}", "bold")
        yield from _group(picture, members, folded=folded)
    if worked:
        yield from _legend(picture)
    others = [each for each in picture.view.restarts if not worked_on(each)]
    yield from _others(picture, others, folded=folded)


def by_group(
    restarts: Sequence[MachineRestart],
) -> Iterator[tuple[str, list[MachineRestart]]]:
    """The process groups with their machines."""
    for group in sorted({each.process_group for each in restarts}):
        yield group, [each for each in restarts if each.process_group == group]


def in_order(restarts: Sequence[MachineRestart]) -> list[MachineRestart]:
    """The machines in the order in which they are drawn."""
    return [
        each
        for _, members in by_group(restarts)
        for section, _ in _sections(members, frozenset())
        for each in section
    ]


def _group(picture: _Picture, members: Sequence[MachineRestart], *, folded: bool) -> Iterator[Text]:
    canaries = (
        frozenset() if picture.view.repairing else canary_waves(picture.view.rollout, members)
    )
    for wave, title in _sections(members, canaries):
        if folded and _quiet(wave):
            yield _folded(picture, wave, title)
            continue
        yield styled(f"  {title}", "bold dim")
        for restart in wave:
            yield _bar_line(picture, restart)
            yield from _note_lines(picture, restart)


def _sections(
    members: Sequence[MachineRestart], canaries: frozenset[int]
) -> Iterator[tuple[list[MachineRestart], str]]:
    """Rehearsals, then the waves in the order in which they were begun, then what was asleep."""
    first = [each for each in members if not each.wave and rehearses(each)]
    others = [each for each in members if not each.wave and not rehearses(each)]
    renewed = [each for each in others if each.state is RestartState.UP_TO_DATE]
    asleep = [each for each in others if each.state is not RestartState.UP_TO_DATE]
    if first:
        yield first, "rehearsal, on a disposable machine"
    seen: set[int] = set()
    for portion in portions(members):
        number = portion[0].wave
        canary = ", canary" if number in canaries else ""
        yield portion, f"wave {number}{canary}{', continued' if number in seen else ''}"
        seen.add(number)
    if asleep:
        yield asleep, "asleep, updated as they are"
    if renewed:
        yield renewed, "up to date when they were looked at again"


def rehearses(restart: MachineRestart) -> bool:
    """Whether this is the record of a disposable machine."""
    return restart.state is RestartState.REHEARSED or restart.note.startswith(
        ("rehearsal for ", "the rehearsal failed")
    )


def _quiet(wave: Sequence[MachineRestart]) -> bool:
    planned = all(each.state is RestartState.PLANNED for each in wave)
    return planned or all(each.state in WELL for each in wave)


def _folded(picture: _Picture, wave: Sequence[MachineRestart], title: str) -> Text:
    done = wave[0].state is not RestartState.PLANNED
    word = "done" if done else "queued"
    machines = "1 machine" if len(wave) == 1 else f"{len(wave)} machines"
    begun = [each.leased_at for each in wave if each.leased_at is not None]
    ended = [each.ended_at for each in wave if each.ended_at is not None]
    took = f" after {elapsed(max(ended) - min(begun))}" if done and begun and ended else ""
    mark = picture.glyphs.good if done else picture.glyphs.phases[Phase.QUEUED]
    return styled(f"  {title}: {mark} {machines} {word}{took}", "dim")


def _bar_line(picture: _Picture, restart: MachineRestart) -> Text:
    from rich.text import Text

    glyphs = picture.glyphs
    line = Text(_INDENT)
    line.append(fit(restart.machine_id, _ID_WIDTH, glyphs))
    line.append(" ")
    line.append(fit(restart.region, _REGION_WIDTH, glyphs), "dim")
    for character, style in bar_of(picture, restart):
        line.append(character, style)
    line.append(" ")
    state = _state_word(picture, restart)
    line.append(fit(state, _STATE_WIDTH, glyphs), state_style(restart.state.value))
    line.append(restart_time(restart, picture.now).rjust(_TIME_WIDTH))
    return line


def _state_word(picture: _Picture, restart: MachineRestart) -> str:
    if restart.state is RestartState.PLANNED:
        return "not reached" if picture.view.rollout.ended_at is not None else "queued"
    return restart.state.value


def bar_of(picture: _Picture, restart: MachineRestart) -> Iterator[tuple[str, str]]:
    """The bar of one machine, character by character with its style: as wide as the scale."""
    glyphs, scale = picture.glyphs, picture.scale
    spans = picture.bars[restart.machine_id]
    if not spans:
        yield " " * scale.columns, ""
        return
    last = scale.column(spans[-1].end)
    ended = over(restart) and spans[-1].end <= picture.now
    for column in range(scale.columns):
        if column > last:
            yield " ", ""
        elif column == last and ended:
            yield _outcome_mark(glyphs, restart), state_style(restart.state.value)
        elif column == last:
            yield _phase_glyph(picture, spans[-1].phase)
        elif scale.broken(column):
            yield glyphs.break_, "dim"
        else:
            yield _phase_glyph(picture, _phase_at(spans, scale.middle(column)))


def _phase_glyph(picture: _Picture, phase: Phase) -> tuple[str, str]:
    picture.drawn.add(phase)
    return picture.glyphs.phases[phase], COLOURS[phase]


def _phase_at(spans: Sequence[Span], at: datetime) -> Phase:
    for span in spans:
        if at < span.end:
            return span.phase
    return spans[-1].phase


def _outcome_mark(glyphs: Glyphs, restart: MachineRestart) -> str:
    if restart.state is RestartState.FAILED:
        return glyphs.bad
    if restart.state is RestartState.ASLEEP:
        return glyphs.asleep
    return glyphs.good if restart.state in WELL else glyphs.unknown


def _note_lines(picture: _Picture, restart: MachineRestart) -> Iterator[Text]:
    """What is to be known of a machine, under its bar; an error always, the rest if it is short."""
    if not restart.note or (rehearses(restart) and restart.state is not RestartState.FAILED):
        return
    failed = restart.state is RestartState.FAILED
    style = "red" if failed else "dim"
    mark = f"{picture.glyphs.bad} " if failed else ""
    yield from _wrapped(f"{mark}{restart.note}", f"{_INDENT}  ", picture.width, style)


def _axis(picture: _Picture) -> Text:
    """Times since the begin, above the bars."""
    scale, glyphs = picture.scale, picture.glyphs
    cells = [" "] * scale.columns
    free_from = 0
    for label, column in _ticks(scale):
        text = f"{glyphs.tick}{label}"
        if column >= free_from and column + len(text) <= scale.columns:
            cells[column : column + len(text)] = list(text)
            free_from = column + len(text) + 1
    for column in range(scale.columns):
        if scale.broken(column) and cells[column] == " ":
            cells[column] = glyphs.break_
    lead = len(_INDENT) + _ID_WIDTH + 1 + _REGION_WIDTH
    return styled(" " * lead + "".join(cells), "dim")


_STEPS: Final = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200)


def _ticks(scale: Scale) -> Iterator[tuple[str, int]]:
    """Round times with their columns; after a stretch that is cut, the time when it ends."""
    for piece in scale.pieces:
        if piece.broken:
            continue
        columns = piece.last - piece.first
        seconds = (piece.end - piece.begin).total_seconds()
        wanted = seconds * _TICK_COLUMNS / max(columns, 1)
        step = next((s for s in _STEPS if s >= wanted), 86400)
        offset = (piece.begin - scale.begin).total_seconds()
        if piece.first:
            yield _offset(timedelta(seconds=offset)), piece.first
        number = int(offset // step) + (1 if piece.first else 0)
        while number * step < offset + seconds:
            at = scale.begin + timedelta(seconds=number * step)
            yield _offset(at - scale.begin), scale.column(at)
            number += 1


def _offset(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m" + (f"{seconds % 60:02d}s" if seconds % 60 else "")
    return f"{seconds // 3600}h" + (f"{seconds % 3600 // 60:02d}m" if seconds % 3600 // 60 else "")


def _legend(picture: _Picture) -> Iterator[Text]:
    """The glyphs that stand in the picture, and what they mean."""
    from rich.text import Text

    glyphs = picture.glyphs
    meanings = dict(MEANINGS)
    if any(each.replaced_by for each in picture.view.restarts):
        meanings[Phase.UPDATE] = "cloned or updated"
    entries = [(glyphs.phases[p], COLOURS[p], meanings[p]) for p in Phase if p in picture.drawn]
    states = {each.state for each in picture.view.restarts if over(each)}
    for mark, meaning, found in (
        (glyphs.good, "done", states & (WELL - {RestartState.ASLEEP})),
        (glyphs.asleep, "left asleep", states & {RestartState.ASLEEP}),
        (glyphs.bad, "failed", states & {RestartState.FAILED}),
        (glyphs.unknown, "gone or out of reach", states - WELL - {RestartState.FAILED}),
        (glyphs.break_, "nothing done for long", any(p.broken for p in picture.scale.pieces)),
    ):
        if found:
            entries.append((mark, "", meaning))
    line = Text("  ")
    for mark, style, meaning in entries:
        entry = Text.assemble((mark, style), (f" {meaning}", "dim"))
        if line.cell_len > 2 and line.cell_len + entry.cell_len + 2 > picture.width:
            yield line
            line = Text("  ")
        line.append("  " if line.cell_len > 2 else "")
        line.append_text(entry)
    yield line


def _others(picture: _Picture, others: Sequence[MachineRestart], *, folded: bool) -> Iterator[Text]:
    """Machines that the rollout has only listed, each with its reason."""
    if not others:
        return
    machines = "1 machine" if len(others) == 1 else f"{len(others)} machines"
    yield styled(f"not touched: {machines}" + (" (listed in the record)" if folded else ""), "bold")
    for each in () if folded else others:
        text = (
            f"{fit(each.machine_id, _ID_WIDTH, picture.glyphs)} "
            f"{fit(each.region, _REGION_WIDTH, picture.glyphs)}{each.process_group}: "
            f"{each.state.value}" + (f" ({each.note})" if each.note else "")
        )
        yield from _wrapped(text, "  ", picture.width, state_style(each.state.value))


def _wrapped(text: str, indent: str, width: int, style: str) -> Iterator[Text]:
    import textwrap

    clean = " ".join(text.split())
    room = max(LEAST_ROOM, width - len(indent))
    for number, line in enumerate(textwrap.wrap(clean, room) or [""]):
        yield styled(indent + ("  " if number else "") + line, style)
