"""A process that buys, with some threads, as fast as it may: one of the fleet."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.api.rate_limit import RateLimiter
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from verification.bench.order import ORDER
from verification.bench.servers import KEY

RETRIES, RETRY_DELAY = 3, 5.0
"""The retries of a task in Airflow, with a short delay."""


def ours(url: str, ledger: Path, name: str, rate_limiter: RateLimiter | None = None) -> bool:
    """Buy as the operator does."""
    client = BillingClient(*KEY, endpoint=url, rate_limiter=rate_limiter)
    try:
        Purchase(name, NewInstance(client, ORDER), ObjectStore(ledger.as_uri())).place()
    except TcBillingError as error:
        print(name, error, file=sys.stderr)
        return False
    finally:
        client.close()
    return True


def apart(url: str, ledger: Path, name: str) -> bool:
    """Buy as a container does that shares its limit with nobody."""
    return ours(url, ledger, name, RateLimiter(url, name))


def sdk(url: str, ledger: Path, name: str) -> bool:
    """Buy as a PythonOperator with the official SDK and Airflow's retries does: a new token each time."""
    from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException

    from verification.bench.costs import sdk_client, sdk_order

    for _ in range(1 + RETRIES):
        try:
            sdk_client(url.partition("://")[2]).CreateInstance(sdk_order(uuid4().hex))
        except TencentCloudSDKException:
            time.sleep(RETRY_DELAY)
        else:
            return True
    return False


BUYERS = {"ours": ours, "apart": apart, "sdk": sdk}


def main() -> None:
    """Print that it is ready, wait for a line, buy, and print how many purchases failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("buyer", choices=BUYERS)
    parser.add_argument("url")
    parser.add_argument("ledger", type=Path)
    for name in ("first", "count", "threads"):
        parser.add_argument(name, type=int)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    buy = BUYERS[arguments.buyer]
    names = [f"purchase-{number}" for number in range(arguments.first, arguments.first + arguments.count)]
    print("ready", flush=True)
    sys.stdin.readline()
    with ThreadPoolExecutor(arguments.threads) as pool:
        done = list(pool.map(lambda name: buy(arguments.url, arguments.ledger, name), names))
    print(json.dumps(done.count(False)))


if __name__ == "__main__":
    main()
