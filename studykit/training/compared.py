"""Which model is better, and is it sure? Scores and differences on held-out cases, and their curves.

Scores and paired differences are those of `measure` (patients drawn with replacement, the same draws for both
models). Curves, at every threshold t of a score s, over cases that are of the class (y = 1) and not (y = 0):
    ROC                P(s >= t | y = 1) against P(s >= t | y = 0)
    precision-recall   P(y = 1 | s >= t) against P(s >= t | y = 1); its average is sum (R_k - R_k-1) P_k
    risk-coverage      share of errors among the most certain cases, against how many of all these are; its
                       average over 1, 2, ... N cases is AURC (Geifman, El-Yaniv, NeurIPS 2017; cases of one
                       certainty come in any order, so the mean over orders is taken)
    limits of agreement  mean +- 1.96 SD of predicted minus known (Bland, Altman, Lancet 1986;327:307)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from studykit.case import Task
from studykit.catalog import InputError
from studykit.datasets.inference import parts
from studykit.training.logistic import NAME
from studykit.training.measure import measures, not_estimable
from studykit.training.run import Run

COLUMNS = ["statistic", "group", "estimate", "low", "high", "n", "why"]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What a model says of the cases that it never learned from, its folds as one.

    table: by case id: group, fold, label (as in the data; NaN where unlabelled), predicted, and a column a
    class (or "value") of `outputs`. asked: how many folds the recipe asks for.
    """

    model: str
    task: Task
    table: pd.DataFrame
    asked: int

    @property
    def outputs(self) -> list[str]:
        """The names of the columns that hold probabilities, or the value."""
        return [f"p.{name}" for name in self.task.classes or ("value",)]

    @property
    def folds(self) -> int:
        """How many are here."""
        return self.table["fold"].nunique()

    @property
    def labelled(self) -> pd.DataFrame:
        """The rows whose label is known."""
        return self.table[self.table["label"].notna()]

    def is_of(self, one: str) -> np.ndarray:
        """(N,) of the labelled cases: whether each is of a class, or has a label."""
        labels = self.labelled["label"]
        if self.task.kind == "multilabel":
            return np.array([one in parts(str(cell)) for cell in labels], dtype=bool)
        return (labels == one).to_numpy()

    def p(self, one: str) -> np.ndarray:
        """(N,) of the labelled cases: the probability of a class."""
        return self.labelled[f"p.{one}"].to_numpy(dtype=float)

    def wrong(self, one: str) -> np.ndarray:
        """(N,) of the labelled cases: whether the likeliest class, or the answer on a label, is wrong."""
        if self.task.kind == "multilabel":
            return (self.p(one) >= 0.5) != self.is_of(one)
        return (self.labelled["predicted"] != self.labelled["label"]).to_numpy()

    def certainty(self, one: str) -> np.ndarray:
        """(N,) of the labelled cases: the probability of what is answered."""
        if self.task.kind == "multilabel":
            return np.maximum(self.p(one), 1 - self.p(one))
        return self.labelled[self.outputs].to_numpy(dtype=float).max(axis=1)

    @property
    def errors(self) -> np.ndarray:
        """(N,) of the labelled cases of a regression: predicted minus known."""
        rows = self.labelled
        return (rows["p.value"] - rows["label"].astype(float)).to_numpy()


def held_out(model: str, runs: Sequence[Run], task: Task) -> HeldOut:
    """The held-out cases of a model's folds; InputError where the runs hold no answers to the task."""
    names = [f"{task.name}.{name}" for name in task.classes or ("value",)]
    said = f"{task.name}.predicted" if task.kind != "regression" else names[0]
    tables = []
    for run in runs:
        table = run.predictions
        lacking = {task.name, *names, said} - set(table)
        if lacking:
            raise InputError(
                f"{run.folder}/predictions.parquet lacks the columns {', '.join(sorted(lacking))}; "
                "carry out its recipe again."
            )
        table = table[table["split"] == "test"].set_index("id")
        about = {"group": table["group"], "fold": run.fold, "label": table[task.name]}
        told = {"predicted": table[said], **{f"p.{n.removeprefix(f'{task.name}.')}": table[n] for n in names}}
        tables.append(pd.DataFrame({**about, **told}))
    whole = pd.concat(tables).sort_index()
    asked = runs[0].about.get("only") or range(runs[0].about["folds"])
    return HeldOut(model, task, whole[~whole.index.duplicated()], len(asked))


def scores_of(one: HeldOut, **settings: int) -> pd.DataFrame:
    """`measures` of a model; settings: resamples, seed."""
    table = one.table.reset_index()
    classes, kind = one.task.classes, one.task.kind
    return measures(table, "label", one.outputs, classes, kind=kind, label=one.model, **settings)


def difference(one: HeldOut, other: HeldOut, **settings: int) -> pd.DataFrame:
    """Scores of one minus those of the other, on the labelled cases that both held out: as `measures`."""
    name, kind = f"{one.model} minus {other.model}", one.task.kind
    common = one.labelled.index.intersection(other.labelled.index, sort=False)
    own, others = one.table.loc[common], other.table.loc[common]
    if why := _apart(own, others):
        return not_estimable(name, why, 0, kind)
    rivals = [f"rival {column}" for column in other.outputs]
    table = own.assign(**dict(zip(rivals, others[other.outputs].to_numpy(dtype=float).T, strict=True)))
    found = measures(
        table, "label", one.outputs, one.task.classes,
        kind=kind, against=rivals, label="own", rival="other", **settings,
    )  # fmt: skip
    if found["estimate"].isna().all():
        return not_estimable(name, found["why"].iloc[0], len(table), kind)
    return found[found["group"] == "own minus other"].assign(group=name).reset_index(drop=True)


def _apart(own: pd.DataFrame, others: pd.DataFrame) -> str:
    """Why rows of the same ids are not the same cases; empty where they are."""
    if not len(own):
        return "no labelled case was held out by both"
    for column in ("label", "group"):
        differs = (own[column].astype(str) != others[column].astype(str)).to_numpy()
        if differs.any():
            what = "label" if column == "label" else "patient"
            return f"the cases are others: {own.index[differs][0]} has another {what} there"
    return ""


def beside(runs: Sequence[Run]) -> pd.DataFrame:
    """What training stored of logistic regression on the record beside a model; as `measures`.

    Groups: the regression's name, and "model minus" it. No rows where nothing is stored.
    """
    path = Path(runs[0].folder).parent / "metrics.csv"
    if not path.is_file():
        return pd.DataFrame(columns=COLUMNS)
    table = pd.read_csv(path)
    if not set(COLUMNS) <= set(table):
        return pd.DataFrame(columns=COLUMNS)
    table["why"] = table["why"].astype(object).fillna("")
    less = table["group"].astype(str).str.endswith(f" minus {NAME}")
    table = table.assign(group=table["group"].where(~less, f"model minus {NAME}"))
    return table.loc[table["group"].isin([NAME, f"model minus {NAME}"]) & table["estimate"].notna(), COLUMNS]


def _counted(truth: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct scores from the highest down, with how many cases of the class, and others, reach each."""
    order = np.argsort(-p, kind="stable")
    p, truth = p[order], truth[order].astype(bool)
    last = np.r_[np.flatnonzero(np.diff(p)), len(p) - 1]
    return p[last], np.cumsum(truth)[last], np.cumsum(~truth)[last]


def roc(truth: np.ndarray, p: np.ndarray) -> pd.DataFrame:
    """false_positive, true_positive, threshold (infinite first), along the curve.

    truth (N,): of the class or not; p (N,): its score. No rows where one of the two kinds is lacking.
    """
    columns = ["false_positive", "true_positive", "threshold"]
    if not len(p) or truth.all() or not truth.any():
        return pd.DataFrame(columns=columns, dtype=float)
    threshold, hits, alarms = _counted(truth, p)
    x, y = np.r_[0, alarms / alarms[-1]], np.r_[0, hits / hits[-1]]
    return pd.DataFrame(dict(zip(columns, (x, y, np.r_[np.inf, threshold]), strict=True)))


def below(curve: pd.DataFrame) -> float:
    """The area below an ROC curve; NaN where there is none."""
    return float(np.trapezoid(curve["true_positive"], curve["false_positive"])) if len(curve) else np.nan


def precision_recall(truth: np.ndarray, p: np.ndarray) -> pd.DataFrame:
    """recall, precision, threshold, from the highest threshold down; no rows where none is of the class."""
    if not len(p) or not truth.any():
        return pd.DataFrame(columns=["recall", "precision", "threshold"], dtype=float)
    threshold, hits, alarms = _counted(truth, p)
    recall, precision = hits / hits[-1], hits / (hits + alarms)
    return pd.DataFrame({"recall": recall, "precision": precision, "threshold": threshold})


def average_precision(curve: pd.DataFrame) -> float:
    """Mean precision, sum (R_k - R_k-1) P_k, over a precision-recall curve; NaN where there is none."""
    steps = np.diff(np.r_[0, curve["recall"]])
    return float(steps @ curve["precision"]) if len(curve) else np.nan


def risk_coverage(wrong: np.ndarray, certainty: np.ndarray) -> pd.DataFrame:
    """coverage, risk, certainty, one row for 1, 2, ... N most certain cases kept; shares.

    Among cases of one certainty errors lie evenly, which is the mean over their orders.
    """
    if not len(wrong):
        return pd.DataFrame(columns=["coverage", "risk", "certainty"], dtype=float)
    reached, errors, right = _counted(wrong, certainty)
    kept, n = np.arange(1, len(wrong) + 1), np.r_[0, errors + right]
    risk = np.interp(kept, n, np.r_[0, errors]) / kept
    level = reached[np.searchsorted(n[1:], kept)]
    return pd.DataFrame({"coverage": kept / len(wrong), "risk": risk, "certainty": level})


def limits_of_agreement(errors: np.ndarray) -> tuple[float, float, float]:
    """The mean error and mean -+ 1.96 SD, in the task's unit; the limits are NaN for fewer than two cases."""
    mean = float(errors.mean()) if len(errors) else np.nan
    reach = 1.96 * float(errors.std(ddof=1)) if len(errors) > 1 else np.nan
    return mean, mean - reach, mean + reach


def confusion(one: HeldOut, of: str = "") -> pd.DataFrame:
    """How often each label (rows) was predicted as each class (columns); counts of labelled cases.

    of: of several labels the one that is counted, as "with" and "without".
    """
    if one.task.kind == "multilabel":
        names = {True: f"with {of}", False: f"without {of}"}
        label = pd.Series(one.is_of(of)).map(names)
        predicted, order = pd.Series(one.p(of) >= 0.5).map(names), list(names.values())
    else:
        label, predicted, order = one.labelled["label"], one.labelled["predicted"], list(one.task.classes)
    square = pd.crosstab(label.to_numpy(), predicted.to_numpy())
    return square.reindex(index=order, columns=order, fill_value=0)
