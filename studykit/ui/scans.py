"""The case's pictures with their outlines, and each of them again under a map.

Of a volume one slice is shown; one slider moves through all volumes of the case, whatever their depth.
"""

from functools import partial

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.draw import heat, outline, picture
from studykit.ui.plain import safe, shown
from studykit.ui.session import Session

# The slider moves the map's opacity in the browser, without asking the server.
SET_OPACITY = """
const walk = (model) => {
  for (const renderer of model.renderers ?? []) {
    if (renderer.name == 'heat') renderer.glyph.global_alpha = {value: source.value}
  }
  for (const child of model.children ?? []) walk(Array.isArray(child) ? child[0] : child)
}
walk(target)
"""


class Scans(pn.viewable.Viewer):
    """What views of one case share; they say by `map_of` what is laid over a picture."""

    session = param.ClassSelector(class_=Session)
    opacity = param.Number(default=0.7, bounds=(0, 1), step=0.05)
    slice = param.Integer(default=1, bounds=(1, 2), doc="of the deepest volume, counted from 1")
    _pictures = param.List(doc="name and kind of the image and volume modalities, in order")
    _volumes = param.Dict(default={}, doc="how many slices each volume has, by name")
    _seen = param.Tuple(default=("", "", "", 0), doc="what volumes follow: `shown`, and the slice")

    def __init__(self, session: Session, **params):
        self._opened = None  # the data set and the case whose slice the slider stands at
        super().__init__(session=session, **params)
        self._lay_out()

    def map_of(self, modality: str) -> tuple[np.ndarray, bool, float] | None:
        """The map of the case, ([D,] H, W), whether it is signed, where its colours end; None for no map."""
        raise NotImplementedError

    def titled(self, modality: str) -> str:
        """What stands over the picture under its map."""
        raise NotImplementedError

    @param.depends("session.shown", watch=True)
    def _lay_out(self) -> None:
        dataset = self.session.run.prepared.dataset
        self._volumes = {m.name: m.shape[1] for m in dataset.pictures if m.kind == "volume"}
        self._pictures = [(m.name, m.kind) for m in dataset.pictures]
        before, self._opened = self._opened, (dataset, self.session.case)
        if self._volumes and before != self._opened:  # another method keeps the slice
            self.param["slice"].bounds = (1, max(2, *self._volumes.values()))
            self.slice = self._first_slice()
        self._look()

    @param.depends("slice", watch=True)
    def _look(self) -> None:
        self._seen = (*self.session.shown, self.slice)

    def _first_slice(self) -> int:
        """Where most of the first outlined volume's finding is, else the middle."""
        for name, depth in self._volumes.items():
            area = self.session.scan(name)[1].sum(axis=(1, 2))  # (D,)
            if area.any():
                return 1 + round(int(area.argmax()) * self._step(depth))
        return (max(self._volumes.values()) + 1) // 2

    def _step(self, depth: int) -> float:
        """How many steps of the slider one slice of a volume with `depth` slices takes."""
        return (self.param["slice"].bounds[1] - 1) / max(1, depth - 1)

    @param.depends("session.shown")
    def heading(self) -> str:
        """Whose case it is and what is known of it."""
        session = self.session
        row = session.cases.set_index("id").loc[session.case]
        planted = session.run.prepared.dataset.planted(session.case)
        parts = [*self._answers(), f"group {safe(row['group'])}", f"held out in fold {row['fold']}"]
        truth = f"\n\nPlanted truth: {safe(planted)}" if planted else ""
        return f"### {safe(session.case)}\n{' · '.join(parts)}{truth}"

    def _answers(self) -> list[str]:
        """What is known and what is predicted, task by task."""
        run, parts = self.session.run, []
        row = run.predictions.set_index("id").loc[self.session.case]
        for task in run.schema.tasks:
            known = safe(shown(row[task.name])) if not pd.isna(row[task.name]) else "not labelled"
            name = "label" if len(run.schema.tasks) == 1 else safe(task.name)
            parts.append(f"{name} **{known}**")
            said = row.get(f"{task.name}.predicted", row.get(f"{task.name}.value"))
            if task.kind == "regression":
                parts.append(f"predicted **{said:.3g}**")
            elif said is not None:
                said = safe(said)
                wrong = " (wrong)" if known not in (said, "not labelled") else ""
                parts.append(f"predicted **{said}**{wrong}")
        return parts

    @param.depends("_pictures")
    def scans(self) -> hv.Layout:
        """Each picture with its outline, and again under the map; the zoom outlasts a new case."""
        if not self._pictures:
            return hv.Div("")
        views = []
        for name, kind in self._pictures:
            for mapped in (False, True):
                followed = self._followed(kind, mapped)
                views.append(hv.DynamicMap(pn.bind(partial(self._scan, name, mapped), *followed)))
        layout = hv.Layout().opts(toolbar="left", shared_axes=True)  # empty, else every frame is styled anew
        layout.update(hv.Layout(views))
        return layout.cols(2)

    def _followed(self, kind: str, mapped: bool) -> list[param.Parameter]:
        """With what a picture changes."""
        return [self.param._seen if kind == "volume" else self.session.param.shown]

    def _scan(self, modality: str, mapped: bool, *_) -> hv.Overlay:
        (values, mask), at, where = self.session.scan(modality), ..., ""
        if modality in self._volumes:
            depth = len(mask)
            at = min(round((self.slice - 1) / self._step(depth)), depth - 1)
            values, mask, where = values[:, at], mask[at], f", slice {at + 1} of {depth}"
        lacking = bool(np.isnan(values).all())
        base, line = picture(np.nan_to_num(values)), outline(mask)
        if not mapped:
            title = f"no {modality} in this case" if lacking else f"{modality} and reference outline{where}"
            return (base * line).opts(title=title)
        found = None if lacking else self.map_of(modality)
        if found is None:
            over = heat(np.zeros(mask.shape), False, 1.0, 0.0 if lacking else self.opacity)
            title = f"no {modality} in this case" if lacking else f"no map of the {modality}"
            return (base * over * line).opts(title=title)
        whole, signed, limit = found
        over = heat(whole[at], signed, limit, self.opacity)
        return (base * over * line).opts(title=self.titled(modality))

    def controls(self) -> tuple[pn.pane.HoloViews, list[pn.viewable.Viewable]]:
        """The pane of the pictures, and its sliders; hidden where there are none."""
        some = self.param._pictures.rx.bool()
        scans = pn.pane.HoloViews(self.scans, linked_axes=True, visible=some)
        opacity = pmui.FloatSlider.from_param(
            self.param.opacity, label="Opacity of the map", width=260, visible=some
        )
        opacity.jscallback(args={"target": scans}, value=SET_OPACITY)
        slices = pmui.IntSlider.from_param(
            self.param["slice"], label="Slice", width=260, visible=self.param._volumes.rx.bool()
        )
        return scans, [opacity, slices]
