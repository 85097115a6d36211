"""The account of a key, which neither its name nor its form tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_tcbilling.api.actions import DESCRIBE_ACCOUNT_BALANCE
from airflow_provider_tcbilling.api.credentials import Key
from airflow_provider_tcbilling.api.error_codes import EXPIRED_CODES
from airflow_provider_tcbilling.api.errors import ApiError, CredentialsUnavailable
from airflow_provider_tcbilling.api.models import Balance
from airflow_provider_tcbilling.api.reading import read_by
from airflow_provider_tcbilling.api.sts import TIMEOUT, caller_identity, sts_endpoint_of

if TYPE_CHECKING:
    from airflow_provider_tcbilling.api.caller import Caller


def account_of(caller: Caller, key: Key, sts_endpoint: str | None, send_by: float) -> str:
    """
    Return the number of the account that a key is of, from its balance, or from STS if it may not read the balance.

    :param sts_endpoint: The address of STS; ``None`` is the one that belongs to the caller's endpoint.
    :return: Empty if nothing tells it.
    :raises TcBillingError: It could not be read this time, or the key has expired.
    """
    try:
        answer = caller.call(DESCRIBE_ACCOUNT_BALANCE, {}, send_by, key)
        return str(read_by(DESCRIBE_ACCOUNT_BALANCE.name, lambda: Balance.from_wire(answer)).uin or "")
    except ApiError as error:
        if error.transient or (error.code in EXPIRED_CODES and not caller.credentials.is_lasting):
            raise
    endpoint = sts_endpoint_of(caller.endpoint) if sts_endpoint is None else sts_endpoint
    try:
        return caller_identity(key, endpoint, min(sum(TIMEOUT), send_by - caller.clock())).account if endpoint else ""
    except ApiError as error:
        if error.transient:
            raise
    except CredentialsUnavailable:
        # A permanent key may well be used where nothing but the billing API can be reached.
        if key.is_temporary:
            raise
    return ""
