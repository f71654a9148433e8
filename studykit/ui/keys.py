"""Next and previous case, maps on and off, zoom reset: by key, or by the button that says the key."""

from collections.abc import Callable

import panel as pn
import param

# Listens on the window, before the page and JupyterLab: what is used here does not reach them.
ESM = """
const TYPED = ['textbox', 'searchbox', 'combobox', 'spinbutton', 'listbox', 'menu', 'dialog']
const MOVED = ['slider', 'radiogroup', 'tablist', 'menubar', 'toolbar']
const PRESSED = ['button', 'checkbox', 'radio', 'range', 'submit', 'reset', 'file', 'color', 'image']

// Whether what has the focus wants this key for itself.
const wanted = (event) => event.composedPath().some((node) => {
  if (!node.localName) return false  // a shadow root, the document, the window
  const moves = event.key.startsWith('Arrow'), role = node.getAttribute('role')
  if (node.isContentEditable || ['select', 'textarea', 'dialog'].includes(node.localName)) return true
  if (node.localName == 'input' && !PRESSED.includes(node.type)) return true
  if (node.localName == 'input' && ['range', 'radio'].includes(node.type) && moves) return true
  return TYPED.includes(role) || (moves && MOVED.includes(role))
})

// The outermost element of this view; others on a notebook's page are not ours.
const home = (node) => {
  while (node.getRootNode() instanceof ShadowRoot) node = node.getRootNode().host
  return node
}

export function render({model, view}) {
  const made = (tag, told = {}) => Object.assign(document.createElement(tag), told)
  const click = (textContent, onclick) => made('button', {type: 'button', textContent, onclick})
  const root = made('div', {className: 'keys'}), said = made('span', {className: 'said'})
  root.setAttribute('role', 'group')
  root.setAttribute('aria-label', 'Go on, maps and zoom')
  said.setAttribute('role', 'status')

  const figures = () => (view.model.document?.roots() ?? []).flatMap((one) => [...one.references()])
    .filter((one) => Array.isArray(one.renderers) && one.reset)
  const named = (figure, ...names) => figure.renderers.filter((one) => names.includes(one.name))

  let asked = 0
  const go = (where) => (event) => {
    if (event.repeat && model.answered < asked) return  // a key held down waits for the case it asked for
    asked = Math.max(asked, model.answered) + 1
    model.send_msg(where)
  }
  const lay = () => {
    for (const figure of figures()) {
      for (const heat of named(figure, 'heat')) heat.visible = model.overlay
    }
    toggle.setAttribute('aria-pressed', String(model.overlay))
  }
  const overlay = () => {
    model.overlay = !model.overlay
    said.textContent = model.overlay ? 'maps shown' : 'maps hidden'
  }
  const reset = () => {
    for (const figure of figures()) if (named(figure, 'heat', 'picture').length) figure.reset.emit()
    said.textContent = 'zoom reset'
  }
  const help = () => dialog.open ? dialog.close() : dialog.showModal()

  const list = [
    ['Previous (←)', 'previous case', ['ArrowLeft', 'k'], go('previous'), model.steps],
    ['Next (→)', 'next case', ['ArrowRight', 'j'], go('next'), model.steps],
    ['Maps (o)', 'maps over the pictures on and off', ['o'], overlay, true],
    ['Reset zoom (r)', 'the whole pictures again', ['r', '0'], reset, true],
    ['Keys (?)', 'this list of keys', ['?'], help, true],
  ].filter((one) => one[4])
  const shown = {ArrowLeft: '←', ArrowRight: '→'}
  const buttons = list.map(([label, told, keys, act]) => {
    const names = keys.map((key) => shown[key] ?? key).join(' or ')
    const button = click(label, act)
    button.title = `${told}: ${names}`
    button.setAttribute('aria-keyshortcuts', keys.join(' '))
    return button
  })
  const toggle = buttons[list.findIndex((one) => one[3] == overlay)]

  const dialog = made('dialog'), table = made('dl')
  dialog.setAttribute('aria-label', 'Keys')
  for (const [, told, keys] of list) {
    const names = made('dt')
    names.append(...keys.flatMap((key) => [made('kbd', {textContent: shown[key] ?? key}), ' ']))
    table.append(names, made('dd', {textContent: told}))
  }
  dialog.append(table, click('Close', () => dialog.close()))

  const pressed = (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return
    if ((event.shiftKey && event.key != '?') || wanted(event)) return
    if (!model.everywhere && !event.composedPath().includes(home(root))) return
    const key = event.key.length == 1 ? event.key.toLowerCase() : event.key
    const act = list.find((one) => one[2].includes(key))?.[3]
    if (!act) return
    event.preventDefault()
    event.stopPropagation()
    act(event)
  }

  const listening = (window.studykitKeys ??= new Map())  // one a page; one a view in a notebook
  const place = model.everywhere ? 'page' : view.model.id
  listening.get(place)?.()
  const followed = view.model.document
  const again = () => { if (!model.overlay) lay() }  // frames that came since
  const stop = () => {
    window.removeEventListener('keydown', pressed, true)
    followed?.remove_on_change(again)
    if (listening.get(place) == stop) listening.delete(place)
  }
  listening.set(place, stop)
  window.addEventListener('keydown', pressed, true)
  followed?.on_change(again)
  model.on('overlay', lay)
  model.on('remove', stop)
  lay()
  root.append(...buttons, said, dialog)
  return root
}
"""


class Keys(pn.custom.JSComponent):
    """Buttons with labels and tooltips, and the same by key, for the frames of the page it stands on.

    A page has one. In a notebook its keys work while the focus is within the view it belongs to. Maps are
    renderers named "heat", zoomed are figures with a "heat" or a "picture": both happen in the browser.
    on_next, on_previous: called without arguments; both or none.
    """

    overlay = param.Boolean(default=True, doc="whether maps lie over the pictures")
    answered = param.Integer(default=0, doc="how many steps were gone")
    steps = param.Boolean(doc="whether there is a next case")
    everywhere = param.Boolean(doc="whether keys work wherever the focus is: on a page that is all ours")

    _esm = ESM
    _stylesheets = [
        """
        .keys { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; font: inherit; color: inherit }
        button {
          font: inherit; color: inherit; background: transparent; border: 1px solid #80808080;
          border-radius: 4px; padding: 4px 10px; cursor: pointer
        }
        button:hover { background: #80808026 }
        button:focus-visible { outline: 2px solid currentColor; outline-offset: 1px }
        button[aria-pressed=true] { background: #80808040 }
        .said { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
        dialog { border: 1px solid #80808080; border-radius: 6px; color: CanvasText; background: Canvas }
        dl { display: grid; grid-template-columns: max-content auto; gap: 8px 16px; margin: 0 0 12px }
        dd { margin: 0 }
        kbd { border: 1px solid #80808080; border-radius: 3px; padding: 0 6px }
        """
    ]

    def __init__(
        self,
        on_next: Callable[[], object] | None = None,
        on_previous: Callable[[], object] | None = None,
        **params,
    ):
        self._asked = {"next": on_next, "previous": on_previous}
        params = {"everywhere": pn.state.location is not None, "margin": (5, 10), **params}
        super().__init__(steps=on_next is not None, **params)

    def _handle_msg(self, where: object) -> None:
        """A step that the browser asks for."""
        act = self._asked.get(where) if isinstance(where, str) else None
        try:
            if act is not None:
                act()
        finally:
            self.answered += 1
