"""Which of a model's cases are shown: what it got wrong, a class, a fold, doubt, a piece of a name."""

import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui
import param

from studykit.datasets.inference import parts
from studykit.ui.saved_filters import SavedFilters
from studykit.ui.session import Session

ALL, ANY = "all cases", "any"
READ = {
    "readers disagree": "No readers disagree in a case of this model.",
    "readers follow a wrong aid": "No readers followed a wrong aid in a case of this model.",
    "readers trust a wrong prediction": "No readers trusted a wrong prediction of this model.",
}
EMPTY = {
    "wrong predictions": "This model is wrong in none of its held-out cases.",
    "right predictions": "This model is right in none of its labelled held-out cases.",
    "unlabelled": "Every held-out case of this model is labelled.",
    "most doubtful": "Doubt is told where a model chooses between classes; this one does not.",
    **READ,
}
CHOSEN = {"show": ALL, "label": ANY, "predicted": ANY, "fold": ANY, "find": "", "doubt": 0.0}


class CaseFilter(pn.viewable.Viewer):
    """Follows a session: offers what the model's cases have; what it does not offer is put back.

    Every parameter can stand in an address. `chosen` changes once all of them fit the model.
    """

    session = param.ClassSelector(class_=Session)
    show = param.Selector(default=ALL, objects=[ALL, *EMPTY], check_on_set=True)
    label = param.Selector(default=ANY, objects=[ANY], check_on_set=True, doc="a class")
    predicted = param.Selector(default=ANY, objects=[ANY], check_on_set=True, doc="a class")
    fold = param.Selector(default=ANY, objects=[ANY], check_on_set=True, doc="where it was held out")
    find = param.String(default="", doc="a piece of the case's or its group's name, whatever its capitals")
    doubt = param.Number(default=0.0, bounds=(0, 1), step=0.05, doc="the least uncertainty, 0 to 1")
    _classes = param.Boolean(doc="whether the model chooses between classes")
    _folds = param.Boolean(doc="whether there are several")
    _doubts = param.Boolean(doc="whether the model's doubt is told")
    chosen = param.Tuple(default=("", *CHOSEN.values()), doc="the model, and what is asked of its cases")

    def __init__(self, session: Session, **params):
        super().__init__(session=session)
        self._offer()
        self.param.update(**params)

    @param.depends("session.model", watch=True)
    def _offer(self) -> None:
        """Offer the model's classes and folds; keep those chosen where it has them, too."""
        task, cases = self._task, self.session.cases
        classes = [ANY, *(task.classes or ())]
        folds = {ANY: ANY} | {f"fold {fold}": str(fold) for fold in sorted(cases["fold"].unique())}
        self._names = [f"{case}\n{group}".lower() for case, group in zip(cases["id"], cases["group"])]
        kept = {}
        for name, offered in {"label": classes, "predicted": classes, "fold": folds}.items():
            self.param[name].objects = offered
            kept[name] = getattr(self, name) if getattr(self, name) in self.param[name].objects else ANY
        doubts = bool(cases["uncertainty"].notna().any())
        kept |= {"_classes": len(classes) > 1, "_folds": len(folds) > 2, "_doubts": doubts}
        self.param.update(doubt=self.doubt if doubts else 0.0, **kept)
        self._choose()

    @param.depends(*CHOSEN, watch=True)
    def _choose(self) -> None:
        with pn.io.hold():  # what follows travels as one message
            self.chosen = (self.session.model, *(getattr(self, name) for name in CHOSEN))

    @property
    def _task(self):
        return self.session.runs[self.session.model][0].schema.tasks[0]

    @property
    def asked(self) -> dict:
        """What is not as it is by itself, by name: what an address or a saved filter carries."""
        return {name: getattr(self, name) for name, usual in CHOSEN.items() if getattr(self, name) != usual}

    def ask(self, asked: dict) -> list[str]:
        """Choose just this, of what is offered here; the names of the rest."""
        fitting = {name: value for name, value in asked.items() if name in CHOSEN and self._fits(name, value)}
        self.param.update(**{**CHOSEN, **fitting})
        return [name for name in asked if name not in fitting]

    def _fits(self, name: str, value: object) -> bool:
        if name == "doubt":
            return type(value) in (int, float) and 0 <= value <= self._doubts  # none but 0 where none is told
        return isinstance(value, str) and (name == "find" or value in self.param[name].objects)

    def kept(self) -> pd.DataFrame:
        """The rows of the session's cases that pass, in their order, each with its row's number there."""
        return self.session.cases[self.passing()]

    def passing(self) -> np.ndarray:
        """Which of the session's cases pass: (cases,), bool."""
        cases = self.session.cases
        keep = np.array(self._shown(cases))
        for name in ("label", "predicted"):
            if getattr(self, name) != ANY:
                keep &= self._is(cases[name], getattr(self, name))
        if self.fold != ANY:
            keep &= (cases["fold"] == int(self.fold)).to_numpy()
        if wanted := self.find.strip().lower():
            keep &= np.fromiter((wanted in name for name in self._names), bool, len(cases))
        if self.doubt and self._doubts:
            keep &= (cases["uncertainty"] >= self.doubt).to_numpy()
        return keep

    def _shown(self, cases: pd.DataFrame) -> np.ndarray:
        if self.show == "wrong predictions":
            return cases["wrong"].to_numpy(dtype=bool)
        if self.show == "right predictions":
            return (~cases["wrong"] & cases["label"].notna()).to_numpy(dtype=bool)
        if self.show == "unlabelled":
            return cases["label"].isna().to_numpy()
        if self.show == "most doubtful":
            doubt = cases["uncertainty"]
            return (doubt >= doubt.quantile(0.75)).to_numpy()
        if self.show in READ:
            return cases["id"].isin(self._read().get(self.show, ())).to_numpy()
        return np.ones(len(cases), bool)

    def _is(self, said: pd.Series, wanted: str) -> np.ndarray:
        """Where a class is said; of several at once, where it is among them."""
        if self._task.kind == "multilabel":
            return np.array([isinstance(value, str) and wanted in parts(value) for value in said], bool)
        return (said == wanted).to_numpy(dtype=bool, na_value=False)

    def _read(self) -> dict[str, frozenset[str]]:
        from studykit.ui.read_cases import ready

        return ready(self.session)

    def told(self, count: int | None = None) -> str:
        """How many cases are kept, and by what; count: where it is known already."""
        told = {
            "show": "{}",
            "find": "named like '{}'",
            "fold": "held out in fold {}",
            "doubt": "doubt {:g} or more",
        }
        named = [told.get(name, f"{name} {{}}").format(value) for name, value in self.asked.items()]
        whole = len(self.session.cases)
        if not named:
            return f"{whole} cases"
        return f"{len(self.kept()) if count is None else count} of {whole} cases: {', '.join(named)}"

    def why(self) -> str:
        """Why no case is kept, and what to do or to run."""
        if self.show != ALL and not self._shown(self.session.cases).any():
            if self.show not in READ or self._read():
                return EMPTY[self.show]
            return (
                "There is no reader study of these cases yet. Run "
                f"`python -m studykit study simulate {self.session.folder}` for one with simulated readers."
            )
        return "No case has all of this. Clear the filter, or ask for less."

    def clear(self, *_) -> None:
        """Show all cases."""
        self.ask({})

    def __panel__(self):
        """The controls; those that are needed less often, and the saved filters, in a fold."""
        look = {"size": "small", "margin": (5, 10)}
        first = [
            pmui.Select.from_param(self.param.show, label="Show", width=265, **look),
            pmui.TextInput.from_param(
                self.param.find,
                label="Find in case or group",
                placeholder="and press Enter",
                width=265,
                **look,
            ),
            *[
                pmui.Select.from_param(
                    self.param[name], label=name.capitalize(), width=265, visible=self.param._classes, **look
                )
                for name in ("label", "predicted")
            ],
        ]
        more = [
            pmui.Select.from_param(
                self.param.fold, label="Held out in", width=245, visible=self.param._folds, **look
            ),
            pmui.FloatSlider.from_param(
                self.param.doubt,
                label="Doubt at least",
                width=225,
                visible=self.param._doubts,
                margin=(5, 20),
            ),
            SavedFilters(self),
        ]
        fold = pmui.Accordion(
            ("More, and saved filters", pmui.FlexBox(*more)),
            disable_gutters=True,
            title_variant="body1",
            elevation=0,
            margin=(0, 10),
        )
        return pmui.Column(pmui.FlexBox(*first), fold, sizing_mode="stretch_width")
