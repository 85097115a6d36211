"""Control calls with too large values, or values that are no numbers: refused in words, and nothing changes."""

from __future__ import annotations

import argparse
import json
import random

import pytest
import requests

from airflow_provider_tcbilling.sandbox.errors import WrongControl
from airflow_provider_tcbilling.sandbox.existing_instances import MOST
from airflow_provider_tcbilling.sandbox.faults import KINDS, MOST_FAULTS, Faults
from airflow_provider_tcbilling.sandbox.limits import Range
from airflow_provider_tcbilling.sandbox.options import LIMITS, Options, Tokens, add_arguments
from tests.conftest import client_to

NO_NUMBERS = [float("nan"), float("inf"), float("-inf"), 1e300, -1e300, 10**400, True, False, "1", [1], {}]
IDS = ["NaN", "infinity", "-infinity", "1e300", "-1e300", "10**400", "true", "false", "text", "list", "object"]
OPTIONS = [(kind, name) for kind, about in KINDS.items() for name, default in about.options.items()]
NUMBERS = [(kind, name) for kind, name in OPTIONS if isinstance(KINDS[kind].options[name], (int, float))]


def control(sandbox, path, body, method="POST", **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **headers}
    return requests.request(method, f"{sandbox.url}/_sandbox/{path}", data=data, headers=headers, timeout=10)


def state(sandbox):
    """Return what a control call can change; the clock in whole minutes, since it goes on."""
    shown = requests.get(f"{sandbox.url}/_sandbox/state", timeout=10).json()
    return {**shown, "time": round(sandbox.account.clock.offset)}


def assert_refused(sandbox, path, body, field):
    before = state(sandbox)

    answer = control(sandbox, path, body)

    assert answer.status_code == 400, answer.text
    assert field in answer.json()["error"]
    assert state(sandbox) == before


@pytest.mark.parametrize("value", NO_NUMBERS, ids=IDS)
def test_what_is_no_number_does_not_move_the_clock(sandbox, value):
    assert_refused(sandbox, "clock", {"advance": value}, "advance")
    assert_refused(sandbox, "clock", {"set": value}, "set")


@pytest.mark.parametrize(
    "time",
    [
        *("1999-12-31T00:00:00Z", "2100-01-02T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "P1D", ""),
        *(
            "2026-02-30",
            "2026-W99",
            "\\ud800",
            "2026-12-01T00:00:00Z/P1M",
            "20261301",
            "2040-01-01T00:00:00Z",
            "9" * 900,
        ),
    ],
)
def test_a_time_that_is_none_or_too_far_does_not_set_the_clock(sandbox, time):
    assert_refused(sandbox, "clock", {"set": time}, "set")


def test_many_small_moves_do_not_take_the_clock_out_of_its_range(sandbox):
    moves = [control(sandbox, "clock", {"advance": 10 * 365 * 86_400}).status_code for _ in range(9)]

    assert (moves[0], moves[-1]) == (200, 400)
    assert state(sandbox)["status"] == "ok"


@pytest.mark.parametrize("value", NO_NUMBERS, ids=IDS)
def test_what_is_no_number_is_no_option_of_a_fault(sandbox, value):
    for kind, name in NUMBERS:
        assert_refused(sandbox, "faults", {"fault": kind, name: value}, name)
    assert_refused(sandbox, "faults", {"fault": "drop", "times": value}, "times")


@pytest.mark.parametrize(("kind", "name"), NUMBERS)
def test_every_number_of_a_fault_has_both_ends(sandbox, kind, name):
    limit = KINDS[kind].limits[name]
    assert isinstance(limit, Range)
    for value in (limit.least, limit.most):
        assert control(sandbox, "faults", {"fault": kind, name: value}).status_code == 201
    sandbox.faults.clear()
    for value in (limit.least - 1, limit.most + 1):
        assert_refused(sandbox, "faults", {"fault": kind, name: value}, name)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"fault": "drop", "times": 10**9}, "times"),
        ({"fault": "drop", "action": ["CreateInstance"]}, "action"),
        ({"fault": "drop", "action": {}}, "action"),
        ({"fault": "drop", "when": ["before"]}, "when"),
        ({"fault": ["drop"]}, "fault"),
        ({"fault": "error", "code": "x" * 100_000}, "code"),
        ({"fault": "answer", "response": {"a": [float("nan")]}}, "response"),
        ({"fault": "answer", "response": []}, "response"),
        ({"fault": "book", "field": ["ZoneCode"]}, "field"),
        ({"fault": "drip", "part": "neither"}, "part"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(sandbox, wanted, field):
    assert_refused(sandbox, "faults", wanted, field)


def test_there_are_only_so_many_faults():
    faults = Faults()
    for _ in range(MOST_FAULTS):
        faults.add({"fault": "drop"})

    with pytest.raises(WrongControl, match="faults in force"):
        faults.add({"fault": "drop"})


@pytest.mark.parametrize("value", NO_NUMBERS, ids=IDS)
def test_what_is_no_number_is_no_instance(sandbox, value):
    for name in ("count", "expires_in_days", "bought_days_ago", "paid_cents", "voucher_cents"):
        assert_refused(sandbox, "instances", {name: value}, name)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"name": "x" * 100_000}, "name"),
        ({"expire_time": "9999-12-31T23:59:59Z"}, "expire_time"),
        ({"expire_time": "0001-01-01T00:00:00Z"}, "expire_time"),
        ({"expire_time": "P1D"}, "expire_time"),
        ({"expire_time": "x" * 5000}, "expire_time"),
        ({"paid_cents": 10**15}, "paid_cents"),
        ({"renew_flag": None}, "renew_flag"),
        ({"locked": 1}, "locked"),
    ],
)
def test_an_instance_that_cannot_be_is_refused(sandbox, wanted, field):
    assert_refused(sandbox, "instances", wanted, field)


def test_there_are_only_so_many_instances(sandbox, monkeypatch):
    monkeypatch.setattr("airflow_provider_tcbilling.sandbox.existing_instances.MOST", 30)
    assert control(sandbox, "instances", {"count": 20}).status_code == 201

    assert_refused(sandbox, "instances", {"count": 11}, "count")
    assert MOST >= 10_000


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 100_000, 400),
        (b'{"a":' * 900 + b"1" + b"}" * 900, 400),
        (b"[1]", 400),
        (b"null", 400),
        (b"\xff\xfe", 400),
        (b"{" + b'"a":1,' * 5 + b"}", 400),
        (b" " * (2**20 + 1), 413),
    ],
    ids=["nested", "nested but readable", "list", "null", "no text", "no JSON", "too long"],
)
def test_a_body_that_is_no_object_is_refused(sandbox, body, status):
    before = state(sandbox)
    for path in ("faults", "clock", "instances", "reset"):
        answer = control(sandbox, path, body)

        assert (answer.status_code, state(sandbox)) == (status, before), path
        assert "body" in answer.json()["error"]


@pytest.mark.parametrize("seed", range(3))
def test_no_control_call_makes_the_server_fail(sandbox, seed):
    chance = random.Random(seed)
    names = ["fault", "when", "times", "action", "seconds", "status", "bytes", "response", "code", "looks", "part"]
    names += ["distortion", "field", "advance", "set", "count", "expires_in_days", "expire_time", "name", "renew_flag"]
    names += ["bought_days_ago", "locked", "paid_cents", "voucher_cents", "\ud800", ""]
    values = [*NO_NUMBERS, *KINDS, None, 0, 1, -1, 0.5, 2**63, 10**9, "\ud800", "", "before", "2026-12-31", "x" * 2000]
    for _ in range(150):
        body = {chance.choice(names): chance.choice(values) for _ in range(chance.randint(0, 4))}
        if chance.random() < 0.5:
            body["fault"] = chance.choice(list(KINDS))

        answer = control(sandbox, chance.choice(["faults", "clock", "instances"]), body)

        assert answer.status_code in (200, 201, 400), (answer.text, body)
        if answer.status_code == 400:
            assert answer.json()["error"]
        if len(sandbox.faults.listed()) > MOST_FAULTS - 2:
            control(sandbox, "faults", {}, method="DELETE")
        for path in ("state", "faults"):
            assert requests.get(f"{sandbox.url}/_sandbox/{path}", timeout=10).status_code == 200, body
    sandbox.faults.clear()
    assert requests.get(f"{sandbox.url}/_sandbox/orders", timeout=10).status_code == 200
    sandbox.account.clock.offset = 0.0
    assert client_to(sandbox).describe_account_balance().balance_cents == sandbox.options.balance_cents


def test_half_of_a_surrogate_pair_is_shown_as_it_came(sandbox):
    (added,) = control(sandbox, "instances", {"name": "\ud800"}).json()["instances"]
    control(sandbox, "faults", {"fault": "error", "code": "\udfff", "message": "\ud800"})

    assert added["name"] == "\ud800"
    assert state(sandbox)["faults"][0]["options"] == {"code": "\udfff", "message": "\ud800"}


@pytest.mark.parametrize(
    "value", [value for value in NO_NUMBERS if value != 10**400], ids=lambda value: repr(value)[:9]
)
@pytest.mark.parametrize("name", LIMITS)
def test_what_is_no_number_is_no_rule(name, value):
    with pytest.raises(ValueError, match=name):
        Options(**{name: value})
    with pytest.raises(ValueError, match="remembered_seconds"):
        Tokens(remembered_seconds=value)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e300", "-1", "true", "", "1_0x"])
@pytest.mark.parametrize(
    "flag", ["--delivery-looks", "--delivery-seconds", "--balance", "--vouchers", "--rate-limit", "--tokens"]
)
def test_what_is_no_number_is_no_flag(flag, text, capsys):
    parser = argparse.ArgumentParser()
    add_arguments(parser)

    with pytest.raises(SystemExit):
        parser.parse_args([f"{flag}={'forget-after:' * (flag == '--tokens')}{text}"])

    assert f"argument {flag}: {text!r} is not a" in capsys.readouterr().err
