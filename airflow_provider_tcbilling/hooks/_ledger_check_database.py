"""The tests of a ledger in a database. Each returns what it found, or raises if the property does not hold."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from airflow_provider_tcbilling.hooks._checks import Failed, Warned
from airflow_provider_tcbilling.ledger.database_engine import database_of
from airflow_provider_tcbilling.ledger.database_lookup import server_of
from airflow_provider_tcbilling.ledger.database_race import creation_flaw, queue_flaw, replacement_flaw
from airflow_provider_tcbilling.task.next_steps import moment

if TYPE_CHECKING:
    from airflow_provider_tcbilling.ledger.database import DatabaseStore

AIRFLOWS_OWN = (
    "this is the metadata database of Airflow. A restore or a reset of Airflow takes the ledger along, and a purchase "
    "that is forgotten can be bought again. Give the ledger a database, or a schema, of its own"
)

MOST_SECONDS = 60.0
"""The difference of two clocks that is tolerated."""

FLAWS_SHOWN = 5


def is_reachable(store: DatabaseStore) -> str:
    """Connect."""
    return f"{store.address}, {database_of(store.address).reading(server_of)}"


def has_schema(store: DatabaseStore) -> str:
    """Read the revision, which the identity needs."""
    return f"revision {store.identity.revision}, as this release needs it"


def may_write(store: DatabaseStore) -> str:
    """Write into the tables, and roll back."""
    _fail_if(store.self_test())
    return f"as role {store.address.user}" if store.address.user else "into the file"


def creates_exclusively(store: DatabaseStore) -> str:
    """Create a row twice at the same moment."""
    _fail_if([flaw] if (flaw := creation_flaw(store.database)) else [])
    return "of two creations at the same moment one was refused"


def replaces_conditionally(store: DatabaseStore) -> str:
    """Replace a row twice at the same moment."""
    _fail_if([flaw] if (flaw := replacement_flaw(store.database)) else [])
    return "of two replacements at the same moment one was refused"


def survives_a_crash(store: DatabaseStore) -> str:
    """Read the settings of the server."""
    if flaws := store.durability_flaws():
        raise Failed(f"a crash of the server may lose an intent that was stored, and the task buys again: {flaws[0]}")
    return "what was stored is on the disk of the server"


def has_the_time(store: DatabaseStore) -> str:
    """Compare the ledger's clock with that of this machine."""
    if not database_of(store.address).dialect.has_own_clock:
        return "it is that of this machine"
    difference, now, machine = store.clock_difference(), store.now(), f"this machine ({socket.gethostname()})"
    if abs(difference) > MOST_SECONDS:
        raise Failed(
            f"the clock of {store.address} says {moment(now)}, and that of {machine} {moment(now - difference)}: "
            f"{abs(difference):.0f} s apart, and {MOST_SECONDS:.0f} s are tolerated. Set the one that is wrong"
        )
    return f"{abs(difference):.2f} s {'ahead of' if difference > 0 else 'behind'} that of {machine}"


def is_apart(store: DatabaseStore) -> str:
    """See whether the tables stand among those of Airflow."""
    if store.shares_a_schema_with_airflow():
        raise Warned(AIRFLOWS_OWN)
    return "it is not Airflow's metadata database"


def has_all_events(store: DatabaseStore) -> str:
    """Compute the hash of each event."""
    _fail_if(store.verify_chain())
    return "each has the hash of the one before it"


def counts_requests(store: DatabaseStore) -> str:
    """Use a row of the rate limit, which is deleted again."""
    _fail_if([flaw] if (flaw := queue_flaw(store.database)) else [])
    return "a row was made, read and deleted"


def _fail_if(flaws: list[str]) -> None:
    if flaws:
        more = len(flaws) - FLAWS_SHOWN
        raise Failed("; ".join([*flaws[:FLAWS_SHOWN], *([f"and {more} more"] if more > 0 else [])]))
