"""ConnectionKey: the temporary key of a connection, in which a secrets backend puts the next one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_tcbilling.api.credentials import Key
from airflow_provider_tcbilling.api.errors import CredentialsRefused, CredentialsUnavailable, InvalidRequest

if TYPE_CHECKING:
    from airflow_provider_tcbilling.api.credentials import Credentials
    from airflow_provider_tcbilling.hooks.key_settings import KeySettings

__all__ = ["ConnectionKey"]


class ConnectionKey:
    """
    The temporary key of a connection. Each one after the first is read from the connection anew.

    Only the key is taken: a deadline, a ledger or a limit that has changed meanwhile counts from the next task on.

    :param settings: The connection as it was read, whose key is the first one.
    :param read: Reads the connection anew.
    """

    name = "connection"
    base = None
    is_lasting = False

    def __init__(self, settings: KeySettings, read: Callable[[], KeySettings]) -> None:
        self.identity = settings.identity
        self._place = (settings.credential_source, settings.assume_role_arn)
        self._first: KeySettings | None = settings
        self._read = read

    def fetch(self, within: float, base: Credentials | None = None) -> Key:
        """
        Return the key that the connection holds now.

        :param within: Not used: how long it takes is up to the backend of the connection.
        :raises CredentialsUnavailable: Airflow cannot read the connection now, or its key has another source or role
            by now, which the next task takes. Nothing was sent.
        :raises CredentialsRefused: It has mistakes. Nothing was sent.
        """
        settings, self._first = self._first or self._again(), None
        if (settings.credential_source, settings.assume_role_arn) != self._place:
            raise CredentialsUnavailable(
                f"The key has expired, and the connection {settings.conn_id} names another source or role of its key "
                "by now, so nothing was sent. The next try takes it."
            )
        return Key(settings.secret_id, settings.secret_key, settings.token)

    def _again(self) -> KeySettings:
        try:
            return self._read()
        except InvalidRequest as error:
            raise CredentialsRefused(str(error)) from None
        except Exception as error:
            # The text of another library's error may hold what it could not read.
            raise CredentialsUnavailable(
                f"The key has expired, and Airflow cannot read its connection ({type(error).__name__}), so nothing was "
                "sent."
            ) from None
