"""The scenarios: what happens to the machines while a fleet buys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from verification.cluster import machine
from verification.cluster.nodes import QUICK_TO_NOTICE, SERVER, TRIGGERERS, WORKERS
from verification.cluster.stage import Stage
from verification.cluster.trial import DATABASE, OBJECTS, STATE, Order

IGNORE, HONOUR = "ignore", "honour"
AWAY_SECONDS = 5.0
FROZEN_SECONDS = 100.0
AHEAD_SECONDS = 200
RULES = (IGNORE, HONOUR)
ALL_STORES = (STATE, OBJECTS, DATABASE)
FIRST, SECOND = WORKERS
DEFAULTS: Mapping[str, str] = {}


def nothing_happens(stage: Stage) -> None:
    """Let the fleet buy."""


@dataclass(frozen=True)
class Scenario:
    """
    One scenario.

    :param about: In words, for the page.
    :param play: What happens.
    :param tokens: The servers' rules for repeated tokens before which it is played.
    :param settings: The settings of Airflow that it needs.
    :param seconds: How long all of it may take.
    :param may_stop: The stores with which a task may stop, as the documentation says. Purchases that are alike and
        died with a stored intent need a ledger that all of them share.
    :param is_long: It waits for many minutes, in which others are played.
    :param unfit: Why this machine cannot play it; empty if it can.
    """

    about: str
    order: Order
    play: Callable[[Stage], None]
    stores: tuple[str, ...] = ALL_STORES
    tokens: tuple[str, ...] = RULES
    settings: Mapping[str, str] = field(default_factory=lambda: QUICK_TO_NOTICE)
    seconds: float = 1800.0
    unfit: Callable[[], str] = lambda: ""
    may_stop: tuple[str, ...] = ()
    is_long: bool = False

    @property
    def is_striking(self) -> bool:
        """Whether something happens to tasks that run."""
        return self.play not in (nothing_happens, all_wait)


def worker_is_lost(stage: Stage) -> None:
    """Lose a worker's machine between the intent and the request."""
    _lose_at("intent stored", FIRST, stage)


def workers_are_lost(stage: Stage) -> None:
    """Lose a worker's machine three times: after the intent, after the answer, before the request."""
    _lose_at("intent stored", FIRST, stage)
    _lose_at("order known", SECOND, stage)
    _lose_at("sending", FIRST, stage)


def _lose_at(point: str, node: str, stage: Stage) -> None:
    with stage.held(point, node):
        stage.strike(node)
        stage.cluster.lose(node)
    stage.note(f"{node} is lost")
    stage.pause(AWAY_SECONDS)
    stage.cluster.start_component(node)


def both_workers_are_lost(stage: Stage) -> None:
    """Lose the machines of both workers between the intent and the request."""
    with stage.held("intent stored", each=1):
        stage.strike(*WORKERS)
        stage.cluster.lose(*WORKERS)
    stage.note("both workers are lost")
    stage.pause(AWAY_SECONDS)
    for worker in WORKERS:
        stage.cluster.start_component(worker)


def api_server_is_lost(stage: Stage) -> None:
    """Lose the machine of the API server when tasks are about to store their intents."""
    with stage.held("begin", each=16):
        stage.strike()
        stage.cluster.lose(SERVER)
    stage.note(f"the {SERVER} is lost")
    stage.pause(AWAY_SECONDS)
    stage.cluster.start_component(SERVER)


def broker_is_lost(stage: Stage) -> None:
    """Lose Redis, with all that is queued in it, while tasks buy."""
    with stage.held("sending"):
        stage.strike()
        stage.cluster.redis.kill()
        stage.note("Redis is lost")
        stage.pause(AWAY_SECONDS)
        stage.cluster.redis.start()


def database_restarts(stage: Stage) -> None:
    """Restart PostgreSQL at once, while tasks are between the intent and the record of the order."""
    for point in ("intent stored", "order known"):
        with stage.held(point):
            stage.strike()
            stage.cluster.postgresql.restart_at_once()
            stage.note("PostgreSQL was restarted at once")
        stage.pause(AWAY_SECONDS)


def triggerer_is_lost(stage: Stage) -> None:
    """Lose the machine of a triggerer that watches deliveries."""
    _wait_until_deferred(stage)
    for trial in stage.trials:
        trial.struck = trial.count("deferred")
    stage.cluster.lose(TRIGGERERS[0])
    stage.note(f"{TRIGGERERS[0]} is lost")
    _deliver(stage)
    stage.pause(AWAY_SECONDS)
    stage.cluster.start_component(TRIGGERERS[0])


def all_wait(stage: Stage) -> None:
    """Deliver when every order waits in a triggerer."""
    _wait_until_deferred(stage)
    _deliver(stage)


def _wait_until_deferred(stage: Stage) -> None:
    stage.wait(
        "every order to wait in a triggerer",
        lambda: all(trial.count("deferred") >= trial.order.wanted for trial in stage.trials),
        seconds=3000.0,
    )


def _deliver(stage: Stage) -> None:
    for trial in stage.trials:
        trial.deliver()


def workers_are_renewed(stage: Stage) -> None:
    """Stop one worker after the other by SIGTERM, as a new release is rolled out."""
    for worker in WORKERS:
        with stage.held("sending", worker):
            stage.strike(worker)
        stage.cluster.say_goodbye(worker)
        stage.note(f"{worker} has ended, and was started again")


def run_is_cleared(stage: Stage) -> None:
    """Clear the whole run twice while its tasks buy."""
    for point in ("intent stored", "order known"):
        with stage.held(point):
            stage.strike()
            for trial in stage.trials:
                trial.clear()
            stage.note("all runs are cleared")
            stage.pause(AWAY_SECONDS)


def clocks_differ(stage: Stage) -> None:
    """Let a machine stand still before the request until another one, whose clock is ahead, takes over."""
    library = machine.fake_time()
    fake = {"LD_PRELOAD": str(library), "FAKETIME": f"+{AHEAD_SECONDS}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    try:
        with stage.held("sending", FIRST):
            stage.strike(FIRST)
            stage.cluster.freeze(FIRST)
            stage.cluster.set_clock(SECOND, fake)
        stage.note(f"{FIRST} stands still, and the clock of {SECOND} is {AHEAD_SECONDS} s ahead")
        stage.pause(FROZEN_SECONDS)
        stage.cluster.thaw(FIRST)
        stage.note(f"{FIRST} goes on")
        stage.until_over(900.0)
    finally:
        stage.cluster.set_clock(SECOND, {})


def _without_fake_time() -> str:
    return "" if machine.fake_time() else "libfaketime is not installed"


def _without_namespaces() -> str:
    return "" if machine.way_of_namespaces() else "this machine has no namespaces for us, so all folders are shared"


SIXTEEN = Order(16)
ALIKE = Order(16, are_alike=True)


def deferred(wanted: int) -> Order:
    """Return orders that are delivered when the scenario lets them."""
    return Order(wanted, dag_id="buy-deferred", delivery_seconds=3600.0)


SCENARIOS: Mapping[str, Scenario] = {
    "many": Scenario(
        "200 mapped purchases", Order(200), nothing_happens, tokens=(IGNORE,), settings=DEFAULTS, seconds=3600
    ),
    "deferred": Scenario(
        "500 orders wait in two triggerers", deferred(500), all_wait, tokens=(IGNORE,), settings=DEFAULTS, seconds=5400
    ),
    "worker": Scenario(
        "a worker's machine is lost between intent and request", ALIKE, worker_is_lost, may_stop=(STATE,)
    ),
    "workers": Scenario(
        "a worker's machine is lost three times, 16 identical purchases", ALIKE, workers_are_lost, may_stop=(STATE,)
    ),
    "triggerer": Scenario(
        "a triggerer's machine is lost, 100 orders wait",
        deferred(100),
        triggerer_is_lost,
        tokens=(IGNORE,),
        settings=DEFAULTS,
    ),
    "server": Scenario("the API server is lost once, back after 5 s", ALIKE, api_server_is_lost),
    "broker": Scenario("Redis is lost with its queue, back after 5 s", SIXTEEN, broker_is_lost, may_stop=(STATE,)),
    "database": Scenario("PostgreSQL restarts at once, twice", SIXTEEN, database_restarts, may_stop=(STATE,)),
    "limit": Scenario(
        "320 mapped purchases and a limit for 100, a worker's machine is lost three times",
        Order(320, dag_id="buy-limited", allowed=100),
        workers_are_lost,
        stores=(DATABASE,),
        tokens=(IGNORE,),
        seconds=5400,
    ),
    "default": Scenario(
        "both workers are lost between intent and request, Airflow's defaults (heartbeat 300 s, retry 300 s)",
        Order(1, dag_id="buy-default", extra={}),
        both_workers_are_lost,
        settings=DEFAULTS,
        seconds=2400,
        is_long=True,
    ),
    "goodbye": Scenario(
        "both workers are stopped by SIGTERM, one after the other", SIXTEEN, workers_are_renewed, settings=DEFAULTS
    ),
    "clear": Scenario("the whole run is cleared twice while it buys", SIXTEEN, run_is_cleared, may_stop=(STATE,)),
    "clocks": Scenario(
        "a worker stands still for 100 s before the request, the other one's clock is 200 s ahead",
        Order(8, extra={"order_book_lag": 5}),
        clocks_differ,
        seconds=2400,
        unfit=_without_fake_time,
        may_stop=(STATE,),
    ),
    "unshared": Scenario(
        "a worker's machine is lost three times, and each machine has a ledger folder of its own",
        Order(16, is_shared=False),
        workers_are_lost,
        stores=(OBJECTS,),
        may_stop=(OBJECTS,),
        unfit=_without_namespaces,
    ),
}
"""All of them, in the order of the page."""

SHORT: Mapping[str, tuple[str, ...]] = {"server": (STATE, DATABASE), "worker": (STATE, DATABASE)}
"""The scenarios of the short form, and their stores. The servers ignore tokens."""
