"""The audit log as a Merkle tree: leaves for all events, typed actors, search, archives.

Events that are there keep every byte; they become leaves as they were hashed (version 1). On the
way back they verify as before, but an older rotator can't verify events of version 2, and does not
know of events that were archived meanwhile.

Revision ID: 0003
Revises: 0002
"""

import hashlib
import json
import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_REFUSAL = "the audit log is append-only"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BLOCK = 256
_PAGE = 5120
_EVENT_COLUMNS = (
    ("actor_host", sa.String(length=255)),
    ("actor_uid", sa.BigInteger()),
    ("actor_machine", sa.String(length=64)),
    ("actor_region", sa.String(length=32)),
)
_HEAD_COLUMNS = (
    ("frontier", sa.LargeBinary()),
    ("first_at", sa.BigInteger()),
    ("last_at", sa.BigInteger()),
)
_INDEXES = (("ix_events_organization", "organization"), ("ix_events_actor_kind", "actor_kind"))
_SPARSE = (
    "target",
    "machine",
    "rollout_id",
    "request_id",
    "actor_host",
    "actor_uid",
    "actor_machine",
    "actor_region",
)
_GUARDED = ("tree_nodes", "archives", "checkpoints", "event_actors", "event_spans")
_REPLACED = {
    "tree_nodes": "level = NEW.level AND position = NEW.position",
    "archives": "first = NEW.first",
}


def upgrade() -> None:
    version = sa.Column("version", sa.Integer(), nullable=False, server_default=sa.text("1"))
    op.add_column("events", version)
    for name, kind in _EVENT_COLUMNS:
        op.add_column("events", sa.Column(name, kind, nullable=True))
    genesis = sa.text(f"'{'0' * 64}'")
    op.add_column(
        "event_head", sa.Column("hash", sa.String(64), nullable=False, server_default=genesis)
    )
    op.add_column(
        "event_head",
        sa.Column("origin", sa.String(255), nullable=False, server_default=sa.text("''")),
    )
    for name, kind in _HEAD_COLUMNS:
        op.add_column("event_head", sa.Column(name, kind, nullable=True))
    op.add_column("checkpoints", sa.Column("note", sa.Text(), nullable=True))
    _create_tables()
    op.drop_index("ix_events_at", table_name="events")
    for name, column in _INDEXES:
        op.create_index(name, "events", [column, "sequence"])
    for column in _SPARSE:
        given = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"ix_events_{column}",
            "events",
            [column, "sequence"],
            sqlite_where=given,
            postgresql_where=given,
        )
    _grow_tree()
    if op.get_bind().dialect.name == "postgresql":
        _guard_postgresql()
    else:
        _guard_sqlite()


def _create_tables() -> None:
    big = sa.BigInteger()
    op.create_table(
        "event_actors",
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name"),
    )
    op.create_table(
        "event_spans",
        sa.Column("block", big, autoincrement=False, nullable=False),
        sa.Column("first_at", big, nullable=False),
        sa.Column("last_at", big, nullable=False),
        sa.PrimaryKeyConstraint("block"),
    )
    op.create_table(
        "tree_nodes",
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", big, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "position"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "archives",
        sa.Column("first", big, autoincrement=False, nullable=False),
        sa.Column("last", big, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("archived_at", big, nullable=False),
        sa.PrimaryKeyConstraint("first"),
    )
    op.create_table(
        "log_cursors",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("position", big, nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("resume_at", big, nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE TABLE event_words (sequence bigint PRIMARY KEY, words tsvector NOT NULL)")
        op.execute("CREATE INDEX ix_event_words ON event_words USING gin (words)")
    else:
        op.execute(
            "CREATE VIRTUAL TABLE event_words USING fts5(words, content='', detail=none, "
            "columnsize=0, tokenize='unicode61 remove_diacritics 0')"
        )


def _grow_tree() -> None:
    """Make leaves, subtrees, spans and words of the events that are there."""
    frontier: list[tuple[int, bytes]] = []
    size, head, span = 0, "0" * 64, []
    for rows in _pages():
        nodes, spans = [], []
        for row in rows:
            size, head = row.sequence, row.hash
            nodes += _pushed(frontier, size - 1, _leaf(row))
            span.append(row.at)
            if len(span) == _BLOCK:
                block = (size - 1) // _BLOCK
                spans.append({"block": block, "first": min(span), "last": max(span)})
                span = []
        _insert("tree_nodes (level, position, hash) VALUES (:level, :position, :hash)", nodes)
        _insert("event_spans (block, first_at, last_at) VALUES (:block, :first, :last)", spans)
        _insert_words(rows)
    op.execute(
        "INSERT INTO event_actors (kind, name) SELECT DISTINCT actor_kind, actor_name FROM events"
    )
    op.get_bind().execute(
        sa.text(
            "UPDATE event_head SET sequence = :size, hash = :hash, frontier = :frontier, "
            "origin = :origin, first_at = :first, last_at = :last WHERE id = 1"
        ),
        {
            "size": size,
            "hash": head,
            "frontier": b"".join(found for _, found in frontier),
            "origin": f"rotator/{secrets.token_hex(8)}",
            "first": min(span, default=None),
            "last": max(span, default=None),
        },
    )


def _pages() -> Iterator[list[sa.Row]]:
    last = 0
    statement = sa.text(
        "SELECT * FROM events WHERE sequence > :last ORDER BY sequence LIMIT :page"
    )
    while rows := op.get_bind().execute(statement, {"last": last, "page": _PAGE}).all():
        yield list(rows)
        last = rows[-1].sequence


def _leaf(row: sa.Row) -> bytes:
    at = _EPOCH + timedelta(microseconds=row.at)
    fields = {
        "v": 1,
        "sequence": row.sequence,
        "at": at.isoformat(timespec="microseconds"),
        "actor": [row.actor_kind, row.actor_name],
        "detail": json.loads(row.detail),
    }
    for name in (
        "action",
        "outcome",
        "reason",
        "credential",
        "kind",
        "organization",
        "app",
        "target",
        "machine",
        "rotation_id",
        "rollout_id",
        "request_id",
    ):
        fields[name] = getattr(row, name)
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(b"\x00" + text.encode()).digest()


def _pushed(
    frontier: list[tuple[int, bytes]], index: int, found: bytes
) -> list[dict[str, object]]:
    """Append a leaf; gives the nodes that are kept: leaves, and every eighth level."""
    level, position = 0, index
    kept: list[dict[str, object]] = [{"level": 0, "position": index, "hash": found}]
    while frontier and frontier[-1][0] == level:
        found = hashlib.sha256(b"\x01" + frontier.pop()[1] + found).digest()
        level, position = level + 1, position >> 1
        if level % 8 == 0:
            kept.append({"level": level, "position": position, "hash": found})
    frontier.append((level, found))
    return kept


def _insert_words(rows: list[sa.Row]) -> None:
    values = [{"sequence": row.sequence, "words": _words(row)} for row in rows]
    if op.get_bind().dialect.name == "postgresql":
        _insert(
            "event_words (sequence, words) "
            "VALUES (:sequence, array_to_tsvector(string_to_array(:words, ' ')))",
            values,
        )
    else:
        _insert("event_words (rowid, words) VALUES (:sequence, :words)", values)


def _words(row: sa.Row) -> str:
    texts = [
        row.reason,
        row.credential,
        row.app,
        row.target,
        row.machine,
        row.actor_name,
        row.request_id,
        *json.loads(row.detail).values(),
    ]
    found: dict[str, None] = {}
    for text in texts:
        for word in re.findall(r"[^\W_]+", (text or "").casefold()):
            found[word[:64]] = None
    return " ".join(list(found)[:256])


def _insert(what: str, values: list[dict[str, object]]) -> None:
    if values:
        op.get_bind().execute(sa.text(f"INSERT INTO {what}"), values)


def _guard_sqlite() -> None:
    op.execute("DROP TRIGGER events_no_delete")
    op.execute("DROP TRIGGER events_no_replace")
    refuse = f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
    op.execute(
        "CREATE TRIGGER events_no_delete BEFORE DELETE ON events WHEN NOT EXISTS "
        "(SELECT 1 FROM archives WHERE OLD.sequence BETWEEN first AND last) " + refuse
    )
    op.execute(
        "CREATE TRIGGER events_no_replace BEFORE INSERT ON events "
        "WHEN EXISTS (SELECT 1 FROM events WHERE sequence = NEW.sequence) "
        "OR EXISTS (SELECT 1 FROM archives WHERE last >= NEW.sequence) " + refuse
    )
    for table in _GUARDED:
        for verb in ("UPDATE", "DELETE"):
            name = f"{table}_no_{verb.lower()}"
            op.execute(f"CREATE TRIGGER {name} BEFORE {verb} ON {table} {refuse}")
    for table, same in _REPLACED.items():
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) {refuse}"
        )


def _guard_postgresql() -> None:
    op.execute("DROP TRIGGER events_no_change ON events")
    op.execute(
        "CREATE FUNCTION rotator_refuse_event() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF TG_OP = 'DELETE' THEN "
        "IF EXISTS (SELECT 1 FROM archives a WHERE OLD.sequence BETWEEN a.first AND a.last) "
        "THEN RETURN OLD; END IF; "
        "ELSIF TG_OP = 'INSERT' THEN "
        "IF NOT EXISTS (SELECT 1 FROM archives a WHERE a.last >= NEW.sequence) "
        "THEN RETURN NEW; END IF; "
        f"END IF; RAISE EXCEPTION '{_REFUSAL}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER events_no_change BEFORE INSERT OR UPDATE OR DELETE ON events "
        "FOR EACH ROW EXECUTE FUNCTION rotator_refuse_event()"
    )
    for table in _GUARDED:
        op.execute(
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION rotator_refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION rotator_refuse_change()"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _unguard_postgresql()
    else:
        _unguard_sqlite()
    for column in _SPARSE:
        op.drop_index(f"ix_events_{column}", table_name="events")
    for name, _ in _INDEXES:
        op.drop_index(name, table_name="events")
    op.create_index("ix_events_at", "events", ["at"])
    for table in ("event_words", "log_cursors", "archives", "tree_nodes"):
        op.drop_table(table)
    for table in ("event_spans", "event_actors"):
        op.drop_table(table)
    # Not in batches: those build the table anew, without its triggers.
    for name in ("version", *(name for name, _ in _EVENT_COLUMNS)):
        op.execute(f"ALTER TABLE events DROP COLUMN {name}")
    for name in ("hash", "origin", *(name for name, _ in _HEAD_COLUMNS)):
        op.execute(f"ALTER TABLE event_head DROP COLUMN {name}")
    op.execute("ALTER TABLE checkpoints DROP COLUMN note")


def _unguard_sqlite() -> None:
    for table in _GUARDED:
        op.execute(f"DROP TRIGGER {table}_no_update")
        op.execute(f"DROP TRIGGER {table}_no_delete")
    for table in _REPLACED:
        op.execute(f"DROP TRIGGER {table}_no_replace")
    op.execute("DROP TRIGGER events_no_delete")
    op.execute("DROP TRIGGER events_no_replace")
    refuse = f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
    op.execute(f"CREATE TRIGGER events_no_delete BEFORE DELETE ON events {refuse}")
    op.execute(
        "CREATE TRIGGER events_no_replace BEFORE INSERT ON events "
        f"WHEN EXISTS (SELECT 1 FROM events WHERE sequence = NEW.sequence) {refuse}"
    )


def _unguard_postgresql() -> None:
    for table in _GUARDED:
        op.execute(f"DROP TRIGGER {table}_no_change ON {table}")
        op.execute(f"DROP TRIGGER {table}_no_truncate ON {table}")
    op.execute("DROP TRIGGER events_no_change ON events")
    op.execute("DROP FUNCTION rotator_refuse_event()")
    op.execute(
        "CREATE TRIGGER events_no_change BEFORE UPDATE OR DELETE ON events "
        "FOR EACH ROW EXECUTE FUNCTION rotator_refuse_change()"
    )
