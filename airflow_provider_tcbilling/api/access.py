"""Access: the address, the key and the time-outs of a client, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_tcbilling.api.check import Check
from airflow_provider_tcbilling.api.endpoint import parsed, shown, usable
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.api.reading import number_of

LONGEST = 86_400
"""The most seconds of a time-out, and of any other span that a connection may name: a day."""


def checked(
    endpoint: str, texts: Mapping[str, Any], seconds: Mapping[str, Any], *, allow_http: bool
) -> str | InvalidRequest:
    """
    Return the cleaned address of a server, or every mistake: to raise where no frame holds the key.

    :param texts: The parts of the key and the other texts, by name.
    :param seconds: The time-outs, by name.
    :param allow_http: The server may be another machine without TLS.
    """
    if mistakes := [*_not_texts(texts), *_not_seconds(seconds)]:
        return InvalidRequest("BillingClient", mistakes)
    try:
        address = usable(endpoint)
    except InvalidRequest as error:
        return error.with_traceback(None)
    if address.startswith("http:") and not (allow_http or _is_loopback(address)):
        return InvalidRequest("Endpoint", [f"{shown(endpoint)} must be https: it gets signed requests"])
    return address


def _span_of(value: Any) -> float:
    """
    Return a number of seconds, also one that is written as a text.

    :raises ValueError: It is not above 0, or more than a day.
    """
    number = number_of(value)
    if number is None or not 0 < number <= LONGEST:
        raise ValueError("not a span")
    return number


SECONDS = Check(_span_of, f"a number above 0, and at most {LONGEST}")


def _not_texts(texts: Mapping[str, Any]) -> Iterator[str]:
    for name, text in texts.items():
        try:
            str.encode(text)
        except (TypeError, UnicodeEncodeError):
            yield f"{name} is not a text that can be sent"


def _not_seconds(seconds: Mapping[str, Any]) -> Iterator[str]:
    for name, value in seconds.items():
        if mistake := SECONDS.demand(name, None if isinstance(value, str) else value):
            yield mistake


def _is_loopback(address: str) -> bool:
    try:
        return parsed(address).is_loopback
    except ValueError:
        return False
