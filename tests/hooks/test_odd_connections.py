"""Connections that hold anything: each mistake is told in words, by every door that reads them, and nothing is sent."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import airflow
import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.hooks.connection import Settings
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from tests.conftest import SECRET_KEY

pytestmark = pytest.mark.airflow

EXTRAS = [
    *("[]", "[1, 2]", '"text"', "7", "true", "false", "0", '[{"ledger_uri": "s3://x"}]'),
    *("{half", "ledger_uri=s3://x", "[" * 50_000, '{"read_timeout": ' + "9" * 5000 + "}"),
]


class Connection(SimpleNamespace):
    """A connection as Airflow hands it over, which reads its extra as Airflow does."""

    @property
    def extra_dejson(self):
        try:
            return json.loads(self.extra) if self.extra else {}
        except json.JSONDecodeError:
            return {}


def read(**fields):
    sound = {"conn_id": "c", "login": "AKID", "password": "k", "host": None, "port": None, "extra": ""}
    return Settings.read(Connection(**{**sound, **fields}))


@pytest.mark.parametrize("extra", EXTRAS, ids=range(len(EXTRAS)))
def test_an_extra_that_is_no_object_is_a_mistake_and_not_forgotten(connect, extra):
    with pytest.raises(InvalidRequest, match="must be a JSON object") as caught:
        read(extra=extra)

    assert "s3://x" not in str(caught.value)
    connect(extra=extra)
    works, words = TcBillingHook().test_connection()
    assert (works, "s3://x" in words) == (False, False)


@pytest.mark.parametrize("extra", ["", "{}", " {} ", "null", '""'])
def test_an_extra_that_holds_nothing_is_none(connect, extra):
    connect(extra=extra)

    try:
        settings = TcBillingHook().get_settings()
    except AirflowNotFoundException:
        assert airflow.__version__.startswith(("3.0.", "3.1.")), "other lines of Airflow read such a connection"
        assert extra in ("null", '""')
    else:
        assert settings.ledger_uri == ""


NO_NUMBER = ({}, [], True, False, "nan", "1e400", "1e9", 10**400, -1, "-5", "5 s", 1e300, 86_401, "\x00", "inf")
ODD = [
    *((name, odd) for name in ("connect_timeout", "read_timeout", "order_book_lag") for odd in NO_NUMBER),
    *(
        (name, odd)
        for name in ("ledger_uri", "language", "console_url", "token")
        for odd in ({}, [], 7, True, False, 0)
    ),
    *(
        (name, odd)
        for name in ("ledger_uri", "console_url")
        for odd in ("file:///x\x00", "https://x\ny", "file:///\ud800")
    ),
    *(("console_url", odd) for odd in ("http://[::1", "//x", "x")),
    *(("token", odd) for odd in ("a\nb", "\x00", "\ud800", " ")),
]


@pytest.mark.parametrize(("name", "odd"), ODD, ids=[f"{name} {number}" for number, (name, _) in enumerate(ODD)])
def test_an_odd_value_of_the_extra_is_a_mistake_that_names_it(name, odd):
    with pytest.raises(InvalidRequest, match=f"extra {name}") as caught:
        read(extra=json.dumps({name: odd}))

    assert str(caught.value).encode()


RELATIVE = [
    "/",
    "//",
    "mnt/ledger",
    "./ledger",
    "../ledger",
    "~/ledger",
    "localhost/mnt/ledger",
    "conn@",
    "conn@ledger",
]


@pytest.mark.parametrize("scheme", ["file", "local"])
@pytest.mark.parametrize("folder", RELATIVE)
def test_a_ledger_in_the_working_directory_of_a_process_is_a_mistake(scheme, folder):
    with pytest.raises(InvalidRequest, match="extra ledger_uri"):
        read(extra=json.dumps({"ledger_uri": f"{scheme}://{folder}"}))


@pytest.mark.parametrize(
    "uri", ["file:///mnt/l", "file:////mnt/l/", "local:///l", "file://c@/mnt/l", "s3://c@b/p", "s3://b"]
)
def test_a_ledger_at_a_place_that_all_share_is_in_order(uri):
    assert read(extra=json.dumps({"ledger_uri": uri})).ledger_uri == uri


@pytest.mark.parametrize("name", ["login", "password"])
@pytest.mark.parametrize("odd", [7, True, [SECRET_KEY], {"a": SECRET_KEY}, "\x00", "\ud800", "é", " x", ""])
def test_an_odd_key_is_a_mistake_that_does_not_show_it(name, odd):
    with pytest.raises(InvalidRequest, match=name) as caught:
        read(**{"password": SECRET_KEY, name: odd})

    assert SECRET_KEY not in str(caught.value)


HOSTS = [
    7,
    [],
    {"a": 1},
    "\x00",
    "\ud800",
    "[",
    "[::1",
    "http://",
    "https://[",
    "a b",
    "%00",
    "\uff11.2.3.4:x",
    "a:b:c",
    ":443",
]


@pytest.mark.parametrize("host", HOSTS, ids=range(len(HOSTS)))
@pytest.mark.parametrize("port", [None, 443, -1, "x", True, 10**9])
def test_an_odd_host_is_a_mistake(host, port):
    with pytest.raises(InvalidRequest, match="host"):
        read(host=host, port=port)


@pytest.mark.parametrize(
    ("host", "port", "endpoint"),
    [
        ("billing.tencentcloudapi.com:443", None, "https://billing.tencentcloudapi.com"),
        ("https://billing.tencentcloudapi.com:443", 443, "https://billing.tencentcloudapi.com"),
        ("https://billing.tencentcloudapi.com", 8443, "https://billing.tencentcloudapi.com:8443"),
        ("http://127.0.0.1/", 8765, "http://127.0.0.1:8765"),
        ("127.0.0.1:443", None, "http://127.0.0.1:443"),
    ],
)
def test_a_port_is_read_wherever_it_stands(connect, host, port, endpoint):
    connect(host=host, port=port)

    assert TcBillingHook().get_settings().endpoint == endpoint


@pytest.mark.parametrize("text", ["{half", '{"conn_type": "tcbilling", "port": "many"}', "[]", "7"])
def test_a_connection_that_airflow_cannot_read_is_a_mistake_of_its_own(monkeypatch, text):
    monkeypatch.setenv("AIRFLOW_CONN_TCBILLING_DEFAULT", text)

    for get in (lambda: TcBillingHook().get_settings(), lambda: asyncio.run(TcBillingHook().aget_settings())):
        with pytest.raises((InvalidRequest, AirflowNotFoundException), match="tcbilling_default"):
            get()
    assert TcBillingHook().test_connection()[0] is False


def test_the_test_button_says_that_there_is_no_such_connection():
    works, words = TcBillingHook("nobody_made_it").test_connection()

    assert (works, "nobody_made_it" in words) == (False, True)
