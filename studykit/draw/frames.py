"""Pictures of one case side by side, bare or under a map, that are zoomed together.

Bokeh figures whose sources are filled anew for the next case or slice: to build them anew costs many times
what the pixels cost. Pictures travel as bytes, maps as bytes, too: the place of a value among 256 colours.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from bokeh.models import ColorBar, ColumnDataSource, FixedTicker, LinearColorMapper, Range1d
from bokeh.plotting import figure

from studykit.draw.gallery import shrunk
from studykit.draw.scan import SIGNED, UNSIGNED, outlines

Laid = tuple[np.ndarray, bool, float]  # a map (H, W), whether it is signed, where its colours end
GRAY = [f"#{level:02x}{level:02x}{level:02x}" for level in range(256)]
NOTHING = np.zeros((1, 1), dtype="uint8")
TOOLS = "pan,wheel_zoom,box_zoom,reset,save"
MOST = 512  # pixels along a side that travel


class Frames:
    """Frames of one picture, by name: `figures`; those of `bare` names never have a map.

    side: of a picture on the screen, pixels. tag: by which the browser finds these maps (`Scans`). ranges: x
    and y of other frames, to be zoomed together with them.
    """

    def __init__(
        self,
        names: Sequence[str],
        bare: Collection[str],
        side: int,
        opacity: float = 0.7,
        tag: str = "",
        ranges: tuple[Range1d, Range1d] | None = None,
    ):
        self.names, self.bare = list(names), set(bare)
        self.ranges = ranges or (whole(), whole())
        self._look = {"global_alpha": opacity, "tags": [tag]}
        fields = {f"map {at}": [NOTHING] for at in range(len(self.names))}
        self._picture = ColumnDataSource({"gray": [NOTHING], "color": [NOTHING.astype("uint32")]})
        self._maps, self._outline = ColumnDataSource(fields), ColumnDataSource({"x": [], "y": []})
        self._heats, self._bars, self._kinds, self._set = {}, {}, [], {}
        self.figures = {name: self._figure(at, name, side) for at, name in enumerate(self.names)}

    def _figure(self, at: int, name: str, side: int) -> figure:
        made = figure(
            name="frame", frame_width=side, frame_height=side, x_range=self.ranges[0], y_range=self.ranges[1],
            tools=TOOLS, active_drag=None, active_scroll=None, toolbar_location="above", title=" ",
            styles={"flex": "none"}, min_border=4, min_border_right=8 if name in self.bare else 46,
        )  # fmt: skip
        made.axis.visible, made.grid.visible, made.toolbar.logo, made.toolbar.autohide = (
            False,
            False,
            None,
            True,
        )
        made.title.text_font_size = "10pt" if side > 250 else "9pt"
        place = {"x": 0, "y": 0, "dw": 1, "dh": 1}
        mapper = LinearColorMapper(GRAY, low=0, high=255)
        gray = made.image("gray", source=self._picture, color_mapper=mapper, name="picture", **place)
        color = made.image_rgba("color", source=self._picture, name="picture", visible=False, **place)
        self._kinds.append((gray, color))
        if name not in self.bare:
            heat = LinearColorMapper(UNSIGNED, low=0, high=255)
            self._heats[name] = made.image(
                f"map {at}", source=self._maps, name="heat", color_mapper=heat, **self._look, **place
            )
            self._bars[name] = _bar()
            made.add_layout(self._bars[name], "right")
        made.multi_line(
            "x", "y", source=self._outline, line_color="#ffd60a", line_width=2, line_dash="dashed"
        )
        return made

    def show(
        self,
        values: np.ndarray,
        mask: np.ndarray,
        laid: Mapping[str, Laid] | None = None,
        titles: Mapping[str, str] | None = None,
    ) -> None:
        """Fill the frames: the picture (C, H, W) in [0, 1] or NaN, its outline, and a map for each name.

        mask: (H, W) bool. A frame whose name has no map stays bare; titles stay where none is given.
        """
        colored = values.shape[0] == 3
        name, other, kind = ("color", "gray", "uint8") if colored else ("gray", "color", "uint32")
        for gray, color in self._kinds:
            self._change(gray, visible=not colored)
            self._change(color, visible=colored)
        self._picture.data = {name: [as_bytes(shrunk(values, MOST))], other: [NOTHING.astype(kind)]}
        lines = outlines(mask)
        self._outline.data = {"x": [line[:, 0] for line in lines], "y": [line[:, 1] for line in lines]}
        self.lay(laid or {})
        for name, title in (titles or {}).items():
            self._change(self.figures[name].title, text=title or " ")

    def lay(self, laid: Mapping[str, Laid]) -> None:
        """Lay maps over the picture that is shown, by frame."""
        codes = {}
        for at, name in enumerate(self.names):
            found = laid.get(name)
            codes[f"map {at}"] = [NOTHING if found is None else coded(shrunk(found[0], MOST), *found[1:])]
            if name not in self.bare:
                self._scale(name, found)
        self._maps.data = codes

    def _scale(self, name: str, found: Laid | None) -> None:
        """What the colours mean, beside the frame."""
        heat, bar = self._heats[name].glyph.color_mapper, self._bars[name]
        self._change(bar, visible=found is not None)
        if found is None:
            self._change(heat, palette=UNSIGNED)  # its one pixel is 0: clear
            return
        _, signed, limit = found
        low, palette = (-limit, SIGNED) if signed else (0.0, UNSIGNED)
        self._change(heat, palette=palette)
        if self._change(bar.color_mapper, low=low, high=limit, palette=palette):
            ticks = [low, 0.0, limit] if signed else [0.0, limit]
            bar.ticker.ticks = ticks
            bar.major_label_overrides = {tick: f"{tick:.2g}" for tick in ticks}

    def _change(self, model, **wanted) -> bool:
        """Set what was otherwise when last set, so that only this travels; whether anything was."""
        before = self._set.setdefault(model.id, {})
        other = {name: value for name, value in wanted.items() if name not in before or before[name] != value}
        if other:
            model.update(**other)
            before |= other
        return bool(other)


def coded(values: np.ndarray, signed: bool, limit: float) -> np.ndarray:
    """A map (H, W) as the places of its values among 256 colours, uint8; rows from below, NaN is 0."""
    low, span = (-limit, 2 * limit) if signed else (0.0, limit)
    places = np.multiply(values[::-1], 256 / span, dtype="float32")
    places -= 256 * low / span
    if np.isnan(places.sum()):
        np.nan_to_num(places, copy=False, nan=128.0 if signed else 0.0)
    return np.clip(places, 0, 255, out=places).astype("uint8")


def as_bytes(values: np.ndarray) -> np.ndarray:
    """A picture (C, H, W) in [0, 1] as Bokeh draws it, rows from below: gray uint8, or RGBA in one uint32."""
    pixels = np.nan_to_num(values[:, ::-1])
    pixels = np.round(np.clip(pixels, 0, 1) * 255).astype("uint8")
    if len(pixels) != 3:
        return pixels[0]
    whole = np.full((*pixels.shape[1:], 4), 255, dtype="uint8")
    whole[..., :3] = np.moveaxis(pixels, 0, -1)
    return whole.view("uint32")[..., 0]


def _bar() -> ColorBar:
    """What the colours of a map mean; its ends are set with the map."""
    return ColorBar(
        color_mapper=LinearColorMapper(UNSIGNED, low=0, high=1), ticker=FixedTicker(ticks=[0, 1]), width=9,
        padding=3, margin=0, background_fill_color=None, border_line_color=None, visible=False,
        major_label_text_font_size="8pt", label_standoff=4,
    )  # fmt: skip


def whole() -> Range1d:
    """Of one side of a picture, to be shared by frames that are zoomed together."""
    return Range1d(0, 1, bounds=(-0.5, 1.5))
