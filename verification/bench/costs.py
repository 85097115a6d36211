"""What a request, a signature and a purchase take, beside the official SDK."""

from __future__ import annotations

import contextlib
import gc
import http.client
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import urllib3.connection
from tencentcloud.billing.v20180709 import billing_client, models
from tencentcloud.common import credential
from tencentcloud.common.http.request import RequestInternal
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE, ENDPOINT, SERVICE, VERSION
from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.json_text import compact_json
from airflow_provider_tcbilling.api.rate_limit import RateLimiter
from airflow_provider_tcbilling.api.signing import Tc3Auth
from airflow_provider_tcbilling.ledger.store import NoStore
from airflow_provider_tcbilling.purchasing.authorization import Authorization
from airflow_provider_tcbilling.purchasing.limits import Limit, Window
from airflow_provider_tcbilling.purchasing.money_rules import MoneyRules
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from tests.support.proxy import running_tls
from verification.bench.figures import BASELINE, Part, Table, Target, compared, in_turn, mean, percentile, ratio_of
from verification.bench.order import ORDER, TEXT_ORDER, WIRE_ORDER
from verification.bench.servers import KEY, sandbox

HOST, CONTENT_TYPE = ENDPOINT.partition("://")[2], "application/json"
FIXED_HEADERS = {"Host": HOST, "Content-Type": CONTENT_TYPE, "X-TC-Version": VERSION, "X-TC-Language": "en-US"}

SIGNING, OURS_BUYS = "signing alone", "BillingClient.create_instance"
WITHIN_LIMITS = "Purchase, SQLite, within two limits"


def measure(quick: bool) -> Part:
    """Measure all of them."""
    part = Part()
    requests, signing = measure_requests(*((7, 200) if quick else (41, 500)))
    purchases, outside = measure_purchases(100 if quick else 500)
    part.tables = [requests, signing, purchases, outside, measure_protocol(100 if quick else 500)]
    part.tables.append(measure_connections(50 if quick else 300))
    limits, added = measure_limits(100 if quick else 500)
    part.tables.append(limits)
    part.targets = [
        Target.at_most("Signing, of the SDK's time", ratio_of(signing, SIGNING), 0.6),
        Target.at_most("A purchase outside the socket, of the SDK's time", ratio_of(outside, OURS_BUYS), 1.0),
        Target.at_most("A purchase within limits, SQLite, outside the socket, above the SDK's call", added, 1.0, " ms"),
    ]
    return part


def measure_requests(batches: int, repetitions: int) -> tuple[Table, Table]:
    """Measure the way from Python arguments to a signed request, and the signing alone."""
    auth, client = Tc3Auth(*KEY, SERVICE), sdk_client(HOST)
    body = our_request(auth, ORDER)[1]
    requests: dict[str, Callable[[], object]] = {
        "parameter as a mapping": lambda: our_request(auth, ORDER),
        f"{BASELINE}SDK, parameter as JSON text": lambda: sdk_request(client),
        "parameter as JSON text": lambda: our_request(auth, TEXT_ORDER),
    }
    signatures: dict[str, Callable[[], object]] = {
        SIGNING: lambda: our_headers(auth, body),
        f"{BASELINE}SDK, signing alone": lambda: sdk_headers(client, body),
    }
    gc.disable()
    taken = [
        in_turn({name: partial(mean, call, repetitions, 1e6) for name, call in cases.items()}, batches)
        for cases in (requests, signatures)
    ]
    gc.enable()
    note = f"Mean of {repetitions} calls a sample, no garbage collection. Ours checks every field and keeps the day's "
    note += "key; the SDK leaves checking to the server and derives that key for each request."
    title = "One CreateInstance request, from Python arguments to signed headers and body"
    return compared(title, note, taken[0], "us"), compared("Its signature", note, taken[1], "us")


def our_request(auth: Tc3Auth, order: Mapping[str, Any]) -> tuple[dict[str, str], bytes]:
    """Do what ``BillingClient.create_instance`` does until it sends."""
    payload = CREATE_INSTANCE.payload({**order, "client_token": "bench"})
    body = compact_json(payload).encode()
    return our_headers(auth, body), body


def our_headers(auth: Tc3Auth, body: bytes) -> dict[str, str]:
    return {
        **FIXED_HEADERS,
        "X-TC-Action": CREATE_INSTANCE.name,
        **auth.headers(HOST, CONTENT_TYPE, body, CREATE_INSTANCE.name),
    }


def sdk_request(client: Any) -> Any:
    """Do what the SDK's ``CreateInstance`` does until it sends, but for its trace id."""
    built = RequestInternal(HOST, "POST", "/")
    client._build_req_inter("CreateInstance", sdk_order("bench")._serialize(), built)
    return built


def sdk_headers(client: Any, body: bytes) -> Any:
    """Sign a given body as the SDK does: for this kind of content it writes none of its own."""
    built = RequestInternal(HOST, "POST", "/", data=body)
    client._build_req_inter("CreateInstance", None, built, {"IsOctetStream": True})
    return built


def sdk_order(token: str) -> Any:
    order = models.CreateInstanceRequest()
    order._deserialize({**WIRE_ORDER, "ClientToken": token})
    return order


def sdk_client(address: str) -> Any:
    profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=address))
    return billing_client.BillingClient(credential.Credential(*KEY), "", profile)


class Socket:
    """Counts the time that is spent in sockets: in HTTP's connecting, sending, waiting, reading and closing."""

    seconds = 0.0
    depth = 0

    @classmethod
    @contextlib.contextmanager
    def counted(cls) -> Iterator[None]:
        """Count, for a while."""
        places: list[tuple[type, str]] = [
            (http.client.HTTPConnection, name) for name in ("connect", "send", "getresponse", "close")
        ]
        places += [(http.client.HTTPResponse, name) for name in ("read", "readinto")]
        places += [(urllib3.connection.HTTPConnection, "connect")]
        original = {place: getattr(*place) for place in places}
        for (owner, name), method in original.items():
            setattr(owner, name, cls._timed(method))
        try:
            yield
        finally:
            for (owner, name), method in original.items():
                setattr(owner, name, method)

    @classmethod
    def _timed(cls, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            cls.depth += 1
            start = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                cls.depth -= 1
                if not cls.depth:
                    cls.seconds += time.perf_counter() - start

        return timed


def outside_of_sockets(buy: Callable[[], object]) -> tuple[float, float]:
    """Return how many milliseconds a purchase takes in all, and outside of sockets."""
    Socket.seconds, start = 0.0, time.perf_counter()
    buy()
    took = time.perf_counter() - start
    return took * 1e3, (took - Socket.seconds) * 1e3


def measure_purchases(count: int) -> tuple[Table, Table]:
    """Measure whole purchases, from a sandbox in another process, and their part outside of sockets."""
    with sandbox() as url, contextlib.closing(client_of(url)) as ours, Socket.counted():
        theirs = sdk_client(url.partition("://")[2])
        cases: dict[str, Callable[[], object]] = {
            OURS_BUYS: lambda: ours.create_instance(client_token=uuid4().hex, **ORDER),
            f"{BASELINE}SDK's CreateInstance": lambda: theirs.CreateInstance(sdk_order(uuid4().hex)),
        }
        taken = in_turn({name: partial(outside_of_sockets, buy) for name, buy in cases.items()}, count, unmeasured=10)
    note = "From a sandbox without delays in another process. The SDK keeps its connection, ours buys on a fresh one. "
    note += "Ours draws a ticket from the limit that all processes of the machine share, set so high that nobody waits."
    whole, outside = ({name: [one[n] for one in samples] for name, samples in taken.items()} for n in (0, 1))
    title = "One purchase, end to end"
    return compared(title, note, whole, "ms"), compared(f"{title}, outside of sockets", note, outside, "ms")


def client_of(url: str) -> BillingClient:
    """Return a client that draws tickets and waits for none."""
    return BillingClient(*KEY, endpoint=url, rate_limiter=RateLimiter(url, "bench", 1e5))


def measure_protocol(count: int) -> Table:
    """Measure what buying once adds to a purchase: record, token, fingerprint, with and without a store's own time."""
    from airflow_provider_tcbilling.ledger.objects import ObjectStore

    with (
        sandbox() as url,
        contextlib.closing(client_of(url)) as client,
        tempfile.TemporaryDirectory() as folder,
    ):
        ledger, action = ObjectStore(f"file://{folder}"), NewInstance(client, ORDER)
        cases: dict[str, Callable[[], object]] = {
            "Purchase, a store that takes no time": lambda: Purchase(uuid4().hex, action, NoStore()).place(),
            f"{BASELINE}BillingClient.create_instance": lambda: client.create_instance(
                client_token=uuid4().hex, **ORDER
            ),
            "Purchase, a ledger on this disk": lambda: Purchase(uuid4().hex, action, ledger).place(),
        }
        logging.disable(logging.INFO)
        taken = in_turn({name: partial(mean, buy, 1, 1e3) for name, buy in cases.items()}, count, unmeasured=10)
        logging.disable(logging.NOTSET)
    bare, plain, _ = taken.values()
    added = [ours - theirs for ours, theirs in zip(bare, plain, strict=True)]
    note = "From the same kind of sandbox, without log lines. A ledger on a disk syncs both of its records to it. Pair "
    note += (
        f"by pair, the protocol alone adds {statistics.median(added):.2f} ms (median; p99 {percentile(added, 99):.2f})."
    )
    return compared("What buying once adds to a purchase", note, taken, "ms")


def measure_limits(count: int) -> tuple[Table, float]:
    """Measure a purchase with a ledger in SQLite, without limits and within two; return what it adds to the SDK's."""
    from airflow_provider_tcbilling.ledger.database import DatabaseStore
    from airflow_provider_tcbilling.ledger.database_address import Address

    with (
        sandbox() as url,
        contextlib.closing(client_of(url)) as client,
        tempfile.TemporaryDirectory() as folder,
        Socket.counted(),
    ):
        # A purchase without a price and without a reservation would stop those within limits.
        limited, free = (DatabaseStore(Address("sqlite", f"{folder}/{name}.sqlite")) for name in ("limited", "free"))
        limited.upgrade()
        free.upgrade()
        theirs = sdk_client(url.partition("://")[2])
        action, most = NewInstance(client, ORDER), 10**12
        limits = tuple(Limit(window.value, window, most, "USD") for window in (Window.DAY, Window.MONTH))
        client.account  # noqa: B018 - it is read once for each key

        def bought(store: DatabaseStore, rules: MoneyRules) -> object:
            authorization = Authorization(store, action, rules)
            return Purchase(uuid4().hex, action, store, authorization=authorization).place()

        cases: dict[str, Callable[[], object]] = {
            WITHIN_LIMITS: lambda: bought(limited, MoneyRules(limits, max_cents=10**6)),
            "Purchase, SQLite, no limits": lambda: bought(free, MoneyRules()),
            f"{BASELINE}SDK's CreateInstance": lambda: theirs.CreateInstance(sdk_order(uuid4().hex)),
        }
        logging.disable(logging.INFO)
        measured = in_turn({name: partial(outside_of_sockets, buy) for name, buy in cases.items()}, count, 10)
        logging.disable(logging.NOTSET)
    taken = {name: [outside for _, outside in samples] for name, samples in measured.items()}
    ours, without, sdk = map(statistics.median, taken.values())
    note = "From the same kind of sandbox. SQLite syncs the intent with its reservation, and the order, to this disk. "
    note += f"Of two limits, the reservation takes {ours - without:.2f} ms (medians)."
    return compared("A purchase within limits, outside of sockets", note, taken, "ms"), ours - sdk


def measure_connections(count: int) -> Table:
    """Measure what a fresh connection, which every purchase and the query after it use, takes over a kept one."""
    with (
        sandbox() as url,
        tempfile.TemporaryDirectory() as folder,
        running_tls(url, Path(folder)) as (tls_url, ca_file),
        contextlib.closing(client_of(url)) as plain,
        contextlib.closing(client_of(tls_url)) as tls,
    ):
        tls._transport.session.verify = ca_file
        cases: dict[str, Callable[[], object]] = {
            "a fresh connection": partial(_asked, plain, False),
            f"{BASELINE}a kept connection": partial(_asked, plain, True),
            "a fresh connection, TLS": partial(_asked, tls, False),
            "a kept connection, TLS": partial(_asked, tls, True),
        }
        taken = in_turn({name: partial(mean, ask, 1, 1e3) for name, ask in cases.items()}, count, unmeasured=10)
    note = (
        "DescribeAccountBalance, on this machine, with a P-256 key. A fresh connection also reads the CA file. Over a "
    )
    note += "network it takes one round trip more, and its TLS handshake one or two."
    return compared("What a fresh connection takes", note, taken, "ms")


def _asked(client: BillingClient, is_kept: bool) -> object:
    client._transport._is_reusable = is_kept
    return client.describe_account_balance()
