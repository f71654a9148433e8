"""Serve the pages: every file of the dashboards folder is a page of the same name."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import panel as pn

import studykit
from studykit.catalog import InputError

PLACES = ("_dashboards", "../dashboards")  # inside a wheel, beside the package in the tree


def pages() -> dict[str, ModuleType]:
    """{name: page module}; the cases are also shown at "/"."""
    for place in PLACES:
        folder = Path(studykit.__file__).parent / place
        if folder.is_dir():
            return {p.stem: _loaded(p) for p in sorted(folder.glob("[!_]*.py"))}
    raise InputError("The dashboards folder is missing beside the package; install studykit again.")


def applications(runs: Path) -> dict[str, Callable[[], pn.viewable.Viewable]]:
    """What pn.serve takes: a function a page, called for each visitor."""

    def opened(page: ModuleType) -> Callable[[], pn.viewable.Viewable]:
        return lambda: page.page(runs)  # Panel calls functions, and shows any other callable as text

    made = {name: opened(page) for name, page in pages().items()}
    return {"/": made["cases"], **made}


def serve(runs: Path, port: int, show: bool) -> None:
    """Serve until stopped, to this machine only; nothing that a page needs comes from elsewhere.

    Raises InputError where the port is taken.
    """
    found = applications(runs)
    titles = {name: f"studykit: {name}" for name in found} | {"/": "studykit"}
    print(f"studykit serves {runs} at http://localhost:{port} (stop with Ctrl-C)", flush=True)
    try:
        pn.serve(found, port, address="localhost", show=show, title=titles, verbose=False, admin=False)
    except OSError as why:
        raise InputError(
            f"Port {port} cannot be used ({why.strerror}); choose another with --port."
        ) from None


def _loaded(path: Path) -> ModuleType:
    about = importlib.util.spec_from_file_location(f"studykit_page_{path.stem}", path)
    module = importlib.util.module_from_spec(about)
    about.loader.exec_module(module)
    return module
