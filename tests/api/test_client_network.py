"""Rate limits, dead servers, endless answers and wrong clocks: what the client repeats, and when it stops."""

from __future__ import annotations

import logging
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from airflow_provider_tcbilling.api.errors import (
    AuthError,
    OutcomeUnknown,
    RateLimited,
    TcBillingError,
    Unreachable,
)
from tests.conftest import ORDER, client_to


def test_a_throttled_request_is_repeated_after_a_pause(start_sandbox):
    sandbox = start_sandbox(rate_limit=1)
    pauses = []
    client = client_to(sandbox, sleep=lambda seconds: (pauses.append(seconds), time.sleep(1.05)))

    for token in ("a", "b"):
        client.create_instance(client_token=token, **ORDER)

    assert len(sandbox.account.orders()) == 2
    assert pauses
    assert sandbox.requests["CreateInstance"] == 2 + len(pauses)


@pytest.mark.parametrize(
    ("code", "longest"),
    [("RequestLimitExceeded", [1, 2, 4, 8, 16, *[32] * 11]), ("InternalError", [1, 2, 4, 8])],
)
def test_pauses_grow_and_are_longer_where_there_are_too_many_requests(sandbox, monkeypatch, code, longest):
    sandbox.faults.add({"fault": "error", "code": code, "when": "before", "times": None})
    monkeypatch.setattr("random.uniform", lambda least, most: most)
    pauses = []

    with pytest.raises(TcBillingError) as caught:
        client_to(sandbox, sleep=pauses.append).describe_account_balance()

    assert caught.value.code == code
    assert pauses == longest


def test_a_pause_never_outlasts_the_deadline_of_a_request(sandbox, monkeypatch):
    sandbox.faults.add({"fault": "error", "code": "RequestLimitExceeded", "when": "before", "times": None})
    monkeypatch.setattr("random.uniform", lambda least, most: most)
    now, pauses = [time.time()], []

    def sleep(seconds):
        pauses.append(seconds)
        now[0] += seconds

    with pytest.raises(RateLimited):
        client_to(sandbox, clock=lambda: now[0], sleep=sleep).describe_deals(send_by=now[0] + 10)

    assert pauses == [1, 2, 4]


def test_nobody_there_means_nothing_was_sent():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
    client = client_to(None, endpoint=endpoint)

    with pytest.raises(Unreachable, match="nothing was sent"):
        client.create_instance(client_token="t", **ORDER)


def test_a_name_that_does_not_resolve_means_nothing_was_sent():
    with pytest.raises(Unreachable):
        client_to(None, endpoint="https://billing.invalid", attempts=1).describe_account_balance()


def test_redirects_are_not_followed(sandbox):
    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(307)
            self.send_header("Location", sandbox.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(OutcomeUnknown, match="HTTP status 307"):
            client_to(None, endpoint=f"http://127.0.0.1:{server.server_port}", attempts=1).describe_account_balance()
        server.shutdown()

    assert sandbox.requests == {}


def test_an_endless_answer_is_not_read_to_its_end(client, sandbox):
    sandbox.faults.add({"fault": "garbage", "times": None})

    with pytest.raises(OutcomeUnknown, match="the answer is larger than 8388608 bytes"):
        client.describe_account_balance()


def test_a_loopback_endpoint_is_never_asked_through_a_proxy(client, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)

    assert client.describe_account_balance().uin


@pytest.mark.parametrize("seconds", [-4000, 4000])
def test_a_wrong_clock_is_corrected_from_the_servers_date(client, sandbox, caplog, seconds):
    sandbox.faults.add({"fault": "clock-skew", "seconds": seconds})

    with caplog.at_level(logging.WARNING):
        client.create_instance(client_token="t", **ORDER)

    assert client.clock_offset == pytest.approx(seconds, abs=5)
    assert (
        f"The local clock is {abs(seconds) - 1}" in caplog.text or f"The local clock is {abs(seconds)}" in caplog.text
    )
    assert ("behind" if seconds > 0 else "ahead of") in caplog.text
    assert [entry.outcome for entry in sandbox.journal] == ["AuthFailure.SignatureExpire", "ok"]


def test_an_expired_signature_with_a_right_clock_is_not_sent_again(client, sandbox):
    sandbox.faults.add({"fault": "error", "code": "AuthFailure.SignatureExpire", "when": "before", "times": None})

    with pytest.raises(AuthError):
        client.create_instance(client_token="t", **ORDER)

    assert sandbox.requests["CreateInstance"] == 1
