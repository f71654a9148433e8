"""Which parts does a model lean on, over all cases? Columns and words ranked, pictures by region."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.case import Modality
from studykit.contribution import Contribution, painted
from studykit.datasets.text import words
from studykit.draw import modality_colors, part_bars, percent, region_map
from studykit.ui.contributed_case import regions_of
from studykit.ui.plain import safe
from studykit.ui.session import Session

MOST = 15  # bars at a time
LEAST = 3  # cases that must hold a word


class PartsView(pn.viewable.Viewer):
    """Of the session's model; `output` as `SharesView` takes it."""

    session = param.ClassSelector(class_=Session)
    output = param.String(allow_refs=True)

    def __init__(self, session: Session, **params):
        super().__init__(session=session, **params)

    @param.depends("session.model", "output")
    def figures(self) -> pmui.FlexBox:
        """One figure a modality."""
        session = self.session
        found = session.contributed(session.model, self.output)
        if isinstance(found, str):
            return pmui.FlexBox()
        schema = session.runs[session.model][0].schema
        return pmui.FlexBox(*(self._figure(found, schema.modality(m)) for m in found.modalities), gap="16px")

    def _figure(self, found: Contribution, modality: Modality) -> pn.viewable.Viewable:
        session, name = self.session, modality.name
        parts = found.per_part(name)
        color = modality_colors(session.modalities)[name]
        if parts.isna().any():
            return pn.pane.Markdown(f"{safe(name)}: nothing moved, so no part has a share.", width=330)
        regions = regions_of(found, modality) if modality.kind in ("image", "volume") else None
        if regions is not None:
            values = flat(painted(regions, parts.to_numpy()[None])[0, 0], regions.ids[0, 0].numpy())
            deep = ", all slices added up" if modality.kind == "volume" else ""
            side = np.broadcast_to(values, modality.shape[-2:])
            title = f"{name}: {percent(parts.sum())} by region{deep}"
            return pn.pane.HoloViews(region_map(side, title), linked_axes=False)
        if modality.kind == "text":
            texts = session.runs[session.model][0].prepared.dataset.cases[name]
            return self._words(found, name, texts, color)
        ranked = parts.sort_values(ascending=False, kind="stable")
        more = f", the {MOST} largest of {len(ranked)}" if len(ranked) > MOST else ""
        title = f"{name}: {percent(parts.sum())} by part{more}"
        bars = part_bars(ranked.head(MOST), title, "share of all that changed", color)
        return pn.pane.HoloViews(bars, linked_axes=False)

    def _words(
        self, found: Contribution, name: str, texts: Mapping[str, object], color: str
    ) -> pn.viewable.Viewable:
        told = found.about["parts"][name]
        if not isinstance(told, dict) or told["name"] != "words":
            return pn.pane.Markdown(f"{safe(name)}: it was not taken away word by word.", width=330)
        moved = words_moved(found, name, texts)
        if moved.empty:
            return pn.pane.Markdown(f"{safe(name)}: no word stands in {LEAST} cases or more.", width=330)
        title = f"{name}: {percent(found.per_part(name).sum())} by word, in {LEAST} cases or more"
        bars = part_bars(moved["change"].head(MOST), title, "mean change without the word", color)
        return pn.pane.HoloViews(bars, linked_axes=False)

    def __panel__(self):
        """The figures side by side, once the page stands."""
        return pmui.Column(pn.panel(self.figures, defer_load=True), sizing_mode="stretch_width")


def flat(values: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Values of parts painted into a volume (D, H, W), each part counted once along D: (H, W)."""
    if values.ndim == 2:
        return values
    new = np.ones(values.shape, dtype=bool)
    new[1:] = np.broadcast_to(ids, values.shape)[1:] != np.broadcast_to(ids, values.shape)[:-1]
    return np.where(new, values, 0.0).sum(axis=0)


def words_moved(found: Contribution, modality: str, texts: Mapping[str, object]) -> pd.DataFrame:
    """By word: change (the mean over where it stands of |difference|, summed over outputs) and cases.

    Words of fewer than 3 cases are left out; the largest change comes first. texts: {case: its text}.
    """
    size = np.abs(found.differences[modality]).sum(axis=2)  # (N, T), NaN where not asked
    there = ~found.same[modality]
    rows = [
        (word, size[at, place], case)
        for at, case in enumerate(found.ids)
        for place, word in enumerate(words(texts[case])[: size.shape[1]])
        if there[at, place]
    ]
    table = pd.DataFrame(rows, columns=["word", "change", "case"]).dropna().groupby("word")
    gathered = pd.DataFrame({"change": table["change"].mean(), "cases": table["case"].nunique()})
    return gathered[gathered["cases"] >= LEAST].sort_values("change", ascending=False, kind="stable")
