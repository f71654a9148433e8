"""The commands: python -m studykit demo | models | run | explain | serve."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from studykit.catalog import InputError

RUNS = Path("data/runs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command; 0 where it went well, 2 for bad input (one sentence on stderr)."""
    given = _parser().parse_args(arguments)
    try:
        given.act(given)
    except InputError as why:
        print(f"studykit: {why}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstudykit: stopped; what was finished is kept, nothing is half-written.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m studykit", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, act, about: str, example: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=about,
            description=about,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(act=act)
        return sub

    demo = command(
        "demo", _demo, "Build the demo study on drawn cases and open its pages.", "python -m studykit demo"
    )
    demo.add_argument("--out", type=Path, default=Path("data/demo"), help="where its runs stand (data/demo)")
    demo.add_argument("--port", type=int, default=5006)
    demo.add_argument("--no-serve", action="store_true", help="build it only")

    models = command(
        "models", _models, "List the models: paper, input, size, and what their attention can show.",
        "python -m studykit models",
    )  # fmt: skip
    models.add_argument("--markdown", action="store_true", help="as README shows it")

    run = command(
        "run", _run, "Carry out a recipe: train, measure, explain.",
        "python -m studykit run data/recipes/breast.json\n\n"
        'the smallest recipe:\n  {"dataset": {"name": "breast_lesions_usg"}}',
    )  # fmt: skip
    run.add_argument("recipe", type=Path, metavar="RECIPE.json")
    run.add_argument("--out", type=Path, default=RUNS, help=f"where the runs go ({RUNS})")

    explain = command(
        "explain", _explain, "Explain the held-out cases of runs that are there.",
        "python -m studykit explain data/runs --methods integrated_gradients grad_cam",
    )  # fmt: skip
    explain.add_argument("run", type=Path, metavar="RUN", help="a run folder, or a folder of them")
    explain.add_argument(
        "--methods",
        nargs="+",
        default=["integrated_gradients", "grad_cam"],
        help="their names (integrated_gradients grad_cam); a wrong one is answered with all there are",
    )

    serve = command(
        "serve", _serve, "Open the pages of the runs in a folder.", "python -m studykit serve data/runs"
    )
    serve.add_argument("runs", type=Path, metavar="RUNS")
    serve.add_argument("--port", type=int, default=5006)
    serve.add_argument("--show", action="store_true", help="open a browser, too")
    return parser


def _models(given: argparse.Namespace) -> None:
    import textwrap

    from studykit.models.overview import SIZES, as_markdown, overview, written

    table = overview()
    if given.markdown:
        print(as_markdown(table))
        return
    for row in table.to_dict("records"):
        print(f"{row['model']} {row['preset']}".strip() + (f" · {row['paper']}" if row["paper"] else ""))
        sizes = f"{written(row['parameters'])} parameters, {written(row['multiply-adds'])} multiply-adds"
        for line in (f"takes {row['takes']}; tasks: {row['tasks']}", sizes, f"shows {row['shows']}"):
            print(textwrap.indent(textwrap.fill(line, 100), "    "))
    print(f"\nCounted on {SIZES}.")


def _run(given: argparse.Namespace) -> None:
    from studykit.training import read_recipe

    _carry_out(read_recipe(given.recipe), given.out)
    print(f"Look at it with: python -m studykit serve {given.out}")


def _carry_out(recipe, out: Path) -> None:
    """Train, measure and explain; what the recipe wants explained is checked before anything starts."""
    from studykit.catalog import build
    from studykit.explain import Explainer
    from studykit.training import Run, train

    methods = [build(Explainer, method) for method in recipe.explain]
    table = train(recipe, out, tell=print)
    print(table.to_string(index=False, float_format="%.3f", na_rep="-"))
    _explain_runs([Run(out / recipe.name / f"fold-{fold}") for fold in recipe.folds_to_run], methods)


def _explain(given: argparse.Namespace) -> None:
    from studykit.catalog import build
    from studykit.explain import Explainer
    from studykit.training import find_runs

    methods = [build(Explainer, method) for method in given.methods]
    if not _explain_runs(find_runs(given.run), methods):
        raise InputError(f"None of these methods suits a run in {given.run}; see the sentences above.")


def _explain_runs(runs, methods) -> int:
    """Explain each run by each method that suits it, saying why one does not; the number explained."""
    from functools import partial

    from tqdm import tqdm

    from studykit.explain import explain, key, store

    explained = 0
    for run in runs:
        model = None
        for method in methods:
            if store.is_current(run, key(method), run.test_ids):
                print(f"{run.folder}: {method.name} stands already")
                explained += 1
                continue
            model = model or run.model()
            reason = method.suits(model, run.schema)
            if reason:
                print(f"{run.folder}: {reason}")
                continue
            bar = partial(tqdm, desc=f"{run.folder} {method.name}", leave=False, disable=None)
            made = explain(run, method, watch=bar)
            explained += 1
            off = made.checks.get("completeness")
            note = f"; completeness error {abs(off).mean():.3f} on average" if off is not None else ""
            print(f"{run.folder}: {method.name} of {len(made.ids)} cases{note}")
    return explained


def _demo(given: argparse.Namespace) -> None:
    from studykit.training import Recipe
    from studykit.training.demo import RECIPES

    for recipe in RECIPES:
        _carry_out(Recipe.from_json(recipe), given.out)
    if not given.no_serve:
        _open_pages(given.out, given.port, show=False)


def _serve(given: argparse.Namespace) -> None:
    _open_pages(given.runs, given.port, given.show)


def _open_pages(runs: Path, port: int, show: bool) -> None:
    from studykit.training import find_runs

    find_runs(runs)  # says what is missing before a server starts
    from studykit.ui.serve import serve

    serve(runs, port, show)


if __name__ == "__main__":
    sys.exit(main())
