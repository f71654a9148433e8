"""What a section of a study's results shows: pictures, why numbers are lacking, all numbers in a table."""

import re
from collections.abc import Iterable

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui

from studykit.catalog import InputError
from studykit.draw import (
    condition_looks,
    forest,
    legend,
    part_of_whole,
    reliability_dots,
    roc_curves,
    spoken,
    spread_boxes,
)
from studykit.trust import NotEstimable, Statistic, Study
from studykit.trust.auc import roc_curves as roc_points
from studykit.trust.results import first_readings, with_correct
from studykit.trust.trust_calibration import TrustCalibration, reliability
from studykit.ui.answers_view import BEFORE
from studykit.ui.plain import listed, safe

RELIANCE = {
    "RAIR": "Right aid taken, first answer wrong (RAIR)",
    "under-reliance": "Right aid left, first answer wrong (under-reliance)",
    "RSR": "Wrong aid left, first answer right (RSR)",
    "over-reliance": "Wrong aid taken, first answer right (over-reliance)",
    "switch fraction": "Aid taken, first answer another (switch fraction)",
    "agreement fraction": "Final answer is the aid's (agreement fraction)",
}
MEASURES = {"AUC": "AUC", "sensitivity": "Sensitivity", "specificity": "Specificity"}  # that are drawn
PERCENT = "percent agreement"  # is not beyond chance, so it stands last
ACROSS = 3  # columns of a forest
NAMES = 6  # that are listed before "and ... more"


def section(name: str, study: Study, rows: pd.DataFrame) -> pn.viewable.Viewable:
    """All of a section; rows: its `results`, some at least."""
    by_reader = of_readers(study, rows)
    drawn = PICTURES.get(name, forests)(study, rows[~by_reader])
    single = forests(study, rows[by_reader])
    parts = [pmui.FlexBox(*drawn, gap="28px", align_items="flex-start")]
    if single:
        box = pmui.FlexBox(*single, gap="28px", align_items="flex-start")
        parts.append(pmui.Details(box, title="Reader by reader", margin=(5, 10)))
    parts += [line(text) for text in lacking(rows)]
    return pmui.Column(*parts, numbers(rows), sizing_mode="stretch_width")


def of_readers(study: Study, rows: pd.DataFrame) -> pd.Series:
    """Which rows are of one reader or of a pair, not of all."""
    names = [str(reader) for reader in study.readers]
    begins = tuple(f"{before}{name}{after}" for name in names for before, after in (("", ", "), ("", ": ")))
    whole = {*names, *(f"reader {name}" for name in names)}
    groups = rows["group"].astype(str)
    return groups.isin(whole) | groups.str.startswith(begins)


def forests(study: Study, rows: pd.DataFrame, together: bool = False) -> list[pn.viewable.Viewable]:
    """The numbers that have an interval: a column each, a row for what they are of; together: on one axis."""
    told = rows[rows["low"].notna()]
    several, names = told["item"].nunique() > 1, []
    for item, condition, group in told[["item", "condition", "group"]].astype(str).itertuples(index=False):
        of = condition if group == "all" else group  # a group names its conditions itself
        names.append(", ".join([item] * (several or of == "all") + [of] * (of != "all")))
    told = told.assign(row=names, column=told["statistic"])
    alike: dict[tuple, list[str]] = {}  # numbers of the same things stand side by side
    for name, some in told.groupby("column", sort=False):
        alike.setdefault((nothing(name), *some["row"]), []).append(name)
    drawn = []
    for key, names in alike.items():
        for at in range(0, len(names), ACROSS):
            some = told[told["column"].isin(names[at : at + ACROSS])]
            drawn.append(picture(forest(some, key[0], together)))
    return drawn


def nothing(statistic: str) -> float:
    """Where a number says nothing: no difference, a ratio of 1, an area no better than chance."""
    words = set(re.findall(r"\w+", statistic))
    if words & {"difference", "change"}:
        return 0.0
    return 0.5 if words & {"AUC", "AUROC"} else 1.0 if words & {"ratio"} else 0.0


def agreement(study: Study, rows: pd.DataFrame) -> list[pn.viewable.Viewable]:
    """One forest on one axis, a column a condition."""
    told = rows[rows["low"].notna()]
    told = told.assign(row=named(told), column=told["condition"])
    told = told.sort_values("statistic", key=lambda names: names == PERCENT, kind="stable")
    return [picture(forest(told, together=True))] if len(told) else []


def conditions(study: Study, rows: pd.DataFrame) -> list[pn.viewable.Viewable]:
    """Means and their differences; variances stand in the table."""
    return forests(study, rows[rows["statistic"] != "variance"])


def accuracy(study: Study, rows: pd.DataFrame) -> list[pn.viewable.Viewable]:
    """ROC curves of scores; areas, sensitivity and specificity, and what conditions change in them."""
    drawn = [curve for item in study.of_role("score") if (curve := _roc(study, item.name))]
    for measure, title in MEASURES.items():
        some = rows[rows["statistic"].str.contains(rf"(?:^|mean ){measure}\b")]
        if len(some):
            drawn.append(pmui.Column(line(f"**{title}**"), *forests(study, some, together=True)))
    return drawn


def _roc(study: Study, item: str) -> pn.viewable.Viewable | None:
    """The readers' ROC curves with their legend; None where there are none (the table says why)."""
    table = pd.concat([study.before(item), study.table(item)], ignore_index=True)
    try:
        points = roc_points(first_readings(table), study.positive)
    except (NotEstimable, InputError):
        return None
    looks = condition_looks(sorted(points["condition"].unique(), key=lambda one: str(one).endswith(BEFORE)))
    return _with_key(roc_curves(points, looks, item), looks, "Thin: one reader. Thick: the readers' mean.")


def _with_key(drawn: hv.Overlay, looks: dict[object, tuple[str, str]], told: str = "") -> pmui.Column:
    """Curves over what their colours mean."""
    key = picture(legend(looks, {name: str(name) for name in looks}))
    return pmui.Column(pn.pane.HoloViews(drawn, linked_axes=False), key, line(told), width=390)


def reliance(study: Study, rows: pd.DataFrame) -> list[pn.viewable.Viewable]:
    """How often, of how many occasions: over all conditions with an aid, and in each."""
    drawn = []
    for (item, group), some in rows.groupby(["item", "group"], sort=False):
        cells = some.set_index("statistic")
        names = [name for name in RELIANCE if f"{name}, numerator" in cells.index]
        if not names:
            continue
        table = pd.DataFrame(
            {
                "row": [RELIANCE[name] for name in names],
                "part": [cells.at[f"{name}, numerator", "estimate"] for name in names],
                "whole": [cells.at[f"{name}, denominator", "estimate"] for name in names],
                "said": [_share(cells.loc[name]) for name in names],
            }
        )
        title = "all conditions with an aid" if group == "all" else group.removeprefix("condition ")
        drawn.append(pmui.Column(line(f"**{safe(item)}: {safe(title)}**"), picture(part_of_whole(table))))
    return drawn


def trust(study: Study, rows: pd.DataFrame) -> list[pn.viewable.Viewable]:
    """How often answers were right that were given with so much trust, condition by condition."""
    drawn = []
    looks = condition_looks([str(name) for name in study.conditions])
    for item in [*study.of_role("trust"), *study.of_role("trust in the aid")]:
        table, (low, high) = with_correct(study, item), item.ends
        if isinstance(table, NotEstimable):  # said below
            continue
        bins = []
        for condition in looks:
            some = table[table["condition"].astype(str) == condition]
            made = reliability(some, TrustCalibration(low, high))
            bins.append(made.assign(row=condition, estimate=made["share"], trust=made["rating"]))
        whole = pd.concat(bins, ignore_index=True)
        if whole["estimate"].notna().any():
            label = f"{item.name}, from {low:g} to {high:g}"
            dots = reliability_dots(whole, looks, label, (low, high) == (0, 1))
            drawn.append(_with_key(dots, {name: looks[name] for name in looks if name in set(whole["row"])}))
    return [*drawn, *forests(study, rows)]


def time(study: Study, rows: pd.DataFrame) -> list[pn.viewable.Viewable]:
    """How seconds lie in each condition, and what practice changes."""
    drawn = []
    for item in rows["item"].unique():
        table = first_readings(study.table(item)).rename(columns={"elapsed": "value"})
        table = table.assign(row=table["condition"].astype(str))
        boxes = spread_boxes(table, "s", condition_looks([*map(str, study.conditions)]))
        drawn.append(
            pmui.Column(line(f"**{safe(item)}: seconds, before and with the aid together**"), picture(boxes))
        )
    return [*drawn, *forests(study, rows)]


PICTURES = {
    "agreement": agreement,
    "conditions": conditions,
    "accuracy": accuracy,
    "reliance": reliance,
    "trust": trust,
    "time": time,
}


def named(rows: pd.DataFrame) -> pd.Series:
    """Numbers with what they are of, in one name."""
    alone = rows["group"].astype(str) == "all"
    told = rows["statistic"].where(alone, rows["statistic"] + ": " + rows["group"].astype(str))
    return told.where(rows["method"] != "intra_reader", "the same reader twice, " + told)


def lacking(rows: pd.DataFrame) -> list[str]:
    """Why numbers are not there, and what to be careful of with others, a line a reason."""
    told = rows[rows["why"] != ""]
    none, conditions = told["estimate"].isna(), set(rows["condition"].astype(str))
    return [
        "\n".join([f"**{title}**", "", *_reasons(told[which], conditions)])
        for title, which in (("Not estimable", none), ("To be careful with", ~none))
        if which.any()
    ]


def _reasons(rows: pd.DataFrame, conditions: set[str]) -> Iterable[str]:
    """A line a reason: of what, in which conditions where not in all, and why."""
    for why, some in rows.groupby("why", sort=False):
        told = []
        for statistic, alike in some.groupby("statistic", sort=False):
            of = [group for group in dict.fromkeys(alike["group"].astype(str)) if group != "all"]
            told.append(f"{statistic} of {_some(of)}" if of else statistic)
        where = list(dict.fromkeys(some["condition"].astype(str)))
        within = f" (in: {'; '.join(where)})" if set(where) < conditions else ""
        yield f"- {safe(f'{_some(told)}{within}')}: {safe(why)}"


def _some(names: list[str]) -> str:
    """Names in a list, the first of many."""
    if len(names) <= NAMES + 1:
        return listed(names)
    return f"{', '.join(names[:NAMES])} and {len(names) - NAMES} more"


def numbers(rows: pd.DataFrame) -> pn.viewable.Viewable:
    """All rows of a section, in a reader's words."""
    table = pd.DataFrame(
        {
            "question": rows["item"].astype(str),
            "condition": rows["condition"].astype(str),
            "by": [Statistic.catalogue[name].title for name in rows["method"]],
            "number": rows["statistic"],
            "of": rows["group"].astype(str),
            "estimate (95 % interval)": [
                _number(*row) for row in rows[["estimate", "low", "high"]].to_numpy()
            ],
            "n": rows["n"],
            "why": rows["why"],
        }
    )
    same = [name for name in ("question", "condition", "of", "why") if table[name].nunique() == 1]
    table = table.drop(columns=same)
    found = ("question", "condition", "by", "number", "of")
    shown = pn.widgets.Tabulator(
        table, show_index=False, disabled=True, pagination="local", page_size=12, theme="materialize",
        layout="fit_data_stretch", sizing_mode="stretch_width",
        header_filters={name: {"type": "input", "placeholder": "find"} for name in found if name in table},
    )  # fmt: skip
    return pmui.Column(line("**All numbers**"), shown, sizing_mode="stretch_width")


def _number(estimate: float, low: float, high: float) -> str:
    """A number with four digits that count, and its interval."""
    if np.isnan(estimate):
        return "–"
    return f"{estimate:.4g}" + ("" if np.isnan(low) else f" ({low:.4g} to {high:.4g})")


def _share(row: pd.Series) -> str:
    """A share with its interval, or why there is none."""
    return spoken(*row[["estimate", "low", "high"]]) if row["estimate"] == row["estimate"] else row["why"]


def line(text: str) -> pn.pane.Markdown:
    """A sentence or a list."""
    return pn.pane.Markdown(text, margin=(2, 10), max_width=1000, visible=bool(text))


def picture(drawn: str) -> pn.pane.HTML:
    """A picture that is drawn in HTML."""
    return pn.pane.HTML(drawn, margin=(5, 10))
