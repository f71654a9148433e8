import pandas as pd
import pytest

from datasets.layouts import picture
from studykit.catalog import InputError
from studykit.datasets.grouping import grouped, listed_groups


@pytest.fixture
def pictures(tmp_path):
    for name, seed in (("one", 1), ("two", 2), ("again", 1)):
        picture(seed).save(tmp_path / f"{name}.png")
    return {name: tmp_path / f"{name}.png" for name in ("one", "two", "again")}


def write(folder, rows):
    pd.DataFrame(rows, columns=["file", "group"]).to_csv(folder / "index.csv", index=False)


def test_without_an_index_the_same_pixels_are_a_group_and_the_doubt_is_told(pictures, tmp_path):
    found = grouped(tmp_path, pictures)
    assert found.groups["one"] == found.groups["again"] != found.groups["two"]
    note = found.notes("Knees", tmp_path)[0]
    assert note.startswith(
        f"Knees has no patient identifiers and no index.csv with groups stands in {tmp_path}"
    )
    assert "1 exact duplicates" in note and found.files == []


def test_the_same_pixels_in_another_shape_are_another_picture(tmp_path):
    shapes = {"wide": (60, 40), "high": (40, 60)}
    for name, size in shapes.items():
        picture(1).resize((1, 1)).resize(size).save(tmp_path / f"{name}.png")
    groups = grouped(tmp_path, {name: tmp_path / f"{name}.png" for name in shapes}).groups
    assert groups["wide"] != groups["high"]


def test_an_index_is_joined_by_file_name_and_not_by_order(pictures, tmp_path):
    write(tmp_path, [("b/two.png", "g2"), ("x/stranger.png", "g9"), ("a/one.png", "g1"), ("again.png", "g2")])
    found = grouped(tmp_path, pictures)
    assert found.groups == {"one": "g1", "two": "g2", "again": "g2"}
    assert found.notes("Knees", tmp_path) == [] and found.files == [tmp_path / "index.csv"]


def test_an_index_without_groups_is_somebody_elses(pictures, tmp_path):
    (tmp_path / "index.csv").write_text("file,size\none.png,3\n")
    assert listed_groups(tmp_path, pictures) is None
    assert grouped(tmp_path, pictures).notes("Knees", tmp_path)


@pytest.mark.parametrize("rows", [[("one.png", "g1")], [("one.png", "g1"), ("two.png", None)]])
def test_an_index_that_leaves_a_picture_out_gets_a_sentence(pictures, tmp_path, rows):
    write(tmp_path, rows)
    with pytest.raises(InputError, match=r"index\.csv gives no group for 'two'; add its row"):
        grouped(tmp_path, pictures)


def test_an_index_that_contradicts_itself_gets_a_sentence(pictures, tmp_path):
    write(tmp_path, [("a/one.png", "g1"), ("b/one.png", "g2")])
    with pytest.raises(InputError, match=r"index\.csv gives 'one\.png' two groups"):
        grouped(tmp_path, pictures)


@pytest.mark.parametrize("content", [b"file,group\n\xe9.png,g1\n", b"file,group\na,b\na,b,c,d\n"])
def test_an_index_that_is_no_table_gets_a_sentence(pictures, tmp_path, content):
    (tmp_path / "index.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"index\.csv (holds letters .* 'CSV UTF-8'|has 4 cells)"):
        grouped(tmp_path, pictures)


def test_a_broken_picture_gets_a_sentence(pictures, tmp_path):
    pictures["two"].write_bytes(pictures["two"].read_bytes()[:200])
    with pytest.raises(InputError, match=r"two\.png cannot be read"):
        grouped(tmp_path, pictures)
