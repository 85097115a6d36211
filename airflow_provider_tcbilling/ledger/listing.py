"""Listing: the objects of a folder, and how a storage tells that one has changed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_tcbilling.purchasing.record_json import moment

_CHANGED = ("mtime", "ctime", "LastModified", "last_modified", "updated")
"""The names under which file systems tell when an object was written last. A time of creation alone tells nothing."""

_CONTENTS = ("ETag", "etag", "generation", "version_id")
"""The names under which file systems identify the content of an object."""


@dataclass(frozen=True)
class Listed:
    """
    One object, as its storage lists it.

    :param changed_at: Epoch seconds of the last change by the storage's clock; ``None`` if the storage does not tell.
    :param content_id: Another one for another content; ``None`` if the storage does not tell.
    """

    path: str
    changed_at: float | None = None
    content_id: Hashable = None

    @property
    def name(self) -> str:
        """The name in its folder."""
        return self.path.rpartition("/")[2]


def listed(fs: Any, folder: str) -> Iterator[Listed]:
    """
    Yield the objects of a folder in object storage.

    :param fs: A file system of fsspec.
    :raises FileNotFoundError: There is no such folder.
    """
    fs.invalidate_cache()
    for about in fs.ls(folder, detail=True):
        yield _listed_as(about) if isinstance(about, Mapping) else Listed(str(about))


def about_object(fs: Any, path: str) -> Listed:
    """Return one object of object storage."""
    fs.invalidate_cache()
    return _listed_as({**fs.info(path), "name": path})


def listed_in(folder: str, suffix: str) -> Iterator[Listed]:
    """
    Yield the files of a local folder whose names end so.

    :raises FileNotFoundError: There is no such folder.
    """
    for name in os.listdir(folder):
        if name.endswith(suffix):
            yield about_file(f"{folder}/{name}")


def about_file(path: str) -> Listed:
    """Return one local file. Of one that is gone or cannot be examined nothing but its path is known."""
    try:
        about = os.stat(path)
    except OSError:
        return Listed(path)
    changed_at = max(about.st_mtime, about.st_ctime)  # A copy may keep the former. The latter is of this file.
    return Listed(path, changed_at, (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns))


def _listed_as(about: Mapping[str, Any]) -> Listed:
    times = [seconds for name in _CHANGED if (seconds := _seconds(about.get(name))) is not None]
    contents = tuple(str(about[name]) for name in _CONTENTS if about.get(name))
    content_id = (about.get("size"), *contents) if contents else None
    return Listed(str(about["name"]), max(times, default=None), content_id)


def _seconds(time: Any) -> float | None:
    """Return the epoch seconds of a time as a file system gives it; ``None`` if it is no time."""
    if isinstance(time, datetime):
        return time.timestamp()
    if isinstance(time, (int, float)) and not isinstance(time, bool):
        return float(time)
    with contextlib.suppress(ValueError, TypeError):
        return moment(time)
    return None
