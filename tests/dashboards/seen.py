"""What a frame shows, read from the sources that its figure draws."""

from types import SimpleNamespace

import numpy as np


def seen(figure):
    """picture (H, W) bytes or colours; map (H, W) in its units, or None; ends of its colours; outline."""
    told = SimpleNamespace(title=figure.title.text, map=None, ends=None, outline=[])
    for made in figure.renderers:
        data = made.data_source.data
        if made.name == "picture" and made.visible:
            told.picture = np.flipud(data[made.glyph.image][0])
        elif made.name == "heat":
            codes, (bar,) = np.flipud(data[made.glyph.image][0]), figure.right
            if bar.visible:
                low, high = bar.color_mapper.low, bar.color_mapper.high
                told.ends, told.map = (low, high), low + (codes + 0.5) * (high - low) / 256
        elif made.name is None or not made.name:
            told.outline = [np.column_stack(line) for line in zip(data["x"], data["y"], strict=True)]
    return told


def frames(view):
    """{name: what its frame shows} of a view of one case, its pictures drawn anew."""
    view.pictures()
    sets = [one for key, one in view._drawn.items() if key != "rows"]
    return {(at, name): seen(figure) for at, one in enumerate(sets) for name, figure in one.figures.items()}
