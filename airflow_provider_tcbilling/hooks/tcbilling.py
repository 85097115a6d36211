"""TcBillingHook: an Airflow connection in, a billing client out."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, BaseHook, conf

from airflow_provider_tcbilling.api.errors import AnotherAccount, ApiError, InvalidRequest, TcBillingError
from airflow_provider_tcbilling.api.reading import UNREADABLE
from airflow_provider_tcbilling.hooks._checks import message_of
from airflow_provider_tcbilling.hooks.connection import (
    CONN_TYPE,
    DEFAULT_CONN_ID,
    EXTRA_FIELDS,
    HIDDEN_FIELDS,
    HOOK_NAME,
    LABELS,
    PLACEHOLDERS,
    Settings,
)
from airflow_provider_tcbilling.hooks.session import LedgerConnection, Session, client_of
from airflow_provider_tcbilling.task.arguments import A_COUNT, A_SPAN, optional
from airflow_provider_tcbilling.task.masker import mask_through_this_loop

if TYPE_CHECKING:
    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.api.models import RenewableInstance
    from airflow_provider_tcbilling.hooks.preflight import Preflight

__all__ = ["TcBillingHook"]


class TcBillingHook(BaseHook):
    """
    Hold the key of a Tencent Cloud account and make clients for its billing API.

    :param tcbilling_conn_id: The Airflow connection: login is the SecretId, password the SecretKey, host the
        endpoint (empty is the international site).
    """

    conn_name_attr = "tcbilling_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = CONN_TYPE
    hook_name = HOOK_NAME

    def __init__(self, tcbilling_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tcbilling_conn_id = tcbilling_conn_id

    def get_settings(self) -> Settings:
        """
        Read the connection.

        :raises AirflowNotFoundException: There is no such connection.
        :raises InvalidRequest: It has mistakes; all are named, and nothing was sent.
        """
        try:
            read = self._settings(self.get_connection(self.tcbilling_conn_id))
        except UNREADABLE as error:
            read = self._unreadable(error)
        return _sound(read)

    def session(self, **options: Any) -> Session:
        """
        Return the clients of one execution: ``with hook.session() as tencent``, then ``tencent.buying`` or
        ``tencent.waiting``. Leaving the block closes them. The connection is read when it is first needed.

        :param options: Further arguments of the clients, such as ``attempts``.
        """
        return Session(self.get_settings, **options)

    def get_conn(self) -> BillingClient:
        """Return a client for the connection, which the caller closes. Blocking; errors as in :meth:`get_settings`."""
        return client_of(self.get_settings())

    async def aget_settings(self) -> Settings:
        """Read the connection, from inside an event loop."""
        from airflow.providers.common.compat.connection import get_async_connection
        from asgiref.sync import sync_to_async

        mask_through_this_loop()
        # In the triggerer, reading the extra can talk to the main loop to mask its secrets.
        try:
            read = await sync_to_async(self._settings)(await get_async_connection(self.tcbilling_conn_id))
        except UNREADABLE as error:
            read = self._unreadable(error)
        settings = _sound(read)
        if settings.ledger_conn_id:
            await sync_to_async(LedgerConnection.of(settings.ledger_conn_id).read)()
        return settings

    async def aget_conn(self) -> BillingClient:
        """Return a client for waiting, which the caller closes. The connection is read once, here."""
        return client_of(await self.aget_settings(), is_waiting=True)

    def expiring_instances(
        self, within: timedelta | float | str, *, limit: int | str | None = None, **filters: Any
    ) -> list[RenewableInstance]:
        """
        Return the instances that expire within a span, soonest first. It only reads, all pages of the list.

        :param within: A timedelta, seconds, or an ISO 8601 duration such as ``P14D``.
        :param limit: The most instances to return; ``None`` returns all.
        :param filters: ``product_codes``, ``sub_product_codes``, ``region_codes``, ``renew_flags``, each a text or a
            list, and ``name``, a pattern with ``*`` and ``?``. ``*`` is all; nothing, or an empty list, is a mistake.
        :raises InvalidRequest: An argument is not what it should be. Nothing was sent.
        :raises TcBillingError: The list could not be read.
        """
        from airflow_provider_tcbilling.waiting.expiry import expiring
        from airflow_provider_tcbilling.waiting.filters import Wanted

        seconds = A_SPAN.of("expiring_instances", "within", within)
        most = optional(A_COUNT).of("expiring_instances", "limit", limit)
        with self.session() as tencent:
            found = expiring(tencent.buying, time.time(), seconds, Wanted.read(filters))
        if most is None or len(found) <= most:
            return found
        self.log.warning("%d instances expire in that span; only the first %d are taken.", len(found), most)
        return found[:most]

    def test_connection(self) -> tuple[bool, str]:
        """Send two signed requests that are free, and name the key, or what to correct if it fails."""
        from airflow_provider_tcbilling.api.text import amount
        from airflow_provider_tcbilling.hooks._key_identity import identity_of

        try:
            with self.session(attempts=1) as tencent:
                endpoint, client = tencent.settings.endpoint, tencent.buying
                balance = client.describe_account_balance()
                key = identity_of(client, tencent.settings, str(balance.uin or ""))
        except ApiError as error:
            return False, message_of(error)
        except AnotherAccount as error:
            return False, f"{error} Correct account_id in the connection, or the source of its key."
        except (TcBillingError, AirflowException) as error:
            return False, str(error)
        can_spend = amount(balance.spendable_cents, "of its currency")
        message = f"{endpoint} knows the key: {key}. The account can spend {can_spend}."
        if client.clock_offset:
            message += f" The clock of this machine is off by {abs(client.clock_offset):.0f} seconds: set it."
        return True, message

    def preflight(self) -> Preflight:
        """
        Test everything about the connection that can be tested without buying: the key, the site, the clock, the order
        book, the ledger, the limits. Only reading requests are sent, and what a test of the ledger writes, it removes.

        A purchase itself is not tested: no free request shows whether the key may buy.

        :return: One check for each property. Nothing is raised for one that does not hold.
        """
        from airflow_provider_tcbilling.hooks.preflight import ATTEMPTS, preflight_of

        with self.session(attempts=ATTEMPTS) as tencent:
            return preflight_of(self.tcbilling_conn_id, tencent)

    @staticmethod
    def get_ui_field_behaviour() -> dict[str, Any]:
        """Return the form's labels, for the user interface of Airflow before 3.2."""
        return {
            "hidden_fields": list(HIDDEN_FIELDS),
            "relabeling": dict(LABELS),
            "placeholders": dict(PLACEHOLDERS),
        }

    @staticmethod
    def get_connection_form_widgets() -> dict[str, Any]:
        """Return the form's extra fields, for the user interface of Airflow before 3.2."""
        from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
        from wtforms import PasswordField, StringField

        widgets = {}
        for extra in EXTRA_FIELDS:
            secret = extra.is_secret
            kind, widget = (PasswordField, BS3PasswordFieldWidget) if secret else (StringField, BS3TextFieldWidget)
            widgets[extra.name] = kind(extra.label, widget=widget(), description=extra.about)
        return widgets

    def _unreadable(self, error: Exception) -> InvalidRequest:
        """Return the mistake of a connection that Airflow could not read, without showing its content."""
        mistake = f"Airflow cannot read it ({type(error).__name__}): check its port, its extra, its JSON"
        return InvalidRequest(f"Connection {self.tcbilling_conn_id}", [mistake])

    @staticmethod
    def _settings(connection: Any) -> Settings | InvalidRequest:
        allowed = conf.get("tcbilling", "allowed_hosts", fallback="")
        try:
            return Settings.read(connection, [host.strip() for host in allowed.split(",") if host.strip()])
        except InvalidRequest as error:
            return error.with_traceback(None)


def _sound(read: Settings | InvalidRequest) -> Settings:
    """Return settings, or raise their mistakes: in a frame that has no connection, which would show its key."""
    if isinstance(read, InvalidRequest):
        raise read
    return read
