"""Decision: the table that a purchase and ``explain`` decide by, as a table of the documentation."""

from __future__ import annotations

from collections.abc import Iterable

from arguments import table

from airflow_provider_tcbilling.purchasing.decision import TABLE, Override, Row, Window

OVERRIDES = {
    Override.NEVER: "never",
    Override.IF_SAFE: "yes, for a new instance",
    Override.YES: "yes",
}
"""Whether the policy ``replay`` sends the token again instead of a stop."""


def decision_table() -> str:
    """Return a line for each row, in the order in which they are tried."""
    head = ("Situation", "Conditions", "Next", "With `replay`: sends")
    return table(
        head, [(row.about.capitalize(), "; ".join(conditions(row)), step(row), override(row)) for row in TABLE]
    )


def conditions(row: Row) -> Iterable[str]:
    """Yield each condition of a row. A row without one holds always."""
    if row.matches:
        yield f"orders that match: {', '.join(number.value for number in row.matches)}"
    if row.unclear is not None:
        yield f"an order that cannot be told apart: {yes(row.unclear)}"
    if row.rivals is not None:
        yield f"may be another purchase's: {yes(row.rivals)}"
    if row.identical is not None:
        yield f"of the same, and under way: {yes(row.identical)}"
    if row.state is not None:
        yield f"record: `{row.state.value}`"
    if row.changed is not None:
        yield f"the instance has changed: {yes(row.changed)}"
    if row.window is not None:
        yield f"window: {Window(row.window).value}"


def step(row: Row) -> str:
    """Return the next step, and whether it is tried again before it counts."""
    name = f"**{row.verdict.name.lower()}**"
    return f"wait, then {name}" if row.waits else name


def override(row: Row) -> str:
    """Return whether the policy may send: a row that does not stop has nothing to override."""
    return OVERRIDES[row.override] if row.verdict.name == "STOP" else ""


def yes(value: bool) -> str:
    return "yes" if value else "no"
