"""Make `import torchvision` work beside a CPU build of torch.

pip may pair a CPU-only torch with a torchvision built for CUDA. Its compiled operators then fail to
load silently, and `import torchvision` (so timm and torchmetrics) stops with "operator
torchvision::nms does not exist" because its Python side describes operators nobody declared.
Loading the compiled file first mends it where it can be loaded; where it cannot, declaring the two
operators that torchvision describes at import time is enough: nothing here calls them.
Import this module before anything that imports torchvision.
"""

from importlib.util import find_spec
from pathlib import Path

import torch

_kept = None  # a torch.library.Library undeclares its operators when it is collected


def declare() -> None:
    """Load torchvision's operators or, failing that, declare the two that its import describes."""
    global _kept
    found = find_spec("torchvision")
    if _kept is not None or found is None or found.origin is None:
        return
    for compiled in Path(found.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(compiled))
            return
        except OSError:
            continue
    _kept = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        _kept.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


declare()
