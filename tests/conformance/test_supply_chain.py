"""What is installed and what is shipped: pins with hashes, and a source distribution that holds all that it needs."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest

from scripts import audit
from scripts.audit import pins_of

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"


@pytest.mark.parametrize("path", sorted(REQUIREMENTS.glob("*.txt")), ids=lambda path: path.stem)
def test_every_pin_has_a_version_and_hashes_and_names_no_index(path):
    text = path.read_text(encoding="utf-8")

    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE), "an option of the installer"
    assert all(pin.hashes for pin in pins_of(path))
    assert len({(pin.name, pin.marker) for pin in pins_of(path)}) == len(pins_of(path)) > 0


def test_every_list_is_written_from_a_shorter_one():
    lists = {path.stem for path in REQUIREMENTS.glob("*.txt")}

    assert lists == {path.stem for path in REQUIREMENTS.glob("*.in")} - {"test"}
    assert all(name in (ROOT / "scripts" / "pins.sh").read_text(encoding="utf-8") for name in lists)


@pytest.mark.parametrize("path", sorted(REQUIREMENTS.glob("*.in")), ids=lambda path: path.stem)
def test_what_a_list_asks_for_is_pinned_as_it_asks(path):
    asked = path.read_text(encoding="utf-8")
    exact = {line for line in asked.splitlines() if "==" in line}

    assert re.match(r"# .+ on Python 3\.1[01] to 3\.1[23]\b", asked)
    if exact:
        assert exact <= {f"{pin.name}=={pin.version}" for pin in pins_of(path.with_suffix(".txt"))}


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("requests>=2\n", "is not pinned"),
        ("requests==2.34.2\n", "has no hash"),
        ("requests==2.34.2 \\\n    --hash=md5:00\n", "has no hash"),
        ("requests @ ADDRESS \\\n    --hash=sha256:" + "0" * 64 + "\n", "is not pinned"),
        ("--find-links ADDRESS\n", "is not pinned"),
    ],
)
def test_an_audit_names_what_an_installer_could_not_check(tmp_path, text, mistake):
    (tmp_path / "pins.txt").write_text(text)

    with pytest.raises(ValueError, match=mistake):
        pins_of(tmp_path / "pins.txt")


AUDITED = [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not found"}]
HOLE = {"name": "c", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}


@pytest.mark.parametrize(
    ("printed", "wrong", "unchecked"),
    [
        (json.dumps({"dependencies": AUDITED[:1]}), [], []),
        (json.dumps({"dependencies": AUDITED}), [], ["1 of 2 packages"]),
        (json.dumps({"dependencies": [HOLE]}), ["c 1 has CVE-1, fixed in 2"], []),
        ("", [], ["pip-audit failed: no such host"]),
        ("[]", [], ["pip-audit failed"]),
    ],
)
def test_an_index_that_knows_no_vulnerabilities_does_not_look_like_a_clean_one(monkeypatch, printed, wrong, unchecked):
    done = subprocess.CompletedProcess([], 0, printed, "no such host")
    monkeypatch.setattr(audit, "output_of", lambda *command: done)
    findings = audit.Findings([], [], [])

    audit.check_vulnerabilities(Path("pins.txt"), findings)

    for found, wanted in ((findings.wrong, wrong), (findings.unchecked, unchecked)):
        assert len(found) == len(wanted)
        assert all(words in line for words, line in zip(wanted, found, strict=True))


def test_a_withdrawn_release_is_found(monkeypatch, tmp_path):
    said = 'warning: `requests==2.32.0` is yanked (reason: "conflicts with CVE mitigation")\nWould install 1 package'
    monkeypatch.setattr(audit, "output_of", lambda *command: subprocess.CompletedProcess([], 0, "", said))
    findings = audit.Findings([], [], [])

    audit.check_index(tmp_path / "pins.txt", findings)

    assert findings.wrong == ["pins.txt: requests==2.32.0 is withdrawn"]


def test_the_source_distribution_holds_every_folder_that_its_tests_import():
    shipped = re.search(r"targets\.sdist\]\ninclude = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL)
    folders = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists() or path.name == "scripts"}
    imported = {
        name.partition(".")[0]
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in names_of(node)
    }

    assert shipped
    assert imported & folders <= set(re.findall(r'"(.*?)"', shipped[1]))
    assert "scripts" in imported


def names_of(node):
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
