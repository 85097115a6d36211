"""ObjectStore: a ledger in object storage or in a folder, one object for each purchase."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import threading
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from airflow_provider_tcbilling.api.reading import json_of
from airflow_provider_tcbilling.ledger.naming import options_of
from airflow_provider_tcbilling.ledger.store import Store, Text
from airflow_provider_tcbilling.purchasing.errors import StoreFailed
from airflow_provider_tcbilling.purchasing.key import key_bytes

CANARY_SECONDS = 10.0
"""How long one of two creations that are tried at once waits for the other to begin."""

RACES = 3
"""How often two creations are tried at once: a storage that looks first and creates then seldom loses three races."""

FILE_MODE = 0o640
"""Of a record in a local folder. The group may read it, as workers may run as several users of one group."""

MAX_RECORD_BYTES = 16 * 2**20
"""Of an object in a local folder; a request has at most 10 MiB, and what is larger than a record is none."""

_OWN_NAME = re.compile(r"-[0-9a-f]{24}\.json$")

_EXCLUSIVE: dict[str, bool] = {}
"""The result of the test of each ledger in this process: whether of several creations only one succeeds."""

log = logging.getLogger(__name__)


class ObjectStore(Store):
    """
    Records in object storage, one object for each purchase key.

    It outlives clears, runs and the metadata database, and it sees all purchases. A folder on a disk must exist, and
    all workers must share it: one that was not mounted would look like an empty ledger.

    :param uri: The folder, such as ``s3://aws_default@bucket/purchases`` or ``file:///mnt/ledger``.
    """

    is_shared = True

    def __init__(self, uri: str) -> None:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        self._uri = uri.rstrip("/")
        folder = ObjectStoragePath(self._uri)
        self._fs, self._folder = folder.fs, folder.path.rstrip("/")
        protocol = folder.protocol or "file"
        self._is_local = protocol in ("file", "local")
        self.about = f"the ledger {self._uri}"

    @property
    def creates_exclusively(self) -> bool:
        """
        Whether the storage creates an object once only: tried once for each process and ledger, on the first use.

        Storage that ignores the wish to create, and storage that looks first and creates then, let both of two win.
        """
        if self._uri not in _EXCLUSIVE:
            why = next(filter(None, (self._flaw() for _ in range(RACES))), "")
            _EXCLUSIVE[self._uri] = not why
            if why:
                log.warning(
                    "%s does not keep two processes from creating the same record (%s). A purchase waits 2 seconds and "
                    "reads its record again before it is sent. Two copies of a task that start in the same moment, of "
                    "which one stands still for longer, could both send, with the same client token.",
                    self.about.capitalize(),
                    why,
                )
        return _EXCLUSIVE[self._uri]

    def _flaw(self) -> str:
        """Create an object twice at once, and once more; return the flaw that this shows, empty if there is none."""
        path = f"{self._folder}/{uuid.uuid4().hex}.canary"
        texts = [f"{number} of {path}".encode() for number in range(3)]
        start = threading.Barrier(2, timeout=CANARY_SECONDS)

        def create(text: bytes) -> bool:
            start.wait()
            return self._put_new(path, text)

        try:
            with ThreadPoolExecutor(2) as racers:
                won = [*racers.map(create, texts[:2])]
            won.append(self._put_new(path, texts[2]))
            if won not in ([True, False, False], [False, True, False]):
                return f"of 3 creations of the same object {sum(won)} succeeded"
            if self._fs.cat_file(path) != texts[won.index(True)]:
                return "a creation that failed has changed the object"
        except Exception as error:
            return f"the test of it failed: {error!r}"
        finally:
            self._discard(path)
        return ""

    def _discard(self, path: str) -> None:
        try:
            self._fs.rm_file(path)
        except FileNotFoundError:
            pass
        except Exception as error:
            log.info("The test object %s stays where it is; it is no record: %r", path, error)

    def location(self, key: str) -> str:
        """Return the object's address."""
        return f"{self._uri}/{_name(key)}"

    def options(self, key: str) -> str:
        """Return the options that name a purchase on the command line."""
        return options_of(key)

    def _get(self, key: str) -> bytes | None:
        try:
            text: bytes = self._fs.cat_file(self._path(key))
        except FileNotFoundError:
            return None
        return text

    def _create(self, key: str, text: str) -> bool:
        return self._put_new(self._path(key), text.encode())

    def _put_new(self, path: str, content: bytes) -> bool:
        """Create an object; where the storage can, only one of two creations succeeds."""
        try:
            if self._is_local:
                self._put_file(path, content, is_new=True)
            else:
                self._fs.pipe_file(path, content, mode="create")
        except FileExistsError:
            return False
        return True

    def _replace(self, key: str, text: str, expected: Text | None) -> bool:
        if self._is_local:
            self._put_file(self._path(key), text.encode(), is_new=False)
        else:
            self._fs.pipe_file(self._path(key), text.encode())
        return True

    def _list(self) -> Iterator[tuple[str, bytes]]:
        """Yield every record. A file without the name and the form of a record is left alone."""
        self._fs.invalidate_cache()
        try:
            paths = self._fs.ls(self._folder, detail=False)
        except FileNotFoundError:
            if self._is_local:
                raise StoreFailed(
                    f"There is no folder {self._uri}. Is it mounted here? Whether anything was bought is unknown."
                ) from None
            paths = []  # Object storage has no folders, so a ledger without records is not there.
        for path in sorted(paths):
            name = str(path).rpartition("/")[2]
            content = self._content(path) if name.endswith(".json") else None
            if content is not None and (_OWN_NAME.search(name) or _is_record(content)):
                yield f"{self._uri}/{name}", content

    def _content(self, path: str) -> bytes | None:
        """Return what an object holds; ``None`` if it is gone, or no file, and nothing if it may not be read."""
        try:
            if self._is_local:
                about = os.stat(path)
                if not stat.S_ISREG(about.st_mode):
                    return None  # A pipe, for example, would never end.
                if about.st_size > MAX_RECORD_BYTES:
                    raise OSError(f"{path} has {about.st_size} bytes")
            content: bytes = self._fs.cat_file(path)
        except (FileNotFoundError, IsADirectoryError):
            return None
        except OSError as error:
            if not self._is_local and not isinstance(error, PermissionError):
                raise  # It is not this object alone: the storage cannot be read.
            log.warning("A record of %s cannot be read, so it counts as damaged: %r", self.about, error)
            return b""
        return content

    def _path(self, key: str) -> str:
        return f"{self._folder}/{_name(key)}"

    @staticmethod
    def _put_file(path: str, content: bytes, *, is_new: bool) -> None:
        """Write a file whole or not at all, and so that it survives a loss of power."""
        draft = Path(f"{path}.{uuid.uuid4().hex}.draft")
        try:
            with open(draft, "xb", opener=lambda name, flags: os.open(name, flags, FILE_MODE)) as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            if is_new:
                os.link(draft, path)
            else:
                draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


def _name(key: str) -> str:
    """Return the name of a purchase's object: something to recognise it by, and a hash that makes it the only one."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", key).strip("-.")[:60]
    return f"{readable}-{hashlib.sha256(key_bytes(key)).hexdigest()[:24]}.json"


def _is_record(content: bytes) -> bool:
    """Whether a file that another program may have written has the form of a record."""
    try:
        stored = json_of(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(stored, Mapping) and "format" in stored
