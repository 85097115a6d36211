"""The sandbox over HTTP: its gate, its control interface and its command line."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import requests
from requests.adapters import HTTPAdapter

from airflow_provider_tcbilling.api.actions import ACTIONS
from airflow_provider_tcbilling.api.signing import (
    Tc3Auth,
    canonical_request,
    credential_scope,
    signature,
    signing_key,
    string_to_sign,
)
from airflow_provider_tcbilling.sandbox import handlers
from airflow_provider_tcbilling.sandbox.__main__ import greeting, main
from airflow_provider_tcbilling.sandbox.faults import KINDS
from airflow_provider_tcbilling.sandbox.options import Options, Tokens
from tests.conftest import ORDER, PRICE, SECRET_ID, SECRET_KEY, client_to

WIRE_ORDER = {
    "ClientToken": "t",
    "ProductCode": "p_cloudfirewall",
    "SubProductCode": "sp_cloudfirewall_svv1",
    "RegionCode": "ap-guangzhou",
    "ZoneCode": "ap-guangzhou-6",
    "PayMode": "PrePay",
    "Parameter": '{"pid":1002147}',
}


def post(sandbox, body, action="CreateInstance", version="2018-07-09", auth=None, **headers):
    """Send what no client of ours would send, and return the Response object."""
    sent = {"Content-Type": "application/json", "X-TC-Action": action, "X-TC-Version": version, **headers}
    sent["Host"] = sandbox.url.partition("//")[2]
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    auth = auth or Tc3Auth(SECRET_ID, SECRET_KEY, "billing")
    return requests.post(sandbox.url, data=data, headers=sent, auth=auth, timeout=5).json()["Response"]


@pytest.mark.parametrize(
    ("body", "options", "code"),
    [
        pytest.param({**WIRE_ORDER, "Period": "1"}, {}, "InvalidParameter", id="type"),
        pytest.param({**WIRE_ORDER, "Period": 99}, {}, "InvalidParameterValue", id="value"),
        pytest.param({**WIRE_ORDER, "Colour": 1}, {}, "UnknownParameter", id="unknown field"),
        pytest.param({}, {}, "MissingParameter", id="missing"),
        pytest.param(b"[1]", {}, "InvalidParameter", id="not an object"),
        pytest.param(b"{", {}, "InvalidParameter", id="not JSON"),
        pytest.param(WIRE_ORDER, {"action": "BuyEverything"}, "InvalidAction", id="action"),
        pytest.param(WIRE_ORDER, {"version": "2017-01-01"}, "NoSuchVersion", id="version"),
        pytest.param(WIRE_ORDER, {"auth": lambda r: r}, "AuthFailure.InvalidAuthorization", id="unsigned"),
        pytest.param(
            WIRE_ORDER,
            {"auth": Tc3Auth(SECRET_ID, SECRET_KEY, "cvm")},
            "AuthFailure.SignatureFailure",
            id="signed for another service",
        ),
        pytest.param(
            WIRE_ORDER,
            {"auth": Tc3Auth(SECRET_ID, SECRET_KEY, "billing", clock=lambda: time.time() - 301)},
            "AuthFailure.SignatureExpire",
            id="signed six minutes ago",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_code_and_buys_nothing(sandbox, body, options, code):
    assert post(sandbox, body, **options)["Error"]["Code"] == code
    assert sandbox.account.orders() == []
    assert sandbox.journal[-1].outcome == code


def test_a_body_that_was_changed_after_signing_is_refused(sandbox):
    class Tampering(Tc3Auth):
        def __call__(self, request):
            super().__call__(request)
            request.body = request.body.replace(b"ap-guangzhou-6", b"ap-guangzhou-7")
            return request

    answer = post(sandbox, WIRE_ORDER, auth=Tampering(SECRET_ID, SECRET_KEY, "billing"))

    assert answer["Error"]["Code"] == "AuthFailure.SignatureFailure"


class Signing(Tc3Auth):
    """Signs other headers than ours does, as public clients do, and lets somebody on the way change one."""

    def __init__(self, *names, action=None):
        super().__init__(SECRET_ID, SECRET_KEY, "billing")
        self._names, self._instead = names, action

    def __call__(self, request):
        super().__call__(request)
        stamp, sent = int(request.headers["X-TC-Timestamp"]), {n.lower(): v for n, v in request.headers.items()}
        scope = credential_scope(stamp, "billing")
        canonical = canonical_request({name: sent[name] for name in self._names}, request.body)
        mark = signature(signing_key(SECRET_KEY, scope), string_to_sign(stamp, scope, canonical))
        request.headers["Authorization"] = (
            f"TC3-HMAC-SHA256 Credential={SECRET_ID}/{scope}, SignedHeaders={';'.join(self._names)}, Signature={mark}"
        )
        if self._instead:
            request.headers["X-TC-Action"] = self._instead
        return request


TWO = ("content-type", "host")
SIGNED = [
    pytest.param(TWO, id="two"),
    pytest.param((*TWO, "x-tc-action"), id="the action too"),
    pytest.param((*TWO, "x-tc-action", "x-tc-timestamp", "x-tc-version"), id="timestamp and version too"),
]


@pytest.mark.parametrize("names", SIGNED)
def test_it_takes_what_public_clients_sign(sandbox, names):
    assert "Error" not in post(sandbox, WIRE_ORDER, auth=Signing(*names))
    assert len(sandbox.account.orders()) == 1


@pytest.mark.parametrize("names", [("host",), ("content-type", "x-tc-action")])
def test_it_refuses_what_signs_too_little(sandbox, names):
    assert post(sandbox, WIRE_ORDER, auth=Signing(*names))["Error"]["Code"] == "AuthFailure.InvalidAuthorization"


@pytest.mark.parametrize(
    ("names", "becomes"),
    [pytest.param(TWO, True, id="not signed"), *[pytest.param(*one.values, False, id=one.id) for one in SIGNED[1:]]],
)
def test_nobody_on_the_way_can_make_a_refund_of_a_renewal_whose_action_is_signed(sandbox, names, becomes):
    instance = sandbox.account.add_instance(expires_at=time.time() + 86_400).instance_id
    product = {name: WIRE_ORDER[name] for name in ("ClientToken", "ProductCode", "SubProductCode", "RegionCode")}
    auth = Signing(*names, action="RefundInstance")

    answer = post(sandbox, {**product, "InstanceId": instance}, action="RenewInstance", auth=auth)

    assert (answer.get("Error", {}).get("Code") != "AuthFailure.SignatureFailure") is becomes
    assert [order.action for order in sandbox.account.orders()[1:]] == ["refund"] * becomes


def test_our_client_signs_the_action(sandbox):
    class Recording(HTTPAdapter):
        def send(self, request, **kwargs):
            signed.append(request.headers["Authorization"])
            return super().send(request, **kwargs)

    client, signed = client_to(sandbox), []
    client._transport.session.mount("http://", Recording())

    client.describe_account_balance()

    assert "SignedHeaders=content-type;host;x-tc-action," in signed[0]


def test_every_action_of_the_tables_is_played():
    assert set(handlers.HANDLERS) == set(ACTIONS)


def test_the_rate_limit_is_counted_for_each_action(start_sandbox):
    sandbox = start_sandbox(rate_limit=3)
    outcomes = [post(sandbox, {}, action="DescribeAccountBalance").get("Error", {}).get("Code") for _ in range(5)]

    assert outcomes == [None, None, None, "RequestLimitExceeded", "RequestLimitExceeded"]
    assert "Error" not in post(sandbox, WIRE_ORDER)


def test_deals_follow_the_traps_of_the_real_order_book(start_sandbox):
    sandbox = start_sandbox(delivery_looks=2)
    client = client_to(sandbox)
    for token in "abc":
        client.create_instance(client_token=token, **ORDER)
    window = {"StartTime": "2020-01-01 00:00:00", "EndTime": "2099-01-01 00:00:00"}

    def deals(**fields):
        return post(sandbox, {**window, "Limit": 20, **fields}, action="DescribeDealsByCond")

    assert deals()["TotalCount"] == 0, "without StatusSet only delivered orders are listed"
    assert deals(StatusSet=[2, 3])["TotalCount"] == 3
    assert deals()["TotalCount"] == 3
    assert deals(Limit=201)["Deals"][0]["ResourceId"] is None, "above 200 the instances are hidden"
    pages = [deals(Limit=2, Offset=page)["Deals"] for page in (0, 1, 2)]
    assert [len(page) for page in pages] == [2, 1, 0], "Offset is a page number"
    assert deals(EndTime="2020-01-02 00:00:00")["TotalCount"] == 0
    assert deals(StartTime="2020-13-01 00:00:00")["Error"]["Code"] == "InvalidParameterValue"


def test_delivery_takes_the_time_that_it_was_told_to_take(start_sandbox):
    sandbox = start_sandbox(delivery_seconds=60)
    client = client_to(sandbox)
    order = client.create_instance(client_token="t", **ORDER)

    assert client.describe_deals(order_id=order.order_id)[0].status_words == "delivering (3)"
    control(sandbox, "POST", "clock", {"advance": 61})
    assert client.describe_deals(order_id=order.order_id)[0].status_words == "delivered (4)"


@pytest.mark.parametrize(
    ("rule", "orders", "error"),
    [("honour", 1, None), ("ignore", 2, None), ("reject-repeat", 1, "FailedOperation.InvalidDeal")],
)
def test_each_rule_for_tokens(start_sandbox, rule, orders, error):
    sandbox = start_sandbox(tokens=Tokens.parse(rule))

    post(sandbox, WIRE_ORDER)
    again = post(sandbox, WIRE_ORDER)

    assert again.get("Error", {}).get("Code") == error
    assert len(sandbox.account.orders()) == orders
    assert sandbox.account.balance_cents == sandbox.options.balance_cents - orders * PRICE


def test_a_forgotten_token_buys_again(start_sandbox):
    sandbox = start_sandbox(tokens=Tokens.parse("forget-after:60"))
    first = post(sandbox, WIRE_ORDER)["OrderId"]

    assert post(sandbox, WIRE_ORDER)["OrderId"] == first
    control(sandbox, "POST", "clock", {"advance": 61})
    assert post(sandbox, WIRE_ORDER)["OrderId"] != first


def test_a_token_with_other_parameters_is_refused(sandbox):
    post(sandbox, WIRE_ORDER)

    assert post(sandbox, {**WIRE_ORDER, "Period": 2})["Error"]["Code"] == "InvalidParameter.ApiParamError"


def test_a_refund_gives_the_money_back(client, sandbox):
    sandbox.faults.add({"fault": "order-status", "status": 6})
    client.create_instance(client_token="t", **ORDER)

    assert sandbox.account.balance_cents == sandbox.options.balance_cents


def test_the_same_seed_gives_the_same_ids(start_sandbox):
    first, second = (client_to(start_sandbox(seed=7)).create_instance(client_token="t", **ORDER) for _ in range(2))
    other = client_to(start_sandbox(seed=8)).create_instance(client_token="t", **ORDER)

    assert (first.instance_ids, first.request_id) == (second.instance_ids, second.request_id)
    assert other.instance_ids != first.instance_ids


def control(sandbox, method, path, body=None):
    return requests.request(method, f"{sandbox.url}/_sandbox/{path}", json=body, timeout=5)


def test_orders_journal_health_and_state_tell_what_happened(client, sandbox):
    order = client.create_instance(client_token="t", **ORDER)

    (listed,) = control(sandbox, "GET", "orders").json()["orders"]
    assert (listed["order_id"], listed["cost_cents"], listed["status"]) == (order.order_id, PRICE, 4)
    assert [step["status"] for step in listed["history"]] == [2, 4]
    (entry,) = control(sandbox, "GET", "journal").json()["entries"]
    assert (entry["action"], entry["client_token"], entry["outcome"]) == ("CreateInstance", "t", "ok")
    health = control(sandbox, "GET", "health").json()
    assert (health["status"], health["requests"]) == ("ok", {"CreateInstance": 1})
    assert SECRET_KEY not in control(sandbox, "GET", "state").text


def test_faults_are_set_listed_and_lifted(sandbox):
    made = control(
        sandbox, "POST", "faults", {"fault": "http", "status": 503, "times": None, "action": "CreateInstance"}
    )

    assert made.status_code == 201
    assert control(sandbox, "GET", "faults").json()["faults"] == [made.json()]
    assert control(sandbox, "DELETE", "faults").json() == {"faults": []}


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("faults", {"fault": "earthquake"}, "fault must be one of drop, "),
        ("faults", {"fault": "drop", "colour": 1}, "colour: not known here"),
        ("faults", {"fault": "drop", "when": "later"}, "before or after"),
        ("faults", {"fault": "drop", "times": 0}, "times must be"),
        ("faults", {"fault": "drop", "times": True}, "times must be"),
        ("faults", {"fault": "drop", "action": "Buy"}, "action must be"),
        ("faults", {"fault": "delay", "seconds": "long"}, "seconds must be like 1.0"),
        ("faults", [1], "must be a JSON object"),
        ("clock", {}, "say "),
        ("clock", {"advance": "far"}, "advance must be a number from "),
        ("clock", {"set": "never"}, "say "),
    ],
)
def test_a_wrong_control_request_is_answered_in_words(sandbox, path, body, message):
    answer = control(sandbox, "POST", path, body)

    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_the_clock_can_be_set_and_moved_without_breaking_signatures(client, sandbox):
    assert control(sandbox, "POST", "clock", {"set": "2030-02-28T12:00:00Z"}).json()["time"].startswith("2030-02-28T12")
    assert control(sandbox, "POST", "clock", {"advance": 86400}).json()["time"].startswith("2030-03-01T12")
    assert client.describe_account_balance().uin


def test_reset_begins_anew(client, sandbox):
    client.create_instance(client_token="t", **ORDER)
    control(sandbox, "POST", "faults", {"fault": "drop"})

    control(sandbox, "POST", "reset")

    state = control(sandbox, "GET", "state").json()
    assert (state["orders"], state["faults"], state["journal"]) == (0, [], [])
    assert state["balance_cents"] == sandbox.options.balance_cents


def test_the_page_needs_nothing_from_elsewhere(sandbox):
    page = requests.get(sandbox.url, timeout=5)

    assert page.headers["content-type"].startswith("text/html")
    assert "sandbox" in page.text.lower()
    assert "https://" not in page.text
    assert "innerHTML" not in page.text
    assert all(f'"{kind}": [' in page.text for kind in KINDS)


def test_a_request_that_is_too_large_is_refused(sandbox):
    assert requests.post(sandbox.url, data=b"x" * (10 * 2**20 + 1), timeout=5).status_code == 413


def test_the_greeting_is_a_ready_made_connection():
    text = greeting(Options(secret_key="a/b", session_token="s"), "http://127.0.0.1:8765")

    assert "http://127.0.0.1:8765/" in text
    assert "tcbilling://AKIDSANDBOX:a%2Fb@http%3A%2F%2F127.0.0.1%3A8765/?token=s" in text
    json_text = text.split("connection JSON  export AIRFLOW_CONN_TCBILLING_DEFAULT='")[1].split("'")[0]
    assert json.loads(json_text)["host"] == "http://127.0.0.1:8765"


@pytest.mark.parametrize(
    "arguments",
    [["--delivery-looks", "-1"], ["--balance", "1.5"], ["--tokens", "maybe"], ["--tokens", "forget-after:x"]],
)
def test_a_wrong_argument_stops_the_start(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments)

    assert "error: argument" in capsys.readouterr().err


def test_a_taken_port_is_said_in_words(sandbox, capsys):
    assert main(["--port", sandbox.url.rpartition(":")[2]]) == 1
    assert "Cannot listen on 127.0.0.1" in capsys.readouterr().err


def test_the_command_serves_until_it_is_interrupted():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "airflow_provider_tcbilling.sandbox",
        "--port",
        str(port),
        "--tokens",
        "forget-after:5",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        assert "stand-in" in process.stdout.readline()
        state = requests.get(f"http://127.0.0.1:{port}/_sandbox/state", timeout=5).json()
        assert state["rules"]["tokens"] == "forget-after:5"
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(10) in (0, -signal.SIGINT, 130)
        process.stdout.close()
