"""Distortions: answers of the order book that are empty, contradict themselves, or use another notation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

LISTED = (
    *("OrderId", "BigDealId", "Status", "Action", "ResourceId", "ProductCode", "SubProductCode", "ZoneCode"),
    *("ProjectId", "TimeSpan", "TimeUnit", "CreateTime", "RealTotalCost", "VoucherDecline", "Currency"),
)
"""The fields of an order that the client reads, of which one can be distorted."""

MOST_ON_A_PAGE = 100
"""Orders a page of a server that lists no more, whatever the limit of the query."""

Answer = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """
    A query of the order book.

    :param limit: Orders a page.
    :param page: Number of the page, from 0.
    :param answer: Answers the same query honestly, for a limit and a page.
    """

    limit: int
    page: int
    answer: Callable[[int, int], Answer]


@dataclass(frozen=True)
class Distortion:
    """
    One way in which an order book can be wrong.

    :param of_answer: Distorts the whole answer.
    :param of_value: Distorts one field of every listed order: it returns the new value.
    """

    about: str
    of_answer: Callable[[Answer, Query], Answer] | None = None
    of_value: Callable[[Any], Any] | None = None


MISSING = object()
"""In place of a value: the field is left out."""


def distorted(answer: Answer, query: Query, distortion: str, field: str) -> Answer:
    """Return an answer as a distortion leaves it."""
    found = DISTORTIONS[distortion]
    if found.of_answer:
        return found.of_answer(answer, query)
    change = found.of_value or (lambda value: value)
    deals = answer.get("Deals")
    if not isinstance(deals, list):
        return answer
    return {**answer, "Deals": [_with(deal, field, change) if isinstance(deal, dict) else deal for deal in deals]}


def _with(deal: dict[str, Any], field: str, change: Callable[[Any], Any]) -> dict[str, Any]:
    changed = {**deal, field: change(deal.get(field))}
    return {name: value for name, value in changed.items() if value is not MISSING}


def _put(**fields: Any) -> Callable[[Answer, Query], Answer]:
    return lambda answer, query: {**answer, **fields}


def _without(*names: str) -> Callable[[Answer, Query], Answer]:
    return lambda answer, query: {name: value for name, value in answer.items() if name not in names}


def _count(count: Callable[[Any, Query], Any]) -> Callable[[Answer, Query], Answer]:
    return lambda answer, query: {**answer, "TotalCount": count(answer.get("TotalCount"), query)}


def _orders(change: Callable[[list[Any]], Any]) -> Callable[[Answer, Query], Answer]:
    def of_answer(answer: Answer, query: Query) -> Answer:
        deals = answer.get("Deals")
        return {**answer, "Deals": change(deals)} if isinstance(deals, list) else answer

    return of_answer


def _overlapping(answer: Answer, query: Query) -> Answer:
    pages = [query.answer(1, query.page + step) for step in (0, 1)]
    return {**answer, "Deals": [deal for page in pages for deal in page["Deals"]]}


def _plus(number: int) -> Callable[[Any, Query], Any]:
    return lambda count, query: count + number if isinstance(count, int) else count


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _float(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _iso(value: Any) -> Any:
    return f"{value[:10]}T{value[11:]}Z" if isinstance(value, str) and value[10:11] == " " else value


DISTORTIONS: Mapping[str, Distortion] = {
    "silent": Distortion("neither Deals nor TotalCount", _without("Deals", "TotalCount")),
    "no-deals": Distortion("no Deals", _without("Deals")),
    "no-count": Distortion("no TotalCount", _without("TotalCount")),
    "deals-null": Distortion("Deals is null, TotalCount is right", _put(Deals=None)),
    "deals-empty": Distortion("Deals is [], TotalCount is right", _put(Deals=[])),
    "deals-object": Distortion("Deals is {}, TotalCount is right", _put(Deals={})),
    "deals-text": Distortion('Deals is "", TotalCount is right', _put(Deals="")),
    "deals-of-null": Distortion("each order is null", _orders(lambda deals: [None for _ in deals])),
    "deals-of-nothing": Distortion("each order is {}", _orders(lambda deals: [{} for _ in deals])),
    "another-action": Distortion(
        "the answer of DescribeAccountBalance", lambda answer, query: {"Balance": 1, "Uin": 100000000001}
    ),
    "count-null": Distortion("TotalCount is null", _put(TotalCount=None)),
    "count-negative": Distortion("TotalCount is -1", _put(TotalCount=-1)),
    "count-zero": Distortion("TotalCount is 0, orders are listed", _put(TotalCount=0)),
    "count-low": Distortion("TotalCount is one less than there are", _count(_plus(-1))),
    "count-high": Distortion("TotalCount is one more than there are", _count(_plus(1))),
    "count-as-text": Distortion("TotalCount is text", _count(lambda count, query: str(count))),
    "count-changes": Distortion(
        "TotalCount grows with each page", _count(lambda count, query: _plus(query.page)(count, query))
    ),
    "capped": Distortion(
        f"at most {MOST_ON_A_PAGE} orders a page, whatever the limit of the query",
        lambda answer, query: query.answer(min(query.limit, MOST_ON_A_PAGE), query.page),
    ),
    "cut-pages": Distortion(
        f"at most {MOST_ON_A_PAGE} orders a page, and the rest of a longer page on none",
        _orders(lambda deals: deals[:MOST_ON_A_PAGE]),
    ),
    "one-a-page": Distortion("one order a page", lambda answer, query: query.answer(1, query.page)),
    "short-pages": Distortion(
        "one order less on each page than there should be", _orders(lambda deals: deals[: max(1, len(deals) - 1)])
    ),
    "same-page": Distortion("every page is the first one", lambda answer, query: query.answer(1, 0)),
    "overlapping": Distortion("two orders a page, each page begins with the last of the page before", _overlapping),
    "twice": Distortion(
        "each order is listed twice", _orders(lambda deals: [d for deal in deals for d in (deal, deal)])
    ),
    "missing": Distortion("the field is left out", of_value=lambda value: MISSING),
    "null": Distortion("the field is null", of_value=lambda value: None),
    "empty": Distortion('the field is ""', of_value=lambda value: ""),
    "list": Distortion("the field is a list", of_value=lambda value: [value]),
    "object": Distortion("the field is an object", of_value=lambda value: {"Value": value}),
    "text": Distortion("the field is text", of_value=str),
    "number": Distortion("the field is a number such as 100006", of_value=lambda value: 100006),
    "true": Distortion("the field is true", of_value=lambda value: True),
    "nan": Distortion("the field is NaN", of_value=lambda value: float("nan")),
    "negative": Distortion("the field is -1", of_value=lambda value: -1),
    "fraction": Distortion("the field is a quarter more", of_value=lambda value: _float(value) + 0.25),
    "overflow": Distortion("the field is 9223372036854775808", of_value=lambda value: 2**63),
    "huge": Distortion("the field is 1e308", of_value=lambda value: 1e308),
    "upper-case": Distortion("the field is in upper case", of_value=lambda value: _text(value).upper()),
    "blanks": Distortion("the field has blanks around it", of_value=lambda value: f"\t {_text(value)} \n"),
    "another-word": Distortion("the field has a word of another notation", of_value=lambda value: "Something Else"),
    "absurd-time": Distortion("the field is 0000-00-00 00:00:00", of_value=lambda value: "0000-00-00 00:00:00"),
    "long-ago": Distortion("the field is 2001-01-01 00:00:00", of_value=lambda value: "2001-01-01 00:00:00"),
    "iso-time": Distortion("the time is in ISO 8601", of_value=_iso),
}
"""By name. Those of a field distort the same field of every order."""
