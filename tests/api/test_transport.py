"""Whether a request was sent is known and not guessed: before its first byte never, after it perhaps."""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import contextmanager

import pytest
import requests
from requests.adapters import HTTPAdapter

from airflow_provider_tcbilling.api.errors import OutcomeUnknown, Unreachable
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import ORDER, PRICE, SECRET_KEY, client_to
from tests.support.account import PRODUCT
from tests.support.shelf import Shelf

proxies = pytest.importorskip("tests.support.proxy", reason="the certificates need cryptography")

TUNNELLED, FORWARDED = "https://billing.intl.tencentcloudapi.com", "http://billing.intl.tencentcloudapi.com"
ENDPOINTS = [pytest.param(TUNNELLED, id="CONNECT"), pytest.param(FORWARDED, id="plain")]
NETWORK = [
    {"fault": "drop"},
    {"fault": "reset"},
    {"fault": "cut"},
    {"fault": "delay", "seconds": 3.0},
    {"fault": "drip", "seconds": 3.0, "part": "headers"},
    {"fault": "drip", "seconds": 3.0, "part": "body"},
    {"fault": "interim", "status": 102},
    {"fault": "interim", "status": 103},
    {"fault": "http", "status": 502},
    {"fault": "http", "status": 407},
    {"fault": "truncated"},
]
NAMES = [" ".join(str(word) for word in fault.values()) for fault in NETWORK]
QUICK = 3.0
"""Seconds in which a failure before the first byte is told, on a loaded machine; each time-out here is 0.5."""


@pytest.fixture
def sandbox(start_sandbox):
    return start_sandbox(tokens=Tokens.parse("ignore"))


@pytest.fixture
def proxy(sandbox, tmp_path, monkeypatch):
    """A proxy to the sandbox, which the environment names."""
    with proxies.running_proxy(sandbox.url, tmp_path) as proxy:
        for name, value in proxy.environment.items():
            monkeypatch.setenv(name, value)
        yield proxy


def client_by(endpoint, **options):
    return client_to(
        None, endpoint=endpoint, allow_http=True, **{"connect_timeout": 2.0, "read_timeout": 0.5, **options}
    )


def spent(sandbox):
    return sandbox.options.balance_cents - sandbox.account.balance_cents


def failure(endpoint, kind=Unreachable, **options):
    """Return how a purchase fails, and after how many seconds."""
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        client_by(endpoint, connect_timeout=0.5, attempts=1, **options).create_instance(client_token="t", **ORDER)
    return caught.value, time.monotonic() - began


# Behind a proxy


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("fault", NETWORK, ids=NAMES)
def test_what_is_lost_behind_a_proxy_may_have_been_carried_out_and_is_not_sent_again(proxy, sandbox, endpoint, fault):
    sandbox.faults.add(fault)

    with pytest.raises(OutcomeUnknown) as caught:
        client_by(endpoint).create_instance(client_token="t", **ORDER)

    assert caught.value.ambiguous
    assert (sandbox.requests["CreateInstance"], spent(sandbox)) == (1, PRICE)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("fault", NETWORK, ids=NAMES)
def test_a_purchase_behind_a_proxy_is_paid_once_whatever_is_lost(proxy, sandbox, passing_time, endpoint, fault):
    sandbox.faults.add({**fault, "action": "CreateInstance"})
    spending = NewInstance(client_by(endpoint), ORDER)

    order = Purchase("firewall", spending, Shelf(), Rules(lag=10.0, request_seconds=5.0)).place()

    assert [order.order_id] == [placed.order_id for placed in sandbox.account.orders()]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_renewal_behind_a_proxy_that_loses_the_answer_is_sent_once(proxy, sandbox, endpoint):
    instance = sandbox.account.add_instance(expires_at=time.time() + 86_400).instance_id
    sandbox.faults.add({"fault": "drop", "times": None, "action": "RenewInstance"})

    with pytest.raises(OutcomeUnknown):
        client_by(endpoint).renew_instance(client_token="t", instance_id=instance, **PRODUCT)

    assert (sandbox.requests["RenewInstance"], spent(sandbox)) == (1, PRICE)


# Before the first byte


@contextmanager
def silent_server(answer=None):
    """Listen, and never say a word; or say *answer* to whatever comes, and close."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            held = []
            while True:
                try:
                    held.append(listener.accept()[0])
                except OSError:
                    return
                if answer is not None:
                    held[-1].recv(2**16)
                    held[-1].sendall(answer)
                    held.pop().close()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def unused_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def set_proxy(monkeypatch, url):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, url)


PROXY_FAULTS = {
    "down": ("http://127.0.0.1:{unused}", "refused"),
    "down, with a password": ("http://user:hunter2@127.0.0.1:{unused}", "refused"),
    "a SOCKS proxy without PySocks": ("socks5h://user:hunter2@127.0.0.1:{unused}", "SOCKS"),
    "malformed": ("http://user:hunter2@[::1", ""),
    "malformed, with a slash in the password": ("http://user:hunter2/2@127.0.0.1:{unused}", "Failed to parse"),
    "never answers": ("http://127.0.0.1:{silent}", ""),
    "closes the tunnel": ("http://127.0.0.1:{closing}", ""),
    "speaks no HTTP": ("http://127.0.0.1:{rude}", ""),
}


@pytest.mark.parametrize(("url", "reason"), PROXY_FAULTS.values(), ids=PROXY_FAULTS)
def test_a_proxy_that_cannot_be_used_means_that_nothing_was_sent(monkeypatch, url, reason):
    with silent_server() as silent, silent_server(b"") as closing, silent_server(b"\x1b[31mNO\r\n\r\n") as rude:
        ports = {"unused": unused_port(), "silent": silent, "closing": closing, "rude": rude}
        set_proxy(monkeypatch, url.format(**ports))

        error, seconds = failure(TUNNELLED)

    assert reason in str(error)
    assert "nothing was sent" in str(error)
    assert "hunter2" not in str(error)
    assert str(error).isprintable()
    assert seconds < QUICK


@pytest.mark.parametrize("refusal", ["407 Proxy Authentication Required", "502 Bad Gateway", "403 Forbidden"])
def test_a_proxy_that_refuses_the_tunnel_means_that_nothing_was_sent(proxy, sandbox, refusal):
    proxy.refusal = refusal

    error, seconds = failure(TUNNELLED)

    assert refusal in str(error)
    assert sandbox.requests == {}
    assert seconds < QUICK


def test_a_certificate_that_nobody_vouches_for_means_that_nothing_was_sent(proxy, sandbox, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")

    error, _ = failure(TUNNELLED)

    assert "certificate verify failed" in str(error)
    assert sandbox.requests == {}


def test_a_file_of_certificates_that_does_not_exist_means_that_nothing_was_sent(proxy, sandbox, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")

    error, seconds = failure(TUNNELLED)

    assert "/no/such/bundle.pem" in str(error)
    assert sandbox.requests == {}
    assert seconds < QUICK


def test_a_file_of_certificates_that_is_none_means_that_nothing_was_sent(proxy, sandbox, monkeypatch, tmp_path):
    (tmp_path / "empty.pem").write_text("no certificate")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "empty.pem"))

    failure(TUNNELLED)

    assert sandbox.requests == {}


@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param("http://127.0.0.1:{unused}", id="nobody listens"),
        pytest.param("https://127.0.0.1:{plain}", id="TLS to a plain port"),
        pytest.param("https://127.0.0.1:{silent}", id="a handshake without an answer"),
        pytest.param("https://127.0.0.1:{closing}", id="a handshake that is closed"),
        pytest.param(f"https://{'a' * 70}.tencentcloudapi.com", id="a label of 70 characters"),
        pytest.param(f"{'a.' * 130}tencentcloudapi.com", id="a host of 280 characters"),
        pytest.param("billing.intl.tencentcloudapi.com", id="no scheme"),
    ],
)
def test_an_endpoint_that_cannot_be_reached_means_that_nothing_was_sent(sandbox, endpoint):
    plain = sandbox.url.rpartition(":")[2]
    with silent_server() as silent, silent_server(b"") as closing:
        ports = {"unused": unused_port(), "plain": plain, "silent": silent, "closing": closing}
        error, seconds = failure(endpoint.format(**ports))

    assert "nothing was sent" in str(error)
    assert sandbox.requests == {}
    assert seconds < QUICK


@pytest.mark.parametrize("key", ["AKID\n", "AKID\u4e2d"])
def test_a_key_that_no_header_can_hold_means_that_nothing_was_sent(sandbox, key):
    error, _ = failure(sandbox.url, secret_id=key)

    assert "nothing was sent" in str(error)
    assert sandbox.requests == {}


def test_a_name_that_does_not_resolve_means_that_nothing_was_sent(monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    set_proxy(monkeypatch, "")

    error, seconds = failure(TUNNELLED)

    assert "Name or service not known" in str(error)
    assert seconds < QUICK


def test_a_name_look_up_that_takes_long_is_given_up(sandbox, monkeypatch):
    over, look_up = threading.Event(), socket.getaddrinfo

    def slow(*args, **kwargs):
        over.wait(10)
        return look_up(*args, **kwargs)

    monkeypatch.setattr("socket.getaddrinfo", slow)

    _, seconds = failure(sandbox.url.replace("127.0.0.1", "localhost"))
    over.set()

    assert seconds < QUICK
    assert sandbox.requests == {}


# What is not known


def test_what_another_adapter_has_sent_is_never_said_to_be_unsent(monkeypatch):
    client = client_by(f"http://127.0.0.1:{unused_port()}", attempts=1)
    client._transport.session.mount("http://", HTTPAdapter())

    with pytest.raises(OutcomeUnknown):
        client.create_instance(client_token="t", **ORDER)


def test_a_failure_that_nobody_has_foreseen_after_the_first_byte_leaves_the_outcome_unknown(sandbox, monkeypatch):
    def breaks(*args, **kwargs):
        until = time.monotonic() + 10
        while not sandbox.account.orders() and time.monotonic() < until:
            time.sleep(0.01)
        raise requests.exceptions.ProxyError("Cannot connect to proxy.")

    monkeypatch.setattr("http.client.HTTPConnection.getresponse", breaks)

    error, _ = failure(sandbox.url, OutcomeUnknown)

    assert "was sent" in str(error)
    assert spent(sandbox) == PRICE


@pytest.mark.parametrize("head", [b"\x1b]0;evil\x07 200\r\n\r\n", b"HTTP/1.1 999999 \x1b[2J\r\n\r\n", b"\xff" * 300])
def test_a_rude_answer_is_shown_without_its_control_characters(monkeypatch, head):
    with silent_server(head) as port:
        error, _ = failure(f"http://127.0.0.1:{port}", OutcomeUnknown)

    assert str(error).isprintable()
    assert len(str(error)) < 500


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_no_failure_shows_the_key_or_a_signature(proxy, sandbox, caplog, endpoint):
    caplog.set_level(logging.DEBUG)
    sandbox.faults.add({"fault": "drop"})

    error, _ = failure(endpoint, OutcomeUnknown, token="")

    for text in (caplog.text, str(error), repr(error)):
        assert SECRET_KEY not in text
        assert "Signature=" not in text


# One answer, one request


def test_money_and_the_query_after_it_use_a_connection_of_their_own(proxy, sandbox):
    client, connections = client_by(FORWARDED), []
    for call in (query, query, buy, query, query, buy, buy, query):
        call(client)
        connections.append(len(proxy.targets))

    assert connections == [1, 1, 2, 3, 3, 4, 5, 6]


@pytest.mark.parametrize("fault", ["http", "interim", "drop", "cut", "truncated", "garbage"])
def test_nothing_is_sent_on_a_connection_whose_answer_was_not_whole(proxy, sandbox, fault):
    client = client_by(FORWARDED, attempts=1)
    query(client)
    sandbox.faults.add({"fault": fault})
    with pytest.raises(OutcomeUnknown):
        query(client)
    before = len(proxy.targets)

    assert query(client).uin == sandbox.account.uin
    assert len(proxy.targets) == before + (fault not in ("truncated",))


@pytest.mark.parametrize("status", [102, 103])
def test_a_late_answer_is_not_read_as_the_answer_to_the_next_query(sandbox, passing_time, status):
    sandbox.faults.add({"fault": "interim", "status": status, "seconds": 0.3, "action": "CreateInstance"})
    client = client_to(sandbox, read_timeout=5.0)

    order = Purchase("firewall", NewInstance(client, ORDER), Shelf(), Rules(lag=10.0, request_seconds=10.0)).place()

    assert [order.order_id] == [placed.order_id for placed in sandbox.account.orders()]


def test_a_cookie_of_the_server_is_not_sent_back():
    heads = []

    class Recording(HTTPAdapter):
        def send(self, request, **kwargs):
            heads.append(dict(request.headers))
            return super().send(request, **kwargs)

    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: who=me; Path=/\r\nContent-Length: 2\r\n\r\n{}"
    with silent_server(answer) as port:
        client = client_by(f"http://127.0.0.1:{port}", attempts=1)
        client._transport.session.mount("http://", Recording())
        for _ in range(2):
            with pytest.raises(OutcomeUnknown):
                query(client)

    assert [head.get("Cookie") for head in heads] == [None, None]


def query(client):
    return client.describe_account_balance()


def buy(client):
    return client.create_instance(client_token=str(time.monotonic()), **ORDER)
