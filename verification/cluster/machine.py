"""Machine: the programs that a cluster needs beside Airflow, and the namespaces that make nodes of processes."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

NODE = "CLUSTER_NODE"
"""The variable that names the node of a process."""

NAMESPACES = ("--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL")
"""Of each node: its own mounts, host name and processes. The kernel kills all of these with the first one."""

WAYS = (("unshare", *NAMESPACES), ("unshare", "--map-root-user", *NAMESPACES))
"""How namespaces are made: as root, and as a user whom the machine allows it."""

PLAIN = "CLUSTER_PLAIN"
"""The variable that makes nodes plain processes although the machine has namespaces for them."""

FAKE_TIME = "/usr/lib/*/faketime/libfaketime.so.1"
PREFERRED_PATHS = ("/usr/lib/postgresql", "/usr/pgsql", "/opt/homebrew/opt")


def host_name() -> str:
    """Return the name of the node, for Airflow: it is the machine's where nodes are no machines."""
    return os.environ[NODE]


@functools.cache
def postgresql() -> Path | None:
    """Return the folder of PostgreSQL's programs, of the newest version there is; ``None`` without one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    initdb = found[-1] if found else shutil.which("initdb")
    return Path(initdb).parent if initdb else None


@functools.cache
def fake_time() -> Path | None:
    """Return the library that sets the clock of one process; ``None`` without one."""
    return next(Path("/").glob(FAKE_TIME[1:]), None)


def missing() -> list[str]:
    """Return the programs without which there is no cluster."""
    return [
        *([] if postgresql() else ["PostgreSQL (initdb)"]),
        *([] if shutil.which("redis-server") else ["Redis (redis-server)"]),
    ]


@functools.cache
def way_of_namespaces() -> Sequence[str]:
    """Return the command that starts a program in namespaces of its own; empty where the machine refuses."""
    if os.environ.get(PLAIN):
        return ()
    script = f"mount --make-rprivate / && mount --bind {tempfile.gettempdir()} /mnt && hostname node"
    for way in WAYS:
        try:
            subprocess.run([*way, "sh", "-c", script], check=True, capture_output=True, timeout=20)
        except (OSError, subprocess.SubprocessError):
            continue
        return way
    return ()


def command_of_node(name: str, address: str, home: Path, shared: Sequence[Path], command: Sequence[str]) -> list[str]:
    """
    Return the command that runs a program as a machine of its own.

    :param address: Its address, for its file of hosts.
    :param home: The folder of the node. Its ``tmp`` becomes the temporary folder.
    :param shared: Folders that it sees although they lie in this machine's temporary folder.
    """
    hosts = home / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{address} {name}.cluster.internal {name}\n", encoding="utf-8")
    steps = ["mount --make-rprivate /", *_kept(home / "tmp", shared), _bind(hosts, Path("/etc/hosts"))]
    steps += [f"hostname {name}", _bind(home / "tmp", Path(tempfile.gettempdir()), recursive=True)]
    steps += [f"cd {shlex.quote(str(home))}", f"exec {shlex.join(command)}"]
    return [*way_of_namespaces(), "sh", "-c", " && ".join(steps)]


def _kept(private: Path, shared: Sequence[Path]) -> Iterator[str]:
    """Yield the commands that keep folders below the temporary folder in sight when a private one takes its place."""
    root = Path(tempfile.gettempdir()).resolve()
    for path in shared:
        if path.resolve().is_relative_to(root):
            place = private / path.resolve().relative_to(root)
            place.mkdir(parents=True, exist_ok=True)
            yield _bind(path, place)


def _bind(source: Path, place: Path, *, recursive: bool = False) -> str:
    return shlex.join(["mount", "--rbind" if recursive else "--bind", str(source), str(place)])
