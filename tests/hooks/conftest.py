"""A worker on which every source finds a key, and a sandbox that knows all of them."""

from __future__ import annotations

import itertools

import pytest

from airflow_provider_tcbilling.api import credentials
from airflow_provider_tcbilling.api.key_sources import ID_NAMES, KEY_NAMES, TOKEN_NAMES
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.sandbox.profile_file import write_profile
from airflow_provider_tcbilling.task import masker
from tests.conftest import ORDER, SECRET_ID, SECRET_KEY, context_of
from tests.support.keys import BUYER, WEB_ROLE

NO_KEY = {"login": None, "password": None}


class World:
    """A sandbox, with a worker that every source finds a key on."""

    def __init__(self, sandbox, connect, monkeypatch, folder):
        self.sandbox, self._connect, self.monkeypatch, self._folder = sandbox, connect, monkeypatch, folder

    def connect(self, source="connection", **extra):
        """Define the connection, and give the worker what the source needs."""
        own = {} if source == "connection" else NO_KEY
        more = getattr(self, f"_{source}")()
        self._connect(host=self.sandbox.url, **own, extra={"credential_source": source, **more, **extra})

    def put_key(self, key, **extra):
        """Put a temporary key into the connection, as a secrets backend does."""
        login, password, token = key
        self._connect(host=self.sandbox.url, login=login, password=password, extra={"token": token, **extra})

    def buy(self):
        """Buy one instance with a task."""
        return CreateInstanceOperator(task_id="buy", **ORDER).execute(context_of())

    @property
    def orders(self):
        return [order for account in self.sandbox.accounts.values() for order in account.orders()]

    @property
    def purchases(self):
        return self.sandbox.requests.get("CreateInstance", 0)

    def _connection(self):
        return {}

    def _environment(self):
        self.set_environment(TENCENTCLOUD_SECRET_ID=SECRET_ID, TENCENTCLOUD_SECRET_KEY=SECRET_KEY)
        return {}

    def _profile(self):
        path = str(self._folder / "credentials")
        assert write_profile(path, self.sandbox.options) == ""
        return {"credentials_file": path}

    def _cvm_role(self):
        return {}

    def _tke_oidc(self):
        file = self._folder / "web_identity"
        file.write_text(f"{WEB_ROLE['WebIdentityToken']}\n", encoding="utf-8")
        self.set_environment(
            TKE_REGION="ap-guangzhou",
            TKE_PROVIDER_ID="tke",
            TKE_WEB_IDENTITY_TOKEN_FILE=str(file),
            TKE_ROLE_ARN=BUYER,
        )
        return {}

    def set_environment(self, **variables):
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)


@pytest.fixture
def worker(connect, monkeypatch, tmp_path):
    """Return a world around a sandbox. Its process has no keys of another test."""
    for name in (*ID_NAMES, *KEY_NAMES, *TOKEN_NAMES):
        monkeypatch.delenv(name, raising=False)
    credentials._SOURCES.begin_anew()
    monkeypatch.setattr(masker._Process, "keys", itertools.count())
    return lambda sandbox: World(sandbox, connect, monkeypatch, tmp_path)


@pytest.fixture
def world(worker, sandbox):
    return worker(sandbox)
