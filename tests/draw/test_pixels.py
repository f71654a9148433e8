import base64
import io
import time

import numpy as np
import pytest
from PIL import Image

from studykit.draw.pixels import OUTLINE, as_png, color_ends, color_strip, composed, data_uri
from studykit.draw.scan import AGAINST, FOR, SIGNED, UNSIGNED

NONE = np.zeros((6, 5), bool)


def rgb(color):
    return np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)])


def slow(values, found, signed, limit, opacity):
    """One pixel after the other, from the colours as they are written."""
    ramp, low = (SIGNED if signed else UNSIGNED), (-limit if signed else 0.0)
    made = np.zeros((*values.shape[1:], 3))
    for y in range(values.shape[1]):
        for x in range(values.shape[2]):
            channels = [0 if np.isnan(v) else round(float(np.clip(v, 0, 1)) * 255) for v in values[:, y, x]]
            base = np.array(channels if len(channels) == 3 else channels[:1] * 3)
            if np.isnan(found[y, x]):
                made[y, x] = base
                continue
            step = int((found[y, x] - low) / (limit - low) * 256)
            color = ramp[min(255, max(0, step))]
            strength = int(color[7:], 16) / 255 * opacity
            made[y, x] = strength * rgb(color) + (1 - strength) * base
    return made


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_blended_as_the_slow_twin_blends_them(signed, channels):
    chance = np.random.default_rng(0)
    values = chance.random((channels, 6, 5)) * 1.2 - 0.1
    values[:, 0, 0] = np.nan
    found = chance.normal(size=(6, 5))
    found[1, 1], found[2, 2], found[3, 3] = np.nan, 50, -50
    for opacity in (0, 0.3, 1):
        made = composed(values, NONE, (found, signed, 1.5), opacity, side=1)
        assert np.abs(made - slow(values, found, signed, 1.5, opacity)).max() <= 0.5 + 1e-3
    assert np.ptp(made) > 100


def test_small_pictures_are_enlarged_by_whole_factors_and_large_ones_are_not():
    values = np.random.default_rng(1).random((1, 6, 5))
    small, large = composed(values, NONE, side=1), composed(values, NONE, side=20)
    assert (
        large.shape == (24, 20, 3) and (large[::4, ::4] == small).all() and (large[3::4, 3::4] == small).all()
    )
    assert composed(np.zeros((1, 400, 300)), np.zeros((400, 300), bool)).shape == (400, 300, 3)


def test_the_outline_stands_on_both_sides_of_the_mask_s_border():
    mask = np.zeros((6, 6), bool)
    mask[2:4, 2:4] = True
    made = composed(np.zeros((1, 6, 6)), mask, side=60)
    line = (made == OUTLINE).all(axis=-1)
    assert line[19:21, 30].all() and line[39:41, 30].all() and not line[18, 30] and not line[21, 30]
    assert not line[:19].any() and not line[25:35, 25:35].any()
    whole = (composed(np.zeros((1, 6, 6)), np.ones((6, 6), bool), side=60) == OUTLINE).all(axis=-1)
    assert whole[0].all() and whole[:, -1].all() and not whole[1:-1, 1:-1].any()
    assert not (composed(np.zeros((1, 6, 6)), np.zeros((6, 6), bool), side=60) == OUTLINE).all(-1).any()


def test_the_colour_strip_runs_from_against_to_for():
    strip = color_strip(True)[0]
    assert np.abs(strip[0] - rgb(AGAINST)).max() <= 2 and np.abs(strip[-1] - rgb(FOR)).max() <= 2
    assert (strip[127:129] == 255).all() and (color_strip(False)[0, 0] == 255).all()
    assert color_ends(True, 0.1234) == ("-0.123", "0.123") and color_ends(False, 2.0) == ("0", "2")


def test_a_png_holds_the_same_pixels():
    made = composed(np.random.default_rng(2).random((3, 8, 8)), np.zeros((8, 8), bool))
    assert (np.asarray(Image.open(io.BytesIO(as_png(made)))) == made).all()
    head, _, body = data_uri(made).partition(",")
    assert head == "data:image/png;base64" and base64.b64decode(body) == as_png(made)


def test_a_picture_is_composed_in_milliseconds():
    values, found = np.random.rand(1, 224, 224), np.random.randn(224, 224)
    mask, spent = np.hypot(*np.ogrid[-112:112, -112:112]) < 50, []
    for opacity in np.linspace(0, 1, 9):
        start = time.process_time()
        as_png(composed(values, mask, (found, True, 2.0), opacity))
        spent.append(time.process_time() - start)
    assert np.median(spent) < 0.08
    print(np.median(spent))
