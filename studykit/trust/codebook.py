"""A codebook: what free texts may be called, with a definition and an example for each code."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from studykit.catalog import InputError
from studykit.whole import write_whole


@dataclass(frozen=True)
class Code:
    """One code: its name, when it applies, and a text that it applies to."""

    code: str
    definition: str = ""
    example: str = ""


@dataclass(frozen=True)
class Codebook:
    """Codes in order; written as a JSON list of objects with code, definition, example."""

    codes: tuple[Code, ...]

    def __post_init__(self):
        names = [code.code for code in self.codes]
        for name in names:
            if not isinstance(name, str) or not name.strip():
                raise InputError(f"A code of the codebook has no name, but {name!r}; give it one.")
            if names.count(name) > 1:
                raise InputError(f"The codebook has the code '{name}' twice; keep one.")

    @property
    def names(self) -> tuple[str, ...]:
        """The codes' names, in order: the setting `codes` of `FreeText`."""
        return tuple(code.code for code in self.codes)

    def write(self, path: Path | str) -> None:
        """The codebook as JSON, whole or not at all."""
        told = [asdict(code) for code in self.codes]
        write_whole(Path(path), json.dumps(told, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path | str) -> "Codebook":
        """The codebook that a file holds. Raises InputError where it is none."""
        try:
            told = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as why:
            raise InputError(f"The codebook {path} cannot be read: {why}.") from None
        known = {"code", "definition", "example"}
        if not isinstance(told, list) or not all(
            isinstance(one, dict) and "code" in one and set(one) <= known for one in told
        ):
            raise InputError(f'The codebook {path} is a list of {{"code", "definition", "example"}} objects.')
        return cls(tuple(Code(**one) for one in told))
