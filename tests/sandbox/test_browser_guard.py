"""Pages of other sites neither control the sandbox nor read it; its own page, curl and clients can."""

from __future__ import annotations

import re
import time

import pytest
import requests

from airflow_provider_tcbilling.sandbox import __main__ as command
from airflow_provider_tcbilling.sandbox.browser_guard import Hosts
from airflow_provider_tcbilling.sandbox.options import Options
from airflow_provider_tcbilling.sandbox.sandbox import Sandbox
from airflow_provider_tcbilling.sandbox.server import running
from tests.conftest import client_to
from tests.sandbox.test_server import WIRE_ORDER, post

CALLS = [
    ("POST", "faults", '{"fault": "drop"}'),
    ("DELETE", "faults", None),
    ("POST", "clock", '{"advance": 60}'),
    ("POST", "instances", "{}"),
    ("POST", "reset", None),
    ("GET", "state", None),
    ("GET", "orders", None),
]


def call(sandbox, method, path, body, **headers):
    kind = {"Content-Type": "application/json"} if body else {}
    return requests.request(method, f"{sandbox.url}/_sandbox/{path}", data=body, headers={**kind, **headers}, timeout=5)


def facts(sandbox):
    return (
        len(sandbox.faults.listed()),
        len(sandbox.account.instances()),
        len(sandbox.journal),
        round(sandbox.account.clock.offset),
    )


@pytest.fixture
def used(sandbox):
    """A sandbox that has something to lose."""
    sandbox.account.add_instance(expires_at=time.time() + 86_400)
    sandbox.faults.add({"fault": "html", "action": "SetRenewal"})
    client_to(sandbox).describe_account_balance()
    return sandbox


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://["},
        {"Referer": "https://evil.example/page"},
        {"Referer": "http://evil.example/?http://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "", "Origin": "http://evil.example"},
    ],
    ids=str,
)
def test_the_page_of_another_site_reaches_nothing(used, headers):
    before = facts(used)
    for one in CALLS:
        answer = call(used, *one, **headers)

        assert (answer.status_code, facts(used)) == (403, before), one
        assert answer.json() == {"error": "the request comes from the page of another site"}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "169.254.169.254", ""])
def test_a_name_that_was_made_to_mean_this_machine_reaches_nothing(used, host):
    before, browser = facts(used), {"Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    for one in CALLS:
        answer = call(used, *one, Host=host, **browser)

        assert (answer.status_code, facts(used)) == (421, before), one
        assert "--allow-host" in answer.json()["error"]
    assert requests.get(used.url, headers={"Host": host}, timeout=5).status_code == 421


@pytest.mark.parametrize(
    "browser",
    [{}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Referer": ""}],
    ids=["curl", "the page", "typed in", "no referrer"],
)
def test_this_machine_reaches_everything(sandbox, browser):
    for name in ["127.0.0.1", "localhost", "[::1]", "LOCALHOST", "sandbox.localhost", "127.1.2.3"]:
        host = f"{name}:8765"
        own = {"Origin": f"http://{host.lower()}", "Referer": f"http://{host}/"} if "Sec-Fetch-Site" in browser else {}
        for one in CALLS:
            assert call(sandbox, *one, Host=host, **{**own, **browser}).status_code in (200, 201), (one, name)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "", "text/json", "j"]
)
def test_what_a_form_can_send_is_no_control_call(used, kind):
    before = facts(used)
    for path, body in (("faults", '{"fault": "drop"}'), ("clock", '{"advance": 60}'), ("instances", "{}")):
        answer = requests.post(
            f"{used.url}/_sandbox/{path}", data=body, headers={"Content-Type": kind} if kind else {}, timeout=5
        )
        assert (answer.status_code, facts(used)) == (415, before)
        assert "Content-Type: application/json" in answer.json()["error"]
    if kind:
        headers = {"Content-Type": kind}
        assert requests.post(f"{used.url}/_sandbox/reset", headers=headers, timeout=5).status_code == 415


def test_json_may_say_its_charset(sandbox):
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}

    assert call(sandbox, "POST", "clock", '{"advance": 1}', **headers).status_code == 200


def test_a_link_from_another_site_leads_to_the_page(sandbox):
    """The link of a task does: Airflow is another site."""
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Referer": "http://localhost:8080/"}

    assert requests.get(sandbox.url, headers=headers, timeout=5).status_code == 200


def test_a_client_may_call_the_billing_api_by_another_name_and_a_browser_may_not(sandbox):
    """A proxy keeps the name of the real API, and the signature covers it. Only browsers send an Origin."""
    assert "OrderId" in post(sandbox, WIRE_ORDER)
    named = {"Host": "billing.intl.tencentcloudapi.com"}
    assert requests.post(sandbox.url, data="{}", headers=named, timeout=5).status_code == 200
    for origin in ("http://evil.example", "http://billing.intl.tencentcloudapi.com"):
        answer = requests.post(sandbox.url, data="{}", headers={**named, "Origin": origin}, timeout=5)
        assert answer.status_code == 421
    assert (
        requests.post(sandbox.url, data="{}", headers={"Origin": "http://evil.example"}, timeout=5).status_code == 403
    )
    assert [entry.action for entry in sandbox.journal] == ["CreateInstance", ""]


NO_NAMES = ["", " ", "a b", "localhost:x", "[::1", "[]", "localhost, evil", "evil@localhost", "localhost/evil", "::1"]


@pytest.mark.parametrize(
    ("listens_on", "others", "own", "foreign"),
    [
        (
            "127.0.0.1",
            (),
            "localhost:1 127.0.0.1 [::1]:8765 localhost.",
            "sandbox 10.0.0.1 0.0.0.0 localhost.org a@localhost",
        ),
        ("127.0.0.1", ("Sandbox:8765", "billing.test"), "sandbox sandbox:1 billing.test", "x.billing.test sandbox.org"),
        ("0.0.0.0", (), "192.168.1.5:8765 [fe80::1]:80 localhost", "sandbox 192.168.1.5.evil.example 1.2.3"),
        ("::", (), "192.168.1.5 [2001:db8::1]", "sandbox"),
        ("", (), "192.168.1.5", "sandbox"),
        ("192.168.1.5", (), "192.168.1.5 localhost", "192.168.1.6 sandbox"),
        ("box.local", (), "box.local BOX.local:1", "box local"),
    ],
)
def test_a_host_header_is_one_of_the_names_of_the_sandbox(listens_on, others, own, foreign):
    hosts = Hosts.of(listens_on, others)

    assert [name for name in own.split() if not hosts.include(name)] == []
    assert [
        name
        for name in (*foreign.split(), "", " ", "a b", "localhost:x", "[::1", "[]", "localhost, evil")
        if hosts.include(name)
    ] == []


def test_two_hosts_are_none(sandbox):
    assert (
        requests.get(f"{sandbox.url}/_sandbox/state", headers={"Host": "localhost, localhost"}, timeout=5).status_code
        == 421
    )


def test_another_name_can_be_allowed():
    with running(Sandbox(Options()), allow_hosts=["billing.test"]) as url:
        assert requests.get(f"{url}/_sandbox/state", headers={"Host": "billing.test:80"}, timeout=5).status_code == 200
        assert requests.get(f"{url}/_sandbox/state", headers={"Host": "other.test"}, timeout=5).status_code == 421


def test_the_page_may_run_its_own_script_only_and_no_site_may_frame_it(sandbox):
    first, second = (requests.get(sandbox.url, timeout=5) for _ in range(2))
    policy = first.headers["content-security-policy"]
    (nonce,) = re.findall(r"script-src 'nonce-([\w-]{20,})';", policy)

    assert f'<script nonce="{nonce}">' in first.text
    assert nonce not in second.text
    assert first.text.count("<script") == 2
    assert '{"Content-Type": "application/json"}' in first.text, "or its own calls would be refused"
    for rule in ("default-src 'none'", "connect-src 'self'", "form-action 'none'", "frame-ancestors 'none'"):
        assert rule in policy
    for markup in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "srcdoc", "javascript:"):
        assert markup not in first.text


def test_every_answer_is_for_the_sandboxes_own_page_only(sandbox):
    for path in ("", "_sandbox/state", "_sandbox/nothing", "_sandbox/reset"):
        answer = requests.get(f"{sandbox.url}/{path}", timeout=5)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers


class Stopped(Exception):
    """Instead of serving for ever."""


@pytest.mark.parametrize(
    ("host", "warns", "page"),
    [
        ("127.0.0.1", False, "http://127.0.0.1:"),
        ("localhost", False, "http://localhost:"),
        ("127.0.0.2", False, "http://127.0.0.2:"),
        ("0.0.0.0", True, "http://127.0.0.1:"),
        ("", True, "http://127.0.0.1:"),
    ],
)
def test_it_warns_when_others_can_reach_it(monkeypatch, capsys, host, warns, page):
    def stop(*_, **__):
        raise Stopped

    monkeypatch.setattr("uvicorn.Server.run", stop)
    with pytest.raises(Stopped):
        command.main(["--port", "0", "--host", host])
    out, err = capsys.readouterr()

    assert ("Warning: other machines can reach this sandbox. It has no password" in err) is warns
    assert f"page             {page}" in out


@pytest.mark.parametrize("port", ["-1", "65536", "x", "²", "nan"])
def test_a_port_that_there_is_not_is_said_in_words(capsys, port):
    with pytest.raises(SystemExit):
        command.main([f"--port={port}"])

    assert "is not a whole number from 0 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["http://billing.test", "http://billing.test:8765/", "", "a b", "[::1", "x/y"])
def test_a_name_that_no_host_header_can_hold_is_refused_at_the_start(capsys, name):
    assert command.main(["--port", "0", "--allow-host", name]) == 1

    out, err = capsys.readouterr()
    assert (out, err.count("\n"), repr(name) in err) == ("", 1, True)
