"""Two models on one case: both maps by one method, and where they differ."""

import html

import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.contribution import Contribution
from studykit.draw import percent
from studykit.draw.frames import Frames, Laid
from studykit.ui.plain import listed, safe, sentence
from studykit.ui.scans import BARE, Scans
from studykit.ui.session import title_of

THIS, OTHER, APART = "this", "other", "difference"
ROW = '<tr><th scope="row" style="text-align:left;padding:3px 16px 3px 0">{}</th>{}</tr>'


class TwoModelsView(Scans):
    """The session's model beside `against`, by the session's method; works in a notebook cell, too."""

    against = param.Selector(default="", objects=[""], doc="the other model, which held the case out, too")
    side = param.Integer(default=250)

    def _choose(self) -> None:
        session = self.session
        source = session.runs[session.model][0].about["dataset"]
        same = [name for name, runs in session.runs.items() if runs[0].about["dataset"] == source]
        others = [name for name in same if name != session.model] or [""]
        if self.param.against.objects != others:
            self.param.against.objects = others
        if self.against not in others:
            self.against = others[0]

    @param.depends("against", watch=True)
    def _other_chosen(self) -> None:
        self._lay_again()

    def _run_of(self, which: str):
        if which == THIS:
            return self.session.run
        return self.session.run_of(self.against) if self.against else None

    def map_of(self, modality: tuple[str, str]) -> Laid | None:
        """Of a picture: this model's map, the other's, or their difference, each in units of its scale."""
        name, which = modality
        if which == APART:
            if len(self._classes()) > 1:
                return None
            both = [self.laid((name, one)) for one in (THIS, OTHER)]
            if None in both:
                return None
            (one, _, limit), (two, _, other) = both
            return one / limit - two / other, True, 1.0
        if not self.against or (run := self._run_of(which)) is None or not self.session.method:
            return None
        laid = self.session.laid(run, self.session.method, name)
        return None if isinstance(laid, str) else laid

    def _classes(self) -> set[str]:
        """What the two maps speak for."""
        runs = [run for run in map(self._run_of, (THIS, OTHER)) if run is not None]
        said = [self.session.class_explained(run, self.session.method) for run in runs]
        return {name for name in said if name}

    def _keys(self, name: str) -> list[tuple[str, str]]:
        return [(name, which) for which in (THIS, OTHER, APART)]

    def _show(self, name: str, frames: Frames) -> None:
        values, mask, where = self.plane(name)
        names = {THIS: self.session.model, OTHER: self.against, APART: "this less the other, in their scales"}
        if np.isnan(values).all():
            frames.show(values, mask, {}, dict.fromkeys(frames.names, f"no {name} in this case"))
            return
        keys = self._keys(name)
        laid = {key: self.cut(key, name) for key in keys if self.laid(key)}
        titles = {key: names[key[1]] if key in laid else f"{names[key[1]]}: no map" for key in keys}
        frames.show(values, mask, laid, {BARE: f"{name}{where}", **titles})

    @param.depends("session.shown", "against")
    def note(self) -> str:
        """What is compared, or why nothing can be."""
        if not self.against:
            return "There is no other model of these cases here; train one on the same data set."
        if self.session.run_of(self.against) is None:
            return f"{safe(self.against)} did not hold this case out, so its map of it is not stored."
        if not self.session.method:
            run_this = f"`python -m studykit explain {self.session.folder}`"
            return sentence(f"Nothing explains these models yet. Run {run_this} and reload the page.")
        classes = sorted(map(safe, self._classes()))
        told = f"Both by {safe(title_of(self.session.method))}"
        told += f", for {listed(classes)}. " if classes else ". "
        if len(classes) > 1:
            told += "They speak for different classes, so no difference of them is drawn."
        else:
            told += "In the difference, orange is where the first model's map is stronger, blue the other's; "
            told += "each map is divided by where its colours end."
        lacking = [
            which for which in (THIS, OTHER) if not any(self.laid((n, which)) for n, _ in self._pictures)
        ]
        if lacking and self._pictures:
            models = " and ".join(
                safe(self.session.model if one == THIS else self.against) for one in lacking
            )
            told += f" There is no map of {models} by this method."
        return told

    @param.depends("session.shown", "against")
    def numbers(self) -> str:
        """What both models say of the case and what they lean on, as a table in HTML."""
        session = self.session
        rows = [session.cases_of(name).set_index("id") for name in (session.model, self.against) if name]
        if len(rows) < 2 or session.case not in rows[1].index:
            return ""
        one, two = (table.loc[session.case] for table in rows)
        head = "".join(
            f'<th scope="col" style="text-align:left;padding-right:16px">{html.escape(name)}</th>'
            for name in (session.model, self.against)
        )
        lines = [("label", one["label"], two["label"]), ("predicted", one["predicted"], two["predicted"])]
        task = session.run.schema.tasks[0]
        of = task.classes[1] if task.kind == "binary" else "the class predicted"
        lines += [
            (said, _number(one[name]), _number(two[name]))
            for name, said in (("p", f"probability of {of}"), ("uncertainty", "doubt"))
        ]
        shares = [self._shares(name) for name in (session.model, self.against)]
        for name in session.modalities:
            if any(name in of for of in shares):
                lines.append((f"share of the {name}", *(percent(of.get(name, np.nan)) for of in shares)))
        cells = [
            ROW.format(
                html.escape(name), "".join(f"<td>{html.escape(str(value))}</td>" for value in (first, second))
            )
            for name, first, second in lines
        ]
        return f"<table><tr><td></td>{head}</tr>{''.join(cells)}</table>"

    def _shares(self, model: str) -> dict[str, float]:
        """What the case's answer hangs on, by modality, where it is stored."""
        found = self.session.contributed(model)
        if not isinstance(found, Contribution) or self.session.case not in found.ids:
            return {}
        return found.per_case().loc[self.session.case].to_dict()

    def __panel__(self):
        """The choices, the pictures, then the numbers."""
        pictures, moving = self.controls()
        method = pmui.Select.from_param(self.session.param.method, label="Method", width=420, size="small")
        against = pmui.Select.from_param(self.param.against, label="Beside", width=300, size="small")
        return pmui.Column(
            pn.pane.Markdown(self.heading, margin=(0, 10)),
            pmui.FlexBox(against, method, *moving),
            pictures,
            pn.pane.Markdown(self.note, margin=(0, 10), max_width=900),
            pn.pane.HTML(self.numbers, margin=(8, 10)),
            sizing_mode="stretch_width",
        )


def _number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"
