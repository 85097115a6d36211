"""A PostgreSQL server of the tests' own, on 127.0.0.1, with the settings that it has by default."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

USER = "postgres"

FOLDERS = os.environ.get("TMPDIR", "/tmp")
"""Not a folder of the test: the user of the server could not enter it."""


class NoPostgres(Exception):
    """This machine has no PostgreSQL server."""


@dataclass
class Postgres:
    """
    A server that runs.

    :param port: On 127.0.0.1.
    :param folder: Its data.
    """

    port: int
    folder: Path

    @property
    def url(self) -> str:
        """The address of its first database, for SQLAlchemy."""
        return f"postgresql+psycopg2://{USER}@127.0.0.1:{self.port}/{USER}"

    def new_database(self, name: str) -> str:
        """Make an empty database; return its address for SQLAlchemy."""
        _run("createdb", "-h", "127.0.0.1", "-p", self.port, "-U", USER, name)
        return f"postgresql+psycopg2://{USER}@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        _run("pg_ctl", "-D", self.folder / "data", "-l", self.folder / "log", "-w", "-t", "120", "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it as a crash does, or in another of its modes."""
        _run("pg_ctl", "-D", self.folder / "data", "-m", mode, "-w", "stop")


def binaries() -> Path:
    """
    Return the folder of the server's programs.

    :raises NoPostgres: There is none.
    """
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found or not (found[-1] / "initdb").exists():
        raise NoPostgres("PostgreSQL's server is not installed")
    return found[-1]


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """
    Run a server with an empty database.

    :raises NoPostgres: This machine has none.
    """
    binaries()
    with tempfile.TemporaryDirectory(prefix="tcbilling-postgres-", dir=FOLDERS) as name, socket.socket() as chosen:
        folder = Path(name)
        if os.getuid() == 0:
            shutil.chown(folder, USER)
        chosen.bind(("127.0.0.1", 0))
        server = Postgres(chosen.getsockname()[1], folder)
        _run("initdb", "-D", folder / "data", "-A", "trust", "-U", USER, "--no-sync")
        options = f"port = {server.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n"
        with open(folder / "data" / "postgresql.conf", "a") as file:
            file.write(options)
        chosen.close()
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                server.stop()
            with contextlib.suppress(OSError, ValueError):
                os.kill(int((folder / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)


def _run(program: str, *arguments: Any) -> None:
    """Run a program of the server, which refuses to run as root."""
    user: dict[str, Any] = {}
    if os.getuid() == 0:
        account = pwd.getpwnam(USER)
        user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": (), "cwd": account.pw_dir}
    command = [binaries() / program, *map(str, arguments)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=240, **user)
