"""Verify the audit log: chain, tree and signatures, whole or from where it was last verified.

The log is cut into segments; whoever calls says how they are walked (one after the other, or by
several processes). Their parts of the tree are put together here and held against the head and
against every checkpoint, those of the database and those that were kept elsewhere.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from rotator.domain.errors import InputError
from rotator.domain.events import GENESIS, Action, Damage, Fault
from rotator.domain.merkle import Frontier
from rotator.domain.note import VerifierKey
from rotator.domain.ports import Archive, Checkpoint, EventQuery, LogHead, Signer, Store
from rotator.engine.audit.archive import is_told_by
from rotator.engine.audit.checkpoints import Outside, Problem, problem_of
from rotator.engine.audit.marker import Marker, read_marker
from rotator.engine.audit.scene import name_damage
from rotator.engine.audit.segment import BLOCK, PAGE, TREE, Segment, Walked, walk_segment

SEGMENT: Final = 1 << 16
TOLD_AT_MOST: Final = 100
Walker = Callable[[Sequence[Segment]], AsyncIterator[Walked]]
Progress = Callable[[int, int], Awaitable[None]]


@dataclass(frozen=True)
class Verification:
    """What a walk over the log found. `fault` is None where it holds.

    `events` are those that the log has, `since` where the walk began, `archived` how many of them
    stand in files; `unknown_keys` are those of signatures that nobody here can check.
    """

    events: int
    head: str | None
    checkpoints: int
    fault: Fault | None
    root: str = ""
    since: int = 0
    archived: int = 0
    unknown_keys: tuple[str, ...] = ()
    outside: int = 0
    marker: Marker | None = field(default=None, repr=False)


@dataclass
class _Log:
    """What the log says of itself, read before it is verified."""

    head: LogHead
    last: int
    checkpoints: Sequence[Checkpoint]
    archives: Sequence[Archive]
    forged: bool
    keys: Sequence[VerifierKey] = ()
    outside: Sequence[Outside] = ()

    @property
    def archived(self) -> int:
        """The last event that stands in a file; 0 without one."""
        return self.archives[-1].last if self.archives else 0

    @property
    def promised(self) -> int:
        """How many events there were, by whatever says the most."""
        signed = [c.sequence for c in self.checkpoints] + [o.size for o in self.outside]
        return max([self.head.size, *signed])


@dataclass
class _State:
    """The walk so far."""

    frontier: Frontier
    hash: str
    good: int
    checked: int = 0
    unknown: set[str] = field(default_factory=set)
    marked: Marker | None = None
    actors: set[tuple[str, str]] = field(default_factory=set)


def keys_of(
    signer: Signer | None, origin: str, more: Sequence[VerifierKey] = ()
) -> Sequence[VerifierKey]:
    """The keys that checkpoints of a log may be signed by."""
    own = signer.public_keys if signer is not None else ()
    return [*(VerifierKey(origin, key) for key in own), *more]


async def verify_log(
    store: Store,
    signer: Signer | None,
    *,
    walker: Walker | None = None,
    progress: Progress | None = None,
    outside: Sequence[Outside] = (),
    more_keys: Sequence[VerifierKey] = (),
    incremental: bool = False,
) -> Verification:
    """Walk the log: every hash, every link, every leaf, every signature that can be checked.

    With `incremental` it begins where it was last found whole, if a key of ours vouches for that.
    """
    log = await _read(store)
    log.keys, log.outside = keys_of(signer, log.head.origin, more_keys), outside
    for each in outside:
        _is_ours(each, log.head, log.keys)
    marker = await read_marker(store, log.keys) if incremental else None
    state = _started(marker, log)
    since, total = state.good, min(log.last, log.head.size)
    segments = _segments(state.good, total, log)
    if progress is not None:
        await progress(state.good, total)
    fault = None
    async for walked in (walker or _one_by_one(store))(segments):
        fault = await _joined(store, state, walked, log)
        if fault is not None:
            break
        if progress is not None:
            await progress(walked.segment.last, total)
    if fault is None:
        fault = await _end_fault(store, state, log)
    return Verification(
        events=total,
        head=state.hash if total else None,
        checkpoints=state.checked,
        fault=fault,
        root=base64.b64encode(state.frontier.root()).decode() if fault is None else "",
        since=since,
        archived=log.archived,
        unknown_keys=tuple(sorted(state.unknown)),
        outside=len(outside),
        marker=state.marked if fault is None else None,
    )


async def _read(store: Store) -> _Log:
    """Rows are counted before and after the head is read: whoever appends meanwhile raises the
    head first in the order that others see, so a row beyond the head is nobody's of ours."""
    async with store.view() as unit:
        before = await unit.last_row()
        checkpoints = await unit.checkpoints()
        head = await unit.log_head()
        archives = await unit.archives()
        last = await unit.last_row()
    archived = archives[-1].last if archives else 0
    return _Log(head, max(last, archived), checkpoints, archives, before > head.size)


def _started(marker: Marker | None, log: _Log) -> _State:
    if marker is None or marker.size > min(log.last, log.head.size):
        return _State(Frontier(), GENESIS, 0)
    return _State(Frontier.unpacked(marker.size, marker.frontier), marker.hash, marker.size)


def _segments(start: int, total: int, log: _Log) -> Sequence[Segment]:
    """The log in parts that begin behind multiples of 65,536, and where the walk begins."""
    previous = log.archives[-1].hash if log.archives else ""
    sizes = {c.sequence for c in log.checkpoints} | {o.size for o in log.outside}
    sizes.add(total // BLOCK * BLOCK)
    segments = []
    first = start + 1
    while first <= total:
        last = min(((first - 1) // SEGMENT + 1) * SEGMENT, total)
        within = tuple(sorted(size for size in sizes if first <= size <= last))
        segments.append(Segment(first, last, within, log.archived, previous))
        first = last + 1
    return segments


def _one_by_one(store: Store) -> Walker:
    async def walk(segments: Sequence[Segment]) -> AsyncIterator[Walked]:
        for segment in segments:
            yield await walk_segment(store, segment)

    return walk


async def _joined(
    store: Store,
    state: _State,
    walked: Walked,
    log: _Log,
) -> Fault | None:
    """Put a segment behind what is verified already; gives the first fault in it."""
    if walked.bad is not None:
        return await _named(store, walked, log.promised)
    begun = state.frontier.copy()
    for level, found in walked.nodes:
        state.frontier.push(level, found)
    for checkpoint in log.checkpoints:
        if checkpoint.sequence not in walked.at:
            continue
        root = _root_at(begun, walked, checkpoint.sequence)
        chain = walked.hashes.get(checkpoint.sequence)
        problem = problem_of(checkpoint, log.head.origin, root, chain, log.keys)
        fault = _checkpoint_fault(state, checkpoint.sequence, problem, checkpoint.key_id)
        if fault is not None:
            return fault
    for each in log.outside:
        if each.size in walked.at and _root_at(begun, walked, each.size) != each.head.root:
            return _rewritten(state.good, each.size, each.where)
    _mark(state, begun, walked)
    state.actors |= walked.actors
    state.hash = walked.before
    return None


def _mark(state: _State, begun: Frontier, walked: Walked) -> None:
    """Remember the last full block, where the next verification can go on."""
    size = walked.segment.last // BLOCK * BLOCK
    if size in walked.at and size in walked.hashes:
        state.marked = Marker(size, walked.hashes[size], _grown(begun, walked, size).packed())


def _root_at(begun: Frontier, walked: Walked, size: int) -> bytes:
    return _grown(begun, walked, size).root()


def _grown(begun: Frontier, walked: Walked, size: int) -> Frontier:
    frontier = begun.copy()
    for level, found in walked.at[size]:
        frontier.push(level, found)
    return frontier


async def _named(store: Store, walked: Walked, promised: int) -> Fault:
    assert walked.bad is not None
    if walked.bad_part is not None:
        last = min(walked.bad + PAGE - 1, walked.segment.last)
        part = "tree over" if walked.bad_part == TREE else "record of times that the search uses of"
        return Fault(
            walked.bad,
            Damage.EDITED,
            f"the {part} events {walked.bad} to {last} was edited; the events hold in the chain",
        )
    return await name_damage(store, walked.bad, walked.before, promised=promised)


def _checkpoint_fault(
    state: _State, size: int, problem: Problem | None, key_id: str
) -> Fault | None:
    match problem:
        case None:
            state.checked += 1
            state.good = max(state.good, size)
        case Problem.UNKNOWN_KEY:
            state.unknown.add(key_id)
        case Problem.REWRITTEN:
            return _rewritten(state.good, size, "the database")
        case Problem.EDITED:
            return Fault(
                size,
                Damage.EDITED,
                f"the checkpoint at event {size} was edited: its signature does not hold",
            )
    return None


def _rewritten(good: int, size: int, where: str) -> Fault:
    return Fault(
        good + 1,
        Damage.REWRITTEN,
        f"among events {good + 1} to {size} are others than those that were signed "
        f"(checkpoint at {size} from {where}): the log was rewritten",
    )


async def _end_fault(store: Store, state: _State, log: _Log) -> Fault | None:
    """What is wrong behind the last row."""
    end = min(log.last, log.head.size)
    if log.last < log.promised:
        return await name_damage(store, log.last + 1, state.hash, promised=log.promised)
    if log.forged:
        return await name_damage(store, log.head.size + 1, state.hash, promised=log.head.size)
    if log.head.hash != state.hash or log.head.frontier != state.frontier.packed():
        return Fault(
            end,
            Damage.EDITED,
            f"the record of the log's end was edited: it does not fit event {end}",
        )
    fault = await _untold_archive(store, log)
    if fault is not None:
        return fault
    async with store.view() as unit:
        unknown = state.actors - await unit.known_actors()
    if unknown:
        return Fault(
            end,
            Damage.EDITED,
            f"the list of actors that the search uses was edited: {len(unknown)} are missing",
        )
    return None


async def _untold_archive(store: Store, log: _Log) -> Fault | None:
    """Events that were deleted as archived without an event that says so. The event of an older
    archive may have been archived itself since."""
    if not log.archives:
        return None
    newest = log.archives[-1]
    async with store.view() as unit:
        told = await unit.events(EventQuery(action=Action.AUDIT_ARCHIVED, limit=TOLD_AT_MOST))
    if any(is_told_by(newest, logged.event) for logged in told):
        return None
    return Fault(
        newest.first,
        Damage.DELETED,
        f"events {newest.first} to {newest.last} are gone, and no event tells of their archive",
    )


def _is_ours(outside: Outside, head: LogHead, keys: Sequence[VerifierKey]) -> None:
    """See that a checkpoint from elsewhere is one of this log.

    Raises:
        InputError: it is of another log, or signed by nobody that is known here.
    """
    if outside.head.origin != head.origin:
        raise InputError(
            f"that checkpoint is of the log {outside.head.origin}, this one is {head.origin}",
            where=outside.where,
        )
    signed = outside.note.is_signed_by(keys)
    if signed is None:
        raise InputError(
            "no key that is known here has signed that checkpoint",
            where=outside.where,
            next_step="give its key with --key, or set ROTATOR_KEYS",
        )
    if not signed:
        raise InputError("the signature does not hold", where=outside.where)
