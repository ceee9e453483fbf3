"""The schema (DESIGN.md section 5) as SQLAlchemy tables. Alembic creates them, never this module.

Times are integers: microseconds since 1970 in UTC, so that they sort and compare alike on SQLite
and PostgreSQL. Documents (specs, policies, details) are JSON text, read and written by `codec`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """A UTC time as whole microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """To the database."""
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """From the database."""
        return None if value is None else _EPOCH + _MICROSECOND * int(value)


metadata = MetaData()
_ULID = String(26)

credentials = Table(
    "credentials",
    metadata,
    Column("id", _ULID, primary_key=True),
    Column("name", String(80), nullable=False, unique=True),
    Column("kind", String(64), nullable=False),
    Column("place", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("due_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("ix_credentials_due", "status", "due_at"),
)
versions = Table(
    "versions",
    metadata,
    Column("id", _ULID, primary_key=True),
    Column("credential_id", _ULID, ForeignKey("credentials.id"), nullable=False),
    Column("rotation_id", _ULID),
    Column("state", String(16), nullable=False),
    Column("issued", Text),
    Column("expires_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("promoted_at", Instant),
    Column("revoke_at", Instant),
    Column("ended_at", Instant),
    Column("lineage", String(64)),
    Index("ix_versions_credential", "credential_id", "id"),
    Index(
        "ix_versions_lineage",
        "lineage",
        sqlite_where=text("lineage IS NOT NULL"),
        postgresql_where=text("lineage IS NOT NULL"),
    ),
    Index("ix_versions_expiry", "state", "expires_at"),
    Index(
        "uq_versions_current",
        "credential_id",
        unique=True,
        sqlite_where=text("state = 'current'"),
        postgresql_where=text("state = 'current'"),
    ),
)
sealed_values = Table(
    "sealed_values",
    metadata,
    Column("version_id", _ULID, ForeignKey("versions.id"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
rotations = Table(
    "rotations",
    metadata,
    Column("id", _ULID, primary_key=True),
    Column("credential_id", _ULID, ForeignKey("credentials.id"), nullable=False),
    Column("credential_name", String(80), nullable=False),
    Column("state", String(16), nullable=False),
    Column("mode", String(16), nullable=False),
    Column("actor_kind", String(32), nullable=False),
    Column("actor_name", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    Column("reason_code", String(32), nullable=False),
    Column("old_version_id", _ULID),
    Column("new_version_id", _ULID),
    Column("requested_at", Instant, nullable=False),
    Column("resume_at", Instant),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Column("abort_requested_at", Instant),
    Column("remints", Integer, nullable=False),
    Column("parked", Text),
    Column("api_calls", Integer, nullable=False),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("worker_id", String(64)),
    Column("claim_expires_at", Instant),
    Index("ix_rotations_resume", "resume_at"),
    Index("ix_rotations_credential", "credential_id", "id"),
    Index(
        "uq_rotations_active",
        "credential_id",
        unique=True,
        sqlite_where=text("state IN ('queued', 'running', 'undoing')"),
        postgresql_where=text("state IN ('queued', 'running', 'undoing')"),
    ),
)
steps = Table(
    "steps",
    metadata,
    Column("id", _ULID, primary_key=True),
    Column("rotation_id", _ULID, ForeignKey("rotations.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("name", String(16), nullable=False),
    Column("subject", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("intent_at", Instant),
    Column("outcome_at", Instant),
    Column("not_before", Instant),
    Column("detail", Text, nullable=False),
    Column("error", Text),
    Column("request_id", String(128)),
    Index("uq_steps_position", "rotation_id", "position", unique=True),
)
rollouts = Table(
    "rollouts",
    metadata,
    Column("id", _ULID, primary_key=True),
    Column("app", String(63), nullable=False),
    Column("secrets_version", BigInteger, nullable=False),
    Column("policy", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("waves", Integer, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("error", Text),
    Column("organization", String(100), nullable=False, server_default=text("''")),
    Column("release_id", String(64)),
    Column("release_version", BigInteger),
    Column("release_asked_at", Instant),
    Column("wish", String(16)),
    Index("ix_rollouts_app", "app", "id"),
    Index(
        "uq_rollouts_open",
        "app",
        unique=True,
        sqlite_where=text("state IN ('running', 'paused')"),
        postgresql_where=text("state IN ('running', 'paused')"),
    ),
)
rollout_rotations = Table(
    "rollout_rotations",
    metadata,
    Column("rollout_id", _ULID, ForeignKey("rollouts.id"), primary_key=True),
    Column("rotation_id", _ULID, ForeignKey("rotations.id"), primary_key=True),
    Index("ix_rollout_rotations_rotation", "rotation_id"),
)
machine_restarts = Table(
    "machine_restarts",
    metadata,
    Column("rollout_id", _ULID, ForeignKey("rollouts.id"), primary_key=True),
    Column("machine_id", String(32), primary_key=True),
    Column("app", String(63), nullable=False),
    Column("machine_name", String(128), nullable=False),
    Column("region", String(8), nullable=False),
    Column("process_group", String(128), nullable=False),
    Column("wave", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("old_instance_id", String(32), nullable=False),
    Column("new_instance_id", String(32)),
    Column("secrets_version", BigInteger),
    Column("leased_at", Instant),
    Column("updated_at", Instant),
    Column("started_at", Instant),
    Column("healthy_at", Instant),
    Column("ended_at", Instant),
    Column("note", Text, nullable=False),
    Column("admitted_at", Instant),
    Column("drained_at", Instant),
    Column("stopped_at", Instant),
    Column("released_at", Instant),
    Column("replaced_by", String(32)),
    Index("ix_machine_restarts_machine", "app", "machine_id", "rollout_id"),
    Index("ix_machine_restarts_admitted", "admitted_at"),
)
disruption_gates = Table(
    "disruption_gates",
    metadata,
    Column("organization", String(100), primary_key=True),
)
app_locks = Table(
    "app_locks",
    metadata,
    Column("app", String(63), primary_key=True),
    Column("holder", String(64)),
    Column("fence", BigInteger, nullable=False),
    Column("expires_at", Instant),
)
app_secrets_versions = Table(
    "app_secrets_versions",
    metadata,
    Column("app", String(63), primary_key=True),
    Column("secrets_version", BigInteger, nullable=False),
)
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
"""Columns that few events have: their indexes leave out the others."""


def _sparse_index(column: str) -> Index:
    given = text(f"{column} IS NOT NULL")
    return Index(
        f"ix_events_{column}", column, "sequence", sqlite_where=given, postgresql_where=given
    )


events = Table(
    "events",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("actor_kind", String(32), nullable=False),
    Column("actor_name", String(255), nullable=False),
    Column("action", String(48), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("credential", String(80)),
    Column("kind", String(64)),
    Column("organization", String(100)),
    Column("app", String(63)),
    Column("target", Text),
    Column("machine", String(32)),
    Column("rotation_id", _ULID),
    Column("rollout_id", _ULID),
    Column("request_id", String(128)),
    Column("detail", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("version", Integer, nullable=False, server_default=text("1")),
    Column("actor_host", String(255)),
    Column("actor_uid", BigInteger),
    Column("actor_machine", String(64)),
    Column("actor_region", String(32)),
    Index("ix_events_credential", "credential", "sequence"),
    Index("ix_events_kind", "kind", "sequence"),
    Index("ix_events_app", "app", "sequence"),
    Index("ix_events_action", "action", "sequence"),
    Index("ix_events_outcome", "outcome", "sequence"),
    Index("ix_events_actor", "actor_name", "sequence"),
    Index("ix_events_rotation", "rotation_id", "sequence"),
    Index("ix_events_organization", "organization", "sequence"),
    Index("ix_events_actor_kind", "actor_kind", "sequence"),
    *(_sparse_index(column) for column in _SPARSE),
)
event_actors = Table(
    "event_actors",
    metadata,
    Column("kind", String(32), primary_key=True),
    Column("name", String(255), primary_key=True),
)
"""Who stands in the log at all, so that the beginning of a name finds its events by index."""
event_spans = Table(
    "event_spans",
    metadata,
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("first_at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),
)
"""The times of every full block of 256 events: clocks differ, so order by sequence is not order
by time."""
tree_nodes = Table(
    "tree_nodes",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
"""The Merkle tree: all leaves, and the complete subtrees of 256, 65536, … of them."""
event_head = Table(
    "event_head",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False, server_default=text(f"'{'0' * 64}'")),
    Column("frontier", LargeBinary),
    Column("origin", String(255), nullable=False, server_default=text("''")),
    Column("first_at", Instant),
    Column("last_at", Instant),
)
"""Where the log ends: its size, the chain's hash, the tree's right edge, and the times of the
block that is not full yet."""
checkpoints = Table(
    "checkpoints",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", String(64), nullable=False),
    Column("signed_at", Instant, nullable=False),
    Column("key_id", String(32), nullable=False),
    Column("signature", Text, nullable=False),
    Column("note", Text),
)
archives = Table(
    "archives",
    metadata,
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("file", Text, nullable=False),
    Column("archived_at", Instant, nullable=False),
)
"""Ranges of events that stand in a file now; their leaves stay in the tree."""
log_cursors = Table(
    "log_cursors",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("resume_at", Instant),
    Column("note", Text, nullable=False),
)
"""How far something that follows the log has come."""
workers = Table(
    "workers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
)
key_checks = Table(
    "key_checks",
    metadata,
    Column("key_id", String(32), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
