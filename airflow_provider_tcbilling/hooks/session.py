"""Session: the clients of one execution, made when they are first used and closed together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.api.credentials import Credentials
    from airflow_provider_tcbilling.api.rate_limit import Limiter
    from airflow_provider_tcbilling.hooks.connection import Settings
    from airflow_provider_tcbilling.ledger.database_address import Address
    from airflow_provider_tcbilling.ledger.database_engine import Database
    from airflow_provider_tcbilling.ledger.rate_limit import Queues

__all__ = ["Session", "client_of"]


class Session:
    """
    The settings and clients of one execution. Leaving the ``with`` block closes every client that was made.

    :param read: Returns the connection's settings. It is called when they are first needed.
    :param options: Arguments of each :class:`~airflow_provider_tcbilling.api.client.BillingClient`, such as
        ``attempts``.
    """

    def __init__(self, read: Callable[[], Settings], **options: Any) -> None:
        self._read = read
        self._options = options

    @cached_property
    def settings(self) -> Settings:
        """The connection; errors as in :meth:`.TcBillingHook.get_settings`."""
        return self._read()

    @cached_property
    def credentials(self) -> Credentials | None:
        """The keys of the connection's source; ``None`` if the connection holds a permanent key itself."""
        return credentials_for(self.settings, self._read)

    @cached_property
    def buying(self) -> BillingClient:
        """The client that may use the whole rate limit."""
        return client_of(self.settings, self.credentials, **self._options)

    @cached_property
    def waiting(self) -> BillingClient:
        """The client that uses at most half of the rate limit, so that purchases always get the rest."""
        return client_of(self.settings, self.credentials, is_waiting=True, **self._options)

    def close(self) -> None:
        """Close the clients. One that is used afterwards is made anew."""
        for name in ("buying", "waiting"):
            if client := vars(self).pop(name, None):
                client.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def client_of(
    settings: Settings,
    credentials: Credentials | None = None,
    *,
    is_waiting: bool = False,
    only_reads: bool = False,
    **options: Any,
) -> BillingClient:
    """
    Make a client from settings. The caller closes it. One for waiting only reads, and where the deployment says
    ``[tcbilling] dry_run = True`` every one does.

    :param credentials: The keys of the settings' source; ``None`` makes them.
    :param is_waiting: The client uses at most half of the rate limit, so that purchases always get the rest.
    :param only_reads: The client refuses each action that changes something.
    :param options: Further arguments of the client, such as ``attempts``.
    """
    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.api.rate_limit import RateLimiter
    from airflow_provider_tcbilling.task.deployment import is_dry_run

    return BillingClient(
        settings.secret_id,
        settings.secret_key,
        token=settings.token,
        credentials=credentials or credentials_for(settings),
        account_id=settings.account_id,
        sts_endpoint=settings.sts_endpoint or None,
        endpoint=settings.endpoint,
        language=settings.language,
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        only_reads=only_reads or is_waiting or is_dry_run(),
        rate_limiter=RateLimiter(
            settings.endpoint,
            settings.identity,
            settings.requests_per_second,
            is_waiting=is_waiting,
            limiter_of=_limiter_of(settings.ledger_conn_id),
        ),
        **options,
    )


def credentials_for(settings: Settings, read: Callable[[], Settings] | None = None) -> Credentials | None:
    """
    Return the keys of the settings' source, which all clients of this process share. Those of a temporary key in the
    connection are the caller's own.

    :param read: Reads the connection anew when the server calls the temporary key in it expired.
    :return: ``None`` if the connection holds a permanent key itself.
    """
    if settings.has_own_key and not settings.token:
        return None
    from airflow_provider_tcbilling.api.credentials import Credentials, credentials_of
    from airflow_provider_tcbilling.task.masker import mask_key

    if not settings.token:
        return credentials_of(settings.key_source(), on_new_key=mask_key)
    from airflow_provider_tcbilling.hooks.connection_key import ConnectionKey

    source = settings.key_source(ConnectionKey(settings, read or (lambda: settings)))
    # Airflow masks what it reads from a connection itself.
    return Credentials(source, on_new_key=None if settings.has_own_key else mask_key)


def _limiter_of(conn_id: str) -> Callable[[str, float], Limiter] | None:
    """Return what makes a queue of the fleet in the ledger's database; ``None`` without such a ledger."""
    if not conn_id:
        return None
    from airflow_provider_tcbilling.ledger.rate_limit import FleetLimiter

    return partial(FleetLimiter, LedgerConnection.of(conn_id).queues)


class LedgerConnection:
    """
    The Airflow connection of a ledger in a database, which a process reads once, for its queues of requests.

    :param conn_id: The Airflow connection.
    """

    _all: ClassVar[dict[str, LedgerConnection]] = {}

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._address: Address | None = None

    @classmethod
    def of(cls, conn_id: str) -> LedgerConnection:
        """Return the one of this process."""
        return cls._all.setdefault(conn_id, cls(conn_id))

    @cached_property
    def queues(self) -> Queues:
        """The queues in the database. Trouble is met once by all clients of the process."""
        from airflow_provider_tcbilling.ledger.rate_limit import Queues

        return Queues(self._database)

    def read(self) -> None:
        """
        Read the connection anew.

        Triggers do so inside the event loop, since their queries run in threads, where not every line of Airflow can
        read a connection. One that cannot be read raises nothing here: the queries go on at a low rate.
        """
        from airflow_provider_tcbilling.task.ledger_connection import address_of

        with contextlib.suppress(Exception):
            self._address = address_of(self._conn_id)

    def _database(self) -> Database:
        from airflow_provider_tcbilling.ledger.database_engine import database_of
        from airflow_provider_tcbilling.task.ledger_connection import address_of

        self._address = self._address or address_of(self._conn_id)
        return database_of(self._address)
