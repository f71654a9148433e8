"""One case under every stored method's map, of one model or of several that held it out, zoomed together."""

import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.draw.frames import Frames, Laid
from studykit.explain import store
from studykit.training import Run
from studykit.ui.measured import method_titles
from studykit.ui.plain import safe, sentence
from studykit.ui.scans import BARE, Scans, of_case
from studykit.ui.session import Session, is_aside, title_of

MOST = 48  # frames at a time


class GalleryView(Scans):
    """Works on a page and in a notebook cell: `GalleryView(Session("data/demo"))`; one zoom serves all."""

    modality = param.Selector(default="", objects=[""], doc="the picture that is shown")
    models = param.ListSelector(default=[], objects=[], doc="beside the session's: whose maps are shown")
    methods = param.ListSelector(default=[], objects={}, doc="whose maps are shown; all where none is chosen")
    side = param.Integer(default=190)
    _rows = param.Tuple(default=("", ()), doc="the picture, and the models with their methods, in order")
    _told = param.Tuple(default=("", ""), doc="the case, and what has no map in it, and why")

    def __init__(self, session: Session, **params):
        self._offered = {}
        super().__init__(session, **params)

    def _choose(self) -> None:
        pictures = [m.name for m in self.session.run.prepared.dataset.pictures] or [""]
        self._offer("modality", pictures)
        if self.modality not in pictures:
            self.modality = pictures[0]
        others = [name for name in self._of_these_cases() if name != self.session.model]
        self._offer("models", others)
        self.models = [name for name in self.models if name in others]

    def _offer(self, name: str, objects) -> None:
        if self._offered.get(name) != objects:
            self._offered[name] = self.param[name].objects = objects

    def _of_these_cases(self) -> list[str]:
        """The models of the same data set."""
        session = self.session
        source = session.runs[session.model][0].about["dataset"]
        return [name for name, runs in session.runs.items() if runs[0].about["dataset"] == source]

    @param.depends("modality", "models", "methods", watch=True)
    def _others_chosen(self) -> None:
        self._lay_again()

    def shown(self) -> dict[str, Run]:
        """{model: the run that held the case out}, the session's model first."""
        session, found = self.session, {self.session.model: self.session.run}
        return found | {name: run for name in self.models if (run := session.run_of(name)) is not None}

    def _fill(self, names=None) -> None:
        """Show the case as it is now; new frames are made where it takes others than those that stand."""
        if self._moving or not self.looked_at or (names is not None and self.modality not in names):
            return
        before = self._rows
        if names is None:
            self._place()
        stand = before == self._rows == self._drawn.get("rows")  # else new ones were filled as they were made
        if self.modality and stand:
            self._show(self.modality, self._drawn["frames"])
        self._push()

    def _place(self) -> None:
        """What there is to show of the case, and the frames that it needs; a new case may need the same."""
        told, rows = [], []
        shown = self.shown() if self.modality else {}
        stored = {model: store.methods(run) for model, run in shown.items()}
        keys = dict.fromkeys(method for there in stored.values() for method in there)
        self._titles, self._common = method_titles(keys)
        self._offer("methods", {title_of(key): key for key in keys})
        chosen = [method for method in self.methods if method in keys]
        if chosen != self.methods:
            self._moving = True  # they are being looked at already
            self.methods = chosen
            self._moving = False
        self._found, room = {}, MOST
        for model, run in shown.items():
            ordered = sorted(stored[model], key=is_aside)  # controls last
            wanted = [m for m in ordered if not self.methods or m in self.methods]
            found = {m: self.session.laid(run, m, self.modality) for m in wanted}
            for method, laid in found.items():
                if isinstance(laid, str):
                    told.append(f"{safe(model)}, {safe(self._titles[method])}: {safe(laid.rstrip('.'))}.")
            there = [m for m in wanted if not isinstance(found[m], str)][: max(room, 0)]
            room -= len(there)
            self._found |= {(model, m): found[m] for m in there}
            rows.append((model, tuple(there)))
            if not stored[model]:
                run_this = f"`python -m studykit explain {run.folder} --methods all`"
                told.append(sentence(f"Nothing explains '{model}' yet. Run {run_this} and reload the page."))
        if room <= 0:
            told.append(f"At most {MOST} maps are shown at a time; choose fewer models or methods.")
        self._told = (self.session.case, "\n".join(f"- {line}" for line in told))
        self._rows = (self.modality, tuple(rows))

    def map_of(self, modality: tuple[str, str]) -> Laid | None:
        """Of a model by a method."""
        return self._found.get(modality)

    @param.depends("_rows")
    def pictures(self) -> pn.viewable.Viewable:
        """The picture, then a row of maps a model; a zoom outlasts a new case."""
        modality, rows = self._rows
        keys = [(model, method) for model, methods in rows for method in methods]
        self._drawn = {"rows": self._rows}
        frames = Frames([BARE, *keys], [BARE], self.side, self.opacity, self.tag, self.ranges)
        self._drawn["frames"] = frames
        if modality:
            self._show(modality, frames)
        if not rows:
            return self._placed([])
        parts = [frames.figures[key] for key in [BARE, *keys]]
        if len(rows) == 1:
            return self._placed(parts)
        lines, self._panes = [self._placed([frames.figures[BARE]])], []
        panes = []
        for model, methods in rows:
            lines.append(
                pn.pane.Markdown(pn.bind(self._said, model, self.param._told), margin=(6, 10, 0, 10))
            )
            lines.append(self._placed([frames.figures[model, method] for method in methods]))
            panes += self._panes
        self._panes += panes
        return pmui.Column(*lines, sizing_mode="stretch_width")

    def _said(self, model: str, _) -> str:
        """A model's name and what it says of the case."""
        if self.session.run_of(model) is None:
            return f"**{safe(model)}** did not hold this case out"
        row = of_case(self.session.cases_of(model), self.session.case)
        wrong = " (wrong)" if row["wrong"] else ""
        sure = f", probability {row['p']:.2f}" if not pd.isna(row["p"]) else ""
        return f"**{safe(model)}** predicted **{safe(row['predicted'])}**{wrong}{sure}"

    def _show(self, name: str, frames: Frames) -> None:
        values, mask, where = self.plane(name)
        if pd.isna(values).all():
            frames.show(values, mask, {}, dict.fromkeys(frames.names, f"no {name} in this case"))
            return
        keys = [key for key in frames.names if key != BARE and self.laid(key)]
        titles = {key: self._titles[key[1]] for key in keys}
        frames.show(
            values, mask, {key: self.cut(key, name) for key in keys}, {BARE: f"{name}{where}", **titles}
        )

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
        pictures, moving = self.controls()
        modality = pmui.Select.from_param(
            self.param.modality, label="Picture", width=160, size="small",
            visible=self.param._pictures.rx.len() > 1,
        )  # fmt: skip
        models = pmui.MultiChoice.from_param(self.param.models, label="Models beside it", width=330)
        methods = pmui.MultiChoice.from_param(self.param.methods, label="Methods (all)", width=330)
        return pmui.Column(
            pn.pane.Markdown(self.heading, margin=(0, 10)),
            pmui.FlexBox(modality, models, methods, *moving),
            pictures,
            pn.pane.Markdown(self.note, margin=(0, 10), max_width=900),
            sizing_mode="stretch_width",
        )
