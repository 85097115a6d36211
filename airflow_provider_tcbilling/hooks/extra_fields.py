"""The named fields of the connection's extra, each with its rule. Airflow reads them in every process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_tcbilling.api.access import SECONDS
from airflow_provider_tcbilling.api.actions import SENT_PER_SECOND
from airflow_provider_tcbilling.api.check import Check

__all__ = ["COMMON_FIELDS", "ExtraField", "is_given", "mistakes_in"]


@dataclass(frozen=True)
class ExtraField:
    """
    One named field of the connection's extra. Other names are logged and ignored.

    :param default: The value that is assumed when it is left out, as text.
    :param is_secret: Airflow masks it wherever it is shown.
    :param is_long: The form has several lines for it.
    :param check: Its rule, if it has one beside its type and its choices.
    """

    name: str
    label: str
    about: str
    default: str = ""
    type: str = "string"
    choices: tuple[str, ...] = ()
    is_secret: bool = False
    is_long: bool = False
    check: Check | None = None


COMMON_FIELDS = (
    ExtraField("token", "Session token", "Of a temporary key pair; empty for a permanent one.", is_secret=True),
    ExtraField(
        "connect_timeout",
        "Connect timeout",
        "Seconds until a connection attempt is given up.",
        "10",
        type="number",
        check=SECONDS,
    ),
    ExtraField(
        "read_timeout",
        "Read timeout",
        "Seconds until an answer is given up; a purchase can be slow.",
        "60",
        type="number",
        check=SECONDS,
    ),
    ExtraField(
        "requests_per_second",
        "Requests a second",
        "For each action, by all processes of a machine, or of all machines with ledger_conn_id. Tencent allows an "
        "account 20.",
        str(SENT_PER_SECOND),
        type="number",
        check=SECONDS,
    ),
    ExtraField(
        "order_book_lag",
        "Order book lag",
        "Seconds after which a new order is surely listed; the real figure is not documented.",
        "30",
        type="number",
        check=SECONDS,
    ),
    ExtraField(
        "clock_margin",
        "Clock margin",
        "Seconds by which the clocks of your workers may differ. A try that takes a purchase over from another process "
        "waits for this time.",
        "300",
        type="number",
        check=SECONDS,
    ),
    ExtraField(
        "ledger_uri",
        "Ledger",
        "Folder in object storage in which every purchase is recorded, such as s3://aws_default@bucket/purchases or "
        "file:///mnt/ledger. All workers must share it.",
    ),
    ExtraField(
        "ledger_conn_id",
        "Ledger connection",
        "Airflow connection (postgres, mysql or sqlite) of the database in which every purchase is recorded. Give this "
        "or ledger_uri, not both.",
    ),
    ExtraField("language", "Language", "Of Tencent's error messages.", "en-US", choices=("en-US", "zh-CN")),
    ExtraField(
        "console_url",
        "Console address",
        "Where the link of a task leads; {order_id} in it becomes the order's number. "
        "Left out, it leads to the order list of the site that the endpoint belongs to.",
    ),
)


def is_given(value: Any) -> bool:
    """Whether a field has a value. A form writes nothing as an empty text; 0 and an empty list are values."""
    return value is not None and not (isinstance(value, str) and value == "")


def mistakes_in(extra: Mapping[str, Any], fields: tuple[ExtraField, ...]) -> Iterator[str]:
    """Yield the mistakes in fields of an extra, without showing a value, which may be a secret at the wrong place."""
    for field in fields:
        value = extra.get(field.name)
        if is_given(value) and not field.is_secret and (mistake := _mistake(field, value)):
            yield mistake


def _mistake(field: ExtraField, value: Any) -> str:
    if field.check:
        return field.check.demand(f"extra {field.name}", value)
    if field.choices and value not in field.choices:
        return f"extra {field.name} must be one of {', '.join(field.choices)}"
    if field.type == "string" and not (isinstance(value, str) and value.isprintable()):
        return f"extra {field.name} must be a text of one line"
    return ""
