"""What every data set answers: which cases there are, and one case's pictures, outlines, record and texts.

A data set is a `Named` class. It knows its files and its labels and nothing of folds; what is fitted on a
training fold lives in `record.py` (scaling and categories) and `text.py` (the vocabulary), and
`prepared.py` joins them into batches.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from studykit.case import Modality, Task
from studykit.catalog import InputError, Named, spec
from studykit.datasets.card import Card


class Dataset(Named):
    """A set of cases, each with pictures (images or volumes), perhaps a record and texts, and a label.

    card: what a person should know of it. simulated: True for phantoms; pages then wear a badge.
    pictures: the image and volume modalities, in the order in which they are shown.
    record: the columns of `cases` that make the modality "record"; empty where there is none.
    texts: the columns of `cases` that hold free text; each is a modality of that name.
    tasks: what can be predicted; each task's name is a column of `cases` holding class names.
    """

    card: ClassVar[Card]
    simulated: ClassVar[bool] = False
    pictures: tuple[Modality, ...] = ()
    record: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    tasks: tuple[Task, ...]

    @cached_property
    def cases(self) -> pd.DataFrame:
        """One row a case, indexed by `id` (text): `group` (patient), the columns of tasks, record and texts.

        A missing value is NaN or None everywhere; a missing label makes a case that is looked at only.
        """
        raise NotImplementedError

    def picture(self, case: str, modality: str) -> np.ndarray:
        """The picture of one case, (C, H, W) float32 in [0, 1]; of a volume (C, D, H, W).

        NaN all over it where the case lacks this modality.
        """
        raise NotImplementedError

    def pixels(self, case: str, modality: str) -> np.ndarray:
        """What is kept of a picture: `picture` itself, or uint8 of which 255 is 1, where files hold bytes.

        Bytes are read faster, and four times as many pictures fit into memory.
        """
        return self.picture(case, modality)

    def mask(self, case: str, modality: str) -> np.ndarray:
        """The reference outline of one case, (H, W) or (D, H, W) bool; all False where there is none."""
        shape = next(m.shape for m in self.pictures if m.name == modality)
        return np.zeros(shape[1:], dtype=bool)

    def window_of(self, modality: str) -> tuple[float, ...]:
        """The values of a volume that become black and white, where they follow from other cases' files."""
        return ()

    @property
    def refused(self) -> Mapping[str, str]:
        """The columns that cannot be inputs, and why."""
        return self.card.refused

    def planted(self, case: str) -> str:
        """Where a phantom's evidence was put in this case, in a few words; empty for real cases."""
        return ""

    def evidence(self, case: str) -> Mapping[str, Any]:
        """A phantom's known answer: where in this case the label shows; empty for real cases.

        {picture: region (H, W) or (D, H, W) bool, "record": column names, text: the positions of words}.
        Modalities without evidence are not in it. What lies outside of it is drawn alike for all classes,
        and so is the form of the region itself.
        """
        return {}

    def notes(self) -> list[str]:
        """Sentences about these very cases that a person should read beside any result."""
        return []

    def sources(self, case: str, modality: str) -> list[Path]:
        """The files that one picture and its outline are read from; none where they are drawn."""
        return []

    def files(self) -> list[Path]:
        """The files that the cases come from; a data set with tables adds them."""
        names = [m.name for m in self.pictures]
        return [path for case in self.cases.index for name in names for path in self.sources(case, name)]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the settings (but for where the folder stands), the case table and every file."""
        settings = {key: value for key, value in spec(self).items() if key != "folder"}
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        digest.update(self.cases.to_csv().encode())
        for path in sorted(self.files()):
            digest.update(path.name.encode() + content(path))
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


def content(path: Path) -> bytes:
    """The bytes of a file that holds cases; InputError where it cannot be read.

    In a third of `Path.read_bytes`' system calls: at each of them threads wait for each other.
    """
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            size = os.fstat(file).st_size
            found = os.read(file, size)
            while 0 < len(found) < size and (more := os.read(file, size)):  # one call gives 2 GiB at most
                found += more
            return found
        finally:
            os.close(file)
    except OSError as why:
        raise InputError(
            f"The file {path} cannot be read ({why.strerror}); restore it or remove its case."
        ) from None
