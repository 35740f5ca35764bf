"""Run by Alembic: migrate over the connection that the caller has opened, in its transaction."""

from alembic import context

from flows.verdicts.tables import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
