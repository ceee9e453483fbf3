"""What each machine of a rollout went through, as spans of time on one scale. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Final

from rotator.domain.policy import Strategy
from rotator.domain.rotation import RESTART_DONE, MachineRestart, RestartState, Rollout

_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_LEAST_GAP: Final = timedelta(seconds=60)
_GAP_SHARE: Final = 0.5
BREAK_COLUMNS: Final = 3
"""How wide a long stretch is drawn in which no machine was worked on."""


class Phase(StrEnum):
    """What a machine is going through."""

    QUEUED = "queued"
    LEASE = "lease"
    DRAIN = "drain"
    UPDATE = "update"
    BOOT = "boot"
    CHECKS = "checks"
    READY = "ready"
    SOAK = "soak"


@dataclass(frozen=True)
class Span:
    """A phase from its begin to its end."""

    phase: Phase
    begin: datetime
    end: datetime


UNTOUCHED: Final = frozenset(
    {RestartState.AT_NEXT_START, RestartState.LEFT_OUT, RestartState.UNREACHABLE}
)
"""States of machines that a rollout only lists, unless it has begun with them."""
WELL: Final = frozenset(
    {
        RestartState.HEALTHY,
        RestartState.REPLACED,
        RestartState.REHEARSED,
        RestartState.UP_TO_DATE,
        RestartState.ASLEEP,
    }
)


def worked_on(restart: MachineRestart) -> bool:
    """Whether the rollout has done anything with the machine, or still means to."""
    if restart.state is RestartState.PLANNED:
        return True
    return restart.admitted_at is not None or restart.updated_at is not None


def spans_of(
    restart: MachineRestart, rollout: Rollout, now: datetime, soaks_until: datetime | None = None
) -> tuple[Span, ...]:
    """A machine's phases in their order, without gaps, from the rollout's begin on.

    Times that a crash and a second try, or Fly's clock, put out of order are taken as no earlier
    than the ones before. What has not ended lasts until `now`.
    """
    if not worked_on(restart):
        return ()
    replaced = restart.replaced_by is not None or restart.state is RestartState.CLONING
    begins = _replacement(restart) if replaced else _in_place(restart, rollout)
    end = _end(restart, rollout, now, soaks_until)
    marks: list[tuple[Phase, datetime]] = [(Phase.QUEUED, rollout.started_at)]
    for phase, at in begins:
        if at is not None:
            marks.append((phase, min(end, max(at, marks[-1][1]))))
    last = (marks[-1][0], max(end, marks[-1][1]))
    spans = [Span(a[0], a[1], b[1]) for a, b in pairwise([*marks, last])]
    return tuple(span for span in spans if span.end > span.begin)


def _in_place(restart: MachineRestart, rollout: Rollout) -> Iterable[tuple[Phase, datetime | None]]:
    yield Phase.LEASE, restart.admitted_at
    drained = restart.drained_at
    if drained is None:
        yield Phase.UPDATE, restart.leased_at
    else:
        yield Phase.DRAIN, restart.leased_at or drained
        drained_until = drained + rollout.policy.drain
        if restart.updated_at is not None:
            yield Phase.UPDATE, min(drained_until, restart.updated_at)
    if restart.state is not RestartState.ASLEEP:
        yield Phase.BOOT, restart.stopped_at or restart.updated_at
    yield Phase.CHECKS, restart.started_at
    yield Phase.SOAK, restart.healthy_at


def _replacement(restart: MachineRestart) -> Iterable[tuple[Phase, datetime | None]]:
    """A clone is made and seen healthy before the machine gives up its traffic."""
    yield Phase.UPDATE, restart.admitted_at
    yield Phase.BOOT, restart.updated_at
    yield Phase.CHECKS, restart.started_at
    yield Phase.READY, restart.healthy_at
    yield Phase.DRAIN, restart.leased_at


def _end(
    restart: MachineRestart, rollout: Rollout, now: datetime, soaks_until: datetime | None
) -> datetime:
    latest = rollout.ended_at or now
    if restart.state is RestartState.FAILED and restart.healthy_at is not None:
        return latest if soaks_until is None else min(latest, soaks_until)
    if restart.ended_at is None and restart.state in RESTART_DONE:
        # Found to be done when the rollout was planned anew: nothing was done since its last time.
        return min(latest, max(_times(restart), default=latest))
    if restart.ended_at is None:
        return latest
    if soaks_until is not None:
        return min(latest, max(soaks_until, restart.ended_at))
    return restart.ended_at


def over(restart: MachineRestart) -> bool:
    """Whether nothing more happens to the machine."""
    return restart.ended_at is not None or restart.state in RESTART_DONE


def _times(restart: MachineRestart) -> list[datetime]:
    times = (
        restart.admitted_at,
        restart.leased_at,
        restart.updated_at,
        restart.started_at,
        restart.healthy_at,
        restart.released_at,
    )
    return [at for at in times if at is not None]


def canary_waves(rollout: Rollout, restarts: Iterable[MachineRestart]) -> frozenset[int]:
    """The numbers of a group's waves that were canaries, by the policy's count of them."""
    policy = rollout.policy
    if policy.strategy in (Strategy.IMMEDIATE, Strategy.BLUE_GREEN):
        return frozenset()
    sizes: dict[int, int] = {}
    for restart in restarts:
        if restart.wave > 0:
            sizes[restart.wave] = sizes.get(restart.wave, 0) + 1
    found: set[int] = set()
    before = 0
    for wave in sorted(sizes):
        if before >= policy.canaries:
            break
        found.add(wave)
        before += sizes[wave]
    return frozenset(found)


def soak_ends(
    rollout: Rollout, restarts: Sequence[MachineRestart], *, repairing: bool
) -> Mapping[str, datetime]:
    """Until when each healthy machine was watched: its wave's soak after the wave's last one."""
    policy = rollout.policy
    if repairing or policy.strategy in (Strategy.IMMEDIATE, Strategy.BLUE_GREEN):
        return {}
    found: dict[str, datetime] = {}
    for group in {each.process_group for each in restarts}:
        of_group = [each for each in restarts if each.process_group == group]
        canaries = canary_waves(rollout, of_group)
        for members in portions(of_group):
            soak = policy.canary_soak if members[0].wave in canaries else policy.soak
            ends = [each.ended_at for each in members if each.ended_at is not None]
            if soak and len(ends) == len(members):
                until = max(ends) + soak
                found |= {m.machine_id: until for m in members if m.healthy_at is not None}
    return found


def portions(restarts: Iterable[MachineRestart]) -> list[list[MachineRestart]]:
    """A group's waves, in the order in which they were begun.

    A wave is in several portions where only some of it could go at a time, or where the rollout
    was planned anew, after a pause or a crash, and counted its waves from one again.
    """
    waves: dict[int, list[MachineRestart]] = {}
    for each in restarts:
        if each.wave > 0:
            waves.setdefault(each.wave, []).append(each)
    found: list[list[MachineRestart]] = []
    for _, members in sorted(waves.items()):
        until: datetime | None = None
        fresh = True
        for each in sorted(members, key=_begun):
            if fresh or (until is not None and _begun(each) > until):
                found.append([])
            fresh = False
            found[-1].append(each)
            ends = [at for at in (until, each.ended_at or _NEVER) if at is not None]
            until = max(ends)
    return sorted(found, key=lambda members: (_begun(members[0]), members[0].wave))


def _begun(restart: MachineRestart) -> datetime:
    return restart.admitted_at or _NEVER


@dataclass(frozen=True)
class _Piece:
    begin: datetime
    end: datetime
    first: int
    last: int
    broken: bool


@dataclass(frozen=True)
class Scale:
    """Which column an instant stands in. Long stretches without work are cut to a few columns."""

    pieces: tuple[_Piece, ...]
    columns: int

    @property
    def begin(self) -> datetime:
        """The instant of the first column."""
        return self.pieces[0].begin

    def column(self, at: datetime) -> int:
        """The column of an instant; one outside the scale stands at its edge."""
        for piece in self.pieces:
            if at < piece.end:
                share = max(0.0, (at - piece.begin) / (piece.end - piece.begin))
                width = piece.last - piece.first
                return min(piece.last - 1, piece.first + int(share * width))
        return self.columns - 1

    def middle(self, column: int) -> datetime:
        """The instant in the middle of a column."""
        for piece in self.pieces:
            if column < piece.last:
                share = (column - piece.first + 0.5) / (piece.last - piece.first)
                return piece.begin + (piece.end - piece.begin) * share
        return self.pieces[-1].end

    def broken(self, column: int) -> bool:
        """Whether a column stands for a stretch that is cut short."""
        return any(p.broken and p.first <= column < p.last for p in self.pieces)


def scale_of(bars: Iterable[Sequence[Span]], begin: datetime, columns: int) -> Scale:
    """One scale for all bars."""
    spans = [span for bar in bars for span in bar]
    end = max((span.end for span in spans), default=begin)
    end = max(end, begin + timedelta(seconds=1))
    busy = _merged([(s.begin, s.end) for s in spans if s.phase is not Phase.QUEUED])
    gaps = _gaps(busy, begin, end)
    if not gaps or columns < (len(gaps) + 1) * (BREAK_COLUMNS + 8):
        return Scale((_Piece(begin, end, 0, columns, broken=False),), columns)
    return _with_breaks(gaps, begin, end, columns)


def _merged(intervals: Sequence[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    merged: list[tuple[datetime, datetime]] = []
    for begin, end in sorted(intervals):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _gaps(
    busy: Sequence[tuple[datetime, datetime]], begin: datetime, end: datetime
) -> list[tuple[datetime, datetime]]:
    """Stretches without work that would leave no room for the rest."""
    worked = sum((b - a for a, b in busy), timedelta(0))
    least = max(_LEAST_GAP, worked * _GAP_SHARE)
    edges = [begin, *(at for pair in busy for at in pair), end]
    idle = zip(edges[::2], edges[1::2], strict=True)
    return [(a, b) for a, b in idle if b - a > least and worked]


def _with_breaks(
    gaps: Sequence[tuple[datetime, datetime]], begin: datetime, end: datetime, columns: int
) -> Scale:
    shown = (end - begin) - sum((b - a for a, b in gaps), timedelta(0))
    room = columns - BREAK_COLUMNS * len(gaps)
    pieces: list[_Piece] = []
    at, drawn = begin, timedelta(0)

    def add(until: datetime, width: int, *, broken: bool) -> None:
        first = pieces[-1].last if pieces else 0
        if until > at and width > 0:
            pieces.append(_Piece(at, until, first, first + width, broken))

    for gap_begin, gap_end in gaps:
        before = int(room * (drawn / shown))
        drawn += gap_begin - at
        add(gap_begin, int(room * (drawn / shown)) - before, broken=False)
        at = gap_begin
        add(gap_end, BREAK_COLUMNS, broken=True)
        at = gap_end
    last = pieces[-1].last
    if end > at and last < columns:
        pieces.append(_Piece(at, end, last, columns, broken=False))
    return Scale(tuple(pieces), pieces[-1].last)
