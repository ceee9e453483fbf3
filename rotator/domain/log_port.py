"""What the engine needs of the audit log: its records, its filter, and a transaction's part in it.

The conventions of `domain.ports` hold here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from rotator.domain.events import Event, LeafRow, LoggedEvent, LogRow


@dataclass(frozen=True)
class EventQuery:
    """A filter over the audit log. None means any. Newest first; `before` pages on.

    `actor` is a kind, the beginning of a name, or `kind:` and the beginning of a name; `action` may
    be a family such as `rotation`, or several of both with commas between them; every word of
    `text` has to be one of the event's, or to begin one where `*` follows it.
    """

    app: str | None = None
    kind: str | None = None
    credential: str | None = None
    organization: str | None = None
    target: str | None = None
    machine: str | None = None
    actor: str | None = None
    actor_host: str | None = None
    actor_uid: int | None = None
    actor_machine: str | None = None
    actor_region: str | None = None
    action: str | None = None
    outcome: str | None = None
    rotation_id: str | None = None
    rollout_id: str | None = None
    request_id: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    after: int | None = None
    limit: int = 50


@dataclass(frozen=True)
class Checkpoint:
    """A signed statement that the log had this head.

    `note` is the statement in the C2SP form, over the tree; older ones have none, and their
    `signature` is over the chain's hash.
    """

    sequence: int
    hash: str
    signed_at: datetime
    key_id: str
    signature: str
    note: str | None = None


@dataclass(frozen=True)
class LogHead:
    """Where the log ends: its size, the chain's hash, the tree's right edge; and its name."""

    size: int
    hash: str
    frontier: bytes
    origin: str


@dataclass(frozen=True)
class Archive:
    """A range of events that stand in a file now. `hash` is the chain's behind the last of them,
    `sha256` the file's."""

    first: int
    last: int
    hash: str
    sha256: str
    file: str
    archived_at: datetime


@dataclass(frozen=True)
class LogCursor:
    """How far something that follows the log has come, and when it may go on after a failure."""

    name: str
    position: int
    failures: int = 0
    resume_at: datetime | None = None
    note: str = ""


@dataclass(frozen=True)
class Batch:
    """Some events in order, each as one line of JSON. `id` is the same however often these events
    are sent, and holds no full stop."""

    id: str
    first: int
    last: int
    lines: Sequence[str]


class LogUnit(Protocol):
    """The part of a transaction that appends to the log and reads it."""

    async def append(self, *events: Event) -> None:
        """Put events at the end of the log, chained, without gaps, in the order of the calls.

        They take their place at the end of the transaction, so that the log's end is locked as
        late and as briefly as can be."""
        ...

    async def events(self, query: EventQuery) -> Sequence[LoggedEvent]:
        """Newest first."""
        ...

    async def events_after(self, sequence: int, limit: int) -> Sequence[LoggedEvent]:
        """In order, for verification and exports."""
        ...

    async def head(self) -> LoggedEvent | None: ...
    async def event_at(self, sequence: int) -> LoggedEvent | None:
        """One event; None where it is not, or not any more."""
        ...

    # the log as a tree
    async def log_head(self) -> LogHead: ...
    async def log_rows(self, first: int, last: int) -> Sequence[LogRow]:
        """Rows of a range in order, as they are hashed; at most a page of them is wanted."""
        ...

    async def log_leaves(self, first: int, last: int) -> Sequence[LeafRow] | None:
        """The same rows with their leaf bytes, where the database can make them as
        `domain.events.leaf_bytes` does; None where it can't. Only an equal hash shows that it did.
        """
        ...

    async def next_row(self, after: int) -> int | None:
        """The number of the next row, whatever it is."""
        ...

    async def last_row(self) -> int:
        """The number of the last row that is there, whatever the head says; 0 without one."""
        ...

    async def tree_hashes(self, level: int, first: int, last: int) -> Sequence[tuple[int, bytes]]:
        """Positions and hashes of the nodes that are kept of a level, in order, both ends in."""
        ...

    async def leaf_position(self, leaf: bytes) -> int | None:
        """The number of the event that the tree has this leaf for. Reads the whole tree."""
        ...

    async def block_times(self, first: int, last: int) -> Sequence[tuple[int, int]]:
        """The first and last time, in microseconds since 1970, that the search goes by for each
        full block of 256 events in a range."""
        ...

    async def known_actors(self) -> frozenset[tuple[str, str]]:
        """Kind and name of all actors that the search knows."""
        ...

    async def first_since(self, at: datetime) -> int | None:
        """The number of the first event that is not older than this."""
        ...

    async def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Insert. One that stands there already stays as it is."""
        ...

    async def checkpoints(
        self, *, after: int = 0, limit: int | None = None
    ) -> Sequence[Checkpoint]:
        """In order."""
        ...

    async def newest_checkpoint(self) -> Checkpoint | None:
        """The newest that has a note."""
        ...

    async def archives(self) -> Sequence[Archive]:
        """In order."""
        ...

    async def save_archive(self, archive: Archive) -> None: ...
    async def drop_archived(self, limit: int) -> int:
        """Delete up to this many events that stand in an archive; gives how many."""
        ...

    async def log_cursor(self, name: str) -> LogCursor | None:
        """One by name. Transactions that write take turns at one that is there."""
        ...

    async def save_log_cursor(self, cursor: LogCursor) -> None:
        """Insert or replace by name."""
        ...
