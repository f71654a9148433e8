"""Modality contribution against the loop that asks part by part, and how far it is from the machine's best.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.contribution_speed

prints tables (tests/benchmarks/RESULTS.md keeps them) and fails where a promise is not met. ResNet-18 with a
table of 20 columns, five classes, pictures of 128x128 in 256 patches, random weights; one thread, process
time, medians of repeats in which all rows take turns. The floor: the multiply-adds of the convolutions that
are needed, at the best rate that this machine reaches in one convolution or matrix product.
"""

import statistics
import sys
import time
from collections import Counter

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from studykit.case import Modality, Schema, Task
from studykit.catalog import build
from studykit.contribution import Whole, modality_contribution
from studykit.contribution.asking import Asking, exactly
from studykit.contribution.occlusion import Occlusion
from studykit.contribution.window import Window
from studykit.models import FusionModel
from tests.contribution.test_sampling_coverage import evidence, held

REPEATS, CASES, MANY = 5, 3, 20
SIDE, PATCH, COLUMNS, SAMPLED = 128, 8, 20, 64
CLASSES = ("a", "b", "c", "d", "e")
SCHEMA = Schema(
    (
        Modality("image", "image", (3, SIDE, SIDE)),
        Modality("record", "table", (COLUMNS,), tuple(f"c{at}" for at in range(COLUMNS)), (0.0,) * COLUMNS),
    ),
    (Task("diagnosis", "multiclass", CLASSES),),
)
RESNET = {"name": "timm", "architecture": "resnet18", "weights": "scratch", "frozen": False, "stages": [4]}
PARTS = {"image": PATCH}
# {row: (times as fast as its loop, at least; difference from the loop, at most)}
PROMISES = {
    "ours, exact": (2.5, 2e-5),
    "ours, Monte Carlo, 64 of 256 patches": (9.0, None),
    "ours, whole image and columns": (10.0, 2e-5),
}


def made():
    """The model and MANY cases; its batch norms have seen data, as a trained model's."""
    torch.manual_seed(0)
    model = build(FusionModel, {"name": "concat", "image": RESNET, "hidden": 64}, SCHEMA)
    line, centre = torch.arange(SIDE), torch.randint(16, SIDE - 16, (2, MANY, 1))
    along, across = torch.exp(-(((line - centre) / 12) ** 2))  # a bright spot in noise
    image = along[:, None, :, None] * across[:, None, None] + 0.2 * torch.rand(MANY, 3, SIDE, SIDE)
    inputs = {"image": image, "record": torch.randn(MANY, COLUMNS)}
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)  # timm begins with blocks that pass nothing on
    with torch.no_grad():
        for _ in range(20):
            model({name: x[:8] for name, x in inputs.items()})
    return model.eval(), inputs


class Foreign(nn.Module):
    """The same network as a module that is not ours."""

    def __init__(self, model):
        super().__init__()
        self.image, self.record, self.model = model.encoders["image"], model.encoders["record"], model

    def forward(self, image, record):
        return self.model.fuse({"image": self.image(image), "record": self.record(record)})["diagnosis"]


def answer(model, image, record):
    return model({"image": image, "record": record})["diagnosis"].softmax(dim=1)


def loop(model, image, record, whole=False, gradients=False):
    """One case the way the authors' scripts go: the whole model for each part, the case itself for each
    modality.
    """
    side, found = (SIDE if whole else PATCH), {"image": [], "record": []}
    with torch.set_grad_enabled(gradients):
        first = answer(model, image, record)
        for top in range(0, SIDE, side):
            for left in range(0, SIDE, side):
                x = image.clone()
                x[:, :, top : top + side, left : left + side] = 0
                found["image"].append((answer(model, x, record) - first).detach())
        first = answer(model, image, record)
        for column in range(COLUMNS):
            x = record.clone()
            x[:, column] = 0
            found["record"].append((answer(model, image, x) - first).detach())
    return {name: torch.cat(d)[None].double().numpy() for name, d in found.items()}


def batched(model, image, record, size=16):
    """One case: the whole model for each part, `size` at a time."""
    pictures, rows = image.repeat(256 + COLUMNS + 1, 1, 1, 1), record.repeat(256 + COLUMNS + 1, 1)
    for at in range(256):
        top, left = PATCH * (at // 16), PATCH * (at % 16)
        pictures[at, :, top : top + PATCH, left : left + PATCH] = 0
    rows[256 + torch.arange(COLUMNS), torch.arange(COLUMNS)] = 0
    with torch.no_grad():
        pairs = zip(pictures.split(size), rows.split(size), strict=True)
        found = torch.cat([answer(model, *pair) for pair in pairs]).double().numpy()
    return {"image": (found[:256] - found[-1])[None], "record": (found[256:-1] - found[-1])[None]}


def engine(model, inputs, windows=True, **settings):
    """Ours step by step."""
    occlusion = Occlusion(Asking(model, inputs, PARTS, **settings))
    if not windows:
        occlusion.asking.windowed = frozenset()
    occlusion.ask()
    return occlusion.contribution().differences


def ways(model, inputs):
    """{row: (cases, a function of the repeat that does it, the row of its loop)}."""
    few = {name: x[:CASES] for name, x in inputs.items()}
    foreign = Foreign(model).eval()
    whole = {"image": Whole()}

    def one(repeat):
        return [x[[repeat % CASES]] for x in inputs.values()]

    def ours(inputs, **settings):
        return modality_contribution(model, inputs, **settings).differences

    def not_ours(_):
        encoders = {"image": foreign.image, "record": foreign.record}
        settings = {"parts": PARTS, "output": "softmax", "encoders": encoders}
        return modality_contribution(foreign, few, **settings).differences

    parts, plain = "the loop, a part at a time", "the loop, whole image and columns"
    return {
        parts: (1, lambda repeat: loop(model, *one(repeat)), parts),
        "the loop with gradients on": (1, lambda repeat: loop(model, *one(repeat), gradients=True), parts),
        "batches of 16": (1, lambda repeat: batched(model, *one(repeat)), parts),
        "and each modality encoded once": (CASES, lambda _: engine(model, few, fold=False), parts),
        "and batch norms folded, channels last": (CASES, lambda _: engine(model, few, windows=False), parts),
        "ours, exact": (CASES, lambda _: ours(few, parts=PARTS), parts),
        "ours, exact, of a module that is not ours": (CASES, not_ours, parts),
        "ours, Monte Carlo, 64 of 256 patches": (CASES, lambda _: ours(few, parts=PARTS, sampled=64), parts),
        plain: (1, lambda repeat: loop(model, *one(repeat), whole=True), plain),
        "ours, whole image and columns": (MANY, lambda _: ours(inputs, parts=whole), plain),
    }


def timed(act):
    start = time.process_time()
    found = act()
    return time.process_time() - start, found


def apart(found, wanted, repeat):
    """The largest difference from the loop's, as a part of the loop's largest; sampled parts where asked."""
    most = 0.0
    for name, d in wanted.items():
        case = found[name] if len(found[name]) == 1 else found[name][[repeat % CASES]]
        most = max(most, float(np.nanmax(np.abs(case - d)) / np.abs(d).max()))
    return most


def speed(model, inputs):
    """Print each row's time; {row: (seconds a case, times as fast, difference from the loop)}."""
    rows = ways(model, inputs)
    taken, off = {row: [] for row in rows}, dict.fromkeys(rows, 0.0)
    for repeat in range(REPEATS):
        answers = {}
        for row, (cases, act, its_loop) in rows.items():
            seconds, answers[row] = timed(lambda: act(repeat))  # noqa: B023
            taken[row].append(seconds / cases)
            off[row] = max(off[row], apart(answers[row], answers[its_loop], repeat))
    print("| | cases | s a case | times as fast | of the largest difference, off by at most |")
    print("|---|---|---|---|---|")
    found = {}
    for row, (cases, _, its_loop) in rows.items():
        seconds = statistics.median(taken[row])
        ratio = statistics.median([a / b for a, b in zip(taken[its_loop], taken[row], strict=True)])
        found[row] = seconds, ratio, off[row]
        print(f"| {row} | {cases} | {seconds:.3f} | {ratio:.2f} | {off[row]:.1e} |")
    return found


def coverage(model, inputs):
    """Print how often the sampling interval holds the exact share; the least and the most often."""
    exact = modality_contribution(model, inputs, PARTS).differences
    image, record = (np.abs(d).sum(axis=2) for d in exact.values())
    top = np.sort(image, axis=1)[:, ::-1]
    carried = (top[:, :3].sum(axis=1) / image.sum(axis=1)).mean()
    rows = {f"this model's ({100 * carried:.0f} % in a case's first three patches)": (image, record)}
    for kind in ("spread", "around one place", 3, 2, 1):
        name = kind if isinstance(kind, str) else f"95 % in {kind} of 256"
        rows[name] = (evidence(kind, MANY, 0.5), None)
        rows[f"{name}, very unlike cases"] = (evidence(kind, 2 * MANY, 1.0), None)
    print("\n| evidence | cases | holds the exact share, of 500 draws |\n|---|---|---|")
    found = []
    for name, sizes in rows.items():
        found.append(held(*sizes))
        print(f"| {name} | {len(sizes[0])} | {100 * found[-1]:.1f} % |", flush=True)
    return min(found), max(found)


class Convolutions(TorchDispatchMode):
    """Notes each convolution that is computed: what it is given, and its multiply-adds."""

    def __init__(self):
        super().__init__()
        self.seen, self.work = Counter(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if any(issubclass(kind, Window) for kind in types):
            return NotImplemented  # what it computes inside is seen in turn
        found = func(*args, **kwargs or {})
        if func.overloadpacket in (torch.ops.aten.conv2d, torch.ops.aten.convolution):
            x, weight, _, stride, padding = [*args, *((1, 1), (0, 0))[len(args) - 3 :]][:5]
            self.seen[tuple(x.shape), tuple(weight.shape), tuple(stride), tuple(padding)] += 1
            self.work += found.numel() * weight[0].numel()
        return found


def seconds_of(act, times=7):
    act()
    return statistics.median(timed(act)[0] for _ in range(times))


def alone(x, weight, stride, padding):
    """Seconds of one convolution by itself."""
    x, weight = (torch.rand(shape).contiguous(memory_format=torch.channels_last) for shape in (x, weight))
    bias = torch.rand(len(weight))
    return seconds_of(lambda: torch.conv2d(x, weight, bias, stride, padding), 3)


def floor(model, inputs, ours):
    """Print what the machine's best rate would need for a case."""
    case, needed = {name: x[:1] for name, x in inputs.items()}, {}
    with exactly():
        square = torch.rand(2048, 2048)
        rate = 2048**3 / seconds_of(lambda: square @ square)
        x = torch.rand(16, 128, 16, 16).contiguous(memory_format=torch.channels_last)
        weight = torch.rand(128, 128, 3, 3).contiguous(memory_format=torch.channels_last)
        best = 16 * 16**2 * 128**2 * 9 / seconds_of(lambda: torch.conv2d(x, weight, None, 1, 1))
    print(f"\n10^9 multiply-adds a second: matrix product {rate / 1e9:.0f}, convolution {best / 1e9:.0f}.\n")
    print("| of a case | 10^9 multiply-adds | floor, s | convolutions alone, s | ours, s | ours / floor |")
    print("|---|---|---|---|---|---|")
    for windows, row in ((False, "and batch norms folded, channels last"), (True, "ours, exact")):
        asking = Occlusion(Asking(model, case, PARTS))
        if not windows:
            asking.asking.windowed = frozenset()
        with Convolutions() as seen:
            asking.ask()
        with exactly():
            each = sum(times * alone(*what) for what, times in seen.seen.items())
        needed[windows] = seen.work
        name = "with windows" if windows else "whole pictures"
        bound = seen.work / max(rate, best)
        cells = f"{seen.work / 1e9:.0f} | {bound:.2f} | {each:.2f} | {ours[row][0]:.2f}"
        print(f"| {name} | {cells} | {ours[row][0] / bound:.2f} |", flush=True)
    print(f"\nWindows need {needed[True] / needed[False]:.2f} of the multiply-adds.")


def main():
    """Print the tables; the number of promises that are not met."""
    torch.set_num_threads(1)
    model, inputs = made()
    found = speed(model, inputs)
    floor(model, inputs, found)
    least, most = coverage(model, inputs)
    broken = int(least < 0.92) + int(most > 0.98)
    print("\n| promise | times as fast | at least |\n|---|---|---|")
    for row, (least, most) in PROMISES.items():
        _, ratio, off = found[row]
        broken += ratio < least or (most is not None and off > most)
        print(f"| {row} | {ratio:.2f} | {least} |")
    return broken


if __name__ == "__main__":
    sys.exit(main())
