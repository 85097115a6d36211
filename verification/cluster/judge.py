"""The books of a trial: what was wanted, what the server sold, and what became of each purchase."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

REASONS = 5
FAILURES = ("failed", "upstream_failed", "skipped")
FAILED = "AirflowFailException"
RAISED = re.compile(r'"exc_type":"(\w+)","exc_value":"((?:[^"\\]|\\.)*)"')
NUMBER = re.compile(r"[0-9a-f-]{8,}|\d+")


@dataclass(frozen=True)
class Ending:
    """
    The end of a trial. The judge reads nothing else.

    :param are_alike: The purchases are identical, so that any order is right for any of them.
    :param orders: For each order that was placed, its number and its specification.
    :param states: The state of each task, by map index.
    :param returned: What each task returned, by map index.
    :param log: All that the tasks logged.
    :param allowed: As many orders as a limit allows; ``None`` if none does.
    :param sent: The map indexes of the tasks of which the server has received a request.
    """

    wanted: int
    orders: Sequence[tuple[str, str]]
    states: Mapping[int, str | None]
    returned: Mapping[int, Any]
    log: str
    are_alike: bool = False
    sent: Collection[int] = ()
    is_over: bool = True
    allowed: int | None = None


@dataclass(frozen=True)
class Books:
    """
    The figures of a trial.

    :param stopped: Tasks that did not succeed, so that a user must decide or clear.
    :param double: Orders beyond the wanted ones, of each specification.
    :param lost: Orders that no task returned and no log names, and successes without an order of their own.
    :param unfinished: Tasks that had not ended when the time was over.
    :param unsent: Stopped tasks of which the server has never received a request.
    :param reasons: The causes of the tasks that stopped, with their number.
    """

    wanted: int
    orders: int
    stopped: int
    double: int
    lost: int
    unfinished: int = 0
    unsent: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether every wanted purchase was bought exactly once, and nobody had to do anything."""
        return self.orders == self.wanted and not (self.stopped or self.double or self.lost or self.unfinished)

    @property
    def is_safe(self) -> bool:
        """Whether no money was spent twice, or spent and forgotten."""
        return not (self.double or self.lost)

    def __str__(self) -> str:
        counts = (self.wanted, self.orders, self.stopped, self.double, self.lost)
        more = {"not ended": self.unfinished, "stopped had sent nothing": self.unsent}
        rest = "".join(f" ({count} {name})" for name, count in more.items() if count)
        return " / ".join(map(str, counts)) + rest


def books_of(end: Ending) -> Books:
    """Count."""
    numbers = [number for number, _ in end.orders]
    returned = [str((value or {}).get("order_id")) for value in end.returned.values()]
    succeeded = sum(state == "success" for state in end.states.values())
    failed = [index for index, state in end.states.items() if state in FAILURES]
    own = len(set(returned) & set(numbers))
    forgotten = [number for number in numbers if number not in returned and number not in end.log]
    most = end.wanted if end.are_alike else 1
    double = sum(max(0, count - most) for count in Counter(what for _, what in end.orders).values())
    return Books(
        wanted=end.wanted,
        orders=len(numbers),
        stopped=len(failed),
        double=max(double, len(numbers) - (end.wanted if end.allowed is None else end.allowed)),
        lost=len(forgotten) + max(0, succeeded - own),
        unfinished=max(0, end.wanted - succeeded - len(failed)),
        unsent=len(set(failed) - set(end.sent)),
        reasons=_reasons(end.log) if failed else {},
    )


def _reasons(log: str) -> dict[str, int]:
    """Return the causes of failures that ended a task, or of all, numbers left out, the most frequent ones first."""
    raised = RAISED.findall(log)
    final = [text for kind, text in raised if kind == FAILED] or [f"{kind}: {text}" for kind, text in raised]
    found = Counter(" ".join(NUMBER.sub("#", text).split("\\n")[:2])[:300] for text in final)
    return dict(found.most_common(REASONS))
