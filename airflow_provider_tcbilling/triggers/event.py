"""Reading a trigger's event: it wakes a task, and never decides which order is the task's."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from airflow_provider_tcbilling.api.errors import WrongEvent
from airflow_provider_tcbilling.api.models import Order
from airflow_provider_tcbilling.api.text import INSTANCE_ID, NUMBER, inert, matching

__all__ = ["deadline_of", "instance_of", "order_of", "refuse_another"]


def deadline_of(event: Any, longest: float) -> float | None:
    """
    Return the epoch seconds until which a woken task waits; ``None`` if the event has none.

    :param longest: Seconds from now after which the wait ends at the latest, whatever the event says.
    """
    read = event.get("deadline") if isinstance(event, Mapping) else None
    if isinstance(read, bool) or not isinstance(read, (int, float)) or (isinstance(read, float) and math.isnan(read)):
        return None
    return float(min(read, time.time() + longest)) if read > 0 else 0.0


def order_of(event: Any) -> Order | None:
    """Return the order that an event names, without what cannot be of one; ``None`` if it names none."""
    named = event.get("order") if isinstance(event, Mapping) else None
    if not isinstance(named, Mapping) or not (order_id := matching(named.get("order_id"), NUMBER)):
        return None
    ids, token = named.get("instance_ids"), named.get("client_token")
    return Order(
        order_id,
        tuple(one for one in ids if matching(one, INSTANCE_ID)) if isinstance(ids, (list, tuple)) else (),
        client_token=token if isinstance(token, str) and token == inert(token) else None,
        request_id=matching(named.get("request_id"), NUMBER) or None,
    )


def instance_of(event: Any) -> str | None:
    """Return the instance that an event names; ``None`` if it names none."""
    question = event.get("question") if isinstance(event, Mapping) else None
    return str(question["instance_id"]) if isinstance(question, Mapping) and "instance_id" in question else None


def refuse_another(own: str, named: str, where: str, what: str = "order") -> None:
    """
    Raise if a task was woken for another order, or another instance, than its own.

    :param own: The number of its own.
    :param named: The number that the event names.
    :param where: The source of its own number, for the message.
    :raises WrongEvent: The numbers differ. Nothing was sent.
    """
    if named != own:
        raise WrongEvent(
            f"The task was woken for {what} {named}, and its own {what} is {own}, as {where} says. Nothing was sent; "
            f"{what} {own} stays as it is. Clear the task: it goes on with its own {what}."
        )
