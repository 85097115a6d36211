"""A process in which many orders are waited for in one event loop, in one of several ways."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_tcbilling.api.actions import DESCRIBE_DEALS_BY_COND, SERVICE, VERSION
from airflow_provider_tcbilling.api.client import DAY, BillingClient
from airflow_provider_tcbilling.api.models import Deals, DealStatus
from airflow_provider_tcbilling.api.rate_limit import UNLIMITED
from airflow_provider_tcbilling.api.server_time import first_of, last_of
from airflow_provider_tcbilling.api.signing import Tc3Auth
from airflow_provider_tcbilling.triggers.delivery import DeliveryTrigger
from airflow_provider_tcbilling.waiting.delivery import DeliveryWatch
from verification.bench.servers import DELIVERY_SECONDS, KEY

CONN_ID = "bench"
TICK = 0.01
FIRST_LOOK_SECONDS = 10.0


class Empty(BaseTrigger):
    """Waits for nothing: what any trigger costs."""

    def __init__(self, order_id: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.order_id = order_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "Empty", {"order_id": self.order_id}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(FIRST_LOOK_SECONDS)
        await asyncio.get_running_loop().create_future()
        yield TriggerEvent({})  # type: ignore[no-untyped-call]


class OnePoll(Empty):
    """One poll for each trigger: a query in a thread, then a sleep."""

    def __init__(self, order_id: str, url: str, interval: float) -> None:
        super().__init__(order_id)
        self.url, self.interval = url, interval

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(FIRST_LOOK_SECONDS)
        while await asyncio.to_thread(self.query) is None:
            await asyncio.sleep(self.interval)
        yield TriggerEvent({"order_id": self.order_id})  # type: ignore[no-untyped-call]

    def query(self) -> object:
        # A connection that each kept open would be more than a process may have.
        with contextlib.closing(BillingClient(*KEY, endpoint=self.url, attempts=1, rate_limiter=UNLIMITED)) as client:
            return DeliveryWatch(client, self.order_id).step()


class HttpPoll(OnePoll):
    """The loop of the HTTP provider's sensor trigger: a session and a request for each query, then a sleep."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        import aiohttp

        auth = Tc3Auth(*KEY, SERVICE)
        await asyncio.sleep(FIRST_LOOK_SECONDS)
        while True:
            body = json.dumps(asked_for(self.order_id)).encode()
            headers = {"X-TC-Action": DESCRIBE_DEALS_BY_COND.name, "X-TC-Version": VERSION}
            headers |= {"Content-Type": "application/json", "Host": self.url.partition("://")[2]}
            headers |= auth.headers(headers["Host"], headers["Content-Type"], body)
            try:
                async with (
                    aiohttp.ClientSession() as session,
                    session.post(self.url, data=body, headers=headers) as got,
                ):
                    answer = (await got.json(content_type=None))["Response"]
                if any(deal.status == DealStatus.DELIVERED for deal in Deals.from_wire(answer)):
                    break
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(self.interval)
        yield TriggerEvent({"order_id": self.order_id})  # type: ignore[no-untyped-call]


def asked_for(order_id: str) -> dict[str, Any]:
    now = time.time()
    return {
        "StartTime": first_of(now - DAY),
        "EndTime": last_of(now + DAY),
        "Limit": 20,
        "Offset": 0,
        "OrderId": order_id,
        "StatusSet": [int(status) for status in DealStatus],
    }


def ours(order_id: str, due: float, ends_at: float, interval: float) -> DeliveryTrigger:
    order = {"order_id": order_id, "instance_ids": [], "client_token": uuid4().hex, "request_id": str(uuid4())}
    return DeliveryTrigger(order, CONN_ID, interval, ends_at + 3600, placed_at=due - DELIVERY_SECONDS)


async def wait(triggers: list[BaseTrigger], numbers: list[str], until: float) -> dict[str, Any]:
    """Run triggers until a moment; return when each woke, how late the loop was, and what memory it took."""
    woke: dict[str, float] = {}
    lags: list[float] = []

    async def run(number: str, trigger: BaseTrigger) -> None:
        async for _ in trigger.run():
            woke[number] = time.time()

    async def tick() -> None:
        while True:
            began_at = time.perf_counter()
            await asyncio.sleep(TICK)
            lags.append(time.perf_counter() - began_at - TICK)

    began_at = time.time()
    tasks = [asyncio.create_task(run(*one)) for one in zip(numbers, triggers, strict=True)]
    ticking = asyncio.create_task(tick())
    # What it takes is measured after the first looks, and before the first deliveries.
    await asyncio.sleep(FIRST_LOOK_SECONDS + 12)
    gc.collect()
    memory = psutil.Process().memory_info().rss
    await asyncio.sleep(max(0.0, until - time.time()))
    for task in [*tasks, ticking]:
        task.cancel()
    await asyncio.gather(*tasks, ticking, return_exceptions=True)
    return {"woke": woke, "lags": lags, "memory": memory, "began_at": began_at}


def main() -> None:
    """Wait, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("how", choices=("ours", "one", "http", "empty"))
    parser.add_argument("url")
    parser.add_argument("due", type=Path)
    parser.add_argument("report", type=Path)
    parser.add_argument("interval", type=float)
    parser.add_argument("until", type=float)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    os.environ[f"AIRFLOW_CONN_{CONN_ID.upper()}"] = json.dumps(
        {"conn_type": "tcbilling", "login": KEY[0], "password": KEY[1], "host": arguments.url}
    )
    due = json.loads(arguments.due.read_text())
    make: dict[str, Callable[[str], BaseTrigger]] = {
        "ours": lambda number: ours(number, due[number], arguments.until, arguments.interval),
        "one": lambda number: OnePoll(number, arguments.url, arguments.interval),
        "http": lambda number: HttpPoll(number, arguments.url, arguments.interval),
        "empty": Empty,
    }
    triggers = [make[arguments.how](number) for number in due]
    arguments.report.write_text(json.dumps(asyncio.run(wait(triggers, list(due), arguments.until))))


if __name__ == "__main__":
    main()
