"""The image of a fleet, and the values for the official Helm chart."""

from __future__ import annotations

import json
import os
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from airflow import __version__ as airflow_version
from airflow.models import Connection

from airflow_provider_tcbilling.api.sts import account_in
from airflow_provider_tcbilling.hooks.connection import EXTRA_FIELDS, Settings
from tests.deploy.commands import is_airflow_command, is_our_command
from tests.docs.blocks import ROOT, blocks_of

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not airflow_version.startswith("3.3."), reason="the image of the fleet has Airflow 3.3"),
]

DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
VALUES_TEXT = (DEPLOY / "helm" / "values.yaml").read_text(encoding="utf-8")
VALUES = yaml.safe_load(VALUES_TEXT)
IDENTITY_TEXT = (DEPLOY / "helm" / "pod-identity.yaml").read_text(encoding="utf-8")
IDENTITY = yaml.safe_load(IDENTITY_TEXT)
ROLE = "tke.cloud.tencent.com/role-arn"
CHART = "1.22.0"
CHART_KEYS = {
    "apiServer.podDisruptionBudget.config.maxUnavailable",
    "apiServer.podDisruptionBudget.enabled",
    "apiServer.replicas",
    "airflowVersion",
    "apiSecretKeySecretName",
    "createUserJob.enabled",
    "dags.gitSync.branch",
    "dags.gitSync.enabled",
    "dags.gitSync.repo",
    "dags.gitSync.subPath",
    "data.brokerUrlSecretName",
    "data.metadataSecretName",
    "executor",
    "extraEnvFrom",
    "fernetKeySecretName",
    "images.airflow.repository",
    "images.airflow.tag",
    "jwtSecretName",
    "migrateDatabaseJob.args",
    "postgresql.enabled",
    "redis.passwordSecretName",
    "scheduler.podDisruptionBudget.config.maxUnavailable",
    "scheduler.podDisruptionBudget.enabled",
    "scheduler.replicas",
    "triggerer.replicas",
    "triggerer.terminationGracePeriodSeconds",
    "workers.celery.podDisruptionBudget.config.maxUnavailable",
    "workers.celery.podDisruptionBudget.enabled",
    "workers.celery.replicas",
    "workers.celery.terminationGracePeriodSeconds",
}
"""The keys that were looked up in values.yaml of the chart, since its schema lets an unknown key pass."""


def keys_of(values, before=""):
    for name, value in values.items():
        yield from keys_of(value, f"{before}{name}.") if isinstance(value, dict) else [before + name]


# The image


def test_the_image_has_the_airflow_that_is_tested_and_is_named_after_it():
    tested = re.search(r"^apache-airflow==(.+)$", (ROOT / "requirements" / "airflow-3.3.in").read_text(), re.MULTILINE)[
        1
    ]
    fleet = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8"))

    assert f"ARG AIRFLOW_VERSION={tested}\n" in DOCKERFILE
    assert {service["image"] for service in fleet["services"].values() if "build" in service} == {
        f"airflow-tcbilling:{tested}"
    }
    assert VALUES["airflowVersion"] == VALUES["images"]["airflow"]["tag"] == tested


def test_what_the_image_copies_is_there_and_reaches_the_build():
    copied = [name for line in re.findall(r"^COPY --\S+ (.+) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()]
    rules = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()

    assert copied == ["pyproject.toml", "README.md", "LICENSE", "airflow_provider_tcbilling"]
    assert all((ROOT / name).exists() for name in copied)
    assert rules[0] == "*"
    assert all(any(fnmatch(f"!{name}", rule) for rule in rules) for name in copied)


def test_a_build_of_the_package_needs_nothing_that_the_image_lacks():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = re.findall(r'^(?:readme|path|packages|license-files) = \[?"([\w./]+)"', project, re.MULTILINE)

    assert set(needed) == {
        "README.md",
        "LICENSE",
        "airflow_provider_tcbilling/__init__.py",
        "airflow_provider_tcbilling",
    }


# The chart


def test_every_key_of_the_values_is_one_of_the_chart():
    assert set(keys_of(VALUES)) == CHART_KEYS
    assert f"--version {CHART} " in VALUES_TEXT


@pytest.mark.skipif("AIRFLOW_CHART" not in os.environ, reason="AIRFLOW_CHART names no folder of an unpacked chart")
def test_the_values_agree_with_the_chart_itself():
    import jsonschema

    chart = Path(os.environ["AIRFLOW_CHART"])
    for values in (VALUES, IDENTITY):
        jsonschema.validate(values, json.loads((chart / "values.schema.json").read_text(encoding="utf-8")))
    ours, theirs = set(keys_of(VALUES)), yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    pods = (theirs["workers"]["celery"], theirs["triggerer"])

    assert f"version: {CHART}\n" in (chart / "Chart.yaml").read_text(encoding="utf-8")
    assert ours - set(keys_of(theirs)) == set()
    assert [pod["serviceAccount"]["annotations"] for pod in pods] == [{}, {}]


def test_two_of_each_kind_share_the_work():
    assert [VALUES[name]["replicas"] for name in ("scheduler", "triggerer", "apiServer")] == [2, 2, 2]
    assert VALUES["workers"]["celery"]["replicas"] == 2


def test_a_worker_may_end_its_purchases_before_it_is_killed():
    defaults = {field.name: field.default for field in EXTRA_FIELDS}
    longest_request = float(defaults["connect_timeout"]) + float(defaults["read_timeout"])

    assert VALUES["workers"]["celery"]["terminationGracePeriodSeconds"] > 2 * longest_request


def test_the_tables_of_the_ledger_are_made_before_those_that_workers_wait_for():
    shell, option, script = VALUES["migrateDatabaseJob"]["args"]
    first, second = script.splitlines()

    assert (shell, option) == ("bash", "-ec")
    assert is_our_command(first.split())
    assert is_airflow_command(second.removeprefix("exec ").split())


def test_no_secret_stands_in_the_values():
    assert [
        key for key in keys_of(VALUES) if re.search(r"pass\b|password$|secretKey$|jwtSecret$|fernetKey$", key)
    ] == []
    assert yaml.safe_load(VALUES["extraEnvFrom"]) == [{"secretRef": {"name": "tcbilling-connections"}}]


# The identity of a pod


def test_pods_that_send_requests_have_a_role_and_no_others():
    assert set(keys_of(IDENTITY)) == {
        f"workers.celery.serviceAccount.annotations.{ROLE}",
        f"triggerer.serviceAccount.annotations.{ROLE}",
    }
    assert f"--version {CHART} " in IDENTITY_TEXT


def test_the_role_of_the_pods_is_of_the_account_of_their_connection_which_holds_no_key():
    (connection,) = [json.loads(line.removeprefix("# ")) for line in IDENTITY_TEXT.splitlines() if line[2:3] == "{"]
    settings = Settings.read(Connection(conn_id="tcbilling_default", **connection))
    roles = [
        part["serviceAccount"]["annotations"][ROLE] for part in (IDENTITY["workers"]["celery"], IDENTITY["triggerer"])
    ]

    assert settings.credential_source == "tke_oidc"
    assert not settings.has_own_key
    assert {account_in(role) for role in roles} == {settings.account_id}


def test_the_trust_policy_on_the_page_lets_the_pods_in_and_nobody_else():
    policies = [json.loads(it.text) for it in blocks_of("docs/how-to/choose-a-key-source.md") if it.kind == "json"]
    (subjects,) = [
        statement["condition"]["string_equal"]["oidc:sub"]
        for policy in policies
        for statement in policy["statement"]
        if statement["action"] == "name/sts:AssumeRoleWithWebIdentity"
    ]

    assert subjects == [f"system:serviceaccount:airflow:airflow-{name}" for name in ("worker", "triggerer")]
    assert "--namespace airflow " in IDENTITY_TEXT
    assert "upgrade --install airflow " in IDENTITY_TEXT
