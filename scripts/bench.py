"""Measure what this package costs, each figure beside a baseline from the same run. It asserts nothing."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.metadata
import json
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
from airflow_provider_tcbilling.api.signing import Tc3Auth
from airflow_provider_tcbilling.sandbox.rules import Rules

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / ".bench" / "bench.json"
EXAMPLE = ROOT / "example_dags" / "buy_and_use.py"

SECRET_ID, SECRET_KEY = Rules().secret_id, Rules().secret_key
HOST = ENDPOINT.partition("://")[2]
CONTENT_TYPE = "application/json"
FIXED_HEADERS = {"Host": HOST, "Content-Type": CONTENT_TYPE, "X-TC-Version": VERSION, "X-TC-Language": "en-US"}

WIRE_ORDER: dict[str, Any] = {
    "ProductCode": "p_cloudfirewall",
    "SubProductCode": "sp_cloudfirewall_svv1",
    "RegionCode": "ap-guangzhou",
    "ZoneCode": "ap-guangzhou-6",
    "PayMode": "PrePay",
    "Parameter": '{"pid": 1002147, "productCode": "p_cloudfirewall", "subProductCode": "sp_cloudfirewall_svv1", '
    '"sv_cloudfirewall_basic_aeps": 1, "sv_cloudfirewall_extended_clasps": 1, "goodsNum": 1, "timeSpan": 1, '
    '"timeUnit": "m"}',
    "Quantity": 1,
    "Period": 1,
    "PeriodUnit": "m",
    "RenewFlag": "NOTIFY_AND_MANUAL_RENEW",
}
TEXT_ORDER = {field.arg: WIRE_ORDER[field.name] for field in CREATE_INSTANCE.fields if field.name in WIRE_ORDER}
ORDER = {**TEXT_ORDER, "parameter": json.loads(WIRE_ORDER["Parameter"])}

OPERATOR = "import airflow_provider_tcbilling.operators.instance"
OTHERS = "import airflow_provider_tcbilling.sensors.delivery, airflow_provider_tcbilling.triggers.delivery"
OUR_IMPORTS = {"operator": OPERATOR, "operator, sensor and trigger": f"{OPERATOR}; {OTHERS}"}
THEIR_IMPORTS = {
    "SDK's billing client": "from tencentcloud.billing.v20180709 import billing_client, models",
    "HTTP provider's operator": "import airflow.providers.http.operators.http",
}

CHILD = """
import json, resource, sys, time, tracemalloc
{setup}
def rss():
    if sys.platform == "darwin":  # tells the peak only
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 2**20
{traced} and tracemalloc.start()
before, start = rss(), time.perf_counter()
{measured}
took = time.perf_counter() - start
memory = {{"MB RSS": rss() - before, "MB heap": tracemalloc.get_traced_memory()[0] / 2**20}}
print(json.dumps({{"ms": took * 1e3, **memory}}))
"""
"""What a fresh process runs for one sample."""

T = TypeVar("T")
Samples = dict[str, list[float]]


@dataclass(frozen=True)
class Figure:
    """
    One thing that was measured.

    :param samples: In *unit*; none means that it is not installed here.
    :param baseline: What the ratio is taken to; a figure without one is a baseline itself.
    """

    name: str
    unit: str
    samples: list[float]
    target: str | None = None
    baseline: Figure | None = None

    def summary(self) -> dict[str, float | None]:
        """Return what is shown and stored. A 99th percentile needs 100 samples, a ratio something to divide by."""
        if not self.samples:
            return {}
        median = statistics.median(self.samples)
        below = statistics.median(self.baseline.samples) if self.baseline else 0.0
        return {
            "min": min(self.samples),
            "median": median,
            "p99": statistics.quantiles(self.samples, n=100)[98] if len(self.samples) >= 100 else None,
            "max": max(self.samples),
            "ratio": median / below if below > 0.01 else None,
        }


@dataclass(frozen=True)
class Section:
    """Figures that belong together, and how they were taken."""

    title: str
    note: str
    figures: list[Figure]


def compared(unit: str, ours: Samples, theirs: Samples, target: str | None = None) -> list[Figure]:
    """Return our figures, each compared with the first of theirs, and then theirs."""
    baselines = [Figure(f"  baseline: {name}", unit, samples) for name, samples in theirs.items()]
    return [*(Figure(name, unit, samples, target, baselines[0]) for name, samples in ours.items()), *baselines]


def in_turn(cases: Mapping[str, Callable[[], T]], rounds: int, *, unmeasured: int = 1) -> dict[str, list[T]]:
    """Take samples A B A B, so that whatever else the machine does hits all alike; the first rounds fill caches."""
    taken = [{name: sample() for name, sample in cases.items()} for _ in range(rounds + unmeasured)]
    return {name: [samples[name] for samples in taken[unmeasured:]] for name in cases}


def in_process(setup: str, measured: str, env: Mapping[str, str], *, traced: bool = False) -> dict[str, float]:
    """Run statements after a setup in a fresh process; return what they took, by unit."""
    code = CHILD.format(setup=setup, measured=measured, traced=traced)
    child = subprocess.run([sys.executable, "-I", "-c", code], env=env, capture_output=True, text=True, check=False)
    if child.returncode:
        sys.exit(child.stderr)
    return dict(json.loads(child.stdout.splitlines()[-1]))


def microseconds(call: Callable[[], object], repetitions: int) -> float:
    """Return what one call takes on average, without garbage collection."""
    gc.collect()
    gc.disable()
    start = time.perf_counter()
    for _ in range(repetitions):
        call()
    took = time.perf_counter() - start
    gc.enable()
    return took / repetitions * 1e6


def measure_requests(batches: int, repetitions: int) -> Section:
    """Measure the way from Python arguments to a signed request, and the signing alone."""
    auth = Tc3Auth(SECRET_ID, SECRET_KEY, SERVICE)
    client = sdk_client()
    _, body = our_request(auth, ORDER)
    cases: dict[str, Callable[[], object]] = {
        "parameter as a mapping": lambda: our_request(auth, ORDER),
        "SDK, parameter as JSON text": lambda: sdk_request(client, WIRE_ORDER),
        "parameter as JSON text": lambda: our_request(auth, TEXT_ORDER),
        "SDK, mapping that the caller dumps": lambda: sdk_request(
            client, {**WIRE_ORDER, "Parameter": json.dumps(ORDER["parameter"])}
        ),
        "signing alone": lambda: our_headers(auth, body),
        "SDK, signing alone": lambda: sdk_signed(client, body),
    }
    taken = in_turn({name: partial(microseconds, call, repetitions) for name, call in cases.items()}, batches)
    signing = {name: taken.pop(name) for name in list(taken) if "signing" in name}
    figures = []
    for group in (taken, signing):
        ours = {name: samples for name, samples in group.items() if "SDK" not in name}
        theirs = {name: samples for name, samples in group.items() if "SDK" in name}
        figures += compared("us", ours, theirs, "ratio <= 1, aim 0.5")
    note = (
        f"Mean of {repetitions} calls a sample. Ours checks every field, which the SDK leaves to the server;\n"
        "the SDK derives the key of the day for each request, ours once a day."
    )
    return Section("One CreateInstance request, from Python arguments to signed headers and body", note, figures)


def our_request(auth: Tc3Auth, order: Mapping[str, Any]) -> tuple[dict[str, str], bytes]:
    """Do what ``BillingClient.create_instance`` does until it sends."""
    payload = CREATE_INSTANCE.payload({**order, "client_token": "bench"})
    body = json.dumps(payload, separators=(",", ":")).encode()
    return our_headers(auth, body), body


def our_headers(auth: Tc3Auth, body: bytes) -> dict[str, str]:
    return {**FIXED_HEADERS, "X-TC-Action": CREATE_INSTANCE.name, **auth.headers(HOST, CONTENT_TYPE, body)}


def sdk_request(client: Any, order: Mapping[str, Any]) -> Any:
    """Do what the SDK's ``CreateInstance`` does until it sends, but for its trace id."""
    built = RequestInternal(HOST, "POST", "/")
    client._build_req_inter("CreateInstance", sdk_order("bench", order)._serialize(), built)
    return built


def sdk_signed(client: Any, body: bytes) -> Any:
    """Sign a given body as the SDK does: for this kind of content it builds none of its own."""
    built = RequestInternal(HOST, "POST", "/", data=body)
    client._build_req_inter("CreateInstance", None, built, {"IsOctetStream": True})
    return built


def sdk_order(token: str, order: Mapping[str, Any] = WIRE_ORDER) -> Any:
    request = models.CreateInstanceRequest()
    request._deserialize({**order, "ClientToken": token})
    return request


def sdk_client(address: str = "") -> Any:
    """Return the SDK's client: of the real service, or of a sandbox at ``host:port``."""
    http = HttpProfile(protocol="http", endpoint=address) if address else HttpProfile()
    return billing_client.BillingClient(
        credential.Credential(SECRET_ID, SECRET_KEY), "", ClientProfile(httpProfile=http)
    )


@contextlib.contextmanager
def sandbox() -> Iterator[str]:
    """Run a sandbox without limits in a process of its own; yield its address."""
    options = ["--rate-limit", "0", "--port", "0", "--balance", str(10**12)]
    command = [sys.executable, "-m", "airflow_provider_tcbilling.sandbox", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            found = (re.search(r"http://[\d.]+:\d+", line) for line in process.stdout or ())
            yield next(address.group() for address in found if address)
        finally:
            process.terminate()


def measure_purchases(count: int) -> Section:
    """Measure whole purchases, from a sandbox in another process."""

    def milliseconds(buy: Callable[[str], object]) -> float:
        start = time.perf_counter()
        buy(uuid4().hex)
        return (time.perf_counter() - start) * 1e3

    with sandbox() as url, contextlib.closing(BillingClient(SECRET_ID, SECRET_KEY, endpoint=url)) as client:
        theirs = sdk_client(url.partition("://")[2])
        cases: dict[str, Callable[[str], object]] = {
            "BillingClient.create_instance": lambda token: client.create_instance(client_token=token, **ORDER),
            "SDK's CreateInstance": lambda token: theirs.CreateInstance(sdk_order(token)),
        }
        taken = in_turn({name: partial(milliseconds, buy) for name, buy in cases.items()}, count, unmeasured=10)
    figures = compared("ms", *({name: samples} for name, samples in taken.items()), target="ratio <= 1")
    return Section("One purchase, end to end", "From a sandbox without delays; connections are kept.", figures)


def measure_imports(env: Mapping[str, str], rounds: int) -> Section:
    """Measure what an import adds to a process that has Airflow's task SDK."""
    sample = partial(in_process, "from airflow.sdk import BaseOperator", env=env)
    cases = {**OUR_IMPORTS, **THEIR_IMPORTS}
    if not version_of("apache-airflow-providers-http"):
        del cases["HTTP provider's operator"]
    taken = in_turn({name: partial(sample, statement) for name, statement in cases.items()}, rounds)
    traced = in_turn({name: partial(sample, statement, traced=True) for name, statement in cases.items()}, 3)
    figures = []
    for unit, source, target in (("ms", taken, "<= 25"), ("MB RSS", taken, "<= 3"), ("MB heap", traced, None)):
        ours, theirs = (
            {name: [one[unit] for one in source.get(name, ())] for name in names}
            for names in (OUR_IMPORTS, THEIR_IMPORTS)
        )
        figures += compared(unit, ours, theirs, target)
    note = (
        "Added to 'from airflow.sdk import BaseOperator', a fresh process each time. RSS fills what Airflow's own\n"
        "import has freed, so the Python heap, from separate processes under tracemalloc, says more."
    )
    return Section("Import", note, figures)


def measure_parsing(env: Mapping[str, str], rounds: int) -> Section:
    """Measure what running a DAG file takes once Airflow was imported: an example, and the same without us."""
    text = re.sub(
        r"CreateInstanceOperator\(.*?\n    \)", 'EmptyOperator(task_id="buy")', EXAMPLE.read_text(), flags=re.S
    )
    empty = "from airflow.providers.standard.operators.empty import EmptyOperator"
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, EXAMPLE.name)
        plain.write_text(re.sub(r"from airflow_provider_tcbilling.*", empty, text))
        files = {f"example_dags/{EXAMPLE.name}": EXAMPLE, "the same with EmptyOperator": plain}
        sample = partial(in_process, "import runpy; from airflow.sdk import DAG, BaseOperator, task", env=env)
        runs = in_turn({name: partial(sample, f"runpy.run_path({str(p)!r})") for name, p in files.items()}, rounds)
    ours, theirs = ({name: [one["ms"] for one in samples]} for name, samples in runs.items())
    figures = compared("ms", ours, theirs)
    added = [mine - other for mine, other in zip(figures[0].samples, figures[1].samples, strict=True)]
    note = "After 'from airflow.sdk import DAG, BaseOperator, task', a fresh process each time; other imports included."
    return Section("Parsing a DAG file", note, [*figures, Figure("difference, pair by pair", "ms", added)])


def version_of(distribution: str) -> str:
    """Return its version, or nothing if it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def show(section: Section) -> None:
    """Print a section as a table."""
    columns = ("min", "median", "p99", "max", "ratio")
    print(f"\n{section.title}\n{section.note}\n{'':54}{'n':>5}{''.join(f'{name:>9}' for name in columns)}  target")
    for figure in section.figures:
        summary = figure.summary()
        cells = ["-" if (value := summary.get(name)) is None else f"{value:.2f}" for name in columns]
        numbers = f"{len(figure.samples):>5}" + "".join(f"{cell:>9}" for cell in cells)
        label = f"{figure.name} [{figure.unit}]"
        print(f"{label:54}{numbers if summary else 'not installed'}  {figure.target or ''}".rstrip())


def main() -> None:
    """Measure everything, show it as it comes, and write it to ``.bench/bench.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer samples, more noise")
    quick = parser.parse_args().quick
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # the SDK would send even a local sandbox's requests through it
    packages = {"airflow": "apache-airflow", "sdk": "tencentcloud-sdk-python-intl-en"}
    versions = {"python": sys.version.split()[0], **{name: version_of(package) for name, package in packages.items()}}
    environment = {"cpus": os.cpu_count(), **versions}
    print(", ".join(f"{name} {value}" for name, value in environment.items()), "(quick)" if quick else "")
    rounds = 3 if quick else 11
    stored = []
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        measures: list[Callable[[], Section]] = [
            partial(measure_requests, *((7, 200) if quick else (41, 500))),
            partial(measure_purchases, 100 if quick else 500),
            partial(measure_imports, env, rounds),
            partial(measure_parsing, env, rounds),
        ]
        for measure in measures:
            section = measure()
            show(section)
            for figure in section.figures:
                fields = {"name": figure.name.strip(), "unit": figure.unit, "target": figure.target}
                baseline = figure.baseline and figure.baseline.name.strip()
                stored.append({**fields, "baseline": baseline, **figure.summary(), "samples": figure.samples})
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"environment": environment, "quick": quick, "figures": stored}, indent=1) + "\n")
    print(f"\nEvery sample: {RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
