"""What tests of the limiter share: queues apart from other tests, and a guard against what blocks."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from airflow_provider_tcbilling.api import rate_limit, request_queue
from airflow_provider_tcbilling.api.rate_limit import RateLimiter
from airflow_provider_tcbilling.api.request_queue import unpacked

ACTION = "CreateInstance"
AT_ONCE = 20.0
"""Seconds that stand for no time at all, so that a busy machine fails no test. A file that blocks, blocks for ever."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Keep the queues of each test apart."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(rate_limit, "_QUEUES", {})
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp" / f"airflow-provider-tcbilling-{os.getuid()}"


def within_no_time(work):
    """Return what the work returns, and fail if it blocks."""
    results = []
    thread = threading.Thread(target=lambda: results.append(work()), daemon=True)
    thread.start()
    thread.join(AT_ONCE)
    assert results, "it blocks"
    return results[0]


def asks(per_second=1e4):
    """Ask as a process of its own would: nothing is known of earlier trouble."""
    rate_limit._QUEUES.clear()
    return within_no_time(lambda: RateLimiter("e", "id", per_second).wait(ACTION, 60, time.sleep))


def the_file(folder):
    (file,) = folder.iterdir()
    return file


def drawn(folder):
    """How many tickets the processes of this machine have drawn together."""
    return unpacked(the_file(folder).read_bytes()[: request_queue.SIZE]).drawn


def run(script, *arguments):
    env = {**os.environ, "TMPDIR": tempfile.gettempdir()}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=240)
