"""Parts of pages that also work in a notebook cell."""

import panel as pn

pn.extension("tabulator", notifications=False, inline=True)  # notebooks work with no internet, too

from studykit.ui.address import follow_address  # noqa: E402  (Panel's extension comes first)
from studykit.ui.asking_view import AskingView  # noqa: E402
from studykit.ui.attention_view import AttentionView  # noqa: E402
from studykit.ui.case_filter import CaseFilter  # noqa: E402
from studykit.ui.case_table import CaseTable  # noqa: E402
from studykit.ui.case_view import CaseView  # noqa: E402
from studykit.ui.cases_view import CasesView  # noqa: E402
from studykit.ui.contribution_view import ContributionView  # noqa: E402
from studykit.ui.frame import frame, framed  # noqa: E402
from studykit.ui.gallery_view import GalleryView  # noqa: E402
from studykit.ui.keys import Keys  # noqa: E402
from studykit.ui.models_view import ModelsView  # noqa: E402
from studykit.ui.new_page import load_in_new_pages  # noqa: E402
from studykit.ui.quality_view import QualityView  # noqa: E402
from studykit.ui.serve import runs_here  # noqa: E402
from studykit.ui.session import Session  # noqa: E402
from studykit.ui.studies import Studies  # noqa: E402
from studykit.ui.trust_view import TrustView  # noqa: E402

__all__ = [
    "AskingView", "AttentionView", "CaseFilter", "CaseTable", "CaseView", "CasesView", "ContributionView",
    "GalleryView", "Keys", "ModelsView", "QualityView", "Session", "Studies", "TrustView", "follow_address",
    "frame", "framed", "runs_here",
]  # fmt: skip

load_in_new_pages()
