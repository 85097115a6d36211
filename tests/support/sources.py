"""A connection for each source of keys, with the variables, the files and the role that it needs."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tcbilling.api import credentials
from airflow_provider_tcbilling.api.signing import Tc3Auth
from airflow_provider_tcbilling.api.transport import Transport
from airflow_provider_tcbilling.sandbox.roles import BUYER as BUYER_ROLE
from airflow_provider_tcbilling.sandbox.roles import Principal
from tests.support.keys import BUYER

OUTSIDE = ("connection", "environment", "profile")
"""The sources whose temporary keys something else replaces, such as a secrets backend."""

SERVED = {"cvm_role": "metadata", "tke_oidc": "AssumeRoleWithWebIdentity", "role": "AssumeRole"}
"""The sources that give temporary keys themselves, and the request that gets one. ``role`` is an assumed one."""

SOURCES = (*OUTSIDE, *SERVED)

NAMES = ("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", "TENCENTCLOUD_TOKEN")


@dataclass
class Source:
    """One source of keys, and its connection."""

    name: str
    sandbox: Any
    connect: Any
    patch: pytest.MonkeyPatch
    folder: Path
    extra: dict[str, Any] = field(default_factory=dict)
    external_id: str = ""
    web_identity: str = field(default_factory=lambda: f"eyJ{secrets.token_hex(24)}.{secrets.token_hex(24)}")
    conn_id: str = "tcbilling_default"
    seconds: int = 7200

    def begin(self) -> None:
        """Make the connection, and give it a key where the source itself gives none."""
        if self.name == "tke_oidc":
            file = self.folder / "web-identity"
            file.write_text(f"{self.web_identity}\n")
            variables = ("TKE_REGION", "TKE_PROVIDER_ID", "TKE_WEB_IDENTITY_TOKEN_FILE", "TKE_ROLE_ARN")
            for name, value in zip(variables, ("ap-guangzhou", "tke", str(file), BUYER), strict=True):
                self.patch.setenv(name, value)
        if self.name in OUTSIDE:
            self.replace_key()
        if self.name != "connection":
            self._connect()

    def replace_key(self) -> None:
        """Put the next temporary key where the source finds it, as a secrets backend does."""
        applicant = Principal(BUYER_ROLE.account, BUYER_ROLE, "tests", BUYER_ROLE.account)
        key = self.sandbox.keys.issue(applicant, self.seconds)
        secret_id, secret_key, token = key.secret_id, key.secret_key, key.token
        if self.name == "connection":
            self._connect(secret_id, secret_key, token)
        elif self.name == "environment":
            for name, value in zip(NAMES, (secret_id, secret_key, token), strict=True):
                self.patch.setenv(name, value)
        else:
            lines = f"secret_id = {secret_id}\nsecret_key = {secret_key}\ntoken = {token}\n"
            (self.folder / "credentials").write_text(f"[default]\n{lines}")

    def secrets(self) -> set[str]:
        """Return everything that nothing may show: keys, tokens, web identity, external id."""
        issued = {text for key in self.sandbox.keys.issued for text in (key.secret_key, key.token)}
        return issued | {self.web_identity, self.external_id, self.sandbox.options.secret_key} - {""}

    def _connect(self, secret_id: str | None = None, secret_key: str | None = None, token: str = "") -> None:
        fields: dict[str, Any] = {
            "connection": {"token": token},
            "environment": {"credential_source": "environment"},
            "profile": {"credential_source": "profile", "credentials_file": str(self.folder / "credentials")},
            "cvm_role": {"credential_source": "cvm_role", "cam_role_name": "buyer"},
            "tke_oidc": {"credential_source": "tke_oidc"},
            "role": {"assume_role_arn": BUYER, "assume_role_external_id": self.external_id},
        }[self.name]
        if self.name == "role":
            secret_id, secret_key = self.sandbox.options.secret_id, self.sandbox.options.secret_key
        extra = {**{name: value for name, value in fields.items() if value}, **self.extra}
        self.connect(host=self.sandbox.url, conn_id=self.conn_id, login=secret_id, password=secret_key, extra=extra)


def _now():
    return time.time()


@pytest.fixture
def source(connect, monkeypatch, tmp_path):
    """Make the connection of a source: ``source("cvm_role", sandbox, account_id="...")``. No process had its keys."""
    for name in list(os.environ):
        if name.startswith(("TENCENTCLOUD_", "TKE_")):
            monkeypatch.delenv(name)
    for kind in (credentials.Credentials, Tc3Auth, Transport):
        # The clock of a test, if it has one, is everybody's.
        monkeypatch.setitem(kind.__init__.__kwdefaults__, "clock", _now)
    credentials._SOURCES.begin_anew()

    def make(name, sandbox, *, external_id="", conn_id="tcbilling_default", **extra):
        made = Source(name, sandbox, connect, monkeypatch, tmp_path, extra, external_id, conn_id=conn_id)
        made.begin()
        return made

    yield make
    credentials._SOURCES.begin_anew()
