"""The Map quality page: its numbers against the tables, its empty states, and in real Chromium."""

import html
import re
import shutil
from urllib.parse import parse_qs, urlparse

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn
import pytest

from dashboards.seen import frames, seen
from dashboards.test_browser import settled
from studykit.explain import explain, store
from studykit.quality import grades, quality, summary
from studykit.quality.quality import FILE, read, read_curves
from studykit.quality.summary import class_adjusted
from studykit.training import find_runs
from studykit.ui import GalleryView, QualityView, Session
from studykit.ui.measured import _differences, mean_curves, measured, method_titles
from studykit.ui.quality_view import numbers
from studykit.ui.scans import BARE
from studykit.ui.session import is_control, title_of

METHODS = [{"name": "integrated_gradients", "steps": 8}, "grad_cam"]
SCORES = [
    "relevance_mass", "pointing_game", "deletion", "insertion", "degradation", "agreement",
    {"name": "randomisation", "redraws": 1},
]  # fmt: skip
COLUMNS = {"relevance_mass": "Relevance mass accuracy", "pointing_game": "Pointing game"}
CHOSEN = "grad_cam,of=predicted"


@pytest.fixture(scope="module")
def scored(runs, tmp_path_factory):
    """The three phantom runs; the maps of the first are scored."""
    out = shutil.copytree(runs, tmp_path_factory.mktemp("quality") / "runs")
    (run,) = find_runs(out / "fusion")
    list(quality(run, METHODS, SCORES, cases=14))
    explain(run, "modality_shapley")
    return out


@pytest.fixture
def view(scored):
    session = Session(scored, model="fusion")
    session.method = CHOSEN
    return QualityView(session)


@pytest.fixture
def table(scored):
    return read(find_runs(scored / "fusion")[0])


def told(viewable):
    """All texts of what is shown, as they are given to the browser."""
    given = [getattr(part, "object", None) for part in viewable.select()]
    return "\n".join(text for text in given if isinstance(text, str))


def shown(viewable):
    """The first table that is shown."""
    return viewable.object if isinstance(viewable, pn.pane.DataFrame) else next(
        part.object for part in viewable.select(pn.pane.DataFrame)
    )  # fmt: skip


def test_the_grid_is_the_summary(view, table):
    found = summary(table[table["modality"] == "image"]).set_index(["method", "statistic"])
    drawn = told(view.coherence())
    for method, title in method_titles(table["method"].unique())[0].items():
        for score, column in (
            ("relevance_mass", "Relevance mass accuracy"),
            ("pointing_game", "Pointing game"),
        ):
            row = found.loc[(method, score)]
            number = f"{row['lift']:.2f} ({row['lift_low']:.2f} to {row['lift_high']:.2f})"
            assert f'aria-label="{title}, {column}: {number}"' in drawn
    assert drawn.index("Controls: maps that know") < drawn.index(">Edge map (control)<")
    assert "All maps are of the predicted class" in drawn


def test_the_table_of_a_method_is_counted_again_by_hand(view, table):
    values = table[(table["method"] == CHOSEN) & (table["modality"] == "image")].groupby("score")["value"]
    rows = shown(view.table()).set_index("score")
    for name, title in (("deletion", "Deletion"), ("relevance_mass", "Relevance mass accuracy")):
        one = values.get_group(name).dropna()
        assert rows.at[title, "mean (95 % interval)"].startswith(f"{one.mean():.3f} (")
        assert rows.at[title, "sd"] == f"{one.std():.3f}" and rows.at[title, "cases"] == len(one)
    assert rows.at["Deletion", "better"] == "lower" and "cases of" not in rows
    assert rows.index[0] == "Relevance mass accuracy", "coherence comes first"


def test_a_stratum_parts_the_cases(view, table):
    view.by = "label"
    rows = shown(view.table())
    rows = rows.assign(score=rows["score"].replace("", None).ffill()).set_index(["score", "cases of"])
    some = table[
        (table["method"] == CHOSEN) & (table["score"] == "deletion") & (table["modality"] == "image")
    ]
    for label, values in some.groupby("label")["value"]:
        assert rows.at[("Deletion", label), "mean (95 % interval)"].startswith(f"{values.mean():.3f}")


def test_curves_are_means_whose_area_is_the_score(view, table, scored):
    found = mean_curves(measured(view.session, "fusion"), "image")
    one = found[(found["curve"] == "morf") & (found["method"] == CHOSEN)].sort_values("step")
    of = (table["method"] == CHOSEN) & (table["modality"] == "image") & (table["score"] == "deletion")
    assert np.trapezoid(one["mean"], one["step"]) == pytest.approx(table.loc[of, "value"].mean())
    assert (one["low"] <= one["mean"]).all() and (one["mean"] <= one["high"]).all() and set(one["n"]) == {14}
    raw = read_curves(find_runs(scored / "fusion")[0])
    raw = raw[(raw["method"] == CHOSEN) & (raw["modality"] == "image") & (raw["curve"] == "morf")]
    assert np.allclose(one["mean"], raw.groupby("step")["value"].mean())
    drawn = view.curves.curves()
    assert "the model's surprise" in told(drawn) and "Means over 14 cases" in told(drawn)
    curves = [c for pane in drawn.select(pn.pane.HoloViews) for c in pane.object if isinstance(c, hv.Curve)]
    assert sum(c.label == "Grad-CAM" and np.allclose(c["mean"], one["mean"]) for c in curves) == 1


def test_agreement_is_the_mean_over_cases_of_each_pair(view, table):
    other = next(m for m in table["method"].unique() if m.startswith("integrated"))
    cells = (table["method"] == CHOSEN) & (table["modality"] == "image")
    cells &= table["score"] == f"spearman with {other}"
    drawn = next(p.object for p in view.agreement().select(pn.pane.HTML) if "Spearman" in p.object)
    row = re.search(r"1 Grad-CAM</th>(.*?)</tr>", drawn)[1]
    said = re.findall(r">([^<]*)</td>", row)
    mean = round(table.loc[cells, "value"].mean(), 2) + 0.0
    assert said[0] == "·" and said[1] == f"{mean:.2f}" and len(said) == 4


def test_randomisation_stands_beside_its_line(view, table):
    of = (table["method"] == CHOSEN) & (table["modality"] == "image") & (table["score"] == "randomisation")
    drawn = told(view.randomisation())
    assert f"Grad-CAM, Ranks (Spearman): {round(table.loc[of, 'value'].mean(), 2) + 0.0:.2f}" in drawn
    assert "Edge map (control), Ranks (Spearman): 1.00" in drawn, "it shows the picture alone"


def test_the_degradation_score_is_adjusted_for_classes(view, table):
    of = (table["method"] == CHOSEN) & (table["modality"] == "image") & (table["score"] == "degradation")
    values = table[of].groupby("label")["value"].mean()
    wanted = class_adjusted(list(values), table.loc[of, "value"].mean())
    rows = shown(view.degradation()).set_index("method")
    assert rows.at["Grad-CAM", "class-adjusted"].startswith(f"{round(wanted, 3) + 0.0:.3f}")
    assert [rows.at["Grad-CAM", label][:5] for label in values.index] == [f"{v:.3f}"[:5] for v in values]


def test_grades_are_those_of_the_room_and_other_models_say_what_to_run(view, table, scored):
    drawn, found = view.believed(), grades(table, "fusion")
    rows = shown(drawn)
    assert rows["believed"].tolist() == found["believed"].tolist()
    assert rows["finds"].str.split(":").str[0].tolist() == found["finds"].tolist()
    assert "within 0.1 of 0" in told(drawn)
    assert f"'image alone' are not scored yet. Run `python -m studykit quality {scored}`" in told(drawn)


def test_a_case_has_its_own_scores(view, table):
    view.session.case = case = table["case"].iloc[3]
    rows = shown(view.case()).set_index("method")
    one = table[(table["case"] == case) & (table["score"] == "deletion") & (table["modality"] == "image")]
    one = one.set_index("method")["value"]
    assert rows.at["Grad-CAM", "Deletion"] == f"{one[CHOSEN]:.3f}" and len(rows) == len(one)
    others = set(view.session.cases["id"]) - set(table["case"])
    view.session.case = sorted(others)[0]
    assert "are not scored" in told(view.case())


def test_a_model_that_was_not_scored_says_what_to_run(view, scored):
    assert view.modality == "image" and view.param.modality.objects == ["image", "record"]
    view.session.model = "image alone"
    assert f"Run `python -m studykit quality {scored}`" in told(view.coherence())
    assert "python -m studykit quality" in told(view.curves.curves())
    assert view.__panel__().get_root() is not None
    view.session.model = "fusion"
    assert view.modality == "image" and view.session.method.endswith("of=predicted")


def test_scores_of_old_weights_are_none(scored, tmp_path):
    copy = shutil.copytree(scored / "fusion", tmp_path / "old")
    session = Session(copy)
    assert not isinstance(measured(session, session.model), str)
    weights = copy / "fold-0" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
    assert "are not scored yet" in measured(session, session.model)


def test_what_was_not_scored_in_every_fold_is_said():
    row = {"modality": "image", "case": "a", "value": 1.0}
    rows = [
        {**row, "fold": 0, "method": "grad_cam", "score": "deletion"},
        {**row, "fold": 1, "method": "grad_cam", "score": "deletion"},
        {**row, "fold": 1, "method": "grad_cam", "score": "randomisation, SSIM"},
        {**row, "fold": 1, "method": "occlusion", "score": "deletion"},
    ]
    assert list(_differences(pd.DataFrame(rows), [0, 1, 2])) == [
        "Only folds 0 and 1 of 3 are scored.",
        "In fold 1 alone: Occlusion.",
        "In fold 1 alone: Randomisation.",
    ]


def test_numbers_say_why_where_there_is_none():
    row = dict.fromkeys(["estimate", "sd", "low", "high", "chance", "lift", "lift_low", "lift_high"], np.nan)
    row |= {"statistic": "relevance_mass", "group": "all", "n": 0, "empty": 3, "why": "no region"}
    assert numbers(pd.DataFrame([row]), False).at[0, "why"] == "no region"


def test_names_are_shown_and_never_run(scored, tmp_path):
    name = "<img src=x onerror=alert(1)> *b*"
    shutil.copytree(scored / "fusion", tmp_path / name)
    path = tmp_path / name / "fold-0" / "recipe.json"
    path.write_text(path.read_text().replace('"name": "fusion"', f'"name": "{name}"'))
    view = QualityView(Session(tmp_path))
    view.gallery.models = list(view.gallery.param.models.objects)
    texts = [told(view.coherence()), told(view.believed()), view.gallery.note()]
    (tmp_path / name / "fold-0" / FILE).unlink()
    texts += [told(QualityView(Session(tmp_path)).coherence())]
    for text in texts:
        assert "<img" not in text and "*b*" not in text
    assert "&lt;img" in html.unescape(texts[2]) or "&lt;img" in texts[2]


def test_the_gallery_shows_every_stored_map_of_the_case(view, scored):
    gallery, session = view.gallery, view.session
    session.case = session.cases["id"].iloc[4]
    (run,) = find_runs(scored / "fusion")
    stored = {m: store.read(run, m, [session.case]) for m in store.methods(run)}
    wanted = {m: e.maps["image"][0].sum(axis=0) for m, e in stored.items() if "image" in e.maps}
    shown = {name[1]: told for (_, name), told in frames(gallery).items() if name != BARE}
    assert set(shown) == set(wanted)
    assert list(shown)[-2:] == sorted(m for m in wanted if is_control(m))
    for method, values in wanted.items():
        low, high = shown[method].ends
        assert np.abs(shown[method].map - np.clip(values, low, high)).max() <= 0.51 * (high - low) / 256
        assert shown[method].title == title_of(method)
    assert "Shapley" in gallery.note() and "it has no maps" in gallery.note()


def test_other_models_that_held_the_case_out_stand_below(view):
    gallery = view.gallery
    gallery.models = list(gallery.param.models.objects)
    names = [name for _, name in frames(gallery) if name != BARE]
    assert {model for model, _ in names} == {"fusion", "image alone"}, "the third has no map of the picture"
    assert names.count(("image alone", "grad_cam")) == 1
    assert (
        "record alone, Integrated gradients: it has no map of the image, only of the record" in gallery.note()
    )
    assert "predicted" in gallery._said("record alone", None)
    gallery.methods = ["grad_cam"]
    assert {method for _, method in [name for _, name in frames(gallery) if name != BARE]} == {"grad_cam"}


def test_a_new_case_keeps_the_frames(view):
    gallery, session = view.gallery, view.session
    gallery.pictures()
    rows, figure = gallery._rows, gallery._drawn["frames"].figures[BARE]
    first = seen(figure).picture
    session.case = session.cases["id"].iloc[7]
    assert gallery._rows == rows and gallery._drawn["frames"].figures[BARE] is figure
    assert not np.array_equal(first, seen(figure).picture)


def test_the_gallery_of_volumes_follows_the_slice(volumes):
    session = Session(volumes, model="two chests")
    gallery = GalleryView(session)
    assert len(gallery.param.modality.objects) == 2 and gallery.__panel__().get_root() is not None
    figure = gallery._drawn["frames"].figures[BARE]
    before = seen(figure).title
    gallery.slice = 1
    assert "slice 1 of" in seen(figure).title and "slice 1 of" not in before
    session.model = "report"  # pictures, a text and no volume
    assert gallery.modality == "image" and len(frames(gallery)) == 3


def test_cases_without_pictures_have_a_page_too(numbers_folder):
    view = QualityView(Session(numbers_folder))
    assert view.__panel__().get_root() is not None
    assert "no pictures" in view.gallery.note() and view.modality == "record"
    assert "no reference mask and no planted truth" in told(view.coherence())
    assert "Deletion" in shown(view.table())["score"].tolist()


@pytest.fixture(scope="module")
def numbers_folder(numbers, tmp_path_factory):
    out = shutil.copytree(numbers, tmp_path_factory.mktemp("quality of numbers") / "runs")
    list(quality(find_runs(out), [{"name": "integrated_gradients", "steps": 8}], ["deletion"], cases=6))
    return out


def test_a_methods_name_says_the_class_and_controls_come_last(view):
    assert title_of("grad_cam,of=predicted") == "Grad-CAM, of the predicted class"
    assert (
        title_of("integrated_gradients,steps=8,of=true") == "Integrated gradients, steps=8, of the true class"
    )
    offered = list(view.session.param.method.objects)
    assert [is_control(m) for m in offered] == sorted(is_control(m) for m in offered) and is_control(
        offered[-1]
    )
    assert method_titles(["grad_cam", "occlusion"]) == (
        {"grad_cam": "Grad-CAM", "occlusion": "Occlusion"},
        "",
    )


@pytest.mark.browser
def test_the_map_quality_page(served, browser_page, scored, table, request):
    page, errors = browser_page, []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{served(scored)}/map_quality?model=fusion&method=grad_cam%2Cof%3Dpredicted")
    page.get_by_role("columnheader", name="Relevance mass accuracy").first.wait_for(timeout=60_000)
    page.locator("canvas").first.wait_for(timeout=60_000)
    settled(page)
    row = summary(table[table["modality"] == "image"]).set_index(["method", "statistic"])
    row = row.loc[(CHOSEN, "relevance_mass")]
    page.get_by_text(f"{row['lift']:.2f} ({row['lift_low']:.2f} to", exact=False).first.wait_for()
    if screenshots := request.config.getoption("--screenshots"):
        page.screenshot(path=screenshots / "map_quality.png")
    page.get_by_label("Cases", exact=True).click()
    page.get_by_role("menuitem", name="each label").click()
    page.get_by_role("columnheader", name="cases of").wait_for()
    page.get_by_label("Maps of the").click()
    page.get_by_role("menuitem", name="record").click()
    page.get_by_text("This method was not scored on it").wait_for()
    page.get_by_role("combobox", name="Models beside it").click()
    page.get_by_role("menuitem", name="record alone").click()
    page.keyboard.press("Escape")
    page.get_by_text("record alone, Integrated gradients: it has no map of the image").wait_for()
    settled(page)
    assert parse_qs(urlparse(page.url).query)["method"] == [CHOSEN] and not errors
