"""
Every fact about the operations of the Tencent Cloud Billing API, once.

The client's checks, the sandbox's checks, the reference page and the conformance tests all read these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from airflow_provider_tcbilling.api.schema import Action, Field, Kind, Replay
from airflow_provider_tcbilling.api.text import NUMBER
from airflow_provider_tcbilling.api.values import RenewFlag

SERVICE = "billing"
VERSION = "2018-07-09"
ENDPOINT = "https://billing.intl.tencentcloudapi.com"
"""The international site. Keys of the mainland site work only at https://billing.tencentcloudapi.com."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""Names of this machine itself: a sandbox runs there, without TLS and never through a proxy."""

REQUESTS_PER_SECOND = 20
"""For each action, access region and sub-account; all machines, other tools and the console share it."""

SENT_PER_SECOND = 18.5
"""The rate limit of this package: a little less, since requests arrive less evenly than they are sent."""

ORDER_BOOK_DAYS = 89
"""How far back orders are searched; the server recommends a span of at most three months."""

PERIOD_UNITS = ("m", "y")
RENEW_FLAGS = tuple(flag.value for flag in RenewFlag)

_TIME = (r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}", "a time written as YYYY-MM-DD hh:mm:ss")
_PAGES = "https://www.tencentcloud.com/document/api/555"
_TRADE = "finance:trade (the page prints finace:trade, a typo)"
_RENEWALS = "QcloudFinanceRenewManageFullAccess"

_CLIENT_TOKEN = Field(
    "ClientToken",
    Kind.TEXT,
    "Idempotency key of one purchase, case-sensitive. How long the server remembers it is not documented.",
    required=True,
    max_length=64,
    is_ascii=True,
)
_PRODUCT_CODE = Field("ProductCode", Kind.TEXT, "Layer-1 product code, such as p_cloudfirewall.", required=True)
_SUB_PRODUCT_CODE = Field(
    "SubProductCode", Kind.TEXT, "Layer-2 product code, such as sp_cloudfirewall_svv1.", required=True
)
_REGION_CODE = Field("RegionCode", Kind.TEXT, "Region of the instance, such as ap-guangzhou.", required=True)
_INSTANCE_ID = Field(
    "InstanceId",
    Kind.TEXT,
    "The instance, exactly one.",
    required=True,
    pattern=(r"[^\s,;]+", "the id of exactly one instance"),
)
_PERIOD = Field("Period", Kind.INTEGER, "Length of the subscription, in PeriodUnit.", default=1, minimum=1, maximum=36)
_PERIOD_UNIT = Field("PeriodUnit", Kind.TEXT, "m for months, y for years.", default="m", choices=PERIOD_UNITS)
_RENEW_FLAG = Field(
    "RenewFlag",
    Kind.TEXT,
    "What happens when the subscription ends.",
    default=RenewFlag.MANUAL.value,
    choices=RENEW_FLAGS,
)
_ORDER_ID_LIST = Field("OrderIdList", Kind.TEXTS, "The orders that were placed.", required=True, pattern=NUMBER)

CREATE_INSTANCE = Action(
    name="CreateInstance",
    about="Places an order for a prepaid product and pays it from the account balance, at once.",
    replay=Replay.WITH_TOKEN,
    permission=_TRADE,
    url=f"{_PAGES}/77176",
    fields=(
        _CLIENT_TOKEN,
        _PRODUCT_CODE,
        _SUB_PRODUCT_CODE,
        _REGION_CODE,
        Field("ZoneCode", Kind.TEXT, "Zone of the instance, such as ap-guangzhou-1.", required=True),
        Field("PayMode", Kind.TEXT, "PrePay, the only mode there is.", required=True, choices=("PrePay",)),
        Field(
            "Parameter",
            Kind.JSON,
            "What exactly is bought, as a JSON object in a string. Its fields are the product's own.",
            required=True,
            mirrors=MappingProxyType(
                {
                    "timeSpan": "Period",
                    "timeUnit": "PeriodUnit",
                    "goodsNum": "Quantity",
                    "productCode": "ProductCode",
                    "subProductCode": "SubProductCode",
                }
            ),
        ),
        Field("Quantity", Kind.INTEGER, "How many to buy; no maximum is documented.", default=1, minimum=1),
        Field("ProjectId", Kind.INTEGER, "Project that the cost is booked on.", default=0, minimum=0),
        _PERIOD,
        _PERIOD_UNIT,
        _RENEW_FLAG,
    ),
    answer=(
        Field("OrderId", Kind.TEXT, "The order's number.", required=True, pattern=NUMBER),
        Field("InstanceIdList", Kind.TEXTS, "The instances; empty or null while delivery is under way."),
    ),
)

RENEW_INSTANCE = Action(
    name="RenewInstance",
    about="Renews one instance and pays from the account balance, at once. Every renewal adds a period.",
    replay=Replay.AFTER_A_LOOK,
    permission=_TRADE,
    url=f"{_PAGES}/77178",
    fields=(
        _CLIENT_TOKEN,
        _PRODUCT_CODE,
        _SUB_PRODUCT_CODE,
        _REGION_CODE,
        _INSTANCE_ID,
        _PERIOD,
        _PERIOD_UNIT,
    ),
    answer=(_ORDER_ID_LIST,),
)

REFUND_INSTANCE = Action(
    name="RefundInstance",
    about="Gives one instance back. Only money that was really paid is refunded; used vouchers are lost.",
    replay=Replay.AFTER_A_LOOK,
    permission="finance:RefundInstance (the page prints finace:RefundInstance, a typo)",
    url=f"{_PAGES}/77180",
    fields=(_CLIENT_TOKEN, _PRODUCT_CODE, _SUB_PRODUCT_CODE, _INSTANCE_ID, _REGION_CODE),
    answer=(_ORDER_ID_LIST,),
)

SET_RENEWAL = Action(
    name="SetRenewal",
    about="Sets what happens when the subscription of one instance ends.",
    replay=Replay.SAFE,
    permission=_RENEWALS,
    url=f"{_PAGES}/78444",
    fields=(
        _PRODUCT_CODE,
        _REGION_CODE,
        _INSTANCE_ID,
        replace(_RENEW_FLAG, required=True, default=None),
        Field(
            "RenewPeriod",
            Kind.TEXT,
            "Length of each automatic renewal, a number written as text: 1 to 11 months or 1 to 5 years.",
            pattern=(r"[1-9][0-9]?", "a whole number from 1 on, as text"),
        ),
        replace(_PERIOD_UNIT, name="RenewPeriodUnit", default=None),
    ),
    answer=(Field("InstanceList", Kind.OBJECTS, "The instances for which it FAILED; empty is success."),),
)

DESCRIBE_RENEW_INSTANCES = Action(
    name="DescribeRenewInstances",
    about="Lists instances with their expiry and their renew flag, one page after another.",
    replay=Replay.SAFE,
    permission=_RENEWALS,
    url=f"{_PAGES}/78424",
    fields=(
        Field("MaxResults", Kind.INTEGER, "Instances a page.", required=True, minimum=1, maximum=100),
        Field("NextToken", Kind.TEXT, "Where the page starts; taken from the page before."),
        Field("Reverse", Kind.BOOLEAN, "Latest expiry first.", default=False),
        Field("RenewFlagList", Kind.TEXTS, "Only instances with one of these flags.", choices=RENEW_FLAGS),
        Field("InstanceIdList", Kind.TEXTS, "Only these instances.", max_items=100),
        Field(
            "ExpireTimeStart",
            Kind.TEXT,
            "Only instances that expire at this time or later.",
            pattern=_TIME,
        ),
        Field(
            "ExpireTimeEnd",
            Kind.TEXT,
            "Only instances that expire at this time or earlier.",
            pattern=_TIME,
        ),
    ),
    answer=(
        Field("InstanceList", Kind.OBJECTS, "The instances of this page.", required=True),
        Field("NextToken", Kind.TEXT, "Where the next page starts; null on the last."),
    ),
)

DESCRIBE_DEALS_BY_COND = Action(
    name="DescribeDealsByCond",
    about="Lists orders with their status, cost and delivered instances.",
    replay=Replay.SAFE,
    permission="QCloudFinanceFullAccess or narrower (the page names none)",
    url=f"{_PAGES}/67735",
    fields=(
        Field(
            "StartTime",
            Kind.TEXT,
            "Orders from this time on. Without zone; probably UTC+8.",
            required=True,
            pattern=_TIME,
        ),
        Field(
            "EndTime",
            Kind.TEXT,
            "Orders up to this time, which may lie ahead. At most 3 months after StartTime is recommended.",
            required=True,
            pattern=_TIME,
        ),
        Field(
            "Limit",
            Kind.INTEGER,
            "Orders a page. Above 200 the instances come back as null.",
            required=True,
            default=20,
            minimum=1,
            maximum=1000,
        ),
        Field("Offset", Kind.INTEGER, "The page's number, from 0: not a count of orders.", default=0, minimum=0),
        Field("Status", Kind.INTEGER, "Only this status. Absent, only delivered orders are listed.", default=4),
        Field("OrderId", Kind.TEXT, "Only this sub-order."),
        Field("BigDealId", Kind.TEXT, "Only the sub-orders of this big deal."),
        Field("ResourceId", Kind.TEXT, "Only the orders of this instance."),
        Field("StatusSet", Kind.INTEGERS, "Only these statuses."),
    ),
    answer=(
        Field("Deals", Kind.OBJECTS, "The orders of this page; may be null."),
        Field("TotalCount", Kind.INTEGER, "How many orders there are on all pages."),
    ),
)

DESCRIBE_ACCOUNT_BALANCE = Action(
    name="DescribeAccountBalance",
    about="Shows how much the account can spend.",
    replay=Replay.SAFE,
    permission="QCloudFinanceFullAccess or narrower (the page names none)",
    url=f"{_PAGES}/20253",
    fields=(Field("TempCredit", Kind.BOOLEAN, "List temporary credit too."),),
    answer=(
        Field("Balance", Kind.INTEGER, "Prepaid money, in cents."),
        Field("Uin", Kind.INTEGER, "The account's number.", required=True),
    ),
)

ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        action.name: action
        for action in (
            CREATE_INSTANCE,
            RENEW_INSTANCE,
            REFUND_INSTANCE,
            SET_RENEWAL,
            DESCRIBE_RENEW_INSTANCES,
            DESCRIBE_DEALS_BY_COND,
            DESCRIBE_ACCOUNT_BALANCE,
        )
    }
)
