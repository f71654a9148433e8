"""Imports go one way: a room imports only from the rooms listed for it."""

import ast
import subprocess
import sys

import pytest
from conftest import ROOT

GROUND = {"catalog", "case", "scores", "sweep", "whole"}
MACHINE = GROUND | {"contribution", "datasets", "models", "training"}
COMMANDS = MACHINE | {"files", "audit", "explain", "quality", "trust", "draw", "ui"}  # put the rooms together
MAY_IMPORT = {
    "catalog": set(),
    "case": {"catalog"},
    "contribution": GROUND,
    "scores": set(),
    "sweep": {"catalog"},
    "whole": {"catalog"},
    "files": {"catalog", "whole"},
    "datasets": GROUND | {"files"},
    "models": GROUND,
    "training": GROUND | {"datasets", "models"},
    "trust": GROUND,
    "audit": GROUND | {"files", "datasets"},
    "explain": MACHINE,
    "quality": MACHINE | {"explain"},
    "draw": MACHINE | {"explain", "quality", "trust"},
    "ui": MACHINE | {"explain", "quality", "trust", "draw"},
    "__main__": {"catalog", "commands", "study_commands"},
    "commands": COMMANDS | {"demo", "study_commands"},
    "demo": COMMANDS,
    "study_commands": COMMANDS,
    "__init__": set(),
}


def rooms_imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; name the room in full"
            names = [node.module] if node.module != "studykit" else [f"studykit.{a.name}" for a in node.names]
        for name in names:
            assert not name.startswith("dashboards"), f"{path}: pages consume, nobody imports them"
            if name.startswith("studykit."):
                yield name.split(".")[1]


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_rooms_import_in_one_direction(room):
    place = ROOT / "studykit" / room
    for path in place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]:
        if path.exists():
            wrong = set(rooms_imported(path)) - MAY_IMPORT[room] - {room}
            assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_every_room_is_listed():
    found = {p.stem for p in (ROOT / "studykit").iterdir() if p.name != "__pycache__"}
    assert found <= set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("studykit", ("torch", "panel", "pandas")),
        ("studykit.catalog", ("torch", "panel")),
        ("studykit.case", ("torch", "panel")),
        ("studykit.trust", ("torch", "panel", "holoviews", "sklearn", "sqlalchemy")),
        ("studykit.sweep", ("torch", "panel", "distributed")),
        ("studykit.contribution", ("panel", "timm", "torchvision", "holoviews")),
        ("studykit.explain", ("panel", "holoviews")),
    ],
)
def test_a_light_import_stays_light(module, unwanted):
    code = f"import {module}, sys; print([m for m in {unwanted!r} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
