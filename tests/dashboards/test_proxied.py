"""The pages behind other servers: under a path prefix that a proxy takes off or keeps, and in Jupyter."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

import pytest
from conftest import ROOT
from tornado.iostream import StreamClosedError
from tornado.tcpclient import TCPClient
from tornado.tcpserver import TCPServer

from dashboards.test_browser import says, settled

pytestmark = pytest.mark.browser


def free_port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


@contextmanager
def jupyter(folder, base, **environment):
    """A real Jupyter server, started in a folder; its address."""
    port = free_port()
    given = {
        "port": port, "base_url": base, "token": "", "password": "", "root_dir": folder,
        "open_browser": False, "allow_root": True,
    }  # fmt: skip
    command = [sys.executable, "-m", "jupyter", "server", "--IdentityProvider.token="]
    command += [f"--ServerApp.{name}={value}" for name, value in given.items()]
    home = {"JUPYTER_CONFIG_DIR": str(folder / ".jupyter"), "JUPYTER_RUNTIME_DIR": str(folder / ".runtime")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        command, cwd=folder, start_new_session=True, env={**os.environ, "PATH": path, **home, **environment}
    )
    address = f"http://localhost:{port}{base}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}api", timeout=20).close()
                break
            except OSError:
                assert process.poll() is None, "Jupyter stopped"
                time.sleep(0.5)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


class Keeping(TCPServer):
    """Hands on what browsers send as it is, paths and all, as a reverse proxy that keeps its prefix."""

    def __init__(self, port):
        super().__init__()
        self.to = port

    async def handle_stream(self, stream, address):
        other = await TCPClient().connect("localhost", self.to)

        async def pump(come, go):
            try:
                while True:
                    await go.write(await come.read_bytes(65536, partial=True))
            except StreamClosedError:
                come.close(), go.close()

        await asyncio.gather(pump(stream, other), pump(other, stream))


@contextmanager
def keeping(port):
    """A proxy to a port of this machine; its own port."""
    there, ready, own = {}, threading.Event(), free_port()

    async def run():
        there["loop"], there["end"] = asyncio.get_running_loop(), asyncio.Event()
        Keeping(port).listen(own, "localhost")
        ready.set()
        await there["end"].wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert ready.wait(20)
    yield own
    there["loop"].call_soon_threadsafe(there["end"].set)
    thread.join(20)


def visit(page, address):
    """Open the Cases page under an address, do its gesture, go to another page; what was asked elsewhere."""
    asked, errors, here = [], [], urlparse(address)
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(address, timeout=120_000)
    page.get_by_text("Planted truth").wait_for(timeout=120_000)
    page.locator("canvas").first.wait_for()
    assert settled(page).std() > 20, "the page is blank"
    row = page.locator(".tabulator-row").nth(3)
    chosen = row.locator("[tabulator-field=id]").inner_text()
    row.click()
    page.get_by_role("heading", name=chosen).wait_for()
    page.wait_for_url(says("case", chosen))
    page.locator(f"nav a[href*='{chosen}']", has_text="Contributions").click()
    page.wait_for_url(lambda url: urlparse(url).path == f"{here.path.rstrip('/')}/contributions")
    page.wait_for_url(says("case", chosen))
    page.locator("a[aria-current]", has_text="Contributions").wait_for(timeout=120_000)
    page.locator("a", has_text="studykit").first.click()
    page.get_by_text("Planted truth").wait_for(timeout=120_000)
    assert not errors
    parts = [urlparse(url) for url in asked]
    return [
        part.geturl() for part in parts if part.scheme not in ("data", "blob")
        and (part.netloc != here.netloc or not part.path.startswith(here.path))
    ]  # fmt: skip


def test_a_prefix_that_jupyter_takes_off(served, browser_page, runs, tmp_path):
    port = urlparse(served(runs)).port
    with jupyter(tmp_path, "/user/x/") as address:
        assert visit(browser_page, f"{address}proxy/{port}/") == []


def test_a_prefix_that_a_proxy_keeps(served, browser_page, runs):
    port = urlparse(served(runs, "--prefix", "/studies/one")).port
    with keeping(port) as own:
        assert visit(browser_page, f"http://localhost:{own}/studies/one/") == []


def test_jupyter_panel_proxy_serves_the_pages(browser_page, runs, tmp_path):
    for name in ("dashboards", "jupyter-panel-proxy.yml"):
        (tmp_path / name).symlink_to(ROOT / name)
    with jupyter(tmp_path, "/user/x/", STUDYKIT_RUNS=str(runs)) as address:
        assert visit(browser_page, f"{address}panel/") == []
