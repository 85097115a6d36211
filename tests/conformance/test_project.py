"""The repository as a stranger finds it: paths that answer questions, one version, one home, what tests may touch."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import airflow_provider_tcbilling
from scripts.release_check import mistakes

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
HOME = "https://github.com/airflow-provider-tcbilling/airflow-provider-tcbilling"


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def answers():
    section = text_of("CONTRIBUTING.md").partition("## Ten questions\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| (.+\?) \| `([\w./-]+)` \|$", section, re.MULTILINE)


def test_each_of_ten_questions_is_answered_by_one_path_that_exists():
    assert len(answers()) == 10
    assert [path for _, path in answers() if not (ROOT / path).exists()] == []


def test_every_room_of_the_package_is_on_the_map():
    section = text_of("CONTRIBUTING.md").partition("## Where things are\n")[2].partition("\n## ")[0]
    package = ROOT / "airflow_provider_tcbilling"
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}

    assert rooms - set(re.findall(r"(\w+)/", section)) == set()


def folders():
    rows = re.findall(r"^\| `(\w+)/` \| .+? \| (.+?) \| .+? \| .+? \|$", text_of("tests/README.md"), re.MULTILINE)
    return dict(rows)


def test_every_test_folder_says_what_it_may_touch():
    assert set(folders()) == {path.parent.name for path in TESTS.glob("*/__init__.py")}


@pytest.mark.parametrize("folder", [name for name, airflow in folders().items() if airflow == "never"])
def test_a_folder_without_airflow_does_not_import_it(folder):
    imported = {
        name.partition(".")[0]
        for path in (TESTS / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in names_of(node)
    }

    assert "airflow" not in imported


def names_of(node):
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def test_the_version_stands_in_one_place():
    build = text_of("pyproject.toml")
    modules = (ROOT / "airflow_provider_tcbilling").rglob("*.py")
    places = [path for path in modules if re.search(r"^__version__ = ", path.read_text(encoding="utf-8"), re.MULTILINE)]

    assert places == [ROOT / "airflow_provider_tcbilling" / "__init__.py"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", airflow_provider_tcbilling.__version__)
    assert 'dynamic = ["version"]' in build
    assert 'path = "airflow_provider_tcbilling/__init__.py"' in build


def test_every_address_of_the_repository_is_its_home():
    files = [path for path in (ROOT / ".github").rglob("*") if path.is_file()]
    files += [ROOT / "pyproject.toml", *(ROOT / "docs" / "project").rglob("*.md"), *ROOT.glob("*.md")]
    found = {
        address
        for path in files
        for address in re.findall(r"https://github\.com/[\w-]+/[\w-]*tcbilling", path.read_text("utf-8"))
    }

    assert found == {HOME}


CUT = "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-12-01\n\n- A line.\n\n## 0.1.0 - 2026-11-23\n"


@pytest.mark.parametrize(
    ("tag", "changelog", "found"),
    [
        pytest.param("v0.2.0", CUT, [], id="all agree"),
        pytest.param("0.2.0", CUT, ["is not v0.2.0"], id="a tag without its letter"),
        pytest.param("", CUT, ["is not v0.2.0"], id="no tag"),
        pytest.param("v0.2.1", CUT, ["is not v0.2.0"], id="another version"),
        pytest.param("v0.2.0", CUT.replace(" - 2026-12-01", ""), ["has no section"], id="no day"),
        pytest.param("v0.2.0", CUT.replace("## 0.2.0", "## 0.3.0"), ["has no section"], id="no section"),
        pytest.param("v0.2.0", CUT.replace("Unreleased\n", "Unreleased\n\n- New."), ["has lines"], id="not cut"),
    ],
)
def test_a_release_is_refused_unless_tag_package_and_changelog_agree(tag, changelog, found):
    said = mistakes(tag, "0.2.0", changelog)

    assert len(said) == len(found)
    assert all(part in line for part, line in zip(found, said, strict=True))
