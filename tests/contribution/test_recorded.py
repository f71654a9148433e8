"""The outputs recorded from the authors' classes, to 1e-12; where their code is wrong, the right value stands
beside it. Recorded differences are answer less answer without the part, so ours are their negatives.

u = tanh(A_img img), v = tanh(A_tab tab), z = W [u, v] + c + g u_0 v_0; p = sigmoid(z), or z for regression.
"""

import numpy as np
import pytest
import torch

from studykit.contribution import Words, modality_contribution
from tests.models.oracles import record

pytestmark = pytest.mark.real_data
EXACT = {"rtol": 0, "atol": 1e-12}


@pytest.fixture(scope="module")
def recorded():
    about, arrays = record("modality_contribution")
    return about, {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays}


class Recorded(torch.nn.Module):
    def __init__(self, values, weights):
        super().__init__()
        for name in ("A_img", "A_tab", "W", "c", "g"):
            self.register_buffer(name, values[weights + name])
        self.eval()

    def forward(self, tab, img):
        u = torch.tanh(img.flatten(1) @ self.A_img.T)
        v = torch.tanh(tab @ self.A_tab.T)
        return torch.cat([u, v], dim=1) @ self.W.T + self.c + (self.g * u[:, 0] * v[:, 0])[:, None]


def asked(values, weights="w2d_", output="sigmoid", img="img", **settings):
    inputs = {"tab": values["tab"], "img": values[img]}
    return modality_contribution(Recorded(values, weights), inputs, output=output, **settings)


def the_authors_picture_and_table(values, **settings):
    """Patches of 4 filled with the picture's mean; single columns filled with 0."""
    return asked(values, **{"parts": {"img": 4}, "fill": {"img": "sample_mean", "tab": 0}, **settings})


def test_the_model_is_the_recorded_one(recorded):
    _, values = recorded
    p0 = Recorded(values, "w2d_")(values["tab"], values["img"]).sigmoid()
    np.testing.assert_allclose(p0, values["p0"], **EXACT)


def test_patches_of_a_picture(recorded):
    _, values = recorded
    found = the_authors_picture_and_table(values)
    np.testing.assert_allclose(-found.differences["img"], values["A_ref_diff_img_mean"], **EXACT)
    np.testing.assert_allclose(found.sizes["img"], values["A_img_mean_per_class"], **EXACT)


@pytest.mark.parametrize(("fill", "key"), [(0, "zero"), (1e3, "1e3")])
def test_columns_of_a_table(recorded, fill, key):
    _, values = recorded
    found = asked(values, fill={"tab": fill})
    np.testing.assert_allclose(-found.differences["tab"], values[f"A_ref_diff_tab_{key}"], **EXACT)
    np.testing.assert_allclose(found.sizes["tab"], values[f"A_tab_{key}_per_class"], **EXACT)
    by_part = np.abs(found.differences["tab"]).sum(axis=2)
    np.testing.assert_allclose(by_part, values[f"A_tab_{key}_per_token"], **EXACT)


def test_columns_taken_away_together_where_the_authors_class_skips_the_one_after(recorded):
    _, values = recorded
    groups = {"0": [0], "1": [1], "2 and 3": [2, 3], "4": [4], "5": [5]}
    found = asked(values, parts={"tab": groups}, fill={"tab": 0})
    np.testing.assert_allclose(-found.differences["tab"], values["A_ref_diff_tab_join_ok"], **EXACT)
    skipped = asked(values, parts={"tab": {n: c for n, c in groups.items() if n != "4"}}, fill={"tab": 0})
    np.testing.assert_allclose(skipped.sizes["tab"], values["A_tab_join24_per_class"], **EXACT)
    assert np.abs(found.sizes["tab"] - values["A_tab_join24_per_class"].numpy()).max() > 0.04


def test_ratio_of_means_is_algorithm_1_and_per_class_is_the_authors_script(recorded):
    about, values = recorded
    found = the_authors_picture_and_table(values)
    told = about["A_m_tab_img"]
    for aggregation, wanted in {
        "ratio_of_means": values["A_m_alg1"].tolist(),
        "per_class": values["A_m_driver"].tolist(),
        "mean_of_ratios": told["mean_of_sample_ratios"],
    }.items():
        np.testing.assert_allclose(list(found.share(aggregation).values()), wanted, **EXACT)


def test_the_fill_alone_turns_the_shares_round(recorded):
    about, values = recorded
    found = the_authors_picture_and_table(values, fill={"img": "sample_mean", "tab": 1e3})
    wanted = about["A_m_tab_img"]["alg1_with_tab_fill_1e3"]
    np.testing.assert_allclose(list(found.share().values()), wanted, **EXACT)
    assert found.share()["tab"] > 0.6 > 0.3 > the_authors_picture_and_table(values).share()["tab"]


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("patch8x8 (h_img=1, h_tab=6)", {"img": 8}),
        ("patch4x4 (h_img=4, h_tab=6)", {"img": 4}),
        ("patch2x2 (h_img=16, h_tab=6)", {"img": 2}),
        ("patch1x1 (h_img=64, h_tab=6)", {"img": 1}),
        ("whole modality both (h=1,1)", {"img": "whole", "tab": "whole"}),
    ],
)
def test_granularity(recorded, key, parts):
    about, values = recorded
    found = the_authors_picture_and_table(values, parts=parts)
    np.testing.assert_allclose(list(found.share().values()), about["A_granularity_m_tab_img"][key], **EXACT)


PAIR = {"tab": {"0 and 1": [0, 1], "2": [2], "3": [3], "4": [4], "5": [5]}}


@pytest.mark.parametrize(("kind", "weights"), [("prob", "w2d_"), ("reg", "wreg_")])
@pytest.mark.parametrize(
    ("key", "parts"),
    [("each", {}), ("gender02", PAIR), ("whole", {"tab": "whole"})],
    ids=["each", "pair", "whole"],
)
def test_probabilities_and_regression_with_whole_pictures(recorded, kind, weights, key, parts):
    """Their class for several modalities: one difference a part, the table's first, then the picture's."""
    about, values = recorded
    output = "sigmoid" if kind == "prob" else "given"
    found = asked(values, weights, output, parts={"img": "whole", **parts})
    together = -np.concatenate([found.differences["tab"], found.differences["img"]], axis=1)
    np.testing.assert_allclose(together, values[f"B_{kind}_{key}_diff"], **EXACT)
    by_case = np.abs(together).sum(axis=2)
    ratios = by_case / by_case.sum(axis=1, keepdims=True)
    theirs = values[f"B_{kind}_{key}_contrib_per_sample"].numpy()
    np.testing.assert_allclose(ratios, theirs, **EXACT)
    wanted = [theirs[:, :-1].sum(axis=1).mean(), theirs[:, -1].mean()]
    np.testing.assert_allclose(list(found.share("mean_of_ratios").values()), wanted, **EXACT)
    if key != "whole":
        told = about[f"B_{kind}_{key}_dataset_m_tab_img_alg1"]
        np.testing.assert_allclose(list(found.share().values()), told, **EXACT)
        spared = sum(int(same.sum()) for same in found.same.values())  # columns that already are 0
        assert (spared > 0) == (key == "each")  # of the pair's bits one is 1
        assert found.forwards + spared == len(theirs) * about[f"B_{kind}_{key}_passes_per_sample"]


def test_patches_of_a_volume_where_the_authors_class_stays_in_a_corner(recorded):
    _, values = recorded
    found = asked(values, "w3d_", "given", img="img3", parts={"img": 2})
    np.testing.assert_allclose(found.sizes["img"], values["C_3d_ref_abs_sum_correct"], **EXACT)
    np.testing.assert_allclose(-found.differences["tab"], values["C_3d_diff_authors"][:, :6], **EXACT)
    assert np.abs(values["C_3d_diff_authors"][:, 6].abs().numpy() - found.sizes["img"]).max() > 1


class Reading(torch.nn.Module):
    """The recorded model over a text: its table is 0.3 sum_t E[word t] pos_t."""

    def __init__(self, values):
        super().__init__()
        self.E, self.pos = values["wtxt_E"], values["wtxt_pos"]
        self.both = Recorded(values, "wtxt_fuse.")

    def forward(self, text, img):
        return self.both(0.3 * (self.E[text] * self.pos[:, None]).sum(dim=1), img)


def test_words_of_a_text_with_all_their_pieces_at_once(recorded):
    about, values = recorded
    word, ids = -1, []
    for token in about["txt_tokens"]:
        word += token != "**NULL**" and not token.startswith("##")
        ids.append(-1 if token == "**NULL**" else word)
    inputs = {"text": values["txt_ids"], "img": values["img"][:1]}
    ask = {"model": Reading(values).eval(), "inputs": inputs, "fill": {"text": "mask"}, "output": "sigmoid"}
    found = modality_contribution(parts={"text": torch.tensor(ids)}, **ask)
    d = np.abs(found.differences["text"][0])
    np.testing.assert_allclose(d, values["D_text_ref_abs_diff_per_word"], **EXACT)
    pieces = np.array([ids.count(part) for part in range(4)])  # the authors count a word once a piece
    np.testing.assert_allclose(pieces @ d, values["D_text_words_per_class_authors"], **EXACT)
    assert len(found.parts["text"]) == 4
    apart = modality_contribution(parts={"text": Words()}, **ask)
    assert (~apart.same["text"]).sum() == 6
