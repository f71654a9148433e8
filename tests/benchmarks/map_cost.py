"""What maps and their scores cost: against Captum by hand, one case at a time, and numpy.load.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.map_cost

prints tables (tests/benchmarks/RESULTS.md keeps them) and fails where a promise is not met. A ResNet-10 and a
record of 8 columns, two classes, pictures of 64x64, random weights; one thread, process time, medians of
repeats in which both rows of a pair take turns. Memory: the most that a process of its own ever held.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from captum import attr

from studykit.case import Batch, Modality, Schema, Task
from studykit.catalog import build
from studykit.explain import Explainer, Explanation, Occlusion, store
from studykit.explain.explain import explained
from studykit.models import FusionModel, class_logit
from studykit.models.fusion import probabilities
from studykit.quality import Asked
from studykit.quality.degradation import Degradation
from studykit.training import Recipe, find_runs, train

CASES, SIDE, COLUMNS, REPEATS = 16, 64, 8, 7
SLOWER, FASTER, TIMES, MORE = 1.10, 3.0, 3.0, 1.15  # what was promised
RESNET = {"name": "timm", "architecture": "resnet10t", "weights": "scratch", "frozen": False, "stages": [4]}
SCHEMA = Schema(
    (
        Modality("image", "image", (3, SIDE, SIDE)),
        Modality("record", "table", (COLUMNS,), tuple(f"c{at}" for at in range(COLUMNS)), (0.0,) * COLUMNS),
    ),
    (Task("disease", "binary", ("no", "yes")),),
)


def made() -> tuple[FusionModel, Batch]:
    """The model and the cases."""
    torch.manual_seed(0)
    model = build(FusionModel, {"name": "concat", "image": RESNET}, SCHEMA).eval()
    ids = [f"c{at}" for at in range(CASES)]
    inputs = {"image": torch.rand(CASES, 3, SIDE, SIDE), "record": torch.randn(CASES, COLUMNS)}
    return model, Batch(ids, ids, inputs, {"disease": torch.ones(CASES)})


def by_turns(*works) -> list[float]:
    """The median seconds of each work, all of them taking turns."""
    spent = [[] for _ in works]
    for repeat in range(REPEATS + 1):
        for times, work in zip(spent, works, strict=True):
            start = time.process_time()
            work()
            if repeat:  # the first one warms up
                times.append(time.process_time() - start)
    return [statistics.median(times) for times in spent]


def by_hand(model: FusionModel, batch: Batch) -> dict[str, object]:
    """What a person writes with Captum, for the same model, cases, class and steps."""
    inputs = tuple(batch.inputs.values())
    task, target = SCHEMA.tasks[0], torch.ones(CASES, dtype=torch.long)

    def logit(image, record):
        return class_logit(model({"image": image, "record": record})["disease"], task, target[: len(image)])

    def several(image, record):
        return class_logit(
            model({"image": image, "record": record})["disease"], task, torch.ones(len(image)).long()
        )

    starts = (torch.zeros_like(inputs[0]), torch.zeros_like(inputs[1]))

    def cam():
        wanting = tuple(x.clone().requires_grad_() for x in inputs)
        layer = attr.LayerGradCam(logit, model.map_layers()["image"])
        return F.interpolate(layer.attribute(wanting, relu_attributions=True), (SIDE, SIDE), mode="bilinear")

    def integrated():
        engine = attr.IntegratedGradients(several)
        return engine.attribute(
            inputs, starts, n_steps=64, internal_batch_size=32, return_convergence_delta=True
        )

    def slopes():
        wanting = tuple(x.clone().requires_grad_() for x in inputs)
        return attr.InputXGradient(logit).attribute(wanting)

    def occluded():
        windows, steps = ((3, 16, 16), (1,)), ((3, 8, 8), (1,))
        return attr.Occlusion(several).attribute(inputs, windows, steps, starts)

    names = ("grad_cam", "gradient_x_input", "integrated_gradients", "occlusion")
    return dict(zip(names, (cam, slopes, integrated, occluded), strict=True))


def maps() -> list[str]:
    """Ours against Captum's; the sentences of promises not met."""
    model, batch = made()
    print(f"| maps of {CASES} cases | ours, s | Captum by hand, s | ours / by hand |\n|---|---|---|---|")
    broken = []
    for name, hand in by_hand(model, batch).items():
        explainer = build(Explainer, name)
        ours, theirs = by_turns(lambda e=explainer: e(model, batch), hand)
        print(f"| {name} | {ours:.3f} | {theirs:.3f} | {ours / theirs:.2f} |", flush=True)
        broken += [f"{name} takes {ours / theirs:.2f} times Captum"] if ours / theirs > SLOWER else []
    return broken


def one_at_a_time(asked: Asked) -> np.ndarray:
    """The same curves: each case and step, one picture through the whole model. Gives DS (B,)."""
    kept = asked.kept
    morf, lerf = np.zeros((CASES, 11)), np.zeros((CASES, 11))
    filling = next(value for name, value in kept.items() if name.startswith("filled"))
    first = kept["order"].view(CASES, -1)
    count = first.shape[1]
    with torch.inference_mode():
        for case in range(CASES):
            for step in range(11):
                gone = round(step / 10 * count)
                for curve, taken in ((morf, first[case] < gone), (lerf, first[case] >= count - gone)):
                    picture = asked.batch.inputs["image"][case].clone()
                    at = taken.view(1, SIDE, SIDE).expand_as(picture)
                    picture[at] = filling[case][at]
                    record = asked.batch.inputs["record"][case : case + 1]
                    logits = asked.model({"image": picture[None], "record": record})["disease"]
                    curve[case, step] = probabilities(logits, SCHEMA.tasks[0])[0, 1]
    return (lerf - morf).mean(axis=1)


def curves() -> list[str]:
    """Deletion and insertion curves, both directions, against one case at a time."""
    model, batch = made()
    explainer = build(Explainer, "gradient_x_input")
    explanation = explainer(model, batch)

    def asked() -> Asked:
        return Asked(model, batch, explainer, explanation, SCHEMA.modality("image"))

    ready = asked()
    ours = Degradation()(ready)["degradation"].values
    off = np.abs(one_at_a_time(ready) - ours).max()
    fast, slow = by_turns(lambda: Degradation()(asked()), lambda: one_at_a_time(ready))
    print(f"\n| curves of {CASES} cases, 11 steps, both directions | s | times as fast |\n|---|---|---|")
    print(f"| one case, one step at a time | {slow:.2f} | 1 |\n| together | {fast:.2f} | {slow / fast:.1f} |")
    print(f"\nThe two differ by {off:.1e} at most.")
    broken = [f"curves are {slow / fast:.1f} times as fast"] if slow / fast < FASTER else []
    return broken + ([f"curves differ by {off}"] if off > 1e-4 else [])


PHANTOM = {"name": "breast_phantom", "size": 64}
SMALL = {"name": "concat", "image": {"name": "residual", "widths": [4, 8]}}


def a_run(folder: Path, count: int):
    """A run of `count` drawn cases, hardly trained; a third of them is held out."""
    recipe = {
        "name": f"{count}",
        "dataset": {**PHANTOM, "count": count},
        "model": SMALL,
        "folds": 3,
        "only": [0],
    }
    train(Recipe.from_json({**recipe, "training": {"epochs": 1}}), folder)
    return find_runs(folder / f"{count}")[0]


def opening(folder: Path) -> list[str]:
    """One case's six maps of 224x224, from the store and by numpy.load of the same bytes."""
    run, side, draw = a_run(folder, 60), 224, np.random.default_rng(0)
    ids, keys = run.test_ids, [f"method{at}" for at in range(6)]
    for key in keys:
        image = draw.normal(size=(len(ids), 1, side, side)).astype("float32")
        store.write(
            run, key, Explanation(ids, "lesion", np.ones(len(ids)), {}, {"image": image}, {"image": True})
        )
        for case, values in zip(ids, image.astype("float16"), strict=True):
            np.save(folder / f"{key}-{case}.npy", values)
    turn = iter(range(10**9))

    def ours():
        for _ in range(50):
            case = ids[next(turn) % len(ids)]
            _ = [store.read(run, key, [case]).maps["image"] for key in keys]

    def theirs():
        for _ in range(50):
            case = ids[next(turn) % len(ids)]
            _ = [np.load(folder / f"{key}-{case}.npy") for key in keys]

    mine, plain = (spent / 50 * 1e3 for spent in by_turns(ours, theirs))
    print("\n| one case's six maps, 224x224 | ms | times |\n|---|---|---|")
    print(f"| numpy.load of the same bytes | {plain:.2f} | 1 |")
    print(f"| from the store | {mine:.2f} | {mine / plain:.1f} |")
    return [f"opening takes {mine / plain:.1f} times numpy.load"] if mine / plain > TIMES else []


def memory(folder: Path) -> list[str]:
    """The most memory that explaining ever takes, for few and for many cases."""
    held = {}
    for count in (240, 1920):
        run = a_run(folder, count)
        said = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.map_cost", "--explain", str(run.folder)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        held[len(run.test_ids)] = json.loads(said.stdout.splitlines()[-1])
    (few, least), (many, most) = held.items()
    print("\n| held-out cases explained by occlusion and integrated gradients | most memory, MB |\n|---|---|")
    print(f"| {few} | {least:.0f} |\n| {many} | {most:.0f} |")
    return [f"memory grows {most / least:.2f} times"] if most / least > MORE else []


def explain_alone(folder: Path) -> None:
    """Explain the run and print the most MB that this process held."""
    run = find_runs(folder)[0]
    for _ in explained([run], [Occlusion(window=32), build(Explainer, "integrated_gradients")]):
        pass
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["--explain"]:
        explain_alone(Path(sys.argv[2]))
        sys.exit()
    with tempfile.TemporaryDirectory() as place:
        broken = maps() + curves() + opening(Path(place)) + memory(Path(place))
    sys.exit("; ".join(broken) or 0)
