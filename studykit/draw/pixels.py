"""The picture, its outline and the map over it as plain pixels, for where no plot can be drawn.

A map's colour c, of strength a in [0, 1], lies over the picture's gray g as a c + (1 - a) g. Colours, limits
and outline are those of `studykit.draw.scan`.
"""

import base64
import html
import io
from functools import cache

import numpy as np
from PIL import Image, ImageColor

from studykit.draw.scan import SIDE, SIGNED, UNSIGNED

OUTLINE = ImageColor.getrgb("#ffd60a")


def composed(
    values: np.ndarray,
    mask: np.ndarray,
    laid: tuple[np.ndarray, bool, float] | None = None,
    opacity: float = 0.7,
    side: int = SIDE,
) -> np.ndarray:
    """The picture (C, H, W) in [0, 1] under a map, (h, w, 3) uint8; NaN is black, and clear in a map.

    mask: (H, W), outlined. laid: the map (H, W), whether it is signed, where its colours end. A picture that
    is smaller than `side` is enlarged by the least whole factor that makes it no smaller.
    """
    gray = np.round(np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8)
    base = np.moveaxis(gray, 0, -1) if len(gray) == 3 else np.repeat(gray[0][..., None], 3, axis=-1)
    if laid is not None:
        base = _blended(base, *laid, opacity)
    factor = max(1, -(-side // max(base.shape[:2])))
    large = base.repeat(factor, axis=0).repeat(factor, axis=1)
    large[_border(np.asarray(mask, dtype=bool).repeat(factor, axis=0).repeat(factor, axis=1))] = OUTLINE
    return large


def color_strip(signed: bool, height: int = 10) -> np.ndarray:
    """A map's colours from the lowest to the highest value, on white: (height, 256, 3) uint8."""
    white = np.full((height, 256, 3), 255, dtype=np.uint8)
    low = -1.0 if signed else 0.0
    steps = np.linspace(low, 1, 256, endpoint=False) + (1 - low) / 512  # each colour's middle
    return _blended(white, np.broadcast_to(steps, (height, 256)), signed, 1.0, 1.0)


def color_ends(signed: bool, limit: float) -> tuple[str, str]:
    """The values at which a map's colours end."""
    return (f"-{limit:.3g}" if signed else "0"), f"{limit:.3g}"


def as_png(pixels: np.ndarray) -> bytes:
    """(H, W, 3) uint8 as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def still(
    values: np.ndarray,
    mask: np.ndarray | None = None,
    laid: tuple[np.ndarray, bool, float] | None = None,
    title: str = "",
    opacity: float = 0.7,
    width: int = 240,
    alt: str = "",
) -> str:
    """The picture under a map with what its colours mean, in HTML with no script; several stand in a row.

    values, mask, laid, opacity: see `composed`. width: on the screen, pixels. alt: what is read aloud, where
    it is more than the title.
    """
    mask, bar = np.zeros(values.shape[1:], dtype=bool) if mask is None else mask, ""
    if laid is not None:
        low, high = color_ends(*laid[1:])
        strip = data_uri(color_strip(laid[1]))
        bar = f'<br>{low} <img src="{strip}" alt="colours" width="{width // 2}"> {high}'
    image = (
        f'<img src="{data_uri(composed(values, mask, laid, opacity))}" width="{width}" '
        f'alt="{html.escape(alt or title, quote=True)}" style="image-rendering:pixelated">'
    )
    return (
        '<div style="display:inline-block;vertical-align:top;margin:0 12px 8px 0">'
        f"{html.escape(title)}<br>{image}{bar}</div>"
    )


def data_uri(pixels: np.ndarray) -> str:
    """(H, W, 3) uint8 as an address that holds the picture itself."""
    return f"data:image/png;base64,{base64.b64encode(as_png(pixels)).decode()}"


@cache
def _palette(signed: bool) -> np.ndarray:
    """(257, 4): red, green, blue and strength of each colour, and of NaN, which is clear."""
    colors = [ImageColor.getcolor(color, "RGBA") for color in (SIGNED if signed else UNSIGNED)]
    return np.array([*colors, (0, 0, 0, 0)], dtype=np.float32) / [1, 1, 1, 255]


def _blended(base: np.ndarray, values: np.ndarray, signed: bool, limit: float, opacity: float) -> np.ndarray:
    low = -limit if signed else 0.0
    steps = (np.asarray(values, dtype=np.float32) - low) / (limit - low) * 256
    place = np.where(np.isnan(steps), 256, np.clip(np.nan_to_num(steps), 0, 255)).astype(int)
    color = _palette(signed)[place]
    strength = color[..., 3:] * opacity
    return np.round(color[..., :3] * strength + base * (1 - strength)).astype(np.uint8)


def _border(mask: np.ndarray) -> np.ndarray:
    """The pixels on both sides of a mask's border."""
    padded = np.pad(mask, 1)
    around = [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:], mask]
    return np.logical_or.reduce(around) & ~np.logical_and.reduce(around)
