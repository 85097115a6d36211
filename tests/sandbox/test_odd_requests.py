"""Requests to the billing API that no client of ours would send: each gets an answer of the API."""

from __future__ import annotations

import base64
import gzip
import json
import random
import socket

import pytest
import requests

from airflow_provider_tcbilling.api.actions import ACTIONS
from airflow_provider_tcbilling.api.schema import Kind
from airflow_provider_tcbilling.api.signing import Tc3Auth
from tests.conftest import PRICE, SECRET_ID, SECRET_KEY, client_to
from tests.sandbox.test_server import WIRE_ORDER, post

INSTANCE = {
    "ProductCode": "p_cloudfirewall",
    "SubProductCode": "sp_cloudfirewall_svv1",
    "RegionCode": "ap-guangzhou",
    "InstanceId": "ins-0",
}
WINDOW = {"StartTime": "2020-01-01 00:00:00", "EndTime": "2099-01-01 00:00:00", "Limit": 20}
REQUESTS = {
    "CreateInstance": WIRE_ORDER,
    "RenewInstance": {**INSTANCE, "ClientToken": "renew"},
    "RefundInstance": {**INSTANCE, "ClientToken": "refund"},
    "SetRenewal": {
        **{name: INSTANCE[name] for name in ("ProductCode", "RegionCode", "InstanceId")},
        "RenewFlag": "NOTIFY_AND_AUTO_RENEW",
    },
    "DescribeRenewInstances": {"MaxResults": 10},
    "DescribeDealsByCond": WINDOW,
    "DescribeAccountBalance": {},
}
FIELDS = [(name, field.name, field.required) for name, action in ACTIONS.items() for field in action.fields]


def without_ids(answer):
    return {name: value for name, value in answer.items() if name not in ("RequestId", "OrderId", "OrderIdList")}


@pytest.mark.parametrize("empty", [None, ""], ids=["null", "empty"])
def test_a_field_that_is_null_or_empty_is_not_given(sandbox, empty):
    instance = sandbox.account.add_instance(expires_at=2e9).instance_id
    for action, name, required in FIELDS:
        request = {**REQUESTS[action], **({"InstanceId": instance} if "InstanceId" in REQUESTS[action] else {})}
        absent = post(sandbox, {key: value for key, value in request.items() if key != name}, action=action)
        given = post(sandbox, {**request, name: empty}, action=action)

        assert without_ids(given) == without_ids(absent), (action, name)
        assert (given.get("Error", {}).get("Code") == "MissingParameter") is required, (action, name)


def test_null_fields_buy_once_with_the_same_token(sandbox):
    """An SDK that leaves a field out and one that sends null mean the same purchase."""
    optional = {name: None for name in ("Quantity", "ProjectId", "Period", "PeriodUnit", "RenewFlag")}
    orders = {
        post(sandbox, {**WIRE_ORDER, **nulls})["OrderId"] for nulls in ({}, optional, dict.fromkeys(optional, ""))
    }

    assert len(orders) == 1
    assert sandbox.account.balance_cents == sandbox.options.balance_cents - PRICE


def test_null_fields_of_a_query_that_is_distorted(sandbox):
    sandbox.faults.add({"fault": "book", "distortion": "count-changes", "times": None})

    assert post(sandbox, {**WINDOW, "Offset": None}, action="DescribeDealsByCond")["TotalCount"] == 0


SURROGATE = "\ud800"
FULL_WIDTH = "\uff12\uff10"
"""Digits to Unicode, and no digits to the API."""

TEXTS = ["", " ", SURROGATE, "\x00", "x" * 100_000, FULL_WIDTH, "ins-0", "m", "PrePay", "NaN", "W" * 99_999]
TIMES = ["0000-00-00 00:00:00", "0001-01-01 00:00:00", "9999-12-31 23:59:59", f"{FULL_WIDTH}26-01-01 00:00:00"]
NUMBERS = [0, 1, -1, 2**63, 10**400, -(10**4000), 1e300, float("nan"), float("inf"), float("-inf"), True, False]
LISTS = [[], [None], [[]], [1], [2, 2.0, True], ["x", SURROGATE], ["NOTIFY_AND_AUTO_RENEW"] * 200]
PARAMETERS = ['{"pid":1}', '{"timeSpan": 1e999}', '{"timeSpan": NaN}', '{"\\ud800": "\\ud800"}', "[1]", "[" * 100_000]
PARAMETERS += ['{"a":' * 50_000, '{"timeSpan": ' + "1" * 5000 + "}"]
CURSORS = ["WzEsMiwzLDRd", "WzEsIDFlOTk5LCAiIiwgZmFsc2Vd", base64.b64encode(b"[" * 99_999).decode()]
CURSORS += [base64.urlsafe_b64encode(f'[0, {"9" * 400}, "", false]'.encode()).decode()]
VALUES = [None, {}, {"a": {"b": [1]}}, *TEXTS, *TIMES, *NUMBERS, *LISTS, *PARAMETERS, *CURSORS]


def odd_request(chance):
    action = chance.choice(list(REQUESTS))
    request = dict(REQUESTS[action])
    names = [field.name for field in ACTIONS[action].fields] + ["Colour", SURROGATE, ""]
    for name in chance.sample(names, k=chance.randint(0, 3)):
        request[name] = chance.choice(VALUES)
    return action, json.dumps(request).encode()


def odd_body(chance):
    body = chance.choice(
        [
            b"",
            b"null",
            b"[]",
            b'"' + b"x" * 1000,
            b"[" * 200_000,
            b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
            b'{"a": [' * 20 + b"]}" * 20,
            b'{"Limit": 1, "Limit": 2, "StartTime": 1}',
            b"1" * 5000,
            b"NaN",
            b'{"ClientToken": "\\ud800\\udfff\\ud800"}',
            json.dumps(WIRE_ORDER).encode("utf-16"),
            json.dumps(WIRE_ORDER).encode("utf-8-sig"),
            '{"ClientToken": "ü"}'.encode("latin-1"),
            gzip.compress(b"{}"),
            bytes(chance.getrandbits(8) for _ in range(chance.randint(1, 300))),
        ]
    )
    return chance.choice(list(REQUESTS)), body


def odd_headers(chance):
    names = ["Content-Type", "X-TC-Timestamp", "X-TC-Version", "X-TC-Action", "X-TC-Token", "Authorization", "X-Odd"]
    values = [
        *(
            "",
            " ",
            "ü",
            "9" * 12,
            "9" * 400,
            "-1",
            "1e9",
            "²",
            "CreateInstance",
            "x" * 8000,
            "text/html; charset=utf-16",
        ),
        *("TC3-HMAC-SHA256 Credential=/, SignedHeaders=;, Signature=0", "TC3-HMAC-SHA256 Credential=a/b", "gzip"),
    ]
    return {chance.choice(names): chance.choice(values).encode("utf-8") for _ in range(chance.randint(0, 3))}


class Spoiled(Tc3Auth):
    """Signs, and lets headers be changed afterwards."""

    def __init__(self, headers):
        super().__init__(SECRET_ID, SECRET_KEY, "billing")
        self._spoil = headers

    def __call__(self, request):
        request = super().__call__(request)
        request.headers.update(self._spoil)
        return request


@pytest.mark.parametrize("seed", range(4))
def test_every_request_gets_an_answer_of_the_api(sandbox, seed):
    chance = random.Random(seed)
    sandbox.account.add_instance(expires_at=2e9)
    session = requests.Session()
    for number in range(150):
        action, body = chance.choice([odd_request, odd_request, odd_body])(chance)
        headers = {"Content-Type": "application/json", "X-TC-Action": action, "X-TC-Version": "2018-07-09"}
        headers["Host"] = sandbox.url.partition("//")[2]
        spoil = odd_headers(chance) if number % 5 == 0 else {}

        answer = session.post(sandbox.url, data=body, headers=headers, auth=Spoiled(spoil), timeout=60)

        assert answer.status_code == 200, (action, body[:200], spoil)
        assert answer.headers["content-type"] == "application/json"
        response = answer.json()["Response"]
        assert response["RequestId"], (action, body[:200])
        error = response.get("Error")
        assert error is None or (error["Code"] and error["Message"] and len(error["Message"]) <= 2000)
    for path in ("state", "journal", "orders", "instances", "health"):
        assert requests.get(f"{sandbox.url}/_sandbox/{path}", timeout=60).status_code == 200, path


@pytest.mark.parametrize("key", ["timeSpan", "a"])
def test_a_parameter_of_any_depth_is_bought_or_refused(start_sandbox, key):
    sandbox = start_sandbox(price_cents=0)
    for depth in (1, 30, *range(880, 1000, 7), 5000):
        nested = "[" * depth + "]" * depth
        order = {**WIRE_ORDER, "ClientToken": str(depth), "Parameter": f'{{"{key}": {nested}}}'}

        code = post(sandbox, order).get("Error", {}).get("Code")

        # Where it becomes too deep to be read depends on the server's own stack.
        assert code in ("InvalidParameterValue" if key == "timeSpan" else None, "InvalidParameter" * (depth > 30))


def exchanged(sandbox, data):
    """Send bytes, and return the status lines that come back."""
    host, _, port = sandbox.url.partition("//")[2].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while part := connection.recv(65_536):
                answer += part
        except ConnectionError:
            pass
    return [line for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


TAILS = [
    *(b"Content-Length: x", b"Content-Length: -1", b"Content-Length: 1e3", b"Content-Length: +5", b"Content-Length:"),
    *(b"Content-Length: " + b"9" * 5000, b"Content-Length: 99999999999999999999", b"Content-Length: 0x10"),
    *(b"Content-Length: 2\r\nContent-Length: 3", f"Content-Length: {FULL_WIDTH}".encode(), b"Transfer-Encoding: gzip"),
    *(b"Transfer-Encoding: chunked\r\nContent-Length: 2", b"Content-Encoding: gzip", b"Expect: 200-maybe"),
    *(
        b"Content-Type: \xff\xfe",
        b"X-TC-Timestamp: \xb2",
        b"Host: other",
        b"Host: [",
        b"Origin: http://[",
        b"Referer: //[",
    ),
]


@pytest.mark.parametrize("tail", TAILS, ids=[tail[:36].decode("ascii", "replace") for tail in TAILS])
def test_no_header_makes_the_server_fail(sandbox, tail):
    for path in (b"/", b"/_sandbox/faults", b"/_sandbox/clock", b"/_sandbox/reset"):
        head = b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + tail
        for line in exchanged(sandbox, head + b"\r\n\r\n2\r\n{}\r\n0\r\n\r\n"):
            assert not line.startswith(b"HTTP/1.1 5"), (line, path, tail)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"PUT / HTTP/1.1", 405),
        (b"DELETE / HTTP/1.1", 405),
        (b"GET /nothing HTTP/1.1", 404),
        (b"POST /_sandbox HTTP/1.1", 404),
        (b"POST /_sandbox/health HTTP/1.1", 405),
        (b"PATCH /_sandbox/faults HTTP/1.1", 405),
        (b"GET /%ff%00/../_sandbox/state HTTP/1.1", 404),
        (b"GET /\xff HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 404),
    ],
)
def test_unknown_methods_and_paths_have_a_status(sandbox, line, status):
    (first, *_) = exchanged(sandbox, line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")

    assert int(first.split()[1]) == status


def test_a_method_that_no_standard_knows_has_a_status(sandbox):
    (first, *_) = exchanged(sandbox, b"BREW / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

    assert int(first.split()[1]) in (400, 405), "the parser of uvicorn refuses it, httptools earlier than h11"


@pytest.mark.parametrize(("path", "limit"), [("", 10 * 2**20), ("/_sandbox/faults", 2**20)])
def test_a_body_in_chunks_is_bounded_while_it_is_read(sandbox, path, limit):
    sent = 0

    def chunks():
        nonlocal sent
        while sent < 3 * limit:
            sent += 65_536
            yield b" " * 65_536

    headers = {"Content-Type": "application/json"}

    assert requests.post(f"{sandbox.url}{path}", data=chunks(), headers=headers, timeout=60).status_code == 413
    assert client_to(sandbox).describe_account_balance().balance_cents == sandbox.options.balance_cents


def test_the_journal_keeps_little_of_what_is_large(sandbox):
    post(sandbox, {**WIRE_ORDER, "ClientToken": "t" * 1_000_000})
    for number in range(30):
        post(sandbox, {}, action=f"{number}" * 2000)

    assert max(len(entry.client_token) + len(entry.action) for entry in sandbox.journal) < 200
    assert len(sandbox.requests) <= len(ACTIONS) + 1


def test_an_order_of_more_instances_than_anybody_has_is_refused(start_sandbox):
    sandbox = start_sandbox(price_cents=0)

    answer = post(sandbox, {**WIRE_ORDER, "Quantity": 10**9})

    assert answer["Error"]["Code"] == "FailedOperation.NumLimitError"
    assert sandbox.account.orders() == []


def test_every_field_of_the_tables_is_tried():
    assert {action for action, _, _ in FIELDS} | {"DescribeAccountBalance"} == set(ACTIONS) == set(REQUESTS)
    assert any(field.kind is Kind.JSON for action in ACTIONS.values() for field in action.fields)
