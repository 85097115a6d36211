"""Keys that come while a task or a trigger runs: Airflow masks them before they are used, and holds nothing up."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import threading
import time

import pytest

from airflow_provider_tcbilling.api.credentials import Key
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.task import masker
from airflow_provider_tcbilling.task.masker import mask_key, mask_through_this_loop

pytestmark = pytest.mark.airflow


@pytest.fixture(autouse=True)
def _no_triggers(monkeypatch):
    monkeypatch.setattr(masker._Process, "loop", None)
    monkeypatch.setattr(masker._Process, "keys", itertools.count())


@pytest.fixture
def hidden():
    """Return whether Airflow hides a text in logs."""
    from airflow.providers.common.compat.sdk import redact

    return lambda text: redact(text) == "***"


def key_of(request):
    word = f"{abs(hash(request.node.name)):x}"
    return Key(f"AKID{word}", f"secret-{word}", f"token-{word}")


# A masker that fails


def test_a_masker_that_raises_stops_nothing_and_shows_no_key(request, monkeypatch, logged):
    def fails(text):
        raise OSError(f"{text} is not masked")

    monkeypatch.setattr(masker, "_mask_secret", fails)
    key = key_of(request)

    mask_key(key)

    assert "Airflow does not mask the new key in its logs: OSError" in (text := logged())
    assert key.secret_key not in text


def test_a_masker_that_hangs_holds_a_query_up_for_a_short_time_only(request, monkeypatch, logged):
    release = threading.Event()
    monkeypatch.setattr(masker, "_mask_secret", lambda text: release.wait(60))
    monkeypatch.setattr(masker, "MASK_SECONDS", 0.2)

    async def trigger():
        mask_through_this_loop()
        began_at = time.monotonic()
        await asyncio.to_thread(mask_key, key_of(request))
        release.set()
        return time.monotonic() - began_at

    assert asyncio.run(trigger()) < 30
    assert "Airflow does not mask the new key in its logs: TimeoutError" in logged()


def test_a_key_that_comes_in_the_event_loop_itself_does_not_block_it(request, hidden):
    key = key_of(request)

    async def trigger():
        mask_through_this_loop()
        mask_key(key)
        while not hidden(key.token):
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(trigger(), 60))


def test_after_the_triggers_have_ended_a_key_is_masked_all_the_same(request, hidden):
    async def trigger():
        mask_through_this_loop()

    asyncio.run(trigger())
    mask_key(key := key_of(request))

    assert hidden(key.secret_key)


# The process that writes the logs of triggers


class Supervisor(threading.Thread):
    """The other end of a triggerer's line to the process that writes its logs."""

    def __init__(self, line):
        super().__init__(daemon=True)
        self.line, self.masked = line, []

    def run(self):
        import msgspec
        from airflow.sdk.execution_time.comms import _ResponseFrame

        with contextlib.suppress(OSError), self.line.makefile("rb") as file:
            while length := file.read(4):
                number, body, *_ = msgspec.msgpack.decode(file.read(int.from_bytes(length, "big")))
                self.masked.append(body["value"])
                time.sleep(0.01)
                self.line.sendall(_ResponseFrame(number, None, None).as_bytes())


def test_in_a_triggerer_the_process_that_writes_the_logs_gets_every_key_and_no_answer_is_mixed_up(request, monkeypatch):
    runner = pytest.importorskip("airflow.jobs.triggerer_job_runner")
    if not hasattr(runner, "TriggerCommsDecoder"):
        pytest.skip("Airflow 2 writes the logs of triggers in the process of the triggers")
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import MaskSecret

    ours, theirs = socket.socketpair()
    supervisor = Supervisor(theirs)
    supervisor.start()
    keys = [Key(f"AKID{n}", f"secret-{n}-{request.node.name}", f"token-{n}-{request.node.name}") for n in range(8)]

    async def trigger():
        reader, writer = await asyncio.open_connection(sock=ours)
        comms = runner.TriggerCommsDecoder(async_writer=writer, async_reader=reader, socket=ours)
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", comms, raising=False)
        if hasattr(comms, "start_reader"):
            await comms.start_reader()
        mask_through_this_loop()
        queries = [asyncio.to_thread(mask_key, key) for key in keys]
        # Airflow itself speaks on the same line meanwhile.
        own = [comms.asend(MaskSecret(value=f"own-{n}", name=None)) for n in range(8)]
        await asyncio.gather(*queries, *own)
        for reading in asyncio.all_tasks() - {asyncio.current_task()}:
            reading.cancel()
        writer.close()

    asyncio.run(trigger())

    expected = {text for key in keys for text in (key.secret_key, key.token)} | {f"own-{n}" for n in range(8)}
    assert sorted(supervisor.masked) == sorted(expected), "each once"


async def test_the_hook_masks_through_the_loop_in_which_it_reads_a_connection(connect):
    connect()

    await TcBillingHook().aget_settings()

    assert masker._Process.loop is asyncio.get_running_loop()


# A task


def test_a_new_key_is_masked_in_a_task(request, hidden):
    key = key_of(request)
    assert not hidden(key.secret_key)

    mask_key(key)

    assert hidden(key.secret_key)
    assert hidden(key.token)


def test_a_key_without_a_token_is_masked(request, hidden):
    mask_key(Key("AKID", secret := f"secret-{request.node.name}"))

    assert hidden(secret)
    assert not hidden("AKID")


def test_a_process_that_has_had_many_keys_is_not_slowed_down_by_their_masks(monkeypatch):
    """Airflow compiles all masks anew for each one, and forgets none."""
    masked, warnings = [], []
    monkeypatch.setattr(masker.log, "warning", lambda text, *arguments: warnings.append(text % arguments))
    monkeypatch.setattr(masker, "_mask_secret", masked.append)

    for number in range(masker.MOST_KEYS + 3):
        mask_key(Key("AKID", f"secret-{number}", f"{number:04}" * 100))

    assert len(masked) == 2 * masker.MOST_KEYS
    assert [len(text) for text in masked[1::2]] == [400] * 20 + [32] * 480
    assert warnings == ["Airflow masks no further keys of this process in its logs: it had 500 of them."]
