"""The recipe of the documentation for https: its certificate is made, and the official SDK and we buy with it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import requests
from tencentcloud.billing.v20180709 import billing_client
from tencentcloud.common import credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from airflow_provider_tcbilling.api.errors import Unreachable
from airflow_provider_tcbilling.sandbox.__main__ import main
from airflow_provider_tcbilling.sandbox.options import Options
from airflow_provider_tcbilling.sandbox.sandbox import Sandbox
from airflow_provider_tcbilling.sandbox.server import running
from tests.conformance.test_vendor_sdk import purchase
from tests.conftest import ORDER, SECRET_ID, SECRET_KEY, client_to

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "sandbox.md"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Run the command of the page, and return the files that it makes."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    (command,) = re.findall(r"^\$ (openssl req (?:.*\\\n)*.*)$", PAGE.read_text(), re.MULTILINE)
    subprocess.run(command, shell=True, cwd=folder, check=True, capture_output=True)
    return str(folder / "sandbox.pem"), str(folder / "sandbox.key")


@pytest.fixture
def secured(certificate):
    """A sandbox that speaks https."""
    sandbox = Sandbox(Options(secret_id=SECRET_ID, secret_key=SECRET_KEY))
    with running(sandbox, tls=certificate) as sandbox.url:
        yield sandbox


def vendor(sandbox, certificate):
    profile = HttpProfile(endpoint=sandbox.url.replace("https://127.0.0.1", "localhost"), certification=certificate)
    return billing_client.BillingClient(
        credential.Credential(SECRET_ID, SECRET_KEY), "", ClientProfile(httpProfile=profile)
    )


def test_the_official_sdk_buys_over_https(secured, certificate):
    order = vendor(secured, certificate[0]).CreateInstance(purchase())

    assert [placed.order_id for placed in secured.account.orders()] == [order.OrderId]


def test_the_official_sdk_trusts_no_other_certificate(secured):
    with pytest.raises(TencentCloudSDKException, match="CERTIFICATE_VERIFY_FAILED"):
        vendor(secured, None).CreateInstance(purchase())

    assert secured.account.orders() == []


def test_we_buy_over_https(secured, certificate, monkeypatch):
    with pytest.raises(Unreachable):
        client_to(secured).create_instance(client_token="t", **ORDER)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate[0])

    order = client_to(secured).create_instance(client_token="t", **ORDER)

    assert [placed.order_id for placed in secured.account.orders()] == [order.order_id]


@pytest.mark.parametrize("fault", ["drop", "reset", "cut", "drip"])
def test_the_faults_of_the_connection_strike_over_https_too(secured, certificate, fault):
    secured.faults.add({"fault": fault, **({"seconds": 0.1} if fault == "drip" else {})})
    vendor_client = vendor(secured, certificate[0])

    if fault == "drip":
        assert vendor_client.CreateInstance(purchase()).OrderId
    else:
        with pytest.raises((TencentCloudSDKException, requests.RequestException)):
            vendor_client.CreateInstance(purchase())
    assert len(secured.account.orders()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tls-cert", "{cert}"], "Give both"),
        (["--tls-key", "{key}"], "Give both"),
        (["--tls-cert", "nowhere.pem", "--tls-key", "{key}"], "nowhere.pem"),
        (["--tls-cert", "{key}", "--tls-key", "{cert}"], "Cannot use the certificate"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_said_in_words(certificate, capsys, arguments, message):
    arguments = [word.format(cert=certificate[0], key=certificate[1]) for word in arguments]

    assert main(["--port", "0", *arguments]) == 1
    assert message in capsys.readouterr().err
