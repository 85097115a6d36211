"""What every test of the sandbox ends with: the money is reckoned up."""

from __future__ import annotations

import pytest

from tests.support.account import reckoned


@pytest.fixture(autouse=True)
def money_equation(start_sandbox):
    """What is left is what was there, less what was paid, plus what was given back."""
    yield
    for sandbox in start_sandbox.started:
        assert reckoned(sandbox) == (sandbox.account.balance_cents, sandbox.account.voucher_cents)
