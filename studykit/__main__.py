"""The commands: `python -m studykit` and demo, models, suits, check, fetch, import, run, explain, quality,
contributions or serve.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from studykit.catalog import InputError

RUNS = Path("data/runs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command; 0 where it went well, 1 where `check` finds problems, 2 for bad input.

    Bad input is one sentence on stderr.
    """
    given = _parser().parse_args(arguments)
    try:
        return given.act(given) or 0
    except InputError as why:
        print(f"studykit: {why}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstudykit: stopped; what was finished is kept, nothing is half-written.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `... | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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

    suits = command(
        "suits", _suits, "List which model suits which data set, and why not.", "python -m studykit suits"
    )
    suits.add_argument("--markdown", action="store_true", help="as README shows it")

    check = command(
        "check", _check, "Say what a data set must answer before anybody trains on it.",
        "python -m studykit check data/my_cases\n  python -m studykit check ham10000\n"
        "  python -m studykit check data/recipes/breast.json",
    )  # fmt: skip
    check.add_argument(
        "data", metavar="DATA", help="a folder with cases.csv, the name of a data set, or a recipe"
    )
    check.add_argument(
        "--confirm", action="store_true", help="write the columns' kinds, as they are shown, to cases.json"
    )

    fetch = command(
        "fetch", _fetch, "Bring a data set from its publisher, once you agree to its licence.",
        "python -m studykit fetch bus_bra",
    )  # fmt: skip
    fetch.add_argument("name", metavar="NAME", help="of a data set")
    fetch.add_argument("--to", type=Path, help="the folder of all data sets ($STUDYKIT_DATA, else data)")
    fetch.add_argument("--flag", default="", help="which MedMNIST set")
    fetch.add_argument("--size", type=int, default=0, help="of MedMNIST's pictures")
    fetch.add_argument("--yes", action="store_true", help="agree without being asked")

    bring = command(
        "import", _import, "Make a folder of cases, without names, from a folder of DICOM files.",
        "python -m studykit import /media/dicom data/my_cases --key ~/studykit.key",
    )  # fmt: skip
    bring.add_argument("source", type=Path, metavar="DICOM")
    bring.add_argument("out", type=Path, metavar="FOLDER", help="the new folder")
    bring.add_argument(
        "--key", type=Path, required=True, metavar="FILE",
        help="holds the secret by which patients get their new names; made where it is not there",
    )  # fmt: skip

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
        help="names, or all (integrated_gradients grad_cam); a wrong one is answered with all there are",
    )
    explain.add_argument(
        "--of", default="usual", help="the class explained: usual (of two the positive one), predicted, true"
    )
    _add_workers(explain)

    good = command(
        "quality", _quality, "How good are the maps of runs? Score them against masks, models and controls.",
        "python -m studykit quality data/runs --methods grad_cam occlusion\n"
        "  python -m studykit quality data/runs --scores relevance_mass randomisation --by label",
    )  # fmt: skip
    good.add_argument("run", type=Path, metavar="RUN", help="a run folder, or a folder of them")
    good.add_argument(
        "--methods", nargs="+", default=[],
        help="their names (what is explained already, else all that suit); the controls always stand beside",
    )  # fmt: skip
    good.add_argument("--scores", nargs="+", default=[], help="their names (all but the dear ones)")
    good.add_argument("--of", default="predicted", help="the class explained: usual, predicted or true")
    good.add_argument("--cases", type=int, default=0, help="how many cases, drawn (0: all held-out ones)")
    good.add_argument("--by", default="", help="label, right, size or 'true positives'")
    good.add_argument("--attention", action="store_true", help="what the model's gates do, too")
    _add_workers(good)

    lean = command(
        "contributions", _contributions, "What do the models of runs lean on? Take away part after part.",
        "python -m studykit contributions data/runs --parts image=16 record=columns --beside",
    )  # fmt: skip
    lean.add_argument("run", type=Path, metavar="RUN", help="a run folder, or a folder of them")
    lean.add_argument(
        "--parts", nargs="+", default=[], metavar="MODALITY=HOW",
        help="a patch's side (16, or 4x16x16 of a volume), columns, words, whole",
    )  # fmt: skip
    lean.add_argument(
        "--fill", nargs="+", default=["absent"], metavar="[MODALITY=]NAME",
        help="what stands where a part is gone: absent, sample_mean, channel_mean, training_mean, blur, "
        "other_case, mask, or a number",
    )  # fmt: skip
    lean.add_argument("--output", default="probability", help="probability or logit")
    lean.add_argument("--sampled", type=int, default=0, help="ask so many parts of each case only")
    lean.add_argument(
        "--beside", nargs="*", metavar="MEASURE", help="the other measures, too (all where none is named)"
    )
    lean.add_argument("--cases", type=int, default=100, help="how many cases --beside looks at (100)")
    _add_workers(lean)

    serve = command(
        "serve", _serve, "Open the pages of the runs in a folder.", "python -m studykit serve data/runs"
    )
    serve.add_argument("runs", type=Path, metavar="RUNS")
    serve.add_argument("--port", type=int, default=5006)
    serve.add_argument("--show", action="store_true", help="open a browser, too")
    return parser


def _add_workers(command: argparse.ArgumentParser) -> None:
    command.add_argument("--workers", type=int, default=0, help="processes (0: this one)")
    command.add_argument("--scheduler", default="", metavar="ADDRESS", help="of Dask, as tcp://host:8786")


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


def _suits(given: argparse.Namespace) -> None:
    from studykit.training.suits import as_markdown, suits_matrix

    matrix = suits_matrix()
    if given.markdown:
        print(as_markdown(matrix))
        return
    for row in matrix.to_dict("records"):
        reasons = {model: why for model, why in row.items() if model in matrix.columns[3:]}
        print(f"{row['data set']}: {row['modalities']}; {row['tasks']}")
        print(f"    suits {', '.join(model for model, why in reasons.items() if not why)}")
        for model, why in reasons.items():
            if why:
                print(f"    not {model}: {why}")


def _check(given: argparse.Namespace) -> int:
    from functools import partial

    from tqdm import tqdm

    from studykit.audit import checked, report

    dataset, parts = _asked(given.data)
    folder = Path(given.data) if Path(given.data).is_dir() else None
    if folder:
        _show_columns(folder, given.confirm)
    elif given.confirm:
        raise InputError("--confirm goes with a folder of your own cases; leave it out.")
    print(f"{dataset.card}\n")
    for sentence in dataset.notes():
        print(f"{sentence}\n")
    table = checked(dataset, parts, partial(tqdm, desc="looking", leave=False, disable=None))
    print(report(table))
    return int((table["level"] == "problem").any())


def _asked(data: str):
    """The data set that is meant (a folder, a recipe or a name), and the recipe's first split."""
    from studykit.catalog import build
    from studykit.datasets import Dataset, split

    if Path(data).is_dir():
        return build(Dataset, {"name": "own_folder", "folder": data}), None
    if not data.endswith(".json"):
        return build(Dataset, data), None
    from studykit.training import read_recipe

    recipe = read_recipe(Path(data))
    dataset = build(Dataset, recipe.dataset)
    task, fold = dataset.tasks[0], recipe.folds_to_run[0]
    return dataset, split(dataset.cases, task.name, recipe.folds, fold, recipe.seed, task.kind)


def _show_columns(folder: Path, confirm: bool) -> None:
    """What each column of a folder's table is taken for, and why; written to cases.json where confirmed."""
    import json

    from studykit.datasets.own_folder import inferred
    from studykit.whole import write_whole

    told = inferred(folder)
    tasks = {
        name: f"task, {task['kind']}: {', '.join(task.get('classes', []))}"
        for name, task in told["tasks"].items()
    }
    print(f"Columns of {folder}:")
    for column, kind in {**tasks, **told["columns"]}.items():
        print(f"  {column}: {kind} ({told['reasons'].get(column, 'cases.json says so')})")
    for column, why in told["refused"].items():
        print(f"  {column}: not used, {why}")
    if confirm:
        write_whole(folder / "cases.json", json.dumps(told, indent=1, ensure_ascii=False))
        print(f"Written to {folder / 'cases.json'}; change it there.\n")
    else:
        print("Confirm with --confirm (writes cases.json), or write there what you mean.\n")


def _fetch(given: argparse.Namespace) -> None:
    from tqdm import tqdm

    from studykit.catalog import check_choice
    from studykit.datasets import Dataset
    from studykit.datasets.fetch import fetch

    check_choice("data set", given.name, Dataset.catalogue)
    with tqdm(unit="B", unit_scale=True, leave=False, disable=None) as bar:

        def watch(file: str, came: int, whole: int) -> None:
            bar.set_description(file, refresh=False)
            bar.total, bar.n = whole or None, came
            bar.refresh()

        def agree(offer: str) -> bool:
            print(offer)
            if given.yes or not sys.stdin.isatty():
                return given.yes
            return input("Fetch it on these terms? [y/N] ").strip().lower() in ("y", "yes")

        home = given.to or Path(os.environ.get("STUDYKIT_DATA") or "data")
        fetch(given.name, home, agree, watch=watch, flag=given.flag, size=given.size)


def _import(given: argparse.Namespace) -> None:
    from studykit.files.dicom_import import import_dicom

    import_dicom(given.source, given.out, given.key)
    print(f"Add a column 'label' to {given.out / 'cases.csv'}, then: python -m studykit check {given.out}")


def _run(given: argparse.Namespace) -> None:
    from studykit.training import read_recipe

    _carry_out(read_recipe(given.recipe), given.out)
    print(f"Look at it with: python -m studykit serve {given.out}")


def _carry_out(recipe, out: Path) -> None:
    """Train, measure and explain; what the recipe wants explained is checked before anything starts."""
    from studykit.catalog import build, configured
    from studykit.datasets import Dataset
    from studykit.explain import Explainer
    from studykit.explain.contributions import Occluding
    from studykit.training import Run, train

    methods = [build(Explainer, method) for method in recipe.explain]
    wanted = recipe.contributions
    occluding = None if wanted is None else configured(Occluding, wanted, "contributions")
    if occluding:
        dataset = build(Dataset, recipe.dataset)
        occluding.check_names([m.name for m in dataset.pictures] + ["record", *dataset.texts])
    table = train(recipe, out, tell=print)
    print(table.to_string(index=False, float_format="%.3f", na_rep="-"))
    runs = [Run(out / recipe.name / f"fold-{fold}") for fold in recipe.folds_to_run]
    _explain_runs(runs, methods)
    if occluding:
        _contribution_table(runs, occluding)


def _explain(given: argparse.Namespace) -> None:
    from studykit.catalog import build
    from studykit.explain import Explainer
    from studykit.quality.quality import usual_methods
    from studykit.training import find_runs

    named = usual_methods() if given.methods == ["all"] else given.methods
    methods = [build(Explainer, method) for method in named]
    runs = find_runs(given.run)
    if not _explain_runs(runs, methods, given.of, given.workers, given.scheduler):
        raise InputError(f"None of these methods suits a run in {given.run}; see the sentences above.")


def _explain_runs(runs, methods, of: str = "usual", workers: int = 0, scheduler: str = "") -> int:
    """Explain each run by each method that suits it, saying why one does not; the number explained."""
    from functools import partial

    from tqdm import tqdm

    from studykit.explain import key, store
    from studykit.explain.explain import explained

    count = 0
    for run in runs:
        model, suiting = run.model(), []
        for method in methods:
            reason = method.suits(model, run.schema)
            if reason:
                print(f"{run.folder}: {reason}")
            else:
                suiting.append(method)
        bar = partial(tqdm, desc=f"{run.folder} explained", leave=False, disable=None)
        made = explained([run], suiting, of, workers=workers, scheduler=scheduler, watch=bar)
        for _, method, worked in made:
            count += 1
            off = store.read_check(run, key(method, of), "completeness")
            note = f"; completeness error {abs(off).mean():.3f} on average" if off is not None else ""
            stands = f"of {worked} cases" if worked else "stands already"
            print(f"{run.folder}: {method.name} {stands}{note}")
    return count


def _quality(given: argparse.Namespace) -> None:
    from functools import partial

    from tqdm import tqdm

    from studykit.quality import grades, quality, summary
    from studykit.training import find_runs

    bar = partial(tqdm, desc="quality", leave=False, disable=None)
    asked = {"of": given.of, "cases": given.cases, "workers": given.workers, "scheduler": given.scheduler}
    for run, table in quality(find_runs(given.run), given.methods, given.scores, **asked, watch=bar):
        print(f"\n{run.folder}: {table['case'].nunique()} cases")
        told = summary(table, given.by).drop(columns=["sd", "interval"])
        print(told.to_string(index=False, float_format="%.3f", na_rep="-"))
        if run.prepared.dataset.simulated and "relevance_mass" in set(table["score"]):
            print("\nGraded against the planted truth:")
            print(grades(table, run.about["name"]).to_string(index=False, float_format="%.3f", na_rep="-"))
        if given.attention:
            _attention(run)


def _attention(run) -> None:
    """What each gate of the run's model does to its answers."""
    from studykit.explain.gates import gates
    from studykit.models import taps

    if not taps(run.model()):
        print(f"\nThe model of {run.folder} has no attention to read.")
        return
    columns = [
        "tap",
        "held",
        "change",
        "statistic",
        "score",
        "score_held",
        "difference",
        "low",
        "high",
        "why",
    ]
    print("\nWhat is lost where attention is held still:")
    print(gates(run).ablation[columns].to_string(index=False, float_format="%.3f", na_rep="-"))


def _contributions(given: argparse.Namespace) -> None:
    from studykit.explain.contributions import Occluding
    from studykit.training import find_runs

    parts = dict(_pair(wish, "--parts") for wish in given.parts)
    one = len(given.fill) == 1 and "=" not in given.fill[0]
    fill = given.fill[0] if one else dict(_pair(wish, "--fill") for wish in given.fill)
    occluding = Occluding(parts, _number(fill), given.output, sampled=given.sampled)
    runs = find_runs(given.run)
    _contribution_table(runs, occluding, given.workers, given.scheduler)
    if given.beside is not None:
        _beside(runs, given.beside, occluding, given.cases)


def _pair(wish: str, option: str) -> tuple[str, object]:
    """What "image=16" or "volume=4x16x16" asks for, as `Occluding` takes it."""
    name, equals, how = wish.partition("=")
    if not equals or not name or not how:
        raise InputError(f"{option} is written MODALITY=HOW, as image=16, not '{wish}'.")
    sides = how.split("x")
    if len(sides) > 1 and all(side.isdigit() for side in sides):
        return name, {"name": "patches", "size": [int(side) for side in sides]}
    return name, _number(how)


def _number(text):
    """A number where the text is one; all else as it is."""
    for kind in (int, float):
        try:
            return kind(text)
        except (TypeError, ValueError):
            continue
    return text


def _contribution_table(runs, occluding, workers: int = 0, scheduler: str = "") -> None:
    """Compute what does not stand yet, and print each run's shares."""
    from functools import partial

    from tqdm import tqdm

    from studykit.contribution.contribution import COLLAPSED
    from studykit.explain.contributions import contributions

    bar = partial(tqdm, desc="contributions", leave=False, disable=None)
    for run, found in contributions(runs, occluding, workers, scheduler, bar):
        table = found.table()
        print(f"\n{run.folder}: {len(found.ids)} cases, {found.forwards} answers")
        print(table.to_string(index=False, float_format="%.3f", na_rep="-"))
        if collapsed := found.collapse():
            print(f"Unimodal collapse: the whole interval of {collapsed} lies above {COLLAPSED:.0%}.")


def _beside(runs, names: list[str], occluding, cases: int) -> None:
    """The other measures of each run."""
    from functools import partial

    from tqdm import tqdm

    from studykit.explain.contributions import neighbours

    for run in runs:
        bar = partial(tqdm, desc=f"{run.folder} beside", leave=False, disable=None)
        table = neighbours(run, names, occluding, cases, bar)
        shown = table[["measure", "statistic", "group", "estimate", "low", "high", "n", "forwards", "why"]]
        print(f"\n{run.folder}")
        print(shown.to_string(index=False, float_format="%.3f", na_rep="-"))


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
