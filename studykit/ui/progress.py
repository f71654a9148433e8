"""How far long work is: a bar that is also read aloud, and a button that stops it."""

from collections.abc import Callable

import panel as pn
import param

ESM = """
export function render({model}) {
  const made = (tag, told = {}) => Object.assign(document.createElement(tag), told)
  const root = made('div'), name = made('span', {className: 'name'}), said = made('span')
  const bar = made('progress'), count = made('span'), stop = made('button', {type: 'button'})
  stop.textContent = 'Cancel'
  stop.onclick = () => {
    stop.disabled = true
    model.cancelled = true
  }
  said.setAttribute('role', 'status')  // read aloud whenever it changes
  const draw = () => {
    name.textContent = model.label
    bar.setAttribute('aria-label', model.label)
    stop.setAttribute('aria-label', `Cancel ${model.label}`)
    bar.hidden = count.hidden = stop.hidden = model.over
    if (model.total) {
      bar.max = model.total
      bar.value = model.done
    }
    count.textContent = model.total ? `${model.done} of ${model.total} cases` : ''
    if (said.textContent != model.said) said.textContent = model.said
  }
  for (const name of ['label', 'done', 'total', 'said', 'over']) model.on(name, draw)
  draw()
  root.append(name, bar, count, said, stop)
  return root
}
"""
LOOK = """
div { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 12px; font: inherit; color: inherit }
.name { font-weight: 500 }
progress { width: 180px; height: 8px; appearance: none; border: 0; border-radius: 4px; background: #80808040 }
progress::-webkit-progress-bar { background: #80808040; border-radius: 4px }
progress::-webkit-progress-value { background: #2b6cd4; border-radius: 4px }
progress::-moz-progress-bar { background: #2b6cd4; border-radius: 4px }
[hidden] { display: none }
button { font: inherit; color: inherit; background: transparent; border: 1px solid #80808080;
  border-radius: 4px; padding: 4px 10px; cursor: pointer }
button:hover { background: #80808026 }
button:focus-visible { outline: 2px solid currentColor; outline-offset: 1px }
button:disabled { opacity: 0.5; cursor: default }
"""


class Progress(pn.custom.JSComponent):
    """A line: what it is, the bar, what is said about it, and Cancel. on_cancel: called without arguments."""

    label = param.String(doc="what is done")
    done = param.Integer(doc="cases")
    total = param.Integer(doc="cases; 0 while it is not known")
    said = param.String(doc="a few words, read aloud")
    over = param.Boolean(doc="whether there is nothing more to wait for")
    cancelled = param.Boolean(doc="whether Cancel was pressed")

    _esm = ESM
    _stylesheets = [LOOK]

    def __init__(self, on_cancel: Callable[[], object], **params):
        super().__init__(**{"margin": (5, 10), "sizing_mode": "stretch_width", **params})
        self.param.watch(lambda event: on_cancel(), "cancelled")
