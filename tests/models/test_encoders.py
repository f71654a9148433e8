import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from studykit.case import Modality
from studykit.catalog import InputError
from studykit.models import Timm, torchvision_ops
from studykit.models.weights import PACKAGED, source

import timm  # isort: skip

GRAY = Modality("image", "image", (1, 64, 64))


def test_torchvision_imports_beside_this_torch():
    import torchvision

    assert torchvision.__version__
    torchvision_ops.declare()  # a second call changes nothing


def test_the_packaged_weights_know_photographs():
    """The palace and the flower that scikit-learn ships, by ImageNet's class numbers."""
    network = timm.create_model(PACKAGED, **source(PACKAGED, "package")).eval()
    pictures = []
    for pixels in load_sample_images().images:
        image, side = Image.fromarray(pixels), min(pixels.shape[:2])
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
        pictures.append(np.asarray(image))
    x = torch.tensor(np.stack(pictures)).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        said = network(x).argmax(1).tolist()
    assert said == [698, 985]  # palace, daisy


def test_the_packaged_weights_reach_the_encoder():
    whole = timm.create_model(PACKAGED, **source(PACKAGED, "package")).state_dict()
    part = Timm()(GRAY).trunk.model.state_dict()
    assert len(part) > 100
    assert all(torch.equal(value, whole[name]) for name, value in part.items())


def test_features_are_the_mean_and_spread_of_the_maps():
    torch.manual_seed(0)
    encoder = Timm()(GRAY)
    x = torch.rand(2, 1, 64, 64)
    maps = encoder.trunk((x.repeat(1, 3, 1, 1) - 0.5) / 0.5)
    slow = [
        [m[case].mean((1, 2)) for m in maps] + [m[case].flatten(1).std(1, correction=0) for m in maps]
        for case in (0, 1)
    ]
    wanted = torch.stack([torch.cat(parts) for parts in slow])
    torch.testing.assert_close(encoder(x), wanted, rtol=1e-3, atol=2e-3)
    assert encoder.width == wanted.shape[1]


def test_a_frozen_encoder_never_changes():
    encoder = Timm()(GRAY)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    x = torch.rand(4, 1, 64, 64)
    fresh = encoder(x)
    encoder.train()
    assert torch.equal(encoder(x), fresh)
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
    assert not any(p.requires_grad for p in encoder.parameters())


@pytest.mark.parametrize(
    ("architecture", "stages"), [("mobilenetv3_small_050", (1, 2)), ("vit_tiny_patch16_224", (3, 7))]
)
def test_other_families_serve(architecture, stages):
    encoder = Timm(architecture=architecture, weights="scratch", stages=stages)(GRAY)
    assert encoder(torch.rand(2, 1, 64, 64)).shape == (2, encoder.width)


def test_weights_from_a_local_file(tmp_path):
    network = timm.create_model("resnet10t")
    torch.save(network.state_dict(), tmp_path / "own.pth")
    encoder = Timm(architecture="resnet10t", weights=str(tmp_path / "own.pth"), stages=(1, 2))(GRAY)
    assert torch.equal(
        encoder.trunk.model.state_dict()["conv1.0.weight"], network.state_dict()["conv1.0.weight"]
    )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"architecture": "resnet10"}, "did you mean .*resnet10t"),
        ({"architecture": "resnet10t"}, "those of tf_efficientnet_lite0, not of resnet10t"),
        ({"weights": "/nowhere.pth"}, "neither 'scratch', 'hub', 'package' nor a file"),
        ({"stages": (9,)}, "choose other stages"),
    ],
)
def test_encoders_that_cannot_be_made_get_a_sentence(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        Timm(**settings)(GRAY)
