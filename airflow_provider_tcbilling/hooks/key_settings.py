"""KeySettings: the part of a connection that says where its key comes from, and which account it must be of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from airflow_provider_tcbilling.api.endpoint import parsed
from airflow_provider_tcbilling.hooks.key_fields import CONNECTION, CVM_ROLE, ENVIRONMENT, PROFILE

if TYPE_CHECKING:
    from airflow_provider_tcbilling.api.credentials import KeySource

__all__ = ["KeySettings"]


@dataclass(frozen=True)
class KeySettings:
    """
    The part of a connection that says where its key comes from. It holds a secret only if the connection does.

    :param conn_id: The Airflow connection.
    :param endpoint: The address of the billing API.
    :param secret_id: The connection's login; empty with another source.
    :param token: The session token of the connection's own temporary key, else empty.
    :param credential_source: The source of the key, by its name.
    :param cam_role_name: The role of the machine; empty if it has only one.
    :param profile: The section of a file of profiles; empty is ``default``.
    :param credentials_file: Its absolute path; empty is the usual place.
    :param assume_role_arn: The role that is assumed with the source's key; empty if none is.
    :param assume_role_duration: Seconds that a key of the role lives.
    :param sts_endpoint: The address of STS; empty is the one that belongs to the endpoint.
    :param account_id: The account that every key must be of; empty if the connection does not say.
    """

    conn_id: str
    endpoint: str
    secret_id: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)
    credential_source: str
    cam_role_name: str
    profile: str
    credentials_file: str
    assume_role_arn: str
    assume_role_session_name: str
    assume_role_duration: int
    assume_role_external_id: str = field(repr=False)
    sts_endpoint: str
    account_id: str

    def __reduce__(self) -> NoReturn:
        raise TypeError("the settings of a connection can hold a key, so they are not pickled")

    @property
    def has_own_key(self) -> bool:
        """Whether requests are signed with the key that stands in the connection."""
        return self.credential_source == CONNECTION and not self.assume_role_arn

    @property
    def key_name(self) -> str:
        """The SecretId, shortened, or the source of the key, for a message: enough to tell two keys apart."""
        if not self.has_own_key:
            return f"key from {self.key_source().name}"
        is_long = len(self.secret_id) > 12
        return f"SecretId {f'{self.secret_id[:4]}...{self.secret_id[-4:]}' if is_long else self.secret_id}"

    @property
    def sts_address(self) -> str:
        """The address of STS; empty if none is given and none belongs to the endpoint."""
        from airflow_provider_tcbilling.api.sts import sts_endpoint_of

        return self.sts_endpoint or sts_endpoint_of(self.endpoint)

    @property
    def identity(self) -> str:
        """The name of the queue in which the requests wait. It stays the same while temporary keys come and go."""
        if account := self.account_id or self._account_of_role:
            return f"account:{account}"
        if self.has_own_key and not self.token:
            return self.secret_id
        return self.key_source().identity

    def key_source(self, base: KeySource | None = None) -> KeySource:
        """
        Return the source of the keys that requests are signed with. Nothing is read or sent yet.

        :param base: Take this source in the place of ``credential_source``.
        """
        base = base or self._base()
        if not self.assume_role_arn:
            return base
        from airflow_provider_tcbilling.api.sts import AssumedRole

        return AssumedRole(
            base,
            self.assume_role_arn,
            self.assume_role_session_name,
            self.assume_role_duration,
            self.assume_role_external_id,
            self.sts_address,
        )

    @property
    def _account_of_role(self) -> str:
        if not self.assume_role_arn:
            return ""
        from airflow_provider_tcbilling.api.sts import account_in

        return account_in(self.assume_role_arn)

    def _base(self) -> KeySource:
        from airflow_provider_tcbilling.api import key_sources
        from airflow_provider_tcbilling.api.credentials import Key

        if self.credential_source == CONNECTION:
            return key_sources.FixedKey(Key(self.secret_id, self.secret_key, self.token), f"connection:{self.conn_id}")
        if self.credential_source == ENVIRONMENT:
            return key_sources.Environment()
        if self.credential_source == PROFILE:
            return key_sources.Profile(self.credentials_file, self.profile or "default")
        if self.credential_source == CVM_ROLE:
            if parsed(self.endpoint).is_loopback:
                # A sandbox on this machine is its own metadata service.
                return key_sources.CvmRole(self.cam_role_name, self.endpoint)
            return key_sources.CvmRole(self.cam_role_name)
        from airflow_provider_tcbilling.api.sts import TkeOidc

        return TkeOidc(self.assume_role_session_name, self.assume_role_duration, self.sts_address)
