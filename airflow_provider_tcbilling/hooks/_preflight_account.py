"""The tests of an account at Tencent Cloud that cost nothing. Each returns what it found, or raises."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_tcbilling.api.actions import ACTIONS, ENDPOINT, ORDER_BOOK_DAYS
from airflow_provider_tcbilling.api.endpoint import API_DOMAIN, parsed
from airflow_provider_tcbilling.api.errors import ApiError
from airflow_provider_tcbilling.api.text import amount, harmless
from airflow_provider_tcbilling.hooks._checks import Failed, NotTested, Test, Warned
from airflow_provider_tcbilling.hooks._key_identity import identity_of
from airflow_provider_tcbilling.hooks.connection import MAINLAND_HOST

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.api.models import Balance
    from airflow_provider_tcbilling.hooks._preflight_money import LimitNow
    from airflow_provider_tcbilling.hooks.connection import Settings
    from airflow_provider_tcbilling.hooks.session import Session
    from airflow_provider_tcbilling.ledger.store import Store

CLOCK_SECONDS = 60.0
"""The difference between the clocks of this machine and of the server that is no warning."""

ORDERS = 20
"""Orders that are read, which show the currency of the account."""

DENIED = ("UnauthorizedOperation", "AuthFailure.UnauthorizedOperation")
"""Codes of a key that works, and may not use the action."""


class Subject:
    """
    The connection under test, with the facts that one test learns for another.

    :param tencent: A session of the connection.
    """

    def __init__(self, tencent: Session) -> None:
        self._tencent = tencent
        self.balance: Balance | None = None
        self.currencies: tuple[str, ...] | None = None
        self.limits: list[LimitNow] = []
        self.failure_of_ledger = ""

    @property
    def settings(self) -> Settings:
        """The connection; errors as in :meth:`.TcBillingHook.get_settings`."""
        return self._tencent.settings

    @property
    def client(self) -> BillingClient:
        """A client that leaves half of the rate limit to purchases."""
        return self._tencent.waiting

    @cached_property
    def store(self) -> Store:
        """The ledger, opened when it is first needed."""
        from airflow_provider_tcbilling.task.store import open_ledger

        return open_ledger(self.settings)

    def counting_store(self) -> Store:
        """
        Return the ledger.

        :raises NotTested: It has failed a test that everything in it needs.
        """
        if self.failure_of_ledger:
            raise NotTested(f"since {self.failure_of_ledger} failed")
        return self.store

    @property
    def account(self) -> str:
        """The number of the account; empty if it is not known."""
        return str(self.balance.uin or "") if self.balance else ""


def site(subject: Subject) -> str:
    """Name the site that the endpoint belongs to."""
    address = subject.settings.endpoint
    endpoint = parsed(address)
    if endpoint.is_loopback:
        return f"this machine, where a sandbox answers and no money is real: {address}"
    if endpoint.host == MAINLAND_HOST:
        return f"mainland: {address}"
    if endpoint.host == urlsplit(ENDPOINT).hostname:
        return f"international: {address}"
    if endpoint.host.endswith(API_DOMAIN):
        raise Warned(f"{address} is Tencent's, and its name does not show the site: compare it with the key's console")
    raise Warned(f"{address} is not Tencent's. [tcbilling] allowed_hosts lets it get signed requests")


def identity(subject: Subject) -> str:
    """Query the balance, whose answer names the account, and ask STS for the principal."""
    try:
        balance = subject.balance = subject.client.describe_account_balance()
    except ApiError as error:
        if error.code not in DENIED:
            raise
        text = identity_of(subject.client, subject.settings)
        raise _denied(error, Warned, f"so it does not name the account. This is {text}") from None
    return identity_of(subject.client, subject.settings, harmless(balance.uin) if balance.uin else "")


def pinned(subject: Subject) -> str:
    """Name what makes sure that each key is of the right account. A key of another one has failed before."""
    settings = subject.settings
    if settings.account_id:
        return f"account_id is {settings.account_id}: with a key of another account nothing is sent"
    if settings.assume_role_arn:
        return "the role's ARN names it"
    if settings.has_own_key:
        return "that of the connection's own key"
    raise Warned(
        f"account_id is not set, so a key of another account in {settings.credential_source} would spend there. Set "
        f"it{f' to {subject.account}' if subject.account else ''}"
    )


def clock(subject: Subject) -> str:
    """Compare the clock of this machine with the date of the answers."""
    behind = subject.client.clock_offset or subject.client.server_ahead
    difference = f"{abs(behind):.0f} s {'behind' if behind > 0 else 'ahead of'} the server's"
    if abs(behind) > CLOCK_SECONDS:
        raise Warned(f"the clock of this machine is {difference}: set it. Until then requests have the server's time")
    return f"{difference}, as far as whole seconds show" if abs(behind) >= 1 else "as the server's, to a second"


def order_book(subject: Subject) -> str:
    """Query the orders."""
    try:
        deals = subject.client.describe_deals(limit=ORDERS)
    except ApiError as error:
        use = "and each task that buys, renews or refunds needs it"
        raise (_denied(error, Failed, use) if error.code in DENIED else error) from None
    subject.currencies = tuple(sorted({deal.currency for deal in deals if deal.currency}))
    return f"readable, orders of {ORDER_BOOK_DAYS} days: {deals.total}"


def renewals(subject: Subject) -> str:
    """Query the list of instances that can be renewed."""
    try:
        instances, _ = subject.client.describe_renew_instances(max_results=1)
    except ApiError as error:
        use = "and only tasks that list what expires, renew, refund or set a renewal need it"
        raise (_denied(error, Warned, use) if error.code in DENIED else error) from None
    return f"readable, and {'not empty' if instances else 'empty'}"


def balance(subject: Subject) -> str:
    """Compare the balance with what must stay."""
    least = subject.settings.min_balance_cents
    if subject.balance is None:
        if least is not None:
            raise Failed("the key may not read it, and min_balance_cents needs it: every purchase is refused")
        raise NotTested("the key may not read it")
    spendable = subject.balance.spendable_cents
    text = f"the account can spend {amount(spendable, currency_of(subject) or 'of its currency')}"
    if spendable <= (least or 0):
        raise Warned(f"{text}, so every purchase is refused")
    return text if least is None else f"{text}, of which {amount(least, currency_of(subject))} must stay"


def currency(subject: Subject) -> str:
    """Compare the currency of the orders with that of the limits."""
    limits = next((limit.currency for limit in subject.settings.spending_limits), "")
    if subject.currencies is None:
        raise NotTested("the order book, which names it, was not read")
    if not subject.currencies:
        raise NotTested(f"only an order names it, and there is none{f'. The limits are in {limits}' if limits else ''}")
    orders = " and ".join(subject.currencies)
    if limits and subject.currencies != (limits,):
        raise Failed(f"the limits are in {limits}, and the orders of the account in {orders}")
    if len(subject.currencies) > 1:
        raise Warned(f"the orders are in {orders}, and a limit counts one currency")
    return f"the orders are in {orders}"


def currency_of(subject: Subject) -> str:
    """Return the currency of the account, empty if nothing names it."""
    listed = subject.currencies or ()
    return listed[0] if len(listed) == 1 else next((limit.currency for limit in subject.settings.spending_limits), "")


def _denied(error: ApiError, kind: Callable[[str], Exception], use: str) -> Exception:
    """Return the result of a query that the key may not send."""
    permission = ACTIONS[error.action].permission
    return kind(
        f"the key may not use {error.action}, {use}. Grant it {permission} in CAM "
        f"[{error.code}, request {error.request_id}]"
    )


SERVER: tuple[Test, ...] = (
    ("site", site, False),
    ("identity", identity, True),
    ("account", pinned, False),
    ("clock", clock, False),
    ("order book", order_book, False),
    ("renewals", renewals, False),
    ("balance", balance, False),
    ("currency", currency, False),
)
