"""Session: the clients of one execution, made when they are first used and closed together."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.hooks.connection import Settings

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
    def buying(self) -> BillingClient:
        """The client that may use the whole rate limit."""
        return client_of(self.settings, **self._options)

    @cached_property
    def waiting(self) -> BillingClient:
        """The client that uses at most half of the rate limit, so that purchases always get the rest."""
        return client_of(self.settings, is_waiting=True, **self._options)

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


def client_of(settings: Settings, *, is_waiting: bool = False, **options: Any) -> BillingClient:
    """
    Make a client from settings. The caller closes it.

    :param is_waiting: The client uses at most half of the rate limit, so that purchases always get the rest.
    :param options: Further arguments of the client, such as ``attempts``.
    """
    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.api.rate_limit import RateLimiter

    return BillingClient(
        settings.secret_id,
        settings.secret_key,
        token=settings.token,
        endpoint=settings.endpoint,
        language=settings.language,
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        rate_limiter=RateLimiter(
            settings.endpoint, settings.secret_id, settings.requests_per_second, is_waiting=is_waiting
        ),
        **options,
    )
