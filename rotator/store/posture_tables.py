"""The tables of findings, and of when they were looked for."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table, Text

from rotator.store.tables import Instant, metadata

posture_looks = Table(
    "posture_looks",
    metadata,
    Column("organization", String(255), primary_key=True),
    Column("due_at", Instant, nullable=False),
    Column("holder", String(255)),
    Column("held_until", Instant),
    Column("looked_at", Instant),
    Column("missing", Text, nullable=False),
)
findings = Table(
    "findings",
    metadata,
    Column("fingerprint", String(32), primary_key=True),
    Column("organization", String(255), nullable=False),
    Column("app", String(255), nullable=False),
    Column("rule", String(64), nullable=False),
    Column("topic", String(32), nullable=False),
    Column("subject", Text, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("mend", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("resolved_at", Instant),
    Column("times", Integer, nullable=False),
    Column("note", Text, nullable=False),
    Index("ix_findings_state", "state", "severity"),
    Index("ix_findings_organization", "organization", "fingerprint"),
)
