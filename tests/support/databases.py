"""Database servers for tests, each in a folder of its own, where their programs are installed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_tcbilling.ledger.database_address import Address

import pytest

SECONDS = 120.0
"""How long a server may take to start or stop on a machine that is busy."""

MEMORY = 4 * 2**30
"""Bytes that must be free in memory for a server to be there."""

PASSWORD = "database-password-4711"


class NotInstalled(Exception):
    """The programs of a server are not on this machine."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Server:
    """
    A server of databases on a port of this machine.

    :param kind: The type of its Airflow connections.
    """

    kind: str
    port: int
    user: str
    folder: Path

    def execute(self, statement: str, database: str = "") -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def new_database(self) -> str:
        name = f"ledger_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def connection(self, database: str, **other: Any) -> dict[str, Any]:
        """Return the fields of an Airflow connection."""
        fields: dict[str, Any] = {"conn_type": self.kind, "host": "127.0.0.1", "port": self.port, "schema": database}
        return {**fields, "login": self.user, "password": PASSWORD, **other}


def _unprivileged() -> list[str]:
    """Return the begin of a command that must not run as root."""
    return ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []


@dataclass
class PostgreSQL(Server):
    """
    A PostgreSQL.

    :param is_durable: It syncs what it stores, as it does in production; else it is faster.
    """

    is_durable: bool = False

    @staticmethod
    def programs() -> Path:
        found = shutil.which("postgres")
        folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        if not folders:
            raise NotInstalled("PostgreSQL is not installed")
        return folders[-1]

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        tune = f"-c max_connections=100 -c fsync={'on' if self.is_durable else 'off'}"
        self._control("start", "-w", "-o", f"{options}'' {tune}", "-l", str(self.folder / "log"))

    def stop(self, mode: str = "immediate") -> None:
        self._control("stop", "-m", mode)

    def control(self, *command: str) -> list[str]:
        return [*_unprivileged(), str(self.programs() / "pg_ctl"), "-D", str(self.folder / "data"), *command]

    def _control(self, *command: str) -> None:
        subprocess.run(self.control(*command), check=True, stdout=subprocess.DEVNULL, cwd=self.folder)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        import psycopg2

        fields = {"host": "127.0.0.1", "port": self.port, "user": self.user, "password": PASSWORD}
        with contextlib.closing(psycopg2.connect(dbname=database, **fields)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


WATCH = 'while kill -0 "$1" 2>/dev/null; do sleep 1; done; cd "$2"; shift 2; "$@"; rm -rf "$PWD"'
"""A script that waits for the end of a process, and then stops a server and removes its folder."""


_OF_ALL_WORKERS: list[tuple[Server, subprocess.Popen[bytes]]] = []
"""Servers that outlive the worker that started them, with what ends them."""


@contextlib.contextmanager
def _kept(server: Server, process: int, stop: list[str]) -> Iterator[None]:
    """
    Stop a server and remove its folder at the end, and also if this process is killed.

    :param process: Its end, instead of that of the block, is the end of the server; 0 is none.
    """
    command = ["sh", "-c", WATCH, "sh", str(process or os.getpid()), str(server.folder), *stop]
    null = subprocess.DEVNULL
    watcher = subprocess.Popen(command, start_new_session=True, stdin=null, stdout=null, stderr=null)
    if process:
        _OF_ALL_WORKERS.append((server, watcher))
    try:
        yield
    finally:
        if not process:
            watcher.kill()
            watcher.wait()
            with contextlib.suppress(Exception):
                server.stop()
            shutil.rmtree(server.folder, ignore_errors=True)


def shared(
    kind: str, start: Callable[..., contextlib.AbstractContextManager[Server]], folder: Path
) -> Iterator[Server]:
    """
    Yield a server of the whole test run, or skip the test where it is not installed.

    With several workers the first one starts it, and it ends with the process that started the workers.

    :param folder: A folder that the workers share.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield from server_or_skip(start)
        return
    fields = folder / f"{kind}.json"
    with (folder / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not fields.exists():
            for server in server_or_skip(lambda: start(os.getppid())):
                fields.write_text(json.dumps([server.kind, server.port, server.user, str(server.folder)]))
    kind, port, user, place = json.loads(fields.read_text())
    yield (PostgreSQL if kind == "postgres" else MariaDB)(kind, port, user, Path(place))


def _new_folder(kind: str) -> Path:
    """Return a new folder, in memory where there is room: each ledger of a test has a database of its own."""
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > MEMORY
    return Path(tempfile.mkdtemp(prefix=f"tcbilling-{kind}-", dir=memory if has_room else None))


@contextlib.contextmanager
def postgresql(process: int = 0, *, is_durable: bool = False) -> Iterator[PostgreSQL]:
    """
    Start a PostgreSQL, and stop it.

    :param process: It ends with this process at the latest; 0 is this one.
    """
    programs = PostgreSQL.programs()
    folder = Path(tempfile.mkdtemp(prefix="tcbilling-postgres-")) if is_durable else _new_folder("postgres")
    if _unprivileged():
        shutil.chown(folder, "postgres")
    server = PostgreSQL("postgres", free_port(), "owner", folder, is_durable)
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    make = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", server.user, f"--pwfile={secret}", "-A", "md5"]
    with _kept(server, process, server.control("stop", "-m", "immediate")):
        command = [*_unprivileged(), *make, "-E", "UTF8", "--no-sync"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)
        server.start()
        yield server


class MariaDB(Server):
    """A stand-in for MySQL 8, which Debian does not have."""

    def start(self) -> None:
        options = [f"--datadir={self.folder / 'data'}", f"--port={self.port}", "--bind-address=127.0.0.1"]
        files = [f"--socket={self.folder / 'socket'}", f"--pid-file={self.folder / 'pid'}", "--skip-name-resolve"]
        user = ["--user=mysql"] if os.getuid() == 0 else []
        log = (self.folder / "log").open("wb")
        command = [
            "mariadbd",
            "--no-defaults",
            *options,
            *files,
            *user,
            "--skip-log-bin",
            "--innodb-flush-log-at-trx-commit=2",
        ]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True)
        wait, until = threading.Event().wait, time.monotonic() + SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            with contextlib.suppress(Exception):
                self._make_owner()
                return
            wait(0.1)
        raise NotInstalled(f"MariaDB does not start: {(self.folder / 'log').read_text()[-500:]}")

    def _make_owner(self) -> None:
        import pymysql

        with contextlib.closing(pymysql.connect(user="root", unix_socket=str(self.folder / "socket"))) as root:
            owner = f"{self.user}@'127.0.0.1'"
            root.cursor().execute(f"CREATE USER IF NOT EXISTS {owner} IDENTIFIED BY '{PASSWORD}'")
            root.cursor().execute(f"GRANT ALL ON *.* TO {owner} WITH GRANT OPTION")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(SECONDS)

    def execute(self, statement: str, database: str = "mysql") -> list[tuple[Any, ...]]:
        import pymysql

        fields = {"host": "127.0.0.1", "port": self.port, "user": self.user, "password": PASSWORD}
        with contextlib.closing(pymysql.connect(database=database, autocommit=True, **fields)) as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return list(cursor.fetchall())


@contextlib.contextmanager
def mariadb(process: int = 0) -> Iterator[MariaDB]:
    """
    Start a MariaDB, and stop it.

    :param process: It ends with this process at the latest; 0 is this one.
    """
    if not (shutil.which("mariadbd") and shutil.which("mariadb-install-db")):
        raise NotInstalled("MariaDB is not installed")
    folder = _new_folder("mariadb")
    user = []
    if os.getuid() == 0:
        shutil.chown(folder, "mysql")
        user = ["--user=mysql"]
    server = MariaDB("mysql", free_port(), "owner", folder)
    make = ["mariadb-install-db", "--no-defaults", f"--datadir={folder / 'data'}", "--skip-test-db", *user]
    make.append("--auth-root-authentication-method=normal")
    with _kept(server, process, ["sh", "-c", "kill -9 $(cat pid)"]):
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server.start()
        yield server


def server_or_skip(start: Callable[[], contextlib.AbstractContextManager[Server]]) -> Iterator[Server]:
    """Yield a server that runs, or skip the test, with the reason, where it is not installed."""
    try:
        with start() as server:
            yield server
    except NotInstalled as error:
        pytest.skip(str(error))


def address(server: Server, database: str, **other: Any) -> Address:
    """Return the address of a database of a server, as a ledger has it."""
    from airflow_provider_tcbilling.ledger.database_address import Address

    kind = {"postgres": "postgresql"}.get(server.kind, server.kind)
    fields: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": server.port,
        "user": server.user,
        "password": PASSWORD,
        **other,
    }
    return Address(kind, database, **fields)
