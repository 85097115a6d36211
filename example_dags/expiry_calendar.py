"""
Draw the next twelve months: what expires when, what renews itself, and what it cost last time.

It only reads. A day is the server's own: its times have no zone, and are read as they are written (UTC+8 is likely).
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from html import escape
from pathlib import Path
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_tcbilling.api.models import DealStatus, RenewableInstance
from airflow_provider_tcbilling.api.text import in_markdown
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook

ZONE = "Asia/Shanghai"
MONTHS = 12
AT_THE_END = {True: "renews itself", False: "ends, unless renewed", None: "not known"}
"""What happens at the end, by :attr:`RenewableInstance.renews_by_itself`."""

# [START howto_draw_calendar]
CELL, ACROSS, LEFT, TOP = 30, 4, 16, 76
MONTH_WIDTH, MONTH_HEIGHT = 7 * CELL + 26, 6 * CELL + 48
STYLE = """
text { font: 12px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1b2230; }
.title { font-size: 18px; font-weight: 700; } .month { font-weight: 700; } .date { font-size: 9px; fill: #586274; }
.day { fill: #eef0f4; } .ends { fill: #c2410c; } .renews { fill: #1a5fb4; } .unknown { fill: #4b5563; }
.count { font-size: 13px; font-weight: 700; text-anchor: middle; } .on { fill: #ffffff; }
"""
CLASSES = {True: "renews", False: "ends", None: "unknown"}
URGENCY = (False, None, True)
"""A day with several wears the colour of the one that needs a person most."""


def draw(months: Sequence[pendulum.Date], by_day: dict[str, list[RenewableInstance]]) -> str:
    """Return the calendar as SVG. A day shows how many instances expire, and their names when pointed at."""
    width, height = LEFT + ACROSS * MONTH_WIDTH, TOP + -(-len(months) // ACROSS) * MONTH_HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'aria-label="Calendar of what expires">',
        f"<style>{STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text class="title" x="{LEFT}" y="30">What expires, {months[0]:%B %Y} to {months[-1]:%B %Y}</text>',
    ]
    for place, kind in enumerate(URGENCY):
        x = LEFT + place * 180
        parts.append(f'<rect class="{CLASSES[kind]}" x="{x}" y="42" width="14" height="14" rx="3"/>')
        parts.append(f'<text x="{x + 20}" y="54">{AT_THE_END[kind]}</text>')
    for place, month in enumerate(months):
        row, column = divmod(place, ACROSS)
        parts += _month(month, LEFT + column * MONTH_WIDTH, TOP + row * MONTH_HEIGHT, by_day)
    return "\n".join([*parts, "</svg>\n"])


def _month(month: pendulum.Date, x: int, y: int, by_day: dict[str, list[RenewableInstance]]) -> Iterator[str]:
    yield f'<text class="month" x="{x}" y="{y + 12}">{month:%B %Y}</text>'
    for number in range(month.days_in_month):
        day = month.add(days=number)
        column, row = day.weekday(), (number + month.weekday()) // 7
        left, top = x + column * CELL, y + 22 + row * CELL
        ending = by_day.get(day.isoformat(), [])
        kind = min((i.renews_by_itself for i in ending), key=URGENCY.index, default="")
        yield f'<g><rect class="{CLASSES.get(kind, "day")}" x="{left}" y="{top}" width="28" height="28" rx="5"/>'
        yield f'<text class="date{" on" * bool(ending)}" x="{left + 4}" y="{top + 10}">{day.day}</text>'
        if ending:
            names = ", ".join(i.instance_name or i.instance_id for i in ending)
            yield f'<text class="count on" x="{left + 15}" y="{top + 23}">{len(ending)}</text>'
            yield f"<title>{day.isoformat()}: {escape(names)}</title>"
        yield "</g>"


# [END howto_draw_calendar]


def table_row(i: RenewableInstance, paid: str) -> str:
    """Return a row of the table. Names are the server's text, and stay text."""
    at_the_end = AT_THE_END[i.renews_by_itself]
    cells = (i.expire_time, i.instance_id, i.instance_name, i.product_code, i.status, at_the_end, paid)
    return f"| {' | '.join(map(in_markdown, cells))} |"


def last_paid(client: Any, instance_id: str) -> str:
    """Return what its newest order of the last 89 days cost; unknown if there is none, or it has other instances."""
    deals = client.describe_deals(resource_id=instance_id, statuses=[DealStatus.DELIVERED])
    newest = max(
        (deal for deal in deals if instance_id in deal.resource_ids and deal.action in ("purchase", "renew")),
        key=lambda deal: deal.created_at,
        default=None,
    )
    alone = newest is not None and newest.resource_ids == (instance_id,)
    return f"{newest.paid_cents / 100:.2f} {newest.currency}" if newest and alone else "unknown"


with DAG(
    dag_id="tcbilling_expiry_calendar",
    description="Draw the next twelve months: what expires when, what renews itself, and what it cost last time",
    schedule="0 7 1 * *",
    start_date=pendulum.datetime(2026, 1, 1, tz=ZONE),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    tags=["tcbilling", "example"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    params={
        "folder": Param(None, type=["null", "string"], description="Where the picture goes; else to temporary files"),
    },
):
    # [START howto_expiry_calendar]
    @task
    def calendar(*, params: Any = None, ti: Any = None) -> str:
        """Draw the picture, and return the table as Markdown."""
        hook = TcBillingHook()
        client = hook.get_conn()
        first = pendulum.now(ZONE).date().replace(day=1)
        months = [first.add(months=n) for n in range(MONTHS)]
        until = first.add(months=MONTHS).isoformat()
        found = hook.expiring_instances(timedelta(days=31 * MONTHS + 1))
        found = [instance for instance in found if instance.expire_time[:10] < until]

        by_day = defaultdict(list)
        for instance in found:
            by_day[instance.expire_time[:10]].append(instance)
        picture = Path(params["folder"] or tempfile.gettempdir()) / f"expiry-calendar-{first:%Y-%m}.svg"
        picture.write_text(draw(months, by_day), encoding="utf-8")

        rows = [table_row(i, last_paid(client, i.instance_id)) for i in found]
        head = ["Expires", "Instance", "Name", "Product", "Status", "At the end", "Paid last time"]
        table = "\n".join([f"| {' | '.join(head)} |", "| --- " * len(head) + "|", *rows])
        print(f"{table}\nPicture: {picture}")
        ti.xcom_push(key="picture", value=str(picture))
        return table

    calendar()
    # [END howto_expiry_calendar]
