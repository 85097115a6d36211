"""Sources of keys: each gives a key that the sandbox accepts, or says why there is none. No value is shown."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import threading
import time

import pytest

from airflow_provider_tcbilling.api import metadata, sts
from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.credentials import Credentials, FixedKey, Key
from airflow_provider_tcbilling.api.errors import ApiError, CredentialsRefused, CredentialsUnavailable
from airflow_provider_tcbilling.api.key_sources import CvmRole, Environment, Profile
from airflow_provider_tcbilling.api.rate_limit import UNLIMITED
from airflow_provider_tcbilling.api.sts import AssumedRole, TkeOidc, account_in, caller_identity, sts_endpoint_of
from airflow_provider_tcbilling.sandbox.roles import Role
from tests.conftest import SECRET_ID, SECRET_KEY
from tests.support.keys import BUYER, OTHER_BUYER

SECRET = "s3cr3t-that-is-never-shown"
ACCOUNT, OTHER_ACCOUNT = "100000000001", "100000000002"
BASE = FixedKey(Key(SECRET_ID, SECRET_KEY))


@pytest.fixture(autouse=True)
def no_names(monkeypatch):
    """An environment without any name of a source."""
    for name in list(os.environ):
        if name.startswith(("TENCENTCLOUD_", "TKE_")):
            monkeypatch.delenv(name)


def account_of(source, sandbox):
    with contextlib.closing(
        BillingClient(credentials=Credentials(source), endpoint=sandbox.url, rate_limiter=UNLIMITED)
    ) as client:
        return str(client.describe_account_balance().uin)


def role(sandbox, arn=BUYER, **options):
    return AssumedRole(
        options.pop("base", BASE), arn, "Airflow_tests", **{"sts_endpoint": sandbox and sandbox.url, **options}
    )


def failure(source, kind=CredentialsUnavailable):
    with pytest.raises(kind) as failed:
        source.fetch(30.0)
    assert not failed.value.ambiguous
    assert SECRET not in f"{failed.value!r} {failed.value}"
    return failed.value


def fault(sandbox, action, **options):
    sandbox.faults.add({"action": action, "times": None, **options})


# The environment.


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({}, "TENCENTCLOUD_SECRET_ID is not set; TENCENTCLOUD_SECRET_KEY is not set"),
        ({"TENCENTCLOUD_SECRET_ID": "AKID"}, "TENCENTCLOUD_SECRET_KEY is not set"),
        ({"TENCENTCLOUD_SECRET_ID": "AKID", "TENCENTCLOUD_SECRET_KEY": ""}, "TENCENTCLOUD_SECRET_KEY is not set"),
        (
            {"TENCENTCLOUD_SECRET_ID": "AKID", "TENCENTCLOUD_SECRETID": "AKIE", "TENCENTCLOUD_SECRET_KEY": SECRET},
            "TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRETID have different values",
        ),
        (
            {
                "TENCENTCLOUD_SECRET_ID": "AKID",
                "TENCENTCLOUD_SECRET_KEY": SECRET,
                "TENCENTCLOUD_TOKEN": f"{SECRET}1",
                "TENCENTCLOUD_SESSIONTOKEN": f"{SECRET}2",
            },
            "TENCENTCLOUD_TOKEN and TENCENTCLOUD_SESSIONTOKEN have different values",
        ),
        (
            {"TENCENTCLOUD_SECRET_ID": "AKID", "TENCENTCLOUD_SECRET_KEY": f"{SECRET}\n"},
            "TENCENTCLOUD_SECRET_KEY is no part of a key",
        ),
        (
            {"TENCENTCLOUD_SECRET_ID": "AKID", "TENCENTCLOUD_SECRET_KEY": SECRET, "TENCENTCLOUD_TOKEN": f"{SECRET} "},
            "TENCENTCLOUD_TOKEN is no part of a key",
        ),
    ],
)
def test_an_environment_that_is_not_clear_gives_no_key(monkeypatch, names, message):
    for name, value in names.items():
        monkeypatch.setenv(name, value)

    error = failure(Environment(), CredentialsRefused)

    assert message in str(error)
    assert not error.transient


@pytest.mark.parametrize(
    ("id_name", "key_name"),
    [("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY"), ("TENCENTCLOUD_SECRETID", "TENCENTCLOUD_SECRETKEY")],
)
@pytest.mark.parametrize(
    "token_name", ["TENCENTCLOUD_TOKEN", "TENCENTCLOUD_SECURITY_TOKEN", "TENCENTCLOUD_SESSIONTOKEN"]
)
def test_the_names_of_each_tool_are_read(monkeypatch, id_name, key_name, token_name):
    for name, value in {id_name: "AKID", key_name: SECRET, token_name: "token"}.items():
        monkeypatch.setenv(name, value)

    assert Environment().fetch(1.0) == Key("AKID", SECRET, "token")


def test_two_names_with_the_same_value_are_one(monkeypatch):
    for name in ("TENCENTCLOUD_TOKEN", "TENCENTCLOUD_SECURITY_TOKEN"):
        monkeypatch.setenv(name, "token")
    monkeypatch.setenv("TENCENTCLOUD_SECRET_ID", "AKID")
    monkeypatch.setenv("TENCENTCLOUD_SECRET_KEY", SECRET)

    assert Environment().fetch(1.0).token == "token"


# A profile.

GOOD_PROFILE = f"[default]\nsecret_id = AKID\nsecret_key = {SECRET}%\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("", "no section [default]"),
        ("[other]\nsecret_id = AKID\n", "no section [default]"),
        ("[default]\n", "[default] has no secret_id; [default] has no secret_key"),
        ("[default]\nsecret_id = AKID\nsecret_key =\n", "[default] has no secret_key"),
        (f'[default]\nsecret_id = AKID\nsecret_key = "{SECRET}"\n', "secret_key has quotes around it"),
        (f"[default]\nsecret_id = AKID\nsecret_key {SECRET}\n", "no INI file"),
        (f"secret_key = {SECRET}\n", "no INI file"),
        (f"[default]\nsecret_key = a\nsecret_key = {SECRET}\n", "no INI file, or has something twice"),
        (f"{GOOD_PROFILE}[default]\n", "no INI file, or has something twice"),
        (f"[default]\nsecret_id = AKID\nsecret_key = a {SECRET}\n", "secret_key is no part of a key"),
        (b"\xff\xfe\x00", "not a text"),
        ("[default]\n" + "#" * 2**20, "too large"),
    ],
)
def test_a_profile_that_is_none_gives_no_key(tmp_path, text, message):
    file = tmp_path / "credentials"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())

    assert message in str(failure(Profile(str(file)), CredentialsRefused))


def test_a_folder_is_no_profile(tmp_path):
    assert "directory" in str(failure(Profile(str(tmp_path)), CredentialsRefused))


def test_a_profile_is_read_by_its_section_and_anew_for_each_key(tmp_path):
    file = tmp_path / "credentials"
    file.write_text(f"\ufeff{GOOD_PROFILE}[night]\nsecret_id = AKIDnight\nsecret_key = n\ntoken = t\n")
    credentials = Credentials(Profile(str(file)))
    first = credentials.key()

    assert first == Key("AKID", f"{SECRET}%")
    assert Profile(str(file), "night").fetch(1.0) == Key("AKIDnight", "n", "t")
    file.write_text("[default]\nsecret_id = AKIDnext\nsecret_key = next\n")
    assert credentials.key() is first
    assert credentials.after(first) == Key("AKIDnext", "next")


def test_the_usual_file_is_that_of_the_official_library(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".tencentcloud").mkdir()
    (tmp_path / ".tencentcloud" / "credentials").write_text(GOOD_PROFILE)

    assert Profile().fetch(1.0).secret_id == "AKID"


# The role of the machine.


@contextlib.contextmanager
def metadata_service(content, status=200, **headers):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content)

        def log_message(self, *args):
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


KEY_IN_ANSWER = {
    "Code": "Success",
    "TmpSecretId": "AKIDtmp",
    "TmpSecretKey": SECRET,
    "Token": f"{SECRET}-token",
    "ExpiredTime": 2e9,
}


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>Sign in to the network</html>",
        b"",
        b"[]",
        b'"Success"',
        b"{}",
        json.dumps({**KEY_IN_ANSWER, "Code": "Failed"}).encode(),
        *(json.dumps({**KEY_IN_ANSWER, name: None}).encode() for name in KEY_IN_ANSWER),
        *(json.dumps({**KEY_IN_ANSWER, name: f"a\n{SECRET}"}).encode() for name in ("TmpSecretId", "Token")),
        *(json.dumps({**KEY_IN_ANSWER, "ExpiredTime": odd}).encode() for odd in ("2e9", True, float("nan"), [])),
        json.dumps({**KEY_IN_ANSWER, "Token": ""}).encode(),
        json.dumps(KEY_IN_ANSWER).encode() + b" " * 2**17,
    ],
)
def test_an_answer_of_the_metadata_service_that_is_no_key_is_none(answer):
    with metadata_service(answer) as endpoint:
        assert failure(CvmRole("buyer", endpoint)).transient


def test_a_key_that_has_expired_already_is_none_and_the_clock_is_named():
    answer = json.dumps({**KEY_IN_ANSWER, "ExpiredTime": int(time.time()) - 60}).encode()
    with metadata_service(answer) as endpoint:
        assert "or the clock of this machine is wrong" in str(failure(CvmRole("buyer", endpoint)))


def test_a_page_in_the_place_of_the_metadata_service_is_called_one():
    with metadata_service(b"<html>Sign in to the network</html>") as endpoint:
        assert "answers with a page" in str(failure(CvmRole("", endpoint)))


@pytest.mark.parametrize("moment", [10_413_792_000, 1_796_000_000_000, 1e300])
def test_an_expiry_that_no_key_has_is_not_believed(moment):
    answer = json.dumps({**KEY_IN_ANSWER, "ExpiredTime": moment}).encode()
    with metadata_service(answer) as endpoint:
        assert CvmRole("buyer", endpoint).fetch(5.0).expires_at == pytest.approx(time.time() + 43_200, abs=60)


def test_an_answer_that_is_too_large_is_called_so():
    with metadata_service(json.dumps({**KEY_IN_ANSWER, "Token": "t" * 100_000}).encode()) as endpoint:
        assert "more than 65536 bytes" in str(failure(CvmRole("buyer", endpoint)))


@pytest.mark.parametrize("names", [b"", b"one\ntwo", b"../../etc", b"a b", b"\xff"])
def test_a_machine_without_its_one_role_gives_no_key(names):
    with metadata_service(names) as endpoint:
        assert "cam_role_name" in str(failure(CvmRole("", endpoint)))


def test_a_redirect_is_not_followed(sandbox):
    with metadata_service(b"", 302, Location=f"{sandbox.url}/latest/meta-data/") as endpoint:
        failure(CvmRole("buyer", endpoint))
    assert sandbox.journal == type(sandbox.journal)()


def test_a_machine_that_is_none_of_tencents_has_no_metadata_service():
    assert failure(CvmRole("buyer", "http://127.0.0.1:9")).transient


def test_a_role_that_is_not_attached_gives_no_key(sandbox):
    assert "no such role" in str(failure(CvmRole("nobody", sandbox.url)))


def test_a_slow_metadata_service_takes_no_longer_than_it_may(sandbox, monkeypatch):
    monkeypatch.setattr(metadata, "ANSWER_SECONDS", 0.3)
    fault(sandbox, "metadata", fault="delay", seconds=20.0)
    began = time.monotonic()
    failure(CvmRole("buyer", sandbox.url))

    assert time.monotonic() - began < 15


@pytest.mark.parametrize("name", ["buyer", ""])
def test_the_role_of_the_machine_gives_a_key_of_its_account(sandbox, name):
    source = CvmRole(name, sandbox.url)

    assert account_of(source, sandbox) == ACCOUNT
    assert source.fetch(5.0).expires_at == pytest.approx(time.time() + 7200, abs=60)


# STS.


@pytest.mark.parametrize(
    ("arn", "options", "code"),
    [
        ("qcs::cam::uin/100000000001:roleName/nobody", {}, "ResourceNotFound.RoleNotFound"),
        (BUYER, {"duration": 43_201}, "above the maximum, 43200"),
        (BUYER, {"duration": 0}, "below the minimum"),
        (BUYER, {"external_id": SECRET}, ""),
        (BUYER, {"base": FixedKey(Key("AKIDnobody", SECRET))}, "AuthFailure.SecretIdNotFound"),
        (BUYER, {"base": FixedKey(Key(SECRET_ID, SECRET))}, "AuthFailure.SignatureFailure"),
    ],
)
def test_what_sts_refuses_is_refused_for_good_and_says_what_to_correct(start_sandbox, arn, options, code):
    sandbox = start_sandbox(roles=(Role("buyer", external_id="demanded"),))
    error = failure(role(sandbox, arn, **options), CredentialsRefused)

    assert code in str(error)
    assert not error.transient


@pytest.mark.parametrize(
    "options",
    [
        {"fault": "error", "code": "InternalError.DbError"},
        {"fault": "error", "code": "RequestLimitExceeded"},
        {"fault": "http", "status": 500},
        {"fault": "html"},
        {"fault": "drop"},
        {"fault": "truncated"},
        {"fault": "answer", "response": {"Credentials": {}, "ExpiredTime": 2_000_000_000}},
        {"fault": "answer", "response": {"Credentials": None, "ExpiredTime": 2_000_000_000}},
        {"fault": "answer", "response": {"Credentials": "a key"}},
    ],
)
def test_what_passes_by_is_tried_again(sandbox, options):
    fault(sandbox, "AssumeRole", **options)

    assert failure(role(sandbox)).transient


def test_an_error_with_a_charset_in_its_content_type_is_read_as_one(sandbox):
    fault(sandbox, "AssumeRole", fault="charset")
    fault(sandbox, "AssumeRole", fault="error", code="ResourceNotFound.RoleNotFound")

    assert "RoleNotFound" in str(failure(role(sandbox), CredentialsRefused))


def test_an_sts_that_hangs_takes_no_longer_than_it_may(sandbox):
    fault(sandbox, "AssumeRole", fault="delay", seconds=40.0)
    began = time.monotonic()
    with pytest.raises(CredentialsUnavailable):
        role(sandbox).fetch(0.5)

    assert time.monotonic() - began < 15


@pytest.mark.parametrize("arn", [BUYER, OTHER_BUYER])
def test_an_assumed_role_gives_a_key_of_its_own_account(sandbox, arn):
    source = role(sandbox, arn)

    assert account_of(source, sandbox) == account_in(arn)
    assert source.identity == f"account:{account_in(arn)}"


def test_a_role_can_be_assumed_with_the_key_of_a_machine(sandbox):
    assert account_of(role(sandbox, OTHER_BUYER, base=CvmRole("", sandbox.url)), sandbox) == OTHER_ACCOUNT


def test_a_base_key_that_has_expired_is_refreshed_once(sandbox):
    credentials = Credentials(role(sandbox, base=CvmRole("", sandbox.url)))
    first = credentials.key()
    sandbox.keys.expire()

    assert credentials.after(first) != first
    actions = [entry.action for entry in sandbox.journal]
    assert (actions.count("AssumeRole"), sum("metadata" in action for action in actions)) == (3, 4)


@pytest.mark.parametrize("seconds", [-40_000.0, -4000.0, 0.0, 4000.0, 40_000.0])
def test_the_life_of_a_key_is_counted_by_the_clock_of_the_server(sandbox, seconds):
    # The keys of a sandbox expire on the clock that this fault moves.
    sandbox.faults.add({"fault": "clock-skew", "seconds": seconds, "times": None})

    assert role(sandbox).fetch(30.0).expires_at == pytest.approx(time.time() + 7200, abs=60)


@pytest.mark.parametrize("seconds", [-40_000.0, 40_000.0])
def test_where_two_clocks_of_the_server_disagree_a_key_lives_as_long_as_was_requested(sandbox, seconds):
    sandbox.account.clock.offset += seconds

    assert role(sandbox, duration=1800).fetch(30.0).expires_at == pytest.approx(time.time() + 1800, abs=60)


# The identity of a pod.


@pytest.fixture
def pod(tmp_path, monkeypatch):
    file = tmp_path / "token"
    file.write_text(f"{SECRET}\n")
    values = {
        "TKE_REGION": "ap-singapore",
        "TKE_PROVIDER_ID": "tke",
        "TKE_WEB_IDENTITY_TOKEN_FILE": str(file),
        "TKE_ROLE_ARN": BUYER,
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return file


def of_pod(sandbox):
    return TkeOidc("Airflow_tests", sts_endpoint=sandbox.url)


@pytest.mark.parametrize("name", ["TKE_REGION", "TKE_PROVIDER_ID", "TKE_WEB_IDENTITY_TOKEN_FILE", "TKE_ROLE_ARN"])
def test_a_pod_without_an_identity_gives_no_key(sandbox, pod, monkeypatch, name):
    monkeypatch.delenv(name)

    assert name in str(failure(of_pod(sandbox), CredentialsRefused))


@pytest.mark.parametrize("content", [b"", b"\n", b"a b", f"{SECRET}\n{SECRET}".encode(), b"\xff", b"a\x00b"])
def test_a_file_without_a_token_gives_no_key(sandbox, pod, content):
    pod.write_bytes(content)

    failure(of_pod(sandbox), CredentialsRefused)
    assert not sandbox.journal


def test_a_missing_file_gives_no_key(sandbox, pod):
    pod.unlink()

    assert "No such file" in str(failure(of_pod(sandbox), CredentialsRefused))


def test_a_token_that_sts_refuses_names_what_to_correct(start_sandbox, pod):
    sandbox = start_sandbox(roles=(Role("buyer", web_identity=False),))

    assert not failure(of_pod(sandbox), CredentialsRefused).transient


def test_the_identity_of_a_pod_gives_a_key_and_its_file_is_read_anew(sandbox, pod):
    assert account_of(of_pod(sandbox), sandbox) == ACCOUNT
    assert of_pod(sandbox).identity == f"account:{ACCOUNT}"


# The identity of a key.


def test_sts_tells_the_account_and_the_principal_of_each_kind_of_key(sandbox):
    permanent = caller_identity(Key(SECRET_ID, SECRET_KEY), sandbox.url)
    of_role = caller_identity(role(sandbox, OTHER_BUYER).fetch(30.0), sandbox.url)

    assert permanent.account == ACCOUNT
    assert (of_role.account, of_role.type) == (OTHER_ACCOUNT, "CAMRole")
    assert "assumed-role" in of_role.arn


def test_sts_refuses_an_unknown_key(sandbox):
    with pytest.raises(ApiError, match="SecretIdNotFound"):
        caller_identity(Key("AKIDnobody", SECRET), sandbox.url)


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("https://billing.intl.tencentcloudapi.com", "https://sts.intl.tencentcloudapi.com"),
        ("https://billing.tencentcloudapi.com", "https://sts.tencentcloudapi.com"),
        ("https://billing.ap-singapore.tencentcloudapi.com", "https://sts.ap-singapore.tencentcloudapi.com"),
        ("http://127.0.0.1:8765", "http://127.0.0.1:8765"),
        ("https://billing.example.com", ""),
        ("https://gateway.tencentcloudapi.com", ""),
        ("https://billing.evil-tencentcloudapi.com", ""),
        ("https://billing.tencentcloudapi.com.evil.example", ""),
        ("not an address", ""),
    ],
)
def test_the_sts_of_a_site_is_the_one_of_its_billing_api(endpoint, expected):
    assert sts_endpoint_of(endpoint) == expected


@pytest.mark.parametrize("arn", ["", "qcs::cam::uin/:roleName/x", "qcs::cam::uin/1x:roleName/x", f"{BUYER}\n", "x" * 9])
def test_a_text_that_names_no_role_holds_no_account(arn):
    assert account_in(arn) == ""


def test_no_source_reaches_for_another_one(sandbox, pod, monkeypatch):
    """There is no silent chain: with every other source at hand, a source without a key has none."""
    monkeypatch.setenv("TENCENTCLOUD_SECRET_ID", SECRET_ID)
    monkeypatch.setenv("TENCENTCLOUD_SECRET_KEY", SECRET_KEY)
    monkeypatch.setattr(sts, "TKE_NAMES", ("NO_SUCH_NAME", *sts.TKE_NAMES[1:]))

    failure(of_pod(sandbox), CredentialsRefused)
    failure(Profile("/no/such/file"), CredentialsRefused)
    failure(CvmRole("nobody", sandbox.url))
