"""The files around the code tell the truth about it."""

import json
import re
import subprocess
import sys
import tomllib

import pytest
from conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TRACKED = {"notebooks", "studykit", "dashboards", "data", "tests", ".ci", ".binder"}
CONDA = {"torch": "pytorch"}


def name_of(requirement):
    return re.match(r"[A-Za-z0-9_.-]+", requirement).group().lower().replace("_", "-")


def test_environment_yml_equals_pyproject():
    lines = re.findall(r"^ +- (\S+)$", (ROOT / "environment.yml").read_text(), flags=re.M)
    found = {line for line in lines if line != "pip:"} - {"pip"}
    wanted = {f"python{PROJECT['requires-python']}"}
    for requirement in PROJECT["dependencies"]:
        name = name_of(requirement)
        wanted.add(CONDA[name] + requirement[len(name) :] if name in CONDA else requirement)
    assert found == wanted


def test_constraints_pin_everything_that_is_asked_for():
    lines = [x for x in (ROOT / "constraints.txt").read_text().splitlines() if not x.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9._-]+==[^+\[\]]+", line) for line in lines)
    pinned = {name_of(line) for line in lines}
    asked = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]
    assert {name_of(requirement) for requirement in asked} <= pinned


def test_the_readmes_commands_are_there():
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)$", readme, flags=re.M):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    for path in re.findall(r"\]\(([^)#:]+)\)", readme):
        assert (ROOT / path).exists(), path
    for recipe in re.findall(r"studykit run (\S+)", readme):
        assert json.loads((ROOT / recipe).read_text())["dataset"]


def test_only_what_belongs_stands_at_the_top():
    named = {
        "environment.yml", "README.md", "pyproject.toml", "LICENSE", "CONTRIBUTING.md", "CHANGELOG.md",
        "SECURITY.md", "CITATION.cff", "constraints.txt", "Makefile", "jupyter-panel-proxy.yml",
    }  # fmt: skip
    try:
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    tops = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert tops <= named | TRACKED | {".gitignore"}


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=lambda c: c[0])
def test_ruff_is_content(command):
    said = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stdout + said.stderr
