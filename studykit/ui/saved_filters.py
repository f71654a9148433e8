"""A visitor's own filters, kept in this browser alone: named, found again the next day, put away."""

import panel as pn
import param

MOST = 50

ESM = """
export function render({model}) {
  const made = (tag, told = {}) => Object.assign(document.createElement(tag), told)
  const root = made('div', {className: 'saved'})
  const list = made('ul'), note = made('div', {className: 'note'})
  note.setAttribute('role', 'status')
  list.setAttribute('aria-label', 'Saved filters')
  const name = made('input', {type: 'text', maxLength: 60, placeholder: 'a name for this filter'})
  name.setAttribute('aria-label', 'Name of the filter')
  const save = made('button', {type: 'button', textContent: 'Save this filter'})
  const row = made('div', {className: 'row'})
  row.append(name, save)
  const forbidden = 'This browser keeps nothing for pages. Copy the address instead: it carries the filter.'

  const read = () => {  // what stands there may be anybody's
    const kept = JSON.parse(localStorage.getItem(model.place) ?? '[]')
    const whole = (one) => one && typeof one.name == 'string' && one.asked && typeof one.asked == 'object'
    return Array.isArray(kept) ? kept.filter(whole).slice(0, model.most) : []
  }
  const write = (kept) => localStorage.setItem(model.place, JSON.stringify(kept))
  let keep = () => {}
  const say = (told) => { note.textContent = told }
  const tried = (act) => {
    try { act() } catch (why) {
      if (why instanceof SyntaxError) { try { localStorage.removeItem(model.place) } catch {} }
      list.replaceChildren(); row.hidden = true; say(forbidden)
    }
  }
  const show = () => list.replaceChildren(...read().map((one) => {
    const item = made('li')
    const open = made('button', {type: 'button', textContent: one.name})
    const away = made('button', {type: 'button', textContent: '✕', title: 'Delete'})
    away.setAttribute('aria-label', `Delete ${one.name}`)
    open.onclick = () => { say(''); model.send_msg(one.asked) }
    away.onclick = () => tried(() => {
      write(read().filter((other) => other.name != one.name)); show(); say(`'${one.name}' is deleted.`)
    })
    item.append(open, away)
    return item
  }))
  save.onclick = () => tried(() => {
    const called = name.value.trim()
    if (!called) return say('Give it a name first.')
    const others = read().filter((other) => other.name != called)
    if (others.length >= model.most) return say(`At most ${model.most} are kept; delete one first.`)
    keep = (asked) => tried(() => {
      write([...others, {name: called, asked}])
      name.value = ''; show(); say(`'${called}' is saved in this browser.`)
    })
    model.send_msg('present')
  })
  name.onkeydown = (event) => { if (event.key == 'Enter') save.click() }
  model.on('msg:custom', (told) => told.present ? keep(told.present) : say(told.note))
  root.append(list, row, note)
  tried(show)
  return root
}
"""


class SavedFilters(pn.custom.JSComponent):
    """Belongs to a `CaseFilter`. What is saved stays in the browser's localStorage, by the runs' folder."""

    place = param.String(doc="the key in the browser's storage")
    most = param.Integer(default=MOST)

    _esm = ESM
    _stylesheets = [
        """
        .saved { font: inherit; color: inherit; min-width: 260px }
        ul { list-style: none; margin: 0; padding: 0; max-height: 150px; overflow-y: auto }
        li, .row { display: flex; gap: 6px; margin: 4px 0 }
        .row[hidden] { display: none }
        button, input {
          font: inherit; color: inherit; background: transparent; border: 1px solid #80808080;
          border-radius: 4px; padding: 4px 8px; overflow-wrap: anywhere; text-align: left
        }
        button { cursor: pointer }
        li button:first-child, input { flex: 1 }
        button:focus-visible, input:focus-visible { outline: 2px solid currentColor }
        .note { min-height: 1.3em; opacity: 0.8 }
        """
    ]

    def __init__(self, chosen, **params):
        self._chosen = chosen
        super().__init__(place=f"studykit filters of {chosen.session.folder.name}", **params)

    def _handle_msg(self, asked: object) -> None:
        """Tell the present filter; or open a saved one, and say what of it this model does not offer."""
        if asked == "present":
            self._send_msg({"present": self._chosen.asked})
            return
        lacking = self._chosen.ask(asked if isinstance(asked, dict) else {})
        self._send_msg(
            {"note": f"Not here, and left out: {', '.join(map(str, lacking))}." if lacking else ""}
        )
