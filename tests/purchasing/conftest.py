"""What the tests of this folder share."""

from __future__ import annotations

import pytest

from tests.support.shelf import Shelf


@pytest.fixture
def shelf():
    return Shelf()
