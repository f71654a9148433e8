"""Which model suits which data set, by the settings that each has when nothing else is said."""

import pandas as pd

from studykit.case import Modality, Schema
from studykit.datasets import Dataset
from studykit.models import FusionModel

OWN = "own_folder"  # what it holds is for its owner to say


def suits_matrix() -> pd.DataFrame:
    """One row a data set, one column a model: "" where it suits, else the reason why not.

    The columns before the models': `data set`, `modalities` and `tasks` in words.
    """
    rows = []
    for name, dataset in sorted(Dataset.catalogue.items()):
        if name == OWN:
            continue
        schema = expected_schema(dataset())
        kinds = [f"{m.name} ({m.kind})" if m.name != m.kind else m.name for m in schema.modalities]
        row = {"data set": name, "modalities": ", ".join(kinds)}
        row["tasks"] = ", ".join(f"{t.name} ({_count(t)})" for t in schema.tasks)
        models = sorted(FusionModel.catalogue.items())
        rows.append(row | {model: cls.suits(schema) for model, cls in models})
    return pd.DataFrame(rows)


def expected_schema(dataset: Dataset) -> Schema:
    """What the data set's cases will look like, without reading a file: its record before it is fitted."""
    record, texts = dataset.record, dataset.texts
    table = (
        [Modality("record", "table", (len(record),), tuple(record), (0.0,) * len(record))] if record else []
    )
    written = [Modality(name, "text", (1,), vocabulary=("[end]", "[unknown]")) for name in texts]
    return Schema((*dataset.pictures, *table, *written), dataset.tasks)


def as_markdown(matrix: pd.DataFrame) -> str:
    """The matrix as README shows it: a dot where the model suits."""
    models = [name for name in matrix.columns if name in FusionModel.catalogue]
    lines = [
        f"| data set | {' | '.join(['modalities', 'tasks', *models])} |",
        "|---" * (3 + len(models)) + "|",
    ]
    for row in matrix.to_dict("records"):
        dots = ["" if row[model] else "•" for model in models]
        lines.append(f"| {' | '.join([row['data set'], row['modalities'], row['tasks'], *dots])} |")
    return "\n".join(lines)


def _count(task) -> str:
    return f"{task.kind}, {len(task.classes)}" if task.kind in ("multiclass", "multilabel") else task.kind
