"""What models of real cases lean on: `python -m tests.benchmarks.contribution_real --out FOLDER` (needs
STUDYKIT_DATA).

Every model that takes a picture with a record (and notes) is trained on four sets; then each modality's
contribution to the held-out cases' probabilities is measured, part by part and as a whole, beside the AUROC
of the same cases. PAD-UFES-20 is learned with and without the columns whose missing values give the label
away. Runs that stand in FOLDER are kept.
"""

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studykit.contribution import Contribution, joined
from studykit.datasets.pad_ufes_20 import QUESTIONNAIRE, WITHOUT_SHORTCUT
from studykit.explain.contributions import Occluding, contribution, question
from studykit.scores import auroc, draws
from studykit.training import Recipe, Run, train
from studykit.training.logistic import NAME as RIVAL

SIZE, PATCH = 64, 16  # pixels: 16 parts a picture
PAD = {"name": "pad_ufes_20", "question": "cancer"}
# title: (data set, folds, folds that are run)
SETS = {
    "PAD-UFES-20": (PAD, 3, (0,)),
    "PAD-UFES-20 without the shortcut": ({**PAD, "columns": WITHOUT_SHORTCUT}, 3, (0,)),
    "BrEaST": ({"name": "breast_lesions_usg"}, 5, ()),
    "covid-chestxray": ({"name": "covid_chestxray"}, 5, ()),
    "HAM10000": ({"name": "ham10000"}, 3, (0,)),
}
FROZEN = {"backbone": "tf_efficientnet_lite0", "weights": "package", "frozen": True}
OWN = {"name": "drifa", "widths": [16, 32, 64], "depths": [1, 1, 1]}
GATE = {
    "name": "attention_gate", "backbone": "test_resnet",
    "local_widths": [8, 8, 16, 16], "loss_weights": [0.05, 0.05, 0.9],
}  # fmt: skip
HEAD = {"patience": 10, "rate": 5e-4, "encoder_rate": 1.0}  # the picture's encoder is frozen
SCRATCH = {"epochs": 25, "patience": 8, "rate": 1e-3, "encoder_rate": 1.0}
LONGER = {**SCRATCH, "epochs": 40, "patience": 10}
MODELS = {
    "late": ({"name": "late"}, HEAD),
    "concat": ({"name": "concat"}, HEAD),
    "film": ({"name": "film"}, HEAD),
    "daft": ({"name": "daft"}, HEAD),
    "gmu": ({"name": "gmu"}, HEAD),
    "cross_attention": ({"name": "cross_attention"}, {**HEAD, "rate": 1e-3}),
    "mmtm": ({"name": "mmtm", **FROZEN}, {**HEAD, "epochs": 20, "patience": 5}),
    "drifa, repaired": (OWN, {**SCRATCH, "rate": 3e-3}),
    "drifa, faithful": ({**OWN, "preset": "faithful"}, {**SCRATCH, "rate": 3e-3}),
    "attention_gate, repaired": (GATE, LONGER),
    "attention_gate, faithful": ({**GATE, "preset": "faithful"}, {**LONGER, "rate": 3e-3}),
}
PADS = tuple(SETS)[:2]
QUESTIONED, MISSING, CLINICAL = "questionnaire", "missing", "clinical"


def runs_of(title: str, name: str, out: Path) -> tuple[list[Run], pd.DataFrame]:
    """One model's runs on a set, and the AUROC on their held-out cases: its own row, then the rival's."""
    dataset, folds, only = SETS[title]
    model, training = MODELS[name]
    recipe = {"name": f"{title} {name}", "dataset": {**dataset, "size": SIZE}, "model": model}
    recipe = Recipe.from_json({**recipe, "training": training, "folds": folds, "only": only})
    table = train(recipe, out, lambda _: None)
    scores = table[table["statistic"] == "AUROC"].set_index("group").loc[[recipe.name, RIVAL]]
    return [Run(out / recipe.name / f"fold-{fold}") for fold in recipe.folds_to_run], scores


def labelled(run: Run) -> list[str]:
    """The run's held-out cases whose label is known; the others are held out by every fold."""
    table = run.predictions
    return table.loc[(table["split"] == "test") & table[run.schema.tasks[0].name].notna(), "id"].tolist()


def part_by_part(runs: list[Run]) -> Contribution:
    """Of all held-out cases, each asked of the model that never saw it; kept in the run folders."""
    found = []
    for run in runs:
        made = contribution(run, parts={"image": PATCH})
        frame = made.to_frame()
        found.append(Contribution.from_frame(frame[frame["id"].isin(labelled(run))], made.about))
    return joined(found)


def asked_in(runs: list[Run], parts: dict, fill: Any = "absent") -> Contribution:
    """The same with other parts, not kept."""
    settings = Occluding(parts=parts, fill=fill)
    return joined([question(run, labelled(run), settings).contribution for run in runs])


def header(names: tuple[str, ...]) -> None:
    print(f"| {' | '.join(names)} |\n{'|---' * len(names)}|", flush=True)


def in_words(row: pd.Series) -> str:
    return f"{row['estimate']:.2f} ({row['low']:.2f}-{row['high']:.2f})"


def compare(title: str, out: Path) -> None:
    """Print the table of one set, a row a model."""
    for at, name in enumerate(MODELS):
        runs, scores = runs_of(title, name, out)
        found = part_by_part(runs)
        whole = asked_in(runs, dict.fromkeys(found.modalities, "whole")).share()
        if not at:
            print(f"\n### {title}: {len(found.ids)} cases of {len(set(found.groups))} patients or groups")
            print(f"\nAUROC of {RIVAL}: {in_words(scores.loc[RIVAL])}\n")
            header(("model", "AUROC", *whole, *(f"{m}, whole" for m in whole), "collapse"))
        table = found.table()
        cells = [in_words(table[table["group"] == m].iloc[0]) for m in found.modalities]
        cells = [in_words(scores.iloc[0]), *cells, *(f"{share:.2f}" for share in whole.values())]
        print(f"| {name} | {' | '.join(cells)} | {found.collapse() or 'no'} |", flush=True)


def columns_by(run: Run, apart: bool) -> dict[str, list[int]]:
    """The record's columns as the questionnaire and the clinical rest; `apart`: what says that an answer is
    missing stands by itself.
    """
    found: dict[str, list[int]] = {}
    record = run.schema.modality("record")
    for source, positions in record.sources.items():
        for at in positions:
            part = QUESTIONED if source in QUESTIONNAIRE else CLINICAL
            missing = apart and part == QUESTIONED and record.columns[at].endswith("=missing")
            found.setdefault(MISSING if missing else part, []).append(at)
    return found


def with_interval(values: np.ndarray) -> str:
    """The first value, and the interval of the others, drawn by patient."""
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return in_words(pd.Series({"estimate": values[0], "low": low, "high": high}))


def weights_of(groups: list[str]) -> np.ndarray:
    """How often each case counts, (1 + R, N): once, then in each draw of patients."""
    return np.concatenate([np.ones((1, len(groups))), draws(groups, 2000, 0)])


def part_of_record(found: Contribution, names: tuple[str, ...]) -> str:
    """The share of some of the record's parts in all of its parts."""
    sizes = np.abs(found.differences["record"]).sum(axis=2)  # (N, h)
    chosen = sizes[:, [name in names for name in found.parts["record"]]].sum(axis=1)
    weights = weights_of(found.groups)
    return with_interval((weights @ chosen) / (weights @ sizes.sum(axis=1)))


def auroc_of(run: Run, ids: list[str]) -> str:
    """AUROC of some held-out cases for cancer."""
    table = run.predictions.set_index("id").loc[ids]
    p = table[["cancer.other", "cancer.cancer"]].to_numpy()
    truth = (table["cancer"] == "cancer").to_numpy().astype(int)
    return with_interval(auroc(truth, p, weights_of(table["group"].tolist())))


def shortcut(out: Path) -> None:
    """Print what the questionnaire of PAD-UFES-20 does, and what the mere fact that it is missing does."""
    columns = [f"{name}{rest}" for name in ("AUROC", "AUROC of those asked") for rest in ("", ", without")]
    record = "questionnaire in the record", "that it is missing"
    print(f"\n### {PADS[0]}: the questionnaire, and that it is missing\n")
    header(("model", *columns, *record, "P(cancer) of those asked", "as if not asked"))
    for name in MODELS:
        ((run,), scores), ((bare,), without) = (runs_of(title, name, out) for title in PADS)
        pieces = {"image": "whole", "record": columns_by(run, apart=False)}
        gone = asked_in([run], pieces)
        at = gone.parts["record"].index(QUESTIONED)
        answered = ~gone.same["record"][:, at]
        ids = [case for case, yes in zip(gone.ids, answered, strict=True) if yes]
        p = run.predictions.set_index("id").loc[ids, "cancer.cancer"].mean()
        change = gone.differences["record"][answered, at, 0].mean()
        pieces["record"] = columns_by(run, apart=True)
        missing = asked_in([run], pieces, fill={"record": "training_mean"})
        cells = [
            *(f"{both['estimate'].iloc[0]:.2f}" for both in (scores, without)),
            auroc_of(run, ids), auroc_of(bare, ids),
            part_of_record(part_by_part([run]), QUESTIONNAIRE), part_of_record(missing, (MISSING,)),
            f"{p:.2f}", f"{p + change:.2f}",
        ]  # fmt: skip
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="where the runs are kept")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    given = parser.parse_args()
    for title in given.sets:
        compare(title, given.out)
    if set(PADS) <= set(given.sets):
        shortcut(given.out)


if __name__ == "__main__":
    main()
