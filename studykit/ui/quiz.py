"""A question to the reader of a notebook, with answers to choose from; each is met with a reason."""

import html
from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets

from studykit.catalog import InputError
from studykit.ui.standing import Standing

RIGHT, WRONG = "#1a7f37", "#9a3412"


class Quiz:
    """What `quiz` gives: `answers` is chosen from, `said` meets the choice."""

    def __init__(self, question: str, answers: Mapping[str, str], right: str):
        if right not in answers:
            raise InputError(f"The right answer, '{right}', is none of those offered: {', '.join(answers)}.")
        self.question, self.reasons, self.right = question, dict(answers), right
        self.answers = widgets.RadioButtons(options=list(answers), value=None, layout={"width": "auto"})
        self.said = widgets.HTML()
        asked = widgets.HTML(f"<b>{html.escape(question)}</b>")
        self.box = Standing([asked, self.answers, self.said], self._still)
        self.answers.observe(self._meet, "value")

    def _meet(self, change) -> None:
        chosen = change["new"]
        verdict, color = ("Yes.", RIGHT) if chosen == self.right else ("No.", WRONG)
        why = html.escape(self.reasons[chosen])
        self.said.value = f'<span role="status"><b style="color:{color}">{verdict}</b> {why}</span>'

    def _still(self) -> str:
        offered = "".join(f"<li>{html.escape(answer)}</li>" for answer in self.reasons)
        return f"<b>{html.escape(self.question)}</b><ul>{offered}</ul><i>Run the cell to answer.</i>"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return self.box._repr_mimebundle_(**kwargs)


def quiz(question: str, answers: Mapping[str, str], right: str) -> Quiz:
    """A question with its answers, {answer: what is said to who chooses it}, of which one is right.

    Raises InputError where the right one is not among them.
    """
    return Quiz(question, answers, right)
