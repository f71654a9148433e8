import pytest
import torch
from torch import nn

from studykit.case import Modality
from studykit.catalog import InputError
from studykit.models import Words

TEXT = Modality("report", "text", (6,), vocabulary=tuple("abcdefgh"))


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Words()(TEXT).eval()


def test_what_is_behind_the_end_changes_nothing(encoder):
    longer = Words()(Modality("report", "text", (9,), vocabulary=TEXT.vocabulary)).eval()
    state = encoder.state_dict()
    state["place"] = torch.cat([state["place"], torch.randn(3, 32)])
    longer.load_state_dict(state)
    words = torch.tensor([[3.0, 4.0, 2.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(longer(nn.functional.pad(words, (0, 3))), encoder(words))


def test_the_order_of_words_matters(encoder):
    one, other = encoder(torch.tensor([[3.0, 4.0, 2.0, 0, 0, 0], [4.0, 3.0, 2.0, 0, 0, 0]]))
    assert (one - other).abs().max() > 1e-3


def test_a_text_without_words_has_features(encoder):
    assert encoder(torch.zeros(1, 6)).isfinite().all()


def test_one_layer_by_its_equations(encoder):
    """Attention written out, head by head."""
    words = torch.tensor([[3.0, 4.0, 0, 0, 0, 0]])
    layer = encoder.layers[0]
    rows = [encoder.start, *(encoder.embed.weight[int(n)] + p for n, p in zip(words[0], encoder.place))][:3]
    t = torch.stack(rows)
    normed = layer.norm1(t)
    q, k, v = (normed @ layer.self_attn.in_proj_weight.T + layer.self_attn.in_proj_bias).split(32, dim=1)
    heads = []
    for h in range(4):
        at = slice(8 * h, 8 * h + 8)
        weights = (q[:, at] @ k[:, at].T / 8**0.5).softmax(dim=1)
        heads.append(weights @ v[:, at])
    t = t + layer.self_attn.out_proj(torch.cat(heads, dim=1))
    t = t + layer.linear2(nn.functional.gelu(layer.linear1(layer.norm2(t))))
    torch.testing.assert_close(encoder(words)[0], encoder.norm(t).mean(dim=0), rtol=1e-4, atol=1e-5)


def test_training_hides_words_as_unknown_and_evaluation_does_not(encoder):
    seen = []
    encoder.embed.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    words = torch.full((200, 6), 5.0)
    encoder(words)
    encoder.train()(words)
    hidden = (seen[1] == 1).float().mean()
    assert (seen[0] == 5).all() and 0.05 < hidden < 0.15


def test_heads_that_cannot_share_the_width_get_a_sentence():
    with pytest.raises(InputError, match="a multiple of 'heads'"):
        Words(width=30)
