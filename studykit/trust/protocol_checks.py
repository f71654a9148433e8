"""What a protocol must be before anybody reads by it; each check raises an InputError of one sentence."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from studykit.catalog import InputError, check_choice
from studykit.trust.chain import LONGEST
from studykit.trust.event import SHOWN
from studykit.trust.questionnaire import Questionnaire
from studykit.trust.statistic import Statistic

DESIGNS = {
    "crossed": "every reader reads every case in one condition",
    "fully crossed": "every reader reads every case in every condition, a session each",
    "split plot": "readers and cases are dealt into groups; each group of readers reads its own cases, in "
    "every condition",
}


def check_names(protocol) -> None:
    """InputError for names that are missing or taken, and for settings that cannot be."""
    if not protocol.name or set(protocol.name) & set('/\\:*?"<>|') or protocol.name.startswith("."):
        raise InputError(f"The study's name '{protocol.name}' cannot name a file; use letters and digits.")
    for what in ("readers", "cases", "conditions", "items"):
        names = [getattr(one, "name", one) for one in getattr(protocol, what)]
        if not names:
            raise InputError(f"The protocol '{protocol.name}' names no {what}; name at least one.")
        for name in names:
            if not isinstance(name, str) or not name.strip():
                raise InputError(f'The protocol\'s {what} are named by texts, as "1", not by {name!r}.')
            if len(name) > LONGEST:
                raise InputError(
                    f"The protocol's {what} have names of at most {LONGEST} letters, not '{name}'."
                )
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise InputError(f"The protocol's {what} name '{twice[0]}' twice; give each its own name.")
    check_choice("design", protocol.design, DESIGNS)
    for name in ("repeats", "wrong_aid"):
        if not 0 <= getattr(protocol, name) <= 1:
            raise InputError(f"'{name}' is a share of the cases from 0 to 1, not {getattr(protocol, name)}.")
    if protocol.seed < 0:
        raise InputError(f"The 'seed' is a whole number from 0 on, not {protocol.seed}.")
    most = min(len(protocol.readers), len(protocol.cases))
    if protocol.design == "split plot" and not 1 <= protocol.groups <= most:
        raise InputError(f"A split plot here has 1 to {most} groups, not {protocol.groups}.")


def check_items(protocol) -> None:
    """InputError where a condition asks nothing, or an item has a name or questionnaire that cannot be."""
    known = [name for name, kind in Statistic.catalogue.items() if issubclass(kind, Questionnaire)]
    for item in protocol.items:
        if item.questionnaire:
            check_choice(f"questionnaire (of the item '{item.name}')", item.questionnaire, known)
        if item.name == SHOWN:
            raise InputError(f"No item can be named '{SHOWN}'; that is how it is noted when an aid is shown.")
    for condition in protocol.conditions:
        for step in protocol.steps(condition.name):
            if not protocol.asked(condition.name, step):
                raise InputError(
                    f"In the condition '{condition.name}' no item is asked in the step '{step}'; give an "
                    'item asked: "both".'
                )


def check_classes(protocol) -> None:
    """InputError where truth, aids, patients and answers do not go together."""
    for name in ("truth", "aids", "patients", "wrong"):
        given = mapped(getattr(protocol, name), name)
        _check_known(f"case (in '{name}')", given, protocol.cases)
        for case, one in given.items():
            if not isinstance(one, str | int | float) or one != one:
                raise InputError(f"'{name}' gives case '{case}' {one!r}; write a text or a number.")
    aided = any(condition.shows != "nothing" for condition in protocol.conditions)
    if not aided and (protocol.wrong_aid or protocol.wrong):
        raise InputError(
            f"No condition of '{protocol.name}' shows an aid, so none can be wrong; add a condition that "
            "shows one, or take 'wrong_aid' out."
        )
    for wanted, name in ((aided, "aids"), (protocol.wrong_aid or protocol.wrong, "truth")):
        missing = [case for case in protocol.cases if wanted and case not in getattr(protocol, name)]
        if missing:
            raise InputError(
                f"The conditions or wrong aids of '{protocol.name}' need '{name}' of every case; "
                f"{len(missing)} have none, as '{missing[0]}'."
            )
    for case, said in protocol.wrong.items():
        if said == protocol.truth[case]:
            raise InputError(f"The aid of case '{case}' is planted as {said!r}, which is right; take it out.")
    if protocol.truth:
        check_choice("class (as 'positive')", protocol.positive, protocol.classes)
    told = {*protocol.truth.values(), *protocol.aids.values(), *protocol.wrong.values()}
    for item in protocol.items:
        for said in told if item.role == "answer" else ():
            if refused := item.refused(said):
                raise InputError(f"Cases are said to be {said!r}, but {refused}; use the same classes.")


def check_orders(protocol) -> None:
    """InputError for orders that name what is not there or let a reader meet a case too often."""
    if not protocol.orders:
        return
    again = "take 'orders' out and draw anew"
    if set(protocol.orders) != set(protocol.readers):
        raise InputError(f"The orders of '{protocol.name}' are not those of its readers; {again}.")
    cases, conditions = set(protocol.cases), {condition.name for condition in protocol.conditions}
    for reader, readings in protocol.orders.items():
        if not readings:
            raise InputError(f"The order of '{reader}' holds no reading; {again}.")
        met = set()
        for reading in readings:
            if reading.case not in cases or reading.condition not in conditions:
                raise InputError(
                    f"The order of '{reader}' holds {list(reading)}, which is not there; {again}."
                )
            once = reading.case if protocol.design == "crossed" else reading[:2]
            if (once, reading.repeat) in met:
                raise InputError(f"The order of '{reader}' holds {list(reading)} twice; {again}.")
            met.add((once, reading.repeat))


def _check_known(what: str, given: Iterable, known: Iterable) -> None:
    known = set(known)
    for one in given:
        if one not in known:
            check_choice(what, one, sorted(known))


def mapped(value: Any, what: str) -> Mapping:
    """`value`, or InputError where it is no JSON object."""
    if not isinstance(value, Mapping):
        raise InputError(f"'{what}' of a protocol is a JSON object, not {value!r}.")
    return value
