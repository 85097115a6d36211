"""Settling: a person's decision about one purchase, written into its record and nowhere else. It never spends."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import MAX_LINE, TcBillingError
from airflow_provider_tcbilling.api.models import Order
from airflow_provider_tcbilling.api.reading import json_of
from airflow_provider_tcbilling.api.text import NUMBER, harmless, matching
from airflow_provider_tcbilling.cli.explain import decidable_from, look_for, spending_of
from airflow_provider_tcbilling.cli.lookup import Case, Refused, numbers_of, read
from airflow_provider_tcbilling.hooks.connection import Settings
from airflow_provider_tcbilling.purchasing.decision import Finding
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord
from airflow_provider_tcbilling.purchasing.evidence import order_numbered
from airflow_provider_tcbilling.purchasing.money_action import Candidate
from airflow_provider_tcbilling.purchasing.ownership import Ownership
from airflow_provider_tcbilling.purchasing.record import Record, State
from airflow_provider_tcbilling.task.next_steps import moment

NOTHING_FITS = (Finding.SEND, Finding.NONE)

SURE = "If you have compared them and are sure all the same, add --force."
"""Said only where a user can know what no machine can."""

STEPS: Mapping[Finding, str] = {
    Finding.UNDER_WAY: "Wait until then, and ask explain again.",
    Finding.ONE: "Clear the task: it adopts this order, and buys nothing.",
    Finding.UNCLEAR: SURE,
    Finding.MOVED: SURE,
    Finding.UNREADABLE: "Let the key read the orders, or bring the network back. Then settle again.",
}
"""The advice in place of settling as not bought, by the result of the query of the order book."""


@dataclass(frozen=True)
class Desk:
    """
    Where a person settles one purchase. Each decision returns in words what it did.

    :param force: Go on where there is only a doubt. What would give one order to two purchases stays refused.
    """

    case: Case
    settings: Settings
    client: BillingClient
    force: bool = False

    def is_order(self, number: str) -> str:
        """
        Say that an order is this purchase. The next clear returns it, and buys nothing.

        :param number: Of the order; that of one of its sub-orders, or of its big deal, means the same.
        :raises Refused: Nothing was written.
        """
        if not matching(number, NUMBER):
            raise Refused(f"Nothing was written: {harmless(number)!r} is not {NUMBER[1]}.")
        was = self._record()
        order = self._order(was, number)
        numbers = order.order_ids if order else frozenset({number})
        if was.order_id in numbers:
            return f"It stays: {_words(was)}"
        if was.order_id:
            self._doubt(f"the record has another order, {was.order_id}", SURE)
        self._refuse_if_owned(was, numbers)
        bought = Order(order.order_id if order else number, client_token=was.client_token)
        told = replace(was.ordered(bought, time.time()), reason="A user said that this order is the purchase.")
        return self._write(told, "clear the task now: it returns this order, and buys nothing")

    def not_bought(self) -> str:
        """
        Say that nothing was bought. **The next clear buys**, with the same client token.

        So a server that honours tokens still answers with the order, if there is one after all.

        :raises Refused: Nothing was written.
        """
        was = self._record()
        if was.order_id:
            raise Refused(f"Nothing was written: the record has an order, {was.order_id}, so it was bought.")
        if was.state is State.DECLINED:
            return f"It stays: {_words(was)}"
        self._refuse_to_send_again(was)
        look = look_for(self.case, self.settings, self.client)
        if look.finding not in NOTHING_FITS:
            words = [f"what the order book says: {look.finding.value}", *look.words, harmless(was.reason, MAX_LINE)]
            self._doubt("\n  - ".join(filter(None, words)), STEPS.get(look.finding, SURE))
        elif time.time() < (decidable := decidable_from(self.case, was, self.settings, self.client)):
            self._doubt("it is too early to say that", f"Wait until {moment(decidable)}, and ask explain again.")
        reason = " ".join(["A person said that nothing was bought.", was.reason]).strip()
        declined = replace(was, state=State.DECLINED, reason=reason, changed_at=time.time())
        return self._write(declined, "a clear of the task BUYS now, and so does a try that is still looking")

    def restore(self, record: Record) -> str:
        """
        Write a record back that the log told.

        :raises Refused: Nothing was written.
        """
        was = self.case.record
        self._refuse_elsewhere(record)
        if self.case.is_newer:
            raise Refused(f"Nothing was written: {self._unusable}. Update airflow-provider-tcbilling instead.")
        if record.state is State.DECLINED:
            raise Refused("Nothing was written: a clear would BUY. A record without an order is settled: --not-bought.")
        if was and not record.order_id and record.state is not was.state:
            self._refuse_to_send_again(was)
        if was and (was.client_token, was.order_id or record.order_id) != (record.client_token, record.order_id):
            self._doubt(f"there is a record already: {_words(was)}", SURE)
        if record.order_id:
            self._refuse_if_owned(record, numbers_of(self.client, record.order_id))
        return self._write(record, "clear the task now: it goes on from this record")

    def _record(self) -> Record:
        case = self.case
        if case.unusable:
            raise Refused(f"Nothing was written: the record cannot be used, {self._unusable}. See explain.")
        if not case.record:
            raise Refused(
                f"Nothing was written: there is no record of this purchase ({case.where}), so there is nothing to "
                "settle. If the log has a line 'The record to restore', give its JSON to --restore."
            )
        self._refuse_elsewhere(case.record)
        return case.record

    def _refuse_to_send_again(self, was: Record) -> None:
        """What the server called paid, or refused after an unanswered try, stays so; --force does not help."""
        if was.state.is_final:
            about = "the money was taken" if was.state is State.CHARGED else "it refused a repeat of an unanswered try"
            raise Refused(
                f"Nothing was written: the server said that {about}, so nothing is sent again under this key, and "
                f"--force does not help. To buy anew, use a new purchase_key or a new run. {harmless(was.reason)}"
            )

    @property
    def _unusable(self) -> str:
        return harmless(self.case.unusable.reason) if self.case.unusable else ""

    def _refuse_elsewhere(self, record: Record) -> None:
        """What one endpoint lists says nothing about an order of another; --force does not help."""
        if record.is_at_another_server(self.settings.endpoint):
            raise Refused(
                f"Nothing was written: the record is of {harmless(record.endpoint)}, the connection of "
                f"{self.settings.endpoint}. Give the --conn-id that the purchase was made with."
            )

    def _doubt(self, why: str, step: str) -> None:
        if not self.force:
            raise Refused(f"Nothing was written: {why}.\n{step}")

    def _order(self, record: Record, number: str) -> Candidate | None:
        """Return the order as the order book lists it, if it can be what the record asked for."""
        try:
            order = order_numbered(self.client, number)
            found = spending_of(record, self.client).evidence(record.intended_at, record.sending_until, record.before)
        except TcBillingError as error:
            why = f"the order book cannot be read, so nothing tells what order {number} is. {error}"
            self._doubt(why, STEPS[Finding.UNREADABLE])
            return None
        if not order:
            why = f"the order book of {self.settings.endpoint} does not list order {number}"
            self._doubt(why, "Compare the number, and the connection: another account has other orders.")
        elif not any(order.order_ids & candidate.order_ids for candidate in found.orders):
            why = f"product, length or time are not those of this purchase: {order.summary}"
            self._doubt(why, "Take the number of an order that explain lists.")
        return order

    def _refuse_if_owned(self, record: Record, numbers: frozenset[str]) -> None:
        """One order can be one purchase only; --force does not help, but for a record that nobody can read."""
        owned, unreadable = self._ownership(record).others(record, lambda payload: False)
        if owned & numbers:
            raise Refused(
                f"Nothing was written: another record owns order {', '.join(sorted(owned & numbers))}. "
                "Ask explain --order-id which one."
            )
        if unreadable:
            self._doubt("\n  - ".join(["a record that cannot be read may own the order", *unreadable]), SURE)

    def _write(self, record: Record, note: str) -> str:
        """Write, unless the record changed since it was read; and see whether a task writes at the same moment."""
        case, mine = self.case, self._own(record)
        ownership = self._ownership(mine)
        if read(case.named, case.store, record.key).record != case.record:
            raise Refused("Nothing was written: the record changes at this moment. Ask explain again.")
        ownership.write(mine)
        if not ownership.is_still_owned_by(mine.owner):
            raise Refused(
                "A task wrote its own record at the same moment, and your decision was overwritten. Ask explain again."
            )
        was = f"a record that cannot be used, {self._unusable}" if case.unusable else "no record"
        return f"It was: {_words(case.record) if case.record else was}\nIt is:  {_words(mine)}\nNext:   {note}"

    def _own(self, record: Record) -> Record:
        fingerprint = self.client.seal(record.fingerprint)  # In a record of version 1 it was a plain hash.
        return replace(record, owner=f"a person, {uuid.uuid4().hex}", fingerprint=fingerprint)

    def _ownership(self, record: Record) -> Ownership:
        return Ownership(self.case.store, record, time.time, time.sleep)


def record_from(text: str) -> Record:
    """
    Read a record to restore: as the log told it, or as ``explain --json`` does.

    :raises Refused: It is none.
    """
    try:
        told: Any = json_of(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"Nothing was written: what was given to --restore is not JSON ({error}).") from error
    if isinstance(told, Mapping) and isinstance(told.get("record"), Mapping):
        told = told["record"]
    try:
        return Record.from_json(told, "what was given to --restore")
    except InvalidRecord as error:
        raise Refused(f"Nothing was written: it cannot be restored, {harmless(error.reason)}.") from error


def _words(record: Record) -> str:
    order = f", order {record.order_id}" if record.order_id else ""
    reason = f" ({record.reason})" if record.reason else ""
    return harmless(f"{record.state.value}{order}, client token {record.client_token}{reason}; {record.key}", MAX_LINE)
