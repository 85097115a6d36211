"""How Alembic runs the migrations of a ledger: on a connection that is open, or into a text of SQL."""

from __future__ import annotations

from alembic import context

from airflow_provider_tcbilling.ledger.database_tables import VERSION_TABLE, metadata

attributes = context.config.attributes

if context.is_offline_mode():
    name = attributes["dialect"]
    context.configure(dialect_name=name, literal_binds=True, target_metadata=metadata, version_table=VERSION_TABLE)
else:
    context.configure(connection=attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE)

with context.begin_transaction():
    context.run_migrations()
