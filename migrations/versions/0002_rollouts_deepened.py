"""Rollouts that can be paused, that make releases, that keep a disruption budget.

Revision ID: 0002
Revises: 0001
"""

import json
from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ROLLOUT_COLUMNS = (
    ("organization", sa.String(length=100)),
    ("release_id", sa.String(length=64)),
    ("release_version", sa.BigInteger()),
    ("release_asked_at", sa.BigInteger()),
    ("wish", sa.String(length=16)),
)
_RESTART_COLUMNS = (
    ("admitted_at", sa.BigInteger()),
    ("drained_at", sa.BigInteger()),
    ("stopped_at", sa.BigInteger()),
    ("released_at", sa.BigInteger()),
    ("replaced_by", sa.String(length=32)),
)
_OLD_STATES = ("state = 'running'", "uq_rollouts_running")
_NEW_STATES = ("state IN ('running', 'paused')", "uq_rollouts_open")


def upgrade() -> None:
    for name, kind in _ROLLOUT_COLUMNS:
        default = sa.text("''") if name == "organization" else None
        column = sa.Column(name, kind, nullable=default is None, server_default=default)
        op.add_column("rollouts", column)
    for name, kind in _RESTART_COLUMNS:
        op.add_column("machine_restarts", sa.Column(name, kind, nullable=True))
    op.create_index("ix_machine_restarts_admitted", "machine_restarts", ["admitted_at"])
    op.create_table(
        "disruption_gates",
        sa.Column("organization", sa.String(length=100), nullable=False),
        sa.PrimaryKeyConstraint("organization"),
    )
    _reindex(_OLD_STATES, _NEW_STATES)
    _rewrite(_renamed("mode", "strategy", {}))


def downgrade() -> None:
    op.execute(sa.text("UPDATE rollouts SET state = 'failed' WHERE state IN ('paused', 'partial')"))
    _rewrite(_renamed("strategy", "mode", {"none": "none"}))
    _reindex(_NEW_STATES, _OLD_STATES)
    op.drop_table("disruption_gates")
    op.drop_index("ix_machine_restarts_admitted", table_name="machine_restarts")
    with op.batch_alter_table("machine_restarts") as restarts:
        for name, _ in _RESTART_COLUMNS:
            restarts.drop_column(name)
    with op.batch_alter_table("rollouts") as rollouts:
        for name, _ in _ROLLOUT_COLUMNS:
            rollouts.drop_column(name)


def _reindex(old: tuple[str, str], new: tuple[str, str]) -> None:
    op.drop_index(old[1], table_name="rollouts")
    where = sa.text(new[0])
    op.create_index(
        new[1], "rollouts", ["app"], unique=True, sqlite_where=where, postgresql_where=where
    )


def _renamed(
    old: str, new: str, known: dict[str, str]
) -> Callable[[dict[str, object]], dict[str, object]]:
    """Rename the field that says how machines are restarted; on the way back, strategies that the
    older schema does not know become rolling ones."""

    def change(policy: dict[str, object]) -> dict[str, object]:
        if old not in policy:
            return policy
        value = str(policy[old])
        kept = {key: each for key, each in policy.items() if key != old}
        return {new: known.get(value, "rolling") if known else value, **kept}

    return change


def _rewrite(change: Callable[[dict[str, object]], dict[str, object]]) -> None:
    """Apply a change to every rollout policy in the database."""
    connection = op.get_bind()
    for row in connection.execute(sa.text("SELECT id, policy FROM rollouts")).all():
        policy = json.dumps(change(json.loads(row.policy)), separators=(",", ":"))
        connection.execute(
            sa.text("UPDATE rollouts SET policy = :policy WHERE id = :id"),
            {"policy": policy, "id": row.id},
        )
    for row in connection.execute(sa.text("SELECT id, spec FROM credentials")).all():
        spec = json.loads(row.spec)
        for target in spec.get("targets", []):
            if isinstance(target.get("rollout"), dict):
                target["rollout"] = change(target["rollout"])
        connection.execute(
            sa.text("UPDATE credentials SET spec = :spec WHERE id = :id"),
            {"spec": json.dumps(spec, separators=(",", ":")), "id": row.id},
        )
