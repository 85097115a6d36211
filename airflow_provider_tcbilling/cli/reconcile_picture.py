"""The picture of a month as SVG: what is settled, reserved and owned by nobody, for each day and each product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from airflow_provider_tcbilling.api.text import amount, harmless
from airflow_provider_tcbilling.ledger.reports_summary import UNKNOWN_DAY, Sums

PARTS = (("settled", "settled"), ("reserved", "reserved"), ("nobody", "owned by nobody"))
"""The parts of a bar, from its foot: the CSS class and the words."""

WIDE, NARROW = 960, 360
"""Widths of the two drawings, in the pixels of a page and of a phone. The page shows one of them."""

HEIGHT, TOP, BOTTOM, LEFT = 240, 12, 24, 68
ROW, NAME_HEIGHT = 44, 16
MOST_PRODUCTS = 12
LEAST = 2.0
"""The shortest part of a bar, so that a small amount is seen."""
MOST_LABELS = {WIDE: 31, NARROW: 7}
MAX_NAME = 40


def days_of(days: Mapping[str, Sums], currency: str, width: int) -> str:
    """Return a drawing of the days: one bar each."""
    high = max((_height(sums) for sums in days.values()), default=0)
    scale, wide = (HEIGHT - TOP - BOTTOM) / (high or 1), (width - LEFT - 4) / max(1, len(days))
    parts = [_head(width, HEIGHT, f"Amounts of each day in {currency}"), *_grid(high, scale, width)]
    step = -(-len(days) // MOST_LABELS[width])
    for place, (day, sums) in enumerate(days.items()):
        x = LEFT + place * wide
        parts.append(f"<g><title>{_words(day, sums, currency)}</title>")
        parts += _column(sums, x + wide * 0.12, wide * 0.76, scale)
        parts.append("</g>")
        if place % step == 0:
            label = "?" if day == UNKNOWN_DAY else day[8:].lstrip("0")
            parts.append(f'<text x="{x + wide / 2:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(label)}</text>')
    return "".join([*parts, "</svg>"])


def products_of(products: Mapping[str, Sums], currency: str, width: int) -> str:
    """Return a drawing of the products: one bar each, the most expensive first; the rest is one bar."""
    shown = _first_and_rest(products)
    most = max(map(_height, shown.values()), default=0) or 1
    height = len(shown) * ROW + 4
    parts = [_head(width, height, f"Amounts of each product in {currency}")]
    for place, (name, sums) in enumerate(shown.items()):
        y, x = place * ROW, 0.0
        words = escape(amount(_height(sums), currency))
        parts.append(f"<g><title>{_words(name, sums, currency)}</title>")
        parts.append(f'<text class="name" x="0" y="{y + NAME_HEIGHT - 3}">{escape(harmless(name, MAX_NAME))}</text>')
        parts.append(f'<text x="{width}" y="{y + NAME_HEIGHT - 3}" text-anchor="end">{words}</text>')
        for css, cents in _parts(sums):
            size = max(cents * width / most, LEAST)
            parts.append(_bar(css, x, y + NAME_HEIGHT + 2, size, 16))
            x += size
        parts.append("</g>")
    return "".join([*parts, "</svg>"])


def _head(width: int, height: int, title: str) -> str:
    label = escape(title, quote=True)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'


def _grid(high: int, scale: float, width: int) -> Iterator[str]:
    """Yield lines at round amounts, with the amounts beside them."""
    step = round_step(high)
    for cents in range(0, high + 1, step):
        y = HEIGHT - BOTTOM - cents * scale
        yield f'<line class="grid" x1="{LEFT}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(cents)}</text>'


def round_step(high: int) -> int:
    """Return a round amount in cents of which at most five fit under the highest."""
    step = 1
    while high > 5 * step:
        step = next(step * factor for factor in (2, 5, 10) if high <= 5 * step * factor or factor == 10)
    return step


def short(cents: int) -> str:
    """Return an amount in few characters: ``1.2k``, ``3M``."""
    value = cents / 100
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _column(sums: Sums, x: float, wide: float, scale: float) -> Iterator[str]:
    y = float(HEIGHT - BOTTOM)
    for css, cents in _parts(sums):
        size = max(cents * scale, LEAST)
        y -= size
        yield _bar(css, x, y, wide, size)


def _bar(css: str, x: float, y: float, wide: float, high: float) -> str:
    return f'<rect class="{css}" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}"/>'


def _parts(sums: Sums) -> Iterator[tuple[str, int]]:
    """Yield the parts of a bar that are above zero."""
    amounts = (sums.settled_cents, sums.reserved_cents, sums.nobody_cents)
    for (css, _), cents in zip(PARTS, amounts, strict=True):
        if cents > 0:
            yield css, cents


def _height(sums: Sums) -> int:
    return sum(cents for _, cents in _parts(sums))


def _words(name: str, sums: Sums, currency: str) -> str:
    amounts = (sums.settled_cents, sums.reserved_cents, sums.nobody_cents)
    parts = [f"{words} {amount(cents, currency)}" for (_, words), cents in zip(PARTS, amounts, strict=True)]
    return escape(f"{harmless(name)}: {', '.join(parts)}")


def _first_and_rest(products: Mapping[str, Sums]) -> dict[str, Sums]:
    first = dict(list(products.items())[:MOST_PRODUCTS])
    rest = list(products.values())[MOST_PRODUCTS:]
    if rest:
        first[f"{len(rest)} other products"] = Sums(
            *(sum(getattr(sums, name) for sums in rest) for name in vars(rest[0]))
        )
    return first
