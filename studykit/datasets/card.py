"""What a person should know of a data set before looking at a single number of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from studykit.catalog import InputError


@dataclass(frozen=True)
class Card:
    """title: what it is, in a phrase. citation: whom to cite, with the DOI. licence: what one may do with it.

    source: the publisher's address. label: where the label comes from. group: what keeps cases together.
    defects: known ones, a sentence each. refused: columns that cannot be inputs, and why not.
    """

    title: str
    citation: str
    licence: str
    source: str = ""
    label: str = ""
    group: str = ""
    defects: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)

    def check_columns(self, columns: Iterable[str]) -> None:
        """InputError for a column that is refused."""
        for column in columns:
            if column in self.refused:
                raise InputError(
                    f"The column '{column}' of {self.title} cannot be an input: {self.refused[column]}. "
                    "Take it out of 'columns'."
                )

    def __str__(self) -> str:
        """One line a fact."""
        lines = [self.title]
        for name in ("source", "citation", "licence", "label", "group"):
            if getattr(self, name):
                lines.append(f"{name}: {getattr(self, name)}")
        lines += [f"defect: {sentence}" for sentence in self.defects]
        lines += [f"refused: '{column}', {why}" for column, why in self.refused.items()]
        return "\n".join(lines)
