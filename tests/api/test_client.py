"""What happens to the money when the wire misbehaves. Every assertion is on the sandbox's ledger."""

from __future__ import annotations

import logging
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from airflow_provider_tcbilling.api import actions
from airflow_provider_tcbilling.api.caller import may_repeat
from airflow_provider_tcbilling.api.errors import (
    ApiError,
    AuthError,
    InsufficientBalance,
    InvalidRequest,
    OutcomeUnknown,
    RateLimited,
    TcBillingError,
    Unreachable,
    error_class,
)
from airflow_provider_tcbilling.api.models import ENDINGS, Order
from tests.conftest import ORDER, PRICE, SECRET_KEY, client_to
from tests.support.facts import PUBLISHED_CODES

LOST = ["drop", "reset", "cut", "http", "html", "truncated", "garbage", "no-order-id"]


def spent(sandbox):
    return sandbox.options.balance_cents - sandbox.account.balance_cents


def test_a_purchase_takes_the_money_once_and_names_the_order(client, sandbox):
    order = client.create_instance(client_token="t", **ORDER)

    assert [o.order_id for o in sandbox.account.orders()] == [order.order_id]
    assert list(order.instance_ids) == sandbox.account.orders()[0].instance_ids
    assert spent(sandbox) == PRICE
    assert order.client_token == "t"
    assert order.request_id == sandbox.journal[-1].request_id


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize(("when", "cost"), [("before", 0), ("after", PRICE)])
def test_what_may_have_been_carried_out_is_not_sent_again(client, sandbox, fault, when, cost):
    sandbox.faults.add({"fault": fault, "when": when})

    with pytest.raises(OutcomeUnknown) as caught:
        client.create_instance(client_token="t", **ORDER)

    assert caught.value.transient
    assert caught.value.ambiguous
    assert sandbox.requests["CreateInstance"] == 1
    assert spent(sandbox) == cost


def test_an_answer_that_comes_too_late_leaves_the_outcome_unknown(sandbox):
    sandbox.faults.add({"fault": "delay", "seconds": 1.0})

    with pytest.raises(OutcomeUnknown):
        client_to(sandbox, read_timeout=0.3).create_instance(client_token="t", **ORDER)

    assert spent(sandbox) == PRICE


def test_nothing_is_sent_after_its_time(client, sandbox):
    with pytest.raises(Unreachable, match="its time had passed"):
        client.create_instance(client_token="t", send_by=time.time() - 1, **ORDER)

    assert sandbox.requests == {}


def test_a_throttled_purchase_is_not_repeated_after_its_time(sandbox, passing_time):
    sandbox.faults.add({"fault": "error", "code": "RequestLimitExceeded", "when": "before", "times": None})
    client = client_to(sandbox, sleep=lambda seconds: time.sleep(60))

    with pytest.raises((RateLimited, Unreachable)):
        client.create_instance(client_token="t", send_by=time.time() + 90, **ORDER)

    assert sandbox.requests["CreateInstance"] == 2


@pytest.mark.parametrize(
    ("fault", "request_id_known", "instances"),
    [("charset", True, 1), ("no-request-id", False, 1), ("null-instances", True, 0)],
)
def test_an_odd_answer_that_names_the_order_is_an_answer(client, sandbox, fault, request_id_known, instances):
    sandbox.faults.add({"fault": fault})

    order = client.create_instance(client_token="t", **ORDER)

    assert order.order_id == sandbox.account.orders()[0].order_id
    assert bool(order.request_id) is request_id_known
    assert len(order.instance_ids) == instances
    assert sandbox.requests["CreateInstance"] == 1


@pytest.mark.parametrize("spoil", ["charset", "no-request-id"])
def test_an_error_is_recognised_whatever_surrounds_it(client, sandbox, spoil):
    sandbox.faults.add({"fault": "error", "code": "FailedOperation.NumLimitError", "when": "before"})
    sandbox.faults.add({"fault": spoil, "when": "before"})

    with pytest.raises(ApiError) as caught:
        client.create_instance(client_token="t", **ORDER)

    assert caught.value.code == "FailedOperation.NumLimitError"
    assert sandbox.account.orders() == []


@pytest.mark.parametrize("code", PUBLISHED_CODES)
def test_every_error_code_of_the_page_becomes_its_class_with_code_message_and_request_id(client, sandbox, code):
    sandbox.faults.add({"fault": "error", "code": code, "message": "said so", "when": "before", "times": None})

    with pytest.raises(error_class(code)) as caught:
        client.create_instance(client_token="t", **ORDER)

    assert (caught.value.code, caught.value.message) == (code, "said so")
    assert caught.value.request_id == sandbox.journal[-1].request_id
    assert sandbox.requests["CreateInstance"] == 1


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        pytest.param({"Error": "broken"}, OutcomeUnknown, id="error is text"),
        pytest.param({"Error": None}, OutcomeUnknown, id="error is null"),
        pytest.param({"OrderId": 7}, OutcomeUnknown, id="order id is a number"),
        pytest.param({"OrderId": ""}, OutcomeUnknown, id="order id is empty"),
    ],
)
def test_an_answer_of_the_wrong_shape_is_no_answer(client, sandbox, response, expected):
    sandbox.faults.add({"fault": "answer", "response": response, "times": None})

    with pytest.raises(expected):
        client.create_instance(client_token="t", **ORDER)


def test_odd_instances_do_not_lose_the_order(client, sandbox):
    sandbox.faults.add({"fault": "answer", "response": {"InstanceIdList": "ins-1"}})

    assert client.create_instance(client_token="t", **ORDER).order_id == sandbox.account.orders()[0].order_id


def test_a_mistake_is_not_sent(client, sandbox):
    with pytest.raises(InvalidRequest):
        client.create_instance(client_token="t", **{**ORDER, "period": 37})

    assert sandbox.requests == {}


def test_too_little_money_buys_nothing(start_sandbox):
    sandbox = start_sandbox(balance_cents=PRICE - 1)

    with pytest.raises(InsufficientBalance):
        client_to(sandbox).create_instance(client_token="t", **ORDER)

    assert spent(sandbox) == 0
    assert sandbox.requests["CreateInstance"] == 1


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


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"secret_id": "AKIDother"}, "AuthFailure.SecretIdNotFound"),
        ({"secret_key": "wrong"}, "AuthFailure.SignatureFailure"),
        ({"token": "stale"}, "AuthFailure.TokenFailure"),
    ],
)
def test_a_wrong_key_is_refused_without_a_second_try(sandbox, options, code):
    with pytest.raises(AuthError) as caught:
        client_to(sandbox, **options).create_instance(client_token="t", **ORDER)

    assert caught.value.code == code
    assert sum(sandbox.requests.values()) == 1


def test_a_temporary_key_sends_its_token(start_sandbox):
    sandbox = start_sandbox(session_token="session")

    assert client_to(sandbox, token="session").describe_account_balance().uin == sandbox.account.uin


def test_an_order_is_found_whatever_its_status_and_zone(start_sandbox):
    for zone in ("UTC", "Asia/Shanghai"):
        sandbox = start_sandbox(zone=zone, delivery_looks=9)
        client = client_to(sandbox)
        order = client.create_instance(client_token="t", **ORDER)

        (deal,) = client.describe_deals(order_id=order.order_id)

        assert (deal.order_id, deal.status in ENDINGS) == (order.order_id, False)
        assert deal.paid_cents == PRICE


def test_an_unreadable_order_book_is_no_traceback(client, sandbox):
    sandbox.faults.add({"fault": "answer", "response": {"Deals": [{"Status": "many"}]}, "times": None})
    with pytest.raises(OutcomeUnknown, match="unreadable"):
        client.describe_deals(order_id="1")

    sandbox.faults.clear()
    sandbox.faults.add({"fault": "answer", "response": {"Deals": None}})
    assert client.describe_deals(order_id="1") == []


@pytest.mark.parametrize(
    ("call", "response", "expected"),
    [
        (
            lambda c: c.renew_instance(
                client_token="t", product_code="p", sub_product_code="s", region_code="r", instance_id="i"
            ),
            {"OrderIdList": ["20251201"], "RequestId": "0"},
            Order("20251201", (), "t", "0"),
        ),
        (
            lambda c: c.refund_instance(
                client_token="t", product_code="p", sub_product_code="s", region_code="r", instance_id="i"
            ),
            {"OrderIdList": ["20251202"], "RequestId": "1"},
            Order("20251202", (), "t", "1"),
        ),
        (
            lambda c: c.set_renewal(
                product_code="p_cos", region_code="ap-others", instance_id="i", renew_flag="NOTIFY_AND_AUTO_RENEW"
            ),
            {"InstanceList": [{"Code": 1, "Message": "no", "InstanceId": "i"}]},
            [{"Code": 1, "Message": "no", "InstanceId": "i"}],
        ),
    ],
)
def test_the_other_actions_read_the_published_answers(client, sandbox, call, response, expected):
    sandbox.faults.add({"fault": "answer", "response": response, "when": "before"})

    assert call(client) == expected


def test_a_page_of_instances_is_read_whatever_it_leaves_out(client, sandbox):
    page = {"InstanceList": [{"InstanceId": "ins-1", "ExpireTime": None, "RenewFlag": "NEW_FLAG"}], "NextToken": "2"}
    sandbox.faults.add({"fault": "answer", "response": page, "when": "before"})

    (instance,), cursor = client.describe_renew_instances()

    assert (instance.instance_id, instance.expire_time, instance.renews_by_itself, cursor) == ("ins-1", "", None, "2")


@pytest.mark.parametrize("answer", [{"OrderIdList": []}, {"OrderIdList": [None]}, {}])
def test_a_renewal_that_is_answered_without_an_order_may_have_happened(client, sandbox, answer):
    sandbox.faults.add({"fault": "answer", "response": answer, "when": "before"})

    with pytest.raises(OutcomeUnknown):
        client.renew_instance(
            client_token="t", product_code="p", sub_product_code="s", region_code="r", instance_id="i"
        )


@pytest.mark.parametrize(
    ("method", "action"), [("renew_instance", "RenewInstance"), ("refund_instance", "RefundInstance")]
)
def test_a_renewal_or_refund_whose_answer_is_lost_is_not_repeated(client, sandbox, method, action):
    sandbox.faults.add({"fault": "drop", "when": "before", "times": None})
    instance = {"product_code": "p", "sub_product_code": "s", "region_code": "r", "instance_id": "i"}

    with pytest.raises(OutcomeUnknown):
        getattr(client, method)(client_token="t", **instance)

    assert sandbox.requests[action] == 1


@pytest.mark.parametrize(
    ("transient", "ambiguous", "replay", "expected"),
    [
        (False, False, "SAFE", False),
        (False, True, "WITH_TOKEN", False),
        (True, False, "AFTER_A_LOOK", True),
        (True, True, "AFTER_A_LOOK", False),
        (True, True, "WITH_TOKEN", False),
        (True, True, "SAFE", True),
    ],
)
def test_the_rule_of_repeating(transient, ambiguous, replay, expected):
    error = TcBillingError("x")
    error.transient, error.ambiguous = transient, ambiguous
    action = {
        "SAFE": actions.DESCRIBE_ACCOUNT_BALANCE,
        "WITH_TOKEN": actions.CREATE_INSTANCE,
        "AFTER_A_LOOK": actions.RENEW_INSTANCE,
    }

    assert may_repeat(action[replay], error) is expected


def test_the_key_is_in_no_log_line_and_no_error(client, sandbox, caplog):
    sandbox.faults.add({"fault": "drop", "times": None})

    with caplog.at_level(logging.DEBUG), pytest.raises(OutcomeUnknown):
        client.describe_account_balance()
    with caplog.at_level(logging.DEBUG), pytest.raises(OutcomeUnknown) as caught:
        client.create_instance(client_token="t", **ORDER)

    assert "DescribeAccountBalance" in caplog.text
    assert SECRET_KEY not in caplog.text + repr(caught.value) + repr(vars(client))
    assert "Signature=" not in caplog.text
