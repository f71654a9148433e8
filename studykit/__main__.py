"""The commands: `python -m studykit` and demo, models, suits, check, fetch, import, run, explain, quality,
contributions, study, sheet or serve.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from studykit import commands, study_commands
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
    command = _commands_of(parser)
    demo = command(
        "demo",
        commands.demo,
        "Build the demo study on drawn cases and open its pages.",
        "python -m studykit demo",
    )  # fmt: skip
    demo.add_argument("--out", type=Path, default=Path("data/demo"), help="where its runs stand (data/demo)")
    demo.add_argument("--port", type=int, default=5006)
    demo.add_argument("--no-serve", action="store_true", help="build it only")

    models = command(
        "models", commands.models, "List the models: paper, input, size, and what their attention can show.",
        "python -m studykit models",
    )  # fmt: skip
    models.add_argument("--markdown", action="store_true", help="as README shows it")

    suits = command(
        "suits",
        commands.suits,
        "List which model suits which data set, and why not.",
        "python -m studykit suits",
    )  # fmt: skip
    suits.add_argument("--markdown", action="store_true", help="as README shows it")

    check = command(
        "check", commands.check, "Say what a data set must answer before anybody trains on it.",
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
        "fetch", commands.fetch, "Bring a data set from its publisher, once you agree to its licence.",
        "python -m studykit fetch bus_bra",
    )  # fmt: skip
    fetch.add_argument("name", metavar="NAME", help="of a data set")
    fetch.add_argument("--to", type=Path, help="the folder of all data sets ($STUDYKIT_DATA, else data)")
    fetch.add_argument("--flag", default="", help="which MedMNIST set")
    fetch.add_argument("--size", type=int, default=0, help="of MedMNIST's pictures")
    fetch.add_argument("--yes", action="store_true", help="agree without being asked")

    bring = command(
        "import", commands.import_, "Make a folder of cases, without names, from a folder of DICOM files.",
        "python -m studykit import /media/dicom data/my_cases --key ~/studykit.key",
    )  # fmt: skip
    bring.add_argument("source", type=Path, metavar="DICOM")
    bring.add_argument("out", type=Path, metavar="FOLDER", help="the new folder")
    bring.add_argument(
        "--key", type=Path, required=True, metavar="FILE",
        help="holds the secret by which patients get their new names; made where it is not there",
    )  # fmt: skip

    run = command(
        "run", commands.run, "Carry out a recipe: train, measure, explain.",
        "python -m studykit run data/recipes/breast.json\n\n"
        'the smallest recipe:\n  {"dataset": {"name": "breast_lesions_usg"}}',
    )  # fmt: skip
    run.add_argument("recipe", type=Path, metavar="RECIPE.json")
    run.add_argument("--out", type=Path, default=RUNS, help=f"where the runs go ({RUNS})")

    explain = command(
        "explain", commands.explain, "Explain the held-out cases of runs that are there.",
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
        "quality", commands.quality,
        "How good are the maps of runs? Score them against masks, models and controls.",
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
        "contributions", commands.contributions,
        "What do the models of runs lean on? Take away part after part.",
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

    study = command(
        "study", None, "Reader studies: plan, simulate, see results, keep ratings and pass them on.",
        "python -m studykit study new data/plan.json --cases data/cases.csv --readers 8",
    )  # fmt: skip
    _add_study(_commands_of(study))

    sheet = command(
        "sheet", commands.sheet, "Write everything about one case as an HTML file that needs nothing else.",
        "python -m studykit sheet data/runs --case phantom-0003 --out case.html",
    )  # fmt: skip
    sheet.add_argument("runs", type=Path, metavar="RUNS")
    sheet.add_argument("--case", required=True, metavar="ID", help="of a held-out case")
    sheet.add_argument("--model", default="", metavar="NAME", help="(the first that held the case out)")
    sheet.add_argument("--out", type=Path, required=True, metavar="FILE.html")

    serve = command(
        "serve",
        commands.serve,
        "Open the pages of the runs in a folder.",
        "python -m studykit serve data/runs",
    )  # fmt: skip
    serve.add_argument("runs", type=Path, metavar="RUNS")
    serve.add_argument("--port", type=int, default=5006)
    serve.add_argument("--show", action="store_true", help="open a browser, too")
    serve.add_argument(
        "--prefix", default="", metavar="PATH",
        help="the path under which a reverse proxy hands requests on, where it leaves it on them",
    )  # fmt: skip
    serve.add_argument(
        "--allow-origin", nargs="+", default=[], metavar="HOST",
        help="the names under which browsers reach the pages through a proxy, as hub.example.org",
    )  # fmt: skip
    serve.add_argument("--look-only", action="store_true", help="let nobody start work from a page")
    return parser


def _commands_of(parser: argparse.ArgumentParser) -> Callable[..., argparse.ArgumentParser]:
    """How commands are added to a parser: name, what it does, about, example."""
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, act, about: str, example: str) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(
            name,
            help=about,
            description=about,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(act=act)
        return sub

    return command


def _add_study(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The commands of `study`."""
    new = command(
        "new", study_commands.new, "Draw a protocol, who reads what in which order, from a table of cases.",
        "python -m studykit study new data/plan.json --cases data/cases.csv --readers 8 --wrong-aid 0.2",
    )  # fmt: skip
    new.add_argument("out", type=Path, metavar="OUT.json")
    new.add_argument(
        "--cases", type=Path, required=True, metavar="TABLE", help="with columns case, truth, aid, patient"
    )
    new.add_argument("--readers", nargs="+", required=True, metavar="NAME", help="their names, or how many")
    new.add_argument(
        "--conditions", nargs="+", default=["nothing", "prediction", "map:grad_cam"], metavar="SHOWN",
        help="nothing, prediction, map:METHOD (nothing prediction map:grad_cam)",
    )  # fmt: skip
    new.add_argument("--one-step", action="store_true", help="show the aid at once, ask for no first answer")
    new.add_argument("--design", default="crossed", help="crossed, 'fully crossed' or 'split plot'")
    new.add_argument("--groups", type=int, default=2, help="of a split plot (2)")
    new.add_argument("--repeats", type=float, default=0.0, help="the share of cases read twice")
    new.add_argument("--wrong-aid", type=float, default=0.0, help="the share of cases with a wrong aid")
    new.add_argument("--positive", default="", metavar="CLASS", help="what scores speak of (the last class)")
    new.add_argument("--seed", type=int, default=0)

    simulate = command(
        "simulate", study_commands.simulate, "Let simulated readers carry out a protocol, marked as such.",
        "python -m studykit study simulate data/plan.json --ratings data/practice.sqlite",
    )  # fmt: skip
    simulate.add_argument("protocol", type=Path, metavar="PROTOCOL", help="a protocol, or a folder of runs")
    simulate.add_argument("--seed", type=int, default=0)

    results = command(
        "results", study_commands.results, "Print all that a study's ratings can answer.",
        "python -m studykit study results demo --ratings data/demo/ratings.sqlite",
    )  # fmt: skip
    results.add_argument("name", metavar="STUDY")
    results.add_argument("--section", default="", help="one section alone, as agreement or reliance")

    verify = command(
        "verify", study_commands.verify, "Say whether all ratings are as they were stored.",
        "python -m studykit study verify",
    )  # fmt: skip
    verify.add_argument("name", nargs="?", default="", metavar="STUDY", help="(all)")
    verify.add_argument("--head", default="", help="the head that was kept elsewhere")

    backup = command(
        "backup", study_commands.backup, "Copy all ratings into one checked file.",
        "python -m studykit study backup data/ratings.backup.gz",
    )  # fmt: skip
    backup.add_argument("file", type=Path, metavar="FILE")

    restore = command(
        "restore", study_commands.restore, "Put a backup into a new or empty store.",
        "python -m studykit study restore data/ratings.backup.gz --ratings data/restored.sqlite",
    )  # fmt: skip
    restore.add_argument("file", type=Path, metavar="FILE")

    export = command(
        "export", study_commands.export, "Write a study's ratings as CSV or Parquet, safe for spreadsheets. "
        "It holds the ratings that count now; corrections, the moments aids were shown and the fingerprints "
        "of model and map are in a backup only.",
        "python -m studykit study export demo data/exported --anonymous",
    )  # fmt: skip
    export.add_argument("name", metavar="STUDY")
    export.add_argument("folder", type=Path, metavar="FOLDER", help="the new folder")
    export.add_argument("--kind", default="csv", help="csv or parquet")
    export.add_argument(
        "--anonymous",
        action="store_true",
        help="readers and patients renamed by lot, no comments, order, session or exact times; a reader's "
        "conditions and cases still match the plan, so do not pass the plan on",
    )

    bring = command(
        "import", study_commands.import_, "Put an export, or a table of ratings, into a store.",
        "python -m studykit study import data/exported\n"
        "  python -m studykit study import mine.csv --protocol data/plan.json --columns reader=Radiologist",
    )  # fmt: skip
    bring.add_argument("source", type=Path, metavar="SOURCE", help="an export's folder, or CSV or Parquet")
    bring.add_argument("--protocol", type=Path, metavar="PROTOCOL.json", help="what a table answers")
    bring.add_argument(
        "--columns", nargs="+", default=[], metavar="NAME=COLUMN", help="what a table calls reader, case, ..."
    )
    for one in (simulate, results, verify, backup, restore, export, bring):
        one.add_argument(
            "--ratings", default="", metavar="ADDRESS",
            help="a file, or postgresql://user@host/database ($STUDYKIT_RATINGS, else data/ratings.sqlite)",
        )  # fmt: skip


def _add_workers(command: argparse.ArgumentParser) -> None:
    command.add_argument("--workers", type=int, default=0, help="processes (0: this one)")
    command.add_argument("--scheduler", default="", metavar="ADDRESS", help="of Dask, as tcp://host:8786")


if __name__ == "__main__":
    sys.exit(main())
