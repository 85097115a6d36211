"""Arguments as a user, the params of a DAG or a template writes them: one check for each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from airflow_provider_tcbilling.api.actions import ORDER_BOOK_DAYS, SET_RENEWAL
from airflow_provider_tcbilling.api.check import Check, Unset
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.api.schema import Field, whole_number
from airflow_provider_tcbilling.api.text import NUMBER, matching, says_nothing, shown
from airflow_provider_tcbilling.task.policies import OnRefusedRun, OnUnknownOutcome, Policy
from airflow_provider_tcbilling.waiting.filters import READERS

DAY = 86400.0

LONGEST_DAYS = 36500
"""A hundred years. A longer span is a mistake, and would not fit into a date."""

_FLAGS = {"true": True, "false": False}
_DECIMAL = r"\+?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_SECONDS = {"Y": 365 * DAY, "M": 30 * DAY, "W": 7 * DAY, "D": DAY, "TH": 3600.0, "TM": 60.0, "TS": 1.0}
_PARTS = [(unit, f"(?:([0-9]+(?:[.,][0-9]+)?){unit[-1]})?") for unit in _SECONDS]
_DATE, _TIME = ("".join(part for unit, part in _PARTS if unit.startswith("T") is is_time) for is_time in (False, True))
_ISO = rf"P(?=.){_DATE}(?:T(?=.){_TIME})?"


class Rendered:
    """
    An operator that knows which of its arguments a template, or another task, rendered to ``None``.

    For most arguments ``None`` means "left out", which selects more, or names a purchase otherwise. So an argument
    that was given and rendered to ``None`` is a mistake.
    """

    rendered_to_nothing: tuple[str, ...] = ()

    def _do_render_template_fields(self, parent: Any, template_fields: Iterable[str], *args: Any, **more: Any) -> None:
        names = list(template_fields)
        given = [name for name in names if getattr(parent, name, None) is not None]
        super()._do_render_template_fields(parent, names, *args, **more)  # type: ignore[misc]
        if parent is self:
            self.rendered_to_nothing = tuple(name for name in given if getattr(parent, name) is None)


def mistakes_in(
    task: Any, checks: Mapping[str, Check], attributes: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """
    Return the mistakes in the arguments of a task.

    :param attributes: The attributes that hold arguments under another name.
    """
    values = {name: getattr(task, attributes.get(name, name)) for name in checks}
    mistakes = {name: check.mistake(name, values[name]) for name, check in checks.items()}
    for name in set(task.rendered_to_nothing) & set(checks):
        mistakes[name] = f"{name}: given, but its template rendered to None"
    return [mistake for mistake in mistakes.values() if mistake]


def refuse_literals(owner: str, checks: Mapping[str, Check], literals: Mapping[str, Any]) -> None:
    """
    Raise if an argument that is no template breaks its rule: the import of the DAG fails, and no run.

    :param owner: The task that has the arguments, for the message.
    :param literals: The arguments, none of which Airflow renders.
    :raises InvalidRequest: With every mistake at once.
    """
    mistakes = [
        f"{name}: {shown(value)} is a template, and {name} is not templated: give {checks[name].wanted}"
        if is_template(value)
        else checks[name].mistake(name, value)
        for name, value in literals.items()
    ]
    if found := [mistake for mistake in mistakes if mistake]:
        raise InvalidRequest(owner, found)


def literals_of(task: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return arguments of a task by name, without those that a subclass made a template field."""
    return {name: getattr(task, name) for name in names if name not in task.template_fields}


def is_template(value: Any) -> bool:
    """Whether a value is Jinja, or the output of another task, which stands for its later value."""
    is_jinja = isinstance(value, str) and any(mark in value for mark in ("{{", "{%", "{#"))
    return is_jinja or hasattr(value, "iter_references")


def seconds_of(span: Any) -> float:
    """
    Return a span in seconds, at most a hundred years.

    :param span: A timedelta, a number of seconds, or either as text: ISO 8601, such as ``P14D``, of which a month has
        30 days and a year 365.
    :raises ValueError: It is no span, below zero, or longer.
    """
    if isinstance(span, str):
        span = _seconds_in(_text(span))
    if isinstance(span, timedelta):
        span = span.total_seconds()
    if isinstance(span, bool) or not isinstance(span, (int, float)) or not 0 <= span <= LONGEST_DAYS * DAY:
        raise ValueError("not a span")
    return float(span)


def _seconds_in(text: str) -> float:
    if re.fullmatch(_DECIMAL, text):
        return float(text)
    if not (found := re.fullmatch(_ISO, text)):
        raise ValueError("not a span")
    numbers = [float((number or "0").replace(",", ".")) for number in found.groups()]
    return sum(number * seconds for number, seconds in zip(numbers, _SECONDS.values(), strict=True))


def wait_of(span: Any) -> float:
    """Return the seconds of a wait; ``ValueError`` for 0, and for more than orders stay in the order book."""
    if not 0 < (seconds := seconds_of(span)) <= ORDER_BOOK_DAYS * DAY:
        raise ValueError("not a wait")
    return seconds


def is_true(value: Any) -> bool:
    """Return a flag, also one that a template wrote as text; ``ValueError`` for anything but true and false."""
    read = value if isinstance(value, bool) else _FLAGS.get(value.strip().lower()) if isinstance(value, str) else None
    if read is None:
        raise ValueError("not a flag")
    return read


def confirmed(value: Any) -> bool:
    """Return a confirmation; ``ValueError`` if it is not true."""
    if not is_true(value):
        raise ValueError("no")
    return True


def name_of(value: Any) -> str:
    """Return a name, which may be a whole number; ``ValueError`` for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(whole_number(value))
    return _text(value)


def number_of(value: Any) -> str:
    """Return the number of an order; ``ValueError`` if it cannot be one."""
    if value is None:
        raise Unset("rendered to nothing")
    if not (number := matching(name_of(value), NUMBER)):
        raise ValueError("not a number of an order")
    return number


def text_of(value: Any) -> str:
    """Return a text as it is; ``ValueError`` for anything else."""
    if not isinstance(value, str):
        raise ValueError("not text")
    return value


def count_of(value: Any) -> int:
    """Return a whole number from 1 on; ``ValueError`` for anything else."""
    if (number := whole_number(value)) < 1:
        raise ValueError("not a count")
    return number


def server_time_of(value: Any) -> str:
    """Return a time as the server writes it; ``ValueError`` for anything else."""
    from airflow_provider_tcbilling.api.server_time import readings

    readings(text := text_of(value).strip())
    return text


def moment_of(value: Any) -> str:
    """Return a time as the server writes it, or of ISO 8601; ``ValueError`` for anything else."""
    from airflow_provider_tcbilling.api.server_time import moments_of

    text = _text(value)
    if not re.match(r"[0-9]{4}", text):
        raise ValueError("not a time")
    moments_of(text)
    return text


def _text(value: Any) -> str:
    """Return a text without the blanks around it; raise :class:`Unset` if a template rendered to nothing."""
    if says_nothing(text := text_of(value).strip()):
        raise Unset("rendered to nothing")
    return text


def one_of(policy: type[Policy]) -> Check:
    """Return the check of an argument that is one of a policy's choices, or the text of one."""
    return Check(lambda value: policy(text_of(value).strip()), f"one of {', '.join(policy)}")


def optional(check: Check) -> Check:
    """Return the check of an argument that may be left out."""
    return Check(lambda value: None if value is None else check.read(value), check.wanted)


def as_field(field: Field) -> Check:
    """Return the check of an argument that a field of an action describes."""

    def read(value: Any) -> Any:
        if isinstance(value, str) and says_nothing(value):
            raise Unset("rendered to nothing")
        return field.read(value)

    return Check(read, field.pattern[1] if field.pattern else field.about)


A_SPAN = Check(
    seconds_of,
    "a timedelta, a number of seconds, or an ISO 8601 duration such as P14D, from 0 on and at most "
    f"{LONGEST_DAYS} days",
)
A_WAIT = Check(
    wait_of, f"a number of seconds above 0 and within {ORDER_BOOK_DAYS} days, a timedelta, or a duration such as PT30S"
)
A_FLAG = Check(is_true, "True or False")
A_YES = Check(confirmed, "True. A refund cannot be undone; dry_run shows the plan")
A_NAME = Check(name_of, "a text, or a whole number")
A_COUNT = Check(count_of, "a number from 1 on")
A_TEXT = Check(text_of, "a text")
A_TOKEN = Check(lambda value: _text(value) if isinstance(value, str) else value, "an idempotency key")
"""A check that it rendered at all; the table of the action has the other rules."""

AN_ORDER = Check(number_of, NUMBER[1])
A_SERVER_TIME = Check(server_time_of, "a time as the list of instances writes it, such as 2027-01-31 08:00:00")
A_MOMENT = Check(
    moment_of, "a time as the list of instances writes it, such as 2027-01-31 08:00:00, or an ISO 8601 time"
)
AN_INSTANCE = as_field(SET_RENEWAL.field("instance_id"))
A_CONNECTION = Check(_text, "the id of an Airflow connection")

FILTERS = READERS
"""The filters of a list of instances."""

SPENDING: Mapping[str, Check] = MappingProxyType(
    {
        "purchase_key": optional(A_NAME),
        "client_token": optional(A_TOKEN),
        "on_unknown_outcome": one_of(OnUnknownOutcome),
        "replay_window": optional(A_WAIT),
        "allow_backfill": A_FLAG,
        "max_lateness": optional(A_SPAN),
        "on_refused_run": one_of(OnRefusedRun),
        "wait_for_delivery": A_FLAG,
        "deferrable": A_FLAG,
        "poll_interval": A_WAIT,
        "delivery_timeout": A_WAIT,
        "tcbilling_conn_id": A_CONNECTION,
    }
)
"""The provider's own arguments of every task that moves money."""

WAITING: Mapping[str, Check] = MappingProxyType({"poke_interval": optional(A_SPAN), "timeout": optional(A_SPAN)})
"""A sensor's own times, which Airflow takes in seconds."""


def seconds_for_airflow(owner: str, times: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return a sensor's own times in seconds, as Airflow takes them, without those that are left out.

    :raises InvalidRequest: With every mistake at once.
    """
    refuse_literals(owner, WAITING, times)
    return {name: seconds_of(value) for name, value in times.items() if value is not None}
