"""The answers of the billing API: orders, deals, their status, instances with their expiry, the balance."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from airflow_provider_tcbilling.api.actions import RENEW_FLAGS
from airflow_provider_tcbilling.api.reading import cents_of, number_of, whole_of
from airflow_provider_tcbilling.api.text import INSTANCE_ID, NUMBER, harmless, harmless_object, inert, matching
from airflow_provider_tcbilling.api.values import RenewFlag

MAX_CODE = 64
"""Characters of a code, a flag, a time or a currency."""

MAX_NAME = 240
"""Characters of an instance's name: with a prefix it fits into the 250 that a label may have."""

log = logging.getLogger(__name__)


class DealStatus(IntEnum):
    """
    Where an order stands. Numbers outside this list exist (13 and 30 on the mainland site) and count as open.

    https://www.tencentcloud.com/document/api/555/67735
    """

    UNPAID = 1
    PAID = 2
    DELIVERING = 3
    DELIVERED = 4
    DELIVERY_FAILED = 5
    REFUNDED = 6
    CLOSED = 7
    EXPIRED = 8
    INVALIDATED = 9
    PRODUCT_INVALIDATED = 10
    PAYMENT_REFUSED = 11
    PAYMENT_IN_PROCESS = 12


ENDINGS: Mapping[int, str] = {
    DealStatus.DELIVERY_FAILED: "the account was charged; the vendor may still deliver or refund it by itself",
    DealStatus.REFUNDED: "the paid part went back to the account",
    DealStatus.CLOSED: "it was cancelled; look in the console whether anything was charged",
    DealStatus.EXPIRED: "it was not paid in time",
    DealStatus.INVALIDATED: "look in the console whether anything was charged",
    DealStatus.PRODUCT_INVALIDATED: "the product is no longer sold; look in the console whether anything was charged",
    DealStatus.PAYMENT_REFUSED: "the third party refused to pay, so nothing was charged",
}
"""The statuses in which a purchase has ended without delivery, and the meaning of each for the money."""


@dataclass(frozen=True)
class Order:
    """
    An order, with the facts that a purchase hands on.

    :param order_id: Tencent's order number.
    :param instance_ids: The bought instances; empty while delivery is under way.
    :param client_token: The idempotency key that bought it; ``None`` for an order of another origin.
    :param request_id: The request that bought it, for the support desk; ``None`` likewise.
    :param paid_cents: Money that was really paid, in 1/100 of *currency*; ``None`` until the order book was read.
    :param currency: As the order book names it, for example ``USD``; ``None`` likewise.
    :param voucher_cents: Paid with vouchers, in 1/100 of *currency*; ``None`` likewise.
    """

    order_id: str
    instance_ids: tuple[str, ...] = ()
    client_token: str | None = None
    request_id: str | None = None
    paid_cents: int | None = None
    currency: str | None = None
    voucher_cents: int | None = None

    @classmethod
    def from_wire(cls, answer: Mapping[str, Any], client_token: str) -> Order:
        """
        Read a successful answer of an action that spends; the order number is kept, however odd the rest is.

        :raises LookupError: It names no order.
        :raises ValueError: The number that it names cannot be one.
        """
        named = answer["OrderId"] if "OrderId" in answer else answer["OrderIdList"][0]
        if not (order_id := matching(named, NUMBER)):
            raise ValueError("the order's number is none")
        return cls(
            order_id=order_id,
            instance_ids=_instance_ids(answer.get("InstanceIdList")),
            client_token=client_token,
            request_id=matching(answer.get("RequestId"), NUMBER),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the order as plain JSON types, for XCom; its vouchers are only in the record."""
        shown = {**vars(self), "instance_ids": list(self.instance_ids)}
        del shown["voucher_cents"]
        return shown

    @property
    def gross_cents(self) -> int | None:
        """Its price before vouchers, in 1/100 of *currency*; ``None`` if the order book shows none that can be one."""
        gross = total_of((self.paid_cents, self.voucher_cents))
        return None if gross is None or min(gross, self.paid_cents or 0, self.voucher_cents or 0) < 0 else gross


@dataclass(frozen=True)
class Deal:
    """
    One sub-order as DescribeDealsByCond lists it; only the fields that this package reads.

    :param shown: The whole row as the server sent it, for comparisons.
    :param resource_ids: The delivered instances; empty when the server says null, as it does above 200 deals a page.
    :param order_id: Its number; empty if the server sends none, or something that cannot be one. So is *big_deal_id*.
    :param created_at: ``YYYY-MM-DD hh:mm:ss`` without zone, as the server wrote it (its zone is not documented).
    :param status: 0, which is no ending, if the server sends none, or something that cannot be one.
    :param paid_cents: Money that was really paid, in 1/100 of *currency*; of a refund, money that came back (its sign
        is not documented).
        ``None`` if its notation is not known.
    :param voucher_cents: Paid with vouchers, in 1/100 of *currency*; a refund does not return it. ``None`` likewise.
    """

    order_id: str
    big_deal_id: str
    status: int
    action: str
    resource_ids: tuple[str, ...]
    created_at: str
    paid_cents: int | None
    voucher_cents: int | None
    currency: str
    product_code: str = ""
    sub_product_code: str = ""
    project_id: int = 0
    zone_code: str = ""
    time_span: int = 0
    time_unit: str = ""
    shown: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_wire(cls, deal: Any) -> Deal:
        """
        Read a ``Deal`` object. A field that is missing, null or unreadable reads as empty, an unknown field is ignored.

        So does a row that is no object: nothing is raised, since the other rows must still be read.
        """
        deal = deal if isinstance(deal, Mapping) else {}
        return cls(
            order_id=_number(deal.get("OrderId")),
            big_deal_id=_number(deal.get("BigDealId")),
            status=whole_of(deal.get("Status")) or 0,
            action=_code(deal.get("Action")).lower(),
            resource_ids=_instance_ids(deal.get("ResourceId")),
            created_at=_code(deal.get("CreateTime")),
            paid_cents=cents_of(deal.get("RealTotalCost")),
            voucher_cents=cents_of(deal.get("VoucherDecline")),
            currency=_code(deal.get("Currency")),
            product_code=_code(deal.get("ProductCode")),
            sub_product_code=_code(deal.get("SubProductCode")),
            project_id=whole_of(deal.get("ProjectId")) or 0,
            zone_code=_code(deal.get("ZoneCode")),
            time_span=whole_of(deal.get("TimeSpan")) or 0,
            time_unit=_code(deal.get("TimeUnit")),
            shown=deal,
        )

    @property
    def status_words(self) -> str:
        """The status in words and as a number; an undocumented number counts as unknown."""
        return status_words(self.status)


class Deals(list[Deal]):
    """
    One page of the order book.

    :param total: How many orders all pages have, as the server says; the pages may say something else.
    """

    def __init__(self, deals: Iterable[Deal] = (), total: int = 0) -> None:
        super().__init__(deals)
        self.total = total

    @classmethod
    def from_wire(cls, answer: Mapping[str, Any]) -> Deals:
        """
        Read the answer of DescribeDealsByCond. An order that cannot be read hides none of the others.

        :raises LookupError: A required field is missing.
        :raises ValueError: It holds something else.
        """
        deals, total = answer["Deals"], answer["TotalCount"]
        total = whole_of(total)
        if total is None or total < 0:
            raise ValueError("TotalCount is no count")
        if not isinstance(deals, list) and not (deals is None and total == 0):
            raise ValueError(f"Deals is no list, and TotalCount {total}")
        if deals and not any(map(_is_readable, deals)):
            raise ValueError("not one of the orders can be read")
        return cls(map(Deal.from_wire, deals or ()), total)


def _is_readable(deal: Any) -> bool:
    """Whether a row is an order with a status that can be one, or without."""
    return isinstance(deal, Mapping) and (deal.get("Status") in (None, "") or whole_of(deal["Status"]) is not None)


@dataclass(frozen=True)
class RenewableInstance:
    """
    One instance as DescribeRenewInstances lists it. A field that is missing or null reads as empty.

    :param expire_time: ``YYYY-MM-DD hh:mm:ss`` without zone, as the server wrote it (its zone is not documented).
    :param status: One of :class:`~airflow_provider_tcbilling.api.values.InstanceState`, or another text of the server.
    :param renew_flag: The action at the expiry: one of :class:`~airflow_provider_tcbilling.api.values.RenewFlag`,
        or another text of the server.
    :param instance_name: As the user wrote it; bounded, and its control characters are visible.
    :param renew_period: Length of each automatic renewal in *renew_period_unit*; 0 if the server does not say it.
    """

    instance_id: str
    product_code: str
    sub_product_code: str
    region_code: str
    status: str
    renew_flag: str
    expire_time: str
    instance_name: str
    renew_period: int
    renew_period_unit: str

    @classmethod
    def from_wire(cls, listed: Mapping[str, Any]) -> RenewableInstance:
        """
        Read a ``RenewInstance`` object; an unknown field is ignored.

        :raises ValueError: The id that it names cannot be one.
        """
        if not (instance_id := _id_of(listed)):
            raise ValueError("the instance's id is none")
        return cls(
            instance_id=instance_id,
            product_code=_code(listed.get("ProductCode")),
            sub_product_code=_code(listed.get("SubProductCode")),
            region_code=_code(listed.get("RegionCode")),
            status=_code(listed.get("Status")),
            renew_flag=_code(listed.get("RenewFlag")),
            expire_time=_code(listed.get("ExpireTime")),
            instance_name=harmless(listed.get("InstanceName") or "", MAX_NAME),
            renew_period=whole_of(listed.get("RenewPeriod")) or 0,
            renew_period_unit=_code(listed.get("RenewPeriodUnit")),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types. A template engine may render it: the name is :func:`inert`, too."""
        return {**vars(self), "instance_name": inert(self.instance_name, MAX_NAME)}

    def renewal_arguments(self) -> dict[str, str]:
        """
        Return the arguments of its renewal by Python name: the expiry too, so that it is renewed once.

        A template engine may render them, so the name is :func:`inert`, like the rest.
        """
        names = ("product_code", "sub_product_code", "region_code", "instance_id", "expire_time", "instance_name")
        values = self.as_dict()
        return {name: values[name] for name in names}

    @property
    def renews_by_itself(self) -> bool | None:
        """Whether the vendor will renew it; ``None`` where the flag is missing or not documented."""
        return self.renew_flag == RenewFlag.AUTO if self.renew_flag in RENEW_FLAGS else None


@dataclass(frozen=True)
class Balance:
    """
    The money that the account can spend.

    :param uin: The account's number.
    :param balance_cents: Prepaid money, in 1/100 of the account's currency (the API does not name it).
    :param spendable_cents: Prepaid money and credit that is left, less frozen money.
    """

    uin: int
    balance_cents: int
    spendable_cents: int

    @classmethod
    def from_wire(cls, answer: Mapping[str, Any]) -> Balance:
        """
        Read the answer of DescribeAccountBalance; fractions of a cent are cut off, in the careful direction.

        :raises ValueError: It holds no balance.
        """
        balance = number_of(answer.get("Balance"))
        if balance is None:
            raise ValueError("Balance is no number")
        spendable = number_of(answer.get("RealCreditBalance"))
        return cls(answer["Uin"], math.floor(balance), math.floor(balance if spendable is None else spendable))


def status_words(status: int) -> str:
    """Write a status in words and as a number: ``delivered (4)``, ``unknown status (77)``."""
    try:
        name = DealStatus(status).name.lower().replace("_", " ")
    except ValueError:
        name = "unknown status"
    return f"{name} ({status})"


def _instance_ids(listed: Any) -> tuple[str, ...]:
    """Return the valid ids; one id as a text counts as a list of it, and any other value as empty."""
    ids = [listed] if isinstance(listed, str) else listed if isinstance(listed, (list, tuple)) else ()
    return tuple(instance_id for one in ids if (instance_id := matching(one, INSTANCE_ID)))


def instances_of(answer: Mapping[str, Any]) -> tuple[list[RenewableInstance], str | None]:
    """
    Read a page of instances, and where the next one starts: ``None`` on the last.

    An instance whose id cannot be one is left out, with a warning: nothing can name it.

    :raises TypeError: The list of instances is no list.
    :raises ValueError: It does not say whether there is another page.
    """
    listed, cursor = answer["InstanceList"], answer.get("NextToken")
    if not isinstance(listed, list) or not isinstance(cursor, (str, type(None))):
        raise TypeError("this is no page")
    instances = []
    for one in listed:
        if isinstance(one, Mapping) and _id_of(one):
            instances.append(RenewableInstance.from_wire(one))
        else:
            log.warning("An instance is left out of the list, because its id is none: %s", harmless(one))
    return instances, cursor or None


def failures_of(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """
    Read the instances for which SetRenewal failed; the list is left out, or null, where there are none.

    :raises TypeError: It is no list.
    """
    listed = answer.get("InstanceList")
    if not isinstance(listed, (list, type(None))):
        raise TypeError("InstanceList is no list")
    return [harmless_object(one) for one in listed or ()]


def total_of(cents: Iterable[int | None]) -> int | None:
    """Return a sum of money; ``None`` if a part of it is not known."""
    parts = list(cents)
    return None if None in parts else sum(filter(None, parts))


def _id_of(listed: Mapping[str, Any]) -> str:
    value = listed.get("InstanceId")
    return matching(value.strip() if isinstance(value, str) else value, INSTANCE_ID)


def _number(value: Any) -> str:
    """Return the number of an order without the blanks around it, empty if it is none, or zero."""
    number = matching(value.strip() if isinstance(value, str) else value, NUMBER)
    return number if number.strip("0") else ""


def _code(value: Any) -> str:
    """Return a code, a flag or a time as it is; of another notation a text that equals none and is inert."""
    return "" if value is None else inert(value.strip() if isinstance(value, str) else value, MAX_CODE)


def unique(ids: Iterable[str]) -> tuple[str, ...]:
    """Return the ids in order of their first appearance."""
    return tuple(dict.fromkeys(ids))
