"""
The queue of requests in a row of a database: the statements that draw a ticket, and that slow the queue down.

All times are the database's own. A row that was edited to numbers that no statement writes is begun anew.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from airflow_provider_tcbilling.api.rate_limit import CUT, GAIN, LONGEST_QUEUE, QUIET_SECONDS, SLOWEST
from airflow_provider_tcbilling.ledger.database_tables import rate_limits

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

CLOCK_STEP = 1.0
"""Seconds by which the database's clock may have been set back. A row from later than that is begun anew."""

LONGEST = 1e9
"""Seconds that stand for no deadline, since a database may not take infinity."""

TABLE = rate_limits.name

NOW = {
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) AS double precision)",
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "mysql": "(timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6)) / 1e6)",
}
"""The database's clock in epoch seconds, by dialect."""

START = (
    "CASE WHEN queue.next_at BETWEEN {now} AND {now} + :longest AND queue.changed_at <= {now} + {step} "
    "THEN queue.next_at ELSE {now} END"
)
"""When the next request may go: at once if the row's moment has passed, or if it is one that no ticket has set."""

RATE = "CASE WHEN queue.rate BETWEEN :slowest AND :limit THEN queue.rate ELSE :limit END"
"""The row's rate, or the limit if it is one that no request has set."""

FASTER = f"CASE WHEN {RATE} + :gain < :limit THEN {RATE} + :gain ELSE :limit END"
SLOWER = f"CASE WHEN {RATE} * :cut > :slowest THEN {RATE} * :cut ELSE :slowest END"

# MySQL assigns from left to right, so that each value stands behind those that are computed from it.
ADVANCE = f"next_at = {START} + 1.0 / ({FASTER}), rate = {FASTER}, changed_at = {{now}}"
FITS = f"{START} - {{now}} <= :within"
SECONDS = "next_at - 1.0 / rate - {now}"
ROW = "(name, next_at, rate, refused_at, changed_at) VALUES (:name, {now} + 1.0 / :limit, :limit, 0, {now})"

DRAW = f"INSERT INTO {TABLE} AS queue {ROW} ON CONFLICT (name) DO UPDATE SET {ADVANCE} WHERE {FITS} RETURNING {SECONDS}"
"""Draws a ticket, and makes the row if there is none. It returns nothing if the ticket would have to wait too long."""

DRAW_IN_STEPS = (
    f"UPDATE {TABLE} AS queue SET {ADVANCE} WHERE name = :name AND {FITS}",
    f"INSERT IGNORE INTO {TABLE} {ROW}",
    f"SELECT {SECONDS} FROM {TABLE} WHERE name = :name",
)
"""The same where no statement returns what it wrote: in MySQL, in one transaction."""

SLOW_DOWN = (
    f"UPDATE {TABLE} AS queue SET rate = {SLOWER}, refused_at = {{now}} WHERE name = :name "
    "AND NOT coalesce(queue.refused_at, 0) BETWEEN {now} - :quiet AND {now}"
)
"""Slows all machines down; nothing if a refusal of the same second has done so."""


def drawn(connection: Connection, name: str, per_second: float, within: float) -> float:
    """
    Draw a ticket, unless it would have to wait for too long.

    :param name: Of the row. It shows no key.
    :param per_second: Requests a second at most.
    :param within: Seconds.
    :return: In how many seconds it may go; infinity if that would be too late, and none was drawn.
    """
    values = {**_limits(name, per_second), "gain": GAIN, "within": min(LONGEST, max(0.0, within))}
    if connection.dialect.name != "mysql":
        row = connection.execute(_statement(connection, DRAW), values).first()
        return math.inf if row is None else float(row[0])
    advance, insert, seconds = (_statement(connection, step) for step in DRAW_IN_STEPS)
    # Again where another process has made the row meanwhile.
    if not any(connection.execute(step, values).rowcount for step in (advance, insert, advance)):
        return math.inf
    return float(connection.execute(seconds, values).scalar() or 0.0)


def slowed(connection: Connection, name: str, per_second: float) -> int:
    """Slow a queue down; return how many rows that changed."""
    values = {**_limits(name, per_second), "cut": CUT, "quiet": QUIET_SECONDS}
    return int(connection.execute(_statement(connection, SLOW_DOWN), values).rowcount)


def _limits(name: str, per_second: float) -> dict[str, Any]:
    longest = LONGEST_QUEUE / per_second
    return {"name": name, "limit": float(per_second), "slowest": min(SLOWEST, per_second), "longest": longest}


def _statement(connection: Connection, template: str) -> Any:
    """Return a statement in the language of the connection's database."""
    return text(template.format(now=NOW[connection.dialect.name], step=CLOCK_STEP))
