from audit.planted import STATES, Planted
from studykit.audit import checked, report
from studykit.audit.report import WIDTH


def test_the_page_is_grouped_narrow_and_ends_with_the_count():
    table = checked(Planted(twins=(("c04", "c02"),), columns=(("A column with quite a long name", STATES),)))
    text = report(table)
    lines = text.splitlines()
    assert max(map(len, lines)) <= WIDTH and not any(line != line.rstrip() for line in lines)
    counts = table["level"].value_counts()
    assert (counts["problem"], lines[-1][:11]) == (2, "2 problems,")
    assert f"{counts['fact']} facts. Solve the problems before you train." in lines[-1]
    told = " ".join(text.split())
    assert told.count("PROBLEM") == 2 and "They are c02 = c04." in told
    titles = [line for line in lines if line and not line.startswith(" ")]
    assert len(titles) == table["check"].nunique() + 1


def test_problems_stand_before_notes_and_facts_of_the_same_check():
    labels = tuple(["ill"] * 4 + ["well"] * 56)
    part = report(checked(Planted(labels=labels))).split("\n\n")[0].splitlines()
    levels = [line[2:10].strip() for line in part[1:] if line[2:10].strip()]
    assert levels == ["PROBLEM", "note"] and part[1].startswith("  PROBLEM")


def test_without_problems_nothing_is_asked_for():
    last = report(checked(Planted())).splitlines()[-1]
    assert last.startswith("0 problems, 0 notes,") and last.endswith("facts.")
