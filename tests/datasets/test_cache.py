import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from datasets import layouts
from studykit.catalog import InputError
from studykit.datasets import BUSI, BreastPhantom, LungPETCTDx, Prepared
from studykit.datasets.cache import HEAD, Cache, default_cache, key_maker
from studykit.datasets.loading import Cases, Pictures

FRACTION = np.random.default_rng(0).random((1, 6, 5)).astype(np.float32)
BYTES = np.arange(30, dtype=np.uint8).reshape(1, 6, 5)
BITS = FRACTION[0] > 0.5


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "kept")


def never():
    raise AssertionError("it was made again")


KEYS = [bytes([n]) * 32 for n in range(4)]


@pytest.mark.parametrize("values", [FRACTION, BYTES, BITS, np.full((1, 2, 2), np.nan, np.float32)])
def test_what_is_kept_comes_back_bit_by_bit(cache, values):
    assert cache.array(KEYS[0], values.shape, lambda: values) is values
    for later in (cache, Cache(cache.folder)):
        again = later.array(KEYS[0], values.shape, never)
        assert again.dtype == values.dtype
        assert np.array_equal(again, values, equal_nan=values.dtype == np.float32)


def test_a_bit_takes_a_bit_and_a_byte_a_byte(cache):
    for key, values in zip(KEYS, (BYTES, FRACTION, BITS), strict=False):
        cache.array(key, values.shape, lambda values=values: values)
    (file,) = cache.folder.iterdir()
    assert file.stat().st_size == 3 * HEAD.size + 30 + 120 + 4


def test_several_programs_each_write_a_file_and_read_all(cache):
    for key in KEYS[:3]:
        Cache(cache.folder).array(key, BYTES.shape, lambda: BYTES)
    assert len(list(cache.folder.iterdir())) == 3
    last = Cache(cache.folder)
    assert all(np.array_equal(last.array(key, BYTES.shape, never), BYTES) for key in KEYS[:3])


@pytest.mark.parametrize("cut", range(1, HEAD.size + 31, 6))
def test_a_record_that_was_not_finished_is_made_again_and_those_before_it_are_kept(cache, cut):
    for key in KEYS[:2]:
        cache.array(key, BYTES.shape, lambda: BYTES)
    (file,) = cache.folder.iterdir()
    file.write_bytes(file.read_bytes()[:-cut])
    later, made = Cache(cache.folder), []
    assert np.array_equal(later.array(KEYS[0], BYTES.shape, never), BYTES)
    assert np.array_equal(later.array(KEYS[1], BYTES.shape, lambda: made.append(1) or BYTES), BYTES) and made
    assert np.array_equal(Cache(cache.folder).array(KEYS[1], BYTES.shape, lambda: BYTES), BYTES)


@pytest.mark.parametrize("at", range(0, 2 * (HEAD.size + 30), 5))
def test_a_damaged_byte_never_gives_wrong_values(cache, at):
    for key in KEYS[:2]:
        cache.array(key, BYTES.shape, lambda: BYTES)
    (file,) = cache.folder.iterdir()
    content = bytearray(file.read_bytes())
    content[at] ^= 0xFF
    file.write_bytes(content)
    later = Cache(cache.folder)
    for key in KEYS[:2]:
        assert np.array_equal(later.array(key, BYTES.shape, lambda: BYTES), BYTES)


def test_files_that_were_deleted_meanwhile_do_no_harm(cache):
    cache.array(KEYS[0], BYTES.shape, lambda: BYTES)
    later = Cache(cache.folder)
    for file in cache.folder.iterdir():
        file.unlink()
    cache.folder.rmdir()
    assert np.array_equal(later.array(KEYS[0], BYTES.shape, lambda: BYTES), BYTES)


def test_only_its_owner_may_look_into_it(cache):
    cache.array(KEYS[0], BYTES.shape, lambda: BYTES)
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in cache.folder.iterdir()] == [0o600]


def test_where_nothing_can_be_kept_reading_goes_on(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file" / "below")
    for _ in range(3):
        assert np.array_equal(cache.array(KEYS[0], BYTES.shape, lambda: BYTES), BYTES)
    assert len(caplog.records) == 1 and "reading goes on" in caplog.text


def test_a_full_disk_is_no_end(cache, caplog, monkeypatch):
    monkeypatch.setattr(os, "pwritev", lambda *given: 3)
    assert np.array_equal(cache.array(KEYS[0], BYTES.shape, lambda: BYTES), BYTES)
    assert np.array_equal(cache.array(KEYS[1], BYTES.shape, lambda: BYTES), BYTES)
    assert caplog.text.count("the disk is full") == 1


def test_many_threads_at_a_place_that_cannot_be_written(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    for _ in range(20):
        cache = Cache(tmp_path / "file" / "below")
        with ThreadPoolExecutor(8) as pool:
            found = pool.map(
                lambda n, c=cache: c.array(bytes([n]) * 32, BYTES.shape, lambda: BYTES), range(40)
            )
            assert all(np.array_equal(values, BYTES) for values in found)
    assert len(caplog.records) == 20 and "None" not in caplog.text


def test_no_file_stays_open(cache):
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    for key in KEYS:
        Cache(cache.folder).array(key, BYTES.shape, lambda: BYTES)
    many = [Cache(cache.folder) for _ in range(20)]
    assert all(np.array_equal(one.array(key, BYTES.shape, never), BYTES) for one in many for key in KEYS)
    assert not before or len(list(Path("/proc/self/fd").iterdir())) <= before


def test_what_older_code_kept_is_removed_after_a_week(cache):
    cache.array(KEYS[0], BYTES.shape, lambda: BYTES)
    old, new = (cache.folder / f"{'0' * 16}-{name}.pictures" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    assert np.array_equal(Cache(cache.folder).array(KEYS[0], BYTES.shape, never), BYTES)
    assert new.exists() and not old.exists()


def test_a_file_that_vanished_gets_a_sentence(counted, cache):
    case = counted.cases.index[0]
    counted.files_of(case)[0].unlink()
    with pytest.raises(InputError, match=r"benign \(1\)\.png cannot be read \(No such file"):
        Pictures(counted, cache).picture(case, "image")


def test_the_environment_says_where(monkeypatch, tmp_path):
    monkeypatch.setenv("STUDYKIT_CACHE", "off")
    assert default_cache("busi").folder is None
    monkeypatch.setenv("STUDYKIT_CACHE", str(tmp_path))
    assert default_cache("busi").folder == tmp_path / "busi"
    monkeypatch.delenv("STUDYKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache("busi").folder == tmp_path / "studykit" / "busi"


def test_the_key_follows_content_and_settings_and_not_the_place(tmp_path):
    folder = layouts.busi(tmp_path / "a")
    one = BUSI(folder=str(folder), size=32)
    case = "benign (1)"
    key = key_maker(one, "image")(case, "picture")
    folder.rename(tmp_path / "b")
    assert key_maker(BUSI(folder=str(tmp_path / "b"), size=32), "image")(case, "picture") == key
    assert key_maker(BUSI(folder=str(tmp_path / "b"), size=48), "image")(case, "picture") != key
    layouts.square().save(one.files_of(case)[0].as_posix().replace("/a/", "/b/"))
    assert key_maker(BUSI(folder=str(tmp_path / "b"), size=32), "image")(case, "picture") != key
    assert key_maker(BreastPhantom(count=20), "image")("phantom-0001", "picture") == b""


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


def test_every_setting_but_the_folder_has_its_own_key():
    def key(**settings):
        @dataclass(frozen=True)
        class Scans(LungPETCTDx):
            def sources(self, case, modality):
                return [Path(__file__)]

        return key_maker(Scans(**settings), "volume")("Lung_Dx-A0001", "picture")

    plain = key()
    assert key(folder="elsewhere") == plain
    changes = [{"window": (-160.0, 240.0)}, {"window": (-150.0, 250.0)}, {"spacing": 2.5}, {"size": 40}]
    assert len({plain, *(key(**changed) for changed in changes)}) == 1 + len(changes)
