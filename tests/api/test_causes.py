"""What an error was raised from, which Airflow logs with it, shows neither a secret nor the server's control bytes."""

from __future__ import annotations

import itertools
import random
import socket
import threading
import time
import traceback
from contextlib import contextmanager

import pytest

from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.purchasing.evidence import search
from airflow_provider_tcbilling.waiting.expiry import expiring
from tests.conftest import client_to

PROXIES = [
    "http://user:{}@127.0.0.1:99999",
    "http://user:{}@127.0.0.1:abc",
    "http://user:{}@[::1",
    "//user:{}@127.0.0.1:9",
    "foo://user:{}@127.0.0.1:9",
]
SEPARATORS = ["", " ", "/", "#", "?", "\\", "@", ":", "'", '"', "\t", "["]


@contextmanager
def answering(head):
    """Answer every request with the same bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    request = b""
                    while b"\r\n\r\n{" not in request or not request.endswith(b"}"):
                        request += connection.recv(2**16)
                    connection.sendall(head)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def failure(endpoint, ask=lambda client: client.describe_deals()):
    with pytest.raises(TcBillingError) as caught:
        ask(client_to(None, endpoint=endpoint, connect_timeout=0.5, read_timeout=1.0, attempts=1))
    return "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(("proxy", "separator"), list(itertools.product(PROXIES, SEPARATORS)))
def test_neither_an_error_nor_its_cause_shows_the_password_of_a_proxy(monkeypatch, proxy, separator):
    monkeypatch.setenv("HTTPS_PROXY", proxy.format(f"s3cr3t{separator}word"))

    logged = failure("https://billing.intl.tencentcloudapi.com")

    assert "s3cr3t" not in logged


def test_no_cause_of_an_error_shows_a_control_character_of_the_server():
    drawn = random.Random(16)
    for _ in range(10):
        words = bytes(drawn.choice([27, 13, 133, 155, 8, 65, 66]) for _ in range(20))
        with answering(b"HTTP/1.1 2x0 " + words + b"\r\n\r\n") as endpoint:
            logged = failure(endpoint)
        assert not [c for c in logged if c != "\n" and not c.isprintable()]


@pytest.mark.parametrize("year", [1, 1601, 1969, 2017, 2100, 9998, 9999])
@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.describe_deals(),
        lambda client: expiring(client, time.time(), 86_400.0),
        lambda client: search(client, time.time() - 10, time.time(), []),
    ],
    ids=["deals", "expiring", "search"],
)
def test_the_date_of_an_impossible_year_does_not_count_as_the_server_s_time(year, ask):
    body = b'{"Response": {"RequestId": "r", "Error": {"Code": "AuthFailure.SignatureExpire", "Message": ""}}}'
    head = b"HTTP/1.1 200 OK\r\nDate: Fri, 31 Dec %04d 23:59:59 GMT\r\nContent-Length: %d\r\n\r\n" % (year, len(body))

    with answering(head + body) as endpoint:
        client = client_to(None, endpoint=endpoint, attempts=1)
        for _ in range(2):
            with pytest.raises(TcBillingError):
                ask(client)

    assert (client.clock_offset, client.server_ahead) == (0, 0)
