"""HoloViews elements: the same picture in a notebook cell and on a page."""

import holoviews as hv
from bokeh.core.validation import silence
from bokeh.core.validation.warnings import FIXED_SIZING_MODE

from studykit.draw.bars import class_probabilities, column_effects, predicted_values
from studykit.draw.contribution import (
    case_dots,
    chosen_dot,
    dot_heights,
    measure_shares,
    part_bars,
    region_map,
)
from studykit.draw.gallery import gallery, mapped, pictured
from studykit.draw.models import (
    Curve,
    answer_dots,
    chart,
    confusion_table,
    dot_ring,
    dot_rules,
    kinds_legend,
    leaderboard,
    line_mark,
    model_looks,
    ticks,
)
from studykit.draw.quality import (
    agreement_grid,
    case_spreads,
    curve_bands,
    interval_grid,
    legend,
    method_looks,
    spoken,
)
from studykit.draw.reading import (
    agreement_dots,
    answer_bars,
    condition_looks,
    forest,
    mean_roc,
    part_of_whole,
    reliability_dots,
    roc_curves,
    spread_boxes,
)
from studykit.draw.scan import color_limit, heat, outline, picture
from studykit.draw.shares import modality_colors, percent, share_bars
from studykit.draw.words import marked_words

hv.extension("bokeh", logo=False, inline=True)  # notebooks work with no internet, too
silence(FIXED_SIZING_MODE)  # HoloViews sizes the frame, not the figure

__all__ = [
    "Curve", "agreement_dots", "agreement_grid", "answer_bars", "answer_dots", "case_dots", "case_spreads",
    "chart", "chosen_dot", "class_probabilities", "color_limit", "column_effects", "condition_looks",
    "confusion_table", "curve_bands", "dot_heights", "dot_ring", "dot_rules", "forest", "gallery", "heat",
    "interval_grid", "kinds_legend", "leaderboard", "legend", "line_mark", "mapped", "marked_words",
    "mean_roc", "measure_shares", "method_looks", "modality_colors", "model_looks", "outline", "part_bars",
    "part_of_whole", "percent", "picture", "pictured", "predicted_values", "region_map", "reliability_dots",
    "roc_curves", "share_bars", "spoken", "spread_boxes", "ticks",
]  # fmt: skip
