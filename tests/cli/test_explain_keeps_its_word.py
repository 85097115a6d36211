"""What ``explain`` names as the next step is carried out, in worlds drawn at random, and comes true."""

from __future__ import annotations

import json
import math
import os
import random
import re
import shlex
from contextlib import suppress

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.cli import commands, lookup
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.sandbox.options import Tokens
from airflow_provider_tcbilling.task.next_steps import COMMAND
from tests.conftest import ORDER, TaskState, client_to, context_of
from tests.support.cli_output import HAS_TASK_STATE
from tests.support.crash import Died, at

WORLDS = int(os.environ.get("TCBILLING_WORLDS", "40"))
LAG = 10.0
ENDS = ["ordered", "lost", "lost", "unsent", "declined", "paid", "odd", "dies", "dies", "dies", "twice"]
NUMBER = re.compile(r"order (\d{10,})")
FAILURES = (AirflowException, AirflowFailException, TcBillingError)


class State(TaskState):
    """The state of a task, as a worker and as the command line see it."""

    last_try_ended = -math.inf


class World:
    """
    A sandbox, a store, some identical purchases of which one is ours, and a user who does what ``explain`` says.

    :param draw: Draws the world.
    """

    def __init__(self, draw, start_sandbox, connect, folder, clock, capsys):
        self.draw, self.clock, self.capsys = draw, clock, capsys
        self.sandbox = start_sandbox(tokens=Tokens.parse(draw.choice(["honour", "ignore"])))
        self.has_ledger = not HAS_TASK_STATE or draw.random() < 0.5
        self.ledger = folder
        connect(
            host=self.sandbox.url,
            extra={"order_book_lag": LAG, **({"ledger_uri": folder.as_uri()} if self.has_ledger else {})},
        )
        self.siblings = draw.choice([0, 0, 1, 2])
        self.states = [State() for _ in range(self.siblings + 1)]
        self.tries = [0] * len(self.states)
        self.story = []

    def place(self, index):
        return index if self.siblings else -1

    def try_(self, index=0):
        """Run a try of one of the tasks, and return its order."""
        self.tries[index] += 1
        state = None if self.has_ledger else self.states[index]
        context = context_of(map_index=self.place(index), try_number=self.tries[index], state=state, clear_number=0)
        task = CreateInstanceOperator(task_id="buy", **ORDER, deferrable=False, wait_for_delivery=False)
        return task.execute(context)["order_id"]

    def purchase(self, index):
        """Let a purchase end in some way."""
        act = self.draw.choice(["none", *ENDS])
        self.story.append(act)
        fault = {
            "lost": {"fault": "drop", "when": "after"},
            "unsent": {"fault": "drop", "when": "before"},
            "twice": {"fault": "drop", "when": "after"},
            "declined": {"fault": "error", "code": "FailedOperation.BalanceInsufficient", "when": "before"},
            "paid": {"fault": "error", "code": "FailedOperation.PaySuccDeliverFailed", "when": "before"},
            "odd": {"fault": "error", "code": "FailedOperation.SomethingNew", "when": "before"},
        }.get(act)
        if fault:
            self.sandbox.faults.add({**fault, "action": "CreateInstance", "times": 1})
        if act == "dies" or (act in ("lost", "unsent") and self.draw.random() < 0.7):
            name = (
                "in doubt" if act != "dies" else self.draw.choice(["begin", "intent stored", "sending", "order known"])
            )
            with pytest.MonkeyPatch.context() as patch, suppress(Died, *FAILURES):
                patch.setattr(Purchase, "checkpoint", staticmethod(at(name)))
                self.try_(index)
        elif act != "none":
            with suppress(*FAILURES):
                self.try_(index)
        if act == "twice":
            with suppress(*FAILURES):
                self.try_(index)
        self.sandbox.faults.clear()
        self.clock.sleep(self.draw.choice([0, 1, 30]))

    def happen(self):
        """Let all purchases end, somebody buy beside them, records be damaged, and time go by."""
        for index in self.draw.sample(range(len(self.states)), len(self.states)):
            self.purchase(index)
        if self.draw.random() < 0.3:
            self.story.append("somebody else's")
            zone = self.draw.choice([ORDER["zone_code"], "ap-guangzhou-3"])
            client_to(self.sandbox).create_instance(client_token="other", **{**ORDER, "zone_code": zone})
        if self.draw.random() < 0.2:
            self.spoil()
        self.clock.sleep(self.draw.choice([0, 60, 400, 700, 1100, 3000]))
        if self.draw.random() < 0.15:
            self.story.append("unreadable")
            refusal = {"fault": "error", "code": "UnauthorizedOperation", "times": None}
            self.sandbox.faults.add({**refusal, "action": "DescribeDealsByCond"})

    def spoil(self):
        """Lose or damage our record."""
        self.story.append(how := self.draw.choice(["lost record", "damaged record"]))
        if self.has_ledger:
            for path in self.ledger.glob(f"shop-manual-1-buy-{self.place(0)}-*"):
                path.unlink() if how == "lost record" else path.write_text("{half of")
        elif how == "lost record":
            self.states[0].stored.clear()
        elif self.states[0].stored:
            self.states[0].stored = {name: '"{half of"' for name in self.states[0].stored}

    @property
    def task(self):
        mapped = ["--map-index", "0"] if self.siblings else []
        return ["--dag-id", "shop", "--run-id", "manual__1", "--task-id", "buy", *mapped]

    def run(self, arguments):
        self.capsys.readouterr()
        code = commands.main(arguments)
        out, err = self.capsys.readouterr()
        return code, out, err

    def explain(self):
        code, out, err = self.run(["explain", *self.task, "--json"])
        assert out, (code, err)
        return json.loads(out)

    @property
    def orders(self):
        return [order.order_id for order in self.sandbox.account.orders()]

    @property
    def sent(self):
        return self.sandbox.requests.get("CreateInstance", 0)

    def clear(self):
        """Return the order of a clear, or its failure; the orders that are new; and how many requests were sent."""
        before, sent = self.orders, self.sent
        try:
            ended = self.try_()
        except FAILURES as error:
            ended = error
        return ended, [order for order in self.orders if order not in before], self.sent - sent

    def settle(self, step, decision, number=""):
        """Run the command of the step that makes a decision."""
        (line,) = [line for line in step.splitlines() if COMMAND in line and decision in line]
        words = shlex.split(line.partition(COMMAND)[2])
        return self.run([number if word == "NUMBER" else word for word in words])


def wait_until(world, step):
    """Sleep until the moment that a step names."""
    import time
    from datetime import datetime

    if found := re.search(r"From (\S+Z) on", step):
        moment = datetime.fromisoformat(found[1].replace("Z", "+00:00")).timestamp()
        world.clock.sleep(max(0.0, moment - time.time() + 1))


def returns_the_order(world, explanation):
    ended, new, sent = world.clear()
    assert (new, sent) == ([], 0)
    assert ended == explanation["record"]["order_id"]


def adopts(world, explanation):
    ended, new, sent = world.clear()
    assert (new, sent) == ([], 0)
    assert ended in NUMBER.findall(" ".join(explanation["order_book"]))


def sends_again(world, explanation):
    ended, new, sent = world.clear()
    assert sent >= 1
    assert ended in world.orders
    assert len(new) <= 1


def buys(world, explanation):
    ended, new, _ = world.clear()
    assert new in ([ended], [])
    assert ended in world.orders


def stops(world, explanation):
    ended, new, sent = world.clear()
    assert isinstance(ended, Exception)
    assert (new, sent) == ([], 0)


def is_settled(world, explanation, *, may_buy=True):
    step = explanation["next_step"]
    named = [number for number in NUMBER.findall(" ".join(explanation["order_book"])) if number in world.orders]
    if named and (not may_buy or world.draw.random() < 0.5):
        code, _, err = world.settle(step, "--order-id", named[0])
        assert code == 0, err
        ended, new, sent = world.clear()
        assert (ended, new, sent) == (named[0], [], 0)
    elif may_buy and "--not-bought" not in step:
        buys(world, explanation)
    elif may_buy:
        wait_until(world, step)
        code, _, err = world.settle(step, "--not-bought")
        if code and "Then settle again" in err:
            world.sandbox.faults.clear()
            code, _, err = world.settle(step, "--not-bought")
        if code and "--force" in err:
            words = world.settle(step.replace("--not-bought", "--not-bought --force"), "--not-bought")
            assert words[0] == 0, words
        else:
            assert code == 0, err
        buys(world, explanation)


def stops_then_is_settled(world, explanation):
    stops(world, explanation)
    is_settled(world, explanation)


def is_final(world, explanation):
    stops(world, explanation)
    assert world.run(["settle", *world.task, "--not-bought", "--force"])[0] == 1
    is_settled(world, explanation, may_buy=False)


def is_read_again(world, explanation):
    _, new, sent = world.clear()
    assert (new, sent) == ([], 0)
    world.sandbox.faults.clear()
    keeps_its_word(world)


def is_asked_later(world, explanation):
    world.clock.sleep(200)
    keeps_its_word(world)


PROMISES = (
    ("Clear the task: it adopts this order, and buys nothing", adopts),
    ("Clear the task: it waits on for this order, and buys nothing", returns_the_order),
    ("Clear the task: it returns this order, and buys nothing", returns_the_order),
    ("it waits on for the order, which is known, and buys nothing", returns_the_order),
    ("A clear returns the same dead order, and buys nothing", returns_the_order),
    ("A clear returns the order of the record, and buys nothing", returns_the_order),
    ("A clear waits for this order, and buys nothing", returns_the_order),
    ("Clear the task before ", sends_again),
    ("then clear the task: it BUYS", buys),
    ("Clear the task: it BUYS", buys),
    ("Do not just clear: the task stops again", stops_then_is_settled),
    ("Ask again later. Or clear the task", is_asked_later),
    ("Do not clear: it would BUY, although an order matches", is_settled),
    ("It is never sent again under this key", is_final),
    ("Until then a clear is refused, and sends nothing", stops_then_is_settled),
    ("No record does not mean that nothing was bought", is_settled),
    ("sends nothing until the orders were read", is_read_again),
)
"""The sentences of next steps, and what must come true of each."""


def keeps_its_word(world):
    """Do what ``explain`` says, and see that it comes true."""
    explanation = world.explain()
    step = " ".join(explanation["next_step"].split())
    world.story.append(f"{explanation['state']}/{explanation['finding']}")
    promised = [check for sentence, check in PROMISES if sentence in step]
    assert promised, step
    promised[0](world, explanation)


@pytest.mark.airflow
@pytest.mark.parametrize("seed", range(WORLDS))
def test_the_next_step_that_is_named_comes_true(
    seed, passing_time, start_sandbox, connect, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("airflow_provider_tcbilling.api.caller.BACKOFF_CAP", 0)
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    folder = tmp_path / "ledger"
    folder.mkdir()
    world = World(random.Random(seed), start_sandbox, connect, folder, passing_time, capsys)
    monkeypatch.setattr(lookup, "TaskState", lambda task: world.states[max(0, task.map_index)])
    world.happen()
    story = world.story
    keeps_its_word(world)
    assert story
