import io
import itertools
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from studykit.catalog import InputError
from studykit.files.picture import (
    TURNS,
    letterbox,
    read_image,
    read_mask,
    read_picture,
    shows_colour,
    upright_size,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::RuntimeWarning"
)  # Pillow's, of damage

RAMP = np.arange(600).reshape(20, 30)


def noise(size=(30, 20), channels=()):
    return np.random.default_rng(0).integers(0, 256, (*size[::-1], *channels), dtype=np.uint8)


def huge_png(path, side=60000):
    """A PNG of some bytes whose header claims a square of `side` pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b""))
    return path


def test_a_picture_is_letterboxed_as_pillow_would_do_it(tmp_path):
    pixels = noise()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    values = read_picture(tmp_path / "a.png", 15, 0.2)
    small = np.asarray(Image.fromarray(pixels).resize((15, 10), Image.Resampling.BILINEAR))
    assert values.shape == (1, 15, 15) and values.dtype == np.float32
    assert np.array_equal(values[0, 2:12], small.astype(np.float32) / 255)
    assert (values[0, :2] == np.float32(51) / 255).all() and (values[0, 12:] == np.float32(51) / 255).all()


def test_a_square_picture_needs_no_frame(tmp_path):
    square = letterbox(Image.fromarray(noise((20, 20))), 10, 7)
    assert square.size == (10, 10)
    Image.fromarray(noise((20, 20), (3,))).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", 20, 0.0, 3).shape == (3, 20, 20)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_all_usual_colours_can_be_read(tmp_path, mode, channels):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.fromarray(noise(channels=(3,))).convert(mode).save(path)
    values = read_picture(path, 30, 0.0, channels)
    assert values.shape == (channels, 30, 30) and values.min() == 0 and 0.5 < values.max() <= 1
    with Image.open(path) as image:
        full = np.asarray(image.convert("L" if channels == 1 else "RGB"), dtype=np.float32) / 255
    assert np.array_equal(values[:, 5:25], np.atleast_3d(full).transpose(2, 0, 1))


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_count_from_0_to_65535(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray((RAMP * 100).astype(np.uint16)).save(path)
    values = read_picture(path, 30, 0.0, 3)
    assert np.allclose(values[:, 5:25], RAMP * 100 / 65535, atol=1e-6)
    big = Image.fromarray((RAMP * 100).astype(">u2"))
    big.save(tmp_path / "big.tif")
    assert np.array_equal(read_picture(tmp_path / "big.tif", 30, 0.0, 3), values)


def test_fractions_are_kept_where_they_are_and_else_stretched(tmp_path):
    kept, stretched, whole = RAMP / 1000, RAMP * 3.0 - 500, RAMP * 1000
    for name, values in {"kept": kept, "stretched": stretched}.items():
        Image.fromarray(values.astype(np.float32)).save(tmp_path / f"{name}.tif")
    Image.fromarray(whole.astype(np.int32)).save(tmp_path / "whole.tif")
    assert np.allclose(read_picture(tmp_path / "kept.tif", 30, 0.0)[0, 5:25], kept, atol=1e-6)
    for name in ("stretched", "whole"):
        assert np.allclose(read_picture(tmp_path / f"{name}.tif", 30, 0.0)[0, 5:25], RAMP / 599, atol=1e-6)
    Image.fromarray(np.full((4, 4), 7.0, np.float32)).save(tmp_path / "flat.tif")
    assert (read_picture(tmp_path / "flat.tif", 4, 0.0) == 0).all()
    Image.fromarray(np.where(RAMP == 5, np.nan, RAMP).astype(np.float32)).save(tmp_path / "nan.tif")
    with pytest.raises(InputError, match=r"nan.tif holds pixels that are no number"):
        read_picture(tmp_path / "nan.tif", 30, 0.0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
def test_pictures_are_turned_upright_as_viewers_do(tmp_path, orientation, ending):
    path = tmp_path / f"a.{ending}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(noise()).save(path, exif=exif)
    with path.open("rb") as file, Image.open(file) as image:
        upright = ImageOps.exif_transpose(image)
    assert np.array_equal(np.asarray(read_image(path)), np.asarray(upright))
    if ending != "jpg" and orientation in (1, 6):
        assert np.array_equal(np.asarray(upright), np.rot90(noise(), -(orientation == 6)))
    assert upright_size(path) == upright.size == ((20, 30) if orientation > 4 else (30, 20))


def test_a_mask_lies_on_the_upright_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise()).save(tmp_path / "photo.jpg", exif=exif)
    drawn = np.zeros((30, 20), np.uint8)
    drawn[:10] = 255
    Image.fromarray(drawn).save(tmp_path / "mask.png")
    mask = read_mask([tmp_path / "mask.png"], tmp_path / "photo.jpg", 30)
    assert mask[:10, 5:25].all() and mask.sum() == 200
    Image.fromarray(drawn.T).save(tmp_path / "mask.png")
    with pytest.raises(InputError, match="is 30x20 pixels and its image photo.jpg 20x30"):
        read_mask([tmp_path / "mask.png"], tmp_path / "photo.jpg", 30)


def test_a_broken_exif_block_is_passed_over(tmp_path):
    Image.fromarray(noise()).save(tmp_path / "a.jpg", exif=b"Exif\0\0nonsense")
    assert read_image(tmp_path / "a.jpg").size == (30, 20)


def outlines():
    drawn = np.zeros((20, 30), np.uint8)
    drawn[5:10, 5:15] = 1
    yield Image.fromarray(drawn)  # 0 and 1, as many tools write it
    yield Image.fromarray(drawn * 255)
    yield Image.fromarray(drawn * 255).convert("1")
    yield Image.fromarray(drawn * 90)
    yield Image.fromarray(np.stack([drawn * 200, drawn * 0, drawn * 0], axis=2))  # dark red
    yield Image.fromarray(drawn * 255).convert("RGBA")
    yield Image.fromarray(drawn.astype(np.uint16))
    yield Image.fromarray(drawn.astype(np.uint16) * 65535)
    palette = Image.fromarray(drawn).convert("P")
    palette.putpalette([0, 0, 0, 0, 90, 0])
    yield palette


@pytest.mark.parametrize("number", range(9))
def test_outlines_of_two_values_are_understood(tmp_path, number):
    Image.fromarray(noise()).save(tmp_path / "photo.png")
    outline = next(itertools.islice(outlines(), number, None))
    outline.save(tmp_path / "mask.png")
    mask = read_mask([tmp_path / "mask.png"], tmp_path / "photo.png", 30)
    assert mask[10:15, 5:15].all() and mask.sum() == 50
    Image.new("L", (30, 20)).save(tmp_path / "empty.png")
    both = read_mask([tmp_path / "mask.png", tmp_path / "empty.png"], tmp_path / "photo.png", 30)
    assert np.array_equal(both, mask)


def test_an_outline_that_could_mean_anything_is_refused(tmp_path):
    Image.fromarray(noise()).save(tmp_path / "photo.png")
    for mode in (np.uint8, np.uint16):
        Image.fromarray((RAMP % 3).astype(mode)).save(tmp_path / "mask.png")
        with pytest.raises(InputError, match="mask.png has more than two values and none is bright"):
            read_mask([tmp_path / "mask.png"], tmp_path / "photo.png", 30)


def test_the_picture_is_not_decoded_to_know_its_size(tmp_path):
    Image.fromarray(noise()).save(tmp_path / "photo.png")
    Image.new("L", (30, 20), 255).save(tmp_path / "mask.png")
    cut = (tmp_path / "photo.png").read_bytes()[:60]
    (tmp_path / "photo.png").write_bytes(cut)  # the header alone
    assert read_mask([tmp_path / "mask.png"], tmp_path / "photo.png", 30).sum() == 600
    assert not read_mask([], tmp_path / "nowhere.png", 30).any()


def test_a_claim_of_too_many_pixels_is_refused_before_decoding(tmp_path):
    for side in (11000, 60000):
        path = huge_png(tmp_path / "bomb.png", side)
        assert path.stat().st_size < 100
        for read in (read_image, upright_size):
            with pytest.raises(InputError, match="bomb.png claims more than 100 million pixels"):
                read(path)


def test_a_picture_below_the_limit_is_not_refused(tmp_path):
    assert upright_size(huge_png(tmp_path / "large.png", 9999)) == (9999, 9999)


def test_pages_and_strange_kinds_of_files_get_a_sentence(tmp_path):
    page = Image.fromarray(noise())
    page.save(tmp_path / "pages.tif", save_all=True, append_images=[page, page])
    with pytest.raises(InputError, match="pages.tif has 3 pages; export them as a volume"):
        read_image(tmp_path / "pages.tif")
    page.convert("RGB").save(tmp_path / "drawing.eps")
    (tmp_path / "drawing.eps").rename(tmp_path / "drawing.png")
    with pytest.raises(InputError, match="drawing.png cannot be read"):
        read_image(tmp_path / "drawing.png")
    Image.fromarray(noise(channels=(3,))).convert("LAB").save(tmp_path / "lab.tif")
    with pytest.raises(InputError, match="lab.tif has colours of a kind that is not read"):
        read_picture(tmp_path / "lab.tif", 30, 0.0)
    with pytest.raises(InputError, match="gone.png is missing"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(InputError, match="cannot be read"):
        read_image(tmp_path)


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_empty_and_cut_off_files_get_a_sentence(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(noise((90, 80))).save(path)
    whole = path.read_bytes()
    for length in (0, 1, 30, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=rf"a.{ending} cannot be read .*; replace the file"):
            read_image(path)


def test_colours_are_told_from_shades_of_gray(tmp_path):
    gray = noise()
    Image.fromarray(gray).convert("RGB").save(tmp_path / "gray.jpg", quality=60)
    marked = np.repeat(gray[..., None], 3, axis=2)
    marked[:2, :3] = (255, 255, 0)  # calipers
    Image.fromarray(marked).save(tmp_path / "marked.png")
    Image.fromarray(RAMP.astype(np.uint16)).save(tmp_path / "deep.png")
    skin = np.stack([gray // 2 + 100, gray // 3 + 60, gray // 3 + 40], axis=2)
    Image.fromarray(skin.astype(np.uint8)).save(tmp_path / "skin.jpg")
    told = {
        name: shows_colour(tmp_path / name) for name in ("gray.jpg", "marked.png", "deep.png", "skin.jpg")
    }
    assert told == {"gray.jpg": False, "marked.png": False, "deep.png": False, "skin.jpg": True}


def whole_files():
    for form, pixels in itertools.product(("PNG", "JPEG", "TIFF"), (noise(), noise(channels=(3,)))):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, form)
        yield file.getvalue()


WHOLE = list(whole_files())


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(WHOLE), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8)
)
def test_damaged_files_give_a_picture_or_a_sentence(tmp_path_factory, whole, damages):
    damaged = bytearray(whole)
    for where, byte in damages:
        damaged[int(where * (len(damaged) - 1))] = byte
    path = tmp_path_factory.getbasetemp() / f"damaged-{os.getpid()}.png"
    path.write_bytes(damaged)
    try:
        values = read_picture(path, 16, 0.0, 3)
    except InputError as why:
        assert path.name in str(why)
    else:
        assert values.shape == (3, 16, 16) and values.min() >= 0 and values.max() <= 1


def test_every_turn_is_known():
    assert sorted(TURNS) == [2, 3, 4, 5, 6, 7, 8]
