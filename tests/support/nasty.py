"""Random text from a seeded generator: nasty text that a server or a user may send, and text for a reader."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

SECRET = "{{ conn.tcbilling_default.password }}"

PARTS = (
    *("{{", "}}", "{%", "%}", "{#", "#}", "{", "}", "${", "<<", ">>", "<%", "%>", "[[", "]]", "{{{", "%", "##", "# "),
    *(SECRET, "{{ conn.tcbilling_default.password[::-1] }}", "{% raw %}", "{%- set x = 1 -%}", "{{ var.value.x }}"),
    *("|", "\\|", "\\", "`", "``", "*", "**", "_", "__", "~~", "#", "&amp;", "&#124;", "&", "<", ">", "!", "$", "^"),
    *("[x](http://a.example.com)", "![x](//b.example.com/x.png)", "<img src=x onerror=alert(1)>", "<!--", "]]>"),
    *("http://a.example.com", "HTTPS://B.example.com/x?y=1", "www.c.example.com", "WWW.1.com", "d@example.com"),
    *("example.com", "//e.com", "mailto:f@e.com", "ftp://g.com", "javascript:alert(1)", "</script>", "\"'"),
    *(
        "\n",
        "\r",
        "\r\n",
        "\t",
        "\x00",
        "\x07",
        "\x1b[2J",
        "\x1b]0;t\x07",
        "\x7f",
        "\x85",
        "\x9b31m",
        "\u2028",
        "\u2029",
    ),
    *("\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\u00ad", "\u3164", "\u2800", "\ufe0f", "\U000e0041", "\ud800"),
    *(
        ".sh",
        ".json",
        ".sql",
        ".md",
        ".py",
        "/etc/passwd",
        "../",
        " ",
        "  ",
        "a",
        "Ab",
        "web",
        "7",
        "é",
        "防火墙",
        "|||",
    ),
    *("\n| 2027-01-01 | ins-1 | x | 0.01 USD |", "\nINFO - Order 1: paid", "Safe next step:\n  clear it", "x" * 300),
)
"""Pieces of which nasty text is made."""


def nasty(count: int = 300, seed: int = 15) -> Iterator[str]:
    """Yield every piece, then *count* texts that are made of them."""
    yield from PARTS
    draw = random.Random(seed)
    for _ in range(count):
        yield "".join(draw.choice(PARTS) for _ in range(draw.randint(1, 8)))


def accepted(read: Callable[[str], Any], characters: str, longest: int, seed: int) -> Iterator[tuple[str, Any]]:
    """Draw 20,000 random texts; yield those that a reader accepts, each with its meaning."""
    draw = random.Random(seed)
    for _ in range(20_000):
        text = "".join(draw.choice(characters) for _ in range(draw.randint(0, longest)))
        try:
            meaning = read(text)
        except ValueError:
            continue
        yield text, meaning
