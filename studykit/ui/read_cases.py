"""Where do readers disagree, or believe a wrong aid or prediction? Readers and one model, case by case."""

from functools import lru_cache

import numpy as np
import pandas as pd

from studykit.catalog import InputError
from studykit.trust import Study
from studykit.trust.by_case import answers_of, by_case, trust_of
from studykit.trust.reliance import equal
from studykit.ui.session import Session
from studykit.ui.studies import Studies, kind, study_about

DISAGREE = "readers disagree"
FOLLOW = "readers follow a wrong aid"
BELIEVE = "readers trust a wrong prediction"


def ready(session: Session) -> dict[str, frozenset[str]]:
    """Ready filters of the session's model's cases, {name: case ids}; see `sets`.

    Of the study beside the runs that shares most cases with the model; empty where there is none, or it
    cannot be read. Some milliseconds once the study was read.
    """
    try:
        study = study_about(session.folder, session.cases["id"])
    except (InputError, OSError):
        return {}
    return {} if study is None else sets(joined(session, study))


def of_the_same(study: Study, cases: pd.DataFrame) -> bool:
    """Whether a study can be about these cases (columns id, label): one that is called alike is no other.

    It cannot where a case that both know is of one of the labels here and of another there.
    """
    labels = cases.assign(id=cases["id"].map(str)).set_index("id")["label"].dropna().map(str)
    truth = study.cases.assign(case=study.cases["case"].map(str)).drop_duplicates("case").set_index("case")
    truth = truth["truth"].dropna().map(str)
    truth = truth[truth.isin(labels.unique()) & truth.index.isin(labels.index)]
    return bool((truth == labels.loc[truth.index]).all())


def sets(table: pd.DataFrame) -> dict[str, frozenset[str]]:
    """The cases of `joined` in which readers disagree, follow a wrong aid, trust a wrong prediction.

    Disagree: some pair of readers does. Follow: half or more of the final answers under a wrong aid are the
    aid's. Trust a wrong prediction: `believed`.
    """
    which = {
        DISAGREE: table["disagreement"] > 0,
        FOLLOW: table["aid_wrong"] & (table["followed"] >= 0.5),
        BELIEVE: table["believed"],
    }
    return {name: frozenset(table.loc[rows, "case"]) for name, rows in which.items()}


def joined(session: Session, study: Study) -> pd.DataFrame:
    """`by_case` of a study beside the session's model, a row a case that the model held out and readers read.

    Beside the columns of `by_case`: group (the patient), label, predicted, model_wrong; with_model (the share
    of final answers that are the model's prediction: of the readings whose aid said so, where there are
    such, else of all) and believed: the prediction is wrong, and with_model is a half or more, or mean trust
    in the aid, over the readings whose aid said so, lies in the upper half of its scale.
    """
    mine = session.cases if of_the_same(study, session.cases) else session.cases[:0]
    mine = mine.rename(columns={"id": "case", "wrong": "model_wrong"})
    columns = ["case", "group", "label", "predicted", "model_wrong"]
    read, answers, trust = _of(study)
    table = read[read["readers"] > 0].merge(mine[columns], on="case")
    said = answers.merge(table[["case", "predicted"]], on="case").dropna(subset=["rating"])
    said["same"] = equal(said["rating"], said["predicted"]).astype(float)
    advised = equal(said["aid"], said["predicted"])
    asked = pd.Series(advised, said.index).groupby(said["case"]).transform("any").to_numpy(dtype=bool)
    share = said[advised | ~asked].groupby("case")["same"].mean()
    table["with_model"] = table["case"].map(share).astype(float)
    trust = trust.merge(table[["case", "predicted"]], on="case")
    trust = trust[equal(trust["aid"], trust["predicted"])].groupby("case")["trust"].mean()
    trusted = table["case"].map(trust).astype(float) > 0.5
    table["believed"] = table["model_wrong"] & ((table["with_model"] >= 0.5) | trusted)
    return table


def beside(studies: Studies, session: Session | None) -> pd.DataFrame | str:
    """`joined` of what a visitor looks at, some rows at least; a sentence that says why there is none."""
    study = studies.found
    if isinstance(study, str):
        return study
    if session is None:
        return "No models stand beside this study; open it on a page that serves runs."
    if kind(study) == "published":
        return "A published study is about the cases of others, which no model here has seen."
    table = joined(session, study)
    return table if len(table) else f"'{session.model}' held out none of the cases that were read."


def filters(studies: Studies, session: Session) -> bool:
    """Whether the Cases page's ready filters (`ready`) are of the study that the visitor looks at."""
    found = studies.found
    try:
        about = study_about(session.folder, session.cases["id"])
    except (InputError, OSError):
        return False
    if about is None or isinstance(found, str):
        return False
    return (about.name, kind(about)) == (found.name, kind(found))  # it may have gone on meanwhile


def read(study: Study) -> pd.DataFrame:
    """`by_case`, its cases named by texts; computed once for all visitors."""
    return _of(study)[0]


def whose_aid(session: Session, study: Study) -> list[str]:
    """The models of the folder whose predictions the study's aids are, those planted wrong aside.

    A model counts where it held out every case that has an aid and predicts the same for each.
    """
    aids = study.aids[~study.aids["wrong"].fillna(False).astype(bool)].dropna(subset=["aid"])
    aids = aids[["case", "aid"]].astype(str).drop_duplicates()
    if aids.empty or kind(study) == "published":
        return []
    found = []
    for model in session.runs:
        cases = session.cases_of(model)
        said = dict(zip(cases["id"], cases["predicted"].astype(str), strict=True))
        if (aids["case"].map(said) == aids["aid"]).all():
            found.append(model)
    return found


@lru_cache(maxsize=16)
def _of(study: Study) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """What `joined` takes of a study, its cases named by texts; cached, as a study never changes."""
    answers = answers_of(study)[["case", "rating", "aid"]].astype(object)
    read, trust = by_case(study), trust_of(study, "trust in the aid")
    for table in (answers, read, trust):
        table["case"] = table["case"].map(str)
    return read, answers[np.asarray(answers["case"] != "nan")], trust
