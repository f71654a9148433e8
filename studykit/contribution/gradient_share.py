"""On the way from nothing to the case, how much of the change of the answer does each modality carry?

    a_i   = (x_i - x'_i) * integral over t in [0, 1] of dF/dx_i at x' + t (x - x')
    share = mean over cases of sum |a_i| of a modality / the same over all modalities

x' is what stands in for the case where everything is taken away (the question's fill). F is the logit of the
class that the model names, where it tells several apart; else each of the task's logits, or, where no task is
known, each of the question's outputs, over which |a| is summed. Of a text, the numbers that stand for its
words are walked, and a word's value is the sum over its numbers; places without a word stay as they are. A
modality that a case lacks stands there as "absent" and carries nothing.

"completeness error" says how far the walk misses what it should add up to, F(x) - F(x'), in parts of it:
where it is large (too few steps, or a model with jumps), the shares mean little.

Sundararajan M, Taly A, Yan Q. Axiomatic attribution for deep networks. ICML 2017.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from captum import attr
from torch import Tensor

from studykit.contribution.answers import OfCallable, reader
from studykit.contribution.few_cases import FewCases, check_least
from studykit.contribution.neighbour import Neighbour, shares
from studykit.contribution.question import Question
from studykit.contribution.walked_words import walked

BLOCK = 16  # cases walked at a time
ROWS = 32  # points on their ways that are asked at once
STUCK = "no gradient flows through this model's answers; ask a torch model, or look at another measure"


@dataclass(frozen=True)
class GradientShare(Neighbour, name="gradient_share"):
    """steps: points on the way (Gauss-Legendre). cases: so many at most, drawn by the question's seed."""

    steps: int = 64
    cases: int = 100

    title = "Integrated gradients' share"
    asks = "Walking from nothing to the case, how much of the change does each modality carry?"
    cost = "N S forwards and backwards, S steps"

    def __post_init__(self):
        check_least("gradient_share", "steps", self.steps, 2)
        check_least("gradient_share", "cases", self.cases, 1)

    def rows(self, question: Question) -> list[dict]:  # noqa: D102
        few, walk = FewCases(question, self.cases), Walk(question)
        reason = walk.reason(few.at[:1])
        if not reason:
            blocks = [walk.walked(at, self.steps) for at in np.split(few.at, range(BLOCK, len(few), BLOCK))]
            question.asking.answers.forwards += walk.model.forwards
            sizes, missed, moved = (np.concatenate(each) for each in zip(*blocks, strict=True))
            if not all(np.isfinite(values).all() for values in (sizes, missed, moved)):
                reason = "a gradient is not a number; look at the inputs and the weights"
        lost = walk.lost | (dict.fromkeys(walk.names, reason) if reason else {})
        found = {name: few.row("share", name, np.nan, why=why) for name, why in lost.items()}
        if reason:
            return [found[name] for name in question.modalities]
        own, drawn = shares(sizes.mean(axis=0)), shares(few.weights @ sizes)
        why = f"among the modalities but {' and '.join(lost)}" if lost else ""
        why = "nothing moved" if np.isnan(own).any() else why
        for at, name in enumerate(walk.names):
            found[name] = few.row("share", name, own[at], drawn[:, at], why)
        return [*(found[name] for name in question.modalities), _completeness(few, missed, moved)]


def _completeness(few: FewCases, missed: np.ndarray, moved: np.ndarray) -> dict:
    """|sum of a - (F(x) - F(x'))| in parts of |F(x) - F(x')|, each summed over the cases."""
    weights = np.vstack([np.ones(len(few)), few.weights])
    whole = weights @ moved
    error = np.divide(weights @ missed, whole, out=np.full(len(weights), np.nan), where=whole > 0)
    why = "take more steps; where that does not help, do not lean on these shares" if error[0] > 0.1 else ""
    why = "the answer is the same at both ends" if np.isnan(error[0]) else why
    return few.row("completeness error", "", error[0], error[1:], why)


class Walk:
    """From the stand-ins to the cases of a question. names: the modalities walked; lost: {modality: why not},
    which stay as they are.
    """

    def __init__(self, question: Question):
        asking, self.question = question.asking, question
        layers = question.model.word_layers() if hasattr(question.model, "word_layers") else {}
        self.lost = {}
        for name, modality in question.modalities.items():
            if name in layers:
                continue
            if modality.kind == "text":
                self.lost[name] = "there is no way between two words; this model names no word_layers()"
            elif not asking.inputs[name].is_floating_point():
                self.lost[name] = "there is no way between whole numbers; give them as floats"
        self.names = [name for name in question.modalities if name not in self.lost]
        self.layers = {name: layer for name, layer in layers.items() if name in self.names}
        in_order = asking.in_order and isinstance(asking.answers, OfCallable)
        self.model = OfCallable(question.model, question.modalities, in_order=in_order)
        self.read = reader("logit", question.task, asking.head) if question.task else asking.read
        self._inner = walked(self._answer, self.names, self.layers)

    def reason(self, at: Sequence[int]) -> str:
        """Why these cases cannot be walked; empty where they can."""
        if len(self.names) < 2:
            return f"nothing is left to share with but {' and '.join(self.lost)}"
        cases, _, along, words = self._ends(at)
        cases = [x.requires_grad_() for x in cases]
        try:
            with torch.enable_grad():
                column = torch.zeros(len(at), dtype=torch.long, device=self.question.asking.device)
                said = self._inner(*cases, *along, column, *words)
                found = torch.autograd.grad(said.sum(), cases, allow_unused=True)
        except RuntimeError:  # what torch raises where a function leaves it
            return STUCK
        return STUCK if all(slope is None for slope in found) else ""

    def walked(self, at: Sequence[int], steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sizes (n, modalities) of some cases, and |missed| and |moved| (n,), summed over F's outputs."""
        cases, starts, along, words = self._ends(at)
        sizes, missed, moved = np.zeros((len(at), len(cases))), np.zeros(len(at)), np.zeros(len(at))
        with torch.enable_grad():
            for column in self._columns(cases, along, words):
                found, error = attr.IntegratedGradients(self._forward).attribute(
                    tuple(cases),
                    tuple(starts),
                    additional_forward_args=(*along, column, *words),
                    n_steps=steps,
                    internal_batch_size=max(ROWS, len(at)),
                    return_convergence_delta=True,
                )
                values = [a.detach().double().cpu() for a in found]
                added = sum(a.flatten(1).sum(dim=1) for a in values)
                for k, (name, a) in enumerate(zip(self.names, values, strict=True)):
                    a = a.sum(dim=2) if name in self.layers else a
                    sizes[:, k] += a.abs().flatten(1).sum(dim=1).numpy()
                missed += error.double().abs().cpu().numpy()
                moved += (added - error.double().cpu()).abs().numpy()
        return sizes, missed, moved

    def _columns(self, cases: list[Tensor], along: list[Tensor], words: list[Tensor]) -> list[Tensor]:
        """Which output is walked, (n,), one time after the other."""
        with torch.no_grad():
            said = walked(self._numbers, self.names, self.layers)(*cases, *along, *words)
        if self.question.task is not None and self.question.task.kind == "multiclass":
            return [said.argmax(dim=1)]
        return [torch.full((len(said),), k, device=said.device) for k in range(said.shape[1])]

    def _ends(self, at: Sequence[int]) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
        """Some cases, what stands in for them, the modalities that are not walked, and the texts' words."""
        asking, cases, starts, words = self.question.asking, [], [], []
        for name in self.names:
            x, start = (values[name][at].to(asking.device) for values in (asking.inputs, asking.filled))
            absent = torch.tensor(self.question.modalities[name].absent).to(x).expand(x.shape)
            start = torch.where(x.isnan() | start.isnan(), absent, start)
            x = torch.where(x.isnan(), absent, x)
            if name in self.layers:
                words.append(x)
                with torch.no_grad():
                    x, start = self.layers[name](x.long()), self.layers[name](start.long())
                start = torch.where(words[-1][..., None] == 0, x, start)
            cases.append(x.clone())
            starts.append(start)
        return cases, starts, [asking.inputs[name][at].to(asking.device) for name in self.lost], words

    def _numbers(self, *tensors: Tensor) -> Tensor:
        """The outputs (B, K) of the modalities that are walked, and then the others."""
        given = dict(zip([*self.names, *self.lost], tensors, strict=True))
        return self.read(self.model.fuse({name: {name: given[name]} for name in self.question.modalities}))

    def _answer(self, *tensors: Tensor) -> Tensor:
        *given, column = tensors
        return self._numbers(*given).gather(1, column[:, None])[:, 0]

    def _forward(self, *tensors: Tensor) -> Tensor:
        # A modality that the model never looks at has the slope 0, which torch would call an error.
        unseen = sum(0 * x.flatten(1).sum(dim=1) for x in tensors[: len(self.names)])
        return self._inner(*tensors) + unseen
