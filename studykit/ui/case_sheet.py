"""Everything about one case on one sheet: an HTML file that needs nothing else, to print, keep or pass on."""

import html
import io
import json
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import panel as pn
import panel_material_ui as pmui

import studykit
from studykit.catalog import InputError, build
from studykit.draw import percent
from studykit.draw.pixels import color_ends, color_strip, composed, data_uri
from studykit.explain import Explainer, store
from studykit.trust import Study
from studykit.ui.case_view import CaseView
from studykit.ui.contributed_case import ContributedCase
from studykit.ui.measured import AGREEMENT, measured, score_title
from studykit.ui.plain import sentence, shown
from studykit.ui.read_cases import of_the_same
from studykit.ui.said import said
from studykit.ui.scans import MAXIMUM, SLICE
from studykit.ui.session import Session, is_control, title_of
from studykit.ui.shares_view import asked
from studykit.ui.studies import kind, study_about
from studykit.ui.takeaway import PHANTOM, SIMULATED, file_name
from studykit.ui.trust_case_view import WRONG, comments, told

FOR_STUDY = "For study: this is no medical device, and no number on it may guide care."
CAUTION = "A map is a claim about the model, not about the patient: one method's account of its answer."
LACKING = "not recorded"  # older versions wrote less of a run
LOOK = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


def case_sheet(session: Session, study: Study | None = None) -> str:
    """The session's case as a standalone HTML file: no script, nothing that another host must give.

    study: what readers answered, if it is to stand on the sheet. What is missing is said in its place.
    """
    return _Sheet(session, study).page()


def sheet_download(session: Session, study: Study | None = None) -> pmui.FileDownload:
    """A button that makes the session's case sheet when it is clicked.

    study: by default the one recorded beside the runs that shares most of their cases.
    """

    def made() -> io.StringIO:
        return io.StringIO(case_sheet(session, study or beside(session)))

    named = pn.bind(lambda shown: sheet_name(*shown[:2]), session.param.shown)
    return pmui.FileDownload(callback=made, filename=named, label="Case sheet", size="small", margin=(5, 10))


def sheet_name(model: str, case: str) -> str:
    """What a case sheet's file is called."""
    return f"{file_name('case sheet', case, model)}.html"


def beside(session: Session) -> Study | None:
    """The study recorded beside the runs that shares most of their cases; None where none can be read."""
    try:
        study = study_about(session.folder, session.cases["id"])
    except (InputError, OSError):
        return None
    return study if study is not None and of_the_same(study, session.cases) else None


class _Sheet:
    """One case, looked at by a session of its own, so that the visitor's stays where it is."""

    def __init__(self, session: Session, study: Study | None):
        self.session, self.study = Session(session.folder), study
        self.session.model = session.model
        self.session.case = self.case = session.case
        self.view = CaseView(self.session)
        self.methods = [method for method in self.session.param.method.objects if method]
        self.run, self.dataset = self.session.run, self.session.run.prepared.dataset

    def page(self) -> str:
        """The whole file."""
        sections = {
            "Pictures": self.pictures(), "Maps": self.maps(), "Record": self.record(), "Texts": self.texts(),
            "What the models say": self.predictions(), "What the answer hung on": self.contributions(),
            "How good the maps are": self.quality(), "What readers answered": self.readers(),
            "Where this comes from": self.provenance(),
        }  # fmt: skip
        body = "".join(f"<section><h2>{name}</h2>{inside}</section>" for name, inside in sections.items())
        title = html.escape(f"Case sheet: {self.case}")
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f'<meta name="viewport" content="width=device-width"><style>{LOOK}</style></head>'
            f"<body><header><h1>{title}</h1>{self.heading()}</header><main>{body}</main></body></html>"
        )

    def spoken(self, text: str) -> str:
        """A sentence in Markdown as HTML; the runs' folder by its name alone, whoever's disk it is on."""
        folder = self.session.folder
        if folder.is_absolute():
            for written in (sentence, str):  # as the text around commands has it, and as they have it
                text = text.replace(written(str(folder)), written(folder.name))
        return said(text.replace(" and reload the page", ""))

    def heading(self) -> str:
        """The marks, and whose case it is."""
        marks = [PHANTOM] * bool(self.dataset.simulated)
        marks += [SIMULATED] * bool(self.study is not None and self.study.simulated)
        lines = self.view.heading().splitlines()[1:]  # without the case's name, which is the title
        known = "".join(f"<p>{self.spoken(line)}</p>" for line in lines if line)
        badges = "".join(f'<span class="badge">{html.escape(mark)}</span>' for mark in marks)
        return (
            f"<p>{badges}</p>{known}<p>Model: {html.escape(self.session.model)}</p><p><b>{FOR_STUDY}</b></p>"
        )

    def pictures(self) -> str:
        """Each picture with its outline; of a volume a slice and the maximum."""
        made = []
        for name, way in self._ways():
            self.view.through = way
            values, mask, where = self.view.plane(name)
            if np.isnan(values).all():
                made.append(f"<p>{html.escape(name)}: none in this case.</p>")
                continue
            outline = "reference outline" if mask.any() else "no reference outline"
            made.append(_figure(composed(values, mask), f"{name}{where}; {outline}", self.case))
        return (
            f'<div class="figures">{"".join(made)}</div>' if made else "<p>These cases have no pictures.</p>"
        )

    def _ways(self) -> Iterable[tuple[str, str]]:
        for picture in self.dataset.pictures:
            yield picture.name, SLICE
            if picture.kind == "volume":
                yield picture.name, MAXIMUM

    def maps(self) -> str:
        """Each stored method's map over each picture, with what its colours mean."""
        if not self.methods:
            return f"<p>{self.spoken(self.view.note())}</p>"
        made = [f"<p><b>{CAUTION}</b></p>"]
        for method in self.methods:
            self.session.method = method
            control = " (a control: it knows nothing of the model)" if is_control(method) else ""
            made.append(f"<h3>{html.escape(title_of(method) + control)}</h3>")
            if self.session.explanation is None:
                made.append("<p>It is not stored of this case.</p>")
                continue
            figures = "".join(self._mapped(name, way) for name, way in self._ways())
            made.append(f'<div class="figures">{figures}<p>{self.spoken(self.view.note())}</p></div>')
        return "".join(made)

    def _mapped(self, name: str, way: str) -> str:
        self.view.through = way
        values, mask, where = self.view.plane(name)
        if np.isnan(values).all() or self.view.laid(name) is None:
            return ""
        over, signed, limit = laid = self.view.cut(name)
        low, high = color_ends(signed, limit)
        strip = f"colours from {low} (blue) to {high} (orange)" if signed else f"colours from {low} to {high}"
        ends = f'{low} <img src="{data_uri(color_strip(signed))}" alt="{strip}"> {high}'
        told = f"{name}{where}: {self.view.titled(name)}"
        return _figure(composed(values, mask, laid), told, self.case, f'<span class="ends">{ends}</span>')

    def record(self) -> str:
        """The record, and what each method says that its columns added."""
        if not self.dataset.record:
            return "<p>These cases have no record.</p>"
        row, columns, units = self.dataset.cases.loc[self.case], {}, set()
        sources = self.run.schema.modality("record").sources
        for method in self.methods:
            self.session.method = method
            explanation = self.session.explanation
            if explanation is None or "record" not in explanation.maps:
                continue
            values = explanation.maps["record"][0]
            columns[title_of(method)] = {name: float(values[at].sum()) for name, at in sources.items()}
            units.add(self.view._worded(build(Explainer, explanation.spec).unit))
        rows = [
            [name, shown(row[name]), *(_signed(of.get(name, np.nan)) for of in columns.values())]
            for name in self.dataset.record
        ]
        effects = f"; effects: {', '.join(sorted(units))}" if units else ""
        lacking = "" if columns else "<p>No stored method gives column effects of this model.</p>"
        return _table(["column", "value", *columns], rows, f"Record{effects}") + lacking

    def texts(self) -> str:
        """Each text, its words on the colour of what they added, method by method."""
        names, made = self.dataset.texts, []
        if not names:
            return "<p>These cases have no texts.</p>"
        for method in self.methods:
            self.session.method = method
            explanation = self.session.explanation
            if explanation is not None and set(names) & set(explanation.maps):
                made.append(f"<h3>{html.escape(title_of(method))}</h3>{self.view.texts()}")
        if made:
            return "".join(["<p>Orange words speak for the class, blue ones against it.</p>", *made])
        return self.view.texts()

    def predictions(self) -> str:
        """Every model's answer, where it held this very case out."""
        made = []
        for task in self.run.schema.tasks:
            names, rows = [f"{task.name}.{name}" for name in task.classes or ("value",)], []
            for model in self.session.runs:
                run = self.session.run_of(model)
                if run is None or run.about["dataset"] != self.run.about["dataset"]:
                    continue
                row = run.predictions.set_index("id").loc[self.case]
                of = self.session.cases_of(model).set_index("id").loc[self.case]
                first = task == run.schema.tasks[0]
                answer = row.get(f"{task.name}.predicted", "-")
                sure = _number(of["uncertainty"]) if first else "-"
                rows.append([model, run.fold, answer, *(_number(row[name]) for name in names), sure])
            classes = [f"p({name})" for name in task.classes] or [task.name]
            title = f"{task.name}: held-out answers; uncertainty is the entropy, from 0 (sure) to 1"
            made.append(_table(["model", "fold", "predicted", *classes, "uncertainty"], rows, title))
        return "".join(made)

    def contributions(self) -> str:
        """The case's own shares, model by model."""
        made, rows = [f"<p>{self.spoken(ContributedCase(self.session).note())}</p>"], []
        for model in self.session.runs:
            found, run = self.session.contributed(model), self.session.run_of(model)
            if isinstance(found, str) or run is None or self.case not in found.ids:
                continue
            shares = found.per_case().loc[self.case]
            how = said(asked(found, run))
            made.append(f"<p><b>{html.escape(model)}</b>: {how}.</p>")
            rows += [[model, name, percent(share)] for name, share in shares.items()]
        title = "Share of each modality in what changed, this case alone"
        return "".join(made) + (_table(["model", "modality", "share"], rows, title) if rows else "")

    def quality(self) -> str:
        """The scores of this case's maps."""
        found = measured(self.session, self.session.model)
        if isinstance(found, str):
            return f"<p>{self.spoken(sentence(found))}</p>"
        table = found.table[found.table["case"] == self.case]
        table = table[~table["score"].str.match(AGREEMENT)]
        if table.empty:
            return "<p>The maps of this case are not among those scored.</p>"
        rows = [
            [title_of(row.method), row.modality, score_title(row.score), _number(row.value, row.why),
             _number(row.chance)]
            for row in table.itertuples()
        ]  # fmt: skip
        return _table(["method", "modality", "score", "value", "by chance"], rows, "Scores of this case")

    def readers(self) -> str:
        """Who answered what, before and after the aid."""
        study = self.study
        if study is None:
            return "<p>No reader study stands on this sheet.</p>"
        about = f"<p>{html.escape(study.name)} ({html.escape(kind(study))})</p>"
        answers = told(study, self.case)
        if answers.empty:
            return f"{about}<p>Nobody answered anything about this case.</p>"
        lines = "<p>Left of an arrow: before the aid was shown.</p>"
        if "aid" in answers and answers["aid"].str.contains(WRONG).any():
            lines += f"<p>{WRONG}: this aid was planted wrong.</p>"
        table = _table(answers.columns, answers.to_numpy().tolist(), "Answers")
        words = "".join(
            f"<li>{html.escape(who)}: {html.escape(str(text))}</li>"
            for who, text in comments(study, self.case)
        )
        return f"{about}{lines}{table}{f'<ul>{words}</ul>' if words else ''}"

    def provenance(self) -> str:
        """What made the run, and which run it is."""
        about, folder = self.run.about, self.session.folder
        weights = self.run.folder / "weights.safetensors"
        inside = self.run.folder.relative_to(folder) if folder in self.run.folder.parents else ""
        facts = {
            "run": f"{folder.name}/{inside}" if str(inside) else folder.name,
            "trained": f"{date.fromtimestamp(weights.stat().st_mtime):%Y-%m-%d}",
            "data set": _spec(about["dataset"]), "cite": self.dataset.card.citation,
            "licence": self.dataset.card.licence, "data fingerprint": about.get("fingerprint", LACKING),
            "model": _spec(about["model"]), "training": _spec(about.get("training")),
            "fold": f"{about['fold']} of {about['folds']}, seed {about.get('seed', LACKING)}",
            "weights digest": store.weights_digest(self.run),
            "explanations": ", ".join(self.methods) or "none",
            "made with": ", ".join(map(" ".join, about.get("versions", {}).items())) or LACKING,
            "this sheet": f"{date.today():%Y-%m-%d}, studykit {studykit.__version__}",
        }  # fmt: skip
        rows = "".join(f"<dt>{name}</dt><dd>{html.escape(str(fact))}</dd>" for name, fact in facts.items())
        return f"<dl>{rows}</dl><p><b>{FOR_STUDY}</b></p>"


def _figure(pixels: np.ndarray, told: str, case: str, more: str = "") -> str:
    alt, caption = html.escape(f"{told}, of {case}", quote=True), html.escape(told)
    return (
        f'<figure><img src="{data_uri(pixels)}" alt="{alt}"><figcaption>{caption}{more}</figcaption></figure>'
    )


def _table(head: Sequence[object], rows: Iterable[Sequence[object]], caption: str) -> str:
    """A table whose first column names its rows; all of it escaped."""
    top = "".join(f'<th scope="col">{html.escape(str(name))}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{html.escape(str(first))}</th>'
        + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    top = f"<caption>{html.escape(caption)}</caption><thead><tr>{top}</tr></thead>"
    return f"<table>{top}<tbody>{body}</tbody></table>"


def _number(value: float, why: object = "") -> str:
    return f"{value:.3f}" if value == value else str(why) if why and why == why else "-"


def _signed(value: float) -> str:
    return f"{value:+.3f}" if value == value else "-"


def _spec(spec: object) -> str:
    """A spec in a line; of a path on somebody's disk the name alone."""
    if spec is None:
        return LACKING

    def named(value: object) -> object:
        if isinstance(value, dict):
            return {key: named(inside) for key, inside in value.items()}
        if isinstance(value, list):
            return [named(inside) for inside in value]
        return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value

    return json.dumps(named(spec), ensure_ascii=False)
