"""No key, token, web identity or external id is in anything that Airflow or this provider writes, keeps or shows."""

from __future__ import annotations

import contextlib
import json
import logging
import pickle
import secrets
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred

from airflow_provider_tcbilling.api.errors import CredentialsUnavailable, TcBillingError
from airflow_provider_tcbilling.api.signing import Tc3Auth
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.sandbox.roles import Role
from airflow_provider_tcbilling.task.ledger_connection import address_of
from tests.api.test_error_secrets import shown_of, things_of
from tests.conftest import ORDER, context_of
from tests.support.keys import BUYER
from tests.support.sources import NAMES, SOURCES, source

__all__ = ["source"]
pytestmark = pytest.mark.airflow


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch, passing_time):
    monkeypatch.setattr("airflow_provider_tcbilling.api.caller.BACKOFF_CAP", 0)


@pytest.fixture
def written(caplog, capfd):
    """Return everything that any logger has written, at DEBUG."""
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "requests", "airflow", "sqlalchemy.engine", "airflow_provider_tcbilling"):
        caplog.set_level(logging.DEBUG, name)
    return lambda: caplog.text + repr([record.__dict__ for record in caplog.records]) + "".join(capfd.readouterr())


@pytest.fixture
def world(start_sandbox, source):
    """Make a sandbox, all of whose secrets are new, and a source of its keys."""
    external_id = secrets.token_hex(16)

    def make(name, **extra):
        options = {"delivery_looks": 2, **extra.pop("options", {})}
        buyer = Role("buyer", external_id=external_id)
        sandbox = start_sandbox(secret_key=secrets.token_hex(20), roles=(buyer,), **options)
        return source(name, sandbox, external_id=external_id, **extra)

    return make


def leaks(texts, hidden):
    """Return the places that show a secret, as (place, text) pairs are searched."""
    return sorted({place for place, text in texts if any(secret in text for secret in hidden)})


def shown(error, hidden):
    return leaks(shown_of(error), hidden)


def buying(**arguments):
    options = {"deferrable": True, "poll_interval": 5, **ORDER, **arguments}
    return CreateInstanceOperator(task_id="buy", **options)


def files(folder):
    """Return the ledger's files: not those that a source of keys reads."""
    own = {"credentials", "web-identity"}
    found = [path for path in folder.rglob("*") if path.is_file() and path.name not in own]
    return [(str(path), path.read_bytes().decode("latin-1")) for path in found]


@pytest.mark.parametrize("ledger", ["database", "folder"])
@pytest.mark.parametrize("name", SOURCES)
def test_a_purchase_shows_no_part_of_a_key_anywhere(world, monkeypatch, tmp_path, written, name, ledger):
    (tmp_path / "ledger").mkdir()
    uses = {"ledger_uri": (tmp_path / "ledger").as_uri()}
    if ledger == "database":
        uses = {"ledger_conn_id": "ledger"}
        database = {"conn_type": "sqlite", "host": f"{tmp_path}/ledger/ledger.db"}
        monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(database))
        DatabaseStore(address_of("ledger")).upgrade()
    made = world(name, order_book_lag=1, **uses)
    context, task = context_of(), buying()

    task.render_template_fields({**context, "params": {}})
    with pytest.raises(TaskDeferred) as leaving:
        task.execute(context)
    row = leaving.value.trigger.serialize()
    event = {**leaving.value.trigger.facts, "deadline": leaving.value.trigger.deadline}
    made.sandbox.keys.expire()
    if name == "connection":
        made.replace_key()
    result = buying(deferrable=False).execute_complete(context, event) if name not in ("environment", "profile") else {}

    hidden = made.secrets()
    assert len(hidden) >= 3
    kept = {
        "trigger row": row,
        "XCom": context["ti"].xcoms,
        "result": result,
        "rendered": {field: getattr(task, field) for field in task.template_fields},
        "task": vars(task),
    }
    assert files(tmp_path)
    places = [*((place, repr(value)) for place, value in kept.items()), ("log", written()), *files(tmp_path)]
    assert leaks(places, hidden) == []


@pytest.mark.parametrize("name", SOURCES)
def test_the_objects_that_hold_a_key_show_and_pickle_none(world, name):
    made = world(name)
    hook = TcBillingHook()
    session = hook.session()
    with session:
        client = session.buying
        client.describe_account_balance()
        settings, credentials = session.settings, client.credentials
        key, source_of_it = credentials.key(), credentials.source
        holders = [hook, session, settings, client, credentials, key, source_of_it, client._transport]
        holders += [client._transport.auth, client.seal, client._transport.session, getattr(source_of_it, "base", None)]

        texts = [(type(holder).__name__, f"{holder!r} {holder} {[*things_of(holder)]}") for holder in holders]
        assert leaks(texts, made.secrets()) == []
        for holder in (settings, credentials, key, client, session):
            shown_by_pickle = b""
            with contextlib.suppress(Exception):
                shown_by_pickle = pickle.dumps(holder)
            assert shown_by_pickle == b"", type(holder)


HALF = {"Code": "Success", "TmpSecretId": "AKIDhalf", "TmpSecretKey": "{secret}", "Token": "", "ExpiredTime": 9e9}
OLD = {**HALF, "Token": "{secret}", "ExpiredTime": 1}
NO_TIME = {**OLD, "ExpiredTime": "soon"}
STS_HALF = {"Credentials": {"TmpSecretId": "AKIDhalf", "TmpSecretKey": "{secret}", "Token": ""}, "ExpiredTime": 9e9}
STS_ODD = {**STS_HALF, "ExpiredTime": "soon"}


def filled(answer, secret):
    return json.loads(json.dumps(answer).replace("{secret}", secret))


def profile(made, text):
    Path(made.extra["file"] if "file" in made.extra else made.folder / "credentials").write_bytes(text)


def fault(action, **kind):
    return lambda made, secret: made.sandbox.faults.add({"action": action, "times": None, **kind})


def answer(action, what):
    return lambda made, secret: made.sandbox.faults.add(
        {"action": action, "times": None, "fault": "answer", "response": filled(what, secret)}
    )


def no_role(made, secret):
    made.sandbox.keys.roles = {}


def two_values(made, secret):
    made.patch.setenv("TENCENTCLOUD_SECRETKEY", secret)


def refused_key(made, secret):
    made.sandbox.keys.expire()


WEB, STS, METADATA = "AssumeRoleWithWebIdentity", "AssumeRole", "metadata"
REFUSED = {"fault": "error", "code": "UnauthorizedOperation", "when": "before"}
BAD_ENDS = {
    "STS refuses the role": ("role", fault(STS, **REFUSED)),
    "STS has no such role": ("role", no_role),
    "STS answers HTML": ("role", fault(STS, fault="html")),
    "STS answers 500": ("role", fault(STS, fault="http", status=500)),
    "STS answers half a key": ("role", answer(STS, STS_HALF)),
    "STS answers no moment": ("role", answer(STS, STS_ODD)),
    "STS drops the connection": ("role", fault(STS, fault="drop")),
    "STS refuses the web identity": ("tke_oidc", fault(WEB, **REFUSED)),
    "STS answers HTML to the web identity": ("tke_oidc", fault(WEB, fault="html")),
    "STS answers half a key to the web identity": ("tke_oidc", answer(WEB, STS_HALF)),
    "a web identity of two lines": (
        "tke_oidc",
        lambda made, secret: (made.folder / "web-identity").write_text(f"{secret}\n{secret}\n"),
    ),
    "a web identity of odd bytes": (
        "tke_oidc",
        lambda made, secret: (made.folder / "web-identity").write_bytes(b"\xff\xfe" + secret.encode() + b"\x00"),
    ),
    "metadata answers HTML": ("cvm_role", fault(METADATA, fault="html")),
    "metadata answers 404": ("cvm_role", fault(METADATA, fault="http", status=404)),
    "metadata answers half a key": ("cvm_role", answer(METADATA, HALF)),
    "metadata answers an old key": ("cvm_role", answer(METADATA, OLD)),
    "metadata answers no moment": ("cvm_role", answer(METADATA, NO_TIME)),
    "metadata is cut": ("cvm_role", fault(METADATA, fault="cut")),
    "a profile that is no INI file": (
        "profile",
        lambda made, secret: profile(made, f"secret_key = {secret}\n[default\n{secret}".encode()),
    ),
    "a profile with a line twice": (
        "profile",
        lambda made, secret: profile(made, f"[default]\nsecret_key={secret}\nsecret_key={secret}\n".encode()),
    ),
    "a profile with quotes": (
        "profile",
        lambda made, secret: profile(made, f"[default]\nsecret_id='a'\nsecret_key='{secret}'\n".encode()),
    ),
    "a profile with a blank in a key": (
        "profile",
        lambda made, secret: profile(made, f"[default]\nsecret_id=a\nsecret_key={secret} {secret}\n".encode()),
    ),
    "a profile without the section": (
        "profile",
        lambda made, secret: profile(made, f"[other]\nsecret_id=a\nsecret_key={secret}\n".encode()),
    ),
    "a profile with an interpolation": (
        "profile",
        lambda made, secret: profile(made, f"[default]\nsecret_id=a\nsecret_key=%({secret})s\n".encode()),
    ),
    "a profile of odd bytes": ("profile", lambda made, secret: profile(made, b"\xff[default]\n" + secret.encode())),
    "an environment with two values": ("environment", two_values),
    "an environment without an id": ("environment", lambda made, secret: made.patch.delenv(NAMES[0])),
    "an environment with a blank": ("environment", lambda made, secret: made.patch.setenv(NAMES[1], f"{secret} x")),
    "a key that is refused": ("connection", refused_key),
    "a key of the environment that is refused": ("environment", refused_key),
    "a role of another account": (
        "role",
        lambda made, secret: made.sandbox.faults.add(
            {"action": "DescribeAccountBalance", "times": None, "fault": "answer", "response": {"Uin": 2, "Balance": 1}}
        ),
    ),
}


@pytest.mark.parametrize("end", BAD_ENDS)
def test_no_bad_end_leads_to_a_part_of_a_key(world, written, end):
    name, spoil = BAD_ENDS[end]
    made, secret = world(name, account_id="100000000001"), f"x{secrets.token_hex(20)}"
    spoil(made, secret)
    hidden = {*made.secrets(), secret}

    with contextlib.closing(TcBillingHook().get_conn()) as client, pytest.raises(TcBillingError) as caught:
        client.describe_deals(order_id="1")
    assert shown(caught.value, hidden) == []
    assert shown(pickle.loads(pickle.dumps(caught.value)), hidden) == []
    with pytest.raises((AirflowException, TcBillingError)) as ended:
        buying(deferrable=False).execute(context_of())
    assert shown(ended.value, hidden | made.secrets()) == []
    hidden |= made.secrets()
    assert leaks([("log", written())], hidden) == []
    assert "CreateInstance" not in made.sandbox.requests


class Killed(BaseException):
    """As Airflow stops a task: an exception that no handler of errors catches."""


@pytest.mark.parametrize("kind", [Killed, KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("name", ["tke_oidc", "role", "cvm_role"])
def test_a_task_that_is_stopped_while_it_gets_a_key_shows_no_part_of_it(world, monkeypatch, name, kind):
    made = world(name)

    def stop(*args, **kwargs):
        raise kind

    with contextlib.closing(TcBillingHook().get_conn()) as client:
        client.describe_account_balance()
        made.sandbox.keys.expire()
        for place in ("airflow_provider_tcbilling.api.sts.life_of", "airflow_provider_tcbilling.api.metadata.life_of"):
            monkeypatch.setattr(place, stop)
        with pytest.raises((kind, CredentialsUnavailable)) as caught:
            client.describe_account_balance()

    assert shown(caught.value, made.secrets()) == []


def test_a_role_is_named_and_its_external_id_is_not(world):
    world("role")

    source_of_it = TcBillingHook().get_settings().key_source()

    assert BUYER in repr(source_of_it)
    assert source_of_it.external_id
    assert source_of_it.external_id not in repr(source_of_it)


def test_the_keys_that_signatures_are_made_with_are_shown_by_nothing():
    secret = secrets.token_hex(20)
    auth = Tc3Auth("AKIDx", secret, "billing")
    auth.headers("host", "application/json", b"{}")

    assert leaks([("repr", repr(auth)), ("things", repr([*things_of(auth)]))], {secret}) == []
