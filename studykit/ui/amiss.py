"""What is amiss with the runs in a folder, said above a page: what is missing, and what to run."""

from collections.abc import Iterable
from pathlib import Path

import panel_material_ui as pmui

from studykit.catalog import InputError
from studykit.ui.opened import Opened, nothing, opened
from studykit.ui.plain import sentence

MOST = 3  # sentences in one alert


def amiss(found: Opened) -> list[pmui.Alert]:
    """An alert for each kind of trouble, and one for recipes that are not finished; they can be closed."""
    alerts = []
    for kind in sorted(found.troubles):
        told = found.troubles[kind]
        left = "1 run is left out" if len(told) == 1 else f"{len(told)} runs are left out"
        alerts.append(_alert(f"{left}: {kind}", told.values(), "warning"))
    if found.half:
        alerts.append(_alert("Not all folds are here", found.half.values(), "info"))
    return alerts


def absent(folder: Path) -> list[pmui.Alert]:
    """Why there is nothing to look at, and what to run."""
    try:
        found = opened(folder)
    except InputError as why:
        return [pmui.Alert(object=sentence(str(why)), severity="warning", margin=10)]
    return [
        pmui.Alert(object=sentence(nothing(folder, found)), severity="warning", margin=10),
        *amiss(found),
    ]


def _alert(title: str, told: Iterable[str], severity: str) -> pmui.Alert:
    told = list(told)
    more = [f"... and {len(told) - MOST} more."] if len(told) > MOST else []
    lines = "\n".join(f"- {sentence(' '.join(line.split()))}" for line in [*told[:MOST], *more])
    return pmui.Alert(object=f"**{title}**\n\n{lines}", severity=severity, closeable=True, margin=10)
