"""The modules of docs/_ext that read the code for the pages. They need no Sphinx."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from tests.docs.blocks import ROOT

FOLDER = str(ROOT / "docs" / "_ext")


def extension(name: str) -> ModuleType:
    """Import one of them, as conf.py does."""
    if FOLDER not in sys.path:
        sys.path.append(FOLDER)
    return importlib.import_module(name)
