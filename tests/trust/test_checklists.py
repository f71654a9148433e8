"""Reporting lists: as many items as the guidelines say, and answers that the study really holds."""

import numpy as np
import pandas as pd
import pytest

from studykit.catalog import InputError
from studykit.trust.checklist_items import ITEMS, SOURCES
from studykit.trust.checklists import FILLED, NOT_RECORDED, checklist
from studykit.trust.item import Item
from studykit.trust.reliance import Reliance
from studykit.trust.study import RATINGS, Study
from studykit.trust.sus import Sus
from tests.trust.telling import value


def study(readers=4, cases=10, simulated=False):
    """Two-step readings of every case, and the System Usability Scale at the end."""
    rng, rows = np.random.default_rng(0), []
    for reader in range(readers):
        for order, case in enumerate(rng.permutation(cases)):
            first, aid = rng.integers(2), case % 2
            final = aid if rng.random() < 0.6 else first
            about = (f"r{reader}", f"c{case}", "map", "malignant")
            for step, rating in (("first", first), ("final", final)):
                rows.append((*about, step, 0, int(rating), order, "s1", 20.0 + order, "2026-01-01"))
        for item in Sus().items:
            about = (
                f"r{reader}",
                None,
                None,
                item,
                "final",
                0,
                3 + reader % 2,
                None,
                "s1",
                None,
                "2026-01-01",
            )
            rows.append(about)
    items = {item.name: item for item in Sus().asked()}
    items["malignant"] = Item("malignant", scale="nominal", role="answer", categories=(0, 1), asked="both")
    names = [f"c{k}" for k in range(cases)]
    known = pd.DataFrame({"case": names, "patient": [f"p{k // 2}" for k in range(cases)], "truth": 1})
    known.loc[:2, "truth"] = 0
    aids = pd.DataFrame(
        {"case": names, "condition": "map", "aid": [k % 2 for k in range(cases)], "wrong": False}
    )
    ratings = pd.DataFrame(rows, columns=RATINGS)
    return Study("s", ratings, items, known, aids, source="made up, CC0", simulated=simulated)


@pytest.mark.parametrize(
    "name, items, parts",
    [("GRRAS", 15, 15), ("DECIDE-AI", 27, 38), ("CLAIM 2024", 44, 44), ("STARD-AI", 40, 48)],
)
def test_has_the_guidelines_items(name, items, parts):
    told = checklist(study(), name)
    assert list(told.columns) == ["item", "section", "asked", "answer"]
    assert len(told) == parts and told["item"].is_unique
    assert told["item"].str.rstrip("abcd").nunique() == items
    assert (told["asked"] != "").all() and (told["answer"] != "").all()
    assert told.attrs["source"] == SOURCES[name] and "doi" in SOURCES[name]
    assert {row[3] for row in ITEMS[name]} <= {"", *FILLED}
    arabic = [item for item in told["item"] if item[0].isdigit()]
    assert [int(item.rstrip("abcd")) for item in arabic] == sorted(
        int(item.rstrip("abcd")) for item in arabic
    )


def answer(found, name, item):
    return checklist(found, name).set_index("item").at[item, "answer"]


def test_answers_are_the_studys():
    found = study()
    assert answer(found, "GRRAS", "11") == (
        "4 readers, 10 cases, 5 patients, 1 condition, 120 ratings, none of them a repetition"
    )
    assert answer(found, "GRRAS", "2") == "malignant (nominal, 0 to 1)"
    assert answer(found, "GRRAS", "12") == "cases by truth: 0 3, 1 7"
    assert "first answers were given before the aid was seen" in answer(found, "GRRAS", "8")
    assert answer(found, "GRRAS", "15") == "made up, CC0"
    assert answer(found, "GRRAS", "6") == NOT_RECORDED
    assert answer(found, "DECIDE-AI", "10a") == "40 of 40 readings were with an aid"
    assert answer(found, "DECIDE-AI", "7") == "questionnaires: sus"
    assert answer(found, "DECIDE-AI", "14a") == "System Usability Scale 50, 4 readers"
    told = Reliance()(found.table("malignant"))
    hits, tries = (int(value(told, f"switch fraction, {part}")) for part in ("numerator", "denominator"))
    assert f"aid followed after disagreeing in {hits} of {tries} readings" in answer(found, "DECIDE-AI", "12")
    assert "time ratio per 10 cases" in answer(found, "DECIDE-AI", "14b")


def test_a_study_with_little_in_it_is_mostly_not_recorded():
    ratings = pd.DataFrame(columns=RATINGS)
    bare = Study("s", ratings, {}, pd.DataFrame(columns=["case", "patient", "truth"]))
    for name in ITEMS:
        told = checklist(bare, name)
        assert (told["answer"] == NOT_RECORDED).sum() >= len(told) - 1
    nobody = study()
    nobody = Study("s", nobody.ratings.assign(reader=np.nan), nobody.items, nobody.cases)
    assert answer(nobody, "GRRAS", "11").startswith("anonymous readers, 10 cases")
    for name in ITEMS:
        checklist(nobody, name)


def test_a_simulated_study_says_so_in_every_answer():
    for name in ITEMS:
        told = checklist(study(simulated=True), name)
        filled = told.loc[told["answer"] != NOT_RECORDED, "answer"]
        assert len(filled) and filled.str.startswith("simulated: ").all()


def test_an_unknown_list_is_named():
    with pytest.raises(InputError, match="did you mean GRRAS"):
        checklist(study(), "GRASS")
