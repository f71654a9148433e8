"""A picture, the outline laid on it, and the map over it, as HoloViews elements.

Coordinates run from 0 to 1 across the picture and up, whatever its size in pixels, so that a zoom
stays where it is when the case or the data set changes.
"""

import contourpy
import holoviews as hv
import numpy as np

BOUNDS = (0, 0, 1, 1)  # left, bottom, right, top
SIDE = 330  # pixels on the screen
FRAME = {
    "frame_width": SIDE, "frame_height": SIDE, "xaxis": None, "yaxis": None, "toolbar": "above",
    "active_tools": [], "fontsize": {"title": 10},
    "default_tools": ["pan", "wheel_zoom", "box_zoom", "reset"],
}  # fmt: skip


def ramp(color: str, count: int = 128) -> list[str]:
    """`count` colours from fully clear to fully `color` (#rrggbb)."""
    return [f"{color}{round(255 * step / (count - 1)):02x}" for step in range(count)]


# Blue and orange stay apart for every kind of colour vision; what weighs nothing is clear.
FOR, AGAINST = "#e66101", "#2b6cd4"
SIGNED = [*reversed(ramp(AGAINST)), *ramp(FOR)]
UNSIGNED = ramp(FOR, 256)


def picture(values: np.ndarray, title: str = "") -> hv.Image:
    """A gray picture (1, H, W) in [0, 1]; with three channels, an RGB one."""
    if values.shape[0] == 3:
        return hv.RGB(np.moveaxis(_bytes(values), 0, -1), bounds=BOUNDS).opts(**FRAME, title=title)
    image = hv.Image(_bytes(values[0]), bounds=BOUNDS, kdims=["x", "y"], vdims="brightness")
    return image.opts(**FRAME, cmap="gray", clim=(0, 255), title=title)


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """The borders of a reference mask (H, W), each (points, x and y); none where the mask is empty."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return []
    height, width = mask.shape
    inside = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]  # contours cost what is looked at
    x = (np.arange(columns[0], columns[-1] + 3) - 0.5) / width
    y = 1 - (np.arange(rows[0], rows[-1] + 3) - 0.5) / height
    return contourpy.contour_generator(x, y, np.pad(inside.astype(float), 1)).lines(0.5)


def outline(mask: np.ndarray) -> hv.Path:
    """The border of a reference mask (H, W); no line where the mask is empty."""
    lines = outlines(mask) or [np.full((2, 2), np.nan)]
    return hv.Path(lines, kdims=["x", "y"]).opts(color="#ffd60a", line_width=2, line_dash="dashed")


def heat(values: np.ndarray, signed: bool, limit: float, opacity: float) -> hv.Image:
    """A map (H, W) to lay over the picture; colours end at `limit` (signed: at -limit and +limit).

    What weighs nothing is clear, so the picture shows through; `opacity` in [0, 1] scales the rest.
    """
    low = -limit if signed else 0.0
    image = hv.Image(values.astype(np.float32), bounds=BOUNDS, kdims=["x", "y"], vdims="map")
    return image.opts(
        cmap=SIGNED if signed else UNSIGNED,
        clim=(low, limit),
        alpha=opacity,
        colorbar=True,
        colorbar_opts={"width": 10},
        clipping_colors={"NaN": "#00000000"},
        hooks=[_name_heat],
        **FRAME,
    )


def color_limit(values: np.ndarray) -> float:
    """Where the colours of some maps (any shape) should end: the 99.5th percentile of their size."""
    size = np.abs(values[np.isfinite(values)])
    return float(np.percentile(size, 99.5)) or 1.0 if size.size else 1.0


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)


def _name_heat(plot, element) -> None:
    plot.handles["glyph_renderer"].name = "heat"  # by which the opacity slider finds it in the browser
