"""Alembic runs this file to bring a store's tables to a version, in the transaction that it is given."""

from alembic import context

from studykit.trust.tables import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
