import stat
from dataclasses import dataclass

import numpy as np
import pytest

from datasets import layouts
from studykit.catalog import InputError
from studykit.datasets import BUSI, BreastPhantom, Prepared
from studykit.datasets.cache import Cache, default_cache, key_maker
from studykit.datasets.loading import Cases, Pictures

FRACTION = np.random.default_rng(0).random((1, 6, 5)).astype(np.float32)
BYTES = np.arange(30, dtype=np.uint8).reshape(1, 6, 5)
BITS = FRACTION[0] > 0.5


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "kept")


def never():
    raise AssertionError("it was made again")


@pytest.mark.parametrize("values", [FRACTION, BYTES, BITS, np.full((1, 2, 2), np.nan, np.float32)])
def test_what_is_kept_comes_back_bit_by_bit(cache, values):
    assert cache.array("abc-picture", values.shape, lambda: values) is values
    again = cache.array("abc-picture", values.shape, never)
    assert again.dtype == values.dtype and np.array_equal(again, values, equal_nan=values.dtype == np.float32)


def test_pictures_of_whole_bytes_take_a_quarter_of_the_room(cache):
    cache.array("aa1", BYTES.shape, lambda: BYTES)
    cache.array("bb1", FRACTION.shape, lambda: FRACTION)
    small, large = ((cache.folder / name / "1").stat().st_size for name in ("aa", "bb"))
    assert small == 5 + 30 and large == 5 + 120


@pytest.mark.parametrize("damage", [b"", b"\x01", b"\x01abcd" + bytes(30), bytes([9]) + bytes(200)])
def test_a_damaged_entry_is_made_again(cache, damage):
    cache.array("aa1", BYTES.shape, lambda: BYTES)
    (cache.folder / "aa" / "1").write_bytes(damage)
    assert np.array_equal(cache.array("aa1", BYTES.shape, lambda: BYTES), BYTES)
    assert np.array_equal(cache.array("aa1", BYTES.shape, never), BYTES)


def test_only_its_owner_may_look_into_it(cache):
    cache.array("aa1", BYTES.shape, lambda: BYTES)
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    assert [path.name for path in (cache.folder / "aa").iterdir()] == ["1"]


def test_where_nothing_can_be_kept_reading_goes_on(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file" / "below")
    for _ in range(3):
        assert np.array_equal(cache.array("aa1", BYTES.shape, lambda: BYTES), BYTES)
    assert len(caplog.records) == 1 and "reading goes on" in caplog.text


def test_the_environment_says_where(monkeypatch, tmp_path):
    monkeypatch.setenv("STUDYKIT_CACHE", "off")
    assert default_cache().folder is None
    monkeypatch.setenv("STUDYKIT_CACHE", str(tmp_path))
    assert default_cache().folder == tmp_path
    monkeypatch.delenv("STUDYKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache().folder == tmp_path / "studykit"


def test_the_key_follows_content_and_settings_and_not_the_place(tmp_path):
    folder = layouts.busi(tmp_path / "a")
    one = BUSI(folder=str(folder), size=32)
    case = "benign (1)"
    key = key_maker(one, "image")(case)
    folder.rename(tmp_path / "b")
    assert key_maker(BUSI(folder=str(tmp_path / "b"), size=32), "image")(case) == key
    assert key_maker(BUSI(folder=str(tmp_path / "b"), size=48), "image")(case) != key
    layouts.square().save(one.files_of(case)[0].as_posix().replace("/a/", "/b/"))
    assert key_maker(BUSI(folder=str(tmp_path / "b"), size=32), "image")(case) != key
    assert key_maker(BreastPhantom(count=20), "image")("phantom-0001") == ""


@pytest.fixture
def counted(tmp_path):
    """A BUSI folder whose pictures count how often they were decoded."""

    @dataclass(frozen=True)
    class Counted(BUSI):
        seen = []

        def pixels(self, case, modality="image"):
            self.seen.append(case)
            return super().pixels(case, modality)

    return Counted(folder=str(layouts.busi(tmp_path / "d")), size=32)


def test_an_epoch_decodes_each_picture_once_and_the_next_none(counted, cache):
    ids = counted.cases.index.tolist()
    parts = [range(k, min(k + 5, len(ids))) for k in range(0, len(ids), 5)]
    for memory in (0, 0, 10**9, 10**9):  # from disk, then kept in memory too
        pictures = Pictures(counted, cache, memory)
        cases = Prepared.fit(counted, ids, pictures).cases(ids)
        first, second = (list(cases.batches(parts)) for _ in range(2))
        assert [case for batch in first for case in batch.ids] == ids
        for one, other in zip(first, second, strict=True):
            assert np.array_equal(one.inputs["image"], other.inputs["image"])
    assert sorted(counted.seen) == sorted(ids)


def test_lazy_cases_give_what_load_gives(counted, cache):
    ids = counted.cases.index.tolist()
    prepared = Prepared.fit(counted, ids, Pictures(counted, cache, 1000))
    whole = prepared.load(ids)
    some = prepared.cases(ids).take([4, 1, 6])
    assert isinstance(some, Cases) and len(some) == 3
    batch = some.batch(masks=True)
    assert batch.ids == [ids[i] for i in (4, 1, 6)]
    assert np.array_equal(batch.inputs["image"], whole.inputs["image"][[4, 1, 6]])
    assert np.array_equal(batch.masks["image"], whole.masks["image"][[4, 1, 6]])
    assert np.array_equal(batch.targets["lesion"], whole.targets["lesion"][[4, 1, 6]])
    assert not next(some.batches([[0]], names=[])).inputs


def test_a_broken_picture_ends_the_epoch_with_its_sentence(counted, cache):
    ids = counted.cases.index.tolist()
    broken = counted.files_of(ids[7])[0]
    broken.write_bytes(b"not a picture")
    cases = Prepared.fit(counted, ids, Pictures(counted, cache)).cases(ids)
    with pytest.raises(InputError, match="cannot be read"):
        list(cases.batches([range(len(ids))]))
