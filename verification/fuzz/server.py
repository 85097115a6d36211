"""A server that answers anything, drawn from a seed, below the whole client: instead of a socket it has a text."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from email.utils import formatdate
from typing import Any
from unittest import mock

import pytest

from airflow_provider_tcbilling.api import exchange
from airflow_provider_tcbilling.api.errors import OutcomeUnknown
from airflow_provider_tcbilling.api.values import DealAction
from tests.support.answers import Answer, posting
from verification.fuzz.values import Draw

NOW = 1_796_000_000.0
_NOW = formatdate(NOW, usegmt=True)
PRODUCT: dict[str, Any] = {
    "product_code": "p_cloudfirewall",
    "sub_product_code": "sp_cloudfirewall_svv1",
    "region_code": "ap-guangzhou",
}
ORDER: dict[str, Any] = {**PRODUCT, "zone_code": "ap-guangzhou-6", "parameter": {"pid": 1002147}}
MONEY = ("CreateInstance", "RenewInstance", "RefundInstance")

CODES = (
    *("AuthFailure.SignatureExpire", "AuthFailure.SecretIdNotFound", "UnauthorizedOperation", "InternalError"),
    *(
        "FailedOperation.BalanceInsufficient",
        "FailedOperation.PaySuccDeliverFailed",
        "RequestLimitExceeded",
        "Nobody.Knows",
    ),
)
DATES = ("", "Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "x", "Mon, 30 Nov 2026 10:00:00 -0000")
LOCATIONS = ("http://[::1", "//\xff", "http://a:99999999/", "/", "", "ftp://x", "http://" + "a" * 300)
STATUSES = (
    "200 OK",
    "204 x",
    "302 Found",
    "301 x",
    "307 x",
    "404 x",
    "407 x",
    "500 x",
    "502 x",
    "999 x",
    "102 x",
    "100 Continue",
)


def deal(number: int, **changes: Any) -> dict[str, Any]:
    """Return an order as the order book lists it."""
    numbers = {"OrderId": f"2026113000000{number}", "BigDealId": f"2026113000001{number}"}
    bought = {
        "ProductCode": "p_cloudfirewall",
        "SubProductCode": "sp_cloudfirewall_svv1",
        "ResourceId": [f"ins-{number}"],
    }
    money = {"RealTotalCost": 10000, "VoucherDecline": 0, "Currency": "USD", "ProjectId": 0}
    when = {"CreateTime": "2026-11-30 08:53:20", "TimeSpan": 1, "TimeUnit": "m", "Status": 4, "Action": "purchase"}
    return {**numbers, **bought, **money, **when, "ZoneCode": "ap-guangzhou-6", **changes}


def instance(number: int) -> dict[str, Any]:
    """Return an instance as the renewal page lists it."""
    return {
        "InstanceId": f"ins-{number}", "ProductCode": "p_cloudfirewall", "SubProductCode": "sp_cloudfirewall_svv1",
        "RegionCode": "ap-guangzhou", "Status": "NORMAL", "RenewFlag": "NOTIFY_AND_MANUAL_RENEW",
        "ExpireTime": "2026-12-05 00:00:00", "InstanceName": "edge", "RenewPeriod": 1, "RenewPeriodUnit": "m",
    }  # fmt: skip


def honest(action: str, draw: Draw, book: Sequence[Any] | None = None) -> dict[str, Any]:
    """Return a sound answer of an action; *book* are the orders, if not random ones."""
    answer: dict[str, Any] = {"RequestId": "0c1f-7e"}
    if action == "DescribeDealsByCond":
        if book is not None:
            return {**answer, "Deals": list(book), "TotalCount": len(book)}
        deals = [
            deal(n, Action=draw.choice([action.value for action in DealAction])) if draw.happens(0.3) else deal(n)
            for n in range(draw.randint(0, 4))
        ]
        return {**answer, "Deals": deals or None, "TotalCount": len(deals)}
    if action == "DescribeRenewInstances":
        listed = [instance(n) for n in range(draw.randint(0, 3))]
        return {**answer, "InstanceList": listed, "NextToken": draw.choice((None, None, "", "next"))}
    others: dict[str, dict[str, Any]] = {
        "CreateInstance": {"OrderId": "20261130000007", "InstanceIdList": ["ins-7"]},
        "RenewInstance": {"OrderIdList": ["20261130000007"]},
        "RefundInstance": {"OrderIdList": ["20261130000007"]},
        "SetRenewal": {"InstanceList": draw.choice(([], None, [{"InstanceId": "i", "Code": "c", "Message": "m"}]))},
        "DescribeAccountBalance": {"Balance": 5, "Uin": 100000000001, "RealCreditBalance": 5.5},
    }
    return {**answer, **others[action]}


class Server:
    """
    What answers the requests of one seed.

    :param is_odd: It answers anything; else always soundly.
    """

    def __init__(self, draw: Draw, *, is_odd: bool = True) -> None:
        self.draw, self.is_odd = draw, is_odd
        self.book: Sequence[Any] | None = None
        """The orders that it lists; random ones if not given."""
        self.sent: list[tuple[str, bytes]] = []
        """The action and the body of each request that arrived."""
        self.answers: list[tuple[str, bytes]] = []
        """The action and the body of each answer, as far as it can be unpacked."""

    def _posted(self, session: Any, action: str, body: bytes) -> Answer:
        self.sent.append((action, body))
        if self.is_odd and self.draw.happens(0.02):
            raise OutcomeUnknown("the answer was lost")
        return Answer(self.body(action), {"Date": self._date()})

    def answer(self, action: str) -> bytes:
        """Return the bytes of an answer, head and body."""
        body = self.body(action)
        if not self.is_odd:
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        return self._framed(body)

    def body(self, action: str) -> bytes:
        """Return the body of an answer."""
        draw = self.draw
        answer: Any = {"Response": honest(action, draw, self.book)}
        if self.is_odd and draw.happens(0.15):
            answer["Response"]["Error"] = {"Code": draw.choice(CODES), "Message": "m"}
        if self.is_odd and draw.happens(0.7):
            answer = draw.changed(answer, draw.randint(1, 3))
        body = draw.text_of(answer) if self.is_odd else json.dumps(answer).encode()
        if self.is_odd and draw.happens(0.1):
            body = draw.choice((b"", b"<html>", b"null", draw.damaged(body), draw.randbytes(9)))
        self.answers.append((action, body))
        return body

    def _date(self) -> str:
        ahead = self.draw.choice((0, 200, -400, 4000, 86_000, 90_000, 1e8, -1e9))
        return self.draw.choice((formatdate(NOW + ahead, usegmt=True), *DATES)) if self.draw.happens(0.5) else _NOW

    def _framed(self, body: bytes) -> bytes:
        draw = self.draw
        head = [f"HTTP/1.1 {draw.choice(STATUSES) if draw.happens(0.1) else '200 OK'}"]
        head += [f"Date: {self._date()}", "Content-Type: application/json"]
        if draw.happens(0.05):
            head.append(f"Location: {draw.choice(LOCATIONS)}")
        if draw.happens(0.05):
            head.append(f"Content-Encoding: {draw.choice(('gzip', 'deflate', 'br', 'gzip, gzip'))}")
            body = draw.choice((gzip.compress, zlib.compress, bytes, lambda b: gzip.compress(b)[:-9]))(body)
        if draw.happens(0.15):
            head.append("Transfer-Encoding: chunked")
            sizes = f"{len(body):x}", f"{len(body):x};a=b", "-5", "-1", "fffffffffff", "x", "", f"{len(body) + 9:x}"
            size = sizes[0] if draw.happens(0.5) else draw.choice(sizes)
            body = size.encode() + b"\r\n" + body + draw.choice((b"\r\n0\r\n\r\n", b"\r\n0\r\nA: b\r\n\r\n", b"", b"0"))
        else:
            lies = len(body), 0, -5, "x", 10**30, "5, 6", len(body) + 3
            head.append(f"Content-Length: {draw.choice(lies) if draw.happens(0.1) else len(body)}")
        raw = "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body
        return draw.damaged(raw) if draw.happens(0.05) else raw

    def strings(self) -> set[str]:
        """Return every text in the answers, as an honest reader finds them."""
        found: set[str] = set()
        left = [read for _, body in self.answers if (read := _read(body))]
        while left:
            value = left.pop()
            found |= {value} if isinstance(value, str) else set()
            left += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return found

    def codes(self) -> list[Any]:
        """Return the error code of each answer, as an honest reader finds it; ``None`` if it has none."""
        values = [_read(body) for _, body in self.answers]
        for name in ("Response", "Error", "Code"):
            values = [value.get(name) if isinstance(value, dict) else None for value in values]
        return values

    @contextlib.contextmanager
    def listening(self, *, is_whole: bool = False) -> Iterator[None]:
        """
        Let every request end here.

        :param is_whole: Below requests, urllib3 and HTTP, instead of above them, which is ten times as fast.
        """
        if not is_whole:
            with pytest.MonkeyPatch.context() as patch:
                posting(patch, self._posted)
                yield
            return
        with (
            mock.patch.object(exchange._Watched, "connect", _connected(self)),
            mock.patch("urllib3.connectionpool.is_connection_dropped", return_value=True),
        ):
            yield


def _read(body: bytes) -> Any:
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(body, parse_int=float)
    return None


class _Raw(io.BytesIO):
    """What an answer is read from; after its end nothing comes, or the connection breaks."""

    def __init__(self, content: bytes, end: type[OSError] | None) -> None:
        super().__init__(content)
        self._end = end

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer)
        if not count and self._end:
            raise self._end
        return count


def _connected(server: Server) -> Callable[[Any], None]:
    """Return what connects a connection to a server, without a network and without TLS."""

    def connect(connection: Any) -> None:
        connection.sock, connection.is_verified = _Socket(server), True

    return connect


class _Socket:
    def __init__(self, server: Server) -> None:
        self._server, self._request = server, b""

    def sendall(self, data: bytes) -> None:
        self._request += bytes(data)

    def makefile(self, mode: str, buffering: int = -1) -> _Raw:
        head, _, body = self._request.partition(b"\r\n\r\n")
        action = head.partition(b"X-TC-Action: ")[2].partition(b"\r\n")[0].decode()
        self._server.sent.append((action, body))
        end = self._server.draw.choice((None, ConnectionResetError, TimeoutError)) if self._server.is_odd else None
        return _Raw(self._server.answer(action), end)

    def settimeout(self, seconds: float) -> None:
        pass

    def close(self) -> None:
        pass
