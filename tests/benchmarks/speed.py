"""Training step, inference and memory of every model against the bare networks that it is made of.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.speed

prints a table (tests/benchmarks/RESULTS.md keeps one) and fails where a promised ratio is not met. Times are
medians of rounds in which the two compared take turns, since machines are shared; memory is what a process
grows by at its peak during three training steps.
"""

import os
import statistics
import sys
import time
import warnings
from pathlib import Path

import torch
from torch import nn

from studykit.case import Modality, Schema, Task
from studykit.catalog import build
from studykit.models import FusionModel
from studykit.models.fusion import pooled
from studykit.models.streams import Streams

ROUNDS, BATCH = 9, 16
TASK = (Task("lesion", "binary", ("benign", "malignant")),)
RECORD = Modality("record", "table", (7,), tuple("abcdefg"), (0.0,) * 7)
PAIR = Schema(tuple(Modality(n, "image", (3, 64, 64)) for n in ("first", "second")), TASK)
SCAN = Schema((Modality("volume", "volume", (1, 16, 48, 48)), RECORD), TASK)
RESNET = {"name": "timm", "architecture": "resnet10t", "weights": "scratch", "frozen": False}
GATE = {
    "name": "attention_gate", "backbone": "resnet18", "local_widths": [16, 32, 64, 128], "gate": "learned",
    "receptive_field": 17, "head": "gap",
}  # fmt: skip
OWN = {"name": "drifa", "widths": [64, 128, 256], "depths": [1, 1, 1]}

MODELS = {
    "drifa, faithful": ({**OWN, "preset": "faithful"}, PAIR),
    "drifa, repaired": (OWN, PAIR),
    "drifa, repaired, light": ({**OWN, "squeeze": 8, "mfa": "stage"}, PAIR),
    "mmtm": ({**OWN, "name": "mmtm"}, PAIR),
    "attention_gate, faithful": ({**GATE, "preset": "faithful"}, PAIR),
    "attention_gate, repaired": (GATE, PAIR),
    "mmcaf, faithful": ({"name": "mmcaf", "preset": "faithful"}, SCAN),
    "mmcaf, repaired (sequence)": ({"name": "mmcaf"}, SCAN),
    **{
        name: ({"name": name, "image": RESNET}, PAIR)
        for name in ("concat", "late", "film", "daft", "gmu", "cross_attention")
    },
}
# (one, another, of what, most that one may take of the other)
PROMISES = (
    ("drifa, repaired", "drifa, faithful", 1.1),
    ("attention_gate, repaired", "attention_gate, faithful", 1.1),
    ("mmcaf, repaired (sequence)", "mmcaf, faithful", 1.1),
    ("drifa, repaired, light", "its encoders", 1.3),
    ("mmcaf, repaired (sequence)", "its encoders", 1.5),
)


class Bare(nn.Module):
    """The encoders of a model, pooled, with one linear layer: the least that could use them."""

    def __init__(self, model: FusionModel, inputs):
        super().__init__()
        self.encoders, self.sources = model.encoders, model.sources
        with torch.no_grad():
            width = self._rows(inputs).shape[1]
        self.linear = nn.Linear(width, 1)

    def _rows(self, inputs):
        maps = [e(inputs[self.sources.get(name, name)]) for name, e in self.encoders.items()]
        return torch.cat([x.mean(1) if self._tokens(x) else pooled(x) for x in maps], dim=1)

    @staticmethod
    def _tokens(x):
        return x.ndim == 3

    def forward(self, inputs):
        return {"lesion": self.linear(self._rows(inputs))}


def made(name, bare=False):
    """(a module, its inputs) for a row of MODELS, or for the bare networks of it."""
    spec, schema = MODELS[name]
    torch.manual_seed(0)
    inputs = {m.name: torch.rand(BATCH, *m.shape) for m in schema.modalities}
    model = build(FusionModel, spec, schema)
    if not bare:
        return model, inputs
    if isinstance(model, Streams):  # without attention, and with nothing passed between the streams
        plain = {**spec, "name": "drifa", "gate": "constant"}
        return build(FusionModel, plain, schema), inputs
    return Bare(model, inputs), inputs


def step(model, inputs, optimiser):
    """One training step over all heads."""
    optimiser.zero_grad(set_to_none=True)
    sum(logits.square().mean() for logits in model(inputs).values()).backward()
    optimiser.step()


def timers(name, bare=False):
    """{what: a function that does it once}."""
    model, inputs = made(name, bare)
    resting, _ = made(name, bare)
    resting.eval()
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-4)

    def infer():
        with torch.inference_mode():
            resting(inputs)

    return {"step": lambda: step(model, inputs, optimiser), "inference": infer}


def together(*many):
    """Median seconds of each function, done in turns."""
    taken = [[] for _ in many]
    for turn in range(ROUNDS + 1):
        for position, act in enumerate(many):
            start = time.perf_counter()
            act()
            if turn:  # the first turn warms up
                taken[position].append(time.perf_counter() - start)
    return [statistics.median(times) for times in taken]


def peak(name, bare=False):
    """Megabytes that a fresh process grows by during three training steps."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        torch.set_num_threads(1)
        model, inputs = made(name, bare)
        optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-4)
        before = status("VmRSS")
        for _ in range(3):
            step(model, inputs, optimiser)
        os.write(write, str((status("VmHWM") - before) / 1024).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    return float(os.read(read, 64))


def status(key):
    """Kilobytes of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def main():
    """Print the table; the number of promises that are not met."""
    warnings.filterwarnings("ignore")
    memory = {name: (peak(name), peak(name, bare=True)) for name in MODELS}  # before any thread starts
    print("| model | step | of its encoders | inference | of its encoders | peak memory | of its encoders |")
    print("|---|---|---|---|---|---|---|")
    for name in MODELS:
        whole, bare = timers(name), timers(name, bare=True)
        cells = [name]
        for what in ("step", "inference"):
            ours, theirs = together(whole[what], bare[what])
            cells += [f"{1e3 * ours:.0f} ms", f"{ours / theirs:.2f}"]
        ours, theirs = memory[name]
        print("| " + " | ".join([*cells, f"{ours:.0f} MB", f"{ours / theirs:.2f}"]) + " |", flush=True)
    print("\n| promise | step | inference | peak memory | most |\n|---|---|---|---|---|")
    broken = 0
    for one, other, most in PROMISES:
        first = timers(one)
        second = timers(one, bare=True) if other == "its encoders" else timers(other)
        ratios = []
        for what in ("step", "inference"):
            ours, theirs = together(first[what], second[what])
            ratios.append(ours / theirs)
        ratios.append(memory[one][0] / (memory[one][1] if other == "its encoders" else memory[other][0]))
        broken += max(ratios) > most
        print(f"| {one} / {other} | " + " | ".join(f"{r:.2f}" for r in ratios) + f" | {most} |", flush=True)
    return broken


if __name__ == "__main__":
    sys.exit(main())
