"""The display of the demonstration: a live picture on a terminal, lines elsewhere, and the summary."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

NO_STATUS = "no_status"
"""Airflow's word for a task that nobody has looked at yet."""

SETTLED = ("waiting", "healthy", "success")
"""States in which nobody counts seconds."""

LOG_LINES = 6
SILENCE_SECONDS = 10.0
"""The longest time without a line, where lines are printed."""

COLOURS = {
    "healthy": "green",
    "success": "green",
    "failed": "red",
    "up_for_retry": "red",
    "deferred": "medium_purple1",
    "running": "cyan",
    NO_STATUS: "dim",
    "waiting": "dim",
}


class States:
    """The states that something was seen in, in order, with the seconds in each."""

    def __init__(self, state: str) -> None:
        self.state = state
        self._ended: dict[str, float] = {}
        self._since = time.monotonic()

    def see(self, state: str) -> float | None:
        """Note what it is in now. If that is new, return for how many seconds it was in the state before."""
        if state == self.state:
            return None
        spell = time.monotonic() - self._since
        self._ended = self.seconds()
        self.state, self._since = state, time.monotonic()
        return spell

    def seconds(self) -> dict[str, float]:
        """Return the seconds in each state, the present one included."""
        spell = time.monotonic() - self._since
        return {**self._ended, self.state: self._ended.get(self.state, 0.0) + spell}

    def __str__(self) -> str:
        shown = {state: seconds for state, seconds in self.seconds().items() if state not in SETTLED}
        return ", ".join(f"{state} {seconds:.1f} s" for state, seconds in shown.items())


class Show:
    """
    The state of the demonstration, and its display.

    :param console: Where it is shown.
    """

    def __init__(self, console: Console) -> None:
        self.tasks: dict[str, States] = {}
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self.console = console
        self._is_live = console.is_terminal and not console.is_dumb_terminal
        self._stage = "Starting"
        self._components: dict[str, States] = {}
        self._order = self._balance = ""
        self._started = self._last_line_at = time.monotonic()

    @contextlib.contextmanager
    def drawn(self) -> Iterator[None]:
        """Draw the picture as long as this lasts, where there is a terminal."""
        if not self._is_live:
            over = threading.Event()
            threading.Thread(target=self._give_signs, args=(over,), daemon=True).start()
            try:
                yield
            finally:
                over.set()
            return
        from rich.live import Live

        with Live(get_renderable=self._picture, console=self.console, refresh_per_second=8, transient=True):
            yield

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._started

    def enter(self, stage: str) -> None:
        """Tell what is done now."""
        self._stage = stage
        self._line(f"{stage} ...")

    def see_component(self, name: str, state: str) -> None:
        """Tell how a component is."""
        spell = self._components.setdefault(name, States("waiting")).see(state)
        if spell is not None:
            self._line(f"{name}: {state}")

    def see_task(self, task_id: str, state: str) -> None:
        """Tell how a task is."""
        states = self.tasks.setdefault(task_id, States(NO_STATUS))
        before, spell = states.state, states.see(state)
        if spell is not None:
            self._line(f"task {task_id}: {state} (it was {before} for {spell:.1f} s)")

    def see_account(self, balance: str, order: str) -> None:
        """Tell how the account is."""
        if (balance, order) != (self._balance, self._order):
            self._balance, self._order = balance, order
            self._line(f"sandbox: {order}, balance {balance}")

    def see_log(self, line: str) -> None:
        """Tell what a task wrote."""
        self.log.append(line)
        self._line(f"log of {line}")

    def tell(self, summary: dict[str, Any], failure: str) -> None:
        """Print the result."""
        if summary:
            self.console.print(_table_of(summary, failure))
            print("\n$ python -m airflow_provider_tcbilling ledger list", *summary["ledger"], "", sep="\n", flush=True)
        if failure:
            print(f"The demo failed: {failure}", file=sys.stderr, flush=True)

    def _give_signs(self, over: threading.Event) -> None:
        """Print a sign of life whenever nothing else was printed for a while."""
        while not over.wait(0.5):
            if time.monotonic() - self._last_line_at > SILENCE_SECONDS - 0.5:
                waiting = [name for name, states in list(self._components.items()) if states.state not in SETTLED]
                self._line(f"{self._stage}: {', '.join(waiting) or 'still at work'} ...")

    def _line(self, text: str) -> None:
        self._last_line_at = time.monotonic()
        if not self._is_live:
            print(f"{self.elapsed():6.1f} s  {text}", flush=True)

    def _picture(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        rows = Table.grid(padding=(0, 2))
        # A copy, since this is the thread that draws, and the dictionaries may grow at the same time.
        things = {**self._components, **{f"task {task_id}": states for task_id, states in list(self.tasks.items())}}
        for name, states in things.items():
            colour = COLOURS.get(states.state, "yellow")
            rows.add_row(name, Text(states.state, style=colour), Text(str(states), style="dim"))
        account = f"sandbox: {self._order}, balance {self._balance}" if self._balance else ""
        head = Text.assemble((self._stage, "bold"), f"  {self.elapsed():.0f} s")
        log = [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in list(self.log)]
        return Group(head, "", rows, "", Text(account), "", *log)


def money(cents: int) -> str:
    """Write an amount for people."""
    return f"{cents / 100:,.2f} ({cents} cents)"


def _table_of(summary: dict[str, Any], failure: str) -> Table:
    from rich.table import Table

    before, after = summary["balance_before_cents"], summary["balance_after_cents"]
    title = "Something went wrong" if failure else "Bought once, paid once, delivered"
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_row("order", summary["order_id"])
    table.add_row("instances", "\n".join(summary["instance_ids"]))
    table.add_row("CreateInstance requests", str(summary["create_instance_requests"]))
    table.add_row("balance before", money(before))
    table.add_row("balance after", money(after))
    table.add_row("paid", money(before - after))
    table.add_section()
    for state, seconds in summary["seconds"].items():
        table.add_row("seconds in total" if state == "total" else f"seconds task buy was {state}", str(seconds))
    return table
