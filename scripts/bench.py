"""Measure what this package costs, each figure beside a baseline from the same run. It asserts nothing."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.metadata
import json
import logging
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from tencentcloud.billing.v20180709 import billing_client, models
from tencentcloud.common import credential
from tencentcloud.common.http.request import RequestInternal
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE, ENDPOINT, SERVICE, VERSION
from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.instance import NewInstance
from airflow_provider_tcbilling.api.purchase import Purchase
from airflow_provider_tcbilling.api.record import NoStore
from airflow_provider_tcbilling.api.schema import compact_json
from airflow_provider_tcbilling.api.signing import Tc3Auth
from airflow_provider_tcbilling.sandbox.rules import Rules

T = TypeVar("T")
VERSIONS = {distribution.name: distribution.version for distribution in importlib.metadata.distributions()}

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / ".bench" / "bench.json"
EXAMPLE = ROOT / "example_dags" / "buy_and_use.py"

KEY = (Rules().secret_id, Rules().secret_key)
HOST, CONTENT_TYPE = ENDPOINT.partition("://")[2], "application/json"
FIXED_HEADERS = {"Host": HOST, "Content-Type": CONTENT_TYPE, "X-TC-Version": VERSION, "X-TC-Language": "en-US"}

PARAMETER = {"productCode": "p_cloudfirewall", "subProductCode": "sp_cloudfirewall_svv1", "pid": 1002147, "goodsNum": 1}
PARAMETER |= {"timeSpan": 1, "timeUnit": "m", "sv_cloudfirewall_basic_aeps": 1, "sv_cloudfirewall_extended_clasps": 1}
ORDER: dict[str, Any] = {
    "product_code": "p_cloudfirewall",
    "sub_product_code": "sp_cloudfirewall_svv1",
    "region_code": "ap-guangzhou",
    "zone_code": "ap-guangzhou-6",
    "pay_mode": "PrePay",
    "parameter": PARAMETER,
    "quantity": 1,
    "period": 1,
    "period_unit": "m",
    "renew_flag": "NOTIFY_AND_MANUAL_RENEW",
}
TEXT_ORDER = {**ORDER, "parameter": json.dumps(PARAMETER)}
WIRE_ORDER = {field.name: TEXT_ORDER[field.arg] for field in CREATE_INSTANCE.fields if field.arg in TEXT_ORDER}

BASELINE = "  baseline: "
HTTP = f"{BASELINE}HTTP provider's operator"
IMPORTS = {
    "provider_info, in every component": "from airflow_provider_tcbilling import provider_info",
    "operator": "from airflow_provider_tcbilling.operators import instance",
    "operator, sensor and trigger": "from airflow_provider_tcbilling.operators import instance\n"
    "from airflow_provider_tcbilling.sensors import delivery\nfrom airflow_provider_tcbilling.triggers import delivery",
    f"{BASELINE}SDK's billing client": "from tencentcloud.billing.v20180709 import billing_client, models",
    HTTP: "import airflow.providers.http.operators.http",
}

CHILD = """
import json, time, tracemalloc
import psutil
{setup}
{traced} and tracemalloc.start()
rss = psutil.Process().memory_info
before, start = rss().rss, time.perf_counter()
{measured}
took = time.perf_counter() - start
memory = {{"MB RSS": (rss().rss - before) / 2**20, "MB heap": tracemalloc.get_traced_memory()[0] / 2**20}}
print(json.dumps({{"ms": took * 1e3, **memory}}))
"""
"""What a fresh process runs for one sample."""


@dataclass(frozen=True)
class Figure:
    """One thing that was measured, and its baseline unless it is one. Without samples it is not installed here."""

    name: str
    unit: str
    samples: list[float]
    target: str = ""
    baseline: Figure | None = None

    def summary(self) -> dict[str, float | None]:
        """Return what is shown and stored. A 99th percentile needs 100 samples, a ratio something to divide by."""
        if not self.samples:
            return {}
        median = statistics.median(self.samples)
        below = statistics.median(self.baseline.samples) if self.baseline else 0.0
        p99 = statistics.quantiles(self.samples, n=100)[98] if len(self.samples) >= 100 else None
        ratio = median / below if below > 0.01 else None
        return {"min": min(self.samples), "median": median, "p99": p99, "max": max(self.samples), "ratio": ratio}


Section = tuple[str, str, list[Figure]]  # a title, how the figures were taken, and the figures


def compared(unit: str, taken: Mapping[str, list[float]], target: str = "") -> list[Figure]:
    """Return our figures, each compared with the first of the baselines, and then the baselines."""
    baselines = [Figure(name, unit, samples) for name, samples in taken.items() if name.startswith(BASELINE)]
    ours = {name: samples for name, samples in taken.items() if not name.startswith(BASELINE)}
    return [*(Figure(name, unit, samples, target, baselines[0]) for name, samples in ours.items()), *baselines]


def in_turn(cases: Mapping[str, Callable[[], T]], rounds: int, unmeasured: int = 1) -> dict[str, list[T]]:
    """Take samples A B A B, so that whatever else the machine does hits all alike; the first rounds fill caches."""
    taken = [{name: sample() for name, sample in cases.items()} for _ in range(rounds + unmeasured)]
    return {name: [samples[name] for samples in taken[unmeasured:]] for name in cases}


def in_process(setup: str, measured: str, env: Mapping[str, str], traced: bool = False) -> dict[str, float]:
    """Run statements after a setup in a fresh process; return what they took, by unit."""
    command = [sys.executable, "-I", "-c", CHILD.format(setup=setup, measured=measured, traced=traced)]
    child = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if child.returncode:
        sys.exit(child.stderr)
    return dict(json.loads(child.stdout.splitlines()[-1]))


def mean(call: Callable[[], object], repetitions: int, per_second: float) -> float:
    """Return what one call takes on average, in units of which a second has *per_second*."""
    start = time.perf_counter()
    for _ in range(repetitions):
        call()
    return (time.perf_counter() - start) / repetitions * per_second


def measure_requests(batches: int, repetitions: int) -> Section:
    """Measure the way from Python arguments to a signed request, and the signing alone."""
    auth, client = Tc3Auth(*KEY, SERVICE), sdk_client(HOST)
    body = our_request(auth, ORDER)[1]
    requests: dict[str, Callable[[], object]] = {
        "parameter as a mapping": lambda: our_request(auth, ORDER),
        f"{BASELINE}SDK, parameter as JSON text": lambda: sdk_request(client),
        "parameter as JSON text": lambda: our_request(auth, TEXT_ORDER),
    }
    signatures: dict[str, Callable[[], object]] = {
        "signing alone": lambda: our_headers(auth, body),
        f"{BASELINE}SDK, signing alone": lambda: sdk_headers(client, body),
    }
    figures = []
    gc.disable()
    for cases in (requests, signatures):
        taken = in_turn({name: partial(mean, call, repetitions, 1e6) for name, call in cases.items()}, batches)
        figures += compared("us", taken, "ratio <= 1, aim 0.5")
    gc.enable()
    note = f"Mean of {repetitions} calls a sample, no garbage collection. Ours checks every field and keeps the day's\n"
    note += "key; the SDK leaves checking to the server and derives that key for each request."
    return "One CreateInstance request, from Python arguments to signed headers and body", note, figures


def our_request(auth: Tc3Auth, order: Mapping[str, Any]) -> tuple[dict[str, str], bytes]:
    """Do what ``BillingClient.create_instance`` does until it sends."""
    payload = CREATE_INSTANCE.payload({**order, "client_token": "bench"})
    body = compact_json(payload).encode()
    return our_headers(auth, body), body


def our_headers(auth: Tc3Auth, body: bytes) -> dict[str, str]:
    return {**FIXED_HEADERS, "X-TC-Action": CREATE_INSTANCE.name, **auth.headers(HOST, CONTENT_TYPE, body)}


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


@contextlib.contextmanager
def sandbox() -> Iterator[str]:
    """Run a sandbox without limits in a process of its own; yield its address."""
    options = ["--rate-limit", "0", "--port", "0", "--balance", str(10**12)]
    module = [sys.executable, "-m", "airflow_provider_tcbilling.sandbox"]
    with subprocess.Popen([*module, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            found = (re.search(r"http://[\d.]+:\d+", line) for line in process.stdout or ())
            yield next(address.group() for address in found if address)
        finally:
            process.terminate()


def measure_purchases(count: int) -> Section:
    """Measure whole purchases, from a sandbox in another process."""
    with sandbox() as url, contextlib.closing(BillingClient(*KEY, endpoint=url)) as ours:
        theirs = sdk_client(url.partition("://")[2])
        cases: dict[str, Callable[[], object]] = {
            "BillingClient.create_instance": lambda: ours.create_instance(client_token=uuid4().hex, **ORDER),
            f"{BASELINE}SDK's CreateInstance": lambda: theirs.CreateInstance(sdk_order(uuid4().hex)),
        }
        taken = in_turn({name: partial(mean, buy, 1, 1e3) for name, buy in cases.items()}, count, unmeasured=10)
    note = "From a sandbox without delays in another process; connections are kept."
    return "One purchase, end to end", note, compared("ms", taken, "ratio <= 1")


def measure_protocol(count: int, env: Mapping[str, str]) -> Section:
    """Measure what buying once adds to a purchase: record, token, fingerprint, with and without a store's own time."""
    os.environ["AIRFLOW_HOME"] = env["AIRFLOW_HOME"]
    from airflow_provider_tcbilling.stores import Ledger

    with (
        sandbox() as url,
        contextlib.closing(BillingClient(*KEY, endpoint=url)) as client,
        tempfile.TemporaryDirectory() as folder,
    ):
        ledger, spending = Ledger(f"file://{folder}"), NewInstance(client, ORDER)
        cases: dict[str, Callable[[], object]] = {
            "Purchase, a store that takes no time": lambda: Purchase(uuid4().hex, spending, NoStore()).place(),
            f"{BASELINE}BillingClient.create_instance": lambda: spending.send(uuid4().hex, time.time() + 60),
            "Purchase, a ledger on this disk": lambda: Purchase(uuid4().hex, spending, ledger).place(),
        }
        logging.disable(logging.INFO)
        taken = in_turn({name: partial(mean, buy, 1, 1e3) for name, buy in cases.items()}, count, unmeasured=10)
        logging.disable(logging.NOTSET)
    bare, plain, _ = taken.values()
    added = [ours - theirs for ours, theirs in zip(bare, plain, strict=True)]
    note = "From the same kind of sandbox, without log lines. A ledger on a disk syncs both of its records to it."
    figures = [*compared("ms", taken), Figure("the protocol alone, pair by pair", "ms", added, "< 5")]
    return "What buying once adds to a purchase", note, figures


def measure_imports(env: Mapping[str, str], rounds: int) -> Section:
    """Measure what an import adds to a process that has Airflow's task SDK."""
    ours = "[name for name in sys.modules if name.startswith('airflow_provider_tcbilling')]"
    setup = f"import sys; from airflow.sdk import BaseOperator; [sys.modules.pop(name) for name in {ours}]"
    cases = {name: partial(in_process, setup, statement, env) for name, statement in IMPORTS.items()}
    if "apache-airflow-providers-http" not in VERSIONS:
        del cases[HTTP]
    taken = in_turn(cases, rounds)
    traced = in_turn({name: partial(case, traced=True) for name, case in cases.items()}, 3)
    figures = []
    for unit, source, target in (("ms", taken, "<= 25"), ("MB RSS", taken, "<= 3"), ("MB heap", traced, "")):
        figures += compared(unit, {name: [one[unit] for one in source.get(name, ())] for name in IMPORTS}, target)
    note = "Added to 'from airflow.sdk import BaseOperator', a fresh process each time; provider_info, which that\n"
    note += "imports, is forgotten and counted. RSS reuses freed memory; the heap (tracemalloc, apart) says more."
    return "Import", note, figures


def measure_parsing(env: Mapping[str, str], rounds: int) -> Section:
    """Measure what running a DAG file takes once Airflow was imported: an example, and the same without us."""
    text = re.sub(r"(?s)CreateInstanceOperator\(.*?\n    \)", 'EmptyOperator(task_id="buy")', EXAMPLE.read_text())
    empty = "from airflow.providers.standard.operators.empty import EmptyOperator"
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, EXAMPLE.name)
        plain.write_text(re.sub(r"from airflow_provider_tcbilling.*", empty, text))
        files = {f"example_dags/{EXAMPLE.name}": EXAMPLE, f"{BASELINE}the same with EmptyOperator": plain}
        setup = "import runpy; from airflow.sdk import DAG, BaseOperator, task"
        cases = {name: partial(in_process, setup, f"runpy.run_path({str(p)!r})", env) for name, p in files.items()}
        taken = {name: [one["ms"] for one in samples] for name, samples in in_turn(cases, rounds).items()}
    added = [ours - theirs for ours, theirs in zip(*taken.values(), strict=True)]
    note = "After 'from airflow.sdk import DAG, BaseOperator, task', a fresh process each time; other imports included."
    return "Parsing a DAG file", note, [*compared("ms", taken), Figure("difference, pair by pair", "ms", added)]


def shown(section: Section) -> dict[str, Any]:
    """Print a section as a table; return it as plain data, with every sample."""
    title, note, figures = section
    columns = ("min", "median", "p99", "max", "ratio")
    print(f"\n{title}\n{note}\n{'':54}{'n':>5}{''.join(f'{name:>9}' for name in columns)}  target")
    data = {}
    for figure in figures:
        label, summary = f"{figure.name} [{figure.unit}]", figure.summary()
        cells = ["-" if (value := summary.get(name)) is None else f"{value:.2f}" for name in columns]
        numbers = f"{len(figure.samples):>5}" + "".join(f"{cell:>9}" for cell in cells)
        print(f"{label:54}{numbers if summary else 'not installed'}  {figure.target}".rstrip())
        data[label.strip()] = {**summary, "target": figure.target, "samples": figure.samples}
    return {title: data}


def main() -> None:
    """Measure everything, show it as it comes, and write it to ``.bench/bench.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer samples, more noise")
    quick = parser.parse_args().quick
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # the SDK would send even a local sandbox's requests through it
    environment = {"cpus": os.cpu_count(), "python": sys.version.split()[0], "quick": quick}
    environment |= {name: VERSIONS[name] for name in ("apache-airflow", "tencentcloud-sdk-python-intl-en")}
    print(", ".join(f"{name} {value}" for name, value in environment.items()))
    rounds = 3 if quick else 11
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        data = shown(measure_requests(*((7, 200) if quick else (41, 500))))
        data |= shown(measure_purchases(100 if quick else 500))
        data |= shown(measure_protocol(100 if quick else 500, env))
        data |= shown(measure_imports(env, rounds))
        data |= shown(measure_parsing(env, rounds))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"environment": environment, **data}, indent=1) + "\n")
    summaries = {
        title: {label: {name: value for name, value in row.items() if name != "samples"} for label, row in rows.items()}
        for title, rows in data.items()
    }
    print(f"\nAs JSON (with every sample: {RESULTS.relative_to(ROOT)})\n{json.dumps(summaries, indent=1)}")


if __name__ == "__main__":
    main()
