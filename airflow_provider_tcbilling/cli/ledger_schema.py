"""Schema: the upgrade of a ledger in a database."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_provider_tcbilling.hooks._ledger_check_database import AIRFLOWS_OWN
from airflow_provider_tcbilling.ledger.database_engine import database_of
from airflow_provider_tcbilling.ledger.database_schema import revision_of

if TYPE_CHECKING:
    from airflow_provider_tcbilling.ledger.database import DatabaseStore


def upgraded(store: DatabaseStore) -> Iterator[str]:
    """
    Bring a ledger to the schema of this release, and yield in words what was done.

    :raises StoreFailed: The role may not do it, the schema is newer, or the database cannot be reached.
    """
    _quiet()
    before = revision_of(database_of(store.address))
    store.upgrade()
    after = revision_of(database_of(store.address))
    if before == after:
        yield f"The ledger {store.address} has revision {after} already: nothing was changed."
    else:
        was = f"revision {before}" if before else "no tables"
        yield f"The ledger {store.address} had {was}, and has revision {after} now."
    if store.shares_a_schema_with_airflow():
        yield f"Warning: {AIRFLOWS_OWN}."


def upgrade_sql(store: DatabaseStore) -> str:
    """Return the SQL that creates the tables of a new ledger. Nothing is changed, and no connection is opened."""
    _quiet()
    return store.upgrade_sql().rstrip()


def _quiet() -> None:
    """Keep the notes of the migrations out of the answer; their warnings stay."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
