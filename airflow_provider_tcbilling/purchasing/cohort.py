"""
Cohort: purchases of the same thing that know no order, and the orders that they may take.

The order book does not say which of two identical requests an order answers. It need not: where the payloads are equal,
any order is as good as another, as long as each order goes to one purchase, and each purchase takes one order at most.
So the earlier intent takes first. A purchase for which no order is left has bought nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from airflow_provider_tcbilling.api.fingerprint import is_same
from airflow_provider_tcbilling.api.masking import is_masked
from airflow_provider_tcbilling.purchasing.money_action import Candidate
from airflow_provider_tcbilling.purchasing.record import Record


def cohort_of(record: Record, open_alike: Iterable[Record], beside: float = 0.0) -> list[Record]:
    """
    Return a record and all whose orders may be taken for those of another in it, in the order in which they may choose.

    One that is never sent again comes first, then the earliest intent.

    Each process that asks finds the same cohort, whichever of its purchases it is about.

    :param open_alike: The records without an order whose orders look alike.
    :param beside: Seconds by which clocks may differ beyond the usual.
    """
    cohort, left = [record], list(open_alike)
    for member in cohort:
        cohort += [other for other in left if other.overlaps(member, beside)]
        left = [other for other in left if not other.overlaps(member, beside)]
    return sorted(cohort, key=lambda one: (not one.state.is_final, one.intended_at, one.key))


def is_identical(record: Record, other: Record) -> bool:
    """Whether two purchases surely ask for the same, their secrets included, and of the same account."""
    if record.payload != other.payload:
        return False
    if is_same(record.fingerprint, other.fingerprint) is True:
        return True  # One SecretKey has sealed both.
    # A payload without secrets is whole in its record, but the orders of another account are not in the order book.
    same = ((record.key_id, other.key_id), (record.account, other.account))
    is_of_one_account = any(one and one == another for one, another in same)
    return is_of_one_account and not is_masked(record.payload)


def shares_of(choices: Mapping[str, Sequence[Candidate]]) -> Mapping[str, Candidate]:
    """
    Return which purchase takes which order: as many as possible take one, and the earlier purchases before the later.

    :param choices: The orders that each purchase may take, by its key, the earliest intent first.
    """
    takers: dict[str, str] = {}
    orders = {order.order_id: order for choice in choices.values() for order in choice}

    def takes(key: str, refused: set[str]) -> bool:
        for order_id in sorted({order.order_id for order in choices[key]}):
            if order_id in refused:
                continue
            refused.add(order_id)
            if order_id not in takers or takes(takers[order_id], refused):
                takers[order_id] = key
                return True
        return False

    for key in choices:
        takes(key, set())
    return {key: orders[order_id] for order_id, key in takers.items()}
