"""Random connections: each becomes settings that a client can use, or a list of its mistakes."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.endpoint import parsed
from airflow_provider_tcbilling.hooks.connection import EXTRA_FIELDS, Settings
from verification.fuzz.judging import Clock, Verdict, client_of, designed, kind_of
from verification.fuzz.server import Server
from verification.fuzz.values import Draw

SOUND = {"host": None, "port": None, "login": "AKID", "password": "k"}
EXTRA = {"read_timeout": 5, "ledger_uri": "file:///x", "language": "en-US", "requests_per_second": 5}
HOSTS = (None, "127.0.0.1", "billing.tencentcloudapi.com")
PARTS = (
    *(
        "https://",
        "http://",
        "[::1]",
        "::1",
        "127.0.0.1",
        "localhost",
        ":443",
        ":",
        "/",
        "@",
        "u:p@",
        "x" * 70,
        "é",
        "xn--",
    ),
    *(
        "billing.tencentcloudapi.com",
        "billing.intl.tencentcloudapi.com:443",
        "#",
        "?",
        "%",
        "\\",
        "[",
        "]",
        "..",
        "0x7f.1",
    ),
    *("\ud800", "\x00", "\uff11", "\u3002", "example.com"),
)
"""Pieces of which odd hosts are made."""


def a_connection(seed: int) -> Verdict:
    """Read a connection that holds anything, and make a client of it, or of its parts."""
    draw = Draw(seed)
    connection = _Connection(conn_id="c", **_fields(draw))
    settings, wrong = designed(lambda: Settings.read(connection))
    if isinstance(settings, Settings):
        wrong += designed(lambda: settings.order_url("7"))[1]
        options: dict[str, Any] = {
            "endpoint": settings.endpoint,
            "token": settings.token,
            "language": settings.language,
        }
        options |= {"connect_timeout": settings.connect_timeout, "read_timeout": settings.read_timeout}
    else:
        options = {"endpoint": connection.host, "token": connection.password, "read_timeout": connection.port}
    client, more = designed(lambda: client_of(Clock(), **options))
    wrong += more
    if isinstance(client, BillingClient):
        wrong += _sending(draw, client)
    return f"connection: {kind_of(settings)}", wrong


def _sending(draw: Draw, client: BillingClient) -> list[str]:
    server = Server(draw, is_odd=False)
    with server.listening(is_whole=True):
        _, wrong = designed(client.describe_account_balance)
    if server.sent and client.endpoint.startswith("http:") and not parsed(client.endpoint).is_loopback:
        wrong.append(f"a signed request in the clear to {client.endpoint}")
    return wrong


def _fields(draw: Draw) -> dict[str, Any]:
    extra: Any = dict(EXTRA)
    if draw.happens(0.5):
        extra[draw.choice(EXTRA_FIELDS).name] = draw.odd()
    fields = {**SOUND, "host": draw.choice(HOSTS), "extra": extra}
    if draw.happens(0.5):
        odd = draw.changed(fields, draw.randint(1, 2))
        fields |= {name: odd[name] for name in fields if name in odd} if isinstance(odd, dict) else {}
    if draw.happens(0.3):
        fields["host"] = "".join(draw.choice(PARTS) for _ in range(draw.randint(1, 4)))
    text = fields["extra"] if isinstance(fields["extra"], str) else json.dumps(fields["extra"])
    return {**fields, "extra": text}


class _Connection(SimpleNamespace):
    """A connection of Airflow, which reads its extra as Airflow does."""

    @property
    def extra_dejson(self) -> Any:
        try:
            return json.loads(self.extra) if self.extra else {}
        except json.JSONDecodeError:
            return {}
