"""Every page of the small demo in real Chromium: it opens, something is drawn, and its main gesture works."""

import io
import re
from urllib.parse import parse_qsl, urlparse

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Error, TimeoutError

from studykit.ui import Session
from studykit.ui.read_cases import BELIEVE, ready
from studykit.ui.serve import pages

pytestmark = pytest.mark.browser

# Of the figure with dots that can be tapped: [case, x, y] of the loneliest one of another case than `open`.
DOT = """(open) => {
  const figures = [...Bokeh.documents[0].all_models].filter((one) => one.type == 'Figure')
  const holds = (figure) => (figure.renderers ?? []).find((one) => one.data_source?.data?.said)
  const figure = figures.find(holds), dots = holds(figure), data = dots.data_source.data
  const view = Bokeh.index.find_one_by_id(figure.id)
  view.el.scrollIntoView({block: 'center'})
  const box = view.el.getBoundingClientRect(), ids = [...(data.id ?? data.case)]
  const at = ids.map((_, k) => [
    box.left + view.frame.x_scale.compute(data[dots.glyph.x.field][k]),
    box.top + view.frame.y_scale.compute(data[dots.glyph.y.field][k]),
  ])
  const room = ([x, y], k) => ids[k] == open ? -1
    : Math.min(...at.map(([u, v], j) => j == k ? 1e9 : Math.hypot(x - u, y - v)))
  const rooms = at.map(room), best = rooms.indexOf(Math.max(...rooms))
  return [ids[best], ...at[best]]
}"""


@pytest.fixture(scope="module")
def session(demo):
    """What a page opens with that is asked for nothing."""
    return Session(demo)


def pixels(place):
    """(H, W, 3) of what is seen of a place, once it stands still."""
    before = None
    for _ in range(60):
        try:
            now = np.asarray(Image.open(io.BytesIO(place.screenshot())).convert("RGB")).astype(int)
        except Error:  # another took its place meanwhile
            continue
        if before is not None and now.shape == before.shape and not changed(before, now):
            return now
        before = now
        place.page.wait_for_timeout(250)
    raise AssertionError("it never stood still")


def changed(before, now):
    return before.shape != now.shape or (np.abs(before - now).max(axis=-1) > 16).mean()


def drawn(page, at=0):
    """What a figure shows; it is not blank."""
    figure = page.locator(".bk-Figure").nth(at)
    figure.wait_for()
    shown = pixels(figure)
    assert shown.std() > 10, "blank"
    return shown


def asked(page):
    return dict(parse_qsl(urlparse(page.url).query))


def says(**wanted):
    """What an address must answer: that it says all of this."""
    return lambda url: wanted.items() <= dict(parse_qsl(urlparse(url).query)).items()


def tap(page, session):
    """Tap a dot of another case; its name, once the address says it. What moves meanwhile is tapped again."""
    for _ in range(4):
        case, x, y = page.evaluate(DOT, asked(page).get("case", session.case))
        page.mouse.click(x, y)
        try:
            page.wait_for_url(says(case=case), timeout=15_000)
            return case
        except TimeoutError:
            continue
    raise AssertionError(f"tapping the dot of {case} never opened it")


def heading(page, name):
    return page.get_by_role("heading", name=name, exact=True)


def choose(page, label, option):
    page.get_by_role("combobox", name=re.compile(rf"^{label}\b")).first.click()
    page.get_by_role("menuitem", name=option, exact=True).click()


def test_no_page_is_forgotten():
    assert set(pages()) == {"cases", "contributions", "attention", "map_quality", "models", "trust"}


def test_cases_go_on_by_key_through_every_view_and_come_back_as_they_were(visit, session):
    page = visit("cases")
    first = drawn(page)
    page.keyboard.press("ArrowRight")
    case = session.cases["id"].iloc[1]
    page.wait_for_url(says(case=case))
    heading(page, case).first.wait_for()
    assert changed(first, drawn(page)) > 0.05, "the next case is another picture"
    for view, frames in {"All maps": 6, "Two models": 4, "Two cases": 4}.items():
        page.get_by_role("tab", name=view).click()
        page.wait_for_url(says(view=view.lower(), case=case))
        page.locator(".bk-Figure").nth(frames - 1).wait_for()
        drawn(page, frames - 1)
    before = asked(page)
    page.reload()
    heading(page, case).first.wait_for()
    heading(page, before["beside"]).wait_for()
    drawn(page, 3)
    assert asked(page) == before


def test_a_volume_is_seen_through(visit):
    page = visit("cases?model=chest+fusion")
    slice_ = drawn(page)
    page.get_by_role("button", name="maximum intensity").click()
    page.get_by_label("Slice", exact=True).and_(page.locator("[disabled]")).wait_for(state="attached")
    seen_through = drawn(page)
    assert changed(slice_, seen_through) > 0.1 and seen_through.mean() > slice_.mean()


def test_contributions_open_the_case_of_a_dot(visit, session):
    page = visit("contributions")
    drawn(page)
    case = tap(page, session)
    heading(page, case).first.wait_for()
    page.reload()
    heading(page, case).first.wait_for()


def test_attention_opens_the_case_of_a_dot(visit, session):
    page = visit("attention")
    drawn(page)
    before = drawn(page, 2)
    case = tap(page, session)
    heading(page, case).first.wait_for()
    assert changed(before, drawn(page, 2)) > 0.05, "another case is another map"


def test_map_quality_follows_the_method_and_the_case(visit, session):
    page = visit("map_quality")
    chosen = page.get_by_role("columnheader", name="Pointing game").first
    chosen.wait_for()
    picture = page.locator(".bk-Figure").last
    page.get_by_text("Orange speaks for").wait_for()
    picture.scroll_into_view_if_needed()
    before = pixels(picture)
    assert before.std() > 10, "blank"
    choose(page, "Method", "Grad-CAM, of the predicted class")
    page.wait_for_url(says(method="grad_cam,of=predicted"))
    case = next(case for case in session.cases["id"] if case != session.case)
    choose(page, "Case", case)
    page.wait_for_url(says(case=case))
    heading(page, case).first.wait_for()
    assert changed(before, pixels(picture)) > 0.05, "another case is another picture"
    now = asked(page)
    page.reload()
    heading(page, now["case"]).wait_for()
    assert asked(page) == now


def test_a_confusion_cell_opens_its_cases(visit, session):
    page = visit("models")
    drawn(page)
    case = tap(page, session)
    page.get_by_text(f"Open: {case}").wait_for()
    cell = page.get_by_role("link", name="label malignant, predicted malignant")
    count = int(cell.inner_text().split()[0])
    cell.click()
    page.get_by_text(f"{count} of ").wait_for()
    assert urlparse(page.url).path == "/cases"
    page.get_by_text("label malignant, predicted malignant").wait_for()
    rows = page.locator(".tabulator-row")
    rows.first.wait_for()
    assert rows.count() == min(count, 14)
    assert set(page.locator(".tabulator-cell[tabulator-field=label]").all_inner_texts()) == {"malignant"}


def test_trust_opens_the_cases_where_readers_trust_what_is_wrong(visit, session):
    wanted = ready(session)[BELIEVE]
    page = visit("trust")
    page.get_by_role("img", name="no aid").first.wait_for()
    page.get_by_role("tab", name="Readers and models").click()
    page.wait_for_url(says(part="readers and models"))
    row = page.locator(".tabulator-row").first
    row.wait_for()
    case = row.get_by_role("link").inner_text()
    assert case in wanted
    row.locator(".tabulator-cell").nth(2).click()
    page.wait_for_url(says(part="one case", case=case))
    heading(page, case).first.wait_for()
    drawn(page)
    page.go_back()
    page.get_by_role("tab", name="Readers and models").click()
    page.get_by_role("link", name="Open all of them on the Cases page").click()
    page.wait_for_url(says(show=BELIEVE, model=session.model))
    page.get_by_text(f"{len(wanted)} of {len(session.cases)} cases").wait_for()
    shown = page.locator(".tabulator-cell[tabulator-field=id]")
    shown.first.wait_for()
    assert set(shown.all_inner_texts()) <= wanted and shown.count() == min(len(wanted), 14)
