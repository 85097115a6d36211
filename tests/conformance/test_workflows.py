"""The workflows of the forge: pinned actions, commands that a person runs, every line of Airflow, few permissions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PIN = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
LOCAL = re.compile(r"uses: \./\.github/workflows/(\S+\.yml)$")
SECRETS = re.compile(r"secrets\.|password|api.token", re.IGNORECASE)

workflows = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs_of(path):
    return read(path)["jobs"].items()


def steps_of(path):
    return [step for _, job in jobs_of(path) for step in job.get("steps", ())]


def uses_of(path):
    lines = (line.strip().removeprefix("- ") for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line.startswith("uses:")]


def test_there_are_workflows_for_changes_nights_and_releases():
    assert [path.stem for path in WORKFLOWS] == ["ci", "nightly", "release"]


@workflows
def test_every_action_is_pinned_by_its_hash_and_names_its_version(path):
    called = {line: found[1] for line in uses_of(path) if (found := LOCAL.match(line))}

    assert uses_of(path)
    assert [line for line in uses_of(path) if line not in called and not PIN.match(line)] == []
    assert all((GITHUB / "workflows" / name).exists() for name in called.values())


def test_one_action_has_one_pin():
    pins = {line for path in WORKFLOWS for line in uses_of(path)}

    assert len({pin.partition("@")[0] for pin in pins}) == len(pins)


@workflows
def test_every_command_is_one_that_a_person_runs(path):
    for step in steps_of(path):
        if command := step.get("run"):
            target = re.match(r"make ([a-z-]+)( [A-Z]+=|$)", command)
            assert target, f"{command!r} is no command of make"
            assert re.search(rf"^{target[1]}:", MAKEFILE, re.MULTILINE), command
            assert "github.event" not in command


@pytest.mark.skipif(not (ROOT / ".ci").exists(), reason="a source distribution is no checkout")
def test_the_forge_runs_all_that_must_hold_before_a_change_lands():
    targets = re.findall(r"^make ([a-z-]+)", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    run = {step["run"].split()[1] for step in steps_of(GITHUB / "workflows" / "ci.yml") if "run" in step}

    assert {"test-dist" if target == "dist" else target for target in targets} <= run


def test_every_line_of_airflow_is_tested_and_only_a_pre_release_may_fail():
    lines = re.search(r"^LINES := (.+)$", MAKEFILE, re.MULTILINE)[1].split()
    matrix = read(GITHUB / "workflows" / "ci.yml")["jobs"]["airflow"]["strategy"]["matrix"]
    added = {entry["line"]: entry.get("prerelease", False) for entry in matrix["include"]}
    pins = {line: (ROOT / f"requirements/airflow-{line}.in").read_text(encoding="utf-8") for line in lines}

    assert sorted([*matrix["line"], *added]) == sorted(lines)
    for line, text in pins.items():
        is_pre_release = bool(re.search(r"^apache-airflow==[\d.]+(a|b|rc)\d", text, re.MULTILINE))
        assert added.get(line, False) is is_pre_release, line


@workflows
def test_every_workflow_may_only_read_and_a_job_that_may_write_says_what_for(path):
    assert read(path)["permissions"] == {"contents": "read"}

    for name, job in jobs_of(path):
        writes = {scope for scope, right in job.get("permissions", {}).items() if right == "write"}
        assert writes <= {"attest": {"attestations", "id-token"}, "publish": {"id-token"}}.get(name, set()), name


@workflows
def test_every_job_ends_in_time_and_keeps_no_credentials(path):
    assert read(path)["concurrency"]["group"]

    for name, job in jobs_of(path):
        assert "uses" in job or 0 < job["timeout-minutes"] < 360, name
    for step in steps_of(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    assert not SECRETS.search(path.read_text(encoding="utf-8"))


def test_only_a_tag_publishes_and_only_what_was_tested():
    release = read(GITHUB / "workflows" / "release.yml")
    needs = {name: job.get("needs") for name, job in release["jobs"].items()}

    assert release[True] == {"push": {"tags": ["v*"]}}
    assert needs == {"tag": None, "ci": "tag", "attest": "ci", "publish": "attest"}
    assert release["jobs"]["publish"]["environment"] == "pypi"


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_warns_that_it_is_public_and_its_fields_have_names(path):
    form = read(path)
    fields = [field for field in form["body"] if field["type"] != "markdown"]

    assert form["name"]
    assert form["description"]
    assert "**This page is public.**" in form["body"][0]["attributes"]["value"]
    assert len({field["id"] for field in fields}) == len(fields) > 0
    assert all(field["attributes"]["label"] for field in fields)


def test_nothing_that_is_public_asks_for_keys_or_numbers():
    labels = [field["attributes"].get("label", "") for path in FORMS for field in read(path)["body"]]

    assert not [
        label for label in labels if re.search(r"key|token|(order|account) number|secret", label, re.IGNORECASE)
    ]
    assert read(GITHUB / "ISSUE_TEMPLATE" / "config.yml")["blank_issues_enabled"] is False


def test_pins_and_actions_are_watched():
    updates = read(GITHUB / "dependabot.yml")["updates"]

    assert {(it["package-ecosystem"], it["directory"]) for it in updates} == {
        ("github-actions", "/"),
        ("pip", "/requirements"),
    }
