"""One case under every stored method's map, and under those of every other model that held it out."""

from functools import partial

import holoviews as hv
import numpy as np
import panel as pn
import panel_material_ui as pmui
import param

from studykit.draw import mapped, pictured
from studykit.explain import store
from studykit.training import Run
from studykit.ui.measured import method_titles
from studykit.ui.plain import safe, sentence
from studykit.ui.scans import SET_OPACITY, Scans
from studykit.ui.session import Session, is_control

ALL = "all models of the folder"
WIDE = 5  # frames in a row


class GalleryView(Scans):
    """Works on a page and in a notebook cell: `GalleryView(Session("data/demo"))`. One zoom serves all."""

    modality = param.Selector(default="", objects=[""], doc="the picture that is shown")
    models = param.Selector(default="this model", objects=["this model", ALL], doc="whose maps are shown")
    _frames = param.Tuple(default=("", ()), doc="the modality, and the models with their methods, in order")
    _told = param.Tuple(default=("", ""), doc="the case, and what has no map in it, and why")
    _drawn = param.Tuple(default=("", "", "", 0), doc="model, case, modality and slice: what frames follow")

    def __init__(self, session: Session, **params):
        self._placed = None  # of which model, case and choices `_maps` are
        super().__init__(session=session, **params)

    @param.depends("session.shown", watch=True)
    def _lay_out(self) -> None:
        names = [m.name for m in self.session.run.prepared.dataset.pictures] or [""]
        self.param.modality.objects = names
        if self.modality not in names:
            self.modality = names[0]
        super()._lay_out()  # which looks

    @param.depends("slice", "modality", "models", watch=True)
    def _look(self) -> None:
        super()._look()
        model, case, _ = self.session.shown
        if self.modality in ["", *[name for name, _ in self._pictures]]:  # else another data set is under way
            drawn = (model, case, self.modality, self.slice)
            if self._placed != (model, case, self.modality, self.models):
                self._placed = (model, case, self.modality, self.models)
                there = self._place()
                if there != self._frames:  # new frames are made, and look by themselves
                    with param.parameterized.discard_events(self):
                        self._drawn = drawn
                    self._frames = there
            self._drawn = drawn

    def _place(self) -> tuple[str, tuple]:
        """What there is to show of the case, and the frames that it needs; a new case may need the same."""
        self._maps, told = {}, []
        shown = self.shown() if self.modality else {}
        keys = dict.fromkeys(method for run in shown.values() for method in store.methods(run))
        self._titles, self._common = method_titles(keys)
        for model, run in shown.items():
            laid = {m: self.session.laid(run, m, self.modality) for m in _ordered(run)}
            self._maps[model] = {m: found for m, found in laid.items() if not isinstance(found, str)}
            lacking = {m: why for m, why in laid.items() if isinstance(why, str)}
            told += [f"{safe(model)}, {safe(self._titles[m])}: {safe(why)}." for m, why in lacking.items()]
            if not laid:
                run_this = f"`python -m studykit explain {run.folder} --methods all`"
                told.append(sentence(f"Nothing explains '{model}' yet. Run {run_this} and reload the page."))
        there = tuple((model, tuple(maps)) for model, maps in self._maps.items())
        self._told = (self.session.case, "\n".join(f"- {line}" for line in told))
        return self.modality, there

    def shown(self) -> dict[str, Run]:
        """{model: the run that held the case out}, the session's model first."""
        session, found = self.session, {self.session.model: self.session.run}
        if self.models == ALL:
            source = session.run.about["dataset"]
            others = {name: runs[0].about["dataset"] for name, runs in session.runs.items()}
            same = [name for name, dataset in others.items() if dataset == source and name not in found]
            found |= {name: run for name in same if (run := session.run_of(name)) is not None}
        return found

    @param.depends("_frames")
    def gallery(self) -> hv.Layout | hv.Div:
        """A row of frames a model: the picture, then each map; a zoom outlasts a new case."""
        _, there = self._frames
        if not there:
            return hv.Div("")
        wide = min(WIDE, max(1 + len(methods) for _, methods in there))
        layout, frames = hv.Layout().opts(toolbar="left", shared_axes=True), []
        for model, methods in there:
            row = [self._followed_by(partial(self._frame, model, method)) for method in ("", *methods)]
            frames += row + [hv.Empty()] * (-len(row) % wide)
        layout.update(hv.Layout(frames))
        return layout.cols(wide)

    def _followed_by(self, drawn) -> hv.DynamicMap:
        return hv.DynamicMap(pn.bind(drawn, self.param._drawn))

    def _frame(self, model: str, method: str, _) -> hv.Overlay:
        """The picture of the case, under a model's map by a method, or with none for ""."""
        (values, mask), over, where = self.session.scan(self.modality), self._maps.get(model, {}), ""
        laid = over.get(method)
        if self.modality in self._volumes:
            at = min(round((self.slice - 1) / self._step(len(mask))), len(mask) - 1)
            values, mask, where = values[:, at], mask[at], f", slice {at + 1}"
            laid = laid and (laid[0][at], *laid[1:])
        name = f"{model}\n" if len(self._maps) > 1 else ""
        if np.isnan(values).all():
            return pictured(values, mask, f"{name}no {self.modality} in this case")
        if laid is None:
            table = self.session.cases_of(model).set_index("id")
            said = table["predicted"].get(self.session.case, "")
            return pictured(values, mask, f"{name}predicted: {said}{where}")
        return mapped(values, *laid, mask, f"{name}{self._titles[method]}", self.opacity)

    @param.depends("_told")
    def note(self) -> str:
        """What the colours mean, and what has no map, and why."""
        if not self.modality:
            return "These cases have no pictures."
        of = f" All are {self._common}." if self._common else ""
        colours = "Orange speaks for the class explained, blue against it; each map has its own scale."
        return f"{colours}{of}\n\n{self._told[1]}"

    def __panel__(self):
        """The choices over the frames."""
        some = self.param._pictures.rx.bool()
        frames = pn.pane.HoloViews(self.gallery, linked_axes=True, visible=some)
        opacity = pmui.FloatSlider.from_param(
            self.param.opacity, label="Opacity of the maps", width=220, visible=some
        )
        opacity.jscallback(args={"target": frames}, value=SET_OPACITY)
        slices = pmui.IntSlider.from_param(
            self.param["slice"], label="Slice", width=220, visible=self.param._volumes.rx.bool()
        )
        modality = pmui.Select.from_param(
            self.param.modality, label="Picture", width=160, size="small",
            visible=self.param._pictures.rx.len() > 1,
        )  # fmt: skip
        models = pmui.Select.from_param(self.param.models, label="Maps of", width=220, size="small")
        return pmui.Column(
            pmui.FlexBox(modality, models, opacity, slices),
            frames,
            pn.pane.Markdown(self.note, margin=(0, 10), max_width=900),
            sizing_mode="stretch_width",
        )


def _ordered(run: Run) -> list[str]:
    """The run's stored methods, controls last."""
    return sorted(sorted(store.methods(run)), key=is_control)
