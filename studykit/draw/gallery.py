"""One case under the maps of several methods, side by side, small enough for a notebook."""

from collections.abc import Mapping

import holoviews as hv
import numpy as np

from studykit.draw.scan import heat, outline, picture

SHOWN = 190  # pixels on the screen, and at most so many numbers along a side
FRAME = {"frame_width": SHOWN, "frame_height": SHOWN, "fontsize": {"title": 9, "ticks": 7}, "toolbar": None}


def gallery(
    values: np.ndarray,
    maps: Mapping[str, tuple[np.ndarray, bool, float]],
    mask: np.ndarray,
    title: str = "picture and reference outline",
    opacity: float = 0.7,
) -> hv.Layout:
    """The picture (C, H, W) in [0, 1] with its outline, then under each map; they are zoomed together.

    maps: {title: values (H, W), whether they are signed, where the colours end}. mask: (H, W) bool.
    Pictures go as bytes and maps as float32, both no larger than they are shown.
    """
    frames = [pictured(values, mask, title)]
    frames += [mapped(values, *found, mask, name, opacity) for name, found in maps.items()]
    return hv.Layout(frames).opts(shared_axes=True, toolbar="left").cols(len(frames))


def pictured(values: np.ndarray, mask: np.ndarray, title: str) -> hv.Overlay:
    """One frame: the picture (C, H, W) and its outline."""
    return (picture(shrunk(np.nan_to_num(values))) * outline(mask)).opts(
        hv.opts.Image(**FRAME), hv.opts.RGB(**FRAME), hv.opts.Overlay(title=title, **FRAME)
    )


def mapped(
    values: np.ndarray,
    over: np.ndarray,
    signed: bool,
    limit: float,
    mask: np.ndarray,
    title: str,
    opacity: float = 0.7,
) -> hv.Overlay:
    """One frame: the picture (C, H, W) under a map (H, W), and the outline."""
    laid = heat(shrunk(over), signed, limit, opacity).opts(**FRAME)
    return (picture(shrunk(np.nan_to_num(values))).opts(**FRAME) * laid * outline(mask)).opts(
        title=title, **FRAME
    )


def shrunk(values: np.ndarray, most: int = SHOWN) -> np.ndarray:
    """Values (..., H, W) as means over whole blocks, at most `most` along a side; as they are if smaller."""
    for axis in (-2, -1):
        length = values.shape[axis]
        if length > most:
            starts = np.arange(most) * length // most
            sums = np.add.reduceat(values, starts, axis=axis)
            sizes = np.diff(np.append(starts, length))
            values = sums / (sizes[:, None] if axis == -2 else sizes)
    return values
