"""
Authorization: whether a purchase may be started, in the order price, limits, balance, approval.

What is found here may change until the intent is stored, so a store that counts money checks the reservation again, in
the transaction of the intent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.api.text import amount
from airflow_provider_tcbilling.purchasing.approval import Question, refusal_of
from airflow_provider_tcbilling.purchasing.limits import Limit
from airflow_provider_tcbilling.purchasing.money_errors import (
    ApprovalNeeded,
    MixedCurrencies,
    PriceBlocked,
    PriceTooHigh,
    PriceUnknown,
)
from airflow_provider_tcbilling.purchasing.money_rules import ApprovalRules, MoneyRules
from airflow_provider_tcbilling.purchasing.prices import UNKNOWN, Price
from airflow_provider_tcbilling.purchasing.record import SPENDING_ACTIONS, Record
from airflow_provider_tcbilling.purchasing.reservation import Reservation

if TYPE_CHECKING:
    from airflow_provider_tcbilling.ledger.store import Store
    from airflow_provider_tcbilling.purchasing.money_action import MoneyAction

NO_RULES = MoneyRules()


@dataclass(frozen=True)
class Authorized:
    """
    A purchase that may be started.

    :param fields: The fields of its record that say what it reserves.
    :param reservation: Must hold when the record is stored; ``None`` if nothing limits it.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    reservation: Reservation | None = None


class Authorization:
    """
    The rules that one purchase must keep.

    :param rules: Of its connection and of itself.
    :param requester: The user who started it; empty if nobody is named.
    """

    def __init__(self, store: Store, action: MoneyAction, rules: MoneyRules | None = None, requester: str = "") -> None:
        self._store, self._action, self._requester = store, action, requester
        self._rules = rules or NO_RULES
        self._spends = action.action.name in SPENDING_ACTIONS

    @property
    def is_in_force(self) -> bool:
        """Whether a rule may refuse the purchase."""
        return self._spends and self._rules.is_in_force

    def of(self, intent: Record, now: float) -> Authorized:
        """
        Return what an intent reserves, and the condition on which a store that counts money may store it.

        :param now: Epoch seconds of the ledger's clock.
        :raises MoneyRefused: The purchase may not be started.
        :raises ApprovalNeeded: A user must approve it first.
        """
        if not self._spends:
            return Authorized()
        record = replace(intent, price_key=self._action.price_key)
        if not self._rules.is_in_force:
            return Authorized({"price_key": record.price_key})
        reservation, source = self.reservation(record)
        if self.approval_rules_for(reservation):
            # Nobody is asked about what a limit refuses.
            usage = self._store.usage(reservation)
            reservation.check(usage, now, lambda limit: self._store.open_in(reservation, limit))
        approved_by = self.approved_by(record, reservation, source, now)
        fields = {
            "price_key": record.price_key,
            "reserved_cents": reservation.cents,
            "reserved_currency": reservation.currency,
            "reserved_at": now,
            "approved_by": approved_by,
            "account": reservation.account,
        }
        return Authorized(fields, reservation if self._store.counts_money else None)

    def reservation(self, record: Record) -> tuple[Reservation, str]:
        """
        Return what a purchase would reserve, and the origin of its worst case. It only reads.

        :raises MoneyRefused: Its price speaks against it already.
        """
        limits = self._limits_of(record)
        self._refuse_a_store_that_does_not_count()
        account, server = record.account or self._action.account(), server_name(record.endpoint)
        price = self._store.price(server, account, record.price_key) if self._store.counts_money else UNKNOWN
        cents, currency, source = self._worst_case(price, limits, record.price_key)
        cents, currency = _with_what_was_reserved(record, cents, currency)
        return self._reserving(replace(record, account=account), limits, cents, currency), source

    def without_price(self, record: Record) -> Reservation:
        """
        Return what a purchase would reserve whose price speaks against it, for a plan. It only reads, and holds for no
        purchase: it has no worst case.
        """
        limits = self._limits_of(record)
        currency = self._rules.currency or next((limit.currency for limit in limits), "")
        return self._reserving(
            replace(record, account=record.account or self._action.account()), limits, None, currency
        )

    def _limits_of(self, record: Record) -> tuple[Limit, ...]:
        product, origin = record.payload.get("ProductCode") or "", record.placed_by.get("dag_id") or ""
        return tuple(limit for limit in self._rules.limits if limit.counts(product, origin))

    def _reserving(self, record: Record, limits: tuple[Limit, ...], cents: int | None, currency: str) -> Reservation:
        """Return the reservation of an amount."""
        reservation = Reservation(
            key=record.key,
            cents=cents,
            currency=currency,
            limits=limits,
            zone=self._rules.zone,
            server=server_name(record.endpoint),
            account=record.account,
            product=record.payload.get("ProductCode") or "",
            origin=record.placed_by.get("dag_id") or "",
            run=record.placed_by.get("run_id") or "",
            price_key=record.price_key,
        )
        if self._rules.min_balance_cents is None:
            return reservation
        balance_at = self._store.now()
        return replace(
            reservation,
            balance=self._action.spendable_cents(),
            balance_at=balance_at,
            least_balance=self._rules.min_balance_cents,
        )

    def _refuse_a_store_that_does_not_count(self) -> None:
        rules = self._rules
        needs = {
            "spending_limits": bool(rules.limits),
            "min_balance_cents": rules.min_balance_cents is not None,
            "approve_above_cents": rules.approval is not None,
        }
        if (named := [name for name, is_set in needs.items() if is_set]) and not self._store.counts_money:
            why = f"only a ledger in a database (ledger_conn_id) counts money, and {self._store.about} does not"
            raise InvalidRequest(", ".join(named), [why])

    def _worst_case(self, price: Price, limits: tuple[Limit, ...], price_key: str) -> tuple[int | None, str, str]:
        """Return the most that the purchase may cost, its currency, and where that is from."""
        rules = self._rules
        named = {rules.currency, price.currency, *(limit.currency for limit in rules.limits)} - {""}
        if len(named) > 1:
            raise MixedCurrencies(
                "Nothing was sent: max_cents, the limits and the last order of the same must be in one currency, and "
                f"they are in {' and '.join(sorted(named))}."
            )
        currency = next(iter(named), "")
        if price.blocked_cents is not None:
            raise PriceBlocked(amount(price.blocked_cents, currency), price_key)
        if rules.max_cents is not None:
            if not currency:
                raise InvalidRequest("max_cents", ["its currency is missing"])
            if price.highest_cents is not None and price.highest_cents > rules.max_cents:
                raise PriceTooHigh(*(amount(cents, currency) for cents in (price.highest_cents, rules.max_cents)))
            return rules.max_cents, currency, "max_cents"
        if price.highest_cents is not None:
            return price.highest_cents, currency, "remembered"
        if limits or rules.approval or rules.min_balance_cents is not None:
            raise PriceUnknown(_rule_that_needs_it(limits, rules))
        return None, currency, "unknown"

    @property
    def approval_rules(self) -> ApprovalRules | None:
        """When a user must approve the purchase; ``None`` if nobody must."""
        return self._rules.approval

    def approved_by(self, record: Record, reservation: Reservation, source: str, now: float) -> str:
        """
        Return the user that has approved the purchase; empty if nobody must. It only reads.

        :raises ApprovalNeeded: Nobody has, and a user must.
        """
        rules = self.approval_rules_for(reservation)
        if rules is None:
            return ""
        question = self.question(record, reservation, source, rules)
        approval = self._store.approval(question.code)
        if approval is None:
            raise ApprovalNeeded(question)
        if why := refusal_of(approval, question, now):
            raise ApprovalNeeded(question, why)
        return approval.approved_by

    def approval_rules_for(self, reservation: Reservation) -> ApprovalRules | None:
        """Return the rules of the approval that a reservation needs; ``None`` if it needs none."""
        rules, cents = self._rules.approval, reservation.cents
        return rules if rules and cents is not None and cents > rules.above_cents else None

    def question(self, record: Record, reservation: Reservation, source: str, rules: ApprovalRules) -> Question:
        """Return what a user would have to approve."""
        return Question.of(
            self._action,
            key=record.key,
            account=reservation.account or self._action.key_id,
            generation=record.generation,
            max_cents=reservation.cents or 0,
            currency=reservation.currency,
            price_from=source,
            rules=rules,
            requester=self._requester,
        )


def _with_what_was_reserved(record: Record, cents: int | None, currency: str) -> tuple[int | None, str]:
    """
    Return the worst case of a purchase that may have been sent before: it is never below that of the first request.

    :raises MixedCurrencies: The first request reserved another currency.
    """
    if record.reserved_cents is None:
        return cents, currency
    if currency not in ("", record.reserved_currency):
        raise MixedCurrencies(
            f"Nothing was sent: an earlier request reserved {amount(record.reserved_cents, record.reserved_currency)} "
            f"for this purchase, and a repeat in {currency} cannot be compared with that."
        )
    return max(cents or 0, record.reserved_cents), record.reserved_currency


def _rule_that_needs_it(limits: tuple[Limit, ...], rules: MoneyRules) -> str:
    if limits:
        return f"limit {limits[0].name!r} is in force"
    return "an approval is needed above a price" if rules.approval else "min_balance_cents is in force"
