"""Database servers for tests, each in a folder of its own, where their programs are installed."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECONDS = 120.0
"""How long a server may take to start or stop on a machine that is busy."""

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

    def execute(self, statement: str, database: str = "") -> list[tuple]:
        raise NotImplementedError

    def new_database(self) -> str:
        name = f"ledger_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def connection(self, database: str, **other: object) -> dict[str, object]:
        """Return the fields of an Airflow connection."""
        fields = {"conn_type": self.kind, "host": "127.0.0.1", "port": self.port, "schema": database}
        return {**fields, "login": self.user, "password": PASSWORD, **other}


def _unprivileged() -> list[str]:
    """Return the begin of a command that must not run as root."""
    return ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []


class PostgreSQL(Server):
    @staticmethod
    def programs() -> Path:
        found = shutil.which("postgres")
        folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        if not folders:
            raise NotInstalled("PostgreSQL is not installed")
        return folders[-1]

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        tune = "-c max_connections=100 -c fsync=off"
        self._control("start", "-w", "-o", f"{options}'' {tune}", "-l", str(self.folder / "log"))

    def stop(self, mode: str = "immediate") -> None:
        self._control("stop", "-m", mode)

    def _control(self, *command: str) -> None:
        control = [*_unprivileged(), str(self.programs() / "pg_ctl"), "-D", str(self.folder / "data"), *command]
        subprocess.run(control, check=True, timeout=SECONDS, stdout=subprocess.DEVNULL, cwd=self.folder)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple]:
        import psycopg2

        fields = {"host": "127.0.0.1", "port": self.port, "user": self.user, "password": PASSWORD}
        with contextlib.closing(psycopg2.connect(dbname=database, **fields)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """Start a PostgreSQL, and stop it."""
    programs = PostgreSQL.programs()
    folder = Path(tempfile.mkdtemp(prefix="tcbilling-postgres-"))
    if _unprivileged():
        shutil.chown(folder, "postgres")
    server = PostgreSQL("postgres", free_port(), "owner", folder)
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    make = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", server.user, f"--pwfile={secret}", "-A", "md5"]
    try:
        command = [*_unprivileged(), *make, "-E", "UTF8", "--no-sync"]
        subprocess.run(command, check=True, timeout=SECONDS, stdout=subprocess.DEVNULL, cwd=folder)
        server.start()
        yield server
    finally:
        with contextlib.suppress(subprocess.SubprocessError, OSError):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def address(server: Server, database: str, **other: object):
    """Return the address of a database of a server, as a ledger has it."""
    from airflow_provider_tcbilling.ledger.database_address import Address

    kind = {"postgres": "postgresql"}.get(server.kind, server.kind)
    fields = {"host": "127.0.0.1", "port": server.port, "user": server.user, "password": PASSWORD, **other}
    return Address(kind, database, **fields)
