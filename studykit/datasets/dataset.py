"""What every data set answers: which cases there are, and one case's picture, outline and record.

A data set is a `Named` class. It knows its files and its labels and nothing of folds; what is
fitted on a training fold (the record's scaling and categories) lives in `record.py`, and `prepared.py`
joins the two into batches.
"""

import hashlib
import json
import os
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from studykit.case import Modality, Task
from studykit.catalog import InputError, Named, spec


class Dataset(Named):
    """A set of cases, each with pictures (images or volumes), perhaps a record, and a label.

    card: source, citation, licence and known defects, in plain sentences.
    simulated: True where the cases are phantoms; pages then wear a badge.
    pictures: the image and volume modalities, in the order in which they are shown.
    record: the columns of `cases` that make the modality "record"; empty where there is none.
    tasks: what can be predicted; each task's name is a column of `cases` holding class names.
    """

    card: ClassVar[str]
    simulated: ClassVar[bool] = False
    pictures: tuple[Modality, ...]
    record: tuple[str, ...]
    tasks: tuple[Task, ...]

    @cached_property
    def cases(self) -> pd.DataFrame:
        """One row a case, indexed by `id`: `group` (patient), the tasks' columns, the record's columns."""
        raise NotImplementedError

    def picture(self, case: str, modality: str) -> np.ndarray:
        """The picture of one case, (C, H, W) float32 in [0, 1]; of a volume (C, D, H, W)."""
        raise NotImplementedError

    def mask(self, case: str, modality: str) -> np.ndarray:
        """The reference outline of one case, (H, W) or (D, H, W) bool; all False where there is none."""
        raise NotImplementedError

    def planted(self, case: str) -> str:
        """Where a phantom's evidence was put in this case, in a few words; empty for real cases."""
        return ""

    def notes(self) -> list[str]:
        """Sentences about these very cases that a person should read beside any result."""
        return []

    def files(self) -> list[Path]:
        """The files that the cases come from; none for phantoms."""
        return []

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the settings (but for where the folder stands), the case table and every file."""
        settings = {key: value for key, value in spec(self).items() if key != "folder"}
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        digest.update(self.cases.to_csv().encode())
        for path in sorted(self.files()):
            digest.update(path.name.encode() + path.read_bytes())
        return digest.hexdigest()[:16]


def find_folder(given: str, name: str) -> Path:
    """The folder of the data set `name`: the given one, $STUDYKIT_DATA/name, or data/name.

    Raises InputError naming every place that was looked at.
    """
    if given:
        places = [Path(given).expanduser()]
    else:
        home = os.environ.get("STUDYKIT_DATA")
        places = [Path(home) / name] if home else []
        places.append(Path("data") / name)
    for place in places:
        if place.is_dir():
            return place
    looked = " and ".join(str(place) for place in places)
    raise InputError(
        f"The data set {name} is not here (looked at {looked}); put its folder there, set "
        f"STUDYKIT_DATA to the folder that holds {name}, or give the recipe's dataset a 'folder'."
    )
