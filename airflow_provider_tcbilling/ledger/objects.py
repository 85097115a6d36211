"""ObjectStore: a ledger in object storage or in a folder, one object for each purchase."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import re
import stat
import threading
import uuid
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.api.reading import json_of
from airflow_provider_tcbilling.api.server_time import CLOCK_MARGIN
from airflow_provider_tcbilling.ledger import files
from airflow_provider_tcbilling.ledger.beside import (
    IDENTITY,
    identity_of,
    new_identity,
    new_owner,
    owner_name,
    owner_of,
)
from airflow_provider_tcbilling.ledger.listing import Listed, about_file, about_object, listed, listed_in
from airflow_provider_tcbilling.ledger.naming import options_of
from airflow_provider_tcbilling.ledger.store import Store, T, Text
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord, StoreFailed
from airflow_provider_tcbilling.purchasing.key import key_bytes

CANARY_SECONDS = 10.0
"""How long one of two creations that are tried at once waits for the other to begin."""

RACES = 3
"""How often two creations are tried at once: a storage that looks first and creates then seldom loses three races."""

MAX_RECORD_BYTES = 16 * 2**20
"""Of an object in a local folder; a request has at most 10 MiB, and what is larger than a record is none."""

RECORD_SUFFIX = ".json"

MAX_KEPT = 5_000
"""Records that a process keeps in memory, so that its next query reads only what is new. Each has about 2 KB."""

_OWN_NAME = re.compile(r"-[0-9a-f]{24}\.json$")
_ID_AT_THE_END = re.compile(r"^[^#]*#[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

_EXCLUSIVE: dict[str, bool] = {}
"""The result of the test of each ledger in this process: whether of several creations only one succeeds."""

_IDENTITIES: dict[str, tuple[str, float]] = {}
"""The identity of each ledger that this process has read."""

_IDENTIFIED: set[str] = set()
"""The ledgers that this process has given an identity, or tried to."""

_KEPT: dict[str, dict[str, tuple[Hashable, bytes]]] = {}
"""The records that a query of this process has read, for each ledger by path, with what identifies their content."""

log = logging.getLogger(__name__)


class ObjectStore(Store):
    """
    Records in object storage, one object for each purchase key.

    It outlives clears, runs and the metadata database, and it sees all purchases. A folder on a disk must exist, and
    all workers must share it: one that was not mounted would look like an empty ledger.

    :param uri: The folder, such as ``s3://aws_default@bucket/purchases`` or ``file:///mnt/ledger``. The id of its
        identity may follow: ``file:///mnt/ledger#0a1b2c3d-...``. Then no other folder is used in its place.
    """

    is_shared = True

    def __init__(self, uri: str) -> None:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        uri, _, self._expected_id = uri.partition("#") if _ID_AT_THE_END.search(uri) else (uri, "", "")
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

    @property
    def assigns_orders(self) -> bool:
        """Whether an order is given to one purchase only: where of several creations only one succeeds."""
        return self.creates_exclusively

    @property
    def complete_since(self) -> float:
        """
        Epoch seconds from when on no intent is missing: since this ledger was first used, as its identity says.

        Infinity for a local folder whose address does not end with the id: another machine may have mounted another
        folder there, and nothing shows it. Infinity also without an identity, or with one that cannot be used, and
        where the storage was found not to create exclusively. Nothing is written.
        """
        if (self._is_local and not self._expected_id) or not _EXCLUSIVE.get(self._uri, True):
            return math.inf
        try:
            found = self._known_identity()
        except TcBillingError as error:
            log.warning("The identity of %s cannot be used, so later tries query first: %s", self.about, error)
            return math.inf
        return found[1] + CLOCK_MARGIN if found else math.inf

    def identity(self) -> tuple[str, float]:
        """
        Return the id of the ledger, and the epoch seconds when it was made. The first use makes it.

        The time is the later one of what it says and of its last change by the storage's clock: a ledger that was
        copied or restored may miss what was stored in the meantime. Each process reads it once.

        :raises InvalidRecord: It is damaged.
        :raises StoreFailed: It cannot be read or written.
        """
        if not self._known_identity():
            self._tried("", self._identify)
        found = self._known_identity()
        if not found:
            raise StoreFailed(f"{self.about} does not keep its identity.")
        return found

    def _known_identity(self) -> tuple[str, float] | None:
        if self._uri not in _IDENTITIES and (found := self._tried("", self._read_identity)):
            _IDENTITIES[self._uri] = found
        return _IDENTITIES.get(self._uri)

    def _read_identity(self) -> tuple[str, float] | None:
        path = f"{self._folder}/{IDENTITY}"
        content = self._content(path)
        if content is None:
            return None
        name, created_at = self._valid(path, lambda: identity_of(content))
        changed_at = (about_file(path) if self._is_local else about_object(self._fs, path)).changed_at
        return name, math.inf if changed_at is None else max(created_at, changed_at)

    def _identify(self) -> None:
        """Make the identity of the ledger, unless it has one. Of several processes one succeeds."""
        path = f"{self._folder}/{IDENTITY}"
        if self._uri not in _IDENTITIES and self._content(path) is None:
            self._put_new(path, new_identity(self.now()))

    def _refuse_another_ledger(self) -> None:
        """Raise if the address names the id of a ledger, and this is another one, or none."""
        if self._expected_id:
            found, _ = self._known_identity() or ("none", 0.0)
            if found != self._expected_id:
                raise StoreFailed(
                    f"{self.about} has the id {found}, and its address in the connection ends with the id "
                    f"{self._expected_id}, so nothing was sent. Do all workers mount the same folder there?"
                )

    def _identify_once(self) -> None:
        """Make the identity on the first record of this process. A failure stops no purchase: later tries query."""
        if self._uri in _IDENTIFIED:
            return
        _IDENTIFIED.add(self._uri)
        try:
            self._identify()
        except Exception as error:
            log.warning("The identity of %s cannot be made, so later tries query first: %r", self.about, error)

    def owners(self, server: str, order_ids: Collection[str]) -> Mapping[str, str]:
        """
        Return the key of the purchase that each order was assigned to; an order of nobody is left out.

        :raises InvalidRecord: An assignment is damaged, so the owner of its order is unknown.
        :raises StoreFailed: An assignment cannot be read.
        """
        found = self._tried("", lambda: {order_id: self._owner(server, order_id) for order_id in order_ids})
        return {order_id: key for order_id, key in found.items() if key is not None}

    def assign(self, server: str, order_id: str, key: str) -> str:
        """
        Assign an order to a purchase for ever, unless it is another's; return the key of the purchase that has it.

        Each assignment is an object of its own, beside the records.

        :raises InvalidRecord: The assignment is there and damaged.
        :raises InvalidRequest: The key is not a text that can be written.
        :raises StoreFailed: It could not be written, or its outcome is unknown.
        """
        if not self.assigns_orders:
            return super().assign(server, order_id, key)
        key_bytes(key)
        path, mine = f"{self._folder}/{owner_name(server, order_id)}", new_owner(server, order_id, key)
        self._tried("", lambda: self._put_new(path, mine))
        owner = self._tried("", lambda: self._owner(server, order_id))
        if owner is None:
            raise StoreFailed(f"{self.about} does not keep to whom it assigned order {order_id}, so nothing was sent.")
        return owner

    def _owner(self, server: str, order_id: str) -> str | None:
        path = f"{self._folder}/{owner_name(server, order_id)}"
        content = self._content(path)
        return None if content is None else self._valid(path, lambda: owner_of(content, server, order_id))

    def _valid(self, path: str, read: Callable[[], T]) -> T:
        try:
            return read()
        except ValueError as error:
            raise InvalidRecord(self._address(path), str(error)) from None

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
            if self._is_local:
                files.discard(path)
            else:
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
        self._refuse_another_ledger()
        try:
            text: bytes = self._fs.cat_file(self._path(key))
        except FileNotFoundError:
            return None
        return text

    def _create(self, key: str, text: str) -> bool:
        if _EXCLUSIVE.get(self._uri):
            self._identify_once()
        return self._put_new(self._path(key), text.encode())

    def _put_new(self, path: str, content: bytes) -> bool:
        """Create an object; where the storage can, only one of two creations succeeds."""
        try:
            if self._is_local:
                files.create(path, content)
            else:
                self._fs.pipe_file(path, content, mode="create")
        except FileExistsError:
            return False
        return True

    def _replace(self, key: str, text: str, expected: Text | None) -> bool:
        if self._is_local:
            files.replace(self._path(key), text.encode())
        else:
            self._fs.pipe_file(self._path(key), text.encode())
        return True

    def _list(self) -> Iterator[tuple[str, bytes]]:
        """Yield every record. A file without the name and the form of a record is left alone."""
        return self._records(self._listed(), {})

    def _list_changed(self, since: float, order_ids: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """
        Yield the records that were changed since a moment, as the storage lists them, and those of which it is unknown.

        The orders in question were placed after that moment, so the records that own them were written after it:
        nothing older is read for *order_ids*. What this process has read before is read again only if it has changed.
        """
        changed = [one for one in self._listed() if one.changed_at is None or not one.changed_at < since]
        before = _KEPT.get(self._uri, {})
        kept = {one.path: before[one.path] for one in changed if _is_kept(one, before)}
        _KEPT[self._uri] = kept
        return self._records(changed, kept)

    def _records(self, objects: list[Listed], kept: dict[str, tuple[Hashable, bytes]]) -> Iterator[tuple[str, bytes]]:
        """Yield those of some objects that are records. What is kept is not read, and what is read is kept."""
        for one in objects:
            content = kept[one.path][1] if one.path in kept else self._content(one.path)
            if content and one.content_id is not None and len(kept) < MAX_KEPT:
                kept[one.path] = one.content_id, content
            if content is not None and (_OWN_NAME.search(one.name) or _is_record(content)):
                yield self._address(one.path), content

    def _listed(self) -> list[Listed]:
        """Return the objects whose names may be a record's, by name."""
        self._refuse_another_ledger()
        try:
            found = listed_in(self._folder, RECORD_SUFFIX) if self._is_local else listed(self._fs, self._folder)
            return sorted((one for one in found if one.name.endswith(RECORD_SUFFIX)), key=lambda one: one.path)
        except FileNotFoundError:
            if self._is_local:
                raise StoreFailed(
                    f"There is no folder {self._uri}. Is it mounted here? Whether anything was bought is unknown."
                ) from None
            return []  # Object storage has no folders, so a ledger without records is not there.

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

    def _address(self, path: str) -> str:
        return f"{self._uri}/{path.rpartition('/')[2]}"


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


def _is_kept(one: Listed, kept: Mapping[str, tuple[Hashable, bytes]]) -> bool:
    """Whether the content of an object was read before, and is the same by now."""
    return one.content_id is not None and one.path in kept and kept[one.path][0] == one.content_id
