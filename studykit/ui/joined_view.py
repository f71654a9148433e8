"""Readers beside one model: what the views of their cases share."""

import panel as pn
import param

from studykit.ui.read_cases import beside
from studykit.ui.session import Session
from studykit.ui.studies import Studies


class JoinedView(pn.viewable.Viewer):
    """The visitor's study beside the session's model; a case that is chosen becomes the session's.

    `_table` is what `beside` gives of them, anew with each study and model; then `_offer` is called.
    """

    studies = param.ClassSelector(class_=Studies)
    session = param.ClassSelector(class_=Session)
    opened = param.Event(doc="a case was chosen")

    def __init__(self, studies: Studies, session: Session | None = None, **params):
        super().__init__(studies=studies, session=session, **params)
        self._join()

    @param.depends("studies.study", "session.model", watch=True)
    def _join(self) -> None:
        self._table = beside(self.studies, self.session)
        self._offer()

    def _offer(self) -> None:
        """Offer what can be chosen of the table."""
        raise NotImplementedError

    @property
    def _whose(self) -> tuple[str, str]:
        """The study, and the model where there is one."""
        return self.studies.study, self.session.model if self.session else ""

    def _open(self, case: str) -> None:
        self.session.case = case
        self.param.trigger("opened")
