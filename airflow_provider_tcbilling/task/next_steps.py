"""
Next steps: the advice to a user about a purchase, or about a task that has failed.

The message of a failed task, ``explain`` and the documentation read the same tables, so they say the same.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

import pendulum

from airflow_provider_tcbilling.api import errors
from airflow_provider_tcbilling.api.actions import ORDER_BOOK_DAYS
from airflow_provider_tcbilling.purchasing import errors as purchase_errors
from airflow_provider_tcbilling.purchasing import money_errors
from airflow_provider_tcbilling.purchasing.decision import Finding
from airflow_provider_tcbilling.purchasing.record import State

LAST_MOMENT = 253402300799
"""Epoch seconds of the last moment that a calendar writes with four digits of the year."""

PAGE = "docs/how-to/recover-a-failed-task.md"
"""The page of the documentation that a failed task names."""

NO_RECORD, UNUSABLE, NEWER = "no record", "a record that cannot be used", "a record of a newer version"
NO_KEY = "no record with this client token"
NO_STORE = "no store"
"""In place of a record's state: the reason why there is no record, or none that can be used."""

_THEN_CLEAR = "Then clear the task. After --order-id it returns that order; after --not-bought it BUYS."
CHOOSE = (
    "Do not just clear: the task stops again. From {decidable} on, look at the orders in every status: {console}\n"
    "If one of them is this purchase:\n"
    "  {settle} --order-id NUMBER\n"
    "If none is:\n"
    "  {settle} --not-bought\n" + _THEN_CLEAR
)
_CHOOSE_SURELY = CHOOSE.replace("--not-bought\nThen", "--not-bought --force\nThen")
_MAY_BE_IT = (
    "Do not clear: it would BUY, although an order matches. If that order is this purchase:\n"
    "  {settle} --order-id NUMBER\n"
    "If you are sure that it is not, clear the task: it BUYS."
)
_FINAL = (
    "Call Tencent's support with the request id above. It is never sent again under this key, and cannot be settled as "
    "not bought. When they name the order:\n"
    "  {settle} --order-id NUMBER\n"
    "Then clear the task: it returns that order, and buys nothing. If it was refunded or never charged, a new "
    "purchase_key or a new run buys anew."
)
_ONE = (
    "Clear the task: it adopts this order, and buys nothing. Without a ledger it stops, if another task of its DAG "
    "may have bought the same."
)
_UNOWNED = (
    "No record owns this order: somebody else placed it, or a purchase that has no record. It stays paid. If it is "
    "that of a purchase with a record, settle that purchase with this number."
)
_READ_AGAIN = (
    "Let the key read the orders (QCloudFinanceFullAccess or narrower), or bring the network back. Then clear the task:"
)
WAITS_ON = "Clear the task: it waits on for this order, and buys nothing."
_RETURNS = "Clear the task: it returns this order, and buys nothing."
_DIED = (
    "Call Tencent's support with the order's number. A clear returns the same dead order, and buys nothing. To replace "
    "it, use a new run or another purchase_key: that buys."
)
_RESTORE = (
    "Save the JSON that the log tells after 'The record to restore:' in a file, then:\n"
    "  {restore}\n"
    "If the log has none, look at the orders in every status: {console}\n"
    "If one of them is this purchase:\n"
    "  {settle} --order-id NUMBER --force\n"
    "If none is:\n"
    "  {settle} --not-bought --force\n"
    "Until then a clear is refused, and sends nothing. " + _THEN_CLEAR
)
_UPDATE = (
    "Update airflow-provider-tcbilling here and on the workers, then clear the task. Until then a clear is refused, "
    "and sends nothing."
)
_WITHOUT_STORE = (
    "From {decidable} on, look at the orders in every status: {console}\n"
    "If one of them is this purchase, give its number to an InstanceDeliverySensor, and mark this task as success.\n"
    "If none is: set on_unknown_outcome='replay' and clear the task. It sends the same "
    "client token, which BUYS if nothing was bought."
)
_WITHOUT_STORE_FINAL = (
    "Call Tencent's support with the request id above. When they name the order, give its number to an "
    "InstanceDeliverySensor, and mark this task as success. Do not clear: nothing remembers that it was paid."
)

_FINAL_STEPS = {
    Finding.ONE: _ONE,
    **dict.fromkeys(
        (Finding.UNCLEAR, Finding.MOVED, Finding.SAID_PAID, Finding.REFUSED, Finding.UNREADABLE, Finding.NONE), _FINAL
    ),
}
_WITH_AN_ORDER = {
    Finding.OPEN: WAITS_ON,
    Finding.DELIVERED: f"Nothing is lost. If the task failed: {_RETURNS}",
    Finding.DEAD: _DIED,
    Finding.UNLISTED: (
        f"Look for the order in the console, {{console}}: the order book goes back {ORDER_BOOK_DAYS} days, and knows "
        "one account. A clear waits for this order, and buys nothing."
    ),
    Finding.UNREADABLE: f"{_READ_AGAIN} it waits on for the order, which is known, and buys nothing.",
    Finding.TWIN: (
        "The purchase was paid TWICE. Have the second order refunded: in the console, {console}, with a "
        "RefundInstanceOperator, or by Tencent's support. A clear returns the order of the record, and buys nothing."
    ),
    Finding.TWIN_LATER: "Ask again later. A clear returns the order of the record, and buys nothing.",
}

STEPS: Mapping[tuple[str, Finding], str] = {
    ("intended", Finding.UNDER_WAY): "Ask again later. Or clear the task: it waits by itself, and looks first.",
    ("intended", Finding.ONE): _ONE,
    ("intended", Finding.UNCLEAR): _CHOOSE_SURELY,
    ("intended", Finding.MOVED): _CHOOSE_SURELY,
    ("intended", Finding.SEND): (
        "Clear the task before {replay}: it looks again, and sends the same client token and the same bytes, which "
        "buys if nothing was bought. Later it stops, and a user must look."
    ),
    ("intended", Finding.NONE): CHOOSE,
    ("intended", Finding.UNREADABLE): (
        f"{_READ_AGAIN} it looks for the order first, and sends nothing until the orders were read, unless the task "
        "says on_unknown_outcome='replay'."
    ),
    **{(state, finding): step for state in ("ordered", "delivered") for finding, step in _WITH_AN_ORDER.items()},
    **{(state, finding): step for state in ("charged", "refused") for finding, step in _FINAL_STEPS.items()},
    **{(state, Finding.UNDER_WAY): "Ask again later: no step is safe before." for state in ("charged", "refused")},
    ("declined", Finding.UNDER_WAY): "Ask again later: an order that matches may be that of another purchase.",
    ("declined", Finding.ONE): _MAY_BE_IT,
    ("declined", Finding.UNCLEAR): _MAY_BE_IT,
    ("declined", Finding.NONE): "Nothing was bought. Correct what the reason names, then clear the task: it BUYS.",
    ("declined", Finding.UNREADABLE): (
        "Nothing was bought, as the record says. Correct what the reason names, then clear the task: it BUYS. The "
        "orders cannot be read at present, so nothing else tells it."
    ),
    ("declined", Finding.NOT_ASKED): "Nothing was bought, as a user said. Clear the task: it BUYS.",
    (NO_RECORD, Finding.NOT_ASKED): (
        "No record does not mean that nothing was bought. Look at the orders in every status: {console}\n"
        "If one of them is this purchase, do not clear before:\n"
        "  {settle} --order-id NUMBER\n"
        "If none is, and the log of the task names this purchase:\n"
        "  {settle} --not-bought\n" + _THEN_CLEAR
    ),
    (NO_KEY, Finding.NOT_ASKED): (
        "No record does not mean that nothing was bought. Look at the orders in every status: {console}\n"
        "If one of them is this purchase, do not clear. Ask with --key or with the task: only these can be settled."
    ),
    (NO_RECORD, Finding.OPEN): _UNOWNED,
    (NO_RECORD, Finding.DELIVERED): _UNOWNED,
    (NO_RECORD, Finding.DEAD): "No record owns this order. Call Tencent's support with its number.",
    (NO_RECORD, Finding.UNLISTED): "Compare the number with the console, {console}. There may be a typing mistake.",
    (NO_RECORD, Finding.UNREADABLE): f"{_READ_AGAIN} it looks for the order first.",
    (UNUSABLE, Finding.NOT_ASKED): _RESTORE,
    (NEWER, Finding.NOT_ASKED): _UPDATE,
    **{
        (state.value, Finding.ELSEWHERE): "Ask with --conn-id of the connection that the purchase was made with."
        for state in State
    },
    **{(NO_STORE, finding): _WITHOUT_STORE for finding in Finding},
    (NO_STORE, Finding.SAID_PAID): _WITHOUT_STORE_FINAL,
    (NO_STORE, Finding.REFUSED): _WITHOUT_STORE_FINAL,
    (NO_STORE, Finding.UNREADABLE): f"{_READ_AGAIN} it looks for the order first, and sends nothing until then.",
}
"""The next step, by the state of the record and the result of the query of the order book."""

LOOKS_FIRST = "Clear the task: it looks for an order first, and {acts} only if there is none."
RETRIED = "Nothing: Airflow tries again by itself. It looks for an order first, and {acts} only if there is none."
RETRIED_WITH_ORDER = "Nothing: Airflow tries again by itself. The retry returns this order, and buys nothing."
CORRECT_AND_WAIT = (
    "Correct what the lines above name, then clear the task: it waits on for this order, and buys nothing."
)

CORRECT_AND_LOOK = (
    "Correct what the lines above name, then clear the task: it looks for an order first, and {acts} only if there is "
    "none."
)
RETRIED_WITHOUT_ORDERS = "Nothing: Airflow tries again by itself, and {acts}."

_APPROVE = (
    "approve it on the command line: save the JSON after the last 'The plan to approve:' of the log in a file, then:\n"
    "  {approve}\n"
    "Then clear the task: {acts}."
)

ERROR_STEPS: Mapping[type[errors.TcBillingError], str] = {
    errors.TcBillingError: LOOKS_FIRST,
    errors.InvalidRequest: "Correct what the lines above name, then clear the task: {acts}.",
    purchase_errors.RunRefused: (
        "Nothing, unless this run should spend: set allow_backfill=True for a backfill, or a larger max_lateness, and "
        "clear the task: {acts}."
    ),
    money_errors.ApprovalNeeded: f"To buy it, {_APPROVE}",
    money_errors.ApprovalRefused: (
        "Nothing, unless it should be bought after all. Then clear the task: it asks again, and buys nothing without "
        "an approval."
    ),
    money_errors.QuestionOutdated: (
        "A clear asks nobody, since Airflow shows the first question of a task for as long as its run exists. Start a "
        f"new run, which asks anew. Or {_APPROVE}"
    ),
    money_errors.NobodyAsked: f"Airflow asks users from 3.1 on. To buy it, {_APPROVE}",
    purchase_errors.LeftAlone: "Nothing: it is not needed as things are.",
    errors.RenewalNotSet: "Correct what the lines above name, then clear the task: {acts}.",
    purchase_errors.InvalidRecord: _RESTORE,
    purchase_errors.PurchaseChanged: (
        "Undo the edit and clear the task: it goes on with the purchase of the record. To buy what is asked for now as "
        "well, use a new run or a purchase_key of its own: that buys."
    ),
    purchase_errors.AccountChanged: (
        "Give the connection {conn_id} a key of the account that the record names, test it, then clear the task: it "
        "goes on with the purchase of the record."
    ),
    purchase_errors.StoreFailed: (
        "Bring back what keeps the record: its storage, its connection, a folder that is not mounted, or Airflow's API "
        "server. Then clear the task: it looks for an earlier order first, and {acts} only if there is none."
    ),
    purchase_errors.OrderNotRecorded: (
        "Bring back what keeps the record. A later try finds this order, or stops if it may be that of an identical "
        "task, and buys nothing. To have it return this order in any case:\n"
        "  {settle} --order-id {order_id}"
    ),
    money_errors.MoneyRefused: "Correct what the lines above name, then clear the task: {acts}.",
    money_errors.PriceUnknown: (
        "Set max_cents, the most that it may cost, and its currency on the task. Then clear the task: {acts}. Once it "
        "is delivered, the ledger remembers the price."
    ),
    money_errors.PriceTooHigh: "Raise max_cents, if that price is right, then clear the task: {acts}.",
    money_errors.PriceBlocked: (
        "Compare the price with Tencent's. If it is right:\n  {accept}\nThen clear the task: {acts}."
    ),
    money_errors.LimitReached: (
        "Wait until the window ends, or have an administrator raise the limit in the connection {conn_id}. Then clear "
        "the task: {acts}."
    ),
    money_errors.AmountUnknown: (
        "Let reconcile settle the purchases that are named:\n  {reconcile}\nThen clear the task: {acts}."
    ),
    money_errors.BalanceTooLow: (
        "Top up the account, or let the purchases under way end, then clear the task: {acts}."
    ),
    errors.Unreachable: "Bring the network back, or correct the connection's endpoint. Then clear the task: {acts}.",
    errors.CredentialsUnavailable: (
        "See whether the source of the keys answers: the metadata service, or STS. Then clear the task: {acts}."
    ),
    errors.CredentialsRefused: (
        "Correct the source of the keys in the connection {conn_id} or on this worker, test it, then clear the task: "
        "{acts}."
    ),
    errors.AnotherAccount: (
        "Find out which account is right. Correct account_id in the connection {conn_id}, or the source of its key, "
        "test it, then clear the task: {acts}."
    ),
    errors.AuthError: "Correct the connection {conn_id}, test it, then clear the task: {acts}.",
    errors.InsufficientBalance: "Top up the account, then clear the task: {acts}.",
    errors.RateLimited: "Wait a minute, then clear the task: {acts}. A lower requests_per_second avoids it.",
    errors.ServerFault: "Wait some minutes, then clear the task: it looks for an order first.",
    errors.PaidButNotDelivered: "Call Tencent's support with the request id. Do not clear before they answer.",
    errors.ApiError: "Correct what the error code names, then clear the task: {acts}.",
    errors.DeliveryFailed: _DIED,
    errors.DeliveryTimeout: WAITS_ON,
    errors.WaitEnded: "Clear the task: it waits anew. A larger timeout waits longer.",
    errors.WrongEvent: "Clear the task: it goes on with its own order, and buys nothing.",
}
"""The next step after an error that ends a task, by its class; the nearest class counts. Stopped purchases: STEPS."""

APPROVALS = (
    money_errors.ApprovalNeeded,
    money_errors.ApprovalRefused,
    money_errors.QuestionOutdated,
    money_errors.NobodyAsked,
)
"""Errors of an approval, whose step is the same whether or not an earlier try may have sent a request."""

IN_DOUBT: Mapping[type[errors.TcBillingError], str] = {
    **{kind: ERROR_STEPS[kind] for kind in APPROVALS},
    purchase_errors.StoreFailed: ERROR_STEPS[purchase_errors.StoreFailed],
    purchase_errors.RunRefused: (
        "Clear the task: it looks for an order again, and sends nothing while this run may not spend. To have the "
        "request sent again if there is none, set allow_backfill=True for a backfill, or a larger max_lateness, before "
        "the clear: {acts} then."
    ),
}
"""The next step if an earlier try may have sent a request and its order is not known; else: LOOKS_FIRST."""

WITHOUT_ORDERS: Mapping[type[errors.TcBillingError], str] = {
    errors.TcBillingError: "Clear the task: {acts}.",
    errors.ServerFault: "Wait some minutes, then clear the task: {acts}.",
}
"""The next step of a task that places no order, where it differs."""

OF_A_RECORD = (purchase_errors.InvalidRecord, purchase_errors.PurchaseChanged, purchase_errors.AccountChanged)
"""Errors of a record that stands in the way of whatever a clear would do."""

OF_AN_ORDER = (purchase_errors.OrderNotRecorded, errors.DeliveryFailed, errors.DeliveryTimeout, errors.WrongEvent)
"""Errors whose step is about an order that is known."""


def moment(seconds: float) -> str:
    """Write a time in ISO 8601, in UTC."""
    return pendulum.from_timestamp(int(min(seconds, LAST_MOMENT))).to_iso8601_string()


COMMAND = "python -m airflow_provider_tcbilling"
"""The command that explains a purchase, and settles it."""


def command_line(verb: str, options: str, conn_id: str) -> str:
    """Return a command for a user to copy."""
    return f"{COMMAND} {verb} {options} --conn-id {shlex.quote(conn_id)}"
