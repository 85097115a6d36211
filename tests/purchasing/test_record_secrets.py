"""No secret of a purchase can be read, or found out by trying, from what is stored, logged or raised."""

from __future__ import annotations

import hashlib
import json
import random
import time
from dataclasses import replace

import pytest

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE
from airflow_provider_tcbilling.api.errors import InvalidRequest, TcBillingError
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord, OrderNotRecorded, PurchaseChanged
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.record import Record, State
from airflow_provider_tcbilling.sandbox.sandbox import Sandbox
from tests.conftest import ORDER, SECRET_ID, SECRET_KEY, client_to
from tests.support.crash import dying_at
from tests.support.shelf import Shelf

PASSWORD = "hunter2hunter2"
GUARDED = {**ORDER, "parameter": {"pid": 1, "LoginSettings": {"Password": PASSWORD}}}
EDITED = {**ORDER, "parameter": {"pid": 1, "LoginSettings": {"Password": "another-password"}}}

pytestmark = pytest.mark.usefixtures("passing_time")


@pytest.fixture
def shelf():
    return Shelf()


def purchase(sandbox: Sandbox, store: Shelf, order=GUARDED, **key) -> Purchase:
    client = client_to(sandbox, read_timeout=60.0, **key)
    return Purchase("firewall", NewInstance(client, order), store, Rules(lag=1.0, request_seconds=5.0))


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def version_1(stored, order=GUARDED):
    """Return a record as version 1 of this package wrote it: with a plain hash, and fewer parts masked."""
    payload = CREATE_INSTANCE.payload({**order, "pay_mode": "PrePay", "client_token": "-"})
    del payload["ClientToken"]
    fingerprint = hashlib.sha256(canonical(["CreateInstance", payload]).encode()).hexdigest()
    parameter = {name: value for name, value in order["parameter"].items() if name != "LoginSettings"}
    if "LoginSettings" in order["parameter"]:
        parameter["LoginSettings"] = {"Password": "***"}
    shown = {**payload, "Parameter": canonical(parameter)}
    return {**stored, "version": 1, "fingerprint": fingerprint, "payload": shown}


def downgrade(shelf, order=GUARDED):
    shelf.texts["firewall"] = json.dumps(version_1(json.loads(shelf.texts["firewall"]), order))


def stored(shelf):
    return json.loads(shelf.texts["firewall"])


def guesses(record, passwords):
    """Return the passwords that somebody who has a record, and no key, finds in it by trying."""
    found = set()
    for password in passwords:
        parameter = json.loads(record["payload"]["Parameter"])
        parameter["LoginSettings"]["Password"] = password
        payload = {**record["payload"], "Parameter": canonical(parameter)}
        texts = [canonical([record["action"], payload]), canonical(payload), canonical(parameter), password]
        for text in texts:
            keys = ["", *(str(value) for value in record.values())]
            hashes = {hashlib.sha256((key + text).encode()).hexdigest() for key in keys}
            if any(made in json.dumps(record) for made in hashes):
                found.add(password)
    return found


def test_a_masked_password_cannot_be_found_out_by_trying(sandbox, shelf):
    purchase(sandbox, shelf).place()

    assert guesses(stored(shelf), ["12345678", PASSWORD]) == set()


def test_a_record_of_version_1_gave_it_away(sandbox, shelf):
    purchase(sandbox, shelf).place()
    downgrade(shelf)

    assert guesses(stored(shelf), ["12345678", PASSWORD]) == {PASSWORD}


@pytest.mark.parametrize("key", [{}, {"token": "t"}], ids=["a key", "a temporary key"])
def test_an_edited_secret_is_noticed_with_the_same_key(start_sandbox, shelf, key):
    sandbox = start_sandbox(**({"session_token": "t"} if key else {}))
    purchase(sandbox, shelf, **key).place()

    with pytest.raises(PurchaseChanged) as caught:
        purchase(sandbox, shelf, EDITED, **key).place()

    assert caught.value.differences == ("a part of it that is not shown here",)
    assert sandbox.requests["CreateInstance"] == 1


def rotated(sandbox):
    """Give the sandbox another key of the same account."""
    sandbox.options = replace(sandbox.options, secret_id="AKIDrotated", secret_key="another-key-0815")
    return {"secret_id": "AKIDrotated", "secret_key": "another-key-0815"}


def test_after_a_key_was_rotated_a_masked_secret_is_not_compared_and_the_log_says_so_once(sandbox, shelf, caplog):
    order = purchase(sandbox, shelf).place()
    key = rotated(sandbox)

    assert purchase(sandbox, shelf, EDITED, **key).place() == order
    warnings = [record for record in caplog.records if "its secrets could not be compared" in record.getMessage()]
    assert len(warnings) == 1
    assert sandbox.requests["CreateInstance"] == 1


def test_after_a_key_was_rotated_all_that_is_shown_is_compared(sandbox, shelf, logged):
    purchase(sandbox, shelf).place()
    key = rotated(sandbox)

    with pytest.raises(PurchaseChanged, match=r"Parameter: it was .*, and is"):
        purchase(sandbox, shelf, {**GUARDED, "parameter": {**GUARDED["parameter"], "pid": 2}}, **key).place()

    assert "could not be compared" not in logged()


def test_without_a_masked_part_nothing_is_left_out_when_a_key_was_rotated(sandbox, shelf, logged):
    order = purchase(sandbox, shelf, ORDER).place()
    key = rotated(sandbox)

    assert purchase(sandbox, shelf, ORDER, **key).place() == order
    assert "could not be compared" not in logged()


def test_a_corrected_secret_key_does_not_make_an_edited_purchase_of_it(sandbox, shelf):
    # The process died before the server said that the key is wrong.
    shelf.texts["firewall"] = json.dumps(
        purchase(sandbox, shelf, secret_key="mistyped")._intents.first(time.time()).as_json()
    )

    purchase(sandbox, shelf, secret_key=SECRET_KEY).place()

    assert len(sandbox.account.orders()) == 1


def test_a_record_of_version_1_is_read_and_compared_as_before(sandbox, shelf):
    order = purchase(sandbox, shelf).place()
    downgrade(shelf)

    assert purchase(sandbox, shelf).place() == order
    for changed in (EDITED, ORDER, {**GUARDED, "period": 2}):
        with pytest.raises(PurchaseChanged) as caught:
            purchase(sandbox, shelf, changed).place()
        assert "password" not in str(caught.value).replace('"Password":"***"', "")
    assert sandbox.requests["CreateInstance"] == 1


def test_a_part_that_version_1_did_not_mask_is_no_difference_and_is_not_shown(sandbox, shelf):
    order = {**ORDER, "parameter": {"pid": 1, "rootPwd": PASSWORD, "env": [{"Name": "apiKey", "Value": PASSWORD}]}}
    bought = purchase(sandbox, shelf, order).place()
    downgrade(shelf, order)
    assert PASSWORD in shelf.texts["firewall"]

    assert purchase(sandbox, shelf, order).place() == bought
    with pytest.raises(PurchaseChanged) as caught:
        purchase(sandbox, shelf, {**order, "period": 2}).place()

    assert PASSWORD not in str(caught.value)
    assert PASSWORD not in json.dumps(Record.from_json(stored(shelf), "here").as_json())


def test_a_record_of_version_1_is_written_anew_when_it_is_next_written(sandbox, shelf):
    bought = purchase(sandbox, shelf)
    order = bought.place()
    new = stored(shelf)
    downgrade(shelf)

    purchase(sandbox, shelf).note_delivery(order)

    again = stored(shelf)
    assert again["state"] == "delivered"
    assert (again["version"], again["fingerprint"], again["payload"]) == (2, new["fingerprint"], new["payload"])
    assert guesses(again, [PASSWORD]) == set()


def test_an_intent_of_version_1_whose_answer_was_lost_buys_once(sandbox, shelf):
    sandbox.faults.add({"fault": "drop"})
    with dying_at("in doubt"):
        purchase(sandbox, shelf).place()
    downgrade(shelf)

    order = purchase(sandbox, shelf).place()

    assert [one.order_id for one in sandbox.account.orders()] == [order.order_id]
    assert stored(shelf)["version"] == 2
    assert guesses(stored(shelf), [PASSWORD]) == set()


def test_a_record_is_of_a_version_that_earlier_ones_of_this_package_refuse(sandbox, shelf):
    # An earlier one would take the fingerprint for that of an edited purchase, and say so; this names the cause.
    purchase(sandbox, shelf).place()

    assert stored(shelf)["version"] == 2


def test_any_record_that_was_stored_is_read_as_it_was(sandbox, shelf):
    rng = random.Random(1)
    for number in range(50):
        parameter = {"pid": number, rng.choice(["pwd", "x"]): rng.choice(["a: b", "token x", ["pin", 1]])}
        intent = purchase(sandbox, shelf, {**ORDER, "parameter": parameter})._intents.first(time.time())

        told = intent.as_json()
        assert Record.from_json(json.loads(json.dumps(told)), "here").as_json() == told


@pytest.mark.parametrize("fingerprint", [7, None, [], {}, "", "\ud800", "hmac-sha256", "0" * 64])
def test_a_fingerprint_that_is_none_sends_nothing(sandbox, shelf, fingerprint):
    intent = purchase(sandbox, shelf)._intents.first(time.time()).as_json()
    shelf.texts["firewall"] = json.dumps({**intent, "fingerprint": fingerprint})

    with pytest.raises((InvalidRecord, PurchaseChanged)):
        purchase(sandbox, shelf).place()

    assert sandbox.requests == {}


def test_the_record_to_restore_is_logged_without_secrets(sandbox, shelf, logged):
    bought = purchase(sandbox, shelf)
    shelf.broken = ["replace"] * 3

    with pytest.raises(OrderNotRecorded):
        bought.place()

    line = next(line for line in logged().splitlines() if "The record to restore: " in line)
    told = json.loads(line.partition("The record to restore: ")[2])
    assert Record.from_json(told, "the log").state is State.ORDERED
    assert guesses(told, [PASSWORD]) == set()
    for secret in (PASSWORD, SECRET_ID, SECRET_KEY):
        assert secret not in logged()


ODD_VALUES = [
    pytest.param(holder, id=repr(holder)[:40])
    for holder in (
        PASSWORD,
        [PASSWORD],
        f'["{PASSWORD}"]',
        f'"{PASSWORD}"',
        f'{{"Password": "{PASSWORD}"',
        f"{{'Password': '{PASSWORD}'}}",
        f'{{"Password": "{PASSWORD}"}} and more',
        {"Password": {PASSWORD}},
        {("Password",): PASSWORD},
        {"Password": PASSWORD, "nan": float("nan")},
        {"timeSpan": {"Password": PASSWORD}},
        {"timeUnit": [{"Name": "pwd", "Value": PASSWORD}]},
        PASSWORD.encode(),
    )
]


@pytest.mark.parametrize("parameter", ODD_VALUES)
def test_a_mistake_in_the_parameter_is_named_without_its_content(parameter):
    with pytest.raises(InvalidRequest, match="parameter: ") as caught:
        CREATE_INSTANCE.payload({**ORDER, "client_token": "-", "pay_mode": "PrePay", "parameter": parameter})

    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value)


@pytest.mark.parametrize("parameter", [{"Password": PASSWORD}, [PASSWORD], f"[{PASSWORD!r}]", 7])
def test_a_server_names_a_mistake_in_the_parameter_without_its_content(parameter):
    payload = {"Parameter": parameter}

    assert "hunter2" not in str(CREATE_INSTANCE.check(payload))


@pytest.mark.parametrize("field", [field.arg for field in CREATE_INSTANCE.fields])
def test_a_value_of_another_field_is_bounded_and_harmless_in_a_message(field):
    for value in ({"Password": PASSWORD}, [["pwd", PASSWORD]], "\x1b[31m" + "x" * 10_000, ["x" * 10_000], object()):
        with pytest.raises(InvalidRequest) as caught:
            CREATE_INSTANCE.payload({**ORDER, "client_token": "-", "pay_mode": "PrePay", field: value, "period": "x"})

        assert "hunter2" not in str(caught.value)
        assert all(len(mistake) < 600 for mistake in caught.value.mistakes)
        assert not any("\x1b" in mistake for mistake in caught.value.mistakes)


@pytest.mark.parametrize(
    ("code", "state"), [("InvalidParameter", "declined"), ("FailedOperation.PaySuccDeliverFailed", "charged")]
)
def test_a_secret_number_that_the_server_repeats_is_not_stored(sandbox, shelf, code, state):
    order = {**GUARDED, "parameter": {**GUARDED["parameter"], "rootPwd": 90817263}}
    sandbox.faults.add({"fault": "error", "code": code, "message": "90817263 is too weak.", "when": "before"})

    with pytest.raises(TcBillingError, match="too weak"):
        purchase(sandbox, shelf, order).place()

    assert stored(shelf)["state"] == state
    assert "*** is too weak." in stored(shelf)["reason"]
    assert "90817263" not in shelf.texts["firewall"]


@pytest.mark.parametrize(
    ("code", "state"), [("InvalidParameter", "declined"), ("FailedOperation.PaySuccDeliverFailed", "charged")]
)
def test_a_secret_that_the_server_repeats_is_not_stored(sandbox, shelf, code, state):
    message = f"The password {PASSWORD} is too weak."
    sandbox.faults.add({"fault": "error", "code": code, "message": message, "when": "before"})

    with pytest.raises(TcBillingError, match="too weak"):
        purchase(sandbox, shelf).place()

    assert stored(shelf)["state"] == state
    assert "The password *** is too weak." in stored(shelf)["reason"]
    assert PASSWORD not in shelf.texts["firewall"]
