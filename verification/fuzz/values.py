"""Unexpected values, drawn from a seed: JSON as servers, users and damaged disks leave it."""

from __future__ import annotations

import copy
import json
import math
import random
from typing import Any

TEXTS = (
    *(
        "",
        " ",
        "0",
        "-1",
        "1",
        "12",
        "4",
        "23.5",
        "100.00",
        "1e3",
        "1,000.00",
        "NaN",
        "null",
        "true",
        "[]",
        "{}",
        "[1]",
    ),
    *(
        "\x00",
        "\ud800",
        "\udcff\udcfe",
        "\ufeff",
        "\u202e",
        "a\nb",
        "\x1b[2J",
        "{{ x }}",
        "9" * 30,
        "9" * 5000,
        "x" * 9000,
    ),
    *("ins-1", "ins-1,ins-2", "purchase", "p_a", "sp_a", "2026-11-30 10:00:00", "0000-00-00 00:00:00", "now", "P1D"),
    *("9999-12-31 23:59:59", "0001-01-01 00:00:00", "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+14:00"),
    *(
        "2026-11-30T10:00:00Z",
        "2026-11-30",
        "10:00:00",
        "2026-11-30T10:00:00Z/P1D",
        "\uff12\uff10\uff12\uff16-11-30 10:00:00",
        "m",
        "y",
    ),
    *("AuthFailure.SignatureExpire", "InternalError", "FailedOperation", "RequestLimitExceeded", "intended", "ordered"),
)
NUMBERS = (0, 1, -1, 4, 6, 7, 77, 200, 2**31, 2**63, 10**17, 0.5, 4.0, 1e15, 1e300, -0.0, math.inf, -math.inf, math.nan)
LEAVES: tuple[Any, ...] = (None, True, False, *NUMBERS, *TEXTS, [], {}, [None], [[]], {"": None})


class Draw(random.Random):
    """A seeded generator of odd values."""

    def happens(self, share: float) -> bool:
        """Return True in so many cases."""
        return self.random() < share

    def odd(self) -> Any:
        """Return a value that is not what is expected, whatever that is."""
        value: Any = copy.deepcopy(self.choice(LEAVES))
        for _ in range(self.choice((0, 0, 0, 1, 2, 40, 300)) if self.happens(0.2) else 0):
            value = [value] if self.happens(0.5) else {"a": value}
        return value

    def changed(self, value: Any, times: int = 1) -> Any:
        """Return JSON data of which something was deleted, replaced, repeated, swapped or nested."""
        value = copy.deepcopy(value)
        for _ in range(times):
            value = self._changed(value)
        return value

    def _changed(self, value: Any) -> Any:
        keys: list[Any] = (
            list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
        )
        if not keys or self.happens(0.05):
            return self.odd()
        key = self.choice(keys)
        step = self.random()
        if step < 0.5:
            value[key] = self._changed(value[key])
        elif step < 0.6:
            del value[key]
        elif step < 0.7:
            value[key] = self._in_another_type(value[key])
        elif step < 0.75:
            other = self.choice(keys)
            value[key], value[other] = value[other], value[key]
        elif step < 0.8 and isinstance(value, list):
            value.insert(self.randint(0, len(value)), copy.deepcopy(value[key]))
        elif step < 0.85 and isinstance(value, dict):
            value[str(self.choice(TEXTS))] = self.odd()
        else:
            value[key] = self.odd()
        return value

    def _in_another_type(self, value: Any) -> Any:
        return self.choice(
            (str(value), [value], {"value": value}, f"{value}.00", f" {value} ", bool(value), repr(value))
        )

    def text_of(self, value: Any) -> bytes:
        """Return JSON text of a value, rarely with names that stand twice, or numbers of thousands of digits."""
        text = json.dumps(value, ensure_ascii=self.happens(0.9))
        if self.happens(0.03):
            text = text.replace("{", '{"OrderId": "777", "Status": 9, ', 1 + self.randrange(2))
        if self.happens(0.03):
            text = text.replace("1", "1" + "0" * self.choice((20, 500, 5000)), 1)
        if self.happens(0.02):
            text = text.replace("[", "[" * self.choice((20, 900, 100_000)), 1)
        encoding = (
            self.choice(("utf-8", "utf-8", "utf-8", "utf-16", "utf-8-sig", "latin-1", "utf-32"))
            if self.happens(0.1)
            else "utf-8"
        )
        return (
            text.encode(encoding, "replace" if self.happens(0.5) else "surrogatepass")
            if encoding != "latin-1"
            else text.encode(encoding, "replace")
        )

    def damaged(self, content: bytes) -> bytes:
        """Return bytes of which a part was cut off, left out, changed or repeated."""
        at, size = self.randint(0, len(content)), self.randint(0, 8)
        return self.choice(
            (
                content[:at],
                content[:at] + content[at + size :],
                content[:at] + self.randbytes(size) + content[at:],
                content[:at] + self.randbytes(size) + content[at + size :],
                content[at:],
                content + content[at:],
            )
        )
