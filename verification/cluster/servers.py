"""Servers: the PostgreSQL and the Redis of a cluster, on loopback, and what happens to them."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.real_airflow import HOST, AirflowTrouble, Process, free_port
from verification.cluster.machine import postgresql

USER = "airflow"
POSTGRES_USER = "postgres"
STARTED_SECONDS = 60.0
COMMAND_SECONDS = 120
SETTINGS = """
port = {port}
listen_addresses = '{host}'
unix_socket_directories = '{folder}'
max_connections = 300
fsync = off
"""
"""Of the server. Nothing here dies with the machine, so the disk need not be waited for."""


class PostgreSQL:
    """
    A server with a data folder of its own, in which the metadata of Airflow and the ledgers are databases.

    :param folder: Made anew.
    """

    def __init__(self, folder: Path) -> None:
        programs = postgresql()
        if programs is None:
            raise AirflowTrouble("There is no PostgreSQL on this machine.")
        self.port = free_port()
        self._programs = programs
        self._folder = folder
        self._data = folder / "data"

    def start(self) -> None:
        """Make the server, and start it."""
        self._folder.mkdir(parents=True)
        if os.getuid() == 0:
            # The server refuses to run as root.
            shutil.chown(self._folder, POSTGRES_USER)
        self._run("initdb", "--auth=trust", f"--username={USER}", "--encoding=UTF8", "--no-sync")
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.write(SETTINGS.format(port=self.port, host=HOST, folder=self._folder))
        self._control("start")

    def restart_at_once(self) -> None:
        """Restart it as after a crash: every connection is gone, every open transaction is lost."""
        self._control("restart", "--mode=immediate")

    def stop(self) -> None:
        """Stop it, if it was started."""
        if (self._data / "postmaster.pid").exists():
            self._control("stop", "--mode=immediate")

    def create_database(self, name: str) -> None:
        """Make an empty database."""
        with closing(self.connect("postgres")) as connection:
            connection.autocommit = True
            connection.cursor().execute(f'CREATE DATABASE "{name}"')

    def connect(self, database: str) -> Any:
        """Return a connection to a database."""
        import psycopg2

        return psycopg2.connect(host=HOST, port=self.port, user=USER, dbname=database, connect_timeout=5)

    def address(self, database: str) -> str:
        """Return the address of a database, without the scheme."""
        return f"{USER}:{USER}@{HOST}:{self.port}/{database}"

    def _control(self, *what: str) -> None:
        self._run("pg_ctl", *what, "--wait", f"--log={self._folder / 'server.log'}")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), f"--pgdata={self._data}", *arguments]
        own: dict[str, Any] = {"user": POSTGRES_USER} if os.getuid() == 0 else {}
        with (self._folder / "commands.log").open("ab") as log:
            done = subprocess.run(
                command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False, **own
            )
        if done.returncode:
            text = (self._folder / "commands.log").read_text(errors="replace")
            raise AirflowTrouble(f"{program} ended with code {done.returncode}:\n{text[-2000:]}")


class Redis:
    """
    The broker of the Celery executor, which stores nothing: what it holds is lost with it.

    :param folder: For its log.
    """

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: Process | None = None

    def start(self) -> None:
        """Start it, and return when it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        options = ("--port", str(self.port), "--bind", HOST, "--save", "", "--appendonly", "no")
        self._process = Process("redis", self._command(options), dict(os.environ), self._folder)
        deadline = time.monotonic() + STARTED_SECONDS
        while not self._answers():
            if self._process.code is not None or time.monotonic() > deadline:
                raise self._process.ended()
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill it, with all that is queued in it."""
        if self._process:
            self._process.kill()
            self._process = None

    def _command(self, options: Sequence[str]) -> list[str]:
        return [shutil.which("redis-server") or "redis-server", *options]

    def _answers(self) -> bool:
        import redis

        try:
            return bool(redis.Redis(HOST, self.port, socket_timeout=2).ping())
        except redis.RedisError:
            return False
