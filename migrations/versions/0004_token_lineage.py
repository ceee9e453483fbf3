"""What a leaked copy of a token is recognised by: Fly's audit id of its nonce.

Versions that exist are traced by the running rotator, which can open their values.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("lineage", sa.String(length=64), nullable=True))
    known = sa.text("lineage IS NOT NULL")
    op.create_index(
        "ix_versions_lineage",
        "versions",
        ["lineage"],
        sqlite_where=known,
        postgresql_where=known,
    )


def downgrade() -> None:
    op.drop_index("ix_versions_lineage", table_name="versions")
    op.execute("ALTER TABLE versions DROP COLUMN lineage")
