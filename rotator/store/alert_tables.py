"""The tables of what hooks were told."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    text,
)

from rotator.store.tables import Instant, metadata

_ULID = String(26)
_GIVEN = text("resume_at IS NOT NULL")

hook_deliveries = Table(
    "hook_deliveries",
    metadata,
    Column("hook", String(40), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("status", Integer, nullable=False),
    Column("answer", Text, nullable=False),
    Index("uq_hook_deliveries_digest", "hook", "digest", unique=True),
    Index("ix_hook_deliveries_seen", "seen_at"),
)
leak_alerts = Table(
    "leak_alerts",
    metadata,
    Column("id", _ULID, primary_key=True),
    Column("hook", String(40), nullable=False),
    Column("state", String(16), nullable=False),
    Column("respond", String(16), nullable=False),
    Column("untracked", String(16), nullable=False),
    Column("approve_seconds", BigInteger, nullable=False),
    Column("place", Text, nullable=False),
    Column("sort", String(100), nullable=False),
    Column("source", String(255), nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("resume_at", Instant),
    Column("credential_id", _ULID, ForeignKey("credentials.id")),
    Column("version_id", _ULID),
    Column("course", String(16)),
    Column("rotation_id", _ULID),
    Column("began_at", Instant),
    Column("expires_at", Instant),
    Column("attempts", Integer, nullable=False),
    Column("note", Text, nullable=False),
    Column("decided_by_kind", String(32)),
    Column("decided_by_name", String(255)),
    Column("decided_at", Instant),
    Column("reason", Text, nullable=False),
    Index("ix_leak_alerts_resume", "resume_at", sqlite_where=_GIVEN, postgresql_where=_GIVEN),
    Index("ix_leak_alerts_state", "state", "id"),
)
leak_values = Table(
    "leak_values",
    metadata,
    Column("alert_id", _ULID, ForeignKey("leak_alerts.id"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
"""Leaked values, sealed, for as long as something has to be done with them."""
