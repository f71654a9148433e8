"""HoloViews elements: the same picture in a notebook cell and on a page."""

import holoviews as hv
from bokeh.core.validation import silence
from bokeh.core.validation.warnings import FIXED_SIZING_MODE

from studykit.draw.bars import class_probabilities, column_effects, predicted_values
from studykit.draw.scan import color_limit, heat, outline, picture
from studykit.draw.words import marked_words

hv.extension("bokeh", logo=False, inline=True)  # notebooks work with no internet, too
silence(FIXED_SIZING_MODE)  # HoloViews sizes the frame, not the figure

__all__ = [
    "class_probabilities", "color_limit", "column_effects", "heat", "marked_words", "outline", "picture",
    "predicted_values",
]  # fmt: skip
