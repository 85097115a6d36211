"""A request has one deadline for all that it does, and a time after which its first byte does not leave."""

from __future__ import annotations

import socket
import ssl
import time

import pytest

from airflow_provider_tcbilling.api import transport as wire
from airflow_provider_tcbilling.api.errors import OutcomeUnknown, Unreachable
from airflow_provider_tcbilling.api.exchange import Exchange, TooLate
from airflow_provider_tcbilling.api.signing import Tc3Auth
from tests.conftest import ORDER, client_to

proxies = pytest.importorskip("tests.support.proxy", reason="the certificates need cryptography")

PLAIN, TLS = "plain", "TLS"
SLACK = 2.5
"""Seconds by which a deadline of half a second may be missed on a loaded machine."""


class Clock:
    """A clock that goes on by itself, and is set by whoever wants to."""

    def __init__(self):
        self.offset = 0.0

    def __call__(self):
        return time.time() + self.offset


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tls(sandbox, tmp_path, monkeypatch):
    """The sandbox's addresses, both by a name that must be looked up."""
    with proxies.running_tls(sandbox.url, tmp_path) as (url, ca_file):
        yield {PLAIN: sandbox.url.replace("127.0.0.1", "localhost"), TLS: url}, ca_file


def client_of(tls, scheme, clock, **options):
    urls, ca_file = tls
    client = client_to(None, endpoint=urls[scheme], clock=clock, attempts=1, **options)
    client._transport.session.verify = ca_file
    return client


# The time after which nothing leaves


def passes_in(monkeypatch, owner, name, clock, seconds):
    """Let time pass while something is done."""
    does = getattr(owner, name)

    def slowly(*args, **kwargs):
        clock.offset += seconds
        return does(*args, **kwargs)

    monkeypatch.setattr(owner, name, slowly)


STEPS = {
    "name look-up": (socket, "getaddrinfo"),
    "connection": (socket.socket, "connect"),
    "handshake": (ssl.SSLSocket, "do_handshake"),
    "signature": (Tc3Auth, "__call__"),
}


@pytest.mark.parametrize(
    ("scheme", "step"),
    [(scheme, step) for scheme in (PLAIN, TLS) for step in STEPS if scheme == TLS or step != "handshake"],
)
def test_what_takes_longer_than_the_lease_sends_nothing(sandbox, tls, clock, monkeypatch, scheme, step):
    client = client_of(tls, scheme, clock)
    passes_in(monkeypatch, *STEPS[step], clock, 8.0)

    with pytest.raises(Unreachable, match="its time had passed"):
        client.create_instance(client_token="t", send_by=clock() + 5, **ORDER)

    assert sandbox.requests == {}


@pytest.mark.parametrize("scheme", [PLAIN, TLS])
def test_what_is_in_time_is_sent(sandbox, tls, clock, monkeypatch, scheme):
    client = client_of(tls, scheme, clock)
    for step in ("name look-up", "signature"):
        passes_in(monkeypatch, *STEPS[step], clock, 2.0)

    client.create_instance(client_token="t", send_by=clock() + 60, **ORDER)

    assert len(sandbox.account.orders()) == 1


def test_a_clock_that_is_set_back_makes_the_lease_no_longer(sandbox, tls, clock, monkeypatch):
    client, look_up = client_of(tls, PLAIN, clock), socket.getaddrinfo

    def slow(*args, **kwargs):
        time.sleep(0.6)
        clock.offset -= 3600
        return look_up(*args, **kwargs)

    monkeypatch.setattr("socket.getaddrinfo", slow)

    with pytest.raises(Unreachable, match="its time had passed"):
        client.create_instance(client_token="t", send_by=clock() + 0.5, **ORDER)

    assert sandbox.requests == {}


def test_the_second_request_of_a_wrong_clock_does_not_leave_after_the_lease_either(sandbox, tls, clock, monkeypatch):
    sandbox.faults.add({"fault": "clock-skew", "seconds": 4000.0})
    client, sign, signed = client_of(tls, PLAIN, clock), Tc3Auth.headers, []

    def headers(self, *args):
        signed.append(clock())
        clock.offset += 4.0 * len(signed)
        return sign(self, *args)

    monkeypatch.setattr(Tc3Auth, "headers", headers)

    with pytest.raises(Unreachable, match="its time had passed"):
        client.create_instance(client_token="t", send_by=clock() + 10, **ORDER)

    assert (len(signed), [entry.outcome for entry in sandbox.journal]) == (2, ["AuthFailure.SignatureExpire"])
    assert sandbox.account.orders() == []


def test_no_signature_counts_from_a_moment_after_the_lease(sandbox, tls, clock, monkeypatch):
    stamps, sign = [], Tc3Auth.headers
    monkeypatch.setattr(Tc3Auth, "headers", lambda *args: stamps.append(sign(*args)) or sign(*args))
    send_by = clock() + 5

    client_of(tls, PLAIN, clock).create_instance(client_token="t", send_by=send_by, **ORDER)

    assert [int(one["X-TC-Timestamp"]) <= send_by for one in stamps] == [True]


# The time that all of it may take


@pytest.mark.parametrize("scheme", [PLAIN, TLS])
@pytest.mark.parametrize("part", ["headers", "body"])
def test_an_answer_that_drips_is_given_up_at_the_deadline(sandbox, tls, clock, scheme, part):
    sandbox.faults.add({"fault": "drip", "seconds": 8.0, "part": part})
    began = time.monotonic()

    with pytest.raises(OutcomeUnknown):
        client_of(tls, scheme, clock, read_timeout=0.5).create_instance(client_token="t", **ORDER)

    assert time.monotonic() - began < 0.5 + SLACK


@pytest.mark.parametrize("part", ["headers", "body"])
def test_an_answer_that_drips_in_time_is_an_answer(sandbox, tls, clock, part):
    sandbox.faults.add({"fault": "drip", "seconds": 0.5, "part": part})

    order = client_of(tls, TLS, clock, read_timeout=20.0).create_instance(client_token="t", **ORDER)

    assert [order.order_id] == [placed.order_id for placed in sandbox.account.orders()]


def test_both_requests_of_a_wrong_clock_have_one_deadline(sandbox, tls, clock, monkeypatch):
    sandbox.faults.add({"fault": "clock-skew", "seconds": 4000.0})
    ends = []
    monkeypatch.setattr(wire, "Exchange", lambda *args, **kw: ends.append(kw["ends_at"]) or Exchange(*args, **kw))
    latest = time.monotonic() + 30.0 + 40.0 + SLACK

    client_of(tls, PLAIN, clock, connect_timeout=30.0, read_timeout=40.0).create_instance(client_token="t", **ORDER)

    assert (len(ends), len(set(ends))) == (2, 1)
    assert ends[0] <= latest


def test_no_phase_outlasts_the_deadline_of_the_whole(clock):
    exchange = Exchange(100.0, 100.0, ends_at=time.monotonic() + 3.0, send_by=clock() + 50, clock=clock)
    before = exchange.seconds_left()

    exchange.begin()

    assert max(before, exchange.seconds_left()) <= 3.0


def test_a_body_whose_headers_have_left_in_time_is_held_back_after_it_and_is_not_called_unsent(clock):
    exchange = Exchange(100.0, 100.0, ends_at=time.monotonic() + 300.0, send_by=clock() + 5, clock=clock)
    exchange.begin()
    clock.offset += 10

    with pytest.raises(TooLate):
        exchange.begin()

    assert exchange.has_begun


@pytest.mark.parametrize("scheme", [PLAIN, TLS])
def test_a_process_that_stands_still_between_headers_and_body_buys_nothing(sandbox, tls, clock, monkeypatch, scheme):
    client, begin = client_of(tls, scheme, clock), Exchange.begin

    def stops(exchange):
        clock.offset += 8.0 * exchange.has_begun
        begin(exchange)

    monkeypatch.setattr(Exchange, "begin", stops)

    with pytest.raises(OutcomeUnknown, match="its time had passed"):
        client.create_instance(client_token="t", send_by=clock() + 5, **ORDER)

    assert sandbox.account.orders() == []


def test_a_request_of_which_no_time_is_left_does_not_begin(clock):
    exchange = Exchange(0.0, 100.0, ends_at=time.monotonic() + 300.0, send_by=clock() + 5, clock=clock)

    with pytest.raises(TimeoutError):
        exchange.begin()

    assert not exchange.has_begun
