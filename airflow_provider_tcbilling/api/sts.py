"""
STS: keys of roles, and the identity of a key.

Tencent's Security Token Service gives temporary keys. Nothing here moves money, and whatever fails here has sent no
request of the billing API.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_tcbilling.api.credentials import Credentials, Key, KeySource
from airflow_provider_tcbilling.api.endpoint import API_DOMAIN, Endpoint, parsed, usable
from airflow_provider_tcbilling.api.error_codes import EXPIRED_CODES
from airflow_provider_tcbilling.api.errors import (
    ApiError,
    CredentialsRefused,
    CredentialsUnavailable,
    InvalidRequest,
    TcBillingError,
)
from airflow_provider_tcbilling.api.json_text import compact_json
from airflow_provider_tcbilling.api.key_reading import key_of, life_of, read_file
from airflow_provider_tcbilling.api.reading import UNREADABLE
from airflow_provider_tcbilling.api.schema import Action
from airflow_provider_tcbilling.api.signing import Tc3Auth, Unsigned
from airflow_provider_tcbilling.api.sts_actions import (
    ASSUME_ROLE,
    ASSUME_ROLE_WITH_WEB_IDENTITY,
    DEFAULT_DURATION,
    GET_CALLER_IDENTITY,
    STS_REGION,
    STS_SERVICE,
    STS_VERSION,
)
from airflow_provider_tcbilling.api.sts_codes import remedy_of
from airflow_provider_tcbilling.api.text import harmless
from airflow_provider_tcbilling.api.transport import Transport

TIMEOUT = (5.0, 10.0)
"""Seconds until the connection stands, and until the answer is there. A purchase may be waiting for it."""

SECRET_FIELDS = ("WebIdentityToken", "ExternalId")
"""Fields of requests that no error may show, even if the server repeats them."""

ROLE_ARN = re.compile(r"qcs::cam::uin/(?P<account>[0-9]{1,20}):role(Name)?/[\w+=,.@/-]{1,256}", re.ASCII)
"""The form of the name of a role, with the number of its account."""

TKE_NAMES = ("TKE_REGION", "TKE_PROVIDER_ID", "TKE_WEB_IDENTITY_TOKEN_FILE", "TKE_ROLE_ARN")
"""The variables that a cluster of Tencent's gives to a pod."""


def sts_endpoint_of(endpoint: str) -> str:
    """Return the address of the STS that belongs to a billing API; empty if its name does not tell."""
    try:
        billing = parsed(endpoint)
    except ValueError:
        return ""
    if billing.is_loopback:
        return billing.address
    service, _, site = billing.host.partition(".")
    if service != "billing" or not f".{site}".endswith(API_DOMAIN):
        return ""
    return Endpoint(billing.scheme, f"{STS_SERVICE}.{site}", billing.port, is_bare=True).address


def account_in(arn: str) -> str:
    """Return the number of the account that the name of a role holds; empty if it is no such name."""
    found = ROLE_ARN.fullmatch(arn)
    return found["account"] if found else ""


@dataclass(frozen=True)
class CallerIdentity:
    """
    The identity of a key, as STS tells it. Only the account is sure to be there.

    :param account: The number of the account, that of its root user.
    :param principal: The number of the user; for a role, of the account that assumed it.
    :param arn: The caller, such as ``qcs::sts:100000000001:assumed-role/4611686018427397919``.
    :param type: Such as ``CAMUser`` or ``CAMRole``.
    :param user_id: The user, or ``roleId:roleSessionName``.
    """

    account: str
    principal: str = ""
    arn: str = ""
    type: str = ""
    user_id: str = ""


def caller_identity(key: Key, sts_endpoint: str, within: float = sum(TIMEOUT)) -> CallerIdentity:
    """
    Ask STS for the identity of a key. It is free, and needs no permission.

    :param within: Seconds that it may take.
    :raises CredentialsUnavailable: STS does not answer.
    :raises ApiError: STS refuses the key.
    """
    signer = Tc3Auth(key.secret_id, key.secret_key, STS_SERVICE, token=key.token)
    answer, _ = _answer_to(GET_CALLER_IDENTITY, {}, signer, sts_endpoint, within)
    parts = [answer.get(name) for name in ("AccountId", "PrincipalId", "Arn", "UserId", "Type")]
    account, principal, arn, user_id, kind = (harmless(part, 200) if isinstance(part, str) else "" for part in parts)
    return CallerIdentity(account, principal, arn, kind, user_id)


@dataclass(frozen=True)
class AssumedRole:
    """
    A role that the principal of another source may assume.

    :param base: The source of the key that assumes it.
    :param role_arn: ``qcs::cam::uin/<account>:roleName/<name>``.
    :param session_name: The name of the session in Tencent's audit log.
    :param duration: Seconds that a key lives.
    :param external_id: A text that the role's trust policy demands; empty if none.
    :param sts_endpoint: The address of STS, which gets requests that the base's key signs.
    """

    base: KeySource
    role_arn: str
    session_name: str
    duration: int = DEFAULT_DURATION
    external_id: str = field(default="", repr=False)
    sts_endpoint: str = ""
    is_lasting: bool = False

    @property
    def name(self) -> str:
        """The base and the role."""
        return f"{self.base.name}, role {self.role_arn}"

    @property
    def identity(self) -> str:
        """The account of the role."""
        return f"account:{account_in(self.role_arn)}"

    def fetch(self, within: float, base: Credentials | None = None) -> Key:
        """
        Assume the role.

        :raises CredentialsUnavailable: STS gives no key now.
        :raises CredentialsRefused: It says no.
        """
        ends_at = time.monotonic() + min(within, 2 * sum(TIMEOUT))
        base = base or Credentials(self.base)
        arguments = {
            "role_arn": self.role_arn,
            "role_session_name": self.session_name,
            "duration_seconds": self.duration,
            "external_id": self.external_id,
        }
        key = base.key(ends_at - time.monotonic())
        try:
            return self._assumed(arguments, key, ends_at)
        except ApiError as error:
            if error.code not in EXPIRED_CODES or (newer := base.after(key, ends_at - time.monotonic())) == key:
                raise _no_key(self.name, error) from None
        try:
            return self._assumed(arguments, newer, ends_at)
        except ApiError as error:
            raise _no_key(self.name, error) from None

    def _assumed(self, arguments: Mapping[str, Any], key: Key, ends_at: float) -> Key:
        signer = Tc3Auth(key.secret_id, key.secret_key, STS_SERVICE, token=key.token)
        return _key_from(ASSUME_ROLE, arguments, signer, self.sts_endpoint, ends_at)


@dataclass(frozen=True)
class TkeOidc:
    """
    The role of a pod, for whose service account a cluster of Tencent's writes a web identity into a file.

    The variables and the file are read anew for each key, since the cluster replaces the file.
    """

    session_name: str
    duration: int = DEFAULT_DURATION
    sts_endpoint: str = ""
    name: str = "tke_oidc"
    base: None = None
    is_lasting: bool = False

    @property
    def identity(self) -> str:
        """The account of the role."""
        account = account_in(os.environ.get("TKE_ROLE_ARN", ""))
        return f"account:{account}" if account else self.name

    def fetch(self, within: float, base: Credentials | None = None) -> Key:
        """
        Give the web identity to STS for a key.

        :raises CredentialsUnavailable: STS gives no key now.
        :raises CredentialsRefused: It says no, or a variable or the file is missing.
        """
        ends_at = time.monotonic() + min(within, sum(TIMEOUT))
        region, provider, file, role_arn = values = [os.environ.get(name, "").strip() for name in TKE_NAMES]
        missing = [name for name, value in zip(TKE_NAMES, values, strict=True) if not value]
        if missing:
            raise CredentialsRefused(
                f"No key came from {self.name}, so nothing was sent: {', '.join(missing)} is not set. Does the pod's "
                "service account have a role?"
            )
        if not re.fullmatch(r"[a-z0-9-]+", region):
            raise CredentialsRefused(f"No key came from {self.name}, so nothing was sent: TKE_REGION names no region.")
        where = f"the file {harmless(file)}"
        # The file may end with a line break, which is no part of the token.
        web_identity = read_file(Path(file), where).strip()
        if not re.fullmatch(r"[!-~]+", web_identity):
            raise CredentialsRefused(f"No key came from {where}, so nothing was sent: it holds no token of one line.")
        arguments = {
            "provider_id": provider,
            "web_identity_token": web_identity,
            "role_arn": role_arn,
            "role_session_name": self.session_name,
            "duration_seconds": self.duration,
        }
        try:
            return _key_from(
                ASSUME_ROLE_WITH_WEB_IDENTITY, arguments, Unsigned(), self.sts_endpoint, ends_at, region=region
            )
        except ApiError as error:
            raise _no_key(self.name, error) from None


def _key_from(
    action: Action,
    arguments: Mapping[str, Any],
    signer: Tc3Auth,
    endpoint: str,
    ends_at: float,
    *,
    region: str = STS_REGION,
) -> Key:
    try:
        payload = action.payload(arguments)
    except InvalidRequest as error:
        raise CredentialsRefused(str(error)) from None
    began_at = time.time()
    answer, ahead = _answer_to(action, payload, signer, endpoint, ends_at - time.monotonic(), region=region)
    try:
        parts = {name: answer["Credentials"][name] for name in ("TmpSecretId", "TmpSecretKey", "Token")}
        left = life_of(answer["ExpiredTime"], time.time() + ahead)
        key = key_of(action.name, parts)
    except (*UNREADABLE, CredentialsRefused):
        raise CredentialsUnavailable(f"{action.name}: the answer holds no key, so nothing was sent.") from None
    if not key.token:
        raise CredentialsUnavailable(f"{action.name}: the key in the answer has no token, so nothing was sent.")
    duration = float(arguments["duration_seconds"])
    # A key that was just made has not expired, whatever two clocks say, and lives no longer than was requested.
    return Key(key.secret_id, key.secret_key, key.token, began_at + (min(left, duration) if left > 0 else duration))


def _answer_to(
    action: Action,
    payload: Mapping[str, Any],
    signer: Tc3Auth,
    endpoint: str,
    within: float,
    *,
    region: str = STS_REGION,
) -> tuple[Mapping[str, Any], float]:
    """
    Send a request to STS once, and return the answer and the seconds by which its clock is ahead.

    :raises ApiError: The answer is an error.
    :raises CredentialsUnavailable: There is no usable answer.
    """
    try:
        endpoint = usable(endpoint)
    except InvalidRequest as error:
        raise CredentialsRefused(f"{action.name}: nothing was sent, because no STS is known. {error}") from None
    transport = Transport(
        endpoint,
        signer,
        language="en-US",
        timeout=TIMEOUT,
        version=STS_VERSION,
        region=region,
        secrets=[payload.get(name, "") for name in SECRET_FIELDS],
    )
    try:
        ends_at = time.monotonic() + min(within, sum(TIMEOUT))
        answer = transport.send(action, compact_json(payload).encode(), ends_at=ends_at)
        return answer, transport.server_ahead
    except ApiError:
        raise
    except TcBillingError as error:
        raise CredentialsUnavailable(f"STS gave no usable answer, so nothing else was sent. {error}") from None
    finally:
        transport.session.close()


def _no_key(name: str, error: ApiError) -> CredentialsUnavailable:
    """Return what an error of STS means: another try may help only where the server has failed or is busy."""
    kind = CredentialsUnavailable if error.transient else CredentialsRefused
    remedy = remedy_of(error.code)
    return kind(f"No key came from {name}, so nothing was sent: {error}{f' {remedy}' if remedy else ''}")


_: tuple[Callable[..., KeySource], ...] = (AssumedRole, TkeOidc)
