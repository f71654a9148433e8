"""One modality alone: what a fusion model must beat, with the same encoder and the same last layer."""

from studykit.case import Schema
from studykit.models.concat import SideBySide
from studykit.models.encoders import Columns, Encoder, Residual, Timm
from studykit.models.words import Words


class Alone(SideBySide, name="alone"):
    """Settings: the modality by name (InputError where the data lacks it), the rest as in `concat`."""

    def __init__(
        self,
        schema: Schema,
        *,
        modality: str = "image",
        image: Encoder = Timm(),
        volume: Encoder = Residual(),
        table: Encoder = Columns(),
        text: Encoder = Words(),
        hidden: int = 0,
        dropout: float = 0.5,
    ):
        super().__init__(schema, (schema.modality(modality),), image, volume, table, text, hidden, dropout)

    @classmethod
    def takes(cls) -> str:  # noqa: D102
        return "one modality, by name"
