"""Settle: write a user's decision about one purchase into its record and nowhere else. It never spends."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import MAX_LINE, TcBillingError
from airflow_provider_tcbilling.api.models import Order
from airflow_provider_tcbilling.api.reading import json_of
from airflow_provider_tcbilling.api.text import NUMBER, harmless, matching
from airflow_provider_tcbilling.cli.explain import decidable_from, money_action_of, query
from airflow_provider_tcbilling.cli.lookup import FoundPurchase, Refused, numbers_of, read
from airflow_provider_tcbilling.cli.unrecorded import action_of, recent_orders, record_of
from airflow_provider_tcbilling.hooks.connection import Settings
from airflow_provider_tcbilling.purchasing.decision import Finding, Rules
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord, StoreFailed
from airflow_provider_tcbilling.purchasing.evidence import order_numbered
from airflow_provider_tcbilling.purchasing.money_action import Candidate
from airflow_provider_tcbilling.purchasing.ownership import Ownership
from airflow_provider_tcbilling.purchasing.record import Record, State
from airflow_provider_tcbilling.task.next_steps import moment

MOST_SHOWN = 20
"""Orders that a refusal names."""

NO_MATCH = (Finding.SEND, Finding.NONE)

SURE = "If you have compared them and are sure all the same, add --force."
"""The advice where only a user can decide."""

STEPS: Mapping[Finding, str] = {
    Finding.UNDER_WAY: "Wait until then, and run explain again.",
    Finding.ONE: "Clear the task: it adopts this order, and buys nothing.",
    Finding.UNCLEAR: SURE,
    Finding.MOVED: SURE,
    Finding.UNREADABLE: "Let the key read the orders, or bring the network back. Then settle again.",
}
"""The advice in place of settling as not bought, by the result of the query of the order book."""


@dataclass(frozen=True)
class Settlement:
    """
    The decision of a user about one purchase. Each method writes one decision, and returns in words its effect.

    Where there is no record, or none that can be used, the decision makes one, which names the user as its origin.

    :param found: The purchase.
    :param force: Go on where there is only a doubt. A decision that gives one order to two purchases stays refused.
    :param by: The origin of the decision, for the record.
    """

    found: FoundPurchase
    settings: Settings
    client: BillingClient
    force: bool = False
    by: str = "A user"

    def is_order(self, number: str) -> str:
        """
        Decide that an order is this purchase. The next clear returns it, and buys nothing.

        :param number: Of the order; that of one of its sub-orders, or of its big deal, means the same.
        :raises Refused: Nothing was written.
        """
        if not matching(number, NUMBER):
            raise Refused(f"Nothing was written: {harmless(number)!r} is not {NUMBER[1]}.")
        was = self._record()
        order = self._order(was, number)
        numbers = order.order_ids if order else frozenset({number})
        if was.order_id in numbers:
            return f"It stays: {_summary(was)}"
        if was.order_id:
            self._doubt(f"the record has another order, {was.order_id}", SURE)
        self._refuse_if_owned(was, numbers)
        bought = Order(order.order_id if order else number, client_token=was.client_token)
        reason = f"{self.by} said that this order is the purchase.{self._origin}"
        ordered = replace(was.ordered(bought, self.found.store.now()), reason=reason, action=self._action(was, order))
        return self._write(ordered, "clear the task now: it returns this order, and buys nothing")

    def not_bought(self) -> str:
        """
        Decide that nothing was bought. **The next clear buys**, with the same client token.

        So a server that honours tokens still answers with the order, if there is one after all.

        :raises Refused: Nothing was written.
        """
        was = self._record()
        if was.order_id and not was.is_word_of_a_user:
            raise Refused(f"Nothing was written: the record has an order, {was.order_id}, so it was bought.")
        if was.state is State.DECLINED:
            return f"It stays: {_summary(was)}"
        self._refuse_to_send_again(was)
        self._doubt_that_nothing_was_bought(was)
        reason = " ".join([f"{self.by} said that nothing was bought.{self._origin}", was.reason]).strip()
        declined = replace(was, state=State.DECLINED, order_id=None, reason=reason, changed_at=self.found.store.now())
        return self._write(
            declined, "a clear of the task BUYS now, and so does a try that still queries the order book"
        )

    def _doubt_that_nothing_was_bought(self, was: Record) -> None:
        """Refuse as long as an order may be the purchase, or it is too early to say."""
        if not was.payload:
            self._doubt_without_a_request(was)
            return
        result = query(self.found, self.settings, self.client)
        if result.finding not in NO_MATCH:
            book = f"the order book says: {result.finding.value}"
            doubts = [book, *result.details, harmless(was.reason, MAX_LINE)]
            self._doubt("\n  - ".join(filter(None, doubts)), STEPS.get(result.finding, SURE))
        elif self.found.store.now() < (decidable := decidable_from(self.found, was, self.settings, self.client)):
            self._doubt("it is too early to say that", _wait_until(decidable))

    def _doubt_without_a_request(self, was: Record) -> None:
        """Refuse as long as any order of the last day may be the purchase: what it asks for is not recorded."""
        if was.order_id:
            self._doubt(f"a user said that order {was.order_id} is the purchase", SURE)
        early = self.found.last_try_ended + Rules().not_bought_seconds
        if early == math.inf:
            self._doubt("a try of the task is running, and may buy", "Let it end, and run explain again.")
        elif time.time() < early:
            self._doubt("it is too early to say that: a try of the task may have sent it just now", _wait_until(early))
        try:
            orders = recent_orders(self.client)
            owned = self._ownership(was).others(was, lambda payload: False, order_ids=_numbers(orders)).owned
        except StoreFailed:
            raise
        except TcBillingError as error:
            self._doubt(f"the order book cannot be read: {str(error).rstrip('.')}", STEPS[Finding.UNREADABLE])
            return
        if free := [order.summary for order in orders if not order.order_ids & owned]:
            more = [f"and {len(free) - MOST_SHOWN} more"] if len(free) > MOST_SHOWN else []
            lines = ["one of these orders of the last day may be this purchase", *free[:MOST_SHOWN], *more]
            self._doubt("\n  - ".join(lines), SURE)

    def restore(self, record: Record) -> str:
        """
        Write a record back that the log shows.

        :raises Refused: Nothing was written.
        """
        was = self.found.record
        self._refuse_elsewhere(record)
        if self.found.is_newer:
            raise Refused(f"Nothing was written: {self._unusable}. Update airflow-provider-tcbilling instead.")
        if record.state is State.DECLINED:
            raise Refused("Nothing was written: a clear would BUY. A record without an order is settled: --not-bought.")
        if was and not record.order_id and record.state is not was.state:
            self._refuse_to_send_again(was)
        if was and (was.client_token, was.order_id or record.order_id) != (record.client_token, record.order_id):
            self._doubt(f"there is a record already: {_summary(was)}", SURE)
        if record.order_id:
            self._refuse_if_owned(record, numbers_of(self.client, record.order_id))
        return self._write(record, "clear the task now: it goes on from this record")

    def _record(self) -> Record:
        """Return the record, or one to begin with where there is none, or none that can be used."""
        found = self.found
        if found.unusable:
            self._doubt_without_a_record(found.unusable)
        record = found.record or record_of(found, self.settings, self.client)
        self._refuse_elsewhere(record)
        return record

    def _doubt_without_a_record(self, unusable: InvalidRecord) -> None:
        """Refuse to replace a record that cannot be used, unless the user insists and it is of no newer version."""
        if self.found.is_newer:
            raise Refused(f"Nothing was written: {self._unusable}. Update airflow-provider-tcbilling instead.")
        why = f"the record cannot be used, {self._unusable}. It is lost if your decision replaces it"
        self._doubt(why, f"If the log has a line 'The record to restore', give its JSON to --restore. {SURE}")

    @property
    def _origin(self) -> str:
        """The reason why a record begins with a user's decision; empty if there was one before."""
        found = self.found
        return (
            ""
            if found.record
            else f" Its record could not be used: {self._unusable}."
            if found.unusable
            else (" There was no record.")
        )

    def _action(self, was: Record, order: Candidate | None) -> str:
        """Return the action of a purchase: that of the record, or of the order where nothing else tells it."""
        try:
            return was.action if was.payload or not order else action_of(self.client, order)
        except TcBillingError:
            return was.action

    def _refuse_to_send_again(self, was: Record) -> None:
        """Refuse if the server called it paid, or refused a repeat of an unanswered try; --force does not help."""
        if was.state.is_final:
            about = "the money was taken" if was.state is State.CHARGED else "it refused a repeat of an unanswered try"
            raise Refused(
                f"Nothing was written: the server said that {about}, so nothing is sent again under this key, and "
                f"--force does not help. To buy anew, use a new purchase_key or a new run. {harmless(was.reason)}"
            )

    @property
    def _unusable(self) -> str:
        return harmless(self.found.unusable.reason) if self.found.unusable else ""

    def _refuse_elsewhere(self, record: Record) -> None:
        """Refuse a record of another endpoint, whose orders this one does not list; --force does not help."""
        if record.is_at_another_server(self.settings.endpoint):
            raise Refused(
                f"Nothing was written: the record is of {harmless(record.endpoint)}, the connection of "
                f"{self.settings.endpoint}. Give the --conn-id that the purchase was made with."
            )

    def _doubt(self, why: str, step: str) -> None:
        if not self.force:
            raise Refused(f"Nothing was written: {why}.\n{step}")

    def _order(self, record: Record, number: str) -> Candidate | None:
        """Return the order as the order book lists it, if it matches the record."""
        try:
            order = order_numbered(self.client, number)
            matching = self._matching(record)
        except TcBillingError as error:
            why = f"the order book cannot be read, so nothing tells what order {number} is. {error}"
            self._doubt(why, STEPS[Finding.UNREADABLE])
            return None
        if not order:
            why = f"the order book of {self.settings.endpoint} does not list order {number}"
            self._doubt(why, "Compare the number, and the connection: another account has other orders.")
        elif matching is not None and not any(order.order_ids & candidate.order_ids for candidate in matching):
            why = f"product, length or time are not those of this purchase: {order.summary}"
            self._doubt(why, "Take the number of an order that explain lists.")
        return order

    def _matching(self, record: Record) -> Sequence[Candidate] | None:
        """Return the orders that match a record; ``None`` if it does not tell what was requested."""
        if not record.payload:
            return None
        action = money_action_of(record, self.client)
        return action.evidence(record.intended_at, record.sending_until, record.before).orders

    def _refuse_if_owned(self, record: Record, numbers: frozenset[str]) -> None:
        """Refuse an order that another record owns; --force helps only where that record cannot be read."""
        others = self._ownership(record).others(record, lambda payload: False, order_ids=numbers)
        owned, unreadable = others.owned, others.rivals
        if owned & numbers:
            raise Refused(
                f"Nothing was written: another record owns order {', '.join(sorted(owned & numbers))}. "
                "Run explain --order-id: it names that record."
            )
        if unreadable:
            self._doubt("\n  - ".join(["a record that cannot be read may own the order", *unreadable]), SURE)

    def _write(self, record: Record, note: str) -> str:
        """Write, unless the record changed since it was read; and see whether a task writes at the same moment."""
        found, mine = self.found, self._own(record)
        ownership = self._ownership(mine)
        text = found.store.text(record.key)
        is_same = read(found.name, found.store, record.key).record == found.record
        if not is_same or not ownership.put(mine, text):
            raise Refused("Nothing was written: a running task changes the record at this moment. Run explain again.")
        if not ownership.is_still_owned_by(mine.owner):
            raise Refused("Your decision was overwritten by a running task. Run explain again.")
        was = f"a record that cannot be used, {self._unusable}" if found.unusable else "no record"
        return f"It was: {_summary(found.record) if found.record else was}\nIt is:  {_summary(mine)}\nNext:   {note}"

    def _own(self, record: Record) -> Record:
        fingerprint = self.client.seal(record.fingerprint)  # In a record of version 1 it was a plain hash.
        return replace(record, owner=f"a user, {uuid.uuid4().hex}", fingerprint=fingerprint)

    def _ownership(self, record: Record) -> Ownership:
        return Ownership(self.found.store, record, self.found.store.now, time.sleep)


def _wait_until(seconds: float) -> str:
    return f"Wait until {moment(seconds)}, and run explain again."


def _numbers(orders: Sequence[Candidate]) -> frozenset[str]:
    return frozenset(number for order in orders for number in order.order_ids)


def record_from(text: str) -> Record:
    """
    Read a record to restore, from the log or from ``explain --json``.

    :raises Refused: It is none.
    """
    try:
        read: Any = json_of(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"Nothing was written: the content of --restore is not JSON ({error}).") from error
    if isinstance(read, Mapping) and isinstance(read.get("record"), Mapping):
        read = read["record"]
    try:
        return Record.from_json(read, "the content of --restore")
    except InvalidRecord as error:
        raise Refused(f"Nothing was written: it cannot be restored, {harmless(error.reason)}.") from error


def _summary(record: Record) -> str:
    order = f", order {record.order_id}" if record.order_id else ""
    reason = f" ({record.reason})" if record.reason else ""
    return harmless(f"{record.state.value}{order}, client token {record.client_token}{reason}; {record.key}", MAX_LINE)
