"""
Approval: the consent of a named user to one payload at one price, and the reasons why a consent does not count.

A code binds the consent to its purchase. It is a hash over the account, the server, the purchase's key, the generation
of its token, the fingerprint of its payload, and the highest price. Whatever of these changes, the code changes, and an
approval of the code before approves nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.api.fingerprint import fingerprint_of
from airflow_provider_tcbilling.api.json_text import canonical_json
from airflow_provider_tcbilling.api.text import amount, harmless
from airflow_provider_tcbilling.purchasing.key import key_bytes

if TYPE_CHECKING:
    from airflow_provider_tcbilling.purchasing.money_action import MoneyAction
    from airflow_provider_tcbilling.purchasing.money_rules import ApprovalRules

MAX_CENTS = 2**63 - 1
"""The highest price that is approved: a database keeps no greater number."""

UNKNOWN_REQUESTER = "?"
"""A user requested the purchase, and nothing says which one."""

CLOCK_MARGIN = 60.0
"""Seconds by which an approval may be given later than now: two clocks differ."""

_PURPOSE = "airflow-provider-tcbilling approval 1"
_FROM, _TO = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_GROUPS, _GROUP = 5, 4

_NOBODY = frozenset({"", "anonymous", "none", "null", UNKNOWN_REQUESTER})
"""Names, in lower case, that name no user: a server without logins answers with such a name."""


def code_of(
    *, account: str, endpoint: str, key: str, generation: int, fingerprint: str, max_cents: int, currency: str
) -> str:
    """
    Return the code of a purchase at a price, such as ``7F3K-9QXM-02TZ-6VBC-H1ND``: 100 bits, without I, L, O and U.

    :param account: Number of the account; empty if the key may not read it.
    :param endpoint: Address of the API, in whichever spelling.
    :param generation: How often the purchase was refused, definitely and uncharged.
    :param fingerprint: The payload's, from :func:`payload_fingerprint`.
    :param max_cents: The most that it may cost, in 1/100 of *currency*.
    :raises InvalidRequest: The price is no price, or there is no currency. Nothing was sent.
    """
    key_bytes(key)
    if type(max_cents) is not int or not 0 <= max_cents <= MAX_CENTS:
        raise InvalidRequest("The price to approve", [f"{harmless(max_cents)} is not from 0 to {MAX_CENTS} cents"])
    if not isinstance(currency, str) or not currency.strip():
        raise InvalidRequest("The price to approve", ["it has no currency"])
    return _code_of([_PURPOSE, account, server_name(endpoint), key, generation, fingerprint, max_cents, currency])


def code_of_batch(codes: Sequence[str]) -> str:
    """Return the code of purchases that are approved together, in whatever order their codes stand."""
    return _code_of([_PURPOSE, sorted(codes)])


def payload_fingerprint(action: MoneyAction) -> str:
    """
    Return the fingerprint that a code binds: the hash of all that the approver is shown, and a seal of the rest.

    A payload with a secret in it is sealed with a permanent SecretKey as well, so that an edit of the secret counts. A
    temporary key is another one within hours, so where all keys are temporary only the parts that are shown count.
    """
    fingerprint = fingerprint_of_shown(action.action.name, action.payload_shown)
    return f"{fingerprint} {action.fingerprint}" if action.secrets and action.has_lasting_seal else fingerprint


def fingerprint_of_shown(action: str, payload_shown: Mapping[str, Any]) -> str:
    """Return the hash of a request without its secrets. A reader of the request can compute it."""
    return f"shown:{fingerprint_of(action, payload_shown)}"


@dataclass(frozen=True)
class Question:
    """
    The question whether a purchase may be paid, complete: what is bought, at which price, and who may answer.

    :param code: Binds the answer to all of it.
    :param key: Name of the purchase.
    :param account: Number of the account; empty if the key may not read it.
    :param endpoint: Address of the API.
    :param action: The API operation, such as ``CreateInstance``.
    :param payload_shown: The request without its secrets.
    :param max_cents: The most that it may cost, in 1/100 of *currency*.
    :param price_from: The source of that price: ``max_cents``, the purchase's own limit, or ``remembered``, the
        highest price of earlier orders of the same.
    :param generation: How often the purchase was refused, definitely and uncharged.
    :param fingerprint: The payload's, from :func:`payload_fingerprint`.
    :param rules: The users who may approve, and the time for which it counts.
    :param requester: The user who requested the purchase; empty if no user did, :data:`UNKNOWN_REQUESTER` if nothing
        says which one.
    """

    code: str
    key: str
    account: str
    endpoint: str
    action: str
    payload_shown: Mapping[str, Any] = field(hash=False)
    max_cents: int
    currency: str
    price_from: str
    generation: int
    fingerprint: str
    rules: ApprovalRules
    requester: str = ""

    @classmethod
    def of(
        cls,
        action: MoneyAction,
        *,
        key: str,
        account: str,
        generation: int,
        max_cents: int,
        currency: str,
        price_from: str,
        rules: ApprovalRules,
        requester: str = "",
    ) -> Question:
        """
        Return the question about an action, with its code.

        :raises InvalidRequest: The price is no price, or there is no currency. Nothing was sent.
        """
        bound: dict[str, Any] = {
            "account": account,
            "endpoint": action.endpoint,
            "key": key,
            "generation": generation,
            "fingerprint": payload_fingerprint(action),
            "max_cents": max_cents,
            "currency": currency,
        }
        return cls(
            code=code_of(**bound),
            action=action.action.name,
            payload_shown=action.payload_shown,
            price_from=price_from,
            rules=rules,
            requester=requester,
            **bound,
        )

    @property
    def own_code(self) -> str:
        """The code of what this question says, whatever :attr:`code` says."""
        return code_of(
            account=self.account,
            endpoint=self.endpoint,
            key=self.key,
            generation=self.generation,
            fingerprint=self.fingerprint,
            max_cents=self.max_cents,
            currency=self.currency,
        )

    @property
    def is_as_shown(self) -> bool:
        """Whether the code is that of this question, and its fingerprint is that of the request that is shown."""
        shown, _, _ = self.fingerprint.partition(" ")
        return self.code == self.own_code and shown == fingerprint_of_shown(self.action, self.payload_shown)

    @property
    def price(self) -> str:
        """The most that it may cost, such as ``100.00 USD``."""
        return amount(self.max_cents, self.currency)

    def approved(self, approved_by: str, approved_at: float) -> Approval:
        """
        Return the approval that an answer gives. :func:`refusal_of` says whether it counts.

        :param approved_at: Epoch seconds.
        """
        valid_until = approved_at + self.rules.valid_for
        return Approval(self.code, self.key, self.max_cents, self.currency, approved_by, approved_at, valid_until)


@dataclass(frozen=True)
class Approval:
    """
    A user's consent to one purchase at one price.

    :param code: That of the question.
    :param key: Name of the purchase.
    :param cents: The most that it may cost, in 1/100 of *currency*.
    :param approved_by: Name of the user.
    :param approved_at: Epoch seconds.
    :param valid_until: Epoch seconds.
    """

    code: str
    key: str
    cents: int
    currency: str
    approved_by: str
    approved_at: float
    valid_until: float


def refusal_of(approval: Approval, question: Question, now: float) -> str:
    """
    Return why an approval does not count for a question; empty if it does.

    :param approval: From the ledger, or made of an answer.
    :param question: About the purchase as it is now.
    :param now: Epoch seconds, by the clock of the ledger.
    """
    return (
        _other_purchase(approval, question)
        or _other_time(approval, question, now)
        or refusal_of_user(approval.approved_by, question.rules, question.requester)
    )


def refusal_of_user(name: Any, rules: ApprovalRules, requester: str) -> str:
    """Return why a user may not approve; empty if the user may."""
    if not is_named(name):
        return "no named user has approved it"
    if rules.approvers and name not in rules.approvers:
        return f"{harmless(name, 100)} is not one of the approvers"
    if rules.not_by_requester and requester == UNKNOWN_REQUESTER:
        return "nothing says which user requested it, and that user may not approve it"
    if rules.not_by_requester and _folded(name) == _folded(requester):
        return f"{harmless(name, 100)} requested it, and may not approve it as well"
    return ""


def is_named(name: Any) -> bool:
    """Whether a name is that of a user."""
    return isinstance(name, str) and _folded(name) not in _NOBODY


def _other_purchase(approval: Approval, question: Question) -> str:
    if approval.key != question.key:
        return "the approval is of another purchase"
    if (approval.cents, approval.currency) != (question.max_cents, question.currency):
        approved = harmless(amount(approval.cents, approval.currency), 100)
        return f"{approved} was approved, and it may cost {harmless(question.price, 100)}"
    if approval.code != question.own_code:
        return "the approval is of another payload, account, server or generation of this purchase"
    return ""


def _other_time(approval: Approval, question: Question, now: float) -> str:
    # A number that is none compares as False, so that each comparison must hold.
    if not approval.approved_at <= now + CLOCK_MARGIN:
        return "the approval is of a moment that is still to come"
    if not (now < approval.valid_until and now < approval.approved_at + question.rules.valid_for):
        return "the approval has expired"
    return ""


def _code_of(bound: Sequence[Any]) -> str:
    digest = hashlib.sha256(canonical_json(bound).encode()).digest()
    text = base64.b32encode(digest).translate(bytes.maketrans(_FROM, _TO)).decode()
    return "-".join(text[start : start + _GROUP] for start in range(0, _GROUPS * _GROUP, _GROUP))


def _folded(name: str) -> str:
    return name.strip().casefold()
