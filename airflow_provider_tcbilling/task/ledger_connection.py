"""From an Airflow connection to the database of a ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_tcbilling.purchasing.errors import StoreFailed

if TYPE_CHECKING:
    from airflow_provider_tcbilling.ledger.database import DatabaseStore
    from airflow_provider_tcbilling.ledger.database_address import Address

KINDS = {"postgres": "postgresql", "postgresql": "postgresql", "mysql": "mysql", "sqlite": "sqlite"}
"""Kinds of database by the type of an Airflow connection."""

OPTIONS = {
    "postgresql": (
        *("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "ssl_min_protocol_version"),
        *("options", "application_name", "connect_timeout", "target_session_attrs", "channel_binding", "gssencmode"),
        *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"),
    ),
    "mysql": ("unix_socket", "connect_timeout"),
    "sqlite": (),
}
"""Fields of the connection's extra that the driver gets. All others are left out."""


def open_database(conn_id: str) -> DatabaseStore:
    """
    Open the ledger that an Airflow connection names. Nothing is read from it yet.

    :raises StoreFailed: There is no such connection, or it is of another type. Nothing was sent.
    """
    from airflow_provider_tcbilling.ledger.database import DatabaseStore

    return DatabaseStore(address_of(conn_id))


def address_of(conn_id: str) -> Address:
    """
    Return the address of the database that an Airflow connection names.

    :raises StoreFailed: There is no such connection, or it is of another type. Nothing was sent.
    """
    from airflow_provider_tcbilling.ledger.database_address import Address

    connection = _connection(conn_id)
    kind = KINDS.get(str(connection.conn_type).lower())
    if kind is None:
        raise StoreFailed(
            f"The ledger_conn_id {conn_id} is a connection of type {connection.conn_type}, and a ledger is in a "
            "database of type postgres, mysql or sqlite, so nothing was sent."
        )
    database = str(connection.schema or "")
    if kind == "sqlite":
        database = database or str(connection.host or "")
    try:
        return Address(
            kind,
            database,
            host="" if kind == "sqlite" else str(connection.host or ""),
            port=connection.port,
            user=str(connection.login or ""),
            password=str(connection.password or ""),
            options=tuple(_options(kind, connection.extra_dejson or {})),
        )
    except ValueError as error:
        raise StoreFailed(f"The connection {conn_id} cannot be a ledger, so nothing was sent: {error}.") from None


def _connection(conn_id: str) -> Any:
    from airflow.providers.common.compat.sdk import BaseHook

    try:
        return BaseHook.get_connection(conn_id)
    except Exception as error:
        raise StoreFailed(
            f"There is no connection {conn_id}, which ledger_conn_id names, so nothing was sent "
            f"({type(error).__name__})."
        ) from None


def _options(kind: str, extra: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in OPTIONS[kind]:
        if extra.get(name) not in (None, ""):
            yield name, str(extra[name])
    ssl = extra.get("ssl")
    if kind == "mysql" and isinstance(ssl, Mapping):
        yield from ((f"ssl_{name}", str(value)) for name, value in sorted(ssl.items()))
