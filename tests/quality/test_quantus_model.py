"""Quantus 0.6 as second witness of pixel flipping, ROAD's painting (test_road_irof) and the randomisation
check.

What differs and cannot be matched. Quantus flips numbers, we places with all their channels, so pictures
here have one channel; its curve has no untouched start (ours is compared from the first step on). Its own
area uses np.trapz, which NumPy 2.4 no longer has, so curves are compared and not areas. Its randomisation
draws every layer with the same seed, so that equal layers get equal weights; the maps here are therefore
those of its own redrawn model, and only our comparison of maps is checked against its. Its IROF takes the
mean of what is left after each superpixel, ours the untouched picture's, and its superpixels are other ones;
ours has a slow twin.
"""

import numpy as np
import pytest
import quantus
import torch
from quantus.helpers.model.pytorch_model import PyTorchModel
from torch import nn

from quality.test_curves import asked_about, cases, network
from studykit.case import Modality, Task
from studykit.explain import IntegratedGradients
from studykit.quality import randomisation
from studykit.quality.deletion import Deletion
from studykit.quality.randomisation import Randomisation

PICTURE = Modality("image", "image", (1, 20, 16), absent=0.4)
TASK = Task("t", "multiclass", ("u", "v", "w"))
TARGETS = np.array([0, 1, 2, 1])


class ImageAlone(nn.Module):
    """A model of one picture as Quantus asks it: a picture in, logits out."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model({"image": x})["t"]


@pytest.fixture
def alone():
    model, batch = network(modalities=(PICTURE,), task=TASK), cases(modalities=(PICTURE,))
    return model, batch, batch.inputs["image"].numpy()


@pytest.mark.parametrize("sign", [1, -1])
def test_pixel_flipping_gives_the_deletion_curve(alone, sign):
    """The same baseline and order (no ties), 32 of 320 pixels a step; maps turned over, too."""
    model, batch, x = alone
    targets = torch.as_tensor(TARGETS)
    heat = sign * IntegratedGradients(steps=4).maps(model, batch, model.heads[0], targets)[0]["image"]
    asked = asked_about(model, batch, "image", heat[:, 0], targets=TARGETS)
    maps = asked.explanation.maps["image"]
    assert all(len(np.unique(one)) == 320 for one in maps)
    flipping = quantus.PixelFlipping(
        features_in_step=32, perturb_baseline=0.4, abs=False, normalise=False, disable_warnings=True
    )
    theirs = flipping(
        model=ImageAlone(model).eval(),
        x_batch=x,
        y_batch=TARGETS,
        a_batch=maps,
        channel_first=True,
        softmax=True,
    )
    ours = Deletion(filling="absent")(asked)["deletion"].curves["morf"]
    np.testing.assert_allclose(ours[:, 1:], np.array(theirs), atol=1e-5)
    assert np.ptp(ours, axis=1).min() > 1e-3


def test_the_similarity_after_randomisation_is_that_of_mprt(alone, monkeypatch):
    """All layers drawn anew by Quantus; its Spearman of the signed maps against ours."""
    model, batch, x = alone
    explainer = IntegratedGradients(steps=4)
    asked = asked_about(model, batch, "image", explainer=explainer, targets=TARGETS)
    wrapped = ImageAlone(model).eval()

    def maps_of(model, inputs, targets, **_):
        some = cases(len(inputs), (PICTURE,))
        some.inputs["image"] = torch.as_tensor(inputs).float()
        return explainer.maps(model.model, some, asked.head, torch.as_tensor(targets))[0]["image"]

    check = quantus.MPRT(
        layer_order="top_down",
        similarity_func=quantus.similarity_func.correlation_spearman,
        seed=7,
        abs=False,
        normalise=False,
        skip_layers=True,
        return_last_correlation=True,
        disable_warnings=True,
    )
    theirs = check(
        model=wrapped,
        x_batch=x,
        y_batch=TARGETS,
        a_batch=asked.explanation.maps["image"],
        explain_func=maps_of,
        channel_first=True,
    )
    *_, (_, last) = PyTorchModel(wrapped).get_random_layer_generator(order="top_down", seed=7)
    monkeypatch.setattr(randomisation, "redrawn", lambda model, seed: last.model.eval())
    ours = Randomisation(redraws=1)(asked)["randomisation"].values
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert np.abs(ours).max() < 0.99


def test_quantus_and_we_draw_the_same_layers_anew(alone):
    """Every layer that holds weights can draw itself, so the two leave none as it was."""
    model, *_ = alone
    theirs = {name for name, m in model.named_modules() if hasattr(m, "reset_parameters")}
    assert set(randomisation.layers(model)) == theirs
