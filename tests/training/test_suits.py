"""Which model suits which data set, as the command prints it and README shows it."""

import pytest
from conftest import ROOT
from datasets.test_contract import LAYOUTS, SMALL

from studykit.__main__ import main
from studykit.catalog import build
from studykit.datasets import Dataset, Prepared
from studykit.models import FusionModel
from studykit.training.suits import OWN, as_markdown, suits_matrix


@pytest.fixture(scope="module")
def matrix():
    return suits_matrix()


def test_every_set_has_a_row_and_every_model_a_column(matrix):
    assert set(matrix["data set"]) == set(Dataset.catalogue) - {OWN}
    assert set(FusionModel.catalogue) <= set(matrix.columns)


def test_readme_shows_the_matrix_as_it_is(matrix, capsys):
    assert as_markdown(matrix) in (ROOT / "README.md").read_text()
    assert main(["suits", "--markdown"]) == 0
    assert as_markdown(matrix) in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(set(Dataset.catalogue) - {OWN}))
def test_what_is_said_without_files_is_so_with_them(name, matrix, tmp_path):
    settings = dict(SMALL.get(name, {}))
    settings.pop("classes", None)
    if name in LAYOUTS:
        settings["folder"] = str(LAYOUTS[name](tmp_path / "d"))
    dataset = build(Dataset, {"name": name, **settings})
    schema = Prepared.fit(dataset, dataset.cases.index).schema
    row = matrix.set_index("data set").loc[name]
    for model, cls in FusionModel.catalogue.items():
        assert bool(cls.suits(schema)) == bool(row[model])
