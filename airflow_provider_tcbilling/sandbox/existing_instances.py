"""Existing instances: those that the control interface adds, as if they had been bought before a test begins."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import pendulum

from airflow_provider_tcbilling.sandbox.account import Account
from airflow_provider_tcbilling.sandbox.errors import WrongControl
from airflow_provider_tcbilling.sandbox.instances import DAY, Instance
from airflow_provider_tcbilling.sandbox.limits import MAX_TEXT, Range, is_text

MOST_AT_ONCE = 10_000
MOST = 100_000
"""Instances of an account to which more can be added."""

MOST_DAYS = 100_000
"""How far from now an expiry or a purchase can be."""

HOUR = 3600.0


class _Option(NamedTuple):
    """An option of the description: the test for a value, the same in words, and its name in the account."""

    is_valid: Callable[[Any], bool]
    about: str
    argument: str = ""


_COUNT, _CENTS = Range(1, MOST_AT_ONCE, is_whole=True), Range(0, 10**12, is_whole=True)
_DAYS, _DAYS_AGO = Range(-MOST_DAYS, MOST_DAYS), Range(0, MOST_DAYS)
_TEXT = (is_text, f"text of at most {MAX_TEXT} characters")
_OPTIONS: Mapping[str, _Option] = {
    "count": _Option(_COUNT.has, str(_COUNT)),
    "expires_in_days": _Option(lambda value: value is None or _DAYS.has(value), f"{_DAYS}, or null for no expiry"),
    "expire_time": _Option(
        lambda value: value is None or is_text(value), "a time such as 2026-12-31T00:00:00Z, or null for no expiry"
    ),
    "bought_days_ago": _Option(_DAYS_AGO.has, str(_DAYS_AGO)),
    "name": _Option(*_TEXT),
    "product_code": _Option(*_TEXT, "product_code"),
    "sub_product_code": _Option(*_TEXT, "sub_product_code"),
    "region_code": _Option(*_TEXT, "region_code"),
    "zone_code": _Option(*_TEXT, "zone_code"),
    "renew_flag": _Option(*_TEXT, "renew_flag"),
    "locked": _Option(lambda value: isinstance(value, bool), "true or false", "is_locked"),
    "paid_cents": _Option(_CENTS.has, str(_CENTS), "paid_cents"),
    "voucher_cents": _Option(_CENTS.has, str(_CENTS), "voucher_cents"),
}


def add_instances(account: Account, wanted: Mapping[str, Any]) -> list[Instance]:
    """
    Add instances that were bought before.

    :param wanted: ``count`` (1), ``expires_in_days`` (30) or ``expire_time``, ``bought_days_ago`` (30), ``name``, and
        the arguments of :meth:`Account.add_instance`. Several are numbered, and expire one hour after the other.
    :raises WrongControl: With every mistake.
    """
    _check(wanted)
    now, count, name = account.clock.now(), wanted.get("count", 1), wanted.get("name", "")
    if len(account.instances()) + count > MOST:
        raise WrongControl(f"count: there would be more than {MOST} instances")
    expiry = _expiry(wanted, now)
    arguments = {option.argument: wanted[key] for key, option in _OPTIONS.items() if option.argument and key in wanted}
    arguments["bought_at"] = now - wanted.get("bought_days_ago", 30) * DAY
    return [
        account.add_instance(
            name=f"{name}-{number + 1}" if name and count > 1 else name,
            expires_at=None if expiry is None else expiry + number * HOUR,
            **arguments,
        )
        for number in range(count)
    ]


def _check(wanted: Mapping[str, Any]) -> None:
    if unknown := sorted(set(wanted) - set(_OPTIONS)):
        raise WrongControl(f"{', '.join(unknown)}: not known here; there are {', '.join(_OPTIONS)}")
    if wrong := [f"{key} must be {_OPTIONS[key].about}" for key in wanted if not _OPTIONS[key].is_valid(wanted[key])]:
        raise WrongControl("; ".join(wrong))
    if {"expires_in_days", "expire_time"} <= set(wanted):
        raise WrongControl("say expires_in_days or expire_time, not both")


def _expiry(wanted: Mapping[str, Any], now: float) -> float | None:
    if "expire_time" not in wanted:
        days = wanted.get("expires_in_days", 30)
        return None if days is None else now + days * DAY
    text = wanted["expire_time"]
    if text is None:
        return None
    moment = read_time(text)
    if moment is None or not _DAYS.has((moment - now) / DAY):
        raise WrongControl(f"expire_time must be {_OPTIONS['expire_time'].about}, at most {MOST_DAYS} days from now")
    return moment


def read_time(text: str) -> float | None:
    """Read a time such as ``2026-12-31T00:00:00Z`` into epoch seconds; ``None`` if it is none."""
    # The parser raises more than ValueError for texts that begin like a time.
    with contextlib.suppress(Exception):
        moment: Any = pendulum.parse(text)
        if isinstance(moment, datetime):
            return moment.timestamp()
    return None
