"""What every check of the catalogue must do, on every drawn data set; membership is enough to be tested."""

import subprocess
import sys

import pandas as pd
import pytest
from datasets import layouts
from datasets.test_contract import OTHERS, SMALL

from audit.planted import Planted
from studykit.audit import COLUMNS, Check, checked
from studykit.audit.check import LEVELS
from studykit.catalog import build, spec
from studykit.datasets import Dataset, split

DRAWN = [{"name": name, **SMALL.get(name, {})} for name, kind in Dataset.catalogue.items() if kind.simulated]
MADE = {}


def tables(settings):
    """The data set and its tables, without and with a split; made once."""
    key = str(settings)
    if key not in MADE:
        dataset = build(Dataset, settings)
        parts = split(dataset.cases, dataset.tasks[0].name, 4, 0, seed=1)
        MADE[key] = dataset, checked(dataset), checked(dataset, parts)
    return MADE[key]


@pytest.mark.parametrize("settings", [*DRAWN, *OTHERS], ids=lambda s: s["name"])
@pytest.mark.parametrize("name", sorted(Check.catalogue))
def test_every_check_says_something_of_every_drawn_data_set_in_one_kind_of_table(name, settings):
    dataset, *both = tables(settings)
    for table in both:
        assert table.columns.tolist() == list(COLUMNS)
        rows = table[table["check"] == name]
        assert (len(rows) or not dataset.pictures) and set(rows["level"]) <= set(LEVELS)
        assert rows["subject"].str.len().gt(0).all() and rows["says"].str.endswith(".").all()
        assert (rows["patients"] <= rows["cases"]).all() and rows["cases"].max() <= len(dataset.cases)
        assert pd.api.types.is_float_dtype(table["value"]) and not rows.duplicated().any()


@pytest.mark.parametrize("settings", [*DRAWN, *OTHERS], ids=lambda s: s["name"])
def test_clean_phantoms_have_no_problem(settings):
    """But for the pair whose record tells the whole label, as it is meant to."""
    told = settings["name"] == "redundant_pair" and "table" in settings.get("kinds", [])
    for table in tables(settings)[1:]:
        problems = table[table["level"] == "problem"]
        assert set(problems["check"]) == ({"columns"} if told else set())
        assert all("it reads out the label" in says for says in problems["says"])


@pytest.mark.parametrize("name", sorted(Check.catalogue))
def test_a_check_stands_alone_can_be_written_down_and_gives_the_same_again(name):
    check = build(Check, name)
    assert build(Check, spec(check)) == check and check.title
    alone, whole = checked(Planted(), checks=[check]), checked(Planted())
    pd.testing.assert_frame_equal(alone, whole[whole["check"] == name].reset_index(drop=True))


@pytest.mark.parametrize("name", ["busi", "breast_lesions_usg"])
def test_small_folders_in_the_original_layouts_are_checked(name, tmp_path):
    folder = {"busi": layouts.busi, "breast_lesions_usg": layouts.breast}[name](tmp_path / "d")
    dataset = build(Dataset, {"name": name, "folder": str(folder)})
    table = checked(dataset)
    assert set(table["check"]) == set(Check.catalogue)
    assert not (table["level"] == "problem").any()


def test_a_check_looks_and_leaves_the_data_set_as_it_was():
    dataset = Planted(columns=(("Word", ["a", None, "b"] * 20),))
    before = dataset.cases.copy()
    checked(dataset)
    pd.testing.assert_frame_equal(dataset.cases, before)


def test_the_room_loads_no_page_and_no_network():
    code = (
        "import studykit.audit, sys; print([m for m in ('panel', 'holoviews', 'timm') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
