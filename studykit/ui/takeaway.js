// PNG, SVG and CSV of a view, made in the browser; `shapes.js`, which stands before this, draws what is seen.

export function render({model, el}) {
  const group = document.createElement("div"), said = document.createElement("span")
  group.setAttribute("role", "group")
  said.setAttribute("role", "status")
  const label = () => group.setAttribute("aria-label", `Take away: ${model.title}`)
  const tell = (why) => { said.textContent = why ?? "" }
  const save = (kind, blob) => {
    const link = document.createElement("a")
    link.href = URL.createObjectURL(blob)
    link.download = `${model.file}.${kind}`
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
  }
  const made = {
    PNG: async () => save("png", await painted(pictured(view_of(el), model))),
    SVG: async () => save("svg", new Blob([written(pictured(view_of(el), model))], {type: "image/svg+xml"})),
    CSV: async () => model.send_msg("csv"),
  }
  for (const kind of model.tabled ? ["PNG", "SVG", "CSV"] : ["PNG", "SVG"]) {
    const button = document.createElement("button")
    button.type = "button"
    button.textContent = kind
    const named = () => button.setAttribute("aria-label", `${kind} of ${model.title}`)
    button.onclick = () => { tell(); made[kind]().catch((why) => tell(`This could not be made: ${why.message}`)) }
    named()
    model.on("title", named)
    group.append(button)
  }
  label()
  model.on("title", label)
  model.on("msg:custom", (message) => {
    tell(message.why)
    if (message.csv != null) save("csv", new Blob(["\ufeff", message.csv], {type: "text/csv"}))
  })
  group.append(said)
  return group
}

/** The box that holds both the buttons and the view. */
function view_of(el) {
  let node = el
  while (!node.classList?.contains("studykit-taken")) node = node.parentNode ?? node.host
  return node
}

/** An <svg> of what stands in `target`, cut to what is drawn, with a caption below. */
function pictured(target, {title, told, marks}) {
  const svg = make("svg", {xmlns: SVG, version: "1.1"}), box = target.getBoundingClientRect()
  make("title", {}, svg).textContent = title
  const ground = make("rect", {x: 0, y: 0}, svg), body = make("g", {}, svg)
  const figures = [...(window.Bokeh?.index?.query?.((view) => view.model.type == "Figure") ?? [])]
  const page = {
    left: box.left - MARGIN, top: box.top - MARGIN, first: Infinity, right: 0, bottom: 0, clips: 0, svg,
    figures: new Map(figures.map((view) => [view.el, view])),
  }
  draw(target, body, page, {left: -Infinity, top: -Infinity, right: Infinity, bottom: Infinity})
  if (page.bottom == 0) throw new Error("nothing of it is on the screen.")
  const behind = ground_of(target), up = page.first - MARGIN // where the buttons stand, nothing is drawn
  body.setAttribute("transform", `translate(0,${-up})`)
  const width = Math.ceil(Math.max(page.right + MARGIN, 460))
  const height = Math.ceil(captioned(svg, {title, told, marks}, page.bottom - up + MARGIN, width, behind))
  Object.entries({width, height}).forEach(([key, value]) => {
    svg.setAttribute(key, value)
    ground.setAttribute(key, value)
  })
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`)
  ground.setAttribute("fill", behind)
  return svg
}

/** The first colour behind the view, from inside out. */
function ground_of(node) {
  for (; node; node = node.parentNode ?? node.host) {
    if (node.nodeType != Node.ELEMENT_NODE) continue
    const {paint, strength} = color(getComputedStyle(node).backgroundColor)
    if (strength > 0.99) return paint
  }
  return "rgb(255,255,255)"
}

/** What the picture shows, below it: its marks, its name, and the rest; gives where it ends. */
function captioned(svg, {title, told, marks}, top, width, behind) {
  const light = behind.match(/\d+/g).reduce((sum, part) => sum + Number(part), 0) > 380
  const text = {fill: light ? "#222222" : "#eeeeee", "font-family": "Helvetica, Arial, sans-serif", "font-size": "12px"}
  const day = new Date(), two = (number) => String(number).padStart(2, "0")
  const date = `${day.getFullYear()}-${two(day.getMonth() + 1)}-${two(day.getDate())}`
  make("line", {x1: MARGIN, x2: width - MARGIN, y1: top, y2: top, stroke: "#808080", "stroke-opacity": 0.5}, svg)
  brush.font = "bold 12px Helvetica, Arial, sans-serif"
  let y = top + 20
  for (const mark of marks) {
    const wide = brush.measureText(mark).width + 16
    make("rect", {x: MARGIN, y: y - 14, width: wide, height: 19, rx: 9, fill: "#8a4b00"}, svg)
    make("text", {...text, x: MARGIN + 8, y, "font-weight": "bold", fill: "#ffffff"}, svg).textContent = mark
    y += 24
  }
  const lines = [...broken(title, width, "bold"), ...broken(`${told} · ${date}`, width, "normal")]
  for (const [line, weight] of lines) {
    make("text", {...text, x: MARGIN, y, "font-weight": weight}, svg).textContent = line
    y += 17
  }
  return y - 2
}

function broken(text, width, weight) {
  brush.font = `${weight} 12px Helvetica, Arial, sans-serif`
  const lines = [""]
  for (const word of text.split(/\s+/)) {
    const longer = `${lines.at(-1)} ${word}`.trim()
    if (lines.at(-1) && brush.measureText(longer).width > width - 2 * MARGIN) lines.push(word)
    else lines[lines.length - 1] = longer
  }
  return lines.map((line) => [line, weight])
}

/** The SVG as a file; what no XML may hold is left out. */
function written(svg) {
  const text = new XMLSerializer().serializeToString(svg).toWellFormed()
  return `<?xml version="1.0" encoding="UTF-8"?>\n${text.replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, "")}`
}

/** The SVG as pixels, two for each on the screen, as long as a canvas can hold them. */
async function painted(svg) {
  const [width, height] = ["width", "height"].map((name) => Number(svg.getAttribute(name)))
  const factor = Math.min(2, 16000 / Math.max(width, height))
  const image = new Image()
  image.src = URL.createObjectURL(new Blob([written(svg)], {type: "image/svg+xml"}))
  try {
    await image.decode()
    const canvas = document.createElement("canvas")
    Object.assign(canvas, {width: Math.round(width * factor), height: Math.round(height * factor)})
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height)
    return await new Promise((done, fail) =>
      canvas.toBlob((blob) => (blob ? done(blob) : fail(new Error("the picture is too large."))), "image/png"))
  } finally {
    URL.revokeObjectURL(image.src)
  }
}
