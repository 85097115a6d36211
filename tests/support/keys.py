"""Short ways to speak with STS and with the metadata service of a sandbox, without a client of ours."""

from __future__ import annotations

import json

import requests

from airflow_provider_tcbilling.api.signing import Tc3Auth
from airflow_provider_tcbilling.api.sts_actions import STS_REGION, STS_VERSION
from tests.conftest import SECRET_ID, SECRET_KEY

BUYER = "qcs::cam::uin/100000000001:roleName/buyer"
OTHER_BUYER = "qcs::cam::uin/100000000002:roleName/other-buyer"
OWN_KEY = (SECRET_ID, SECRET_KEY, "")
OTHER_KEY = ("AKIDSANDBOXOTHER", "sandbox-other-key", "")
ROLE = {"RoleArn": BUYER, "RoleSessionName": "tests"}
WEB_ROLE = {**ROLE, "ProviderId": "tke", "WebIdentityToken": "eyJhbGciOi.web.identity"}
SECURITY_CREDENTIALS = "/latest/meta-data/cam/security-credentials/"


def answered(sandbox, action, body=None, *, key=OWN_KEY, service="sts", version=None, auth=None, **headers):
    """Send one request of a service, and return the whole HTTP response."""
    sent = {
        "Content-Type": "application/json",
        "Host": sandbox.url.partition("//")[2],
        "X-TC-Action": action,
        "X-TC-Version": version or {"sts": STS_VERSION}.get(service, "2018-07-09"),
        "X-TC-Region": STS_REGION,
        **headers,
    }
    sent = {name: value for name, value in sent.items() if value is not None}
    if "Authorization" not in headers:
        auth = auth or Tc3Auth(key[0], key[1], service, token=key[2])
    data = json.dumps(body or {}).encode()
    return requests.post(sandbox.url, data=data, headers=sent, auth=auth, timeout=60)


def sts(sandbox, action, body=None, **options):
    """Return the Response object of a request to STS."""
    return answered(sandbox, action, body, **options).json()["Response"]


def billing(sandbox, action, body=None, **options):
    """Return the Response object of a request to the billing API."""
    return answered(sandbox, action, body, service="billing", **options).json()["Response"]


def web_identity(sandbox, **changes):
    """Assume a role with a web identity, unsigned."""
    return sts(sandbox, "AssumeRoleWithWebIdentity", {**WEB_ROLE, **changes}, Authorization="SKIP")


def parts(answer):
    """Return id, key and token of an answer of STS or of the metadata service."""
    key = answer.get("Credentials", answer)
    return key["TmpSecretId"], key["TmpSecretKey"], key["Token"]


def assumed(sandbox, role_arn=BUYER, **options):
    """Return a temporary key of a role."""
    key = options.pop("key", OWN_KEY)
    return parts(sts(sandbox, "AssumeRole", {**ROLE, "RoleArn": role_arn, **options}, key=key))


def metadata(sandbox, role_name="", **options):
    """Send one request to the metadata service."""
    return requests.get(f"{sandbox.url}{SECURITY_CREDENTIALS}{role_name}", timeout=60, **options)


def code(answer):
    """Return the error code of an answer, or nothing."""
    return answer.get("Error", {}).get("Code")
