"""The first schema: inventory, journal, rollouts, audit log.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_REFUSAL = "the audit log is append-only"


def upgrade() -> None:
    op.create_table(
        "app_locks",
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("app"),
    )
    op.create_table(
        "app_secrets_versions",
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("secrets_version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app"),
    )
    op.create_table(
        "checkpoints",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("signed_at", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.String(length=32), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
    )
    op.create_table(
        "credentials",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_index("ix_credentials_due", "credentials", ["status", "due_at"], unique=False)
    op.create_table(
        "event_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "events",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor_kind", sa.String(length=32), nullable=False),
        sa.Column("actor_name", sa.String(length=255), nullable=False),
        sa.Column("action", sa.String(length=48), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("credential", sa.String(length=80), nullable=True),
        sa.Column("kind", sa.String(length=64), nullable=True),
        sa.Column("organization", sa.String(length=100), nullable=True),
        sa.Column("app", sa.String(length=63), nullable=True),
        sa.Column("target", sa.Text(), nullable=True),
        sa.Column("machine", sa.String(length=32), nullable=True),
        sa.Column("rotation_id", sa.String(length=26), nullable=True),
        sa.Column("rollout_id", sa.String(length=26), nullable=True),
        sa.Column("request_id", sa.String(length=128), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
    )
    op.create_index("ix_events_action", "events", ["action", "sequence"], unique=False)
    op.create_index("ix_events_actor", "events", ["actor_name", "sequence"], unique=False)
    op.create_index("ix_events_app", "events", ["app", "sequence"], unique=False)
    op.create_index("ix_events_at", "events", ["at"], unique=False)
    op.create_index("ix_events_credential", "events", ["credential", "sequence"], unique=False)
    op.create_index("ix_events_kind", "events", ["kind", "sequence"], unique=False)
    op.create_index("ix_events_outcome", "events", ["outcome", "sequence"], unique=False)
    op.create_index("ix_events_rotation", "events", ["rotation_id", "sequence"], unique=False)
    op.create_table(
        "key_checks",
        sa.Column("key_id", sa.String(length=32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key_id"),
    )
    op.create_table(
        "rollouts",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("secrets_version", sa.BigInteger(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("waves", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_rollouts_app", "rollouts", ["app", "id"], unique=False)
    op.create_index(
        "uq_rollouts_running",
        "rollouts",
        ["app"],
        unique=True,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "machine_restarts",
        sa.Column("rollout_id", sa.String(length=26), nullable=False),
        sa.Column("machine_id", sa.String(length=32), nullable=False),
        sa.Column("app", sa.String(length=63), nullable=False),
        sa.Column("machine_name", sa.String(length=128), nullable=False),
        sa.Column("region", sa.String(length=8), nullable=False),
        sa.Column("process_group", sa.String(length=128), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("old_instance_id", sa.String(length=32), nullable=False),
        sa.Column("new_instance_id", sa.String(length=32), nullable=True),
        sa.Column("secrets_version", sa.BigInteger(), nullable=True),
        sa.Column("leased_at", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("healthy_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["rollout_id"],
            ["rollouts.id"],
        ),
        sa.PrimaryKeyConstraint("rollout_id", "machine_id"),
    )
    op.create_index(
        "ix_machine_restarts_machine",
        "machine_restarts",
        ["app", "machine_id", "rollout_id"],
        unique=False,
    )
    op.create_table(
        "rotations",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("credential_id", sa.String(length=26), nullable=False),
        sa.Column("credential_name", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("actor_kind", sa.String(length=32), nullable=False),
        sa.Column("actor_name", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("reason_code", sa.String(length=32), nullable=False),
        sa.Column("old_version_id", sa.String(length=26), nullable=True),
        sa.Column("new_version_id", sa.String(length=26), nullable=True),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("resume_at", sa.BigInteger(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("abort_requested_at", sa.BigInteger(), nullable=True),
        sa.Column("remints", sa.Integer(), nullable=False),
        sa.Column("parked", sa.Text(), nullable=True),
        sa.Column("api_calls", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("worker_id", sa.String(length=64), nullable=True),
        sa.Column("claim_expires_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["credential_id"],
            ["credentials.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_rotations_credential", "rotations", ["credential_id", "id"], unique=False)
    op.create_index("ix_rotations_resume", "rotations", ["resume_at"], unique=False)
    op.create_index(
        "uq_rotations_active",
        "rotations",
        ["credential_id"],
        unique=True,
        sqlite_where=sa.text("state IN ('queued', 'running', 'undoing')"),
        postgresql_where=sa.text("state IN ('queued', 'running', 'undoing')"),
    )
    op.create_table(
        "versions",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("credential_id", sa.String(length=26), nullable=False),
        sa.Column("rotation_id", sa.String(length=26), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("issued", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("promoted_at", sa.BigInteger(), nullable=True),
        sa.Column("revoke_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["credential_id"],
            ["credentials.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_versions_credential", "versions", ["credential_id", "id"], unique=False)
    op.create_index("ix_versions_expiry", "versions", ["state", "expires_at"], unique=False)
    op.create_index(
        "uq_versions_current",
        "versions",
        ["credential_id"],
        unique=True,
        sqlite_where=sa.text("state = 'current'"),
        postgresql_where=sa.text("state = 'current'"),
    )
    op.create_table(
        "rollout_rotations",
        sa.Column("rollout_id", sa.String(length=26), nullable=False),
        sa.Column("rotation_id", sa.String(length=26), nullable=False),
        sa.ForeignKeyConstraint(
            ["rollout_id"],
            ["rollouts.id"],
        ),
        sa.ForeignKeyConstraint(
            ["rotation_id"],
            ["rotations.id"],
        ),
        sa.PrimaryKeyConstraint("rollout_id", "rotation_id"),
    )
    op.create_index(
        "ix_rollout_rotations_rotation", "rollout_rotations", ["rotation_id"], unique=False
    )
    op.create_table(
        "sealed_values",
        sa.Column("version_id", sa.String(length=26), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id"],
            ["versions.id"],
        ),
        sa.PrimaryKeyConstraint("version_id"),
    )
    op.create_table(
        "steps",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("rotation_id", sa.String(length=26), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("intent_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome_at", sa.BigInteger(), nullable=True),
        sa.Column("not_before", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("request_id", sa.String(length=128), nullable=True),
        sa.ForeignKeyConstraint(
            ["rotation_id"],
            ["rotations.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("uq_steps_position", "steps", ["rotation_id", "position"], unique=True)

    op.execute("INSERT INTO event_head (id, sequence) VALUES (1, 0)")
    if op.get_bind().dialect.name == "postgresql":
        _refuse_changes_on_postgresql()
    else:
        _refuse_changes_on_sqlite()


def _refuse_changes_on_sqlite() -> None:
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER events_no_{verb.lower()} BEFORE {verb} ON events "
            f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        )


    # REPLACE deletes the row that stands in its way without a word to the trigger on DELETE.
    op.execute(
        "CREATE TRIGGER events_no_replace BEFORE INSERT ON events "
        "WHEN EXISTS (SELECT 1 FROM events WHERE sequence = NEW.sequence) "
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
    )


def _refuse_changes_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION rotator_refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER events_no_change BEFORE UPDATE OR DELETE ON events "
        "FOR EACH ROW EXECUTE FUNCTION rotator_refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON events "
        "FOR EACH STATEMENT EXECUTE FUNCTION rotator_refuse_change()"
    )


def downgrade() -> None:
    op.drop_table("steps")
    op.drop_table("sealed_values")
    op.drop_table("rollout_rotations")
    op.drop_table("versions")
    op.drop_table("rotations")
    op.drop_table("machine_restarts")
    op.drop_table("workers")
    op.drop_table("rollouts")
    op.drop_table("key_checks")
    op.drop_table("events")
    op.drop_table("event_head")
    op.drop_table("credentials")
    op.drop_table("checkpoints")
    op.drop_table("app_secrets_versions")
    op.drop_table("app_locks")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION rotator_refuse_change()")
