"""The schema of a ledger in a database: whether it is the one that this package needs, and its migrations."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, MetaData, String, Table, inspect, select

from airflow_provider_tcbilling.ledger.database_address import Address
from airflow_provider_tcbilling.ledger.database_tables import REVISIONS, VERSION_TABLE, identity
from airflow_provider_tcbilling.purchasing.errors import StoreFailed

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy.engine import Connection

    from airflow_provider_tcbilling.ledger.database_engine import Database

UPGRADE = "python -m airflow_provider_tcbilling ledger upgrade --conn-id CONN_ID"

_version = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32)))


@dataclass(frozen=True)
class Identity:
    """
    A ledger, whatever name it is reached by.

    :param id: Each worker must see the same one.
    :param created_at: Epoch seconds, by the ledger's clock. From then on no purchase is missing.
    :param revision: Of its schema.
    """

    id: str
    created_at: float
    revision: str


def identity_of(database: Database) -> Identity:
    """
    Return the identity of a ledger whose schema is the one that this package needs. It is read once a process.

    A SQLite file without tables gets them here. No other database does.

    :raises StoreFailed: The schema is missing, older or newer. Nothing was sent.
    """
    if "identity" not in database.facts:
        if database.address.kind == "sqlite" and revision_of(database) != REVISIONS[-1]:
            upgrade(database)
        found = database.reading(_identity)
        _refuse_another_schema(database, found.revision if found else "")
        database.facts["identity"] = found
    known: Identity = database.facts["identity"]
    return known


def revision_of(database: Database) -> str:
    """Return the revision of the schema; empty if there is none."""
    found = database.reading(_identity)
    return found.revision if found else ""


def _identity(connection: Connection) -> Identity | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision = connection.execute(select(_version.c.version_num)).scalar()
    if revision not in REVISIONS:
        return Identity("", 0.0, revision or "")
    row = connection.execute(select(identity.c.id, identity.c.created_at)).first()
    return Identity(row.id, row.created_at, revision) if row else None


def _refuse_another_schema(database: Database, revision: str) -> None:
    if revision == REVISIONS[-1]:
        return
    if revision and revision not in REVISIONS:
        raise StoreFailed(
            f"{database.about_first} has the schema of a newer version of this package ({revision}; this one "
            f"has {REVISIONS[-1]}), so nothing was sent. Update airflow-provider-tcbilling on this machine."
        )
    state = f"has an older schema ({revision})" if revision else "has no tables yet"
    raise StoreFailed(
        f"{database.about_first} {state}, so nothing was sent. An administrator must run {UPGRADE} once; with "
        "--sql it prints the SQL for a role that may create tables."
    )


def upgrade(database: Database) -> None:
    """
    Create the tables of a ledger, or bring them to the schema of this package; one that is so already stays.

    :raises StoreFailed: The role may not do it, or the schema is newer.
    """
    from alembic import command

    revision = revision_of(database)
    if revision and revision not in REVISIONS:
        _refuse_another_schema(database, revision)

    def run(connection: Connection) -> None:
        connection.exec_driver_sql(database.dialect.upgrade_lock)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.exec_driver_sql(database.dialect.upgrade_unlock)

    database.facts.clear()
    database.changing(run)


def upgrade_sql(address: Address) -> str:
    """Return the SQL that creates the tables of a new ledger, for an administrator."""
    from alembic import command

    config, out = _config(), io.StringIO()
    config.output_buffer = out
    config.attributes["dialect"] = address.kind
    command.upgrade(config, "head", sql=True)
    return out.getvalue()


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def shares_a_schema_with_airflow(database: Database) -> bool:
    """Whether the tables stand beside those of Airflow's metadata database, which is its own matter."""

    def has(connection: Connection) -> Any:
        return inspect(connection).has_table("dag_run")

    return bool(database.reading(has))
