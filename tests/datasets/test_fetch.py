import hashlib
import io
import json
import shutil
import zipfile
from collections import namedtuple

import numpy as np
import pytest
import requests

from datasets import layouts, layouts_medmnist
from datasets.publisher import published
from studykit.catalog import InputError
from studykit.datasets import BUSI, fetch
from studykit.datasets.downloads import DOWNLOADS, Download, Part
from studykit.datasets.medmnist import MedMNIST
from studykit.files import unpack


@pytest.fixture
def publisher(monkeypatch):
    monkeypatch.setattr(fetch, "PAUSES", (0, 0))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with published() as server:
        yield server


@pytest.fixture
def bring(publisher, monkeypatch, tmp_path):
    """A function that fetches files of the publisher, as if they were the data set busi."""

    def bring(*parts, target="BUSI", agree=lambda offer: True, **more):
        parts = tuple(
            Part(f"http://{publisher.host}/{file}", file, **facts)
            for file, facts in (part if isinstance(part, tuple) else (part, {}) for part in parts)
        )
        monkeypatch.setitem(DOWNLOADS, "busi", Download(target, "ask at the desk", parts))
        told = []
        place = fetch.fetch(
            "busi", tmp_path / "home", agree, **{"tell": told.append, "plain": (publisher.host,), **more}
        )
        bring.told = told
        return place

    bring.home = tmp_path / "home"
    return bring


def standing(home):
    """All that stands in the home of data sets, hidden things included."""
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def zipped(members):
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return kept.getvalue()


def folder_zipped(folder, top=""):
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return zipped({f"{top}{name}": path.read_bytes() for name, path in files.items()})


RANDOM = np.random.default_rng(0).bytes(3 * 2**20 + 17)
SHA256 = f"sha256:{hashlib.sha256(RANDOM).hexdigest()}"


def test_a_file_comes_whole_after_a_person_saw_what_it_is(publisher, bring):
    publisher.files["/a.bin"] = RANDOM
    offers, seen = [], []
    place = bring(
        ("a.bin", {"bytes": len(RANDOM), "checksum": SHA256}),
        target="BUSI/a.bin",
        agree=lambda offer: offers.append(offer) or True,
        watch=lambda *came: seen.append(came),
    )
    assert place == bring.home / "BUSI" / "a.bin" and place.read_bytes() == RANDOM
    card = BUSI.card
    for fact in (publisher.host, "3.1 MB", card.licence, card.citation, card.title, str(place)):
        assert fact in offers[0]
    assert seen == sorted(seen) and len(seen) > 9 and seen[-1] == ("a.bin", len(RANDOM), len(RANDOM))
    assert standing(bring.home) == ["BUSI/a.bin", "BUSI/a.bin.sha256"]
    assert bring.told == [f"{place} stands. Please cite {card.citation}."]


def test_where_a_person_does_not_agree_nothing_is_requested(publisher, bring):
    publisher.files["/a.bin"] = RANDOM
    assert bring("a.bin", agree=lambda offer: False) is None
    assert publisher.asked == [] and not bring.home.exists() and bring.told == ["Nothing was fetched."]


def test_a_broken_connection_goes_on_where_it_stopped(publisher, bring):
    publisher.files["/a.bin"] = RANDOM
    publisher.cuts = [2**20 + 5]  # what is not a whole piece comes again
    place = bring(("a.bin", {"checksum": SHA256}), target="a.bin")
    tag = f'"{hashlib.md5(RANDOM).hexdigest()}"'
    assert publisher.asked == [("/a.bin", None, None), ("/a.bin", f"bytes={2**20}-", tag)]
    assert place.read_bytes() == RANDOM


def test_two_programs_do_not_fetch_into_one_place(publisher, bring):
    publisher.files["/a.bin"] = RANDOM
    said = []

    def watch(*came):
        if not said:
            with pytest.raises(InputError, match="Another program is fetching") as caught:
                bring(("a.bin", {"checksum": SHA256}), target="a.bin")
            said.append(caught)

    place = bring(("a.bin", {"checksum": SHA256}), target="a.bin", watch=watch)
    assert said and place.read_bytes() == RANDOM


def test_a_fetch_that_was_given_up_goes_on_the_next_time(publisher, bring, monkeypatch):
    publisher.files["/a.bin"] = RANDOM
    monkeypatch.setattr(fetch, "PAUSES", ())
    publisher.cuts = [2 * 2**20]
    with pytest.raises(
        InputError, match=r"2\.1 MB came and are kept: fetch again later.* By hand: ask at the"
    ):
        bring(("a.bin", {"checksum": SHA256}), target="a.bin")
    assert standing(bring.home) == [".a.bin.partial/a.bin.json", ".a.bin.partial/a.bin.partial"]
    place = bring(("a.bin", {"checksum": SHA256}), target="a.bin")
    assert [asked[1] for asked in publisher.asked] == [None, f"bytes={2 * 2**20}-"]
    assert place.read_bytes() == RANDOM and standing(bring.home) == ["a.bin", "a.bin.sha256"]


def test_a_file_that_changed_meanwhile_comes_anew(publisher, bring, monkeypatch):
    publisher.files["/a.bin"] = bytes(len(RANDOM))
    monkeypatch.setattr(fetch, "PAUSES", ())
    publisher.cuts = [2**20]
    with pytest.raises(InputError, match="breaks off"):
        bring("a.bin", target="a.bin")
    publisher.files["/a.bin"] = RANDOM
    assert bring("a.bin", target="a.bin").read_bytes() == RANDOM
    assert publisher.asked[1][1] == f"bytes={2**20}-"


@pytest.mark.parametrize(("ranges", "tags"), [(False, True), (True, False), (True, "weak"), (False, False)])
def test_a_server_that_cannot_go_on_is_asked_for_the_whole_again(publisher, bring, ranges, tags):
    publisher.files["/a.bin"] = RANDOM
    publisher.ranges, publisher.tags, publisher.cuts = ranges, tags, [2**20]
    assert bring("a.bin", target="a.bin").read_bytes() == RANDOM
    assert [asked[1] for asked in publisher.asked] == [None, f"bytes={2**20}-" if tags is True else None]


def test_as_long_as_something_comes_it_is_tried_again(publisher, bring):
    publisher.files["/a.bin"] = RANDOM
    publisher.cuts = [2**18] * 9
    assert bring("a.bin", target="a.bin").read_bytes() == RANDOM
    assert len(publisher.asked) == 10


def test_what_was_whole_when_the_program_was_killed_is_not_asked_for_again(publisher, bring):
    hidden = bring.home / ".a.bin.partial"
    hidden.mkdir(parents=True)
    (hidden / "a.bin.partial").write_bytes(RANDOM)
    (hidden / "a.bin.json").write_text(json.dumps({"bytes": len(RANDOM), "mark": '"m"'}))
    assert bring("a.bin", target="a.bin").read_bytes() == RANDOM and publisher.asked == []


def test_a_length_that_only_we_know_is_held_against_what_comes(publisher, bring):
    publisher.files["/a.bin"] = RANDOM
    publisher.lengths = False
    with pytest.raises(InputError, match=rf"{len(RANDOM)} of {len(RANDOM) + 1} bytes came"):
        bring(("a.bin", {"bytes": len(RANDOM) + 1}), target="a.bin")
    with pytest.raises(InputError, match=r"a\.bin is longer than the 3\.1 MB that were announced"):
        bring(("a.bin", {"bytes": len(RANDOM) - 1}), target="b.bin")
    assert bring(("a.bin", {"bytes": len(RANDOM)}), target="c.bin").read_bytes() == RANDOM


def test_a_server_that_goes_on_from_elsewhere_is_not_believed(publisher, bring, monkeypatch):
    publisher.files["/a.bin"] = RANDOM
    publisher.cuts = [2**20]
    check, answered = fetch._check_answer, []

    def elsewhere(response, *rest):
        if response.status_code == 206 and not answered:
            answered.append(response.headers.__setitem__("Content-Range", "bytes 7-9/10"))
        check(response, *rest)

    monkeypatch.setattr(fetch, "_check_answer", elsewhere)
    assert bring("a.bin", target="a.bin").read_bytes() == RANDOM
    assert [asked[1] for asked in publisher.asked] == [None, f"bytes={2**20}-", None]


def test_a_wrong_check_sum_leaves_nothing_but_a_sentence(publisher, bring):
    publisher.files["/a.bin"] = RANDOM[:-1] + b"x"
    with pytest.raises(
        InputError, match=r"a\.bin has not the check sum sha256:.* Nothing of it was kept\. By"
    ):
        bring(("a.bin", {"checksum": SHA256}), target="a.bin")
    assert standing(bring.home) == [] and list(bring.home.iterdir()) == []


def test_a_truncated_file_leaves_nothing_under_its_name(publisher, bring):
    publisher.files["/a.bin"] = RANDOM
    publisher.cuts = [2**17] + [2**16] * 9
    publisher.ranges = False
    with pytest.raises(InputError, match="The connection to .* breaks off"):
        bring("a.bin", target="a.bin")
    assert not (bring.home / "a.bin").exists() and len(publisher.asked) == 3


def test_another_length_than_known_is_refused_before_it_is_read(publisher, bring):
    publisher.files["/a.bin"] = RANDOM
    with pytest.raises(InputError, match=rf"a\.bin has {len(RANDOM)} bytes at its publisher and not the 99 "):
        bring(("a.bin", {"bytes": 99}), target="a.bin")
    assert standing(bring.home) == []


@pytest.mark.parametrize(("status", "requests_made"), [(404, 1), (403, 1), (503, 3), (429, 3)])
def test_errors_of_the_server_are_told_and_passing_ones_tried_again(publisher, bring, status, requests_made):
    publisher.answers["/a.bin"] = (status, {})
    with pytest.raises(InputError, match=rf"answers {status}.* By hand: ask at the desk"):
        bring("a.bin", target="a.bin")
    assert len(publisher.asked) == requests_made and list(bring.home.iterdir()) == []


def test_a_redirect_is_followed_and_one_that_is_not_encrypted_refused(publisher, bring):
    publisher.files["/b.bin"] = RANDOM
    publisher.answers["/a.bin"] = (302, {"Location": "/b.bin"})
    assert bring("a.bin", target="a.bin").read_bytes() == RANDOM
    publisher.answers["/a.bin"] = (302, {"Location": f"http://localhost:{publisher.server_port}/b.bin"})
    with pytest.raises(InputError, match=r"http://localhost:\d+/b\.bin is not encrypted"):
        bring("a.bin", target="c.bin")
    publisher.answers["/a.bin"] = (302, {"Location": "/a.bin"})
    with pytest.raises(InputError, match="without end"):
        bring("a.bin", target="c.bin")


def test_only_encrypted_addresses_are_asked_unless_a_test_says_so(publisher, bring):
    publisher.files["/a.bin"] = RANDOM
    with pytest.raises(InputError, match="is not encrypted"):
        bring("a.bin", plain=())
    assert publisher.asked == []


def test_no_network_gets_a_sentence(bring, monkeypatch):
    def nowhere(*args, **more):
        raise requests.ConnectionError("no route")

    monkeypatch.setattr(requests, "get", nowhere)
    with pytest.raises(InputError, match=r"breaks off \(no route\).*By hand: ask at the desk"):
        bring("a.bin")


def test_what_stands_already_is_never_touched(publisher, bring):
    mine = bring.home / "BUSI" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert bring("a.zip") == bring.home / "BUSI"
    assert (
        publisher.asked == []
        and standing(bring.home) == ["BUSI/mine.txt"]
        and "stands already" in bring.told[0]
    )


def test_a_folder_made_while_the_archive_came_is_left_as_it_is(publisher, bring):
    publisher.files["/a.zip"] = zipped({"new.txt": "new"})

    def meanwhile(*came):
        (bring.home / "BUSI").mkdir(exist_ok=True)
        (bring.home / "BUSI" / "mine.txt").write_text("mine")

    with pytest.raises(InputError, match="BUSI was made meanwhile by another program"):
        bring(("a.zip", {"into": "."}), watch=meanwhile)
    assert [name for name in standing(bring.home) if name.startswith("BUSI/")] == ["BUSI/mine.txt"]


def test_without_a_known_check_sum_the_first_one_is_noted_and_compared(publisher, bring):
    publisher.files["/a.zip"] = zipped({"one.txt": "1"})
    bring(("a.zip", {"into": "."}))
    digest = hashlib.sha256(publisher.files["/a.zip"]).hexdigest()
    assert (bring.home / "BUSI.sha256").read_text() == f"{digest}  a.zip\n" and digest in bring.told[0]
    shutil.rmtree(bring.home / "BUSI")
    bring(("a.zip", {"into": "."}))
    shutil.rmtree(bring.home / "BUSI")
    publisher.files["/a.zip"] = zipped({"one.txt": "2"})
    with pytest.raises(
        InputError, match=r"a\.zip is not the file that was fetched before.*remove BUSI\.sha256"
    ):
        bring(("a.zip", {"into": "."}))
    assert standing(bring.home) == ["BUSI.sha256"]


def test_a_full_disk_is_told_before_anything_is_asked_or_written(publisher, bring, monkeypatch):
    publisher.files["/a.bin"] = RANDOM
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(10**12, 0, 10**8))
    with pytest.raises(InputError, match=r"The disk has 100\.0 MB free, and 271\.6 MB are needed"):
        bring(("a.bin", {"bytes": len(RANDOM)}), target="a.bin")
    assert publisher.asked == [] and list(bring.home.iterdir()) == []


def test_a_disk_that_fills_up_meanwhile_stops_the_fetch_and_keeps_what_came(publisher, bring, monkeypatch):
    publisher.files["/a.bin"] = RANDOM
    usage, partial = namedtuple("usage", "total used free"), bring.home / ".a.bin.partial" / "a.bin.partial"

    def filling(place):
        full = partial.exists() and partial.stat().st_size >= 2 * 2**20
        return usage(10**12, 0, 10**5 if full else 10**10)

    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", filling)
        with pytest.raises(InputError, match=r"The disk has 0\.1 MB free"):
            bring("a.bin", target="a.bin")
    assert bring("a.bin", target="a.bin").read_bytes() == RANDOM
    assert publisher.asked[1][1] == f"bytes={2 * 2**20}-"


def test_a_home_that_cannot_be_written_gets_a_sentence(bring):
    bring.home.write_text("a file, no folder")
    with pytest.raises(InputError, match="home cannot be written .* By hand"):
        bring("a.bin")


@pytest.mark.parametrize("top", ["", "Dataset_BUSI_with_GT/"])
def test_an_archive_becomes_the_data_set_whether_it_has_a_top_folder_or_not(publisher, bring, tmp_path, top):
    source = layouts.busi(tmp_path / "source") / "Dataset_BUSI_with_GT"
    publisher.files["/busi.zip"] = folder_zipped(source, top)
    place = bring(("busi.zip", {"into": "Dataset_BUSI_with_GT"}))
    assert len(BUSI(folder=str(place)).cases) == 16 and BUSI(folder=str(place)).mask("benign (1)").any()
    assert {name.split("/")[0] for name in standing(bring.home)} == {"BUSI", "BUSI.sha256"}


def test_several_files_and_archives_in_an_archive_become_one_folder(publisher, bring):
    inner = zipped({"imgs_part_1/a.png": "a", "__MACOSX/._a.png": "litter"})
    publisher.files["/all.zip"] = zipped({"images/imgs_part_1.zip": inner, "metadata.csv": "id"})
    publisher.files["/table.csv"] = b"one"
    place = bring(("all.zip", {"into": "."}), ("table.csv", {}))
    assert standing(place) == ["images/imgs_part_1/a.png", "metadata.csv", "table.csv"]


def test_a_fetched_file_of_medmnist_is_read(publisher, bring, tmp_path):
    npz = layouts_medmnist.medmnist(tmp_path / "source") / "breastmnist.npz"
    publisher.files["/breastmnist.npz"] = npz.read_bytes()
    place = bring("breastmnist.npz", target="MedMNIST/breastmnist.npz")
    assert len(MedMNIST(folder=str(place.parent)).cases) == 40


@pytest.mark.parametrize(
    "content", [zipped({"ok.txt": "ok", "../evil.txt": "x"}), b"<html>Please sign in</html>"]
)
def test_an_archive_that_is_refused_leaves_nothing_but_a_sentence(publisher, bring, content):
    publisher.files["/a.zip"] = content
    with pytest.raises(InputError, match=r"a\.zip .*Nothing of it was kept\. By hand: ask at the desk"):
        bring(("a.zip", {"into": "."}))
    assert standing(bring.home.parent) == []
    publisher.files["/a.zip"] = zipped({"ok.txt": "ok"})
    assert standing(bring(("a.zip", {"into": "."}))) == ["ok.txt"]


def test_no_room_to_unpack_keeps_what_came_for_the_next_time(publisher, bring, monkeypatch):
    publisher.files["/a.zip"] = zipped({"a": bytes(10**6)})
    room, calls = unpack.check_room, []
    with monkeypatch.context() as full:
        full.setattr(unpack, "SPARE", 10**15)
        full.setattr(fetch, "check_room", lambda folder, needed: calls.append(needed))
        with pytest.raises(InputError, match="The disk has"):
            bring(("a.zip", {"into": "."}))
    assert fetch.check_room is room and calls
    place = bring(("a.zip", {"into": "."}))
    assert standing(place) == ["a"] and len(publisher.asked) == 1


def test_where_an_account_is_needed_a_person_is_told_what_to_do(bring):
    with pytest.raises(InputError, match="No program may fetch busi. By hand: ask at the desk"):
        bring(agree=lambda offer: pytest.fail("there is nothing to agree to"))
