// What stands on the screen as plain SVG shapes: text, boxes and drawings where the page has laid them out.
//
// Bokeh's figures export themselves as vectors. No foreignObject: such a picture opens in every drawing program,
// and a canvas may read it.

const SVG = "http://www.w3.org/2000/svg"
const CONTROLS = [
  "fieldset", "script", "style", ".bk-Toolbar", ".bk-Tooltip", ".MuiSlider-root", ".MuiButton-root",
  ".MuiIconButton-root", ".MuiSelect-icon", ".studykit-choice",
].join(", ")
const DRAWN = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linecap",
  "opacity", "font-family", "font-size", "font-weight", "text-anchor", "dominant-baseline",
]
const MARGIN = 12
const brush = document.createElement("canvas").getContext("2d", {willReadFrequently: true})

function make(name, attributes, into) {
  const made = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  into?.append(made)
  return made
}

function draw(node, into, page, clip) {
  if (node.nodeType == Node.TEXT_NODE) return wrote(node, into, page, clip)
  if (node.nodeType != Node.ELEMENT_NODE || node.matches(CONTROLS)) return
  const look = getComputedStyle(node)
  if (look.display == "none" || look.visibility == "hidden" || look.opacity == "0") return
  const box = placed(node.getBoundingClientRect(), page)
  if (look.opacity != "1") into = make("g", {opacity: look.opacity}, into)
  const figure = page.figures.get(node)
  if (figure) return figured(figure, box, into, page, clip)
  const arrow = look.display != "inline" && !node.clientWidth && !node.clientHeight // of a border's corner
  if (node.tagName != "svg" && !arrow) boxed(...upright(node, box, look, into), page, clip)
  if (look.overflow != "visible" && look.display != "contents" && look.display != "inline") {
    clip = common(clip, box)
    if (clip.right - clip.left < 2 || clip.bottom - clip.top < 2) return
    if (node.scrollWidth > node.clientWidth + 1 || node.scrollHeight > node.clientHeight + 1) {
      const id = `clip${page.clips++}`
      make("rect", frame(box), make("clipPath", {id}, page.svg))
      into = make("g", {"clip-path": `url(#${id})`}, into)
    }
  }
  if (node.tagName == "svg") return drawn(node, box, into, page, clip)
  if (node.tagName == "IMG" || node.tagName == "CANVAS") return photographed(node, box, into, page, clip)
  if (node.tagName == "INPUT" || node.tagName == "TEXTAREA") return typed(node, box, look, into, page, clip)
  if (look.display == "list-item" && look.listStyleType != "none") marked(node, box, look, into)
  const children = node.tagName == "SLOT" ? node.assignedNodes({flatten: true}) : (node.shadowRoot ?? node).childNodes
  for (const child of children.length ? children : node.childNodes) draw(child, into, page, clip)
}

const placed = ({left, top, right, bottom}, page) =>
  ({left: left - page.left, top: top - page.top, right: right - page.left, bottom: bottom - page.top})
const frame = ({left, top, right, bottom}) => ({x: left, y: top, width: right - left, height: bottom - top})
const common = (a, b) => ({
  left: Math.max(a.left, b.left), top: Math.max(a.top, b.top),
  right: Math.min(a.right, b.right), bottom: Math.min(a.bottom, b.bottom),
})

/** Whether a box is seen; what is seen makes the picture large enough for it. */
function seen(box, page, clip) {
  const shown = common(box, clip)
  if (shown.right <= shown.left || shown.bottom <= shown.top) return false
  page.first = Math.min(page.first, shown.top)
  page.right = Math.max(page.right, shown.right)
  page.bottom = Math.max(page.bottom, shown.bottom)
  return true
}

/** A colour as drawing programs know it, and how strong it is. */
function color(css) {
  brush.clearRect(0, 0, 1, 1)
  brush.fillStyle = css
  brush.fillRect(0, 0, 1, 1)
  const [red, green, blue, strength] = brush.getImageData(0, 0, 1, 1).data
  return {paint: `rgb(${red},${green},${blue})`, strength: strength / 255}
}

/** A box as it was before it was turned, and the group that turns it. */
function upright(node, box, look, into) {
  const [a, b] = look.transform.startsWith("matrix(") ? look.transform.slice(7).split(",").map(Number) : [1, 0]
  if (Math.abs(b) < 0.01) return [box, look, into]
  const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2]
  const [across, down] = [node.offsetWidth / 2, node.offsetHeight / 2]
  const turned = make("g", {transform: `rotate(${Math.atan2(b, a) * 180 / Math.PI} ${x} ${y})`}, into)
  return [{left: x - across, top: y - down, right: x + across, bottom: y + down}, look, turned]
}

function boxed(box, look, into, page, clip) {
  const behind = color(look.backgroundColor), sides = ["Top", "Right", "Bottom", "Left"]
  const lines = sides.map((side) => ({
    width: look[`border${side}Style`] == "none" ? 0 : parseFloat(look[`border${side}Width`]),
    style: look[`border${side}Style`], ...color(look[`border${side}Color`]),
  }))
  const round = parseFloat(look.borderRadius), side = Math.min(box.right - box.left, box.bottom - box.top)
  const rx = Math.min(side / 2, look.borderRadius.includes("%") ? side * round / 100 : round)
  if (behind.strength > 0 && seen(box, page, clip))
    make("rect", {...frame(box), rx, fill: behind.paint, "fill-opacity": behind.strength}, into)
  const ends = [["left", "top", "right", "top"], ["right", "top", "right", "bottom"],
    ["left", "bottom", "right", "bottom"], ["left", "top", "left", "bottom"]]
  const line = ({width, style, paint, strength}) => ({
    stroke: paint, "stroke-opacity": strength, "stroke-width": width,
    ...(style == "dashed" || style == "dotted" ? {"stroke-dasharray": `${3 * width} ${2 * width}`} : {}),
  })
  if (rx > 0 && lines.every((side) => side.width > 0 && side.strength > 0)) {
    if (seen(box, page, clip)) make("rect", {...frame(box), rx, fill: "none", ...line(lines[0])}, into)
    return
  }
  lines.forEach((side, at) => {
    if (!(side.width > 0 && side.strength > 0)) return
    const [x1, y1, x2, y2] = ends[at].map((end) => box[end])
    const around = {left: x1, top: y1, right: Math.max(x2, x1 + 1), bottom: Math.max(y2, y1 + 1)}
    if (seen(around, page, clip)) make("line", {x1, y1, x2, y2, ...line(side)}, into)
  })
}

function figured(view, box, into, page, clip) {
  if (!seen(box, page, clip)) return
  const svg = vectors(view)
  for (const image of svg.querySelectorAll("image")) image.setAttribute("style", "image-rendering:pixelated")
  for (const twice of svg.querySelectorAll('text[fill="none"][stroke-opacity="0"]')) twice.remove()
  for (const text of svg.querySelectorAll("text")) { // as wide as in the page's own font
    brush.font = ["style", "weight", "size", "family"].map((name) => text.getAttribute(`font-${name}`)).join(" ")
    const textLength = brush.measureText(text.textContent).width
    if (textLength > 0) text.setAttribute("textLength", textLength)
    text.setAttribute("lengthAdjust", "spacingAndGlyphs")
  }
  Object.entries(frame(box)).forEach(([key, value]) => svg.setAttribute(key, value))
  into.append(svg)
}

/** A figure as Bokeh draws it into an SVG; what WebGL would paint as pixels is painted as lines, too. */
function vectors(view) {
  const glyphs = [...view.renderer_views.values()].flatMap((one) => one.children_views?.() ?? [])
  const fast = glyphs.filter((glyph) => glyph?.glglyph).map((glyph) => [glyph, glyph.glglyph])
  for (const [glyph] of fast) glyph.glglyph = null
  try {
    return view.export("svg").ctx.get_svg()
  } finally {
    for (const [glyph, own] of fast) glyph.glglyph = own
  }
}

/** A drawing that stands in the page, with the looks that the page's styles give it. */
function drawn(node, box, into, page, clip) {
  if (!seen(box, page, clip)) return
  const copy = node.cloneNode(true)
  const owns = [node, ...node.querySelectorAll("*")], twins = [copy, ...copy.querySelectorAll("*")]
  for (const [at, twin] of twins.entries()) {
    const look = getComputedStyle(owns[at])
    for (const {name, value} of [...twin.attributes])
      if (name.startsWith("on") || name == "class" || name == "style" || (/href$/.test(name) && !value.startsWith("#")))
        twin.removeAttribute(name)
    for (const name of DRAWN) if (look.getPropertyValue(name)) twin.setAttribute(name, look.getPropertyValue(name))
  }
  for (const foreign of copy.querySelectorAll("script, foreignObject, style")) foreign.remove()
  Object.entries(frame(box)).forEach(([key, value]) => copy.setAttribute(key, value))
  into.append(copy)
}

function photographed(node, box, into, page, clip) {
  const [width, height] = [node.naturalWidth ?? node.width, node.naturalHeight ?? node.height]
  if (!width || !height || !seen(box, page, clip)) return
  const canvas = Object.assign(document.createElement("canvas"), {width, height})
  canvas.getContext("2d").drawImage(node, 0, 0)
  const smooth = getComputedStyle(node).imageRendering
  make("image", {
    ...frame(box), href: canvas.toDataURL(), preserveAspectRatio: "none", style: `image-rendering:${smooth}`,
  }, into)
}

function typed(node, box, look, into, page, clip) {
  if (["checkbox", "radio", "hidden", "button"].includes(node.type) || !node.value || !seen(box, page, clip)) return
  const left = box.left + parseFloat(look.paddingLeft), middle = (box.top + box.bottom) / 2
  make("text", {x: left, y: middle, "dominant-baseline": "central", ...lettered(look)}, into).textContent = node.value
}

function marked(node, box, look, into) {
  const size = parseFloat(look.fontSize), {paint} = color(look.color)
  if (look.listStyleType == "decimal") {
    const number = make("text", {x: box.left - 1.6 * size, y: box.top + 1.1 * size, ...lettered(look)}, into)
    number.textContent = `${[...node.parentNode.children].indexOf(node) + 1}.`
  } else make("circle", {cx: box.left - 0.75 * size, cy: box.top + 0.75 * size, r: 0.17 * size, fill: paint}, into)
}

function lettered(look) {
  const {paint, strength} = color(look.color)
  return {
    "font-family": look.fontFamily, "font-size": look.fontSize, "font-weight": look.fontWeight,
    "font-style": look.fontStyle, "text-decoration": look.textDecorationLine, fill: paint, "fill-opacity": strength,
  }
}

/** A text, line by line as the page has broken it. */
function wrote(node, into, page, clip) {
  const look = node.textContent.trim() ? getComputedStyle(node.parentElement ?? node.parentNode.host) : null
  if (!look || /icons|symbols/i.test(look.fontFamily)) return // an icon is written as a word in its own font
  brush.font = `${look.fontStyle} ${look.fontWeight} ${look.fontSize} ${look.fontFamily}`
  const {fontBoundingBoxAscent: up, fontBoundingBoxDescent: down} = brush.measureText("x"), style = lettered(look)
  const size = parseFloat(look.fontSize)
  for (const {text, box} of lines_of(node)) {
    const at = placed(box, page)
    if (!text || !seen(at, page, clip)) continue
    const cased = look.textTransform == "uppercase" ? text.toUpperCase() : text
    const scale = (at.bottom - at.top) / (up + down), y = at.top + up * scale // labels may be shrunk
    const fitted = text.length > 1 ? {textLength: at.right - at.left, lengthAdjust: "spacingAndGlyphs"} : {}
    make("text", {x: at.left, y, ...fitted, ...style, "font-size": `${size * scale}px`}, into).textContent = cased
  }
}

function lines_of(node) {
  const range = document.createRange(), whole = node.textContent, lines = []
  range.setStart(node, whole.search(/\S/))
  range.setEnd(node, whole.trimEnd().length)
  const boxes = [...range.getClientRects()].filter((box) => box.width > 0)
  if (boxes.length == 1) return [{text: shortened(whole), box: boxes[0]}]
  for (let at = 0; at < whole.length; at++) {
    range.setStart(node, at)
    range.setEnd(node, at + 1)
    const box = range.getClientRects()[0], last = lines.at(-1)
    if (!box || box.width == 0) continue
    if (last && Math.abs(box.top - last.box.top) < 2) {
      last.text += whole[at]
      if (whole[at].trim()) last.box.right = box.right
    } else if (whole[at].trim()) {
      lines.push({text: whole[at], box: {left: box.left, top: box.top, right: box.right, bottom: box.bottom}})
    }
  }
  return lines.map(({text, box}) => ({text: shortened(text), box}))
}

const shortened = (text) => text.replace(/\s+/g, " ").trim()
