"""Alembic's entry: runs on the connection that `rotator.store.schema` passes in."""

from alembic import context

from rotator.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    transaction_per_migration=False,
)
context.run_migrations()
