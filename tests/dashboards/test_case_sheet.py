"""The case sheet: one file that needs nothing else, says what the tables say, and runs nothing."""

import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from studykit.__main__ import main
from studykit.explain import explain, store
from studykit.explain.contributions import Occluding, contributions
from studykit.explain.explainer import Explanation
from studykit.quality import quality
from studykit.quality.quality import read
from studykit.study_commands import simulate_about
from studykit.training import Recipe, find_runs, train
from studykit.ui import plain
from studykit.ui.case_sheet import CAUTION, FOR_STUDY, _Sheet, beside, case_sheet, sheet_download
from studykit.ui.session import Session
from studykit.ui.takeaway import PHANTOM, SIMULATED
from studykit.ui.trust_case_view import told

HOSTILE = '<img src="http://evil.test/x.png" onerror="alert(1)">'
MARKDOWN = "![x](http://evil.test/y.png) [z](http://evil.test)"
SIX = [
    "grad_cam", "integrated_gradients", "occlusion", "smooth_grad", "gradient_x_input", "grad_cam_plus_plus",
]  # fmt: skip


class Sheet(HTMLParser):
    """What stands on a sheet: {caption: rows of cells}, pictures, tags, headings, all words."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.images, self.tags, self.headings, self.links, self.words = {}, [], [], [], [], ""
        self._row, self._into = None, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.links += [attrs[name] for name in ("href", "src", "srcset", "data", "action") if name in attrs]
        assert not [name for name in attrs if name.startswith("on")]
        if tag == "img":
            self.images.append(attrs)
        if tag == "tr":
            self._row = []
        if tag == "th":
            assert attrs["scope"] in ("row", "col")
        if tag in ("caption", "th", "td", "h1", "h2", "h3"):
            self._into = []

    def handle_data(self, data):
        self.words += data
        self._into.append(data)

    def handle_endtag(self, tag):
        said = "".join(self._into)
        if tag == "caption":
            self.rows = self.tables.setdefault(said, [])
        if tag in ("h1", "h2", "h3"):
            self.headings.append((tag, said))
        if tag in ("th", "td"):
            self._row.append(said)
        if tag == "tr":
            self.rows.append(self._row)

    def table(self, beginning):
        (rows,) = [rows for caption, rows in self.tables.items() if caption.startswith(beginning)]
        return rows


@pytest.fixture(scope="module")
def whole(runs, tmp_path_factory):
    """The three phantom runs with all that a sheet can show."""
    out = shutil.copytree(runs, tmp_path_factory.mktemp("sheet") / "study")
    (run,) = find_runs(out / "fusion")
    list(contributions(run, Occluding({"image": 32})))
    list(quality(run, ["grad_cam"], ["relevance_mass", "pointing_game"]))
    simulate_about(out, str(out / "ratings.sqlite"))
    return out


@pytest.fixture
def session(whole):
    session = Session(whole, model="fusion")
    session.case = beside(session).cases["case"].iloc[0]
    return session


def test_the_sheet_says_what_the_tables_say(session, whole):
    study, before = beside(session), session.shown
    text = case_sheet(session, study)
    sheet, case, run = Sheet(text), session.case, session.run
    assert session.shown == before, "the visitor's session stays"
    assert sheet.headings[0] == ("h1", f"Case sheet: {case}")
    for said in (PHANTOM, SIMULATED, CAUTION, FOR_STUDY, "Planted truth"):
        assert said in sheet.words
    rows = {row[0]: row for row in sheet.table("lesion")[1:]}
    assert set(rows) == {"fusion", "image alone", "record alone"}
    for model, row in rows.items():
        held = session.run_of(model).predictions.set_index("id").loc[case]
        of = session.cases_of(model).set_index("id").loc[case]
        assert row[2] == held["lesion.predicted"] and float(row[4]) == pytest.approx(
            held["lesion.malignant"], abs=6e-4
        )
        assert float(row[5]) == pytest.approx(of["uncertainty"], abs=6e-4)
    effects, found = sheet.table("Record"), store.read(run, "integrated_gradients", [case]).maps["record"][0]
    at = effects[0].index("Integrated gradients")
    sources = run.schema.modality("record").sources
    for row in effects[1:]:
        assert float(row[at]) == pytest.approx(float(found[sources[row[0]]].sum()), abs=6e-4)
    shares = session.contributed("fusion").per_case().loc[case]
    assert [row[1] for row in sheet.table("Share")[1:]] == list(shares.index)
    scores = read(run)
    scores = scores[scores["case"] == case]
    assert len(sheet.table("Scores")[1:]) == len(scores)
    assert {row[3] for row in sheet.table("Scores")[1:]} <= {f"{value:.3f}" for value in scores["value"]} | {
        why for why in scores["why"] if why
    }
    answers = told(study, case)
    assert sheet.table("Answers")[1:] == [[str(cell) for cell in row] for row in answers.to_numpy().tolist()]
    assert any("→" in cell for row in sheet.table("Answers") for cell in row)
    for fact in (
        run.about["fingerprint"],
        store.weights_digest(run),
        "study/fusion/fold-0",
        "breast_phantom",
    ):
        assert fact in sheet.words


def test_the_sheet_needs_nothing_else_and_runs_nothing(session, whole):
    text = case_sheet(session, beside(session))
    sheet = Sheet(text)
    assert sheet.images and all(image["src"].startswith("data:image/png;base64,") for image in sheet.images)
    assert all(image["alt"] for image in sheet.images)
    assert not {"script", "link", "iframe", "object", "a"} & set(sheet.tags) and "url(" not in text
    assert all(link.startswith("data:") for link in sheet.links)
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">') and sheet.tags.count("h1") == 1
    assert str(whole.parent) not in text, "whose disk it was on is nobody's business"
    outlined = [image for image in sheet.images if "reference outline" in image["alt"]]
    mapped = [image for image in sheet.images if "Grad-CAM" in image["alt"]]
    assert len(outlined) == 1 and mapped and outlined[0]["src"] != mapped[0]["src"]


def test_names_from_data_stay_text(tmp_path):
    n, folder = np.arange(40), tmp_path / "cases"
    folder.mkdir()
    noise = [f"{HOSTILE} {MARKDOWN} a long report number {k}, with words enough to be a text" for k in n]
    columns = {
        "id": [f"c{k}" for k in n], "label": np.where(n % 2, HOSTILE, MARKDOWN), f"age {HOSTILE}": n % 25,
        "side": np.where(n % 3, f"<b>{MARKDOWN}</b>", "right"), "report": noise,
    }  # fmt: skip
    pd.DataFrame(columns).to_csv(folder / "cases.csv", index=False)
    dataset = {"name": "own_folder", "folder": str(folder)}
    recipe = {"name": "model", "dataset": dataset, "folds": 3, "only": [0], "training": {"epochs": 1}}
    train(Recipe.from_json(recipe), tmp_path / "runs")
    explain(find_runs(tmp_path / "runs")[0], {"name": "integrated_gradients", "steps": 2})
    text = case_sheet(Session(tmp_path / "runs"))
    sheet = Sheet(text)
    assert HOSTILE in sheet.words and MARKDOWN in sheet.words
    assert not [link for link in sheet.links if "evil" in link] and "a" not in sheet.tags
    assert str(tmp_path) not in text and "cases" in sheet.words


def test_volumes_show_their_slice_and_their_maximum(volumes):
    for model, pictures in (("chest", ["volume"]), ("two chests", ["first", "second"])):
        sheet = Sheet(case_sheet(Session(volumes, model=model)))
        alts = [image["alt"] for image in sheet.images if image["alt"].split(",")[0] in pictures]
        for name in pictures:
            of = [alt for alt in alts if alt.startswith(f"{name}, ")]
            assert (
                len([alt for alt in of if re.search(r"slice \d+ of \d+", alt)]) == 3
            )  # bare and two methods
            assert len([alt for alt in of if "maximum" in alt]) == 3
    texts = Sheet(case_sheet(Session(volumes, model="report")))
    assert "Orange words speak" in texts.words and "Planted truth" in texts.words


def test_what_is_missing_is_said(runs, numbers):
    session = Session(runs, model="record alone")
    words = Sheet(case_sheet(session)).words
    for told_so in (
        "no contributions of 'record alone' yet", "not scored yet", "No reader study", "no texts",
        "This model does not look at the image",
    ):  # fmt: skip
        assert told_so in words
    assert "reload the page" not in words and words.count("python -m studykit") >= 2
    table = Sheet(case_sheet(Session(numbers)))
    assert "These cases have no pictures" in table.words and not table.images
    assert table.table("label")[1][2] == "-" and float(table.table("label")[1][3])


def test_a_map_that_is_not_stored_of_the_case_is_said(runs, tmp_path):
    out = shutil.copytree(runs, tmp_path / "runs")
    session = Session(out, model="fusion")
    run, case = session.run, session.case
    other = [name for name in run.test_ids if name != case]
    store.write(run, "grad_cam", store.read(run, "grad_cam", other))
    words = Sheet(case_sheet(session)).words
    assert "It is not stored of this case." in words and "Integrated gradients: what" in words


def test_a_sheet_with_six_maps_is_small(tmp_path):
    dataset = {"name": "breast_phantom", "count": 30, "size": 224}
    recipe = {"name": "large", "dataset": dataset, "folds": 3, "only": [0], "training": {"epochs": 1}}
    train(Recipe.from_json(recipe), tmp_path)
    (run,) = find_runs(tmp_path)
    ids, chance = run.test_ids, np.random.default_rng(0)
    for name in SIX:
        maps = {"image": chance.normal(size=(len(ids), 1, 224, 224)).astype("float32")}
        head = run.model().heads[0].name
        made = Explanation(ids, head, np.ones(len(ids), int), {"name": name}, maps, {"image": True})
        store.write(run, name, made)
    text = case_sheet(Session(tmp_path))
    assert len(Sheet(text).images) == 1 + 2 * 6
    assert len(text.encode()) < 3_000_000


def test_a_run_of_an_older_version_says_what_was_not_recorded(whole, tmp_path):
    shutil.copytree(whole / "record alone", tmp_path / "record alone")
    path = next(tmp_path.rglob("recipe.json"))
    about = json.loads(path.read_text())
    older = {name: fact for name, fact in about.items() if name not in ("versions", "seed", "training")}
    path.write_text(json.dumps(older))
    words = Sheet(case_sheet(Session(tmp_path))).words
    assert words.count("not recorded") == 3 and "seed not recorded" in words


def test_nobodys_folder_stands_on_the_sheet(runs, tmp_path):
    folder = tmp_path / "my_runs *1* & more"
    shutil.copytree(runs / "record alone", folder / "record alone")
    sheet = _Sheet(Session(folder), None)
    text = f"Nothing lies in {folder}/x; run `python -m studykit explain {folder}`."
    words = Sheet(sheet.spoken(plain.sentence(text))).words
    assert words == text.replace(str(folder), folder.name).replace("`", "")


def test_the_command_writes_the_sheet(whole, tmp_path, capsys):
    case = Session(whole, model="fusion").case
    out = tmp_path / "made" / "case.html"
    assert main(["sheet", str(whole), "--case", case, "--model", "fusion", "--out", str(out)]) == 0
    assert f"Case sheet: {case}" in out.read_text() and SIMULATED in out.read_text()
    for wrong, sentence in (
        (["--case", "nobody"], "There is no held-out case named 'nobody'"),
        (["--case", case, "--model", "fusio"], "There is no model named 'fusio'; did you mean fusion?"),
    ):
        assert main(["sheet", str(whole), *wrong, "--out", str(tmp_path / "not.html")]) == 2
        assert sentence in capsys.readouterr().err
    assert main(["sheet", str(whole), "--case", case, "--out", str(tmp_path)]) == 2
    assert not (tmp_path / "not.html").exists()


def test_the_button_makes_the_sheet_when_it_is_clicked(session, monkeypatch):
    button = sheet_download(session)
    assert button.filename == f"case_sheet-{session.case}-fusion.html"
    session.case = session.cases["id"].iloc[-1]
    assert session.case in button.filename
    assert f"Case sheet: {session.case}" in button.callback().getvalue()


@pytest.mark.browser
def test_the_sheet_opens_with_no_request(session, browser_page, tmp_path, request):
    page, asked, errors = browser_page, [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    (tmp_path / "sheet.html").write_text(case_sheet(session, beside(session)))
    address = (tmp_path / "sheet.html").as_uri()
    page.goto(address)
    widths = page.locator("img").evaluate_all("found => found.map(e => e.complete && e.naturalWidth)")
    assert len(widths) > 3 and all(widths)
    assert [url for url in asked if not url.startswith("data:")] == [address] and not errors
    assert len(page.pdf(prefer_css_page_size=True)) > 10_000
