"""The connection: what is accepted, what is refused in words, and what the test button says."""

from __future__ import annotations

import logging

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.hooks.connection import endpoint_of
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from tests.conftest import SECRET_KEY


def settings():
    return TcBillingHook().get_settings()


def test_an_empty_host_is_the_international_site(connect):
    connect()

    assert settings().endpoint == "https://billing.intl.tencentcloudapi.com"
    assert settings().order_url("1") == "https://console.tencentcloud.com/expense/deal"


def test_the_mainland_site_has_its_own_console(connect):
    connect(host="billing.tencentcloudapi.com")

    assert settings().endpoint == "https://billing.tencentcloudapi.com"
    assert settings().order_url("1") == "https://console.cloud.tencent.com/expense/deal"


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("127.0.0.1", 8765, "http://127.0.0.1:8765"),
        ("localhost", None, "http://localhost"),
        ("::1", 1, "http://[::1]:1"),
        ("http://127.0.0.1:8765/", None, "http://127.0.0.1:8765"),
        ("billing.ap-guangzhou.tencentcloudapi.com", None, "https://billing.ap-guangzhou.tencentcloudapi.com"),
        (None, None, "https://billing.intl.tencentcloudapi.com"),
        (" ", 443, "https://billing.intl.tencentcloudapi.com"),
        ("127.0.0.1:8765", None, "http://127.0.0.1:8765"),
        ("LocalHost.", 80, "http://localhost"),
        ("[::1]", 8765, "http://[::1]:8765"),
        ("Billing.TencentCloudAPI.com\n", 443, "https://billing.tencentcloudapi.com"),
        ("HTTPS://billing.tencentcloudapi.com:443/?#", None, "https://billing.tencentcloudapi.com"),
    ],
)
def test_an_endpoint_can_be_written_in_several_ways(host, port, expected):
    assert endpoint_of(host, port) == expected


def test_a_connection_uri_works_as_the_sandbox_prints_it(monkeypatch, sandbox):
    from airflow_provider_tcbilling.sandbox.__main__ import greeting

    uri = greeting(sandbox.options, sandbox.url).split("connection URI   export AIRFLOW_CONN_TCBILLING_DEFAULT='")[1]
    monkeypatch.setenv("AIRFLOW_CONN_TCBILLING_DEFAULT", uri.split("'")[0])

    assert TcBillingHook().get_conn().describe_account_balance().uin == sandbox.account.uin


def test_the_extra_is_read_by_name(connect, caplog):
    connect(
        extra={
            "token": "temporary",
            "connect_timeout": "3",
            "read_timeout": 70,
            "language": "zh-CN",
            "console_url": "https://c.example/{order_id}",
            "verify": False,
        }
    )

    with caplog.at_level(logging.WARNING):
        read = settings()

    assert (read.token, read.connect_timeout, read.read_timeout, read.language) == ("temporary", 3, 70, "zh-CN")
    assert read.order_url("7") == "https://c.example/7"
    assert "'verify' is not known here and is ignored" in caplog.text


@pytest.mark.parametrize(
    "name", ["ledger_con_id", "ledger-conn-id", "LEDGER_CONN_ID", "ledger_url", "ledger", "ledgeruri"]
)
def test_a_slip_in_the_name_of_the_ledger_does_not_leave_it_out(connect, name):
    connect(extra={name: "file:///mnt/ledger"})

    with pytest.raises(InvalidRequest, match=rf"extra '{name}' is not known here.* is ledger_(uri|conn_id) meant\?"):
        settings()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"login": ""}, "login (SecretId) is missing"),
        ({"password": ""}, "password (SecretKey) is missing"),
        ({"login": " AKIDx"}, "login (SecretId) has blanks around it"),
        ({"password": SECRET_KEY + "\n"}, "password (SecretKey) has blanks around it"),
        ({"password": "kéy"}, "password (SecretKey) holds characters that no key has"),
        ({"host": "evil.example"}, "host 'evil.example' is not under tencentcloudapi.com and is not localhost"),
        ({"host": "tencentcloudapi.com.evil.example"}, "is not under"),
        ({"host": "eviltencentcloudapi.com"}, "is not under"),
        ({"host": "https://evil.example#.tencentcloudapi.com"}, "is not under"),
        ({"host": "https://billing.intl.tencentcloudapi.com@evil.example"}, "is not under"),
        ({"host": "https://user@billing.intl.tencentcloudapi.com"}, "must be an address and nothing more"),
        ({"host": "https://billing.intl.tencentcloudapi.com/v2"}, "must be an address and nothing more"),
        ({"host": "http://billing.intl.tencentcloudapi.com"}, "must be https"),
        ({"host": "ftp://127.0.0.1"}, "is not an address"),
        ({"host": "billing_x.tencentcloudapi.com"}, "is not an address"),
        ({"host": "https://127.0.0.1:many"}, "is not an address"),
        ({"host": f"https://user:{SECRET_KEY}@billing.tencentcloudapi.com"}, "must be an address and nothing more"),
        ({"host": f"https://user:{SECRET_KEY}#@billing.tencentcloudapi.com"}, "is not an address"),
        ({"host": f"user:{SECRET_KEY}@billing.tencentcloudapi.com"}, "must be an address and nothing more"),
        ({"host": f"https://billing.tencentcloudapi.com/?key={SECRET_KEY}"}, "must be an address and nothing more"),
        ({"host": f"{'a' * 64}.tencentcloudapi.com"}, "63 between two dots"),
        ({"host": "billing..tencentcloudapi.com"}, "nothing between two dots"),
        ({"host": "127.0.0.1:8765", "port": 8765}, "is not an address"),
        ({"host": "billing.tencentcloudapi.com", "port": 65536}, "port is not from 1 to 65535"),
        ({"extra": {"read_timeout": "soon"}}, "extra read_timeout must be a number above 0"),
        ({"extra": {"requests_per_second": 0}}, "extra requests_per_second must be a number above 0"),
        ({"extra": {"requests_per_second": -5}}, "extra requests_per_second must be a number above 0"),
        ({"extra": {"connect_timeout": 0}}, "extra connect_timeout must be a number above 0"),
        ({"extra": {"read_timeout": True}}, "extra read_timeout must be"),
        ({"extra": {"language": "de"}}, "extra language must be one of en-US, zh-CN"),
        ({"extra": {"console_url": "javascript:alert(1)"}}, "extra console_url must be an http or https address"),
        ({"extra": {"token": " t"}}, "extra token has blanks around it"),
    ],
)
def test_a_mistake_in_the_connection_is_said_in_words_without_the_key(connect, fields, words):
    connect(**fields)

    with pytest.raises(InvalidRequest) as caught:
        settings()

    assert words in str(caught.value)
    assert SECRET_KEY not in str(caught.value)


def test_all_mistakes_of_a_connection_are_said_at_once(connect):
    connect(login="", password="", host="evil.example", extra={"language": "de"})

    with pytest.raises(InvalidRequest) as caught:
        settings()

    assert len(caught.value.mistakes) == 4


def test_a_foreign_host_needs_the_word_of_whoever_runs_airflow(connect, monkeypatch):
    connect(host="https://gateway.example.com")
    monkeypatch.setenv("AIRFLOW__TCBILLING__ALLOWED_HOSTS", "other.example, Gateway.Example.com")

    assert settings().endpoint == "https://gateway.example.com"


def test_a_foreign_host_is_never_spoken_to_in_the_clear(connect, monkeypatch):
    connect(host="http://gateway.example.com")
    monkeypatch.setenv("AIRFLOW__TCBILLING__ALLOWED_HOSTS", "gateway.example.com")

    with pytest.raises(InvalidRequest, match="must be https"):
        settings()


def test_the_settings_do_not_show_the_key(connect):
    connect(extra={"token": "temporary"})

    assert SECRET_KEY not in repr(settings())
    assert "temporary" not in repr(settings())


def test_an_unknown_connection_is_airflows_own_error():
    with pytest.raises(AirflowNotFoundException):
        TcBillingHook("nowhere").get_conn()


async def test_the_async_client_is_the_same_client(connection, sandbox):
    client = await TcBillingHook().aget_conn()

    assert client.describe_account_balance().uin == sandbox.account.uin


def test_the_test_button_makes_two_free_calls(connection, sandbox):
    ok, words = TcBillingHook().test_connection()

    assert ok
    assert f"of account {sandbox.account.uin}, from connection" in words
    assert sandbox.requests == {"DescribeAccountBalance": 1, "GetCallerIdentity": 1}


@pytest.mark.parametrize(
    ("fault", "ok", "words"),
    [
        ({"fault": "error", "code": "AuthFailure.SecretIdNotFound"}, False, "the wrong site"),
        (
            {"fault": "error", "code": "AuthFailure.SignatureFailure"},
            False,
            "Enter it again",
        ),
        ({"fault": "error", "code": "AuthFailure.TokenFailure"}, False, "The session token has expired"),
        ({"fault": "error", "code": "AuthFailure.MFAFailure"}, False, "Tencent refused the key"),
        ({"fault": "error", "code": "UnauthorizedOperation.CamNoAuth"}, False, "finance:trade"),
        ({"fault": "error", "code": "AuthFailure.UnauthorizedOperation"}, False, "finance:trade"),
        ({"fault": "error", "code": "FailedOperation.PayPriceError", "message": "why"}, False, "why [Failed"),
        ({"fault": "http", "status": 503}, False, "HTTP status 503"),
        ({"fault": "clock-skew", "seconds": 1000}, True, "The clock of this machine is off by "),
    ],
)
def test_the_test_button_says_what_to_fix(connection, sandbox, fault, ok, words):
    sandbox.faults.add(fault)

    result, message = TcBillingHook().test_connection()

    assert (result, words in message) == (ok, True), message
    assert SECRET_KEY not in message


def test_the_test_button_names_a_host_where_nobody_answers(connect):
    connect(host="http://127.0.0.1:9")

    ok, words = TcBillingHook().test_connection()

    assert not ok
    assert "no connection to http://127.0.0.1:9" in words
