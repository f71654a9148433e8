"""How a person comes onto a page by keyboard, on a small screen, and by the browser's way back."""

import panel as pn


class Entrance(pn.custom.JSComponent):
    """A link that skips the page's head, seen where it has the focus.

    It also closes the sidebar where the screen is narrow, and opens what the address says when the reader
    goes back or forward in the browser.
    """

    _esm = """
    export function render({view, el}) {
      const skip = document.createElement("a")
      skip.href = "#"
      skip.textContent = "Skip to the page's content"
      skip.addEventListener("click", (event) => {
        event.preventDefault()
        for (let at = el; at; at = at.getRootNode().host) {
          const main = at.getRootNode().querySelector("main")
          if (main) {
            main.tabIndex = -1
            main.focus()
            break
          }
        }
      })

      let page = view
      while (page && page.model.data?.sidebar_open === undefined) {
        page = page.parent
      }
      if (page && window.matchMedia("(max-width: 1100px)").matches) {
        page.model.data.sidebar_open = false
      }

      const roots = view.model.document.roots ? view.model.document.roots() : []
      const place = roots.find((root) => root.type.endsWith("Location"))
      window.addEventListener("popstate", () => {
        if (!place || place.search === window.location.search) {
          return
        }
        const push = window.history.pushState
        window.history.pushState = () => {}  // the browser is there already
        place.search = window.location.search
        window.history.pushState = push
      })
      return skip
    }
    """
    _stylesheets = [
        """
        :host { position: absolute; left: 0; top: 0; z-index: 10; width: 0; height: 0; overflow: visible; }
        a { position: absolute; clip-path: inset(50%); white-space: nowrap; }
        a:focus { clip-path: none; padding: 8px 14px; background: #fff; color: #003c5f; }
        """
    ]
