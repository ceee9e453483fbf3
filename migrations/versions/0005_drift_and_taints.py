"""Who wrote what stands at targets, and what is assumed to have leaked.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "target_watches",
        sa.Column("credential_id", sa.String(length=26), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("marker", sa.Text(), nullable=False),
        sa.Column("writer", sa.String(length=16), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.String(length=255), nullable=False),
        sa.Column("writes", sa.Integer(), nullable=False),
        sa.Column("contested_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["credential_id"], ["credentials.id"]),
        sa.PrimaryKeyConstraint("credential_id", "target"),
    )
    op.create_table(
        "taints",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("credential_id", sa.String(length=26), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("rotation_id", sa.String(length=26), nullable=True),
        sa.Column("actor_kind", sa.String(length=32), nullable=False),
        sa.Column("actor_name", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["credential_id"], ["credentials.id"]),
        sa.PrimaryKeyConstraint("id", "credential_id"),
    )
    op.create_index("ix_taints_state", "taints", ["state", "id"])


def downgrade() -> None:
    op.drop_index("ix_taints_state", table_name="taints")
    op.drop_table("taints")
    op.drop_table("target_watches")
