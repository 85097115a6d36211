"""A process that buys as fast as it may, with threads or with forked processes: a part of the fleet."""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from uuid import uuid4

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.api.rate_limit import RateLimiter
from airflow_provider_tcbilling.ledger.store import Store
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from verification.bench.order import ORDER
from verification.bench.servers import KEY

RETRIES, RETRY_DELAY = 3, 5.0
"""The retries of a task in Airflow, with a short delay."""

Buy = Callable[[str], bool]
"""Buys under a name; returns whether that went well."""


def bought(url: str, store: Store, rate_limiter: RateLimiter, name: str) -> bool:
    """Buy as the operator does."""
    with contextlib.closing(BillingClient(*KEY, endpoint=url, rate_limiter=rate_limiter)) as client:
        try:
            Purchase(name, NewInstance(client, ORDER), store).place()
        except TcBillingError as error:
            print(name, error, file=sys.stderr)
            return False
    return True


def with_files(url: str, ledger: str) -> Buy:
    """Buy with a ledger in a folder, and a queue of requests on this machine."""
    from airflow_provider_tcbilling.ledger.objects import ObjectStore

    # Airflow is imported here: by each of many forked processes it would take all memory.
    ObjectStore(ledger).read("a record that is not there")
    return lambda name: bought(url, ObjectStore(ledger), RateLimiter(url, KEY[0]), name)


def with_database(url: str, ledger: str) -> Buy:
    """Buy with a ledger in a database, and the queue of requests in it."""
    from airflow_provider_tcbilling.ledger.database import DatabaseStore
    from airflow_provider_tcbilling.ledger.database_address import Address
    from airflow_provider_tcbilling.ledger.database_engine import database_of
    from airflow_provider_tcbilling.ledger.database_queue import drawn  # noqa: F401 - for forked processes, too
    from airflow_provider_tcbilling.ledger.rate_limit import FleetLimiter, Queues

    address = Address(**{**json.loads(ledger), "options": ()})
    limiter_of = partial(FleetLimiter, Queues(lambda: database_of(address)))
    return lambda name: bought(url, DatabaseStore(address), RateLimiter(url, KEY[0], limiter_of=limiter_of), name)


def with_sdk(url: str, ledger: str) -> Buy:
    """Buy as a PythonOperator with the official SDK and Airflow's retries does: a new token each time."""
    from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException

    from verification.bench.costs import sdk_client, sdk_order

    def buy(name: str) -> bool:
        for _ in range(1 + RETRIES):
            try:
                sdk_client(url.partition("://")[2]).CreateInstance(sdk_order(uuid4().hex))
            except TencentCloudSDKException:
                time.sleep(RETRY_DELAY)
            else:
                return True
        return False

    return buy


BUYERS: dict[str, Callable[[str, str], Buy]] = {"files": with_files, "database": with_database, "sdk": with_sdk}


def in_threads(buy: Buy, names: list[str], threads: int) -> int:
    """Wait for a line, buy, and return how many purchases failed."""
    print("ready", flush=True)
    sys.stdin.readline()
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(buy, names)).count(False)


def in_containers(buy: Buy, names: list[str], folder: Path) -> int:
    """
    Fork a process for each purchase, with a folder for temporary files of its own, and let all begin at once.

    :return: How many purchases failed.
    """
    gate, opened = os.pipe()
    results, result = os.pipe()
    gc.freeze()  # A collection would copy the memory that the processes share with this one, 256 times.
    gc.disable()
    for name in names:
        if not os.fork():
            os.close(opened)
            (folder / name).mkdir()
            tempfile.tempdir = str(folder / name)
            os.read(gate, 1)
            is_bought = False
            with contextlib.suppress(Exception):
                is_bought = buy(name)
            os.write(result, b"1" if is_bought else b"0")
            os._exit(0)
    os.close(result)
    print("ready", flush=True)
    sys.stdin.readline()
    os.close(opened)
    with os.fdopen(results, "rb") as file:
        return len(names) - file.read().count(b"1")


def main() -> None:
    """Print that it is ready, wait for a line, buy, and print how many purchases failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("buyer", choices=BUYERS)
    parser.add_argument("url")
    parser.add_argument("ledger")
    for name in ("first", "count", "threads"):
        parser.add_argument(name, type=int)
    parser.add_argument("--containers", action="store_true")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    buy = BUYERS[arguments.buyer](arguments.url, arguments.ledger)
    names = [f"purchase-{number}" for number in range(arguments.first, arguments.first + arguments.count)]
    if arguments.containers:
        failed = in_containers(buy, names, Path(tempfile.gettempdir()))
    else:
        failed = in_threads(buy, names, arguments.threads)
    print(json.dumps(failed))


if __name__ == "__main__":
    main()
