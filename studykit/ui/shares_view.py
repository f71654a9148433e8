"""What does each model lean on? One bar a modality with its interval, model by model."""

from functools import lru_cache

import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.case import Modality
from studykit.catalog import build
from studykit.contribution import Contribution, Parts, Patches
from studykit.contribution.contribution import COLLAPSED
from studykit.draw import modality_colors, percent, share_bars
from studykit.draw.shares import DIAMOND
from studykit.training import Run
from studykit.ui.badge import badge
from studykit.ui.plain import listed, safe, sentence
from studykit.ui.session import Session


class SharesView(pn.viewable.Viewer):
    """A card a model of the folder; `output` is one that is answered, or "" for all together."""

    session = param.ClassSelector(class_=Session)
    output = param.String(allow_refs=True)

    def __init__(self, session: Session, **params):
        super().__init__(session=session, **params)

    def introduction(self) -> str:
        """What the bars say."""
        told = (
            "Each part of a case is taken away, one at a time, and the change of the model's answer noted. "
            "A modality's share is what its parts changed, of all that was changed, over all held-out cases; "
            "the line is its 95 % interval over patients. *Unimodal collapse*: the whole interval of one "
            f"modality lies above {percent(COLLAPSED)}."
        )
        if not any(runs[0].prepared.dataset.simulated for runs in self.session.runs.values()):
            return told
        return f"{told} {DIAMOND} is what was planted: the share of drawn cases whose label shows there."

    @param.depends("output")
    def cards(self) -> pmui.FlexBox:
        """One card a model."""
        cards = [self._card(model) for model in self.session.runs]
        return pmui.FlexBox(*cards, gap="12px", margin=(0, 10, 12, 10))

    def table(self) -> pd.DataFrame | str:
        """The shares of all models that have some; a sentence that says what to run where none has."""
        found = {model: self.session.contributed(model, self.output) for model in self.session.runs}
        tables = [one.table().assign(model=model) for model, one in found.items() if not isinstance(one, str)]
        return pd.concat(tables, ignore_index=True) if tables else next(iter(found.values()))

    def _card(self, model: str) -> pmui.Paper:
        """The model's name and marks, how it was asked, and its bars or why there are none."""
        session = self.session
        found = session.contributed(model, self.output)
        marks = [_line(f"**{safe(model)}**")]
        if session.runs[model][0].prepared.dataset.simulated:
            marks.append(badge("Phantom"))
        if isinstance(found, str):
            body = [_line(sentence(found), width=450)]
        else:
            body = self._bars(model, found)
            if collapsed := alone(found):
                marks.append(badge(f"unimodal collapse: {collapsed}"))
        return pmui.Paper(
            pmui.FlexBox(*marks, align_items="center"), *body, width=480, margin=0, elevation=0,
            sx={"p": 1.5, "border": "1px solid", "borderColor": "divider"},
        )  # fmt: skip

    def _bars(self, model: str, found: Contribution) -> list[pn.viewable.Viewable]:
        session, shares = self.session, overall(found)
        cases = f"{len(found.ids)} cases of {len(set(found.groups))} patients, {self._folds(model, found)}"
        lines = [f"{asked(found, session.runs[model][0])}; {safe(cases)}."]
        if len(found.modalities) == 1:
            lines.append(f"This model sees the {safe(found.modalities[0])} alone: all of it is its share.")
        lacks = "bar" if shares["estimate"].isna().any() else "interval"
        lines += [f"No {lacks}: {safe(why)}." for why in shares["why"].unique() if why]
        told = _line(" ".join(lines), width=450, styles={"font-size": "0.85em"})
        if lacks == "bar":
            return [told]
        bars = share_bars(shares, modality_colors(session.modalities), self.planted(model, found))
        return [told, pn.pane.HTML(bars, margin=(8, 4))]

    def _folds(self, model: str, found: Contribution) -> str:
        """Of which folds the cases are."""
        session = self.session
        there = session.cases_of(model).set_index("id")["fold"]
        folds = sorted(set(there[found.ids]))
        without = sorted(set(there) - set(folds))
        named = f"fold{'s' if len(folds) > 1 else ''} {listed(folds)}"
        return f"{named} (nothing is stored for {listed(without)})" if without else named

    def planted(self, model: str, found: Contribution) -> dict[str, float]:
        """{modality: share of the cases whose label shows there}; empty for real cases."""
        evidence = self.session.evidence(model)
        where = [evidence[case] for case in found.ids]
        if not any(where):
            return {}
        return {name: sum(name in shown for shown in where) / len(where) for name in found.modalities}

    def __panel__(self):
        """The introduction over the cards."""
        return pmui.Column(
            pn.pane.Markdown(self.introduction(), margin=(0, 10), max_width=1100),
            self.cards,
            sizing_mode="stretch_width",
        )


@lru_cache(maxsize=64)
def overall(found: Contribution) -> pd.DataFrame:
    """The shares over all outputs that `found` holds, with intervals over patients."""
    table = found.table()
    return table[table["statistic"] == "contribution"]


@lru_cache(maxsize=64)
def alone(found: Contribution) -> str:
    """The modality that alone decides, or ""."""
    return found.collapse()


def _line(text: str, **settings) -> pn.pane.Markdown:
    """Markdown without the paragraph's own margin."""
    return pn.pane.Markdown(text, margin=(2, 4), stylesheets=["p {margin: 0}"], **settings)


def asked(found: Contribution, run: Run) -> str:
    """How the model was asked: its parts, what was filled in for them, and which answer was noted."""
    about, fills = found.about, {}
    parts = [f"{name} {_cut(about['parts'][name], run.schema.modality(name))}" for name in found.modalities]
    for name in found.modalities:
        told = about["fill"][name]
        words = map(str, told.values()) if isinstance(told, dict) else [told]
        fills.setdefault(" ".join(words).replace("_", " "), []).append(name)
    filled = ", ".join(w if len(fills) == 1 else f"{w} ({listed(names)})" for w, names in fills.items())
    drawn = f"; {about['sampled']} parts drawn of each case and modality" if about["sampled"] else ""
    return safe(f"Parts: {', '.join(parts)}; fill: {filled}; answer: {about['output']}{drawn}")


def _cut(told: object, modality: Modality) -> str:
    """How a modality was cut, in words."""
    if not isinstance(told, dict):
        return f"by {told}"
    parts = build(Parts, told)
    if isinstance(parts, Patches):
        unit = "pixels" if modality.kind == "image" else "voxels"
        return f"in patches of {' × '.join(map(str, parts.sides(modality.shape[1:])))} {unit}"
    words = {"whole": "in one piece", "columns": "by column", "words": "word by word"}
    return words.get(parts.name, parts.name)
