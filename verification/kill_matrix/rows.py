"""The rows of the matrix: the misfortunes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NOTHING = "nothing goes wrong"
BUYING = "the worker is killed while it spends"
WAITING = "worker or triggerer is killed after that: waiting, deferring, resuming, ending"
CLEARED = "the task or its run is cleared, or marked failed and cleared"
CHANGED = "a parameter is edited or a mapping re-ordered, then cleared"
LATE = "it is retried after the replay window"
TWINS = "two copies of the same attempt run at once"
ALIKE = "two that are alike run side by side, and one answer is lost"
SCHEDULER = "the scheduler is killed with its workers"
PAUSED = "the process is stopped, another one takes over, then the first one goes on"
LIMITED = "a limit for one of two purchases"
CLOCKS = "the clocks of two workers differ by 290 seconds"


@dataclass(frozen=True)
class Row:
    """
    One misfortune.

    :param family: What it is a case of; the README counts by it.
    :param shape: Which DAG meets it: ``sync``, ``deferrable``, ``mapped`` or ``keyed`` (mapped, with a purchase key).
    :param point: Where the task's process kills itself, once.
    :param actions: What is done from outside, in this order: names of :mod:`verification.kill_matrix.actions`.
    :param wanted: How many orders there must be in the end.
    :param plan: More for the task's process: ``items``, ``task`` (attributes of the operator), ``twin``, ``pauses``
        (it stands still at the point, instead of dying), ``clocks`` (how far the clocks of the first process and of
        every other one are ahead, in seconds).
        A ``limit`` in cents is one of the connection, for a run.
    :param is_held: The server delivers only on a command of the harness.
    :param phase: Needs Airflow for itself, since it kills a component that all share.
    :param spends: It strikes the request that spends, so the network's misfortunes are combined with it.
    :param ours_only: The alternatives have nothing that it could strike.
    """

    id: str
    about: str
    family: str
    shape: str = "sync"
    point: str = ""
    actions: tuple[str, ...] = ()
    wanted: int = 1
    plan: Mapping[str, Any] = field(default_factory=dict)
    is_held: bool = False
    phase: str = ""
    spends: bool = False
    ours_only: bool = False

    @property
    def is_for_all(self) -> bool:
        """Whether the alternatives can meet it, too."""
        return not self.ours_only and self.shape in ("sync", "mapped")

    @property
    def has_second(self) -> bool:
        """Whether a second process executes the same attempt."""
        return bool(self.plan.get("twin") or self.plan.get("pauses"))

    @property
    def may_send_again(self) -> bool:
        """Whether a process is lost that did not know yet whether it had spent, or there are two of them."""
        return self.point in UNKNOWN_AT or self.phase == "scheduler" or self.has_second


PRICE = 10_000
"""The price of an order in cents."""

UNKNOWN_AT = ("after-intent", "half-sent", "before-answer", "half-read", "before-record")
"""Points at which nothing tells yet whether it was carried out, so the next attempt may send the same request."""

TOO_LATE = {"task": {"replay_window": 1.0}}
TWO = {"items": ({"pid": 1, "key": "one"}, {"pid": 2, "key": "two"})}
SAME = {"items": ({"pid": 1, "key": "one"}, {"pid": 1, "key": "two"})}
ONE_OF_TWO = {**TWO, "limit": PRICE, "task": {"max_cents": PRICE, "currency": "USD"}}
STILL = {"pauses": True}
AHEAD, BEHIND = {"clocks": (-145.0, 145.0)}, {"clocks": (145.0, -145.0)}
TURNED = ("ends", "re_order", "clear_task")


def _killed(point: str, about: str, family: str, shape: str = "sync", **more: Any) -> Row:
    return Row(point, about, family, shape, point, **more)


def _outside(name: str, about: str, family: str, *actions: str, **more: Any) -> Row:
    return Row(name, about, family, actions=actions, **more)


def _triggerer(name: str, about: str, phase: str) -> Row:
    return Row(name, about, WAITING, "deferrable", is_held=True, phase=phase)


def _paused(point: str, about: str) -> Row:
    return Row(f"paused-{point}", f"stopped {about}", PAUSED, point=point, plan=STILL, ours_only=True)


def _limited(point: str, about: str) -> Row:
    more: dict[str, Any] = {"shape": "mapped", "plan": ONE_OF_TWO, "ours_only": True}
    return Row(f"limit-{point or 'no-misfortune'}", about, LIMITED, point=point, **more)


def _clocks(name: str, about: str, point: str, plan: Mapping[str, Any]) -> Row:
    return Row(f"skew-{name}", about, CLOCKS, point=point, plan=plan, ours_only=True)


ROWS = (
    Row("no-misfortune", "no misfortune", NOTHING, spends=True),
    _killed("before-intent", "killed before the intent is stored", BUYING, ours_only=True),
    _killed("after-intent", "killed after the intent, before a byte is sent", BUYING, spends=True, ours_only=True),
    _killed("half-sent", "killed when half of the request is sent", BUYING),
    _killed("before-answer", "killed when the server has carried it out, no byte is read", BUYING, spends=True),
    _killed("half-read", "killed when half of the answer is read", BUYING, spends=True),
    _killed("before-record", "killed after the answer, before the record", BUYING, spends=True),
    _killed("after-record", "killed after the record, before the XCom", BUYING, spends=True),
    _killed("while-waiting", "killed while it waits for delivery", WAITING),
    _killed("while-deferring", "killed while it defers", WAITING, "deferrable"),
    _triggerer("in-trigger", "triggerer killed while the trigger looks", phase="looking"),
    _triggerer("triggerer-killed", "triggerer killed between two looks", phase="triggerer"),
    _killed("after-event", "killed after the trigger's event, before it is read", WAITING, "deferrable"),
    _killed("in-complete", "killed in execute_complete", WAITING, "deferrable"),
    _killed("after-success", "killed after success, before Airflow notes it", WAITING),
    _outside("task-cleared", "task cleared after success", CLEARED, "ends", "clear_task"),
    _outside("cleared-waiting", "task cleared while it waits", CLEARED, "waits", "clear_task", "deliver", is_held=True),
    _outside("run-cleared", "run cleared after success", CLEARED, "ends", "clear_run"),
    _outside(
        "marked-failed",
        "marked failed while it waits, then cleared",
        CLEARED,
        *("waits", "mark_failed", "deliver", "clear_task"),
        is_held=True,
    ),
    _outside("two-copies", "two copies of the same attempt at once", TWINS, plan={"twin": True}, spends=True),
    _outside("re-ordered", "mapping re-ordered, then cleared", CHANGED, *TURNED, shape="mapped", wanted=2, plan=TWO),
    _outside(
        "re-ordered-keyed", "the same, with a purchase_key each", CHANGED, *TURNED, shape="keyed", wanted=2, plan=TWO
    ),
    _outside("edited", "parameter edited, then cleared", CHANGED, "ends", "edit", "clear_task"),
    _outside(
        "late-retry",
        "carried out, answer lost, retried after the replay window",
        LATE,
        point="before-answer",
        plan=TOO_LATE,
        ours_only=True,
    ),
    _outside(
        "late-unbought",
        "killed before sending, retried after the replay window",
        LATE,
        point="after-intent",
        plan=TOO_LATE,
        ours_only=True,
    ),
    _outside(
        "side-by-side",
        "alike ones side by side, one answer lost",
        ALIKE,
        shape="mapped",
        point="before-answer",
        wanted=2,
        plan=SAME,
        spends=True,
    ),
    _outside("scheduler-killed", "scheduler and workers killed, an answer under way", SCHEDULER, phase="scheduler"),
    _paused("before-intent", "before the intent is stored"),
    _paused("after-intent", "after the intent"),
    _paused("connecting", "before it connects"),
    _paused("last-check", "between the last check of the time and the body"),
    _paused("headers-sent", "when the headers are sent, the body is not"),
    _paused("before-answer", "when the server has carried it out, no byte is read"),
    _paused("half-read", "when half of the answer is read"),
    _paused("before-record", "after the answer, before the record"),
    _paused("after-record", "after the record, before the XCom"),
    _paused("while-waiting", "while it waits for delivery"),
    _limited("", "two want what a limit has for one"),
    _limited("before-intent", "one of them killed before it reserves"),
    _limited("after-intent", "one of them killed after it has reserved, before a byte is sent"),
    _limited("before-answer", "one of them killed when the server has carried it out, no byte is read"),
    _limited("before-record", "one of them killed after the answer, before the record"),
    _limited("after-record", "one of them killed after the record, before the XCom"),
    _limited("while-waiting", "one of them killed before its price is settled"),
    _clocks("two-copies", "two copies at once, the second one's clock is ahead", "", {"twin": True, **AHEAD}),
    _clocks("ahead", "killed, carried out, the next worker's clock is ahead", "before-answer", AHEAD),
    _clocks("behind", "killed, carried out, the next worker's clock is behind", "before-answer", BEHIND),
    _clocks("paused", "stopped before it connects, the other one's clock is ahead", "connecting", {**STILL, **AHEAD}),
)
"""In the order of a purchase's life, a renewal's or a refund's."""

IN_LOOP = "the task stands in a loop of three"
LOOPED = (
    Row("loop", "a loop of three, no misfortune", IN_LOOP, "loop", wanted=3),
    Row("loop-killed", "killed when the server has carried one out", IN_LOOP, "loop", "before-answer", wanted=3),
    Row("loop-cleared", "all iterations cleared", IN_LOOP, "loop", "", ("ends", "clear_task"), wanted=3),
    Row("loop-run-cleared", "the run cleared", IN_LOOP, "loop", "", ("ends", "clear_run"), wanted=3),
)
"""Of Airflow 3.4 alone: three purchases that are alike, one after the other."""

REFRESHED = (
    _killed("after-refresh", "killed after its key was refreshed, before it sends again", BUYING, spends=True),
)
"""Of a role alone: the server has refused its key, which had expired."""

FAMILIES = tuple(dict.fromkeys(row.family for row in ROWS))
"""What the rows are cases of."""
