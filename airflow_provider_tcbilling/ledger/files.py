"""
Files: whole files in a folder that several machines may mount, each created once only.

A file is written under a name of its own, a *draft*, and gets its final name in one step, so no reader sees half of it.
A hard link gives a name only if it is free. Where the file system has no hard links, the right to give the name is
taken first, by a *claim*: an empty file that is created exclusively, and that stays.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

FILE_MODE = 0o640
"""Of a record in a local folder. The group may read it, as workers may run as several users of one group."""

CLAIM_SECONDS = 5.0
"""How long a claim is respected whose file does not appear. A process needs milliseconds between the two."""

POLL_SECONDS = 0.05

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS})
"""The errors of file systems without hard links, such as Azure Files over SMB, FAT and some in user space."""

_NO_FOLDER_SYNC = frozenset(
    {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOSYS}
)
"""The errors of file systems that do not write a folder to the disk on request, or not for this user."""


def create(path: str, content: bytes) -> None:
    """
    Create a file whole or not at all, so that it survives a loss of power. Of several creations one succeeds.

    :raises FileExistsError: There is one.
    """
    try:
        with _draft(f"{path}.0", content) as draft:
            os.link(draft, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _create_by_claim(path, content)
    _sync_folder(path)


def replace(path: str, content: bytes) -> None:
    """Write a file whole or not at all, in place of the one before, so that it survives a loss of power."""
    with _draft(path, content) as draft:
        draft.replace(path)
    _sync_folder(path)


def discard(path: str) -> None:
    """Delete a file that nobody creates any more, and its claims."""
    with contextlib.suppress(FileNotFoundError):
        for turn in itertools.count():
            os.unlink(_claim_name(path, turn))
    os.unlink(path)


def _create_by_claim(path: str, content: bytes) -> None:
    """
    Create a file where there are no hard links.

    The process that creates the claim of a turn may rename its draft of that turn, which it wrote before. If it dies in
    between, the others delete the drafts of the turn, so that its rename fails however late it comes, and take the next
    turn. So nobody is blocked for ever, and no two processes give the name.
    """
    for turn in itertools.count():
        with _draft(f"{path}.{turn}", content) as draft:
            if _has_claimed(path, turn):
                _refuse_if_there(path)
                with contextlib.suppress(FileNotFoundError):  # The others waited too long for this process.
                    draft.rename(path)
                    return
            else:
                _wait_for(path)
        _end_turn(path, turn)


def _has_claimed(path: str, turn: int) -> bool:
    try:
        os.close(os.open(_claim_name(path, turn), os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
    except FileExistsError:
        return False
    return True


def _claim_name(path: str, turn: int) -> str:
    return f"{path}.{turn}.claim"


def _wait_for(path: str) -> None:
    """Wait for the file of another process; return if it does not appear."""
    until = time.monotonic() + CLAIM_SECONDS
    while time.monotonic() < until:
        _refuse_if_there(path)
        time.sleep(POLL_SECONDS)


def _end_turn(path: str, turn: int) -> None:
    """Delete the drafts of a turn, so that none of them gets the name any more."""
    folder, name = os.path.split(path)
    for other in os.listdir(folder):
        if other.startswith(f"{name}.{turn}.") and other.endswith(".draft"):
            Path(folder, other).unlink(missing_ok=True)
    if name in os.listdir(folder):  # Listed anew: a file that is renamed during a listing may be missing in it.
        raise _is_there(path)


def _refuse_if_there(path: str) -> None:
    if os.path.lexists(path):
        raise _is_there(path)


def _is_there(path: str) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)


@contextlib.contextmanager
def _draft(path: str, content: bytes) -> Iterator[Path]:
    """Write a file under a name of its own; delete what is left of it at the end."""
    draft = Path(f"{path}.{uuid.uuid4().hex}.draft")
    try:
        with open(draft, "xb", opener=lambda name, flags: os.open(name, flags, FILE_MODE)) as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _sync_folder(path: str) -> None:
    """Write the names in the folder of a file to the disk: a loss of power must not take away a new name."""
    try:
        folder = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
