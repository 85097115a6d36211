"""The Airflow connection ``tcbilling``, declared once: its form, its rules, and the settings that are read from it."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from airflow_provider_tcbilling.api.access import SECONDS
from airflow_provider_tcbilling.api.actions import ENDPOINT, SENT_PER_SECOND
from airflow_provider_tcbilling.api.endpoint import cleaned, parsed, shown
from airflow_provider_tcbilling.api.errors import InvalidRequest

__all__ = ["CONN_TYPE", "DEFAULT_CONN_ID", "EXTRA_FIELDS", "ExtraField", "Settings", "endpoint_of", "ledger_mistakes"]

CONN_TYPE = "tcbilling"
DEFAULT_CONN_ID = "tcbilling_default"
HOOK_NAME = "Tencent Cloud Billing"

API_DOMAIN = ".tencentcloudapi.com"
MAINLAND_HOST = "billing.tencentcloudapi.com"
INTL_CONSOLE = "https://console.tencentcloud.com/expense/deal"
MAINLAND_CONSOLE = "https://console.cloud.tencent.com/expense/deal"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExtraField:
    """
    One named field of the connection's extra. Other names are logged and ignored.

    :param default: The value that is assumed when it is left out, as text.
    :param is_secret: Airflow masks it wherever it is shown.
    """

    name: str
    label: str
    about: str
    default: str = ""
    type: str = "string"
    choices: tuple[str, ...] = ()
    is_secret: bool = False


EXTRA_FIELDS = (
    ExtraField("token", "Session token", "Of a temporary key pair; empty for a permanent one.", is_secret=True),
    ExtraField(
        "connect_timeout", "Connect timeout", "Seconds until a connection attempt is given up.", "10", type="number"
    ),
    ExtraField(
        "read_timeout",
        "Read timeout",
        "Seconds until an answer is given up; a purchase can be slow.",
        "60",
        type="number",
    ),
    ExtraField(
        "requests_per_second",
        "Requests a second",
        "For each action, by all processes of a machine, or of all machines with ledger_conn_id. Tencent allows an "
        "account 20.",
        str(SENT_PER_SECOND),
        type="number",
    ),
    ExtraField(
        "order_book_lag",
        "Order book lag",
        "Seconds after which a new order is surely listed; the real figure is not documented.",
        "30",
        type="number",
    ),
    ExtraField(
        "clock_margin",
        "Clock margin",
        "Seconds by which the clocks of your workers may differ. A try that takes a purchase over from another process "
        "waits for this time.",
        "300",
        type="number",
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

LEDGERS = ("ledger_conn_id", "ledger_uri")
LIKENESS = 0.75
"""A field that is so much like that of a ledger is a slip, which must not switch the ledger off."""

HIDDEN_FIELDS = ("port", "schema")
LABELS = {"login": "SecretId", "password": "SecretKey", "host": "Endpoint"}
PLACEHOLDERS = {
    "login": "AKID…",
    "password": "the key that belongs to the SecretId",
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
class Settings:
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

    secret_id: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)
    endpoint: str
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
            mistakes += _slips(str(name))
            log.warning("Connection %s: the extra field %r is not known here and is ignored.", connection.conn_id, name)
        given = {extra_field.name: extra.get(extra_field.name) or extra_field.default for extra_field in EXTRA_FIELDS}
        address = _address(connection.host, connection.port)
        mistakes += [
            *_key_mistakes("login (SecretId)", connection.login),
            *_key_mistakes("password (SecretKey)", connection.password),
            *(_key_mistakes("extra token", extra["token"]) if extra.get("token") not in (None, "") else ()),
            *(() if isinstance(connection.host, (str, type(None))) else ["host is not a text"]),
            *_endpoint_mistakes(address, allowed_hosts),
            *_extra_mistakes(extra),
        ]
        if mistakes:
            raise InvalidRequest(f"Connection {connection.conn_id}", mistakes)
        endpoint = cleaned(address)
        return cls(
            secret_id=connection.login,
            secret_key=connection.password,
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
        )

    @property
    def ledger(self) -> str:
        """The name of the ledger, for a user; empty if there is none."""
        return self.ledger_uri or (f"connection {self.ledger_conn_id}" if self.ledger_conn_id else "")

    @property
    def key_name(self) -> str:
        """The SecretId, shortened, for a message: enough to tell two keys apart."""
        return f"{self.secret_id[:4]}...{self.secret_id[-4:]}" if len(self.secret_id) > 12 else self.secret_id

    def order_url(self, order_id: str) -> str:
        """Return the address of an order in the console."""
        return self.console_url.replace("{order_id}", quote(order_id, safe=""))


def endpoint_of(host: str | None, port: int | None) -> str:
    """Return the API's address: ``https`` unless it is this machine; nothing given is the international site."""
    return cleaned(_address(host, port))


def _address(host: Any, port: Any) -> str:
    """Return the address that a host and a port make."""
    name = host.strip() if isinstance(host, str) else ""
    if not name:
        return ENDPOINT
    if name.count(":") > 1 and not re.search(r"\[|@|://", name):
        name = f"[{name}]"
    is_named = not port or ("://" in name and re.search(f":{re.escape(str(port))}/*$", name))
    return name if is_named else f"{name.rstrip('/')}:{port}"


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


def _key_mistakes(name: str, value: Any) -> Iterator[str]:
    """Yield what is wrong with a part of the key, without showing it."""
    if value is None or not str(value).strip():
        yield f"{name} is missing"
    elif not isinstance(value, str):
        yield f"{name} is not a text"
    elif value != value.strip():
        yield f"{name} has blanks around it"
    elif not re.fullmatch(r"[!-~]+", value):
        yield f"{name} holds characters that no key has"


def _endpoint_mistakes(address: str, allowed_hosts: Collection[str]) -> Iterator[str]:
    try:
        endpoint = parsed(address)
    except ValueError as error:
        yield f"host {error}"
        return
    if "_" in endpoint.host:
        yield f"host {shown(address)} is not an address such as {ENDPOINT}: no host on the internet has an underscore"
    if not endpoint.is_bare:
        yield f"host {shown(address)} must be an address and nothing more"
    if endpoint.is_loopback:
        return
    if endpoint.scheme != "https":
        yield f"host {shown(address)} must be https"
    if not endpoint.host.endswith(API_DOMAIN) and endpoint.host not in _hosts(allowed_hosts):
        yield (
            f"host {endpoint.host!r} is not under {API_DOMAIN[1:]} and is not localhost: signed requests go nowhere "
            "else unless [tcbilling] allowed_hosts in Airflow's configuration names it"
        )


def _hosts(names: Collection[str]) -> Iterator[str]:
    for name in names:
        with contextlib.suppress(ValueError):
            yield parsed(name).host


def _extra_mistakes(extra: Mapping[str, Any]) -> Iterator[str]:
    for extra_field in EXTRA_FIELDS:
        value = extra.get(extra_field.name)
        if value is None or value == "" or extra_field.is_secret:
            continue
        if extra_field.type == "number" and (mistake := SECONDS.demand(f"extra {extra_field.name}", value)):
            yield mistake
        elif extra_field.choices and value not in extra_field.choices:
            yield f"extra {extra_field.name} must be one of {', '.join(extra_field.choices)}"
        elif extra_field.type == "string" and not (isinstance(value, str) and value.isprintable()):
            yield f"extra {extra_field.name} must be a text of one line"
    yield from ledger_mistakes(extra.get("ledger_uri"), extra.get("ledger_conn_id"))
    console = extra.get("console_url")
    if console and not _is_web_address(str(console)):
        yield "extra console_url must be an http or https address"


def _slips(name: str) -> Iterator[str]:
    """Yield a mistake if an unknown field is a slip that would leave out the ledger."""
    from difflib import get_close_matches

    if meant := get_close_matches(name.lower(), LEDGERS, 1, LIKENESS):
        yield f"extra {name!r} is not known here, and would leave out the ledger: is {meant[0]} meant?"


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
