import json
import os
import sys

import hypothesis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import strategies as st

from datasets import own_files
from datasets.own_files import own, used
from studykit.catalog import InputError


@pytest.fixture
def rows():
    return own_files.record_rows()


OPENED: list[str] = []  # what Python opened, while a test listens
LISTENING: list[bool] = []


def hook(event, arguments):
    if (
        LISTENING
        and event in ("open", "os.listdir", "os.scandir")
        and isinstance(arguments[0], str | os.PathLike)
    ):
        OPENED.append(os.fspath(arguments[0]))


sys.addaudithook(hook)


def secret_places(tmp_path):
    """What a table could name to reach beside its folder, and why it does not."""
    (tmp_path / "beside").mkdir()
    own_files.image(tmp_path / "beside" / "secret.png")
    own_files.nifti(tmp_path / "beside" / "secret.nii", np.ones((3, 3, 3)))
    (tmp_path / "beside" / "secret.txt").write_text("secret")
    (tmp_path / "own" / "photos").mkdir(parents=True)
    (tmp_path / "own" / "photos" / "link.png").symlink_to(tmp_path / "beside" / "secret.png")
    (tmp_path / "own" / "door").symlink_to(tmp_path / "beside")
    os.mkfifo(tmp_path / "own" / "photos" / "pipe.png")


@pytest.mark.parametrize(
    ("column", "cell", "sentence"),
    [
        ("photo", "../beside/secret.png", "not inside"),
        ("photo", "photos/../../beside/secret.png", "not inside"),
        ("photo", "{outside}/beside/secret.png", "not inside"),
        ("photo", "photos/link.png", "'link.png' is a link to another place"),
        ("photo", "door/secret.png", "'door' is a link to another place"),
        ("photo", "photos/pipe.png", "neither a file nor a folder"),
        ("photo", "photos", "an image is a file"),
        ("photo", "photos/gone.png", "restore the file or empty the cell"),
        ("photo_mask", "../beside/secret.png", "not inside"),
        ("photo_mask", "door/secret.png", "is a link"),
        ("report", "../beside/secret.txt", "not inside"),
        ("report", "door/secret.txt", "is a link"),
    ],
)
def test_nothing_outside_of_the_folder_is_opened(tmp_path, column, cell, sentence):
    secret_places(tmp_path)
    folder = own_files.photos(tmp_path / "own", 8)
    table = pd.read_csv(folder / "cases.csv", dtype=str, keep_default_na=False)
    for n in range(8):
        (folder / f"{n}.txt").write_text("a text of some words")
    table["report"] = [f"{n}.txt" for n in range(8)]
    table.loc[3, column] = cell.format(outside=tmp_path)
    table.to_csv(folder / "cases.csv", index=False)
    OPENED.clear()
    LISTENING.append(True)
    try:
        with pytest.raises(InputError, match=rf"Row 5 of cases.csv, column '{column}', names .*{sentence}"):
            used(own(folder))
    finally:
        LISTENING.clear()
    assert str(folder / "cases.csv") in OPENED
    assert not [
        path for path in OPENED if "beside" in path or "pipe" in path or "link" in path or "door" in path
    ]


@pytest.mark.parametrize("make", [own_files.photos, own_files.scans])
def test_reading_a_sound_folder_opens_nothing_else(tmp_path, make):
    folder = make(tmp_path / "own", 8)
    OPENED.clear()
    LISTENING.append(True)
    try:
        used(own(folder))
    finally:
        LISTENING.clear()
    ours = {path for path in OPENED if path.startswith(str(tmp_path))}
    assert len(ours) >= 17 and all(path.startswith(str(folder)) for path in ours)


@pytest.mark.parametrize("name", ["cases.csv", "cases.json"])
def test_the_table_itself_may_be_no_link(tmp_path, rows, name):
    folder = own_files.write(tmp_path / "own", rows, {})
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(InputError, match=rf"The folder .*own names '{name}', where '{name}' is a link"):
        own(folder).cases  # noqa: B018
    with pytest.raises(InputError, match="names '../cases.csv', which is not inside"):
        own(folder, table="../cases.csv").cases  # noqa: B018


WORDS = ["a", "b", "a&b", "", "NA", "no", "yes", "2,5", "one two three four five", "&", "=", "2020-01-02"]
PATHS = ["photo.png", "../x.png", "x.png", "report.txt", "", ".", "/", "photo.png/x.png"]
SOUND = [
    st.integers(20, 90), st.floats(-9, 9), st.sampled_from("fm"), st.sampled_from(["f", "m", None]),
    st.sampled_from(["photo.png", None]), st.booleans(), st.sampled_from(["a", "b", "a&b", "", "NA"]),
]  # fmt: skip
WILD = [
    st.integers(), st.floats(), st.dates(), st.text(max_size=6),
    st.sampled_from(WORDS), st.sampled_from(PATHS),
    st.one_of(st.none(), st.integers(0, 3), st.sampled_from(WORDS), st.text(max_size=3)),
]  # fmt: skip
NAMED = ["patient", "age", "mask", "photo", "photo_mask", "group", "type", "record", "a=b", "Label", "report"]
NAMES = st.sampled_from(NAMED) | st.text(min_size=1, max_size=4)
TOLD = ["number", "category", "text", "image", "colour image", "volume", "mask of photo", "ignore", "x"]


@st.composite
def own_tables(draw):
    """Columns of a table, mostly sound, and what cases.json may say of them."""
    count = draw(st.integers(0, 3) | st.integers(6, 12))
    filled = st.sampled_from(SOUND).flatmap(lambda cells: st.lists(cells, min_size=count, max_size=count))
    columns = {"id": [f"c{n}" for n in range(count)], "label": ["ab"[n % 2] for n in range(count)]}
    columns["seen"] = draw(st.lists(SOUND[0], min_size=count, max_size=count))
    columns |= draw(st.dictionaries(NAMES, filled, max_size=4))
    told = {}
    if draw(st.booleans()):
        wild = draw(st.sampled_from(WILD))
        name = draw(NAMES | st.sampled_from(["id", "label"]))
        columns[name] = draw(st.lists(wild, min_size=count, max_size=count))
    elif draw(st.booleans()):
        told = draw(st.dictionaries(st.sampled_from([*columns][2:]), st.sampled_from(TOLD), max_size=2))
    return columns, told, draw(st.sampled_from(["csv", "typed.parquet", "parquet"]))


@hypothesis.settings(max_examples=250, deadline=None, derandomize=True, database=None)
@hypothesis.given(own_tables())
def test_any_table_works_or_is_told_in_one_sentence(tmp_path_factory, drawn):
    columns, told, ending = drawn
    folder = tmp_path_factory.mktemp("any")
    own_files.image(folder / "photo.png")
    frame = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})
    if ending == "parquet":
        frame = frame.astype("string")
    try:
        if ending == "csv":
            frame.to_csv(folder / "cases.csv", index=False)
        else:
            frame.to_parquet(folder / "cases.parquet")
    except (ValueError, TypeError, OverflowError, pa.ArrowException):  # such cells cannot be written
        hypothesis.reject()
    if told:
        (folder / "cases.json").write_text(json.dumps({"columns": told}))
    try:
        batch, notes, _ = used(own(folder, size=8, depth=2, volume_size=4))
    except InputError as why:
        hypothesis.event("is told")
        assert str(folder) in str(why) or "cases." in str(why)
        assert "\n" not in str(why)
    else:
        hypothesis.event("works")
        assert len(batch) and all(isinstance(note, str) for note in notes)
        for values in batch.inputs.values():
            assert values.dtype == torch.float32 and len(values) == len(batch)
