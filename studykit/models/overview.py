"""All models side by side: who published them, what they take, how large they are, what they can show."""

import warnings

import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from studykit.case import Modality, Schema, Task
from studykit.catalog import build, settings_of
from studykit.models.fusion import FusionModel

TASK = (Task("lesion", "binary", ("benign", "malignant")),)
COLUMNS = tuple("abcdefg")
RECORD = Modality("record", "table", (7,), COLUMNS, (0.0,) * 7)
EXAMPLES = {
    "image and record": Schema((Modality("image", "image", (3, 128, 128)), RECORD), TASK),
    "volume and record": Schema((Modality("volume", "volume", (1, 12, 192, 192)), RECORD), TASK),
}
SIZES = "image 3x128x128 or volume 1x12x192x192, record of 7 columns, one binary task, default settings"


def overview() -> pd.DataFrame:
    """One row a model and preset.

    Columns: model, preset, paper, takes, tasks, example, parameters, multiply-adds, shows. Parameters and
    multiply-adds are counted on the first of `EXAMPLES` that suits, at default settings.
    """
    rows = []
    for name, cls in FusionModel.catalogue.items():
        for preset in ("faithful", "repaired") if "preset" in settings_of(cls) else ("",):
            example, schema = next((n, s) for n, s in EXAMPLES.items() if not cls.suits(s))
            settings = {"preset": preset} if preset else {}
            with warnings.catch_warnings(action="ignore"):  # the table says what a model would
                model = build(FusionModel, {"name": name, **settings}, schema)
            parameters, adds = size(model)
            rows.append(
                {
                    "model": name,
                    "preset": preset,
                    "paper": cls.paper,
                    "takes": cls.takes(),
                    "tasks": "any kind",  # a head gives what its task asks for
                    "example": example,
                    "parameters": parameters,
                    "multiply-adds": adds,
                    "shows": cls.shows or "no attention",
                }
            )
    return pd.DataFrame(rows).sort_values(["model", "preset"], ignore_index=True)


def size(model: FusionModel) -> tuple[int, int]:
    """Its parameters, and its multiply-adds for one case (convolutions and matrix products)."""
    parameters = sum(p.numel() for p in model.parameters())
    inputs = {m.name: torch.zeros(1, *m.shape) for m in model.schema.modalities}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(inputs)
    return parameters, counter.get_total_flops() // 2


def written(count: int) -> str:
    """1234567 as 1.23 M."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return str(count)


def as_markdown(table: pd.DataFrame) -> str:
    """The overview as README shows it."""
    lines = [
        "| model | paper | takes | tasks | parameters | multiply-adds | its attention shows |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table.to_dict("records"):
        name = f"{row['model']} ({row['preset']})" if row["preset"] else row["model"]
        sizes = f"{written(row['parameters'])} | {written(row['multiply-adds'])}"
        kinds = f"{row['takes']} | {row['tasks']}"
        lines.append(f"| {name} | {row['paper'] or '-'} | {kinds} | {sizes} | {row['shows']} |")
    return "\n".join(lines)
