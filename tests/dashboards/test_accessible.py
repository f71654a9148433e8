"""Every page of the small demo: read aloud, on a tablet and a wide screen, in the light and in the dark."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from studykit.ui.serve import pages

pytestmark = pytest.mark.browser

DRAWN = {  # what stands on a page once it is whole
    "attention": ".bk-Figure >> nth=2",
    "cases": ".bk-Figure >> nth=1",
    "contributions": ".bk-Figure >> nth=2",
    "map_quality": "text=Orange speaks for",
    "models": "[role=img][aria-label^=ROC]",
    "trust": "[role=img] >> nth=2",
}
WIDTHS = {"a laptop": (1280, 900), "a screen": (1920, 1080), "a tablet": (820, 1180)}

# What axe finds in the libraries' own markup: (rule, a piece of the element's HTML).
LIBRARIES = [
    ("aria-progressbar-name", "MuiLinearProgress-root"),  # pmui.Page's busy line says not what it waits for
    ("aria-prohibited-attr", 'sx="[object Object]"'),  # pmui names the hint behind a label's (i) on a span
    ("aria-prohibited-attr", 'aria-label="Resize sidebar"'),  # pmui.Page's handle is a div without a role
    ("aria-required-children", "pnx-tabulator"),  # Tabulator's grid owns its rows by an id they do not have
]

# Texts that reach out of what cuts them off, or beyond where a scroll can bring them.
CUT = """() => {
  const cut = [], up = (node) => node.assignedSlot ?? node.parentNode?.host ?? node.parentNode
  const seen = (node) => node.checkVisibility({opacityProperty: true, visibilityProperty: true})
  const look = (text) => {
    const range = document.createRange()
    range.selectNodeContents(text)
    const box = range.getBoundingClientRect()
    for (let node = up(text); node instanceof Element; node = up(node)) {
      const style = getComputedStyle(node)
      if (style.clipPath != 'none' || style.position == 'fixed' && node.localName != 'header') return
      if (style.overflowX == 'visible') continue
      const frame = node.getBoundingClientRect()
      if (!frame.height) return  // a fold that is closed
      const scrolls = (way) => ['auto', 'scroll'].includes(way)
      const past = [
        box.left < frame.left - 1 && !(scrolls(style.overflowX) && node.scrollLeft),
        box.right > frame.right + 1 && !scrolls(style.overflowX),
        box.top < frame.top - 2 && !(scrolls(style.overflowY) && node.scrollTop),
        box.bottom > frame.bottom + 2 && !scrolls(style.overflowY),
      ]
      if (past.includes(true)) return cut.push(text.data.trim())
      if (scrolls(style.overflowX) || scrolls(style.overflowY)) return
    }
  }
  const walk = (root) => {
    for (const node of root.childNodes) {
      if (node instanceof Text && node.data.trim() && seen(node.parentElement ?? root.host)) look(node)
      if (node.shadowRoot) walk(node.shadowRoot)
      if (!['STYLE', 'SCRIPT'].includes(node.nodeName)) walk(node)
    }
  }
  walk(document.body)
  return cut
}"""


def ours(page, **options):
    """What axe finds serious or critical and is not the libraries'."""
    found = []
    for rule in Axe().run(page, options={"resultTypes": ["violations"], **options}).response["violations"]:
        if rule["impact"] in ("serious", "critical"):
            found += [(rule["id"], node["html"]) for node in rule["nodes"]]
    return [(name, html) for name, html in found if not any(n == name and p in html for n, p in LIBRARIES)]


def fits(page):
    """Whether nothing is wider than the window; then every text that is cut."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1")
    return page.evaluate(CUT)


FAULTS = """
<div style="position: absolute; top: 90px; width: 60px; overflow: hidden; white-space: nowrap; color: #aaa">
  as pale as cut<button></button>
</div>
"""


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_page_is_read_aloud_and_holds_on_every_screen(visit, name):
    page = visit(name)
    page.locator(DRAWN[name]).wait_for()
    page.wait_for_timeout(500)
    assert ours(page) == []
    for width, height in WIDTHS.values():
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(600)
        assert fits(page) == [], f"at {width} x {height}"
    page.get_by_label("theme").first.click()
    page.mouse.move(5, 600)
    page.wait_for_timeout(800)
    assert ours(page, runOnly=["color-contrast"]) == [], "in the dark"


def test_a_new_fault_would_be_found(visit):
    page = visit("trust")
    page.locator(DRAWN["trust"]).wait_for()
    page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", FAULTS)
    assert {rule for rule, _ in ours(page)} == {"color-contrast", "button-name"}
    assert fits(page) == ["as pale as cut"]
