"""A file with a key that is no file, or that cannot be read, gives no key, at once, and never that of another one."""

from __future__ import annotations

import os
import pwd
import threading

import pytest

from airflow_provider_tcbilling.api import key_sources
from airflow_provider_tcbilling.api.credentials import Key
from airflow_provider_tcbilling.api.errors import CredentialsRefused
from airflow_provider_tcbilling.api.key_sources import Profile
from airflow_provider_tcbilling.api.sts import AssumedRole, TkeOidc
from tests.support.keys import BUYER

GOOD = "[default]\nsecret_id = AKID\nsecret_key = key\n"


@pytest.fixture(params=["profile", "token"])
def source_of(request, monkeypatch):
    """Return what makes the source that reads a file."""

    def make(file):
        if request.param == "profile":
            return Profile(str(file))
        values = {"TKE_REGION": "ap-singapore", "TKE_PROVIDER_ID": "tke", "TKE_ROLE_ARN": BUYER}
        for name, value in {**values, "TKE_WEB_IDENTITY_TOKEN_FILE": str(file)}.items():
            monkeypatch.setenv(name, value)
        return TkeOidc("Airflow_tests", sts_endpoint="http://127.0.0.1:9")

    return make


def refusal_of(source):
    """Return the refusal, which comes at once: a thread that hangs would hold the tests up."""
    caught = []

    def fetch():
        try:
            source.fetch(1.0)
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(10)
    assert caught, "it hangs, or there is a key"
    assert type(caught[0]) is CredentialsRefused
    return str(caught[0])


def test_a_pipe_is_not_waited_for(tmp_path, source_of):
    os.mkfifo(tmp_path / "pipe")

    assert "no regular file" in refusal_of(source_of(tmp_path / "pipe"))


@pytest.mark.parametrize("target", ["/dev/ptmx", "/dev/zero", "/dev/stdin"])
def test_a_device_is_no_file(tmp_path, source_of, target):
    (tmp_path / "link").symlink_to(target)

    assert "no regular file" in refusal_of(source_of(tmp_path / "link"))


def test_a_link_to_itself_and_a_name_that_no_file_has_are_no_files(tmp_path, source_of):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    assert "symbolic links" in refusal_of(source_of(tmp_path / "loop"))
    assert "too long" in refusal_of(source_of(tmp_path / ("a" * 5000)))
    refusal_of(Profile("/tmp/a\x00b"))


def test_a_link_to_a_file_is_read(tmp_path):
    (tmp_path / "..data").write_text(GOOD)
    (tmp_path / "credentials").symlink_to(tmp_path / "..data")

    assert Profile(str(tmp_path / "credentials")).fetch(1.0) == Key("AKID", "key")


def test_a_user_without_a_home_has_the_file_of_the_machine(tmp_path, monkeypatch):
    def nobody(uid):
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(key_sources, "PROFILE_FILES", ("~/.tencentcloud/credentials", str(tmp_path / "credentials")))
    assert "No such file" in refusal_of(Profile())
    (tmp_path / "credentials").write_text(GOOD)

    assert Profile().fetch(1.0) == Key("AKID", "key")


def test_a_file_of_a_home_that_may_not_be_read_is_not_replaced_by_that_of_the_machine(tmp_path, monkeypatch):
    (tmp_path / "machine").write_text(GOOD)
    own = str(tmp_path / "home" / "credentials")
    monkeypatch.setattr(key_sources, "PROFILE_FILES", (own, str(tmp_path / "machine")))

    def locked(call):
        def refuse(path, *args, **options):
            if str(path) == own:
                raise PermissionError(13, "Permission denied", own)
            return call(path, *args, **options)

        return refuse

    for name in ("open", "lstat", "stat"):
        monkeypatch.setattr(os, name, locked(getattr(os, name)))

    assert "Permission denied" in refusal_of(Profile())


def test_a_section_takes_nothing_from_another_one(tmp_path):
    file = tmp_path / "credentials"
    file.write_text("[DEFAULT]\nsecret_id = AKIDother\nsecret_key = other\ntoken = t\n[prod]\nsecretid = AKID\n")

    assert "[prod] has no secret_id; [prod] has no secret_key" in refusal_of(Profile(str(file), "prod"))
    file.write_text(f"[DEFAULT]\ntoken = t\n{GOOD}")
    assert Profile(str(file)).fetch(1.0) == Key("AKID", "key")


@pytest.mark.parametrize("region", ["ap-singapore\nX-TC-Token: t", "广州", "ap singapore"])
def test_a_region_of_a_pod_that_is_none_is_refused_for_good(tmp_path, source_of, monkeypatch, region):
    (tmp_path / "token").write_text("web-identity")
    source = source_of(tmp_path / "token")
    if isinstance(source, TkeOidc):
        monkeypatch.setenv("TKE_REGION", region)
        assert "TKE_REGION" in refusal_of(source)


@pytest.mark.parametrize("address", ["", "https://user:password@sts.tencentcloudapi.com", "ftp://sts", "https://a b"])
def test_an_address_of_sts_that_is_none_is_refused_for_good(address):
    role = AssumedRole(key_sources.FixedKey(Key("AKID", "key")), BUYER, "tests", sts_endpoint=address)

    assert "password" not in refusal_of(role)
