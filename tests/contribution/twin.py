"""Algorithm 1 as nested loops, a case at a time, and small models and cases to ask it of."""

import itertools

import torch
from torch import nn

from studykit.contribution import modality_contribution


def algorithm_1(model, inputs, ids, filled, read=lambda said: said):
    """(d, m): {modality: (N, h, K) signed differences}, {modality: share}.

    inputs, filled: {modality: (N, *shape)}; ids: {modality: (N, *shape) part numbers, -1 for none}.
    """
    count = len(next(iter(inputs.values())))
    d = {name: [] for name in inputs}
    for k in range(count):
        case = {name: x[k : k + 1] for name, x in inputs.items()}
        with torch.no_grad():
            p0 = read(model(**case))[0]
        for name in inputs:
            d[name].append([])
            for part in range(int(ids[name].max()) + 1):
                x = case[name].clone()
                x[0][ids[name][k] == part] = filled[name][k][ids[name][k] == part]
                with torch.no_grad():
                    d[name][k].append(read(model(**{**case, name: x}))[0] - p0)
    d = {name: torch.stack([torch.stack(parts) for parts in cases]) for name, cases in d.items()}
    sums = {name: sum(float(value.abs()) for value in found.flatten()) / count for name, found in d.items()}
    return d, {name: amount / sum(sums.values()) for name, amount in sums.items()}


def tiles(shape, sides):
    """Part numbers of one case (C, *space) cut into tiles, place by place."""
    ids = torch.zeros(shape, dtype=torch.long)
    counts = [-(-length // side) for length, side in zip(shape[1:], sides, strict=True)]
    for place in itertools.product(*map(range, shape)):
        number = 0
        for at, side, count in zip(place[1:], sides, counts, strict=True):
            number = number * count + at // side
        ids[place] = number
    return ids


def several(ids, count):
    """One case's part numbers for all cases."""
    return ids.expand(count, *ids.shape)


def normal(*shape, seed=0):
    """Standard normal numbers, float64."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Mixed(nn.Module):
    """tanh layers of each modality, whatever its kind, then all products of a few of them, in float64."""

    def __init__(self, inputs, outputs, seed=0):
        super().__init__()
        self.layers = nn.ParameterDict(
            {
                name: normal(4, x[0].numel(), seed=seed + at) / x[0].numel() ** 0.5
                for at, (name, x) in enumerate(inputs.items())
            }
        )
        self.last = nn.Parameter(normal(outputs, 4, seed=seed + 90))
        self.eval()

    def forward(self, **inputs):
        """(N, outputs) of each modality (N, *shape)."""
        seen = [torch.tanh(inputs[name].double().flatten(1) @ w.T) for name, w in self.layers.items()]
        mixed = sum(seen) + torch.stack(seen).prod(dim=0)
        return torch.sigmoid(mixed @ self.last.T)


def laid_bare(x, parts=None, fill="absent", **settings):
    """(contribution, d): asked of a model that says each of its numbers as they are, so that d (N, h, *shape)
    is where and by how much each part changes the case.
    """
    given = {"parts": {} if parts is None else {"x": parts}, "fill": {"x": fill}, **settings}
    asked = modality_contribution(lambda x: x.flatten(1).double(), {"x": x}, **given)
    return asked, torch.from_numpy(asked.differences["x"]).view(len(x), -1, *x.shape[1:])
