"""The exclusive-or phantom learned by every model, the faithful presets and the controls too.

    python -m tests.benchmarks.interaction

prints the table that tests/benchmarks/RESULTS.md keeps. Settings are those of tests/models/interaction.py.
"""

import time
import warnings

from tests.models.interaction import ADDITIVE, FAITHFUL, MIXING, scores, trained


def main():
    """One row a model."""
    warnings.filterwarnings("ignore")
    print("| model | parameters | accuracy | partner exchanged | best epoch | of | seconds |")
    print("|---|---|---|---|---|---|---|")
    for name, (model, kinds, training) in {**ADDITIVE, **MIXING, **FAITHFUL}.items():
        start = time.perf_counter()
        made, history = trained(model, kinds, training)
        seconds = time.perf_counter() - start
        together, exchanged = scores(made, kinds)
        count = sum(p.numel() for p in made.parameters())
        kept = history.loc[history["best"], "epoch"].max()
        cells = f"{count} | {together:.3f} | {exchanged:.3f} | {kept} | {training['epochs']} | {seconds:.0f}"
        print(f"| {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
