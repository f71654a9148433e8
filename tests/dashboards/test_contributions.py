"""The Contributions page: its numbers against the table, its empty states, and in real Chromium."""

import html
import re
import shutil
from types import SimpleNamespace
from urllib.parse import parse_qs, urlencode, urljoin, urlparse

import numpy as np
import pandas as pd
import panel as pn
import pytest
import safetensors.torch
import torch

from dashboards.seen import seen
from dashboards.test_browser import changed, settled
from studykit.contribution import Contribution
from studykit.contribution.contribution import NOTHING
from studykit.datasets.text import words
from studykit.explain.contributions import FILE, Occluding, contributions, neighbours, read
from studykit.training import Recipe, find_runs, train
from studykit.ui import ContributionView, Session, address
from studykit.ui import session as sessions
from studykit.ui.dots_view import EVIDENCE, DotsView
from studykit.ui.parts_view import flat, words_moved
from studykit.ui.serve import pages
from studykit.ui.shares_view import SharesView, asked

COARSE = {"name": "patches", "size": 16}
NUMBERS = ["estimate", "low", "high"]


@pytest.fixture(scope="module")
def shared(runs, tmp_path_factory):
    """The three phantom runs; nothing was asked of the second."""
    out = shutil.copytree(runs, tmp_path_factory.mktemp("contributions") / "runs")
    for name in ("fusion", "record alone"):
        (run,) = find_runs(out / name)
        list(contributions(run, Occluding({"image": COARSE} if name == "fusion" else {})))
    (run,) = find_runs(out / "fusion")
    neighbours(run, ["occlusion", "whole_occlusion"], Occluding({"image": COARSE}), 8)
    return out


@pytest.fixture
def view(shared):
    return ContributionView(Session(shared, model="fusion"))


def told(viewable):
    """All texts of what is shown, as they are given to the browser."""
    given = [getattr(part, name, None) for part in viewable.select() for name in ("object", "label")]
    return "\n".join(text for text in given if isinstance(text, str))


def card(view, model):
    return view.shares._card(model)


def drawings(shown):
    """The bars of a card, as HTML; its badges stand apart."""
    return [pane.object for pane in shown.select(pn.pane.HTML) if 'role="img"' in pane.object]


def bars(view, model):
    """{modality: share, low, high} as drawn in a model's card; low and high where there is a line."""
    (shown,) = drawings(card(view, model))
    found, place = {}, r"left:([\d.]+)%;width:([\d.]+)%"
    for name, drawn in re.findall(r'aria-label="(\w+) [^"]*"[^>]*>(.*?)(?=<div style="overflow|$)', shown):
        marks = re.findall(place + r";top:[09]px;height", drawn.replace("top:0;", "top:0px;"))
        (_, share), *line = [(float(left) / 100, float(width) / 100) for left, width in marks]
        found[name] = (share, *((low, low + width) for low, width in line))
    return found


def test_the_bars_are_those_of_the_table(view, shared):
    table = read(find_runs(shared / "fusion")[0]).table()
    drawn = bars(view, "fusion")
    assert list(drawn) == table["group"].tolist() == ["image", "record"]
    for row in table.itertuples():
        share, line = drawn[row.group]
        assert np.allclose((share, *line), (row.estimate, row.low, row.high), atol=2e-5)
    assert "image in patches of 16 × 16 pixels, record by column" in told(card(view, "fusion"))
    assert "20 cases" in told(card(view, "fusion")) and "Phantom" in told(card(view, "fusion"))


def test_the_diamonds_are_the_planted_truth(view):
    session = view.session
    found, dataset = session.contributed("fusion"), session.run.prepared.dataset
    evidence = dataset.cases.loc[found.ids, "evidence"]
    for name in ("image", "record"):
        shown = view.shares.planted("fusion", found)[name]
        assert shown == pytest.approx(evidence.isin([name, "both"]).mean()) and shown > 0


def test_a_model_of_one_modality_says_so(view):
    assert "sees the record alone" in told(card(view, "record alone"))
    assert bars(view, "record alone") == {"record": (1,)}, "all of it, and no line"


def test_a_model_that_was_not_asked_says_what_to_run(view, shared):
    command = f"`python -m studykit contributions {shared}`"
    assert command in told(card(view, "image alone"))
    assert view.there()
    view.session.model = "image alone"
    assert not view.there() and command in view.case.note()
    assert f"contributions {shared} --beside`" in told(view.neighbours.measures())


def test_contributions_of_old_weights_are_none(shared, tmp_path):
    copy = shutil.copytree(shared / "record alone", tmp_path / "old")
    session = Session(copy)
    assert not isinstance(session.contributed(session.model), str)
    change_weights(copy / "fold-0", lambda values: values + 0.01)
    assert "There are no contributions" in session.contributed(session.model)


def change_weights(folder, change):
    path = folder / "weights.safetensors"
    weights = {name: change(values) for name, values in safetensors.torch.load_file(path).items()}
    safetensors.torch.save_file(weights, path)


def test_where_nothing_moved_the_reason_stands_instead_of_a_bar(shared, tmp_path):
    copy = shutil.copytree(shared / "fusion", tmp_path / "still")
    change_weights(copy / "fold-0", torch.zeros_like)
    (run,) = find_runs(copy)
    list(contributions(run, Occluding({"image": COARSE})))
    view = ContributionView(Session(copy))
    assert view.__panel__().get_root() is not None
    shown = card(view, "fusion")
    assert not drawings(shown) and NOTHING in told(shown)
    assert "Nothing moved in this case" in view.case.note()
    assert view.dots.dots.empty and f"{len(run.test_ids)} cases have no dot" in view.dots.note()
    assert "nothing moved" in told(view.parts.figures())


def test_a_collapse_wears_a_badge(view, monkeypatch):
    found = view.session.contributed("fusion")
    assert "collapse" not in told(card(view, "fusion"))
    lame = {"image": found.differences["image"] * 1e-6, "record": found.differences["record"]}
    alone = Contribution(found.ids, found.groups, found.outputs, lame, found.same, found.parts, found.about)
    assert alone.collapse() == "record"
    monkeypatch.setattr(Session, "contributed", lambda self, model, output="": alone)
    assert "<mark>unimodal collapse: record</mark>" in told(card(view, "fusion"))
    assert "the whole interval of one modality lies above 95 %" in view.shares.introduction()


def three_classes():
    draw = np.random.default_rng(0)
    parts = {"image": ("a", "b"), "report": ("word 1", "word 2", "word 3")}
    differences = {name: draw.normal(size=(12, len(names), 3)) for name, names in parts.items()}
    same = {name: np.zeros(d.shape[:2], dtype=bool) for name, d in differences.items()}
    cut = {"image": {"name": "whole"}, "report": {"name": "words"}}
    about = {"parts": cut, "fill": {name: {"name": "absent"} for name in parts}, "output": "probability"}
    ids, groups = [f"c{k}" for k in range(12)], [f"p{k // 2}" for k in range(12)]
    return Contribution(ids, groups, ("x", "y", "z"), differences, same, parts, about)


def test_a_chosen_answer_has_its_own_shares():
    found = three_classes()
    table = found.table().set_index(["statistic", "group"])
    for name in found.outputs:
        one = sessions._of_output(found, name)
        own = one.table().set_index("group")
        assert (own["statistic"] == "contribution").all()
        for group in ("image", "report"):
            wanted = table.loc[(f"contribution to {name}", group), NUMBERS].astype(float)
            assert np.allclose(own.loc[group, NUMBERS].astype(float), wanted)


def test_folds_are_shown_as_one_if_they_were_asked_alike(tmp_path):
    recipe = {"name": "two", "dataset": {"name": "report_phantom", "count": 40, "size": 32}, "folds": 4}
    train(Recipe.from_json({**recipe, "only": [0, 1], "training": {"epochs": 1}}), tmp_path)
    first, second = find_runs(tmp_path)
    session, alike = Session(tmp_path), Occluding({"image": COARSE})
    view = SharesView(session)
    list(contributions(first, alike))
    assert session.contributed("two").ids == first.test_ids
    assert "fold 0 (nothing is stored for 1)" in told(view._card("two"))
    list(contributions(second, alike))
    assert session.contributed("two").ids == [*first.test_ids, *second.test_ids]
    assert f"{len(session.cases)} cases" in told(view._card("two"))
    assert "folds 0 and 1" in told(view._card("two"))
    list(contributions(second, Occluding({"image": 8})))
    assert "asked in different ways" in told(view._card("two"))


def test_a_dot_is_a_case_and_opens_it(view):
    session, dots = view.session, view.dots
    shares = session.contributed("fusion").per_case()
    assert sorted(dots.dots["id"]) == sorted(session.cases["id"])
    assert np.allclose(dots.dots["share"], shares.loc[dots.dots["id"], "image"])
    cases = session.cases.set_index("id").loc[dots.dots["id"]]
    assert (dots.dots["row"] == cases["predicted"].to_numpy()).all()
    assert ((dots.dots["kind"] == "wrong") == cases["wrong"].to_numpy()).all()
    other = dots.dots["id"].iloc[7]
    assert other != session.case
    dots.scene()
    dots._taps.event(index=[7])
    assert session.case == other and other in view.case.heading()
    assert dots._ring(session.shown).dimension_values("y").tolist() == [dots.dots["y"].iloc[7]]


def test_dots_can_be_coloured_by_the_planted_truth(view):
    view.dots.coloured, view.dots.of = EVIDENCE, "record"
    planted = view.session.run.prepared.dataset.cases["evidence"]
    words = {"image": "in the image", "record": "in the record", "both": "in the image and record"}
    kinds = view.dots.dots.set_index("id")["kind"]
    assert kinds.to_dict() == planted[kinds.index].map(words).to_dict() and kinds.nunique() == 3
    shares = view.session.contributed("fusion").per_case()["record"]
    assert np.allclose(view.dots.dots["share"], shares[view.dots.dots["id"]])


def test_the_case_shows_what_its_parts_change(view):
    session, case = view.session, view.case
    found = session.contributed("fusion")
    at = found.ids.index(session.case)
    painted, signed, limit = case.map_of("image")
    size = np.abs(found.differences["image"][at, :, 0])
    assert np.allclose(painted[::16, ::16].ravel(), size) and not signed and limit > 0
    assert np.allclose(painted, np.kron(painted[::16, ::16], np.ones((16, 16))))
    share = found.per_case().loc[session.case, "image"]
    assert f"image **{100 * share:.0f} %**" in case.note()
    view.output = "malignant"
    assert case.output == "malignant"
    painted, signed, _ = case.map_of("image")
    assert np.allclose(painted[::16, ::16].ravel(), -found.differences["image"][at, :, 0]) and signed
    effects = dict(re.findall(r'aria-label="(\w[^:"]*): [^"]*: ([-+][.\d]+)"', html.unescape(case.record())))
    assert set(effects) == set(found.parts["record"])
    for part, change in zip(found.parts["record"], found.differences["record"][at, :, 0], strict=True):
        assert float(effects[part]) == pytest.approx(-change, abs=6e-4)


def test_words_are_gathered_as_the_slow_twin_does():
    found = three_classes()
    texts = {case: ("no mass seen" if k % 2 else "mass no") for k, case in enumerate(found.ids)}
    texts["c0"] = "mass rare"
    gathered = words_moved(found, "report", texts)
    changes = {}
    for at, case in enumerate(found.ids):
        for place, word in enumerate(words(texts[case])):
            changes.setdefault(word, []).append(np.abs(found.differences["report"][at, place]).sum())
    assert "rare" in changes and "rare" not in gathered.index
    wanted = {word: np.mean(c) for word, c in changes.items() if word != "rare"}
    assert gathered["change"].to_dict() == pytest.approx(wanted)
    assert gathered["change"].is_monotonic_decreasing and gathered.loc["mass", "cases"] == 12


def test_a_volumes_regions_add_up_to_its_share():
    ids = np.zeros((4, 6, 6), dtype=int)
    ids[2:] = 1
    ids[..., 3:] += 2
    values = np.array([0.1, 0.2, 0.3, 0.4])[ids]
    assert np.allclose(flat(values, ids), np.where(np.arange(6) < 3, 0.3, 0.7) * np.ones((6, 1)))
    assert np.allclose(flat(np.full((6, 6), 0.5), ids[0]), 0.5)


def test_the_neighbours_stand_with_what_they_ask(view):
    shown = view.neighbours.measures()
    about, table = (pane.object for pane in shown.select(pn.pane.DataFrame))
    run, stored = view.session.beside("fusion")
    assert f"Of fold {run.fold}, on 8 of its held-out cases" in told(shown)
    assert table["estimate"].tolist() == [f"{value:.3f}" for value in stored["estimate"]]
    assert table["measure"].tolist() == ["Modality contribution", "", "Whole-modality occlusion", ""]
    assert about["cost"].tolist() == ["N (1 + h)", "N (1 + M)"] and about["asks"].str.endswith("?").all()
    assert set(about["labels"]) == {"not needed"}


def test_names_are_shown_and_never_run(shared, tmp_path):
    name = "<img src=x onerror=alert(1)> *b*"
    shutil.copytree(shared / "fusion", tmp_path / name)
    path = tmp_path / name / "fold-0" / "recipe.json"
    path.write_text(path.read_text().replace('"name": "fusion"', f'"name": "{name}"'))
    session = Session(tmp_path)
    view = ContributionView(session)
    for text in (told(view.shares._card(name)), view.case.note(), view.case.heading()):
        assert "<img" not in html.unescape(text) or "&lt;img" in text
        assert "*b*" not in text
    (tmp_path / name / "fold-0" / FILE).unlink()
    assert "<img" not in view.case.note() and "&lt;img" in view.case.note()
    assert "<img" not in told(view.neighbours.measures())


@pytest.mark.parametrize("kind", ["volumes", "numbers"])
def test_every_kind_of_case_builds(kind, request, tmp_path):
    copy = shutil.copytree(request.getfixturevalue(kind), tmp_path / "runs")
    known = {m.name for run in find_runs(copy) for m in run.schema.modalities}
    parts = {name: COARSE for name in ("volume", "image", "first", "second") if name in known}
    made = dict(contributions(find_runs(copy), Occluding(parts)))
    session = Session(copy)
    view = ContributionView(session)
    for run, found in made.items():
        session.model = run.about["name"]
        view.output = ""
        assert f"{len(found.ids)} cases" in told(card(view, session.model)) and asked(found, run)
        session.case = found.ids[1]
        for name, _ in view.case._pictures:
            view.case.pictures()
            under = seen(view.case._drawn[name].figures[name])
            assert under.map.shape == under.picture.shape
            values, signed, _ = view.case.map_of(name)
            assert values.shape == run.schema.modality(name).shape[1:] and not signed
        for name in run.prepared.dataset.texts:
            text = run.prepared.dataset.cases.at[session.case, name]
            assert view.case.texts().count("<span") == len(words(text))
        view.output = found.outputs[0]
        assert "Orange raises" in view.case.note() and sorted(view.dots.dots["id"]) == sorted(found.ids)
    assert pages()["contributions"].page(copy).get_root() is not None


def test_the_dots_work_alone_in_a_notebook_cell(shared):
    view = DotsView(Session(shared, model="fusion"))
    assert view.__panel__().get_root() is not None and len(view.dots) == 20
    assert pd.Series(view.dots["y"]).between(-0.5, 1.5).all()


def test_the_whole_view_works_in_a_notebook_cell_and_links_nowhere(view):
    assert "text/html" in view._repr_mimebundle_()[0] and view.case.link() == ""


def test_a_link_to_another_page_carries_the_case_and_keeps_a_path_prefix(view):
    view.session.case = view.session.cases["id"].iloc[2]
    found = urlparse(urljoin("http://host/prefix/contributions?case=x", address.link("cases", view.session)))
    assert found.path == "/prefix/cases"
    assert parse_qs(found.query) == {"model": ["fusion"], "case": [view.session.case]}


def test_what_an_address_asks_for_is_followed_or_told_and_never_run(view, monkeypatch):
    session, evil = view.session, "<img src=x onerror=alert(1)>"
    known = session.cases["id"].iloc[4]
    place = pn.io.location.Location(search=f"?{urlencode({'model': 'record alone', 'case': evil})}")
    monkeypatch.setattr(address, "pn", SimpleNamespace(state=SimpleNamespace(location=place)))
    (alert,) = address.follow_address(session, ["model", "case"])
    assert session.model == "record alone" and "which is not here" in alert.object
    assert "<img" not in alert.object and "&lt;img" in alert.object
    place.search = f"?{urlencode({'case': known})}"
    assert address.follow_address(session, ["model", "case"]) == [] and session.case == known
    assert parse_qs(place.search[1:]) == {"model": ["record alone"], "case": [known]}


# Of the figure that holds the dots: where on the screen dot number `at` stands.
PLACE = """(at) => {
  const figures = [...Bokeh.documents[0].all_models].filter(m => m.type == 'Figure')
  const holds = m => (m.renderers ?? []).find(r => r.data_source?.data?.said)
  const figure = figures.find(holds), data = holds(figure).data_source.data
  const view = Bokeh.index.find_one_by_id(figure.id), box = view.el.getBoundingClientRect()
  const x = box.left + view.frame.x_scale.compute(data.share[at])
  const y = box.top + view.frame.y_scale.compute(data.y[at])
  return [data.id[at], x, y]
}"""


@pytest.mark.browser
def test_the_contributions_page(served, browser_page, shared, request):
    page, strangers, errors = browser_page, [], []
    place = served(shared)
    host = urlparse(place).netloc

    def watch(url):
        if urlparse(url).scheme in ("http", "https", "ws", "wss") and urlparse(url).netloc != host:
            strangers.append(url)

    page.on("request", lambda request: watch(request.url))
    page.on("websocket", lambda socket: watch(socket.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(f"{place}/contributions?model=fusion")
    page.get_by_text("Planted truth").wait_for(timeout=60_000)
    page.locator("canvas").first.wait_for()
    settled(page)
    row = read(find_runs(shared / "fusion")[0]).table().iloc[0]
    number = f"{100 * row['estimate']:.0f} % ({100 * row['low']:.0f} to {100 * row['high']:.0f})"
    page.get_by_text(number, exact=True).wait_for()
    assert page.get_by_text("There are no contributions of 'image alone' yet").count() == 1
    if screenshots := request.config.getoption("--screenshots"):
        page.screenshot(path=screenshots / "contributions.png")

    chosen, x, y = page.evaluate(PLACE, 9)
    assert page.get_by_role("heading", name=chosen).count() == 0
    page.mouse.click(x, y)
    page.get_by_role("heading", name=chosen).wait_for()
    page.wait_for_url(lambda url: parse_qs(urlparse(url).query).get("case") == [chosen])

    light = settled(page)
    page.get_by_label("theme").first.click()
    assert changed(light, settled(page)) > 0.3, "the other theme"
    page.get_by_role("link", name="Cases", exact=True).click()
    page.get_by_role("heading", name=chosen).wait_for(timeout=60_000)
    assert parse_qs(urlparse(page.url).query)["model"] == ["fusion"] and "/cases" in page.url
    page.get_by_role("link", name="Contributions", exact=True).click()
    page.get_by_role("link", name="Open this case on the Cases page").wait_for(timeout=60_000)
    page.get_by_role("heading", name=chosen).wait_for()
    assert not strangers and not errors
