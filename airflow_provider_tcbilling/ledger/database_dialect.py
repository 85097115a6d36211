"""What PostgreSQL, MySQL and SQLite need differently: drivers, time-outs, clocks, and what their errors mean."""

from __future__ import annotations

import contextlib
import re
from enum import Enum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import event
from sqlalchemy.engine import URL

from airflow_provider_tcbilling.purchasing.errors import StoreFailed

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

    from airflow_provider_tcbilling.ledger.database_address import Address

CONNECT_SECONDS = 10
STATEMENT_SECONDS = 30
LOCK_SECONDS = 15
"""Most of it is less than a millisecond. A transaction that stands still for longer is ended by the server."""


class Trouble(Enum):
    """The meaning of a database error for another try."""

    PASSING = "a lost connection, a deadlock, a server that starts"
    FULL = "no connection is free"
    REFUSED = "the user, the password or the database is wrong"
    READ_ONLY = "the role may not do it"
    OTHER = "another try does not help"

    @property
    def may_pass(self) -> bool:
        """Whether the same may succeed in a moment."""
        return self in (Trouble.PASSING, Trouble.FULL)


class Dialect:
    """One kind of database. A subclass says what differs."""

    drivers: ClassVar[dict[str, str]] = {}
    """Drivers by the name of their module, the best first."""

    extra: ClassVar[str] = ""
    """The extra of this package that brings a driver."""

    isolation_level: ClassVar[str | None] = None
    """The isolation level that the driver is set to, where it is not its default."""

    has_own_clock = True
    clock: ClassVar[str] = ""
    """The query of the time in epoch seconds."""

    upgrade_lock: ClassVar[str] = "SELECT 1"
    """The statement that lets only one process create tables."""

    upgrade_unlock: ClassVar[str] = "SELECT 1"
    """The statement that ends this, where the end of the transaction does not."""

    codes: ClassVar[dict[Any, Trouble]] = {}
    """The meaning of each error code."""

    phrases: ClassVar[tuple[tuple[str, Trouble], ...]] = ()
    """The meaning of an error without a code, by a pattern in its text."""

    def driver(self) -> str:
        """
        Return the driver that is installed.

        :raises StoreFailed: There is none.
        """
        for module, name in self.drivers.items():
            if find_spec(module):
                return name
        raise StoreFailed(
            f"There is no driver for this ledger, so nothing was sent: pip install airflow-provider-tcbilling"
            f"[{self.extra}] brings one."
        )

    def url(self, address: Address) -> URL:
        """Return the address as SQLAlchemy writes it."""
        return URL.create(
            self.driver(), address.user or None, address.password or None, address.host or None, address.port,
            address.database,
        )  # fmt: skip

    def connect_args(self, address: Address) -> dict[str, Any]:
        """Return the arguments of the driver."""
        return {"connect_timeout": CONNECT_SECONDS, **dict(address.options)}

    def on_connect(self, raw: Any) -> None:
        """Prepare a new connection of the driver."""

    def listen(self, engine: Engine) -> None:
        """Let the transactions of an engine begin and end as this kind of database needs it."""

    def code_of(self, error: BaseException) -> Any:
        """Return the code of an error of the driver."""
        return None

    def trouble(self, error: BaseException) -> Trouble:
        """Return what an error of the driver means."""
        if (code := self.code_of(error)) in self.codes:
            return self.codes[code]
        text = str(error)
        return next((trouble for pattern, trouble in self.phrases if re.search(pattern, text)), Trouble.OTHER)


class PostgreSQL(Dialect):
    """PostgreSQL 12 and newer, also behind PgBouncer: no setting outlives its transaction."""

    drivers: ClassVar = {"psycopg2": "postgresql+psycopg2", "psycopg": "postgresql+psycopg"}
    extra = "postgres"
    clock = "SELECT extract(epoch FROM clock_timestamp())"
    upgrade_lock = "SELECT pg_advisory_xact_lock(7232455464)"
    codes: ClassVar = {
        **dict.fromkeys(("40001", "40P01", "55P03", "57014", "57P01", "57P02", "57P03", "25P03"), Trouble.PASSING),
        **dict.fromkeys(("53300", "53400"), Trouble.FULL),
        **dict.fromkeys(("28000", "28P01", "3D000"), Trouble.REFUSED),
        **dict.fromkeys(("42501", "25006"), Trouble.READ_ONLY),
    }
    phrases = (
        (r"too many clients|connection slots are reserved|too many connections|pool_size", Trouble.FULL),
        (r"timeout expired", Trouble.FULL),  # As a server that is overloaded lets a client wait.
        (r"authentication failed|(database|role) .* does not exist|no pg_hba", Trouble.REFUSED),
    )
    isolation_level = "AUTOCOMMIT"
    """So that the driver sends no BEGIN of its own, which would be a message more."""

    settings = "; ".join(
        (
            f"SET LOCAL statement_timeout = {STATEMENT_SECONDS * 1000}",
            f"SET LOCAL lock_timeout = {LOCK_SECONDS * 1000}",
            f"SET LOCAL idle_in_transaction_session_timeout = {LOCK_SECONDS * 1000}",
        )
    )
    """The time-outs of a transaction."""

    begin = "; ".join(
        (
            "BEGIN",
            settings,
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'",
        )
    )
    """The begin of a transaction that changes something, in one message."""

    def connect_args(self, address: Address) -> dict[str, Any]:
        """Return the arguments of the driver."""
        options: dict[str, Any] = {
            "application_name": "tcbilling ledger",
            "keepalives_idle": "30",
            **dict(address.options),
        }
        if self.driver().endswith("+psycopg"):
            options["prepare_threshold"] = None
        return {"connect_timeout": CONNECT_SECONDS, **options}

    def listen(self, engine: Engine) -> None:
        """
        Send the begin of a transaction with its first statement.

        A query begins none: each of its statements has the time-outs, and sees what was stored when it began.
        """
        event.listen(engine, "begin", self._on_begin)
        event.listen(engine, "before_cursor_execute", self._before_statement, retval=True)
        event.listen(engine, "commit", lambda connection: self._end(connection, "COMMIT"))
        event.listen(engine, "rollback", lambda connection: self._end(connection, "ROLLBACK"))

    def _on_begin(self, connection: Connection) -> None:
        changes = connection.get_execution_options().get("tcbilling_changes")
        connection.info["before"], connection.info["began"] = (self.begin if changes else self.settings), False

    def _before_statement(
        self, connection: Connection, cursor: Any, statement: str, parameters: Any, *_: Any
    ) -> tuple[str, Any]:
        before = connection.info.get("before", "")
        if before == self.begin:
            connection.info["before"], connection.info["began"] = "", True
        if before and connection.dialect.driver != "psycopg2":  # It takes one statement at a time.
            cursor.execute(before)
            before = ""
        return (f"{before}; {statement}" if before else statement), parameters

    @staticmethod
    def _end(connection: Connection, how: str) -> None:
        if connection.info.pop("began", False):
            with contextlib.closing(connection.connection.cursor()) as cursor:
                cursor.execute(how)

    def code_of(self, error: BaseException) -> Any:
        """Return the code of an error of the driver."""
        return getattr(error, "pgcode", None) or getattr(error, "sqlstate", None)


class MySQL(Dialect):
    """MySQL 8 and newer."""

    drivers: ClassVar = {"pymysql": "mysql+pymysql", "MySQLdb": "mysql+mysqldb"}
    extra = "mysql"
    clock = "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1000000"
    upgrade_lock = "SELECT GET_LOCK(CONCAT('tcbilling ', LEFT(DATABASE(), 50)), 20)"
    upgrade_unlock = "DO RELEASE_ALL_LOCKS()"
    codes: ClassVar = {
        **dict.fromkeys((1205, 1213, 2006, 2013, 1053, 1927, 3024), Trouble.PASSING),
        **dict.fromkeys((1040, 1203, 1226), Trouble.FULL),
        **dict.fromkeys((1044, 1045, 1049, 1698), Trouble.REFUSED),
        **dict.fromkeys((1142, 1143, 1290, 1792, 1836), Trouble.READ_ONLY),
    }
    settings = (
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ENGINE_SUBSTITUTION', "
        f"SESSION innodb_lock_wait_timeout = {LOCK_SECONDS}, SESSION wait_timeout = {2 * LOCK_SECONDS}",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    )

    def connect_args(self, address: Address) -> dict[str, Any]:
        """Return the arguments of the driver."""
        options: dict[str, Any] = {"read_timeout": STATEMENT_SECONDS, "write_timeout": STATEMENT_SECONDS}
        return {"connect_timeout": CONNECT_SECONDS, "charset": "utf8mb4", **options, **_mysql_options(address)}

    def on_connect(self, raw: Any) -> None:
        """Prepare a new connection of the driver."""
        cursor = raw.cursor()
        for setting in self.settings:
            cursor.execute(setting)
        cursor.close()

    def code_of(self, error: BaseException) -> Any:
        """Return the code of an error of the driver."""
        return error.args[0] if error.args else None


def _mysql_options(address: Address) -> dict[str, Any]:
    """Return the options of the driver: those that begin with ``ssl_`` are together one, and a time-out is a number."""
    given = dict(address.options)
    ssl = {name[4:]: value for name, value in given.items() if name.startswith("ssl_")}
    plain = {name: value for name, value in given.items() if not name.startswith("ssl_")}
    seconds = {name: float(value) for name, value in plain.items() if name == "connect_timeout"}
    return {**plain, **seconds, **({"ssl": ssl} if ssl else {})}


class SQLite(Dialect):
    """A SQLite file on a disk of this machine, in WAL mode. Its clock is that of the machine."""

    drivers: ClassVar = {"sqlite3": "sqlite"}
    has_own_clock = False
    phrases = (
        (r"database is locked|database table is locked|busy", Trouble.PASSING),
        (r"unable to open|not a database|malformed", Trouble.REFUSED),
        (r"readonly|read-only", Trouble.READ_ONLY),
    )
    settings = (
        f"PRAGMA busy_timeout = {STATEMENT_SECONDS * 1000}",
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
    )

    def connect_args(self, address: Address) -> dict[str, Any]:
        """Return the arguments of the driver."""
        return {"timeout": STATEMENT_SECONDS, "check_same_thread": False, "isolation_level": None}

    def on_connect(self, raw: Any) -> None:
        """Prepare a new connection of the driver."""
        for setting in self.settings:
            raw.execute(setting)

    def listen(self, engine: Engine) -> None:
        """Lock the file before a change reads it. A query begins no transaction."""
        event.listen(engine, "begin", self._on_begin)

    @staticmethod
    def _on_begin(connection: Connection) -> None:
        if connection.get_execution_options().get("tcbilling_changes"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def dialect_of(kind: str) -> Dialect:
    """Return the dialect of a kind of database."""
    return {"postgresql": PostgreSQL, "mysql": MySQL, "sqlite": SQLite}[kind]()
