"""Small files in the published form of MedMNIST, made anew for a test."""

import numpy as np

from studykit.datasets.medmnist import COLLECTIONS, file_name


def arrays(flag, size=28, counts=(24, 6, 10), seed=0):
    """{member: array}; a picture of a higher class is brighter, so that there is something to learn."""
    draw = np.random.default_rng(seed)
    facts = COLLECTIONS[flag]
    shape = (size,) * (3 if facts.volume else 2) + ((3,) if facts.channels == 3 else ())
    members = {}
    for part, count in zip(("train", "val", "test"), counts, strict=True):
        if facts.kind == "multilabel":
            labels = draw.integers(0, 2, (count, len(facts.classes)))
            level = labels[:, 0]
        else:
            labels = np.arange(count)[:, None] % len(facts.classes)
            level = labels[:, 0] / (len(facts.classes) - 1)
        noise = draw.integers(0, 56, (count, *shape))
        bright = (level * 199).astype(int).reshape(-1, *[1] * len(shape))
        members[f"{part}_images"] = (noise + bright).astype(np.uint8)
        members[f"{part}_labels"] = labels.astype(np.uint8)
    return members


def medmnist(folder, flag="breastmnist", size=28, **changed):
    """A folder with one file; `changed` members take the place of the drawn ones, None leaves one out."""
    folder.mkdir(parents=True, exist_ok=True)
    members = {**arrays(flag, size), **changed}
    kept = {name: values for name, values in members.items() if values is not None}
    np.savez_compressed(folder / file_name(flag, size), **kept)
    return folder
