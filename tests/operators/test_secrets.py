"""What Airflow shows, what a folder lets others read, and what a failed task tells: no secret."""

from __future__ import annotations

import asyncio
import json
import os
import stat

import pytest

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.task.masker import MOST_CHARACTERS, MOST_SECRETS, mask_in_airflow
from tests.api.test_error_secrets import TOKEN, assert_shows_nothing
from tests.conftest import ORDER, SECRET_KEY, context_of
from tests.purchasing.test_record_secrets import canonical, version_1
from tests.support.shop import KEY

pytestmark = [pytest.mark.airflow]


@pytest.fixture
def redacted():
    """Return a function that hides what Airflow's masker was told, as task logs and rendered fields do."""
    from airflow.providers.common.compat.sdk import redact

    return redact


PARAMETERS = {
    "a mapping": {"pid": 1, "rootPwd": "{{ params.a }}-rendered-pw"},
    "JSON text": '{"pid": 1, "rootPwd": "{{ params.a }}-rendered-pw"}',
    "a pair": {"pid": 1, "env": [{"Name": "apiKey", "Value": "{{ params.a }}-rendered-pw"}]},
}


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_airflow_masks_the_secrets_of_a_parameter_as_soon_as_they_are_rendered(redacted, parameter, request):
    word = f"w{abs(hash(request.node.name)):x}"
    operator = CreateInstanceOperator(task_id="buy", **{**ORDER, "parameter": PARAMETERS[parameter]})
    assert f"{word}-rendered-pw" in redacted(f"{word}-rendered-pw")

    operator.render_template_fields({**context_of(), "params": {"a": word}})

    assert f"{word}-rendered-pw" in json.dumps(operator.parameter)
    assert redacted(f"it is {word}-rendered-pw.") == "it is ***."
    assert f"{word}-rendered-pw" not in str(redacted(operator.parameter))


def test_what_json_writes_differently_is_masked_in_both_ways(redacted):
    secret = 'quote"and\nline-äö'
    operator = CreateInstanceOperator(task_id="buy", **{**ORDER, "parameter": {"pid": 1, "rootPwd": secret}})

    operator.render_template_fields(context_of())

    assert redacted(secret) == "***"
    assert redacted(json.dumps({"x": secret})) == '{"x": "***"}'


def test_a_task_that_runs_masks_what_was_not_rendered(redacted, connection):
    operator = CreateInstanceOperator(task_id="buy", **{**ORDER, "parameter": {"pid": 1, "rootPwd": "never-rendered"}})

    operator.execute(context_of())

    assert redacted("never-rendered") == "***"


@pytest.mark.parametrize("word", ["false", "Enabled", "1234", "", "***"])
def test_a_word_that_any_text_may_hold_is_not_masked_in_logs(monkeypatch, word):
    masked = []
    monkeypatch.setattr("airflow_provider_tcbilling.task.masker._mask_secret", masked.append)
    operator = CreateInstanceOperator(task_id="buy", **{**ORDER, "parameter": {"pid": 1, "passwordPolicy": word}})

    operator.render_template_fields(context_of())

    assert masked == []


def test_a_masker_that_fails_stops_no_purchase(sandbox, connection, monkeypatch, logged):
    def fails(text):
        raise OSError(text)

    monkeypatch.setattr("airflow_provider_tcbilling.task.masker._mask_secret", fails)
    operator = CreateInstanceOperator(task_id="buy", **{**ORDER, "parameter": {"pid": 1, "rootPwd": "hunter2hunter2"}})

    operator.render_template_fields(context_of())
    operator.execute(context_of())

    assert len(sandbox.account.orders()) == 1
    assert "hunter2" not in logged()


@pytest.mark.parametrize(
    "planted", [["short-secret", *(f"secret-{n:07}" for n in range(5000))], ["short-secret", "x" * 10**6]]
)
def test_airflow_is_told_no_more_than_it_can_mask_in_good_time(monkeypatch, logged, planted):
    told = []
    monkeypatch.setattr("airflow_provider_tcbilling.task.masker._mask_secret", told.append)

    mask_in_airflow({"pid": 1, "env": [{"Name": "password", "Value": secret} for secret in planted]})

    assert told[0] == "short-secret"
    assert len(told) <= MOST_SECRETS
    assert sum(map(len, told)) <= MOST_CHARACTERS
    assert f"does not mask {len(planted) - len(told)} of the {len(planted)} secrets" in logged()


def test_a_mistake_in_the_parameter_fails_the_task_without_its_content(connection):
    operator = CreateInstanceOperator(task_id="buy", **{**ORDER, "parameter": ["hunter2hunter2"]})

    with pytest.raises(Exception, match="parameter: ") as caught:
        operator.execute(context_of())

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [{"host": "https://elsewhere.example.com"}, {"login": "with blank "}, {"port": 99999}]
)
def test_a_connection_with_mistakes_is_named_without_its_key(connect, wrong):
    connect(**{"host": "billing.tencentcloudapi.com", **wrong}, extra={"token": TOKEN})

    with pytest.raises(InvalidRequest) as caught:
        TcBillingHook().get_settings()
    assert_shows_nothing(caught.value)
    with pytest.raises(InvalidRequest) as caught:
        TcBillingHook().get_conn()
    assert_shows_nothing(caught.value)
    with pytest.raises(InvalidRequest) as caught:
        asyncio.run(TcBillingHook().aget_settings())
    assert_shows_nothing(caught.value)


def test_a_connection_that_cannot_be_read_is_named_without_its_key(monkeypatch):
    def broken(*args):
        return json.loads(f'{{"password": "{SECRET_KEY}", ')

    async def broken_too(*args):
        return broken()

    monkeypatch.setattr(TcBillingHook, "get_connection", broken)
    monkeypatch.setattr("airflow.providers.common.compat.connection.get_async_connection", broken_too)

    for read in (TcBillingHook().get_settings, lambda: asyncio.run(TcBillingHook().aget_settings())):
        with pytest.raises(InvalidRequest) as caught:
            read()
        assert_shows_nothing(caught.value)


def test_settings_do_not_show_the_key(connect):
    connect(extra={"token": TOKEN})

    assert SECRET_KEY not in repr(TcBillingHook().get_settings())
    assert TOKEN not in repr(TcBillingHook().get_settings())


@pytest.mark.parametrize(("umask", "mode"), [(0o000, 0o640), (0o022, 0o640), (0o027, 0o640), (0o077, 0o600)])
def test_a_record_in_a_folder_is_read_by_nobody_but_its_owner_and_group(tmp_path, umask, mode):
    folder = tmp_path / "ledger"
    folder.mkdir(mode=0o755)
    before = os.umask(umask)
    try:
        ledger = ObjectStore(folder.as_uri())
        ledger.create("a", {"n": 1})
        first = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
        ledger.replace("a", {"n": 2})
        ledger.replace("b", {"n": 3})
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    finally:
        os.umask(before)

    assert set(first.values()) == set(modes.values()) == {mode}
    assert (len(first), len(modes)) == (1, 2)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_a_record_that_others_could_read_is_closed_when_it_is_next_written(tmp_path):
    ledger = ObjectStore(tmp_path.as_uri())
    ledger.create("a", {"n": 1})
    (path,) = tmp_path.iterdir()
    path.chmod(0o644)

    ledger.replace("a", {"n": 2})

    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("decision", [["--order-id", "{}"], ["--not-bought", "--force"], ["--restore", "-"]])
@pytest.mark.usefixtures("passing_time")
def test_a_decision_about_a_record_of_version_1_stores_no_plain_hash(shop, run, monkeypatch, decision):
    import io

    shop.lost()
    (path,) = shop.folder.glob("*.json")
    new = json.loads(path.read_text())
    old = version_1(new, ORDER)
    old["payload"]["Parameter"] = canonical(ORDER["parameter"])
    path.write_text(json.dumps(old))
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(old)))

    named = ["--key", KEY] if decision[0] != "--restore" else []
    code, _, err = run("settle", *named, *(part.format(shop.orders[0]) for part in decision))

    assert code == 0, err
    decided = json.loads(path.read_text())
    assert (decided["version"], decided["fingerprint"]) == (2, new["fingerprint"])
    assert shop.purchase().place().order_id in shop.orders
