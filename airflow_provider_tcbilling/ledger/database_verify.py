"""
Verify: whether the rows of a ledger are what its events and its records say, so that a change by hand shows.

The events are chained by hashes, and :mod:`.database_events` checks the chain. Here each purchase is compared with its
record, from which its columns follow, with its events, and with the orders that it owns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from airflow_provider_tcbilling.api.text import harmless
from airflow_provider_tcbilling.ledger.database_rows import PRUNED, StoredText, columns_of, id_of, record_of, server_of
from airflow_provider_tcbilling.ledger.database_tables import approvals, events, orders, prices, purchases

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

PAGE = 500
"""Purchases that are compared at once."""

STATES: Mapping[str, str] = {
    "intended": "intended",
    "charged": "charged",
    "refused": "refused",
    "declined": "declined",
    "placed": "ordered",
    "delivered": "delivered",
}
"""The state of a purchase after an event of a kind."""

DECIDED = frozenset({"settled", "restored", "imported"})
"""Kinds of events after which a purchase may have any state, since a user decided, or another ledger did."""

UNSTATED = DECIDED | {"overrun"}
"""Kinds of events that do not tell the state. A price above its reservation shows at the delivery, or afterwards."""

APART = frozenset({"approved", "accepted", "assigned"})
"""Kinds of events that are not about the order or the amount of a purchase."""

RELEASING = frozenset({"declined", *DECIDED})
"""Kinds of events after which a purchase may count nothing; the amount of such an event is what was released."""

AMOUNTS = ("counted_cents", "gross_cents", "paid_cents")
"""The columns of which the last amount among the events is one."""


def flaws(connection: Connection) -> Iterator[str]:
    """Yield each purchase that is not what its record, its events and its order say."""
    last = ""
    while True:
        rows = _page(connection, last)
        of_purchase = _events_of(connection, [str(row.id) for row in rows])
        owners = _owners_of(connection, [row.order_id for row in rows if row.order_id])
        for row in rows:
            for flaw in _flaws_of(row, of_purchase[str(row.id)], owners):
                yield f"purchase {harmless(row.key)} ({row.id}): {flaw}"
        if len(rows) < PAGE:
            break
        last = str(rows[-1].id)
    yield from _without_row(connection)
    yield from _decisions(connection)


def _page(connection: Connection, last: str) -> list[Row[Any]]:
    wanted = select(purchases)
    after = wanted.where(purchases.c.id > last) if last else wanted
    return [*connection.execute(after.order_by(purchases.c.id).limit(PAGE))]


def _events_of(connection: Connection, ids: Sequence[str]) -> dict[str, list[Row[Any]]]:
    """Return the events of each purchase, the first one first."""
    found: dict[str, list[Row[Any]]] = defaultdict(list)
    wanted = select(events).where(events.c.purchase.in_(ids)).order_by(events.c.at_ms, events.c.book, events.c.seq)
    for row in connection.execute(wanted):
        found[str(row.purchase)].append(row)
    return found


def _owners_of(connection: Connection, numbers: Sequence[str]) -> dict[tuple[str, str], str]:
    """Return the purchase that each order is assigned to."""
    wanted = select(orders.c.order_id, orders.c.server, orders.c.purchase).where(orders.c.order_id.in_(numbers))
    return {(row.order_id, row.server): str(row.purchase) for row in connection.execute(wanted)}


def _flaws_of(row: Row[Any], own: Sequence[Row[Any]], owners: Mapping[tuple[str, str], str]) -> Iterator[str]:
    if str(row.id) != id_of(row.key):
        yield "its key was edited"
    if not own:
        yield "it has no event"
    if row.state != PRUNED:
        yield from _beside_record(row, owners)
        yield from _state_beside_events(row, own)
    yield from _beside_events(row, own)


def _beside_record(row: Row[Any], owners: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """Yield each column that does not follow from the record."""
    record = _record_of(row)
    if not record:
        yield "its record cannot be read"
        return
    for name, value in columns_of(record).items():
        shown = getattr(row, name)
        if shown != value and not _is_near(shown, value) and not _is_of_before(row, name):
            yield f"its {name} is {_written_as(shown)}, and {_written_as(value)} in its record"
    if row.order_id and owners.get((row.order_id, server_of(record))) != str(row.id):
        yield f"order {harmless(row.order_id)} is not assigned to it"


def _record_of(row: Row[Any]) -> Mapping[str, Any]:
    try:
        return record_of(StoredText.of(row.record, 0))
    except Exception:
        return {}


def _is_of_before(row: Row[Any], name: str) -> bool:
    """Whether a column is empty because an earlier release wrote the row, which knew no run and no price key."""
    return name == "run" and not row.run and not row.price_key


def _is_near(shown: Any, value: Any) -> bool:
    """Whether two moments are the same, as far as a database keeps them."""
    return isinstance(shown, float) and isinstance(value, float) and abs(shown - value) < 1e-3


def _state_beside_events(row: Row[Any], own: Sequence[Row[Any]]) -> Iterator[str]:
    decisive = [event.kind for event in own if event.kind in STATES or event.kind in UNSTATED]
    if decisive and (state := STATES.get(decisive[-1])) and row.state not in (state, ""):
        yield f"its state is {_written_as(row.state)}, and {state} by its events"


def _beside_events(row: Row[Any], own: Sequence[Row[Any]]) -> Iterator[str]:
    """Yield where the order or the amount of a purchase is not the last one of its events."""
    about = [event for event in own if event.kind not in APART]
    numbers = [event.order_id for event in about if event.order_id]
    if row.order_id and row.order_id not in numbers[-1:]:
        last_number = _written_as(numbers[-1] if numbers else None)
        yield f"its order is {harmless(row.order_id)}, and {last_number} by its events"
    last = next((event for event in reversed(about) if event.cents is not None), None)
    if not _agrees(row, last):
        told = "none" if last is None else f"{last.cents} ({last.kind})"
        yield f"it counts {_written_as(row.counted_cents)} cents, and the last amount of its events is {told}"


def _agrees(row: Row[Any], last: Row[Any] | None) -> bool:
    """Whether the amount of a purchase may follow from the last event with an amount."""
    if last is None:
        return not row.counted_cents
    if last.cents in [getattr(row, name) for name in AMOUNTS]:
        return True
    # An order that cost nothing has released what was reserved for it.
    return not row.counted_cents and (last.kind in RELEASING or last.cents == row.reserved_cents)


def _without_row(connection: Connection) -> Iterator[str]:
    """Yield each purchase of which there are events and no row."""
    joined = events.outerjoin(purchases, purchases.c.id == events.c.purchase)
    lost = select(events.c.purchase).select_from(joined).where(purchases.c.id.is_(None))
    for (purchase,) in connection.execute(lost.where(events.c.kind.in_([*STATES, *DECIDED])).distinct()):
        yield f"purchase {purchase}: it has events, and its row is gone"


def _decisions(connection: Connection) -> Iterator[str]:
    """Yield each approval and each accepted price that no event tells so, and each that is gone."""
    wanted = select(events).where(events.c.kind.in_(["approved", "accepted"])).order_by(events.c.at_ms, events.c.seq)
    told = {(event.kind, str(event.purchase), event.cents, event.who) for event in connection.execute(wanted)}
    approved, accepted = (connection.execute(select(table)).all() for table in (approvals, prices))
    kept = {("approved", str(row.purchase)) for row in approved}
    kept |= {("accepted", id_of(f"price {row.price_key}")) for row in accepted}
    for kind, purchase in sorted({(kind, purchase) for kind, purchase, *_ in told} - kept):
        yield f"purchase or price {purchase}: an event says {kind}, and nothing of it is kept"
    for row in approved:
        if ("approved", str(row.purchase), row.cents, row.approved_by) not in told:
            yield f"approval {harmless(row.code)} of {harmless(row.key)}: no event approves {row.cents} cents"
    for row in accepted:
        if ("accepted", id_of(f"price {row.price_key}"), row.accepted_cents, row.accepted_by) not in told:
            yield f"price {harmless(row.price_key)}: no event accepts {row.accepted_cents} cents"


def _written_as(value: Any) -> str:
    return "none" if value is None else harmless(value)
