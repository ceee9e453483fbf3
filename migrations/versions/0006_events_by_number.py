"""SQLite: the number of an event becomes the table's own key.

`BIGINT PRIMARY KEY` is an index beside the table on SQLite, so that each event was looked up twice.
As `INTEGER PRIMARY KEY` it is where the row is stored. PostgreSQL has nothing to change.

The rows, their hashes and the chain stay as they are; so do the triggers that refuse changes.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_REFUSAL = "the audit log is append-only"
_COLUMNS = (
    ("at", sa.BigInteger(), False),
    ("actor_kind", sa.String(32), False),
    ("actor_name", sa.String(255), False),
    ("action", sa.String(48), False),
    ("outcome", sa.String(16), False),
    ("reason", sa.Text(), False),
    ("credential", sa.String(80), True),
    ("kind", sa.String(64), True),
    ("organization", sa.String(100), True),
    ("app", sa.String(63), True),
    ("target", sa.Text(), True),
    ("machine", sa.String(32), True),
    ("rotation_id", sa.String(26), True),
    ("rollout_id", sa.String(26), True),
    ("request_id", sa.String(128), True),
    ("detail", sa.Text(), False),
    ("previous", sa.String(64), False),
    ("hash", sa.String(64), False),
    ("version", sa.Integer(), False),
    ("actor_host", sa.String(255), True),
    ("actor_uid", sa.BigInteger(), True),
    ("actor_machine", sa.String(64), True),
    ("actor_region", sa.String(32), True),
)
_INDEXES = (
    ("credential", "credential"),
    ("kind", "kind"),
    ("app", "app"),
    ("action", "action"),
    ("outcome", "outcome"),
    ("actor", "actor_name"),
    ("rotation", "rotation_id"),
    ("organization", "organization"),
    ("actor_kind", "actor_kind"),
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


def upgrade() -> None:
    _rebuild(sa.Integer())


def downgrade() -> None:
    _rebuild(sa.BigInteger())


def _rebuild(number: sa.types.TypeEngine) -> None:
    """Copy the events into a table with another type of key, and put that in its place."""
    if op.get_bind().dialect.name == "postgresql":
        return
    columns = [
        sa.Column(
            name,
            kind,
            nullable=nullable,
            server_default=sa.text("1") if name == "version" else None,
        )
        for name, kind, nullable in _COLUMNS
    ]
    op.create_table(
        "events_by_number",
        sa.Column("sequence", number, autoincrement=False, nullable=False),
        *columns,
        sa.PrimaryKeyConstraint("sequence"),
    )
    names = ", ".join(["sequence", *(name for name, _, _ in _COLUMNS)])
    op.execute(
        f"INSERT INTO events_by_number ({names}) SELECT {names} FROM events ORDER BY sequence"
    )
    op.drop_table("events")
    op.rename_table("events_by_number", "events")
    for name, column in _INDEXES:
        op.create_index(f"ix_events_{name}", "events", [column, "sequence"])
    for column in _SPARSE:
        given = sa.text(f"{column} IS NOT NULL")
        op.create_index(f"ix_events_{column}", "events", [column, "sequence"], sqlite_where=given)
    _guard()


def _guard() -> None:
    """The triggers went with the old table."""
    refuse = f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
    op.execute(f"CREATE TRIGGER events_no_update BEFORE UPDATE ON events {refuse}")
    op.execute(
        "CREATE TRIGGER events_no_delete BEFORE DELETE ON events WHEN NOT EXISTS "
        "(SELECT 1 FROM archives WHERE OLD.sequence BETWEEN first AND last) " + refuse
    )
    op.execute(
        "CREATE TRIGGER events_no_replace BEFORE INSERT ON events "
        "WHEN EXISTS (SELECT 1 FROM events WHERE sequence = NEW.sequence) "
        "OR EXISTS (SELECT 1 FROM archives WHERE last >= NEW.sequence) " + refuse
    )
