"""Where do models differ? ROC, precision-recall, calibration and risk-coverage; of a number, its errors."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui

from studykit.draw import Curve, chart, leaderboard, spread_boxes
from studykit.training.compared import (
    HeldOut,
    average_precision,
    below,
    limits_of_agreement,
    precision_recall,
    risk_coverage,
    roc,
)
from studykit.trust.trust_calibration import TrustCalibration, reliability

CURVES = (
    "Held-out cases, all folds together. Calibration: ten bins of equal width, a dot where cases lie and as "
    "large as there are many; of the open model with Wilson's interval over cases taken as independent, and "
    "how many cases there are at the foot. Risk-coverage: the share of errors if only the most certain "
    "cases were answered; AURC is its average. The dotted line of precision-recall is how many cases are of "
    "the class."
)
NUMBERS = (
    "Held-out cases, all folds together; errors are predicted minus known. Limits of agreement are the mean "
    "error and 1.96 standard deviations to both sides."
)
EMPTY = ["row", "column", "estimate", "low", "high", "why", "digits"]
SCALE = TrustCalibration(low=0, high=1)


def curves_of(
    there: Mapping[str, HeldOut], one: str, looks: Mapping[str, tuple[str, str]], chosen: str
) -> pn.viewable.Viewable:
    """Charts of some models' answers on one class, or of their errors where there are none; and numbers."""
    if one:
        drawn, facts = _of_class(there, one, looks, chosen)
        charts = pmui.FlexBox(*(pn.pane.HTML(svg, margin=4) for svg in drawn))
    else:
        drawn, facts = _of_number(there, looks)
        charts = pn.pane.HTML(drawn, margin=(5, 10))
    empty = pd.DataFrame(columns=EMPTY)
    table = leaderboard(empty, facts, {}, looks, chosen, label="Numbers behind the curves")
    apart = len({tuple(held.labelled.index) for held in there.values()}) > 1
    told = "These models held out different cases, so compare with care." if apart else ""
    return pmui.Column(
        charts,
        pn.pane.HTML(table, margin=(5, 10), sizing_mode="stretch_width"),
        pn.pane.Markdown(told, margin=(0, 10), visible=apart),
        sizing_mode="stretch_width",
    )


def calibration(held: HeldOut, one: str) -> pd.DataFrame:
    """`reliability` of a class's probabilities: chance (mean), share, low, high, n of each bin with cases."""
    rows = pd.DataFrame({"reader": np.nan, "case": held.labelled.index, "rating": held.p(one)})
    return reliability(rows.assign(correct=held.is_of(one)), SCALE)


def calibration_error(bins: pd.DataFrame) -> float:
    """Expected calibration error, sum n |mean probability - share| / N over bins; NaN without cases."""
    n = bins["n"].sum()
    return float(((bins["chance"] - bins["share"]).abs() * bins["n"]).sum() / n) if n else np.nan


def _of_class(
    there: Mapping[str, HeldOut], one: str, looks: Mapping[str, tuple[str, str]], chosen: str
) -> tuple[list[str], pd.DataFrame]:
    """The four charts, and the models' numbers."""
    lines = {name: [] for name in ("roc", "pr", "bins", "risk")}
    facts, shares = {}, []
    for name, held in there.items():
        truth, p = held.is_of(one), held.p(one)
        curves = roc(truth, p), precision_recall(truth, p), calibration(held, one)
        risk = risk_coverage(held.wrong(one), held.certainty(one))
        look = {"color": looks[name][0], "dash": looks[name][1], "width": 3.5 if name == chosen else 2}
        lines["roc"].append(Curve(name, curves[0]["false_positive"], curves[0]["true_positive"], **look))
        lines["pr"].append(Curve(name, *_steps(curves[1]), **look))
        lines["bins"].append(
            Curve(
                name, *(curves[2][c] for c in ("chance", "share")), **{**look, "width": 1.2},
                bold=name == chosen,
                **{c: curves[2][c].tolist() for c in ("low", "high", "n")},
            )
        )  # fmt: skip
        lines["risk"].append(Curve(name, risk["coverage"], risk["risk"], **look))
        shares.append(truth.mean() if len(truth) else np.nan)
        facts[name] = {
            "under": "",
            "AUROC": _short(below(curves[0])),
            "average precision": _short(average_precision(curves[1])),
            "calibration error (ECE)": _short(calibration_error(curves[2])),
            "Brier score": _short(((p - truth) ** 2).mean() if len(p) else np.nan),
            "AURC": _short(risk["risk"].mean()),
            "cases of it": f"{int(truth.sum()):,} of {len(truth):,}",
        }
    table = pd.DataFrame(facts).T
    return _charts(lines, one, table, shares), table


def _charts(lines: dict[str, list[Curve]], one: str, table: pd.DataFrame, shares: list[float]) -> list[str]:
    def told(name: str) -> str:
        return "; ".join(f"{model}: {name} {value}" for model, value in table[name].items())

    top = max([0.05, *(float(np.max(curve.y)) for curve in lines["risk"] if len(curve.y))])
    share = float(np.nanmean(shares)) if np.isfinite(shares).any() else np.nan
    chance = [(0, share, 1, share)] if share == share else []
    return [
        chart(
            f"ROC of {one}", "false positives, of all others", f"true positives, of all {one}",
            lines["roc"], told("AUROC"), rules=[(0, 0, 1, 1)],
        ),
        chart(
            f"Precision-recall of {one}", "recall", "precision", lines["pr"], told("average precision"),
            rules=chance,
        ),
        chart(
            f"Calibration of {one}", "predicted probability", "share that is", lines["bins"],
            told("calibration error (ECE)"), rules=[(0, 0, 1, 1)], ylim=(-0.09, 1.03),
        ),
        chart(
            "Risk-coverage", "share of cases that are answered", "errors among them", lines["risk"],
            told("AURC"), ylim=(0, 1.05 * top),
        ),
    ]  # fmt: skip


def _steps(curve: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Precision as the average takes it: at each recall that of the threshold which reaches it."""
    recall, precision = curve["recall"].to_numpy(), curve["precision"].to_numpy()
    return np.repeat(np.r_[0.0, recall], 2)[1:-1], np.repeat(precision, 2)


def _of_number(
    there: Mapping[str, HeldOut], looks: Mapping[str, tuple[str, str]]
) -> tuple[str, pd.DataFrame]:
    """How errors lie, a box a model, and their numbers."""
    errors = {name: held.errors for name, held in there.items()}
    table = pd.concat([pd.DataFrame({"row": name, "value": values}) for name, values in errors.items()])
    facts = {}
    for name, values in errors.items():
        mean, low, high = limits_of_agreement(values)
        facts[name] = {
            "under": "",
            "mean error": f"{mean:.3g}",
            "limits of agreement": f"{low:.3g} to {high:.3g}",
            "mean absolute error": f"{np.abs(values).mean():.3g}" if len(values) else "–",
            "cases": f"{len(values):,}",
        }
    return spread_boxes(table, "(predicted minus known)", looks), pd.DataFrame(facts).T


def _short(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"
