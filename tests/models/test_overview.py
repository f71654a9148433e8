"""The table of all models, as the command prints it and README shows it."""

import pytest
import torch
from conftest import ROOT

from studykit.__main__ import main
from studykit.case import Modality, Schema, Task
from studykit.catalog import build
from studykit.models import FusionModel
from studykit.models.overview import as_markdown, overview, size, written


@pytest.fixture(scope="module")
def table():
    return overview()


def test_every_model_and_preset_has_a_row(table):
    assert set(table["model"]) == set(FusionModel.catalogue)
    assert (table["parameters"] > 0).all() and (table["multiply-adds"] > 0).all()
    assert not table.duplicated(["model", "preset"]).any()


def test_readme_shows_the_table_as_it_is(table):
    assert as_markdown(table) in (ROOT / "README.md").read_text()


def test_the_command_lists_them(capsys):
    assert main(["models", "--markdown"]) == 0
    assert "| drifa (faithful) | Dhar et al. 2025 (WACV) |" in capsys.readouterr().out


def test_sizes_are_counted_by_hand():
    """A linear model over a picture's own 2 x 2 stage: a 3x3 and a 1x1 convolution twice, and one product."""
    schema = Schema((Modality("image", "image", (1, 8, 8)),), (Task("t", "regression"),))
    image = {"name": "residual", "widths": [2]}
    model = build(FusionModel, {"name": "alone", "image": image}, schema)
    convolutions = 1 * 2 * 9 + 2 * 2 * 9 + 1 * 2
    norms, pooled = 3 * 2 * 2, 2 * 2
    parameters, adds = size(model)
    assert parameters == convolutions + norms + 2 * pooled + pooled + 1
    assert adds == convolutions * 16 + pooled  # at 4 x 4 places
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("count", "text"), [(12, "12"), (4529, "4.53 k"), (53865668, "53.9 M"), (7.13e10, "71.3 G")]
)
def test_counts_are_written_short(count, text):
    assert written(count) == text
