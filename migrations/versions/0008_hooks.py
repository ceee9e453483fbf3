"""Requests to hooks that were seen, the leaks that they told of, and approvals of people.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hook_deliveries",
        sa.Column("hook", sa.String(length=40), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("hook", "key"),
    )
    op.create_index(
        "uq_hook_deliveries_digest", "hook_deliveries", ["hook", "digest"], unique=True
    )
    op.create_index("ix_hook_deliveries_seen", "hook_deliveries", ["seen_at"])
    op.create_table(
        "leak_alerts",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("hook", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("respond", sa.String(length=16), nullable=False),
        sa.Column("untracked", sa.String(length=16), nullable=False),
        sa.Column("approve_seconds", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("sort", sa.String(length=100), nullable=False),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("resume_at", sa.BigInteger(), nullable=True),
        sa.Column("credential_id", sa.String(length=26), nullable=True),
        sa.Column("version_id", sa.String(length=26), nullable=True),
        sa.Column("course", sa.String(length=16), nullable=True),
        sa.Column("rotation_id", sa.String(length=26), nullable=True),
        sa.Column("began_at", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("decided_by_kind", sa.String(length=32), nullable=True),
        sa.Column("decided_by_name", sa.String(length=255), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["credential_id"], ["credentials.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    given = sa.text("resume_at IS NOT NULL")
    op.create_index(
        "ix_leak_alerts_resume",
        "leak_alerts",
        ["resume_at"],
        sqlite_where=given,
        postgresql_where=given,
    )
    op.create_index("ix_leak_alerts_state", "leak_alerts", ["state", "id"])
    op.create_table(
        "leak_values",
        sa.Column("alert_id", sa.String(length=26), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["alert_id"], ["leak_alerts.id"]),
        sa.PrimaryKeyConstraint("alert_id"),
    )


def downgrade() -> None:
    op.drop_table("leak_values")
    op.drop_index("ix_leak_alerts_state", table_name="leak_alerts")
    op.drop_index("ix_leak_alerts_resume", table_name="leak_alerts")
    op.drop_table("leak_alerts")
    op.drop_index("ix_hook_deliveries_seen", table_name="hook_deliveries")
    op.drop_index("uq_hook_deliveries_digest", table_name="hook_deliveries")
    op.drop_table("hook_deliveries")
