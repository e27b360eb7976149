"""Run by alembic for each command; `fanfare.store.migrate` hands the connection in."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], target_metadata=None)
with context.begin_transaction():
    context.run_migrations()
