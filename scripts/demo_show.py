"""What people see of the demonstration: a live picture on a terminal, lines with the time elsewhere, and the summary."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

class States:
    """The states that something was seen in, with the seconds in each."""

    def __init__(self) -> None:
        self.state = ""
        self._seconds: dict[str, float] = {}
        self._since = time.monotonic()

    def see(self, state: str) -> bool:
        """Note what it is in now, and return whether that is new."""
        if state == self.state:
            return False
        self._seconds = self.seconds()
        self.state, self._since = state, time.monotonic()
        return True

    def seconds(self) -> dict[str, float]:
        """Return the seconds in each state up to this moment."""
        seconds = dict(self._seconds)
        if self.state:
            seconds[self.state] = seconds.get(self.state, 0.0) + time.monotonic() - self._since
        return seconds

    def __str__(self) -> str:
        return ", ".join(f"{state} {seconds:.1f} s" for state, seconds in self.seconds().items())


class Show:
    """What people see: a picture that is always drawn anew on a terminal, and lines with the time elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.is_live = console.is_terminal and not console.is_dumb_terminal
        self.stage = "Starting"
        self.components: dict[str, States] = {}
        self.tasks = {task_id: States() for task_id in TASKS}
        self.order = "none yet"
        self.balance = ""
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self._started = time.monotonic()

    @contextlib.contextmanager
    def drawn(self) -> Iterator[None]:
        """Draw the picture as long as this lasts, where there is a terminal."""
        if not self.is_live:
            yield
            return
        from rich.live import Live

        with Live(get_renderable=self._picture, console=self.console, refresh_per_second=8, transient=True):
            yield

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._started

    def note(self, text: str) -> None:
        """Write a line with the time, where no picture is drawn."""
        if not self.is_live:
            print(f"{self.elapsed():6.1f} s  {text}", flush=True)

    def enter(self, stage: str) -> None:
        """Tell what is done now."""
        self.stage = stage
        self.note(f"{stage} ...")

    def see_component(self, name: str, state: str) -> None:
        """Tell how a component is."""
        if self.components.setdefault(name, States()).see(state) and state != "waiting":
            self.note(f"{name}: {state}")

    def see_task(self, task_id: str, state: str) -> None:
        """Tell how a task is."""
        before = self.tasks[task_id]
        told = f" (after {before})" if before.state else ""
        if before.see(state):
            self.note(f"task {task_id}: {state}{told}")

    def see_account(self, balance: str, order: str) -> None:
        """Tell how the account is."""
        if (balance, order) != (self.balance, self.order):
            self.balance, self.order = balance, order
            self.note(f"order {order}; balance {balance}")

    def see_log(self, line: str) -> None:
        """Tell what a task wrote."""
        self.log.append(line)
        self.note(line)

    def tell(self, summary: dict[str, Any], failure: str) -> None:
        """Write what came of it."""
        if summary:
            self.console.print(_table_of(summary, failure))
        if failure:
            print(f"The demo failed: {failure}", file=sys.stderr)

    def _picture(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        rows = Table.grid(padding=(0, 2))
        for name, states in self.components.items():
            rows.add_row(name, _coloured(states.state), Text(str(states), style="dim"))
        rows.add_row("")
        for task_id, states in self.tasks.items():
            state = _coloured(states.state or "not scheduled")
            rows.add_row(f"task {task_id}", state, Text(str(states), style="dim"))
        account = Table.grid(padding=(0, 2))
        account.add_row("order", self.order)
        account.add_row("balance", self.balance)
        head = Text.assemble((self.stage, "bold"), f"  {self.elapsed():.1f} s")
        log = [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in self.log]
        return Group(head, "", rows, "", account, "", *log)


def _coloured(state: str) -> Text:
    from rich.text import Text

    return Text(state, style=COLOURS.get(state, "yellow"))


def _money(cents: int) -> str:
    return f"{cents / 100:,.2f} ({cents} cents)"


def _table_of(summary: dict[str, Any], failure: str) -> Table:
    from rich.table import Table

    before, after = summary["balance_before_cents"], summary["balance_after_cents"]
    title = "Something went wrong" if failure else "Bought once, paid once, delivered"
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_row("order", summary["order_id"])
    table.add_row("instances", "\n".join(summary["instance_ids"]))
    table.add_row("CreateInstance requests", str(summary["create_instance_requests"]))
    table.add_row("balance before", _money(before))
    table.add_row("balance after", _money(after))
    table.add_row("paid", _money(before - after))
    table.add_section()
    for state, seconds in summary["seconds"].items():
        table.add_row("seconds in total" if state == "total" else f"seconds task buy was {state}", str(seconds))
    table.add_section()
    table.add_row("Airflow was at", summary["ui"])
    table.add_row("the sandbox was at", summary["sandbox"])
    return table


