"""The Airflow connection ``tcbilling``, declared once: its form, its rules, and the settings that are read from it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from airflow_provider_tcbilling.api.actions import ENDPOINT
from airflow_provider_tcbilling.api.endpoint import cleaned, parsed
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.hooks.addresses import address_mistakes, address_of
from airflow_provider_tcbilling.hooks.extra_fields import COMMON_FIELDS, ExtraField, mistakes_in
from airflow_provider_tcbilling.hooks.key_fields import KEY_FIELDS, KEY_GUARDS, key_mistakes, key_values
from airflow_provider_tcbilling.hooks.key_settings import KeySettings
from airflow_provider_tcbilling.hooks.money_fields import MONEY_FIELDS, MoneySettings, money_mistakes, money_values

__all__ = ["CONN_TYPE", "DEFAULT_CONN_ID", "EXTRA_FIELDS", "ExtraField", "Settings", "endpoint_of", "ledger_mistakes"]

CONN_TYPE = "tcbilling"
DEFAULT_CONN_ID = "tcbilling_default"
HOOK_NAME = "Tencent Cloud Billing"

MAINLAND_HOST = "billing.tencentcloudapi.com"
INTL_CONSOLE = "https://console.tencentcloud.com/expense/deal"
MAINLAND_CONSOLE = "https://console.cloud.tencent.com/expense/deal"

log = logging.getLogger(__name__)


EXTRA_FIELDS = (*KEY_FIELDS, *COMMON_FIELDS, *MONEY_FIELDS)

GUARDS = {
    **{name: name for name in ("ledger_conn_id", "ledger_uri", *(extra_field.name for extra_field in MONEY_FIELDS))},
    **dict.fromkeys(("limit", "limits", "budget", "spending_cap", "max_cents"), "spending_limits"),
    **{"min_balance": "min_balance_cents", "approve_above": "approve_above_cents"},
    **KEY_GUARDS,
}
"""Fields that guard money, or decide whose money it is, by their names and by others that a user may give them."""

GUARDED = ("a guard of your money", "a rule about the key")
"""The rule that a slip leaves out: in the name of a field of money, and of one about the key."""

LIKENESS = 0.75
"""A field that is so much like that of a guard is a slip, which must not switch the guard off."""

HIDDEN_FIELDS = ("port", "schema")
LABELS = {"login": "SecretId", "password": "SecretKey", "host": "Endpoint"}
PLACEHOLDERS = {
    "login": "AKID…, empty with another source of the key",
    "password": "the key that belongs to the SecretId, empty with another source",
    "host": f"{urlsplit(ENDPOINT).hostname} (mainland: {MAINLAND_HOST})",
}


class Connection(Protocol):
    """The part of an Airflow connection that is read."""

    conn_id: Any
    host: Any
    port: Any
    login: Any
    password: Any

    @property
    def extra_dejson(self) -> Any:
        """The extra, as a mapping."""


@dataclass(frozen=True)
class Settings(KeySettings, MoneySettings):
    """
    A connection that was read and has no mistake.

    :param connect_timeout: Seconds until a connection attempt is given up; nothing was sent then.
    :param read_timeout: Seconds until an answer is given up; the request may have been carried out then.
    :param requests_per_second: Requests a second for each action, by all processes of a machine; of all machines if the
        ledger is in a database.
    :param order_book_lag: Seconds after which a new order is surely listed.
    :param clock_margin: Seconds by which the clocks of the workers may differ.
    :param ledger_uri: Folder of a ledger in object storage; empty if there is none.
    :param ledger_conn_id: Airflow connection of a ledger in a database; empty if there is none.
    :param console_url: May hold ``{order_id}``.
    """

    connect_timeout: float
    read_timeout: float
    requests_per_second: float
    order_book_lag: float
    clock_margin: float
    ledger_uri: str
    ledger_conn_id: str
    language: str
    console_url: str

    @classmethod
    def read(cls, connection: Connection, allowed_hosts: Collection[str] = ()) -> Settings:
        """
        Read a connection; the extra is read by name and nothing else of it is used.

        :param allowed_hosts: Hosts beside Tencent's and this machine that may get signed requests.
        :raises InvalidRequest: With every mistake at once. Nothing was sent.
        """
        extra, mistakes = _extra_of(connection)
        for name in sorted(set(extra) - {extra_field.name for extra_field in EXTRA_FIELDS}):
            if slips := [*_slips(str(name))]:
                mistakes += slips
                continue
            log.warning("Connection %s: the extra field %r is not known here and is ignored.", connection.conn_id, name)
        given = {field.name: extra.get(field.name) or field.default for field in COMMON_FIELDS}
        address = address_of(connection.host, connection.port)
        of_host = [
            *(() if isinstance(connection.host, (str, type(None))) else ["host is not a text"]),
            *address_mistakes("host", address, allowed_hosts),
        ]
        mistakes += [
            *key_mistakes(connection.login, connection.password, extra, "" if of_host else address, allowed_hosts),
            *of_host,
            *_extra_mistakes(extra),
            *money_mistakes(extra),
        ]
        if mistakes:
            raise InvalidRequest(f"Connection {connection.conn_id}", mistakes)
        endpoint = cleaned(address)
        return cls(
            secret_id=connection.login or "",
            secret_key=connection.password or "",
            token=str(given["token"]),
            endpoint=endpoint,
            connect_timeout=float(given["connect_timeout"]),
            read_timeout=float(given["read_timeout"]),
            requests_per_second=float(given["requests_per_second"]),
            order_book_lag=float(given["order_book_lag"]),
            clock_margin=float(given["clock_margin"]),
            ledger_uri=str(given["ledger_uri"]),
            ledger_conn_id=str(given["ledger_conn_id"]),
            language=str(given["language"]),
            console_url=str(given["console_url"] or _console_of(endpoint)),
            **key_values(str(connection.conn_id or ""), extra),
            **money_values(extra),
        )

    @property
    def ledger(self) -> str:
        """The name of the ledger, for a user; empty if there is none."""
        return self.ledger_uri or (f"connection {self.ledger_conn_id}" if self.ledger_conn_id else "")

    def order_url(self, order_id: str) -> str:
        """Return the address of an order in the console."""
        return self.console_url.replace("{order_id}", quote(order_id, safe=""))


def endpoint_of(host: str | None, port: int | None) -> str:
    """Return the API's address: ``https`` unless it is this machine; nothing given is the international site."""
    return cleaned(address_of(host, port))


def _extra_of(connection: Connection) -> tuple[Mapping[str, Any], list[str]]:
    """Return the extra and its mistakes, which do not show it, since it may hold a secret."""
    try:
        extra = connection.extra_dejson
        if not extra:
            # Airflow reads an extra that is no JSON as an empty one, and a ledger that it names would be ignored.
            extra = json.loads(getattr(connection, "extra", None) or "{}")
    except (ValueError, TypeError, RecursionError):
        extra = False
    if extra is None or extra == "":
        return {}, []
    return (extra, []) if isinstance(extra, Mapping) else ({}, ["extra must be a JSON object"])


def _extra_mistakes(extra: Mapping[str, Any]) -> Iterator[str]:
    yield from mistakes_in(extra, COMMON_FIELDS)
    yield from ledger_mistakes(extra.get("ledger_uri"), extra.get("ledger_conn_id"))
    console = extra.get("console_url")
    if console and not _is_web_address(str(console)):
        yield "extra console_url must be an http or https address"


def _slips(name: str) -> Iterator[str]:
    """Yield a mistake if an unknown field is a slip that would leave out a guard of money."""
    from difflib import get_close_matches

    if alike := get_close_matches(name.lower(), GUARDS, 1, LIKENESS):
        meant = GUARDS[alike[0]]
        guard = "the ledger" if meant.startswith("ledger") else GUARDED[meant in KEY_GUARDS]
        yield f"extra {name!r} is not known here, and would leave out {guard}: is {meant} meant?"


def ledger_mistakes(ledger: Any, conn_id: Any) -> Iterator[str]:
    """Yield the mistakes in the address of a ledger, and in the name of its connection."""
    if ledger and conn_id:
        yield "extra ledger_uri and ledger_conn_id name two ledgers, and a purchase is remembered by one: leave one out"
    if ledger and not re.fullmatch(r"[a-z][a-z0-9+.-]*://.+", str(ledger)):
        yield "extra ledger_uri must be an address such as s3://aws_default@bucket/purchases or file:///mnt/ledger"
    elif ledger and re.match(r"(file|local)://(?!([^/@]*@)?/+[^/])", ledger):
        # Relative to where the process happens to run, so another worker has another ledger.
        yield "extra ledger_uri must have three slashes and a folder behind file:, as in file:///mnt/ledger"


def _is_web_address(text: str) -> bool:
    try:
        return urlsplit(text).scheme in ("http", "https")
    except ValueError:
        return False


def _console_of(address: str) -> str:
    endpoint = parsed(address)
    if endpoint.is_loopback:
        return f"{address}/#{{order_id}}"
    return MAINLAND_CONSOLE if endpoint.host == MAINLAND_HOST else INTL_CONSOLE
