"""What the server said once binds every later try, a double is told, and a record belongs to one account."""

from __future__ import annotations

import json
import random
import time

import pytest

from airflow_provider_tcbilling.ledger.store import NoStore
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import PurchaseChanged, PurchaseCharged, PurchaseOutcomeUnknown
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.record import Record, State
from airflow_provider_tcbilling.sandbox.keys import Keys
from airflow_provider_tcbilling.sandbox.options import Tokens
from airflow_provider_tcbilling.task.failure_message import WORDS, TaskEnd
from tests.conftest import ORDER, PRICE, SECRET_ID, client_to
from tests.support.crash import dying_at
from tests.support.shelf import Shelf

LAG = 10.0
PAID = "FailedOperation.PaySuccDeliverFailed"
OTHER_ID = "AKIDofanotheraccount"

pytestmark = pytest.mark.usefixtures("passing_time")


def purchase(sandbox, store, *, trust_token=False, client=None, **options):
    client = client or client_to(sandbox, read_timeout=60.0)
    rules = Rules(lag=LAG, request_seconds=5.0, trust_token=trust_token)
    return Purchase("firewall", NewInstance(client, ORDER), store, rules, **options)


def record_of(store):
    return Record.from_json(json.loads(store.texts["firewall"]), "here")


def paid(sandbox):
    return [order.order_id for order in sandbox.account.orders()]


def sent(sandbox):
    return sandbox.requests.get("CreateInstance", 0)


def said_paid(sandbox):
    sandbox.faults.add({"fault": "error", "code": PAID, "when": "before"})


def refused_after_a_lost_try(sandbox):
    sandbox.faults.add({"fault": "drop", "when": "before"})
    sandbox.account.balance_cents = PRICE - 1


@pytest.mark.parametrize("trust_token", [False, True])
@pytest.mark.parametrize(
    ("prepare", "state", "requests"),
    [(said_paid, State.CHARGED, 1), (refused_after_a_lost_try, State.REFUSED, 2)],
    ids=["paid", "refused"],
)
def test_what_the_server_said_is_never_sent_again(start_sandbox, passing_time, prepare, state, requests, trust_token):
    sandbox, store = start_sandbox(tokens=Tokens("ignore")), Shelf()
    prepare(sandbox)

    for seconds in (0, 7200, 7200):
        with pytest.raises(PurchaseOutcomeUnknown) as stopped:
            purchase(sandbox, store, trust_token=trust_token).place()
        assert isinstance(stopped.value, PurchaseCharged) is (state is State.CHARGED)
        sandbox.account.balance_cents = 9 * PRICE
        passing_time.sleep(seconds)

    assert record_of(store).state is state
    assert sent(sandbox) == requests
    assert paid(sandbox) == []


def test_what_was_paid_is_stopped_with_a_message_of_its_own(start_sandbox):
    sandbox, store = start_sandbox(), Shelf()
    said_paid(sandbox)

    with pytest.raises(PurchaseCharged) as stopped:
        purchase(sandbox, store).place()

    end = TaskEnd("tcbilling_default", words=WORDS["CreateInstance"], in_doubt=True)
    told = "\n".join(end.report(stopped.value))
    (entry,) = [entry for entry in sandbox.journal if entry.action == "CreateInstance"]
    assert told.startswith("Paid: an amount that is not known yet, as the server said, and the order is not known.")
    assert record_of(store).reason in told
    assert entry.request_id in told
    assert "support" in told
    assert "replay" not in told
    assert "not-bought" not in told


def test_a_charged_purchase_takes_its_order_as_soon_as_it_is_listed(start_sandbox):
    sandbox, store = start_sandbox(), Shelf()
    sandbox.faults.add({"fault": "not-visible", "looks": 1})
    sandbox.faults.add({"fault": "error", "code": PAID, "when": "after"})

    with pytest.raises(PurchaseCharged):
        purchase(sandbox, store).place()

    assert [purchase(sandbox, store).place().order_id] == paid(sandbox)
    assert sent(sandbox) == 1


def test_a_record_of_before_that_was_paid_is_still_never_sent_again(start_sandbox, passing_time):
    sandbox, store = start_sandbox(), Shelf()
    said_paid(sandbox)
    with pytest.raises(PurchaseCharged):
        purchase(sandbox, store).place()
    stored = json.loads(store.texts["firewall"])
    for name in ("key_id", "account", "is_resent", "is_checked", "twins"):
        del stored[name]
    store.texts["firewall"] = json.dumps({**stored, "state": "intended"})

    with pytest.raises(PurchaseCharged):
        purchase(sandbox, store, trust_token=True).place()

    assert sent(sandbox) == 1


def listed_late(sandbox):
    """Let the first answer be lost, and its order be listed only after the repeat."""
    sandbox.faults.add({"fault": "not-visible", "looks": 1})
    sandbox.faults.add({"fault": "drop", "action": "CreateInstance"})


@pytest.mark.parametrize("has_record", [True, False])
def test_a_second_order_is_told_with_its_cents(start_sandbox, logged, has_record):
    sandbox, store = start_sandbox(tokens=Tokens("ignore")), Shelf() if has_record else NoStore()
    listed_late(sandbox)

    order = purchase(sandbox, store).place()

    first, second = paid(sandbox)
    assert order.order_id == second
    told = next(line for line in logged().splitlines() if "SECOND order" in line)
    assert first in told
    assert f"{PRICE / 100:.2f} USD" in told
    assert "which no record owns" in told
    if has_record:
        assert record_of(store).is_checked
        (twin,) = record_of(store).twins
        assert first in twin


def test_a_second_order_is_looked_for_by_the_next_try_where_the_book_was_closed(start_sandbox, logged, passing_time):
    sandbox, store = start_sandbox(tokens=Tokens("ignore")), Shelf()
    listed_late(sandbox)
    once = purchase(sandbox, store)
    with pytest.MonkeyPatch.context() as closing:
        closing.setattr(Purchase, "_checked", lambda self, record: record.order)
        once.place()
    assert not record_of(store).is_checked

    again = purchase(sandbox, store).place()

    assert again.order_id == paid(sandbox)[1]
    assert f"SECOND order for this purchase, which no record owns: order {paid(sandbox)[0]}" in logged()


def test_an_honoured_token_leaves_no_second_order(start_sandbox, logged):
    sandbox, store = start_sandbox(tokens=Tokens("honour")), Shelf()
    listed_late(sandbox)

    order = purchase(sandbox, store).place()

    assert paid(sandbox) == [order.order_id]
    assert record_of(store).is_checked
    assert "SECOND" not in logged()


def give_key(sandbox, secret_id):
    """Let the sandbox accept another key than before."""
    object.__setattr__(sandbox.options, "secret_id", secret_id)
    sandbox.keys = Keys(sandbox.options, sandbox.account.clock.now, random.Random(0))


def become(sandbox, secret_id, uin):
    """Let the sandbox know another key, of another account that has no order."""
    sandbox.account.__init__(sandbox.options)
    sandbox.account.uin = uin
    give_key(sandbox, secret_id)


@pytest.mark.parametrize("token", ["", "of-a-role"])
@pytest.mark.parametrize("is_answered", [True, False])
def test_the_key_of_another_account_does_not_go_on_with_a_purchase(start_sandbox, token, is_answered):
    sandbox, store = start_sandbox(session_token=token), Shelf()
    key = {"token": token, "read_timeout": 60.0}
    if not is_answered:
        sandbox.faults.add({"fault": "drop", "action": "CreateInstance", "times": None})
        sandbox.faults.add({"fault": "http", "action": "DescribeDealsByCond", "times": None, "status": 503})
    try:
        purchase(sandbox, store, client=client_to(sandbox, **key)).place()
    except Exception:
        assert not is_answered
    requests = sent(sandbox)
    sandbox.faults.clear()
    become(sandbox, OTHER_ID, 7)

    with pytest.raises(PurchaseChanged, match="account"):
        purchase(sandbox, store, client=client_to(sandbox, secret_id=OTHER_ID, **key)).place()

    assert sent(sandbox) == requests
    assert paid(sandbox) == []


def test_a_new_temporary_key_of_the_same_account_goes_on(start_sandbox):
    sandbox, store = start_sandbox(session_token="of-a-role"), Shelf()
    sandbox.faults.add({"fault": "drop", "action": "CreateInstance"})
    with dying_at("in doubt"):
        purchase(sandbox, store, client=client_to(sandbox, token="of-a-role")).place()
    give_key(sandbox, OTHER_ID)

    order = purchase(sandbox, store, client=client_to(sandbox, secret_id=OTHER_ID, token="of-a-role")).place()

    assert [order.order_id] == paid(sandbox)


def test_a_new_key_returns_the_order_that_its_account_lists(start_sandbox):
    sandbox, store = start_sandbox(), Shelf()
    order = purchase(sandbox, store).place()
    object.__setattr__(sandbox.options, "secret_id", OTHER_ID)

    assert purchase(sandbox, store, client=client_to(sandbox, secret_id=OTHER_ID)).place() == order


def test_a_record_names_its_key_only_by_a_hash(start_sandbox):
    sandbox, store = start_sandbox(), Shelf()
    purchase(sandbox, store).place()

    assert record_of(store).key_id
    assert SECRET_ID not in store.texts["firewall"]
    assert record_of(store).changed_at <= time.time()


def test_a_refusal_after_a_try_that_is_only_presumed_does_not_end_the_purchase_for_good(start_sandbox):
    sandbox, store = start_sandbox(), Shelf()
    sandbox.account.balance_cents = PRICE - 1
    with pytest.raises(PurchaseOutcomeUnknown, match="BalanceInsufficient"):
        purchase(sandbox, store, presumed_since=time.time() - 60).place()
    sandbox.account.balance_cents = PRICE

    assert [purchase(sandbox, store).place().order_id] == paid(sandbox)
