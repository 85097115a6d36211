"""Whatever goes wrong, the error that leaves the package leads to no signature, no token and no key."""

from __future__ import annotations

import dataclasses
import json
import pickle
import re
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from traceback import walk_tb

import pytest

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import InvalidRequest, TcBillingError
from airflow_provider_tcbilling.api.signing import Tc3Auth
from tests.conftest import ORDER, SECRET_ID, SECRET_KEY, client_to

TOKEN = "session-token-that-must-never-be-seen"
PROXY_PASSWORD = "proxy-password-that-must-never-be-seen"
SECRETS = re.compile(f"{SECRET_KEY}|{TOKEN}|{PROXY_PASSWORD}|Signature=|TC3-HMAC-SHA256 Credential")

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

ANSWERS = {
    "bad chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "negative chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n{}\r\n0\r\n\r\n",
    "cut": HEAD + b"Content-Length: 400\r\n\r\n{",
    "no answer": b"",
    "no HTTP": b"what?\r\n\r\n",
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
    "a broken redirect": b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n",
    "no JSON": HEAD + b"Content-Length: 2\r\n\r\n{{",
    "no response": HEAD + b"Content-Length: 2\r\n\r\n{}",
    "a refusal": HEAD + b'Content-Length: 60\r\n\r\n{"Response":{"Error":{"Code":"AuthFailure","Message":"no"}}}  ',
    "too large": HEAD + b"\r\n" + b"x" * (9 * 2**20),
    "wrong encoding": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
}


@contextmanager
def answering(answer, *, reads=True, delay=0.0):
    """Run a server that gives everybody the same bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    sock, _ = server.accept()
                except OSError:
                    return
                with sock:
                    if reads:
                        while sock.recv(65536).count(b"}") == 0 and not delay:
                            pass
                    stop.wait(delay)
                    with suppress(OSError):
                        sock.sendall(answer)

        stop = threading.Event()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        stop.set()


def things_of(value, depth=0):
    """Yield all texts that a tool would show of a value: what stands in containers and dataclasses, else its repr."""
    if depth > 8:
        return
    if isinstance(value, dict):
        for name, one in value.items():
            yield from things_of(name, depth + 1)
            yield from things_of(one, depth + 1)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for one in value:
            yield from things_of(one, depth + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from things_of({f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.repr}, depth + 1)
    else:
        yield repr(value)


def shown_of(error):
    """Yield what can be read of an error and of those that it leads to, as (where, text)."""
    visited, errors = set(), [error]
    while errors:
        one = errors.pop()
        if id(one) not in visited:
            visited.add(id(one))
            name = type(one).__name__
            yield f"str of {name}", str(one)
            for where, value in [("args", one.args), *vars(one).items()]:
                yield from ((f"{where} of {name}", text) for text in deep_things_of(value, errors))
            yield from variables_of(one)
            errors += [linked for linked in (one.__cause__, one.__context__) if linked]


def variables_of(error):
    """Yield the variables of the frames that an error came through, but for those of the tests."""
    for frame, _ in walk_tb(error.__traceback__):
        code = frame.f_code
        if "/tests/" not in code.co_filename and "_pytest" not in code.co_filename:
            for variable, value in frame.f_locals.items():
                yield from ((f"{variable} in {code.co_name}: {type(error).__name__}", t) for t in things_of(value))


def deep_things_of(value, errors, depth=0):
    """Yield the texts of an attribute of an error, and of all attributes of what it is: a request, a response."""
    if isinstance(value, BaseException):
        errors.append(value)
        return
    yield from things_of(value)
    if depth < 6 and hasattr(value, "__dict__") and not isinstance(value, type):
        for one in list(vars(value).values()):
            yield from deep_things_of(one, errors, depth + 1)
    elif depth < 6 and isinstance(value, (list, tuple)):
        for one in value:
            yield from deep_things_of(one, errors, depth + 1)
    elif depth < 6 and hasattr(value, "items"):
        for one in value.items():
            yield from deep_things_of(one, errors, depth + 1)


def assert_shows_nothing(error):
    leaks = {where for where, text in shown_of(error) if SECRETS.search(text)}
    assert not leaks


def failure_of(url, action="create_instance", **options):
    client = client_to(None, endpoint=url, token=TOKEN, connect_timeout=0.5, read_timeout=0.5, attempts=1, **options)
    arguments = {"client_token": "t", **ORDER} if action == "create_instance" else {}
    with pytest.raises(TcBillingError) as caught:
        getattr(client, action)(**arguments)
    return caught.value


@pytest.mark.parametrize("action", ["create_instance", "describe_account_balance"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_cannot_be_used_leads_to_no_secret(answer, action):
    with answering(ANSWERS[answer]) as url:
        error = failure_of(url, action)

    assert_shows_nothing(error)
    assert_shows_nothing(pickle.loads(pickle.dumps(error)))


def test_a_refused_connection_leads_to_no_secret():
    error = failure_of("http://127.0.0.1:1")

    assert error.__context__ is None
    assert_shows_nothing(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_time_out_leads_to_no_secret():
    with answering(b"", delay=3.0) as url:
        assert_shows_nothing(failure_of(url))


def test_a_host_that_does_not_exist_leads_to_no_secret():
    assert_shows_nothing(failure_of("https://no-such-host.invalid"))


def test_a_failed_handshake_leads_to_no_secret():
    with answering(b"no TLS here\r\n\r\n", reads=False) as url:
        assert_shows_nothing(failure_of(url.replace("http:", "https:")))


@pytest.mark.parametrize("proxy", ["http://user:{}@127.0.0.1:1", "http://user:{}@[::1", "ftp://user:{}@127.0.0.1:1"])
def test_a_failed_proxy_leads_to_no_secret(monkeypatch, proxy):
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, proxy.format(PROXY_PASSWORD))

    assert_shows_nothing(failure_of("https://billing.intl.tencentcloudapi.com"))


def test_a_proxy_that_refuses_the_tunnel_leads_to_no_secret(monkeypatch):
    with answering(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", delay=0.1) as url:
        proxy = url.replace("//", f"//user:{PROXY_PASSWORD}@")
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, proxy)

        assert_shows_nothing(failure_of("https://billing.intl.tencentcloudapi.com"))


def test_a_missing_certificate_file_leads_to_no_secret(monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file.pem")

    assert_shows_nothing(failure_of("https://billing.intl.tencentcloudapi.com"))


class Killed(BaseException):
    """As Airflow stops a task: what no handler of errors catches."""


@pytest.mark.parametrize("kind", [KeyboardInterrupt, Killed, SystemExit])
@pytest.mark.parametrize("place", ["http.client.HTTPConnection.endheaders", "http.client.HTTPConnection.getresponse"])
def test_a_task_that_is_stopped_within_a_request_shows_no_secret(monkeypatch, kind, place):
    def stop(*args, **kwargs):
        try:
            raise ssl.SSLError("within a handler of the library")
        except OSError:
            raise kind from None

    with answering(b"", delay=3.0) as url:
        client = client_to(None, endpoint=url, token=TOKEN)
        monkeypatch.setattr(place, stop)
        with pytest.raises(kind) as caught:
            client.create_instance(client_token="t", **ORDER)

    assert_shows_nothing(caught.value)


@pytest.mark.parametrize("endpoint", ["https://a b", "http://host/path", "https://user:x@host"])
def test_an_endpoint_that_is_none_leads_to_no_secret(endpoint):
    with pytest.raises(InvalidRequest) as caught:
        BillingClient(SECRET_ID, SECRET_KEY, token=TOKEN, endpoint=endpoint)

    assert_shows_nothing(caught.value)


def test_what_holds_the_key_does_not_show_it():
    client = client_to(None, endpoint="http://127.0.0.1:1", token=TOKEN)
    auth = Tc3Auth(SECRET_ID, SECRET_KEY, "billing", token=TOKEN)
    auth.headers("host", "application/json", b"{}")

    for holder in (client, client._transport, auth, client.seal, client._transport.session, client.seal.__self__):
        assert not SECRETS.search("".join(things_of(holder)))
        assert not SECRETS.search(f"{holder}")
    assert not SECRETS.search(json.dumps(client.seal("x")))
