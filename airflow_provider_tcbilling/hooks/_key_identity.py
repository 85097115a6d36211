"""The identity of the key in use, for a user: principal, account, source and expiry."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.api.text import harmless
from airflow_provider_tcbilling.hooks.key_fields import TKE_OIDC

if TYPE_CHECKING:
    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.api.sts import CallerIdentity
    from airflow_provider_tcbilling.hooks.key_settings import KeySettings

PRINCIPAL_SECONDS = 5.0
"""How long STS may take to name a principal, which is good to have and not needed."""

REASON = 200
"""Characters of the reason why a principal is not known."""


def identity_of(client: BillingClient, settings: KeySettings, account: str = "") -> str:
    """
    Describe the key in use, such as ``role buyer of account 100000000001, from cvm_role, until 14:05 UTC``.

    A principal that STS does not name is no failure: a firewall may let only the billing API through.

    :param account: The number of the account; empty takes it from STS.
    :raises CredentialsUnavailable: There is no key.
    """
    key, reason, caller = client.credentials.key(), "", None
    try:
        caller = _caller(client, settings)
    except TcBillingError as error:
        reason = harmless(str(error).replace("\n", " "), REASON)
    account = account or (caller.account if caller else "")
    who = _principal(caller, settings) if caller else "a temporary key" if key.is_temporary else "a key"
    until = f", until {time.strftime('%H:%M UTC', time.gmtime(key.expires_at))}" if key.expires_at else ""
    unknown = "" if caller else f"; principal: not known ({reason})"
    return f"{who} of account {account or 'that nothing tells'}, from {client.credentials.source.name}{until}{unknown}"


def _caller(client: BillingClient, settings: KeySettings) -> CallerIdentity:
    from airflow_provider_tcbilling.api.errors import CredentialsUnavailable
    from airflow_provider_tcbilling.api.sts import caller_identity

    if not (address := settings.sts_address):
        raise CredentialsUnavailable("no STS is known for this host: give sts_endpoint")
    return caller_identity(client.credentials.key(), address, PRINCIPAL_SECONDS)


def _principal(caller: CallerIdentity, settings: KeySettings) -> str:
    """Name a role by the connection's word for it, since STS tells only its number, and a user by the number."""
    if "assumed-role" in caller.arn or caller.type == "CAMRole":
        of_pod = os.environ.get("TKE_ROLE_ARN", "") if settings.credential_source == TKE_OIDC else ""
        named = (settings.assume_role_arn or of_pod).rpartition("/")[2] or settings.cam_role_name
        return f"role {harmless(named) or caller.arn.rpartition('/')[2] or caller.principal}"
    if caller.principal == caller.account:
        return "the owner"
    return f"user {caller.principal}" if caller.principal else "a principal without a number"
