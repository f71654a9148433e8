"""What a data set must answer before anybody trains on it, one check a file; importing this joins them."""

from studykit.audit.check import COLUMNS, Check, Finding, checked
from studykit.audit.classes import Classes
from studykit.audit.columns import Columns
from studykit.audit.duplicates import Duplicates
from studykit.audit.groups import Groups
from studykit.audit.looked import Looked
from studykit.audit.masks import Masks
from studykit.audit.missing import Missing
from studykit.audit.personal import Personal
from studykit.audit.pictures import Pictures
from studykit.audit.report import report
from studykit.audit.split import Split

__all__ = [
    "COLUMNS",
    "Check",
    "Classes",
    "Columns",
    "Duplicates",
    "Finding",
    "Groups",
    "Looked",
    "Masks",
    "Missing",
    "Personal",
    "Pictures",
    "Split",
    "checked",
    "report",
]
