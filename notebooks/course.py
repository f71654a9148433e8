"""Keep the notebooks: carry them out, keep light outputs in them, render them as a site.

python notebooks/course.py outputs [03 08 ...]   carry out from a clean kernel; what is kept is light
python notebooks/course.py real [03 08 ...]      carry out on real cases, each set that a notebook names
python notebooks/course.py site FOLDER           pages with no script of other hosts; nothing is carried out
"""

import argparse
import ast
import base64
import hashlib
import html
import io
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

HERE = Path(__file__).parent
MOST = 150_000  # bytes of one output
WIDE, HIGH = 900, 1400  # pixels of a picture that is kept
WIDGET = "application/vnd.jupyter.widget-view+json"
LOADS = ("application/vnd.holoviews_load.v0+json", "application/javascript")
DRAWN = "application/vnd.holoviews_exec.v0+json"
REAL = re.compile(r"^# (data = \{.*?\})", flags=re.M)
TOP = '<nav style="font:15px sans-serif;padding:12px 48px"><a href="index.html">The course</a></nav>'
LOOK = """
body { font: 16px/1.5 sans-serif; max-width: 900px; margin: 0 auto; padding: 12px 48px }
table { border-collapse: collapse }
td, th { border-bottom: 1px solid #ccc; padding: 4px 10px; text-align: left }
pre { background: #f4f4f4; padding: 8px; overflow-x: auto }
"""
UNSEEN = re.compile(r"<(script|style)[^>]*>.*?</\1>", flags=re.S)
MATH = re.compile(r"(```.*?```|`[^`\n]*`)|\$\$(.+?)\$\$|\$([^$\n]+?)\$", flags=re.S)


def paths(wanted: Sequence[str] = ()) -> list[Path]:
    """The notebooks in the course's order; those whose number or name begins so, where some are wanted."""
    found = sorted(HERE.glob("[0-9][0-9]_*.ipynb"))
    return [path for path in found if not wanted or path.name.startswith(tuple(wanted))]


def digest(notebook: NotebookNode) -> str:
    """Of what is carried out; kept with the outputs, it tells whether they are of these very cells."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\n\0".join(sources).encode()).hexdigest()


def is_current(notebook: NotebookNode) -> bool:
    """Whether the outputs that are kept came from the cells as they stand."""
    return notebook.metadata.get("studykit", {}).get("made_from") == digest(notebook)


def carried_out(notebook: NotebookNode, folder: Path = HERE) -> float:
    """Carry out every cell in a new kernel; the seconds that it took. Raises CellExecutionError."""
    start = time.perf_counter()
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", store_widget_state=False, record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )  # fmt: skip
    client.execute()
    return time.perf_counter() - start


def parameters(notebook: NotebookNode) -> NotebookNode | None:
    """The one cell that says which cases are used."""
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    return tagged[0] if tagged else None


def real_sets(notebook: NotebookNode) -> list[str]:
    """The lines of the cell of parameters that name real cases, as they would be written without "# "."""
    cell = parameters(notebook)
    return [] if cell is None else REAL.findall(cell.source)


def on_real(notebook: NotebookNode, line: str) -> NotebookNode:
    """The same notebook with that one line for its cases."""
    parameters(notebook).source = line
    return notebook


def light(notebook: NotebookNode, pictures: dict[tuple[str, int], bytes]) -> None:
    """Keep of the outputs what reads well with no kernel; what scripts draw is kept as a picture.

    pictures: PNG by cell id and place among its outputs.
    """
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        kept = []
        for at, output in enumerate(cell.outputs):
            if output.output_type == "stream" and output.name == "stderr":
                continue  # progress bars
            data = output.get("data", {})
            if (cell.id, at) in pictures:
                data.clear()
                data["image/png"] = base64.b64encode(pictures[cell.id, at]).decode()
                output.metadata = {}
            elif any(name in data for name in (DRAWN, *LOADS)):
                continue  # scripts, and nothing to see
            data.pop(WIDGET, None)
            if "text/html" in data and not UNSEEN.sub("", data["text/html"]).strip():
                continue
            if "text/html" in data:
                data.pop("text/plain", None)
            if data or "data" not in output:
                kept.append(output)
        cell.outputs = kept
        cell.metadata.pop("execution", None)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "studykit": {"made_from": digest(notebook)},
    }


def scripted(notebook: NotebookNode) -> list[tuple[str, int]]:
    """Cell id and place of the outputs that need a script to be seen."""
    return [
        (cell.id, at)
        for cell in notebook.cells
        if cell.cell_type == "code"
        for at, output in enumerate(cell.outputs)
        if DRAWN in output.get("data", {}) and output.data.get("text/html")
    ]


def photographed(notebook: NotebookNode) -> dict[tuple[str, int], bytes]:
    """What Chromium shows of the outputs that need scripts, as small PNG files."""
    from playwright.sync_api import sync_playwright

    wanted, found = scripted(notebook), {}
    if not wanted:
        return found
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        place = Path(folder) / "book.html"
        place.write_text(page(notebook), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1200, "height": 1000})
        shown.goto(place.as_uri())
        shown.wait_for_timeout(6000)
        for cell, at in wanted:
            area = shown.locator(f"[id='cell-id={cell}'] .jp-OutputArea-child").nth(at)
            if area.is_visible():
                found[cell, at] = _small(area.locator(".jp-OutputArea-output").screenshot())
        browser.close()
    return found


def _small(png: bytes) -> bytes:
    """In 96 colours, without the empty margin to the right and below; of a long view the upper part."""
    from PIL import Image, ImageChops

    seen = Image.open(io.BytesIO(png)).convert("RGB")
    box = ImageChops.difference(seen, Image.new("RGB", seen.size, "white")).getbbox() or (0, 0, 1, 1)
    seen = seen.crop((0, 0, min(seen.width, box[2] + 8), min(seen.height, box[3] + 8, HIGH)))
    seen.thumbnail((WIDE, HIGH))
    file = io.BytesIO()
    seen.quantize(96).save(file, "PNG", optimize=True)
    return file.getvalue()


def page(notebook: NotebookNode, title: str = "", before: str = "") -> str:
    """The notebook as one HTML page that asks no other host for anything."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    empty = {"mathjax_url": "", "require_js_url": "", "jupyter_widgets_base_url": "", "mermaid_js_url": ""}
    exporter = HTMLExporter(config=Config({"HTMLExporter": empty}))
    body, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}})
    body = re.sub(r"<script[^>]*src=\"\"[^>]*></script>", "", body)
    body = re.sub(r"<script type=\"module\">.*?</script>", "", body, flags=re.S)  # it draws diagrams of a CDN
    return body.replace("<main>", f"{before}<main>", 1)


def site(folder: Path) -> list[Path]:
    """A page for each notebook as it stands, with its outputs, the guide, the glossary, and an index."""
    folder.mkdir(parents=True, exist_ok=True)
    written, links = {}, []
    for path in paths():
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = with_mathml(cell.source).replace(".ipynb)", ".html)").replace(".md)", ".html)")
        written[path.stem] = page(notebook, title(notebook), TOP)
        links.append(f"- [{title(notebook)}]({path.stem}.html)")
    for path in sorted(HERE.glob("*.md")):
        source = path.read_text(encoding="utf-8")
        written[path.stem] = _text(source, TOP)
        links.append(f"- [{source.splitlines()[0].removeprefix('# ')}]({path.stem}.html)")
    written["index"] = _text("# studykit, a course\n\n" + "\n".join(links))
    for name, text in written.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return [folder / f"{name}.html" for name in written]


def title(notebook: NotebookNode) -> str:
    """What the first cell says after its #."""
    return notebook.cells[0].source.splitlines()[0].removeprefix("# ")


def _text(source: str, top: str = "") -> str:
    """Markdown as a page."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(with_mathml(source))
    body = body.replace('.ipynb"', '.html"').replace('.md"', '.html"')
    name = html.escape(source.splitlines()[0].removeprefix("# "))
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        f"<style>{LOOK}</style></head><body>{top}{body}</body></html>"
    )


def with_mathml(source: str) -> str:
    """Markdown whose equations are MathML, which browsers draw themselves; code stays as it is."""
    from latex2mathml.converter import convert

    def converted(found: re.Match) -> str:
        code, block, inline = found.groups()
        if code:
            return code
        return convert((block or inline).strip(), display="block" if block else "inline")

    return MATH.sub(converted, source)


def real(wanted: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Name, cases, and how it went, of each notebook on each of the real sets that it names."""
    for path in paths(wanted):
        for line in real_sets(nbformat.read(path, as_version=4)):
            notebook = on_real(nbformat.read(path, as_version=4), line)
            try:
                said = f"{carried_out(notebook):.0f} s"
            except CellExecutionError as why:
                said = f"failed: {str(why).strip().splitlines()[-1]}"
            yield path.stem, ast.literal_eval(line.partition("=")[2].strip())["name"], said


def outputs(wanted: Sequence[str]) -> Iterator[tuple[str, float, int]]:
    """Name, seconds and bytes of each notebook whose outputs were made anew; written once it is whole."""
    for path in paths(wanted):
        notebook = nbformat.read(path, as_version=4)
        seconds = carried_out(notebook)
        light(notebook, photographed(notebook))
        written = path.with_suffix(".new")
        nbformat.write(_into(nbformat.read(path, as_version=4), notebook), written)
        written.replace(path)
        yield path.stem, seconds, path.stat().st_size


def _into(now: NotebookNode, made: NotebookNode) -> NotebookNode:
    """The notebook as it stands now, whose text may have been mended meanwhile, with the new outputs."""
    if digest(now) != digest(made):
        sys.exit("Cells were changed while they were carried out: nothing was written, run it again.")
    outputs = {cell.id: cell for cell in made.cells if cell.cell_type == "code"}
    now.cells = [outputs.get(cell.id, cell) for cell in now.cells]
    now.metadata = made.metadata
    return now


def main(told: Sequence[str] | None = None) -> None:
    """What is typed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("do", choices=["outputs", "real", "site"])
    parser.add_argument("what", nargs="*", help="numbers of notebooks; of a site, its folder")
    asked = parser.parse_args(told)
    if asked.do == "site":
        if len(asked.what) != 1:
            parser.error("site takes one folder: python notebooks/course.py site data/site")
        print(f"{len(site(Path(asked.what[0])))} pages: open {Path(asked.what[0]) / 'index.html'}")
    elif asked.do == "outputs":
        for name, seconds, size in outputs(asked.what):
            print(f"{name}: {seconds:.0f} s, {size / 1000:.0f} KB", flush=True)
    else:
        failed = False
        for name, cases, said in real(asked.what):
            failed |= said.startswith("failed")
            print(f"{name} on {cases}: {said}", flush=True)
        sys.exit(failed)


if __name__ == "__main__":
    main()
