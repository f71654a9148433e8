"""The case's pictures with their outlines, and each of them again under a map.

Of a volume one slice is shown, or the largest value along each line of sight; one slider moves through all
volumes of the case, whatever their depth.
"""

import uuid

import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.draw.frames import Frames, Laid
from studykit.ui.plain import safe, shown
from studykit.ui.session import Session

# The slider moves the opacity of its view's maps in the browser, without asking the server.
SET_OPACITY = """
for (const model of cb_obj.document._all_models.values()) {
  if (model.name == 'heat' && model.glyph.tags.includes(tag)) model.glyph.global_alpha = {value: source.value}
}
"""
SLICE, MAXIMUM = "one slice", "maximum intensity"
BARE = "bare"
MAP = "map of "


class Scans(pn.viewable.Viewer):
    """What views of one case share; they say by `map_of` what is laid over a picture."""

    session = param.ClassSelector(class_=Session)
    opacity = param.Number(default=0.7, bounds=(0, 1), step=0.05)
    slice = param.Integer(default=1, bounds=(1, 2), doc="of the deepest volume, counted from 1")
    through = param.Selector(default=SLICE, objects=[SLICE, MAXIMUM], doc="how a volume is looked at")
    side = param.Integer(default=330, doc="of a picture on the screen, pixels")
    looked_at = param.Boolean(default=True, doc="pictures of what is not looked at stand still")
    _pictures = param.List(doc="name and kind of the image and volume modalities, in order")
    _volumes = param.Dict(default={}, doc="how many slices each volume has, by name")

    def __init__(self, session: Session, **params):
        self._opened = None  # the data set and the case whose slice the slider stands at
        self._drawn, self._panes, self._laid, self._flat = {}, [], {}, {}
        self._moving, self.tag, self.ranges = False, uuid.uuid4().hex, None
        super().__init__(session=session)
        self._lay_out()
        self.param.update(**params)  # now that it is offered

    def map_of(self, modality: str) -> Laid | None:
        """The map of the case, ([D,] H, W), whether it is signed, where its colours end; None for no map."""
        raise NotImplementedError

    def titled(self, modality: str) -> str:
        """What stands over the picture under its map."""
        raise NotImplementedError

    @param.depends("session.shown", watch=True)
    def _lay_out(self) -> None:
        dataset = self.session.run.prepared.dataset
        self._laid, self._flat, self._moving = {}, {}, True
        self._choose()
        self._volumes = {m.name: m.shape[1] for m in dataset.pictures if m.kind == "volume"}
        before, self._opened = self._opened, (dataset, self.session.case)
        if self._volumes and before != self._opened:  # another method keeps the slice
            self.param["slice"].bounds = (1, max(2, *self._volumes.values()))
            self.slice = self._first_slice()
        self._pictures = [(m.name, m.kind) for m in dataset.pictures]
        self._moving = False
        self._fill()

    def _choose(self) -> None:
        """What else a view offers for these cases, chosen anew where it must be."""

    @param.depends("slice", "through", watch=True)
    def _scroll(self) -> None:
        if not self._moving:
            self._fill(self._volumes)

    def _lay_again(self) -> None:
        """Where other maps than before are laid over the same pictures."""
        if not self._moving:
            self._laid = {}
            self._flat = {key: seen for key, seen in self._flat.items() if not key.startswith(MAP)}
            self._fill()

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
        row = of_case(session.cases, session.case)
        planted = session.run.prepared.dataset.planted(session.case)
        parts = [*self._answers(), f"group {safe(row['group'])}", f"held out in fold {row['fold']}"]
        truth = f"\n\nPlanted truth: {safe(planted)}" if planted else ""
        return f"### {safe(session.case)}\n{' · '.join(parts)}{truth}"

    def _answers(self) -> list[str]:
        """What is known and what is predicted, task by task."""
        run, parts = self.session.run, []
        row = of_case(run.predictions, self.session.case)
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
    def pictures(self) -> pn.viewable.Viewable:
        """Each picture with its outline, and again under the map; the zoom outlasts a new case."""
        ranges, self._drawn = self.ranges, {}
        for name, _ in self._pictures:
            names = [BARE, *self._keys(name)]
            self._drawn[name] = Frames(names, [BARE], self.side, self.opacity, self.tag, ranges)
            ranges = self._drawn[name].ranges
        self._fill()
        return self._placed([figure for frames in self._drawn.values() for figure in frames.figures.values()])

    def _keys(self, name: str) -> list:
        """The maps that are laid over a picture, as `map_of` takes them."""
        return [name]

    def _placed(self, figures: list) -> pn.viewable.Viewable:
        self._panes = [pn.pane.Bokeh(figure, margin=2) for figure in figures]
        return pmui.FlexBox(*self._panes, gap="4px", margin=(0, 6), justify_content="flex-start")

    @param.depends("looked_at", watch=True)
    def _come_back(self) -> None:
        if self.looked_at:
            self._fill()

    def _fill(self, names=None) -> None:
        """Show the case as it is now in the frames that stand, of some pictures or of all."""
        if self._moving or not self.looked_at:
            return
        for name in [name for name, _ in self._pictures if names is None or name in names]:
            if name in self._drawn:
                self._show(name, self._drawn[name])
        self._push()

    def _push(self) -> None:
        pn.io.push_notebook(*self._panes)  # a notebook's cells are told so; pages know

    def _show(self, name: str, frames: Frames) -> None:
        values, mask, where = self.plane(name)
        lacking = bool(np.isnan(values).all())
        told = {BARE: f"{name} and reference outline{where}", name: f"no map of the {name}"}
        if lacking:
            told = dict.fromkeys(told, f"no {name} in this case")
        laid = {} if lacking else {key: self.cut(key) for key in [name] if self.laid(key)}
        if laid:
            told[name] = self.titled(name)
        frames.show(values, mask, laid, told)

    def laid(self, key: str) -> Laid | None:
        """What `map_of` gives, asked once a case."""
        if key not in self._laid:
            self._laid[key] = self.map_of(key)
        return self._laid[key]

    def plane(self, name: str) -> tuple[np.ndarray, np.ndarray, str]:
        """What is seen of a picture: (C, H, W), its outline (H, W), and which slice, in words."""
        values, mask = self.session.scan(name)
        if name not in self._volumes:
            return values, mask, ""
        if self.through == MAXIMUM:
            return *self._seen_through(name, lambda: (values.max(axis=1), mask.any(axis=0))), ", maximum"
        at = self._at(name)
        return values[:, at], mask[at], f", slice {at + 1} of {self._volumes[name]}"

    def cut(self, key: str, name: str = "") -> Laid:
        """The map `key` as it is seen: a volume's slice, or what is furthest from none along each line."""
        values, signed, limit = self.laid(key)
        name = name or key
        if name not in self._volumes:
            return values, signed, limit
        if self.through == MAXIMUM:
            return self._seen_through(f"{MAP}{key}", lambda: furthest(values)), signed, limit
        return values[self._at(name)], signed, limit

    def _seen_through(self, key: str, made):
        """Kept for the case, since it looks at a whole volume."""
        if key not in self._flat:
            self._flat[key] = made()
        return self._flat[key]

    def _at(self, name: str) -> int:
        depth = self._volumes[name]
        return min(round((self.slice - 1) / self._step(depth)), depth - 1)

    def controls(self) -> tuple[pn.viewable.Viewable, list[pn.viewable.Viewable]]:
        """The pictures, and what moves them; hidden where there are none."""
        some, deep = self.param._pictures.rx.bool(), self.param._volumes.rx.bool()
        pictures = pn.panel(self.pictures, sizing_mode="stretch_width")
        opacity = pmui.FloatSlider.from_param(
            self.param.opacity, label="Opacity of the map", width=220, visible=some
        )
        opacity.jscallback(args={"tag": self.tag}, value=SET_OPACITY)
        slices = pmui.IntSlider.from_param(
            self.param["slice"], label="Slice", width=220, visible=deep,
            disabled=self.param.through.rx() == MAXIMUM,
        )  # fmt: skip
        through = pmui.RadioButtonGroup.from_param(
            self.param.through, label="Volume", size="small", visible=deep, margin=(12, 10)
        )
        return pictures, [opacity, slices, through]


def furthest(values: np.ndarray) -> np.ndarray:
    """Of values (D, H, W), along D, the one that is furthest from 0, with its sign: (H, W)."""
    high, low = np.nanmax(values, axis=0, initial=0.0), np.nanmin(values, axis=0, initial=0.0)
    return np.where(high >= -low, high, low)


def of_case(table: pd.DataFrame, case: str) -> pd.Series:
    """The row of a case that is there, by its id."""
    return table.iloc[int((table["id"] == case).to_numpy().argmax())]
