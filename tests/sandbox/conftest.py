"""What every test of the sandbox ends with: the money is reckoned up."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from airflow_provider_tcbilling.sandbox import gateway
from tests.support.account import reckoned


@pytest.fixture(autouse=True)
def money_equation(start_sandbox):
    """What is left is what was there, less what was paid, plus what was given back."""
    yield
    for sandbox in start_sandbox.started:
        assert reckoned(sandbox) == (sandbox.account.balance_cents, sandbox.account.voucher_cents)


@pytest.fixture
def one_second(monkeypatch):
    """Let all requests come in the same second, as the rate limit counts them."""
    monkeypatch.setattr(gateway, "time", SimpleNamespace(time=time.time, monotonic=lambda: 0.0))
