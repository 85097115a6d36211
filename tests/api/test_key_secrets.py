"""Whatever a source of keys answers, neither the error nor its frames show a key, a web identity or an external id."""

from __future__ import annotations

import json
import re
import signal

import pytest

from airflow_provider_tcbilling.api.credentials import Credentials, FixedKey, Key
from airflow_provider_tcbilling.api.errors import CredentialsRefused, CredentialsUnavailable, TcBillingError
from airflow_provider_tcbilling.api.key_sources import CvmRole, Environment, Profile
from airflow_provider_tcbilling.api.sts import AssumedRole, TkeOidc
from tests.api.test_error_secrets import shown_of
from tests.conftest import SECRET_ID, SECRET_KEY, client_to
from tests.support.keys import BUYER

WEB_IDENTITY, EXTERNAL_ID, GIVEN = "web-identity-4711", "external-id-4711", "given-key-that-must-never-be-seen"
SECRETS = re.compile("|".join((SECRET_KEY, WEB_IDENTITY, EXTERNAL_ID, GIVEN)))

SOUND = {"TmpSecretId": "AKID", "TmpSecretKey": GIVEN, "Token": GIVEN}
ANSWERS = {
    "what was sent": {"Error": {"Code": "InvalidParameter.ParamError", "Message": "It was SENT, and it is wrong."}},
    "what was sent, as a code": {"Error": {"Code": "Bad.SENT", "Message": "no"}},
    "an odd expiry": {"Credentials": SOUND, "ExpiredTime": "never"},
    "a line break": {"Credentials": {**SOUND, "TmpSecretKey": f"{GIVEN}\n"}, "ExpiredTime": 4_000_000_000},
    "no token": {"Credentials": {**SOUND, "Token": ""}, "ExpiredTime": 4_000_000_000},
    "a list": {"Credentials": {**SOUND, "TmpSecretKey": [GIVEN]}, "ExpiredTime": 4_000_000_000},
    "a text": {"Credentials": GIVEN, "ExpiredTime": 4_000_000_000},
    "a key in the place of a key": {"Credentials": {GIVEN: GIVEN}, "ExpiredTime": 4_000_000_000},
}


def assert_shows_nothing(error):
    leaks = {where for where, text in shown_of(error) if SECRETS.search(text)}
    assert not leaks


def failure_of(source):
    with pytest.raises(TcBillingError) as caught:
        Credentials(source).key(10.0)
    assert isinstance(caught.value, CredentialsUnavailable)
    return caught.value


@pytest.fixture
def pod(tmp_path, monkeypatch):
    file = tmp_path / "token"
    file.write_text(WEB_IDENTITY)
    values = {"TKE_REGION": "ap-singapore", "TKE_PROVIDER_ID": "tke", "TKE_ROLE_ARN": BUYER}
    for name, value in {**values, "TKE_WEB_IDENTITY_TOKEN_FILE": str(file)}.items():
        monkeypatch.setenv(name, value)
    return file


def role(sandbox):
    base = FixedKey(Key(SECRET_ID, SECRET_KEY))
    return AssumedRole(base, BUYER, "tests", external_id=EXTERNAL_ID, sts_endpoint=sandbox.url)


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_of_sts_shows_nothing(sandbox, pod, caplog, answer):
    caplog.set_level(0)
    for action, source, sent in (
        ("AssumeRole", role(sandbox), EXTERNAL_ID),
        ("AssumeRoleWithWebIdentity", TkeOidc("tests", sts_endpoint=sandbox.url), WEB_IDENTITY),
    ):
        response = json.loads(json.dumps(answer).replace("SENT", sent))
        sandbox.faults.add({"fault": "answer", "response": response, "action": action})
        assert_shows_nothing(failure_of(source))
    assert not SECRETS.search(caplog.text)


@pytest.mark.parametrize(
    "changes",
    [{"Code": "no"}, {"TmpSecretId": "a b"}, {"ExpiredTime": "x"}, {"Token": ""}, {"ExpiredTime": 1}, {"Token": 7}],
)
def test_an_answer_of_a_metadata_service_shows_nothing(sandbox, changes, monkeypatch):
    from airflow_provider_tcbilling.sandbox import metadata

    def written(key):
        return {**SOUND, "ExpiredTime": 4_000_000_000, "Code": "Success", **changes}

    monkeypatch.setattr(metadata, "written", written)
    monkeypatch.setattr(metadata, "expiry_of", lambda key: {"ExpiredTime": 4_000_000_000, "Code": "Success", **changes})
    if changes.get("Code"):
        sandbox.keys.machine_role = ""

    assert_shows_nothing(failure_of(CvmRole("", sandbox.url)))


@pytest.mark.parametrize(
    "text",
    [
        f"[default]\nsecret_id = a b\nsecret_key = {GIVEN}\n",
        f"[default]\nsecret_id = AKID\nsecret_key = '{GIVEN}'\n",
        f"[default]\nsecret_key = {GIVEN}\n",
        f"[default]\n{GIVEN}\n",
        f"[other]\nsecret_key = {GIVEN}\n",
        f"[default]\nsecret_id = AKID\n{GIVEN} = '1'\n",
    ],
)
def test_a_profile_shows_nothing(tmp_path, text):
    (tmp_path / "credentials").write_text(text)

    error = failure_of(Profile(str(tmp_path / "credentials")))
    assert isinstance(error, CredentialsRefused)
    assert_shows_nothing(error)


def test_an_environment_and_a_file_of_a_pod_show_nothing(sandbox, pod, monkeypatch):
    monkeypatch.setenv("TENCENTCLOUD_SECRET_ID", "AKID")
    monkeypatch.setenv("TENCENTCLOUD_SECRET_KEY", f"{GIVEN} x")
    assert_shows_nothing(failure_of(Environment()))

    pod.write_text(f"{WEB_IDENTITY} x")
    assert_shows_nothing(failure_of(TkeOidc("tests", sts_endpoint=sandbox.url)))


class Broken:
    """A source with a mistake of its own."""

    name, identity, base, is_lasting = "broken", "broken", None, False

    def __init__(self, error):
        self.error = error

    def fetch(self, within, base=None):
        secret = GIVEN
        raise self.error from ValueError(secret)


def test_a_source_that_breaks_gives_no_key_and_sends_nothing(sandbox):
    error = failure_of(Broken(RuntimeError(GIVEN)))

    assert (error.transient, error.ambiguous) == (True, False)
    assert "RuntimeError" in str(error)
    assert_shows_nothing(error)


def test_a_time_out_of_the_task_in_the_middle_of_a_refresh_shows_nothing_and_leaves_no_lock(sandbox):
    class TimeOut(BaseException):
        """As Airflow raises it."""

    def stop(number, frame):
        raise TimeOut

    sandbox.faults.add({"fault": "delay", "seconds": 5.0, "action": "AssumeRole", "when": "before"})
    credentials = Credentials(role(sandbox))
    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(TimeOut) as caught:
            credentials.key(10.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert_shows_nothing(caught.value)
    assert credentials.key(10.0).token


def test_a_server_that_repeats_the_key_is_not_repeated(start_sandbox):
    sandbox = start_sandbox(session_token=GIVEN)
    message = f"The token {GIVEN} does not belong to {SECRET_KEY}."
    error = {"Error": {"Code": "AuthFailure.TokenFailure", "Message": message}}
    sandbox.faults.add({"fault": "answer", "response": error})

    with pytest.raises(TcBillingError, match=r"The token \*\*\* does not belong to \*\*\*") as caught:
        client_to(sandbox, token=GIVEN).describe_account_balance()

    assert not SECRETS.search(f"{caught.value} {caught.value.args}")


def test_a_key_that_expires_while_its_source_is_down_is_not_good_any_more():
    now = [1000.0]

    class Slow:
        """Gives one key, and then takes longer than that one lives."""

        name, identity, base, is_lasting = "slow", "slow", None, False
        given = 0

        def fetch(self, within, base=None):
            self.given += 1
            if self.given == 1:
                return Key("AKID", "key", "token", 1100.0)
            now[0] += 60.0
            raise CredentialsUnavailable("down")

    credentials = Credentials(Slow(), clock=lambda: now[0])
    credentials.key()
    now[0] = 1060.0

    with pytest.raises(CredentialsUnavailable, match="down"):
        credentials.key()
