"""The tables of what stands at targets, and of what is assumed to have leaked."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text

from rotator.store.tables import Instant, metadata

_ULID = String(26)

target_watches = Table(
    "target_watches",
    metadata,
    Column("credential_id", _ULID, ForeignKey("credentials.id"), primary_key=True),
    Column("target", Text, primary_key=True),
    Column("marker", Text, nullable=False),
    Column("writer", String(16), nullable=False),
    Column("at", Instant, nullable=False),
    Column("who", String(255), nullable=False),
    Column("writes", Integer, nullable=False),
    Column("contested_at", Instant),
)
taints = Table(
    "taints",
    metadata,
    Column("id", _ULID, primary_key=True),
    Column("credential_id", _ULID, ForeignKey("credentials.id"), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("wave", Integer, nullable=False),
    Column("because", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("rotation_id", _ULID),
    Column("actor_kind", String(32), nullable=False),
    Column("actor_name", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Index("ix_taints_state", "state", "id"),
)
