"""What the event of a trigger is worth: it wakes a task, and never says which order is the task's."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from airflow_provider_tcbilling.api.errors import WrongEvent
from airflow_provider_tcbilling.api.models import Order
from airflow_provider_tcbilling.api.text import INSTANCE_ID, NUMBER, inert, matching


def deadline_of(event: Any, longest: float) -> float | None:
    """
    Return the epoch seconds until which a woken task waits; ``None`` if the event does not tell.

    :param longest: Seconds from now after which the wait ends at the latest, whatever the event says.
    """
    told = event.get("deadline") if isinstance(event, Mapping) else None
    if isinstance(told, bool) or not isinstance(told, (int, float)) or (isinstance(told, float) and math.isnan(told)):
        return None
    return float(min(told, time.time() + longest)) if told > 0 else 0.0


def order_of(event: Any) -> Order | None:
    """Return the order that an event names, without what cannot be of one; ``None`` if it names none."""
    told = event.get("order") if isinstance(event, Mapping) else None
    if not isinstance(told, Mapping) or not (order_id := matching(told.get("order_id"), NUMBER)):
        return None
    ids, token = told.get("instance_ids"), told.get("client_token")
    return Order(
        order_id,
        tuple(one for one in ids if matching(one, INSTANCE_ID)) if isinstance(ids, (list, tuple)) else (),
        client_token=token if isinstance(token, str) and token == inert(token) else None,
        request_id=matching(told.get("request_id"), NUMBER) or None,
    )


def instance_of(event: Any) -> str | None:
    """Return the instance that an event asks for; ``None`` if it asks for none."""
    told = event.get("question") if isinstance(event, Mapping) else None
    return str(told["instance_id"]) if isinstance(told, Mapping) and "instance_id" in told else None


def refuse_another(own: str, told: str, where: str, what: str = "order") -> None:
    """
    Raise if a task was woken for another order, or another instance, than its own.

    :param own: The number of its own.
    :param told: The number that the event names.
    :param where: What says which is its own, in words.
    :raises WrongEvent: It was. Nothing was sent.
    """
    if told != own:
        raise WrongEvent(
            f"The task was woken for {what} {told}, and its own {what} is {own}, as {where} says. Nothing was sent; "
            f"{what} {own} stays as it is. Clear the task: it goes on with its own {what}."
        )
