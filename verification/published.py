"""Published results: JSON in an xz file. A run that finds the same changes no byte of it."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any


def read(path: Path) -> Any:
    """Return the value in a file, ``None`` if there is no file."""
    return json.loads(_text(path)) if path.exists() else None


def write(path: Path, text: str) -> None:
    """Store JSON text. The old file stays whole until the new one is complete."""
    if path.exists() and _text(path) == text:
        return
    draft = path.with_suffix(".draft")
    draft.write_bytes(lzma.compress(text.encode(), preset=6))
    draft.replace(path)


def _text(path: Path) -> str:
    return lzma.decompress(path.read_bytes()).decode()
