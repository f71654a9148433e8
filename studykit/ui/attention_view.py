"""What passed the gates, over all cases and in one: coefficients, what holding them costs, and the map."""

import numpy as np
import panel as pn
import panel_material_ui as pmui
import param

from studykit.catalog import build
from studykit.explain import Explainer, store
from studykit.ui.gates_view import GatesView
from studykit.ui.measured import taps_of
from studykit.ui.part_title import part_title
from studykit.ui.plain import safe, sentence
from studykit.ui.scans import Scans
from studykit.ui.session import Session, title_of
from studykit.ui.takeaway import takeaway

FROM_WITHIN = ("attention", "class_evidence")


class AttendedCase(Scans):
    """The session's case under the model's own attention, or under what each place says for a class."""

    method = param.Selector(default="", objects=[""], doc="the key of a stored map from within the model")

    def _choose(self) -> None:
        stored = store.methods(self.session.run)
        found = [key for key in stored if key.split(",")[0] in FROM_WITHIN]
        self.param.method.objects = {title_of(key): key for key in found} or {"none stored": ""}
        if self.method not in found:
            self.method = found[0] if found else ""

    @param.depends("method", watch=True)
    def _method_changed(self) -> None:
        self._lay_again()

    def map_of(self, modality: str) -> tuple[np.ndarray, bool, float] | None:  # noqa: D102
        if not self.method or self.method not in store.methods(self.session.run):
            return None
        laid = self.session.laid(self.session.run, self.method, modality)
        return None if isinstance(laid, str) else laid

    def titled(self, modality: str) -> str:  # noqa: D102
        explainer = build(Explainer, store.read(self.session.run, self.method, []).spec)
        return f"{explainer.title} ({explainer.unit})"

    @param.depends("session.shown", "method")
    def note(self) -> str:
        """What the map means, or what to run where there is none."""
        session, run = self.session, self.session.run
        if not self.method:
            if not taps_of(run):
                return ""
            return sentence(
                "No map of this model's attention is stored. Run `python -m studykit explain "
                f"{session.folder} --methods attention` and reload the page."
            )
        explainer = build(Explainer, store.read(run, self.method, []).spec)
        unseen = {name: session.laid(run, self.method, name) for name, _ in self._pictures}
        why = [f" {safe(name)}: {safe(told)}." for name, told in unseen.items() if isinstance(told, str)]
        return f"{explainer.title}: {explainer.gives}. Attention by itself is no explanation.{''.join(why)}"

    def __panel__(self):
        """Heading, choices, pictures."""
        pictures, moving = self.controls()
        method = pmui.Select.from_param(
            self.param.method, label="Map", width=400, size="small", visible=self.param.method.rx() != ""
        )
        return pmui.Column(
            pn.pane.Markdown(self.heading, margin=(0, 10)),
            pmui.FlexBox(method, *moving),
            pictures,
            pn.pane.Markdown(self.note, margin=(0, 10), max_width=760),
            sizing_mode="stretch_width",
        )


class AttentionView(pn.viewable.Viewer):
    """Works on a page and in a notebook cell: `AttentionView(Session("data/demo"))`."""

    session = param.ClassSelector(class_=Session)

    def __init__(self, session: Session, **params):
        super().__init__(session=session, **params)
        self.gates, self.case = GatesView(session), AttendedCase(session)

    def __panel__(self):
        """All cases beside one."""
        session = self.session
        model = pmui.Select.from_param(session.param.model, label="Model", width=320, size="small")
        case = pmui.Select.from_param(
            session.param.case, label="Case", width=220, size="small", searchable=True
        )
        title = part_title("What passed the gates, and does it matter?")
        return pmui.Column(
            pmui.FlexBox(
                title, model, case, *self.gates.controls(), align_items="center", margin=(8, 0, 0, 0)
            ),
            pmui.FlexBox(
                pmui.Column(
                    takeaway(
                        self.gates.one(), "What passed the gates", of=("model", "case"), whose=self.gates
                    ),
                    width=580,
                ),
                pmui.Column(takeaway(self.case, "Attention in one case", of=("model", "case")), width=820),
                align_items="flex-start",
            ),
            takeaway(self.gates.every(), "Gates over all cases", of=("model",), whose=self.gates),
            sizing_mode="stretch_width",
        )
