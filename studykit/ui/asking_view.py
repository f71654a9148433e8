"""Ask for a new explanation, from the page where it is missed; see how far it is, and cancel it."""

import asyncio
import html
import shlex
from functools import lru_cache, partial

import panel as pn
import panel_material_ui as pmui
import param
from panel.io import PeriodicCallback

from studykit.catalog import InputError, build, spec
from studykit.explain import Explainer, store
from studykit.training import Run
from studykit.ui.opened import stamp
from studykit.ui.progress import Progress
from studykit.ui.session import Session
from studykit.ui.settings import spec_of, widgets_of
from studykit.ui.work import WORK, Job, look_only

OFTEN = 400  # milliseconds from one look at the jobs to the next
KEPT = 4  # jobs that are over and still told of
CLASSES = {
    "the positive one of two, else the predicted": "usual",
    "the predicted": "predicted",
    "the true": "true",
}


class AskingView(pn.viewable.Viewer):
    """Works on a page and in a notebook cell: `AskingView(Session("data/demo"))`.

    Every visitor sees all jobs of the server, and may cancel them.
    """

    session = param.ClassSelector(class_=Session)
    unfolded = param.Boolean(doc="whether the panel is open; which methods suit is asked only then")
    method = param.Selector(doc="the name of a method")
    of = param.Selector(default="usual", objects=CLASSES, doc="the class explained")
    whose = param.Selector(default="case", objects=["case", "all"], doc="the cases explained")
    spec = param.Dict(default={}, doc="the method as its widgets stand")
    unsuited = param.Dict(default={}, doc="{method: why it does not suit the model}")
    told = param.String(doc="why nothing was asked for")

    def __init__(self, session: Session, **params):
        super().__init__(session=session, **params)
        self.fields = pmui.FlexBox(align_items="center")
        self.rows = pmui.Column(sizing_mode="stretch_width")
        self._bars: dict[Job, Progress] = {}
        self._mine: Job | None = None
        self._over = WORK.over
        self._ticking = PeriodicCallback(callback=self.look, period=OFTEN, background=True)
        order = sorted(Explainer.catalogue.values(), key=lambda cls: (cls.control, cls.title))
        self.param.method.objects = {cls.title: cls.name for cls in order}
        self.method = order[0].name
        self._offer()

    @param.depends("method", watch=True)
    def _choose(self) -> None:
        """The chosen method's settings become widgets."""
        cls = Explainer.catalogue[self.method]
        widgets = widgets_of(cls)

        def read(*_) -> None:
            self.param.update(spec=spec_of(cls, widgets), told="")

        for widget in widgets.values():
            widget.param.watch(read, "value")
        self.fields.objects = list(widgets.values())
        read()

    @param.depends("session.shown", watch=True)
    def _offer(self) -> None:
        """Name the cases that can be asked for."""
        session = self.session
        everyone = f"all {len(session.cases)} held-out cases of {session.model}"
        self.param.whose.objects = {f"this case, {session.case}": "case", everyone: "all"}
        self.look()

    @param.depends("unfolded", "session.model", watch=True)
    async def judge(self) -> None:
        """Find which methods suit the model: it must be read for that, so not on the pages' own loop."""
        model, run = self.session.model, self.session.runs[self.session.model][0]
        if not self.unfolded:
            return
        try:
            found = await asyncio.to_thread(unsuited, run, stamp(run.folder))
        except InputError as why:
            self.told = str(why)
            return
        if model == self.session.model:
            self.unsuited = {}  # the widget takes no value that is disabled
            if self.method in found:
                self.method = next(name for name in self.param.method.objects if name not in found)
            self.unsuited = found

    @property
    def asked(self) -> tuple[list[Run], tuple[str, ...] | None]:
        """The runs and the cases of each, as the widgets stand; None for all that were held out."""
        session = self.session
        if self.whose == "all":
            return session.runs[session.model], None
        return [session.run], (session.case,)

    def ask(self, *_) -> None:
        """Ask for what the widgets say."""
        runs, ids = self.asked
        try:
            self._mine = WORK.ask(runs, build(Explainer, self.spec), self.of, ids)
            self.told = ""
        except InputError as why:
            self.told = str(why)
        self._bars = {job: bar for job, bar in self._bars.items() if not job.is_over}
        self.look()

    def look(self) -> None:
        """Show how far the jobs are, and what came of them; goes on while there are any."""
        jobs = WORK.jobs
        for job in [*jobs, self._mine]:
            if job and job not in self._bars:
                self._bars[job] = Progress(partial(WORK.cancel, job), label=job.title)
        over = [job for job in self._bars if job.is_over]
        ended = [job for job in over if not self._bars[job].over]
        for job, bar in self._bars.items():
            place = jobs.index(job) if job in jobs else 0
            told = job.told if job in over else f"waits for {place} before it" if place else "at work"
            bar.param.update(done=job.done, total=job.total, said=told, over=job in over)
        self._bars = {job: bar for job, bar in self._bars.items() if job not in over[:-KEPT]}
        if self.rows.objects != list(self._bars.values()):
            self.rows.objects = list(self._bars.values())
        self._tick(bool(jobs))
        if ended or WORK.over != self._over:
            self._over = WORK.over
            self.session.refresh()
        if self._mine in ended:
            self._open(self._mine)
            self._mine = None

    def _tick(self, wanted: bool) -> None:
        if wanted and not self._ticking.running:
            self._ticking.start()
        elif self._ticking.running and not wanted:
            self._ticking.stop()

    def _open(self, job: Job) -> None:
        """Choose the new method where it explains the case that is looked at."""
        session = self.session
        explained = session.run in job.runs and (job.ids is None or session.case in job.ids)
        if job.state == "done" and explained and job.key in session.param.method.objects:
            session.method = job.key

    @param.depends("spec", "of", "whose", "session.shown")
    def note(self) -> str:
        """What the method gives, where it is stored, and the command that does the same (HTML)."""
        try:
            method = build(Explainer, self.spec)
        except InputError as why:
            return html.escape(str(why))
        runs, _ = self.asked
        place = runs[0].folder if len(runs) == 1 else runs[0].folder.parent
        stored = f"{store.FILE}</code> of <code>{html.escape(str(place))}"
        told = f"It gives {html.escape(method.gives)}. It will be stored in <code>{stored}</code>"
        if self.spec != spec(type(method)()):
            return f"{told}, beside what has other settings."
        of = "" if self.of == "usual" else f" --of {self.of}"
        command = f"python -m studykit explain {shlex.quote(str(place))} --methods {method.name}{of}"
        return f"{told}; <code>{html.escape(command)}</code> does the same for all held-out cases."

    @param.depends("unsuited")
    def others(self) -> str:
        """The methods that do not suit, and why (HTML)."""
        said = [
            f"<li>{html.escape(title)}: {html.escape(self.unsuited[name])}</li>"
            for title, name in self.param.method.names.items()
            if name in self.unsuited
        ]
        head = f"Methods that do not suit this model ({len(said)})"
        return f"<details><summary>{head}</summary><ul>{''.join(said)}</ul></details>" if said else ""

    def __panel__(self):
        """The folded panel, and below it the jobs, which are seen while it is folded, too."""
        fold = pmui.Accordion(
            ("New explanation", self._asking()),
            active=[], disable_gutters=True, title_variant="body1", elevation=0, margin=(0, 10),
            sizing_mode="stretch_width",
        )  # fmt: skip
        fold.param.watch(lambda event: self.param.update(unfolded=bool(event.new)), "active")
        return pmui.Column(fold, self.rows, sizing_mode="stretch_width")

    def _asking(self) -> pn.viewable.Viewable:
        if look_only():
            command = f"python -m studykit explain {shlex.quote(str(self.session.folder))} --methods NAME"
            told = f"These pages only look. <code>{html.escape(command)}</code> makes a new explanation."
            return pn.pane.HTML(told, margin=(5, 10))
        method = pmui.Select.from_param(
            self.param.method, label="New method", size="small", width=300, description="",
            disabled_options=pn.bind(list, self.param.unsuited),
        )  # fmt: skip
        of = pmui.Select.from_param(
            self.param.of, label="Class explained", size="small", width=360, description=""
        )
        whose = pmui.RadioBoxGroup.from_param(self.param.whose, label="Cases", inline=True, description="")
        button = pmui.Button(label="Explain", color="primary", size="small", on_click=self.ask)
        told = self.param.told
        why = pmui.Alert(object=pn.bind(html.escape, told), visible=pn.bind(bool, told), severity="warning")
        return pmui.Column(
            pmui.FlexBox(method, of, margin=(8, 0, 0, 0)),
            self.fields,
            pn.pane.HTML(self.note, margin=(5, 10), max_width=900),
            pn.pane.HTML(self.others, margin=(0, 10), max_width=900),
            pmui.FlexBox(whose, button, align_items="flex-end"),
            why,
            sizing_mode="stretch_width",
        )


@lru_cache(maxsize=64)
def unsuited(run: Run, changed: tuple[int, ...]) -> dict[str, str]:
    """{method: why it does not suit the run's model}, settings as they are by themselves."""
    model, schema = run.model(), run.schema
    reasons = {name: cls().suits(model, schema) for name, cls in Explainer.catalogue.items()}
    return {name: reason for name, reason in reasons.items() if reason}
