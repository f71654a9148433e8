"""What did the answer to this case hang on? Pictures, columns and words, with what changes without them."""

import html
from functools import lru_cache

import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param
import torch

from studykit.case import Modality
from studykit.contribution import Contribution, Cut, cut, painted
from studykit.datasets.text import places
from studykit.draw import color_limit, column_effects, marked_words, percent
from studykit.ui.address import link
from studykit.ui.plain import listed, listing, safe, sentence, shown
from studykit.ui.scans import Scans

ANSWERS = {"probability": "probability", "logit": "logit"}  # all else is called an answer


class ContributedCase(Scans):
    """The session's case. With an `output`, effects are signed: what a part adds to that answer.

    Over all outputs there is no sign: how much the answers change, summed.
    """

    output = param.String(allow_refs=True)

    @property
    def found(self) -> Contribution | None:
        """The model's contributions, if this case is among them."""
        found = self.session.contributed(self.session.model, self.output)
        return None if isinstance(found, str) or self.session.case not in found.ids else found

    def effects(self, modality: str) -> np.ndarray:
        """(h,): what each part adds to the output, or by how much its absence changes all of them."""
        change = self.found.case_parts(self.session.case, modality, self.output).to_numpy()
        return -change if self.output else change  # `change`: the answer without the part, less the answer

    @property
    def unit(self) -> str:
        """Of the effects."""
        answer = ANSWERS.get(self.found.about["output"], "answer")
        if self.output:
            return f"added to the {answer}"
        return f"change of the {answer}" + (", all classes" if len(self.found.outputs) > 1 else "")

    @param.depends("output", watch=True)
    def _answer_changed(self) -> None:
        self._lay_again()

    def map_of(self, modality: str) -> tuple[np.ndarray, bool, float] | None:  # noqa: D102
        found = self.found
        if found is None or modality not in found.modalities:
            return None
        about = self.session.run.schema.modality(modality)
        regions = regions_of(found, about)
        if regions is None:
            return None
        values = painted(regions, self.effects(modality)[None])[0, 0]
        return np.broadcast_to(values, about.shape[1:]), bool(self.output), largest(found, modality)

    def titled(self, modality: str) -> str:  # noqa: D102
        return f"{modality}: {self.unit}"

    @param.depends("session.shown", "output")
    def note(self) -> str:
        """The case's own shares, and what the colours mean; or why there is nothing."""
        session, found = self.session, self.found
        if found is None:
            told = session.contributed(session.model, self.output)
            if isinstance(told, str):
                return sentence(told)
            return sentence(
                "Nothing is stored for this case's fold. Run "
                f"`python -m studykit contributions {session.run.folder}` and reload the page."
            )
        shares = found.per_case().loc[session.case]
        told = [f"{safe(name)} **{percent(share)}**" for name, share in shares.items()]
        most = max(np.nanmax(np.abs(self.effects(name)), initial=0.0) for name in found.modalities)
        told = f"In this case: {listed(told)}; one part alone changes the answer by {most:.2g} at most."
        if shares.isna().any():
            told = "Nothing moved in this case: no part that was taken away changed the answer."
        unseen = [m.name for m in session.run.schema.modalities if m.name not in found.modalities]
        blind = f" This model does not look at the {safe(listed(unseen))}." if unseen else ""
        if not self.output:
            return f"{told}{blind} The stronger the orange, the more the answer changes without that part."
        raised = f"Orange raises *{safe(self.output)}*: without that part it is lower; blue lowers it."
        return f"{told}{blind} {raised}"

    @param.depends("session.shown", "output")
    def record(self) -> str:
        """The record's columns as bars, in HTML; the record as it stands where the model does not see it."""
        session, found = self.session, self.found
        dataset = session.run.prepared.dataset
        if not dataset.record:
            return ""
        row = dataset.cases.loc[session.case, list(dataset.record)]
        labels = {name: f"{name}: {shown(row[name])}" for name in dataset.record}
        if found is None or "record" not in found.modalities:
            return listing("Record", labels.values())
        values = dict(zip(found.parts["record"], self.effects("record"), strict=True))
        labels, limit = {part: labels.get(part, part) for part in values}, largest(found, "record")
        title = "Record: what each column added" if self.output else "Record: change without it"
        return column_effects(values, labels, limit, self.unit, title, bool(self.output))

    @param.depends("session.shown", "output")
    def texts(self) -> str:
        """Each text as it stands, its words on the colour of their effects, in HTML."""
        session, found, bodies = self.session, self.found, []
        dataset = session.run.prepared.dataset
        for name in dataset.texts:
            text, heading = dataset.cases.at[session.case, name], f"<b>{html.escape(name)}</b>"
            if pd.isna(text):
                bodies.append(f"<p>{heading}: none in this case</p>")
                continue
            effects = self.of_words(name, text) if found is not None and name in found.modalities else None
            if effects is None:
                bodies.append(f"<p>{heading} (no word effects here)<br>{html.escape(text)}</p>")
                continue
            body = marked_words(text, places(text), effects, largest(found, name))
            bodies.append(f"<p>{heading} ({self.unit})<br>{body}</p>")
        return "".join(bodies)

    def of_words(self, name: str, text: str) -> np.ndarray | None:
        """The effects of the text's words, as far as the model reads; None where parts are no words."""
        told = self.found.about["parts"][name]
        if not isinstance(told, dict) or told["name"] not in ("words", "whole"):
            return None
        read = min(len(places(text)), self.session.run.schema.modality(name).shape[0])
        effects = self.effects(name)
        return effects[:read] if told["name"] == "words" else np.repeat(effects, read)

    @param.depends("session.shown")
    def link(self) -> str:
        """To the same case on the Cases page; nothing in a notebook."""
        if pn.state.location is None:
            return ""
        return f"[Open this case on the Cases page]({link('cases', self.session)})"

    def __panel__(self):
        """Heading, the case's own shares, pictures with their sliders, then texts and record."""
        pictures, moving = self.controls()
        return pmui.Column(
            pn.pane.Markdown(self.heading, margin=(0, 10)),
            pn.pane.Markdown(self.note, margin=(0, 10), max_width=760),
            pmui.FlexBox(*moving),
            pictures,
            pn.pane.HTML(self.texts, max_width=760, margin=(0, 10)),
            pn.pane.HTML(self.record, margin=(8, 10)),
            pn.pane.Markdown(self.link, margin=(0, 10)),
            sizing_mode="stretch_width",
        )


def regions_of(found: Contribution, modality: Modality) -> Cut | None:
    """Where the parts of a picture lie, cut again; None where they were a mask that was given."""
    told = found.about["parts"][modality.name]
    if not isinstance(told, dict):
        return None
    return cut(told, torch.zeros(()).expand(1, *modality.shape), modality)


@lru_cache(maxsize=64)
def largest(found: Contribution, modality: str) -> float:
    """Where colours and bars end, alike for all cases: a table's largest effect, else as maps end."""
    size = np.nansum(np.abs(found.differences[modality]), axis=2)  # (N, h)
    return (float(size.max(initial=0.0)) or 1.0) if modality == "record" else color_limit(size)
