"""Ratings for the tests of agreement: printed tables, published files, random ones."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import strategies as st

NAN = np.nan
# Krippendorff's four observers; in Gwet's table the lone rating of the last unit is the third rater's
KRIPPENDORFF = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)
GWET = KRIPPENDORFF.copy()
GWET[[1, 2], 11] = NAN, 3
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
).T
COHEN_1968 = [[88, 14, 18], [10, 40, 10], [2, 6, 12]]
FLEISS_LEVIN_PAIK = [[75, 1, 4], [5, 4, 1], [0, 0, 10]]
PARADOX = [[118, 5], [2, 0]]
TEXTBOOK = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip


def long(ratings, **more):
    """The long table of ratings (readers, cases)."""
    ratings = np.asarray(ratings)
    reader, case = np.indices(ratings.shape)
    made = {"reader": reader.ravel(), "case": case.ravel(), "rating": ratings.ravel()}
    return pd.DataFrame(made).assign(**more)


def crossed(counts):
    """Two readers' ratings of the cases that a square table counts."""
    return np.array([(k, j) for k, row in enumerate(counts) for j, n in enumerate(row) for _ in range(n)]).T


def counted(counts):
    """Anonymous ratings that a table of cases x categories counts."""
    rows = [(case, k) for case, row in enumerate(counts) for k, n in enumerate(row) for _ in range(n)]
    return pd.DataFrame(rows, columns=["case", "rating"])


def published(path):
    """A file of the readers' folder, one column a reader, as (readers, cases)."""
    return pd.read_csv(Path(os.environ["STUDYKIT_DATA"]) / "readers" / path)


def lidc(exactly=0):
    """Malignancy of LIDC's nodules as readers, who have no names, rated it; `exactly`: ratings a nodule."""
    told = published("lidc/lidc_radiologist_ratings_long.csv")
    told = told.rename(columns={"nodule_id": "case", "patient_id": "patient", "malignancy": "rating"})
    told = told[["case", "patient", "rating"]].assign(reader=np.nan)
    return told[told.groupby("case")["rating"].transform("size") == exactly] if exactly else told


def value(told, statistic, column="estimate", group="all"):
    """One number of a statistic's table."""
    found = told[(told["statistic"] == statistic) & (told["group"] == group)]
    assert len(found) == 1, told
    return found[column].iloc[0]


def drawn(seed, readers, cases, categories, missing=0.0):
    """Ratings (readers, cases) of 0 to categories - 1 that agree somewhat; NaN where missing."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, categories, cases)
    own = rng.integers(0, categories, (readers, cases))
    x = np.where(rng.random((readers, cases)) < 0.6, true, own).astype(float)
    x[rng.random(x.shape) < missing] = np.nan
    return x


SEEDS = st.integers(0, 2**32 - 1)
