"""Prune: remove the records of purchases that were delivered long ago. Their cost and their orders stay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_provider_tcbilling.api.text import amount
from airflow_provider_tcbilling.cli.lookup import Refused
from airflow_provider_tcbilling.ledger.database_lookup import delivered_before
from airflow_provider_tcbilling.task.next_steps import moment

if TYPE_CHECKING:
    from airflow_provider_tcbilling.ledger.database import DatabaseStore

LISTED_DAYS = 90
"""The order book is searched so many days back. An order of these days may still be compared with its record."""


def pruned(store: DatabaseStore, before: float, *, is_sure: bool, force: bool) -> Iterator[str]:
    """
    Remove the records of purchases that were delivered before a moment, or count them; yield in words what was done.

    :param before: Epoch seconds of the last change.
    :param is_sure: Remove them.
    :param force: Also those that the order book still lists.
    :raises Refused: The moment is too late. Nothing was removed.
    """
    last = store.now() - LISTED_DAYS * 86_400
    if before > last and not force:
        raise Refused(
            f"Nothing was removed: --before lies less than {LISTED_DAYS} days back, and the order book may still list "
            f"the orders of these records. Give a time before {moment(last)}, or add --force."
        )
    sums = store.database.reading(lambda connection: delivered_before(connection, before))
    count = sum(one.purchases for one in sums)
    if not count:
        yield f"The ledger {store.address} has no record of a purchase that was delivered before {moment(before)}."
        return
    paid = ", ".join(amount(one.cents, one.currency) for one in sums if one.cents) or "nothing that is known"
    about = f"{count} records of purchases that were delivered before {moment(before)}, for which was paid: {paid}"
    if not is_sure:
        yield f"The ledger {store.address} has {about}."
        yield "Nothing was removed. Add --yes to remove them: their orders stay owned, and the totals are kept."
        return
    removed = store.prune(before)
    yield f"The ledger {store.address} had {about}."
    yield f"{removed} records were removed. Their orders stay owned, and the totals are kept."
