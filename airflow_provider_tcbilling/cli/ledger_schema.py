"""Schema: the upgrade of a ledger in a database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_provider_tcbilling.ledger.database_engine import database_of
from airflow_provider_tcbilling.ledger.database_schema import revision_of

if TYPE_CHECKING:
    from airflow_provider_tcbilling.ledger.database import DatabaseStore

AIRFLOWS_OWN = (
    "this is the metadata database of Airflow. A restore or a reset of Airflow takes the ledger along, and a purchase "
    "that is forgotten can be bought again. Give the ledger a database, or a schema, of its own"
)


def upgraded(store: DatabaseStore) -> Iterator[str]:
    """
    Bring a ledger to the schema of this release, and yield in words what was done.

    :raises StoreFailed: The role may not do it, the schema is newer, or the database cannot be reached.
    """
    before = revision_of(database_of(store.address))
    store.upgrade()
    after = revision_of(database_of(store.address))
    if before == after:
        yield f"{store.about} has revision {after} already: nothing was changed."
    else:
        yield f"{store.about} had {f'revision {before}' if before else 'no tables'}, and has revision {after} now."
    if store.shares_a_schema_with_airflow():
        yield f"Warning: {AIRFLOWS_OWN}."
