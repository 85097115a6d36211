"""The verdict over a cell, from its ending alone."""

from __future__ import annotations

from verification.kill_matrix.cells import Cell
from verification.kill_matrix.trial import EXPLAINED, Ending

KNOWN, STOPPED, LIMIT = "known", "stopped", "limit"
DOUBLE, LOST, WRONG, RESENT, EXCEEDED = "double", "lost", "wrong", "resent", "exceeded"
UNSOLVED, HANGING, UNREACHED = "unsolved", "hanging", "unreached"

WORDS = {
    KNOWN: "once and known",
    STOPPED: "stopped and explained",
    LIMIT: "spent twice, a documented limit",
    DOUBLE: "spent twice",
    LOST: "spent, and nobody knows the order",
    WRONG: "success, with the wrong order",
    RESENT: "sent again although the order was known",
    EXCEEDED: "a limit exceeded",
    UNSOLVED: "fails again and again",
    HANGING: "does not end",
    UNREACHED: "the kill point was not reached",
}
"""The text of each verdict."""

GOOD = (KNOWN, STOPPED)
FAILURES = (DOUBLE, LOST, WRONG, RESENT, EXCEEDED, UNSOLVED, HANGING, UNREACHED)


def judge(cell: Cell, end: Ending) -> str:
    """Return the verdict."""
    if len(end.orders) > cell.row.wanted:
        return _of_too_many(cell)
    if not end.is_over:
        return HANGING
    if not end.was_struck:
        return UNREACHED
    if _sends_while_waiting(cell, end):
        return RESENT
    if all(state == "success" for _, state, _ in end.tasks):
        return KNOWN if _is_right(cell, end) else WRONG
    return _of_a_failure(cell, end)


def _of_too_many(cell: Cell) -> str:
    if "limit" in cell.row.plan:
        return EXCEEDED
    return LIMIT if cell.is_documented_limit else DOUBLE


def _sends_while_waiting(cell: Cell, end: Ending) -> bool:
    """Whether a request that spends was sent although nothing was in doubt: waiting only reads."""
    is_in_doubt = cell.row.may_send_again or cell.column.is_network
    return cell.is_ours and not is_in_doubt and end.requests > cell.row.wanted


def _is_right(cell: Cell, end: Ending) -> bool:
    """Whether the tasks returned exactly the orders that were placed, each with what proves its good end."""
    returned = [value or {} for value in end.returned.values()]
    if end.twin.get("state") == "success" and end.twin["value"]["order_id"] not in end.orders:
        return False
    has_all = sorted(str(value.get("order_id")) for value in returned) == sorted(end.orders)
    proof = cell.spent.proof if cell.is_ours else "instance_ids"
    return has_all and len(end.orders) == cell.row.wanted and all(value.get(proof) for value in returned)


def _of_a_failure(cell: Cell, end: Ending) -> str:
    returned = {value["order_id"] for value in end.returned.values() if value}
    if "limit" in cell.row.plan and len(returned) != 1:  # The limit has room for one, whatever has happened.
        return UNSOLVED
    is_explained = cell.is_ours and any(phrase in end.log for phrase in EXPLAINED)
    if is_explained and all(order in end.log for order in end.orders if order not in returned):
        return STOPPED
    return LOST if any(order not in end.log for order in set(end.orders) - returned) else UNSOLVED


def in_words(cell: Cell, end: Ending, verdict: str) -> str:
    """Return how it ended, in a line."""
    states = ", ".join(f"{state or 'not run'} at try {number}" for _, state, number in sorted(end.tasks))
    twin = f"; the second copy: {end.twin['state']}" if end.twin else ""
    reason = next((line for line in _reasons(end.log)), "") if verdict == STOPPED else ""
    return f"{WORDS[verdict]}: {states or 'no task'}{twin}{f' ({reason})' if reason else ''}"


def _reasons(log: str) -> list[str]:
    found = []
    for phrase in EXPLAINED:
        _, begin, rest = log.rpartition(phrase)
        if begin:
            found.append((begin + rest).split("\\n")[0].split("\n")[0][:200].rstrip('"},'))
    return found
