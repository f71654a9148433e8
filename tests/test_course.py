"""The notebooks as a course: their form, their outputs, and the site that is made of them."""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("course", ROOT / "notebooks/course.py")
course = importlib.util.module_from_spec(spec)
spec.loader.exec_module(course)
PATHS = course.paths()
books = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def test_there_are_ten_in_order():
    assert [path.name[:3] for path in PATHS] == [f"{number:02d}_" for number in range(1, 11)]


@books
def test_code_is_short_and_defines_nothing(path):
    for cell in read(path).cells:
        if cell.cell_type != "code":
            continue
        lines = [line for line in cell.source.splitlines() if not line.startswith("#")]
        defines = re.findall(r"^\s*(?:async )?(def|class) ", cell.source, flags=re.M)
        allowed = path.name.startswith("10_") and "class" in defines
        assert allowed or (not defines and len(lines) <= 3), cell.source
        assert max(map(len, lines), default=0) <= 125, cell.source
    classes = [c for c in read(path).cells if c.cell_type == "code" and re.search(r"^class ", c.source, re.M)]
    assert len(classes) == path.name.startswith("10_")


@books
def test_goals_first_then_the_cases_exercises_and_where_to_go_on(path):
    cells = read(path).cells
    assert cells[0].source.startswith(f"# {path.name[:2]} · ")
    goals = cells[0].source.partition("**You will learn**")[2].partition("\n\n")[2].partition("\n\n")[0]
    assert 3 <= goals.count("\n- ") + goals.startswith("- ") <= 5
    assert cells[1].source.startswith("## The cases")
    assert course.parameters(read(path)).id == cells[2].id
    told = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    exercises = told.partition("\n## Exercises")[2]
    folded = exercises.count("<details><summary>Solution</summary>")
    assert folded >= 2 and folded == exercises.count("</details>")
    assert "\n## What to take away" in exercises
    links = re.findall(r"\((\w+\.(?:ipynb|md))\)", told)
    assert all((path.parent / link).is_file() for link in links)
    if path != PATHS[-1]:
        assert PATHS[PATHS.index(path) + 1].name in cells[-1].source


@books
def test_a_hand_and_a_question(path):
    code = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "code")
    assert "quiz(" in code and "by_hand(" in code


@books
def test_outputs_are_those_of_the_cells_and_light(path):
    notebook = read(path)
    assert course.is_current(notebook), f"python notebooks/course.py outputs {path.name[:2]}"
    assert path.stat().st_size < 900_000
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            data = output.get("data", {})
            assert set(data) <= {"text/plain", "text/html", "image/png"}  # every program shows these
            assert sum(len(str(value)) for value in data.values()) < course.MOST
            assert "<script" not in data.get("text/html", "")


def test_a_changed_cell_makes_the_outputs_old():
    notebook = read(PATHS[0])
    next(cell for cell in notebook.cells if cell.cell_type == "code").source += " "
    assert not course.is_current(notebook)


def test_the_site_needs_no_other_host(tmp_path):
    made = course.site(tmp_path)
    names = {path.name for path in made}
    assert {"index.html", "guide.html", "glossary.html", *(f"{path.stem}.html" for path in PATHS)} <= names
    for path in made:
        text = path.read_text(encoding="utf-8")
        asked = (
            r"""<(?:script|link|img|iframe)[^>]*(?:src|href)=["'](?:https?:)?//|@import|url\(["']?https?:"""
        )
        assert not re.search(asked, text), path.name
        for link in re.findall(r'href="([\w.]+\.(?:html|ipynb|md))"', text):
            assert link in names, f"{path.name} links to {link}"
    assert sum("<math" in path.read_text(encoding="utf-8") for path in made) >= 8


def test_equations_become_mathml_and_code_stays():
    told = course.with_mathml("$x_1$ costs `$5` and\n\n$$ \\frac{a}{b} $$\n\n```\n$y$\n```")
    assert told.count("<math") == 2 and "<mfrac>" in told and "`$5`" in told and "$y$" in told


REAL = [("01", "breast_lesions_usg"), ("02", "breast_lesions_usg"), ("08", "breast_lesions_usg")]


@pytest.mark.real_data
@pytest.mark.parametrize(("number", "name"), REAL, ids=lambda one: one)
def test_one_changed_cell_takes_real_cases(number, name):
    (path,) = course.paths([number])
    notebook = read(path)
    (line,) = [line for line in course.real_sets(notebook) if f'"{name}"' in line]
    course.carried_out(course.on_real(notebook, line))
    said = "".join(str(cell.get("outputs", "")) for cell in notebook.cells)
    assert "BrEaST" in said or "case0" in said
