"""Accept a price that was above its reservation, so that it blocks no further purchase. Nothing is bought."""

from __future__ import annotations

import getpass

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.api.text import amount, harmless
from airflow_provider_tcbilling.cli.lookup import FoundPurchase, Refused
from airflow_provider_tcbilling.hooks.session import Session
from airflow_provider_tcbilling.ledger.store import Store
from airflow_provider_tcbilling.purchasing.prices import UNKNOWN, Acceptance
from airflow_provider_tcbilling.task.store import open_ledger

OF_THE_PURCHASE = ""
"""In place of an amount: accept the price that blocks."""


def accept_price(tencent: Session, found: FoundPurchase | None, price_key: str, most: str = OF_THE_PURCHASE) -> str:
    """
    Accept the price that blocks a price key, and return in words the effect.

    :param found: A purchase of that price; ``None`` if *price_key* names it.
    :param most: The highest price to accept, in cents, as text; empty accepts the price that blocks.
    :raises Refused: Nothing was written.
    """
    price_key = price_key or (found.record.price_key if found and found.record else "")
    if not price_key:
        raise Refused("Nothing was written: no record tells the price key. The message of the task does: --price-key.")
    store: Store = found.store if found else open_ledger(tencent.settings)
    account, server = tencent.buying.account, server_name(tencent.settings.endpoint)
    price = store.price(server, account, price_key)
    if price == UNKNOWN:
        raise Refused(f"Nothing was written: the ledger remembers no price of the key {harmless(price_key)}.")
    if price.blocked_cents is None:
        return f"It stays: no price blocks {harmless(price_key)}."
    cents = price.blocked_cents if most == OF_THE_PURCHASE else _cents(most)
    if cents < price.blocked_cents:
        paid, accepted = (amount(each, price.currency) for each in (price.blocked_cents, cents))
        raise Refused(f"Nothing was written: {paid} was paid, and you accept only {accepted}.")
    store.accept_price(server, account, price_key, Acceptance(cents, price.currency, _user()))
    return (
        f"Accepted: up to {amount(cents, price.currency)} for price key {harmless(price_key)}.\n"
        f"Paid:   {amount(price.blocked_cents, price.currency)}, for the dearest order above its reservation\n"
        "Next:   clear the tasks that were refused: they BUY at that price, within the limits"
    )


def _cents(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise Refused(f"Nothing was written: {harmless(text, 50)!r} is not a whole number of cents.")
    return int(text)


def _user() -> str:
    try:
        return getpass.getuser()
    except Exception:  # No name is known for the user of this process, in a container for example.
        return "a user"
