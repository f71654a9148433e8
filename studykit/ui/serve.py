"""Serve the pages: every file of the dashboards folder is a page of the same name."""

import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import panel as pn

import studykit
from studykit.catalog import InputError

HERE = ("localhost:*", "127.0.0.1:*")  # any port: a notebook server on this machine may hand the pages on
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


def serve(runs: Path, port: int, show: bool, prefix: str = "", origins: Sequence[str] = ()) -> None:
    """Serve until stopped, to this machine only; nothing that a page needs comes from elsewhere.

    prefix: the path under which a reverse proxy hands requests on, where it does not take it off. origins:
    the hosts (HOST or HOST:PORT) that browsers reach the pages under, beside this machine's names.
    Raises InputError where the port is taken.
    """
    from studykit.ui.frame import heading, titled
    from studykit.ui.work import WORK

    found = applications(runs)
    titles = {name: titled(heading(name)) for name in found} | {"/": titled("Cases")}
    prefix = f"/{prefix.strip('/')}" if prefix.strip("/") else ""
    print(f"studykit serves {runs} at http://localhost:{port}{prefix} (stop with Ctrl-C)", flush=True)
    try:
        server = pn.serve(
            found, port, address="localhost", show=show, title=titles, verbose=False, admin=False,
            prefix=prefix, websocket_origin=[_host(origin) for origin in origins] or None, start=False,
        )  # fmt: skip
    except OSError as why:
        raise InputError(
            f"Port {port} cannot be used ({why.strerror}); choose another with --port."
        ) from None
    server._tornado.websocket_origins.update(HERE)  # Bokeh matches these, and takes no * for a port as given
    server.start()
    try:
        server.io_loop.start()
    finally:
        WORK.end()


def _host(origin: str) -> str:
    """HOST or HOST:PORT, perhaps out of a whole address. Raises InputError."""
    told = urlsplit(origin if "//" in origin else f"//{origin}")
    try:
        if told.hostname:
            return told.netloc if told.port else told.hostname
    except ValueError:
        pass  # its port is no number
    raise InputError(f"--allow-origin takes names of hosts, as hub.example.org:8443, not '{origin}'.")


def runs_here() -> Path:
    """The runs that pages show which nobody named: $STUDYKIT_RUNS, else data/runs, else data/demo."""
    named = os.environ.get("STUDYKIT_RUNS")
    usual = Path("data/runs")
    return Path(named) if named else usual if usual.is_dir() else Path("data/demo")


def _loaded(path: Path) -> ModuleType:
    about = importlib.util.spec_from_file_location(f"studykit_page_{path.stem}", path)
    module = importlib.util.module_from_spec(about)
    about.loader.exec_module(module)
    return module
