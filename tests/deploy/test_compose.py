"""The fleet of deploy/compose: its secrets, commands, settings and order, without starting it."""

from __future__ import annotations

import base64
import os
import re
import shlex
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import requests
import yaml
from airflow import __version__ as airflow_version
from airflow.configuration import conf
from airflow.models import Connection

from airflow_provider_tcbilling.get_provider_info import get_provider_info
from tests.deploy.commands import is_airflow_command, is_our_command
from tests.docs.blocks import ROOT
from tests.support.real_airflow import free_port

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not airflow_version.startswith("3.3."), reason="the image of the fleet has Airflow 3.3"),
]

FOLDER = ROOT / "deploy" / "compose"
TEXT = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
FLEET = yaml.safe_load(TEXT)
SERVICES = FLEET["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("airflow-tcbilling")}
AIRFLOW = {name: service for name, service in OURS.items() if name != "sandbox"}
CELERY_OPTIONS = {"broker_url"}
"""Options that the provider of Celery declares, read in its version 3.26. The tests run without it."""

VARIABLE = re.compile(r"\$\{(\w+)(:?[-?][^}]*)?\}")
SECRET = re.compile(r"password|secret|_key", re.IGNORECASE)


def of_the_script():
    """Return what env.sh prints, by name."""
    printed = subprocess.run(["sh", FOLDER / "env.sh"], capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in printed.splitlines())


def filled_in(text, values):
    return VARIABLE.sub(lambda found: values.get(found[1], ""), text)


def environment():
    """Return what a worker gets, its secrets filled in."""
    values = of_the_script()
    return {name: filled_in(text, values) for name, text in SERVICES["airflow-worker"]["environment"].items()}


# Secrets


def test_no_secret_but_the_sandboxes_stands_in_the_file():
    settings = {
        (service, name): str(value)
        for service, its in SERVICES.items()
        for name, value in its.get("environment", {}).items()
        if SECRET.search(name) or "://" in str(value)
    }
    plain = {name for (_, name), value in settings.items() if not VARIABLE.search(value)}

    assert plain == {"AIRFLOW_CONN_TCBILLING_DEFAULT", "AIRFLOW__CORE__EXECUTION_API_SERVER_URL"}
    assert '"password": "sandbox-key"' in SERVICES["airflow-worker"]["environment"]["AIRFLOW_CONN_TCBILLING_DEFAULT"]


def test_a_secret_that_is_missing_stops_the_fleet_and_the_script_makes_each_of_them():
    needed = [(name, rest) for name, rest in VARIABLE.findall(TEXT.replace("$$", "")) if not rest.startswith(":-")]

    assert {name for name, _ in needed} == set(of_the_script())
    assert [name for name, rest in needed if not rest.startswith(":?")] == []


def test_the_script_makes_other_secrets_each_time_which_fit_into_an_address():
    one, another = of_the_script(), of_the_script()

    assert all(one[name] != another[name] and len(one[name]) >= 44 for name in one)
    assert all(re.fullmatch(r"[0-9a-f]{48}", one[name]) for name in one if name != "FERNET_KEY")
    assert len(base64.urlsafe_b64decode(one["FERNET_KEY"])) == 32


def test_what_the_script_makes_is_never_committed():
    assert "deploy/compose/.env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_only_this_machine_reaches_the_ports():
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]

    assert sorted(ports) == ["127.0.0.1:8080:8080", "127.0.0.1:8765:8765"]


# Settings


def test_every_setting_is_an_option_of_airflow_or_ours():
    known = {section: set(described["options"]) for section, described in conf.configuration_description.items()}
    known["tcbilling"] = set(get_provider_info()["config"]["tcbilling"]["options"])
    known["celery"] = CELERY_OPTIONS
    options = {name: name.lower().split("__")[1:] for name in environment() if name.startswith("AIRFLOW__")}
    others = {name for name in environment() if name not in options and not name.startswith("AIRFLOW_CONN_")}

    assert [name for name, (section, option) in options.items() if option not in known[section]] == []
    assert others == {"REQUESTS_CA_BUNDLE", "DUMB_INIT_SETSID"}


def test_the_ledger_is_a_database_of_its_own():
    settings = environment()
    ledger = Connection(conn_id="tcbilling_ledger", uri=settings["AIRFLOW_CONN_TCBILLING_LEDGER"])

    assert (ledger.conn_type, ledger.host, ledger.schema, ledger.login) == (
        "postgres",
        "postgres",
        "tcbilling",
        "tcbilling",
    )
    assert not settings["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].endswith(f"/{ledger.schema}")
    assert f"CREATE DATABASE {ledger.schema} OWNER {ledger.login};" in FLEET["configs"]["ledger-database"]["content"]


def test_the_sandbox_is_called_by_the_name_that_its_certificate_and_the_provider_allow():
    settings = environment()
    connection = Connection.from_json(settings["AIRFLOW_CONN_TCBILLING_DEFAULT"])
    script = SERVICES["sandbox"]["command"][0]

    assert connection.host == "https://sandbox:8765"
    assert settings["AIRFLOW__TCBILLING__ALLOWED_HOSTS"] == "sandbox"
    assert "DNS:sandbox," in script
    assert "--allow-host sandbox" in script
    assert settings["REQUESTS_CA_BUNDLE"] == "/opt/airflow/sandbox-certificate/sandbox.pem"


def test_the_ledgers_database_is_made_by_the_statements_of_the_file(postgres):
    name = f"fleet_{uuid.uuid4().hex[:12]}"
    content = FLEET["configs"]["ledger-database"]["content"].replace("tcbilling", name)

    for statement in filter(str.strip, filled_in(content, of_the_script()).split(";")):
        postgres.execute(statement)

    owner = "SELECT pg_get_userbyid(datdba), rolcanlogin, rolsuper FROM pg_database JOIN pg_roles ON rolname = datname"
    assert postgres.execute(f"{owner} WHERE datname = '{name}'") == [(name, True, False)]


# Commands


def commands():
    """Yield each command that a container runs, in words."""
    for name, service in AIRFLOW.items():
        command = service["command"]
        if isinstance(command, str):
            yield name, ["airflow", *shlex.split(command)]
        else:
            assert command[:2] == ["bash", "-ec"]
            yield from ((name, shlex.split(line)) for line in command[2].splitlines())
    for name, service in OURS.items():
        test = service.get("healthcheck", {}).get("test", ())
        for part in test[1:] if test[:1] == ["CMD-SHELL"] else ():
            yield name, shlex.split(part.replace("$$", "$"))
    script = SERVICES["sandbox"]["command"][0].replace("\\\n", " ")
    yield "sandbox", shlex.split(script.splitlines()[-1])[1:]


def test_every_command_of_airflow_and_of_this_package_is_there():
    found = list(commands())
    airflow = [words for _, words in found if words[0] == "airflow"]
    ours = [words for _, words in found if words[:2] == ["python", "-m"]]

    assert len(airflow) >= 8
    assert [words for words in airflow if not is_airflow_command(words)] == []
    assert len(ours) == 3
    assert [words for words in ours if not is_our_command(words)] == []


# Order and number


def test_two_of_each_kind_share_the_work():
    two = {name for name, service in SERVICES.items() if service.get("deploy") == {"replicas": 2}}

    assert two == {"airflow-scheduler", "airflow-triggerer", "airflow-worker"}


def test_nothing_of_airflow_starts_before_the_ledger_has_passed_its_check():
    script = SERVICES["airflow-init"]["command"][2]
    waiting = {name for name in AIRFLOW if "airflow-init" in AIRFLOW[name]["depends_on"]}

    assert [line.split(" --")[0] for line in script.splitlines()] == [
        "airflow db migrate",
        "python -m airflow_provider_tcbilling ledger upgrade",
        "python -m airflow_provider_tcbilling ledger check",
    ]
    assert waiting == set(AIRFLOW) - {"airflow-init"}
    assert {SERVICES[name]["depends_on"]["airflow-init"]["condition"] for name in waiting} == {
        "service_completed_successfully"
    }


def test_what_others_wait_for_says_whether_it_is_well():
    awaited = {
        name
        for service in SERVICES.values()
        for name, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_healthy"
    }

    assert awaited == {"postgres", "redis", "sandbox", "airflow-api-server"}
    assert all("healthcheck" in SERVICES[name] for name in set(SERVICES) - {"airflow-init"})


def test_a_worker_may_end_its_purchases_before_it_is_killed():
    worker = SERVICES["airflow-worker"]

    assert worker["stop_grace_period"] == "10m"
    assert worker["environment"]["DUMB_INIT_SETSID"] == "0"


def test_every_volume_and_config_that_is_used_is_declared():
    named = {
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", ())
        if not volume.startswith("$")
    }

    assert named == set(FLEET["volumes"])
    assert {one["source"] for service in SERVICES.values() for one in service.get("configs", ())} == set(
        FLEET["configs"]
    )


# The sandbox


def test_without_the_sandbox_nothing_of_it_is_left_and_the_rest_is_whole():
    text = re.sub(r"^x-sandbox: .*?\n\n|^  sandbox:\n.*?\n\n", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    lines = [line for line in text.splitlines() if not line.endswith("# sandbox") and not line.startswith("#")]
    real = yaml.safe_load("\n".join(lines))

    assert "sandbox" not in str(real)
    assert set(real["services"]) == set(SERVICES) - {"sandbox"}
    assert set(real["services"]["airflow-init"]["depends_on"]) == {"postgres", "redis"}
    assert set(SERVICES["airflow-worker"]["environment"]) - set(real["services"]["airflow-worker"]["environment"]) == {
        "AIRFLOW_CONN_TCBILLING_DEFAULT",
        "AIRFLOW__TCBILLING__ALLOWED_HOSTS",
        "REQUESTS_CA_BUNDLE",
    }


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("openssl")), reason="the container has both")
def test_the_sandbox_of_the_fleet_answers_to_a_client_that_trusts_its_certificate(tmp_path, monkeypatch):
    port = free_port()
    script = SERVICES["sandbox"]["command"][0]
    here = script.replace("/opt/airflow/sandbox-certificate", str(tmp_path)).replace(
        "--host 0.0.0.0", f"--host 127.0.0.1 --port {port}"
    )
    sandbox = subprocess.Popen(
        [*SERVICES["sandbox"]["entrypoint"], here],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    monkeypatch.setenv("NO_PROXY", "localhost")
    try:
        while not sandbox.stdout.readline().startswith("Stop it"):
            assert sandbox.poll() is None
        answer = requests.get(
            f"https://localhost:{port}/_sandbox/health", verify=str(tmp_path / "sandbox.pem"), timeout=60
        )
        assert answer.json()["status"] == "ok"
    finally:
        sandbox.kill()
        sandbox.communicate()
