import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studykit.catalog import InputError
from studykit.files.places import files_in, inside, shown

WHERE = "Row 7 of cases.csv, column 'photo',"


@pytest.fixture
def root(tmp_path):
    """A folder with a file, a pipe, and links that lead out of it; a secret beside it."""
    (tmp_path / "secret.png").write_text("secret")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret.png").write_text("secret")
    root = tmp_path / "root"
    (root / "in" / "ner").mkdir(parents=True)
    (root / "in" / "ner" / "a.png").write_text("a")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "linked").symlink_to(tmp_path / "other")
    (root / "broken.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(root / "pipe.png")
    return root


@pytest.mark.parametrize("given", ["in/ner/a.png", "./in//ner/a.png", r"in\ner\a.png", "in/./ner/a.png"])
def test_a_path_below_the_folder_is_found(root, given):
    assert inside(root, given, WHERE) == root / "in" / "ner" / "a.png"


def test_a_folder_may_be_named(root):
    assert inside(root, "in/ner/", WHERE).is_dir()


@pytest.mark.parametrize(
    "given",
    ["../secret.png", "in/../../secret.png", r"..\secret.png", "/etc/passwd", r"\etc\passwd", "//server/x",
     r"C:\secret.png", "c:secret.png", "..", ".", "", "/", "in/.."],
)  # fmt: skip
def test_a_path_that_leads_out_is_refused(root, given):
    with pytest.raises(
        InputError, match=r"Row 7 of cases.csv, column 'photo', names .* is not inside .*/root;"
    ):
        inside(root, given, WHERE)


@pytest.mark.parametrize("given", ["link.png", "linked/secret.png", "linked", "broken.png"])
def test_links_are_refused_on_the_whole_way(root, given):
    with pytest.raises(InputError, match=r"Row 7 .* names .*, where '\w+(.png)?' is a link to another place"):
        inside(root, given, WHERE)


def test_links_back_into_the_folder_are_refused_too(root):
    (root / "again.png").symlink_to(root / "in" / "ner" / "a.png")
    with pytest.raises(InputError, match=r"'again.png' is a link"):
        inside(root, "again.png", WHERE)


def test_a_folder_reached_over_a_link_may_be_the_root(root, tmp_path):
    (tmp_path / "shortcut").symlink_to(root)
    assert inside(tmp_path / "shortcut", "in/ner/a.png", WHERE).read_text() == "a"


def test_a_pipe_is_never_opened(root):
    with pytest.raises(InputError, match="names 'pipe.png', which is neither a file nor a folder"):
        inside(root, "pipe.png", WHERE)


@pytest.mark.parametrize(
    "given", ["gone.png", "in/ner/a.png/b.png", "a\0b.png", "x" * 5000, "\ud800.png", "~/a.png"]
)
def test_what_is_not_there_gets_a_sentence_on_one_line(root, given):
    with pytest.raises(
        InputError, match=r"Row 7 .* names .*, which is not in .*/root; restore the file"
    ) as told:
        inside(root, given, WHERE)
    assert len(str(told.value)) < 500 and "\n" not in str(told.value)


def test_the_files_of_a_folder_are_plain_files(root, tmp_path):
    inner = root / "in" / "ner"
    (inner / ".hidden").write_text("")
    (inner / "deeper").mkdir()
    assert files_in(inner, WHERE) == [inner / "a.png"]
    with pytest.raises(
        InputError, match=r"Row 7 .* names 'root', where '(broken|link|linked|pipe)(.png)?' is"
    ):
        files_in(root, WHERE)
    (inner / "b.dcm").symlink_to(tmp_path / "secret.png")
    with pytest.raises(InputError, match=r"names 'ner', where 'b.dcm' is a link or no plain file"):
        files_in(inner, WHERE)


def test_long_and_broken_texts_are_shown_on_one_line():
    assert shown("a\nb") == r"'a\nb'" and len(shown("x" * 999)) == 62


WORDS = ["in", "ner", "a.png", "linked", "secret.png", "link.png", "pipe.png", "..", ".", "", "root", "other"]


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    st.one_of(
        st.lists(st.sampled_from(WORDS), max_size=6).map("/".join),
        st.lists(st.sampled_from([*WORDS, "/", "\\", "C:", "\0", " "]), max_size=6).map("\\".join),
        st.text(max_size=12),
    )
)
def test_no_text_leads_out_of_the_folder(standing, given):
    try:
        path = inside(standing, given, WHERE)
    except InputError as why:
        assert str(why).startswith(WHERE) and "\n" not in str(why)
    else:
        real = Path(os.path.realpath(path))
        assert real.is_relative_to(standing.resolve()) and real != standing.resolve()
        assert real == standing.resolve() / path.relative_to(standing)


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    return root.__wrapped__(tmp_path_factory.mktemp("places"))
