"""What the commands do; `__main__` says how they are written.

Each loads what it needs when it is called, so that `--help` and mistakes are answered at once.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from studykit.catalog import InputError


def models(given: argparse.Namespace) -> None:
    """Print the table of models."""
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


def suits(given: argparse.Namespace) -> None:
    """Print which model suits which data set."""
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


def check(given: argparse.Namespace) -> int:
    """Print what a data set must answer; 1 where a problem is found."""
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


def fetch(given: argparse.Namespace) -> None:
    """Bring a data set."""
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


def import_(given: argparse.Namespace) -> None:
    """Make a folder of cases from DICOM files."""
    from studykit.files.dicom_import import import_dicom

    import_dicom(given.source, given.out, given.key)
    print(f"Add a column 'label' to {given.out / 'cases.csv'}, then: python -m studykit check {given.out}")


def run(given: argparse.Namespace) -> None:
    """Carry out a recipe."""
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


def explain(given: argparse.Namespace) -> None:
    """Explain held-out cases."""
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


def quality(given: argparse.Namespace) -> None:
    """Score the maps, and print the tables."""
    from functools import partial

    from tqdm import tqdm

    from studykit.quality import grades, quality, summary
    from studykit.training import find_runs

    runs = find_runs(given.run)
    positive = _positive(runs, given.by)
    bar = partial(tqdm, desc="quality", leave=False, disable=None)
    asked = {"of": given.of, "cases": given.cases, "workers": given.workers, "scheduler": given.scheduler}
    for run, table in quality(runs, given.methods, given.scores, **asked, watch=bar, tell=print):
        print(f"\n{run.folder}: {table['case'].nunique()} cases")
        told = summary(table, given.by, positive=positive).drop(columns=["sd", "interval"])
        print(told.to_string(index=False, float_format="%.3f", na_rep="-"))
        if run.prepared.dataset.simulated and "relevance_mass" in set(table["score"]):
            print("\nGraded against the planted truth:")
            print(grades(table, run.about["name"]).to_string(index=False, float_format="%.3f", na_rep="-"))
        if given.attention:
            _attention(run)


def _positive(runs, by: str) -> str:
    """The positive class of the runs' task, where cases are split by it; InputError where they cannot be."""
    from studykit.catalog import check_choice
    from studykit.quality.summary import STRATA

    check_choice("way to split the cases (in --by)", by, STRATA)
    task = runs[0].schema.tasks[0]
    if (by == "true positives" and task.kind != "binary") or (by == "label" and task.kind == "regression"):
        raise InputError(
            f"Cases of the {task.kind} task '{task.name}' cannot be split by {by}; leave --by out."
        )
    return task.classes[1] if by == "true positives" else ""


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


def contributions(given: argparse.Namespace) -> None:
    """Compute contributions, and print the tables."""
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


def demo(given: argparse.Namespace) -> None:
    """Build the demo study and open it."""
    from studykit.demo import build_demo
    from studykit.study_commands import simulate_about

    build_demo(given.out)
    simulate_about(given.out, str(given.out / "ratings.sqlite"))
    if not given.no_serve:
        _open_pages(given.out, given.port, show=False)


def sheet(given: argparse.Namespace) -> None:
    """Write a case sheet."""
    from studykit.catalog import check_choice
    from studykit.ui import Session
    from studykit.ui.case_sheet import beside, case_sheet
    from studykit.whole import write_whole

    session = Session(given.runs)
    if given.model:
        check_choice("model", given.model, session.runs)
    models = [given.model] if given.model else list(session.runs)
    cases = {name: set(session.cases_of(name)["id"]) for name in models}
    check_choice("held-out case", given.case, sorted(set().union(*cases.values())))
    session.model = next(name for name in models if given.case in cases[name])
    session.case = given.case
    if given.out.is_dir():
        raise InputError(f"{given.out} is a folder; give --out a file's name, as {given.out / 'case.html'}.")
    write_whole(given.out, case_sheet(session, beside(session)))
    print(f"Written to {given.out}: {given.case}, {session.model}.")


def serve(given: argparse.Namespace) -> None:
    """Open the pages."""
    if given.look_only:
        os.environ["STUDYKIT_LOOK_ONLY"] = "1"
    _open_pages(given.runs, given.port, given.show, given.prefix, given.allow_origin)


def _open_pages(runs: Path, port: int, show: bool, prefix: str = "", origins: Sequence[str] = ()) -> None:
    from studykit.training.run import run_folders

    standing = run_folders(runs)  # says what is missing before a server starts
    from studykit.ui.serve import serve

    if not standing:
        from studykit.ui.opened import Opened, nothing

        print(nothing(runs, Opened()))
    serve(runs, port, show, prefix, origins)
