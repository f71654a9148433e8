"""Can every picture be read, does it show anything, and how large was it before it was fitted?"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from studykit.audit.check import Check, Finding
from studykit.audit.looked import Looked, plural, some

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp")


@dataclass(frozen=True)
class Pictures(Check, name="pictures"):
    """shown: the most files told one by one; the others are counted.

    A file that cannot be read is a problem, and so is a picture that is blank or whose values are not those
    of a picture. A finding's value is the number of pictures.
    """

    shown: int = 10

    title = "Whether every picture can be read"

    def __call__(self, looked: Looked) -> Iterator[Finding]:  # noqa: D102
        rows = looked.pictures
        yield from self._unread(rows)
        for modality in looked.dataset.pictures:
            own = rows[(rows["modality"] == modality.name) & (rows["error"] == "")]
            here = own[~own["absent"]]
            says = f"{plural(len(here), 'picture')} can be read, {int(own['absent'].sum())} are missing."
            yield Finding("fact", modality.name, says, here["case"].tolist(), len(here))
            for flaw, cases in here[here["flaw"] != ""].groupby("flaw")["case"]:
                says = f"{flaw}: {plural(len(cases), 'picture')}, {some(cases)}; "
                says += "replace the files or remove the cases."
                yield Finding("problem", modality.name, says, cases.tolist(), len(cases))
            if modality.kind == "image":
                yield from _sizes(looked, modality.name, here["case"].tolist())

    def _unread(self, rows: pd.DataFrame) -> Iterator[Finding]:
        failed = rows[rows["error"] != ""]
        sentences = list(failed.groupby("error", sort=False)["case"])
        for sentence, cases in sentences[: self.shown]:
            yield Finding("problem", "unreadable", sentence, cases.unique().tolist(), len(cases))
        rest = [case for _, cases in sentences[self.shown :] for case in cases]
        if rest:
            says = f"{plural(len(sentences) - self.shown, 'more file')} cannot be read, as those above."
            yield Finding("problem", "unreadable", says, list(dict.fromkeys(rest)), len(rest))


def _sizes(looked: Looked, modality: str, cases: list[str]) -> Iterator[Finding]:
    """The range of the original pictures' sizes, where they are files of a common format."""
    sizes = Counter()
    for case in cases:
        scan = next(iter(looked.dataset.sources(case, modality)), None)
        if scan is not None and Path(scan).suffix.lower() in SUFFIXES:
            with Image.open(scan) as image:  # reads the head of the file only
                sizes[image.size] += 1
    if not sizes:
        return
    (width, height), count = sizes.most_common(1)[0]
    if len(sizes) == 1:
        yield Finding("fact", modality, f"all originals are {width}x{height}.", cases, count)
        return
    says = f"originals are {min(w for w, _ in sizes)} to {max(w for w, _ in sizes)} pixels wide and "
    says += f"{min(h for _, h in sizes)} to {max(h for _, h in sizes)} high; "
    says += f"{count} of {sizes.total()} are {width}x{height}."
    yield Finding("fact", modality, says, cases, sizes.total())
