"use strict";
// The page's own program: charts and the episode player. Text from the payload reaches the page through `esc` or textContent.
const Inscape = (() => {
  // ------------------------------------------------------------------------------------------------ pure functions

  const esc = (value) =>
    String(value).replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[c]);

  /** A number as `inscape.experiments.numbers` writes it: whole ones in full, others to four digits; – for what is missing. */
  function format(value, digits = 4, decimals = null) {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
    const size = Math.abs(value);
    if (size >= 1e15 || (decimals === null && size > 0 && size < 1e-4)) return value.toExponential(1).replace("+", "").replace(/-/g, "−");
    let text = value.toFixed(decimals ?? (Number.isInteger(value) ? 0 : Math.max(0, Math.min(20, digits - 1 - Math.floor(Math.log10(size))))));
    if (decimals === null && text.includes(".")) text = text.replace(/\.?0+$/, "");
    if (!/[1-9]/.test(text)) text = text.replace("-", "");
    const [whole, part] = text.split(".");
    return (whole.replace(/\B(?=(\d{3})+$)/g, "\u202f") + (part === undefined ? "" : `.${part}`)).replace("-", "−");
  }

  /** Texts of an axis's ticks, all to the decimals that tell neighbours apart. */
  function tickLabels(values) {
    const gaps = values.slice(1).map((v, i) => Math.abs(v - values[i])).filter((gap) => gap > 0);
    const least = gaps.length ? Math.min(...gaps) : Math.abs(values[0] ?? 0);
    let decimals = 0;
    while (decimals < 8 && values.some((v) => Math.abs(v * 10 ** decimals - Math.round(v * 10 ** decimals)) > least * 10 ** decimals * 1e-3)) decimals++;
    return values.map((v) => (decimals < 8 ? format(v, 4, decimals) : format(v)));
  }

  /** About `count` round numbers covering [low, high]. */
  function ticks(low, high, count = 5) {
    if (!(high > low)) return [low];
    const raw = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 2.5, 5, 10].find((m) => m * power >= raw * 0.999);
    const out = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) out.push(Number((i * step).toPrecision(12)));
    return out;
  }

  /** Where a logarithmic axis that reaches 0 bends: x is drawn at log(1 + x / bend). */
  const bent = (bend) => ({ on: (v) => Math.log1p(v / bend), off: (v) => bend * Math.expm1(v) });

  /** Round numbers on a logarithmic scale: 1, 2, 5 and their tens, or tens alone where that is crowded. */
  function logTicks(low, high, count = 6) {
    const out = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      for (const m of [1, 2, 5]) out.push(Number((m * 10 ** power).toPrecision(6)));
    const inside = out.filter((v) => v >= low * 0.999 && v <= high * 1.001);
    const tens = inside.filter((v) => /^10*$|^0\.0*1$/.test(String(v)));
    return inside.length > count && tens.length > 1 ? tens : inside;
  }

  /** Index of the entry of a sorted list that is nearest to x. */
  function nearest(sorted, x) {
    let low = 0, high = sorted.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (sorted[middle] <= x) low = middle; else high = middle;
    }
    return Math.abs(sorted[high] - x) < Math.abs(sorted[low] - x) ? high : low;
  }

  /** SVG of one packed shape `[style, numbers…]`; `styles[style]` is `[kind, fill, stroke, line width, extra]`. */
  function shapeSvg(shape, styles) {
    const [kind, fill, stroke, width, extra] = styles[shape[0]];
    const n = shape.slice(1);
    const paint = (name) => (name === null ? "none" : name[0] === "#" ? esc(name) : `var(--p-${esc(name)})`);
    const look = `fill="${paint(fill)}" stroke="${paint(stroke)}" stroke-width="${width}"`;
    if (kind === "image") return `<image x="${n[0]}" y="${n[1]}" width="${n[2]}" height="${n[3]}" href="${esc(n[4])}"/>`;
    if (kind === "rect") return `<rect x="${n[0]}" y="${n[1]}" width="${n[2]}" height="${n[3]}" rx="${extra}" ${look}/>`;
    if (kind === "circle") return `<circle cx="${n[0]}" cy="${n[1]}" r="${n[2]}" ${look}/>`;
    if (kind === "line") return `<line x1="${n[0]}" y1="${n[1]}" x2="${n[2]}" y2="${n[3]}" stroke-linecap="round" ${look}/>`;
    if (kind === "polygon") return `<polygon points="${n.join(" ")}" stroke-linejoin="round" ${look}/>`;
    // 0.73: capitals of common sans-serif fonts are that part of the font size
    return `<text x="${n[0]}" y="${n[1]}" dy=".36em" font-size="${(extra[0] / 0.73).toFixed(3)}" text-anchor="${extra[1]}" fill="${paint(fill)}">${esc(n[2])}</text>`;
  }
  const layerSvg = (shapes, styles) => shapes.map((shape) => shapeSvg(shape, styles)).join("");

  /** How solid each imagined layer is drawn: later steps fainter, layers that many futures share stronger. */
  function ghostOpacities(futures, first = 0.42, decay = 0.88) {
    const clear = new Map();
    for (const future of futures)
      future.forEach((layer, step) => clear.set(layer, (clear.get(layer) ?? 1) * (1 - first * decay ** step / Math.sqrt(futures.length))));
    return [...clear].map(([layer, rest]) => [layer, 1 - rest]);
  }

  /** Sum of the rewards received before frame t. */
  const returnBefore = (rewards, t) => rewards.slice(0, t).reduce((sum, reward) => sum + (reward ?? 0), 0);

  function parseHash(hash) {
    const out = {};
    for (const [key, value] of new URLSearchParams(hash.replace(/^#/, ""))) out[key] = value;
    const whole = (key, least) => (/^\d+$/.test(out[key] ?? "") && Number(out[key]) >= least ? Number(out[key]) : undefined);
    return {
      player: whole("player", 1), episode: whole("episode", 1), frame: whole("frame", 0), speed: Number(out.speed) || undefined,
      overlays: out.overlays === undefined ? undefined : out.overlays.split(",").filter(Boolean), play: out.play === "1", axis: out.axis,
    };
  }
  const formatHash = (s) => `#player=${s.player}&episode=${s.episode}&frame=${s.frame}&overlays=${s.overlays.join(",")}`;

  const color = (index) => (index < 8 ? `var(--c${index})` : "var(--soft)");
  const DASHES = ["", "8 4", "2 4", "10 4 2 4", "5 3", "1 3", "14 4", "6 3 2 3 2 3"];
  /** Dashes of a curve, so that lines upon each other and colours that look alike can be told apart. */
  const dashes = (index) => DASHES[index % DASHES.length];

  /** Colour index of each hypothesis: the first eight by how probable they ever get. */
  function colorOrder(rows, count) {
    const best = Array.from({ length: count }, (_, i) => Math.max(0, ...rows.map((row) => (row ? row[i] : 0))));
    if (count <= 8) return best.map((_, i) => i);
    const order = best.map((_, i) => i).sort((a, b) => best[b] - best[a] || a - b);
    return best.map((_, i) => order.indexOf(i));
  }

  /** Pixel geometry of a chart: domains, scales and ticks. `series`: `{x, y, low, high}` with nulls for gaps. */
  function layout(series, options) {
    const { width, height, right = 14, top = 10, bottom = 40 } = options;
    const xs = series.flatMap((s) => s.x), ys = series.flatMap((s) => [...s.y, ...(s.low ?? []), ...(s.high ?? [])]);
    const seen = [...ys, ...(options.references ?? []).map((r) => r[1])].filter((v) => v !== null && Number.isFinite(v));
    const extent = (values) => values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
    let [x0, x1] = options.xDomain ?? extent([0, options.xEnd ?? 0, ...xs.filter((v) => v !== null)]);
    let [y0, y1] = options.yDomain ?? extent([0, ...(options.yRange ?? []), ...seen]); // axes reach 0, so that heights compare
    if (!(x1 > x0)) [x0, x1] = [x0, x0 + 1];
    if (!(y1 > y0)) [y0, y1] = [y0 - 0.5, y0 + 0.5];
    if (!options.yDomain) [y0, y1] = [y0 < 0 ? y0 - (y1 - y0) * 0.04 : 0, y1 > 0 ? y1 + (y1 - y0) * 0.04 : 0];
    const bend = options.xLog ? Math.min(...xs.filter((v) => v > 0)) : 0;
    const log = bend > 0 && Number.isFinite(bend) && x0 === 0; // short and long learners in one picture
    const { on, off } = log ? bent(bend) : { on: (v) => v, off: (v) => v };
    const yTicks = ticks(y0, y1, Math.max(2, Math.floor(height / 55))), yLabels = tickLabels(yTicks);
    const left = options.left ?? Math.max(44, 16 + 7.2 * Math.max(...yLabels.map((text) => text.length)));
    const sx = (v) => left + ((on(v) - on(x0)) / (on(x1) - on(x0))) * (width - left - right);
    const sy = (v) => height - bottom - ((v - y0) / (y1 - y0)) * (height - top - bottom);
    const back = (pixel) => off(on(x0) + ((pixel - left) / (width - left - right)) * (on(x1) - on(x0)));
    const across = Math.max(3, Math.floor((width - left - right) / 100));
    const tens = log ? [0, ...logTicks(bend, x1, across)].filter((v, i, all) => v === 0 || sx(v) - sx(0) > 50 && (i === 1 || sx(v) - sx(all[i - 1]) > 50)) : [];
    const xTicks = log ? tens : ticks(x0, x1, across).filter((v) => !options.xWhole || Number.isInteger(v));
    return { left, right, top, bottom, sx, sy, back, x0, x1, y0, y1, xTicks, yTicks, yLabels, xLabels: log ? xTicks.map((v) => format(v)) : tickLabels(xTicks) };
  }

  function linePath(series, box) {
    let pen = false, path = "";
    series.x.forEach((x, i) => {
      const y = series.y[i];
      if (y === null || x === null) { pen = false; return; }
      path += `${pen ? "L" : "M"}${box.sx(x).toFixed(1)},${box.sy(y).toFixed(1)}`;
      pen = true;
    });
    return path;
  }

  function bandPath(series, box) {
    const rows = series.x.map((x, i) => [x, series.low?.[i], series.high?.[i]]).filter((r) => r[0] !== null && Number.isFinite(r[1] ?? NaN) && Number.isFinite(r[2] ?? NaN));
    if (rows.length < 2) return "";
    const at = (x, y) => `${box.sx(x).toFixed(1)},${box.sy(y).toFixed(1)}`;
    return "M" + rows.map((r) => at(r[0], r[2])).join("L") + "L" + rows.reverse().map((r) => at(r[0], r[1])).join("L") + "Z";
  }

  const pure = { esc, format, tickLabels, dashes, ticks, logTicks, nearest, shapeSvg, layerSvg, ghostOpacities, returnBefore, parseHash, formatHash, colorOrder, layout, linePath, bandPath };
  if (typeof document === "undefined") return pure;

  // --------------------------------------------------------------------------------------------------------- pieces

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value !== undefined) element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  }

  /** A line chart that redraws itself with its container. `options.onSeek(x)` makes it clickable; `head` is the playhead. */
  class Chart {
    constructor(element, options) {
      this.element = element;
      this.options = options;
      this.series = [];
      this.plot = make("div");
      this.tip = make("div", { class: "tip", hidden: "" });
      element.classList.add("chart");
      element.classList.toggle("seekable", Boolean(options.onSeek));
      element.append(this.plot, this.tip);
      element.addEventListener("pointermove", (event) => this.hover(event));
      element.addEventListener("pointerleave", () => this.leave());
      if (options.onSeek) {
        element.addEventListener("pointerdown", (event) => this.seek(event));
        element.addEventListener("pointermove", (event) => { if (event.buttons & 1) this.seek(event); });
      }
      new ResizeObserver(() => this.draw()).observe(element);
    }

    set(series, options = {}) {
      this.series = series;
      Object.assign(this.options, options);
      this.tip.hidden = true;
      this.draw();
    }

    draw() {
      const width = this.element.clientWidth;
      if (!width) return;
      const { height, xLabel = "", yLabel = "", references = [], bars = false } = this.options;
      const box = (this.box = layout(this.series, { ...this.options, width, height }));
      const right = width - box.right, floor = height - box.bottom;
      let svg = `<svg viewBox="0 0 ${width} ${height}" height="${height}" role="img" aria-label="${esc(yLabel)} against ${esc(xLabel)}">`;
      box.yTicks.forEach((y, i) => {
        svg += `<line class="grid" x1="${box.left}" x2="${right}" y1="${box.sy(y)}" y2="${box.sy(y)}"/><text x="${box.left - 8}" y="${box.sy(y) + 4}" text-anchor="end">${box.yLabels[i]}</text>`;
      });
      // the axes stand where the values are 0, or at the edge where 0 is not in view
      const zero = box.y0 <= 0 && box.y1 >= 0 ? box.sy(0) : floor;
      svg += `<line class="axis" x1="${box.left}" x2="${right}" y1="${zero}" y2="${zero}"/><line class="axis" x1="${box.left}" x2="${box.left}" y1="${box.top}" y2="${floor}"/>`;
      box.xTicks.forEach((x, i) => {
        const at = box.sx(x), wide = 3.6 * box.xLabels[i].length;
        const anchor = at + wide > width ? "end" : "middle";
        svg += `<line class="axis" x1="${at}" x2="${at}" y1="${floor}" y2="${floor + 4}"/><text x="${anchor === "end" ? width : at}" y="${floor + 18}" text-anchor="${anchor}">${box.xLabels[i]}</text>`;
      });
      svg += `<text x="${right}" y="${height - 2}" text-anchor="end">${esc(xLabel)}${this.options.xLog ? " (logarithmic)" : ""}</text>`;
      if (!bars) for (const s of this.series) svg += `<path class="band" d="${bandPath(s, box)}" fill="${s.color}"/>`;
      for (const [name, y] of references)
        svg += `<line class="reference" x1="${box.left}" x2="${right}" y1="${box.sy(y)}" y2="${box.sy(y)}"/>`;
      for (const s of this.series) svg += bars ? this.barsSvg(s, box, floor) : `<path class="line" d="${linePath(s, box)}" stroke="${s.color}" stroke-dasharray="${s.dashes ?? ""}"/>`;
      for (const s of this.series) if (!bars && s.x.length <= 40 && s.marked) svg += s.x.map((x, i) => x === null || s.y[i] === null ? "" : `<circle cx="${box.sx(x)}" cy="${box.sy(s.y[i])}" r="${s.x.length === 1 ? 4 : 2.5}" fill="${s.color}"/>`).join("");
      for (const [name, y] of references) if (name) svg += `<text class="named" x="${box.left + 6}" y="${box.sy(y) - 6}">${esc(name)} ${format(y)}</text>`;
      svg += `<g class="marks"></g><line class="head" y1="${box.top}" y2="${floor}" visibility="hidden"/></svg>`;
      this.plot.innerHTML = svg;
      this.moveHead(this.head);
    }

    barsSvg(series, box, floor) {
      const wide = Math.max(1, Math.min(16, (box.sx(1) - box.sx(0)) * 0.7));
      return series.x.map((x, i) => series.y[i] === null ? "" : `<rect x="${(box.sx(x) - wide / 2).toFixed(1)}" y="${box.sy(series.y[i]).toFixed(1)}" width="${wide.toFixed(1)}" height="${Math.max(1, floor - box.sy(series.y[i])).toFixed(1)}" rx="1.5" fill="${series.color}"/>`).join("");
    }

    moveHead(x) {
      this.head = x;
      const line = this.plot.querySelector(".head");
      if (!line || x === undefined || x === null) return;
      line.setAttribute("x1", this.box.sx(x));
      line.setAttribute("x2", this.box.sx(x));
      line.setAttribute("visibility", "visible");
    }

    pointer(event) {
      const frame = this.plot.getBoundingClientRect();
      return [event.clientX - frame.left, event.clientY - frame.top];
    }

    seek(event) {
      if (this.box) this.options.onSeek(this.box.back(this.pointer(event)[0]));
    }

    hover(event) {
      if (!this.box || !this.series.length) return;
      const [px, py] = this.pointer(event);
      const x = Math.max(this.box.x0, Math.min(this.box.x1, this.box.back(px)));
      const near = (s) => s.x.length && px > this.box.sx(s.x[0]) - 12 && px < this.box.sx(s.x.at(-1)) + 12;
      const found = this.series.filter(near).map((s) => [s, nearest(s.x, x)]).filter(([s, i]) => s.y[i] !== null);
      if (!found.length) return this.leave();
      const at = found.reduce((best, [s, i]) => (Math.abs(s.x[i] - x) < Math.abs(best - x) ? s.x[i] : best), Infinity);
      const rows = [...found].sort((a, b) => b[0].y[b[1]] - a[0].y[a[1]]).slice(0, 12);
      const span = (s, i) => (s.low && Number.isFinite(s.low[i] ?? NaN) ? ` <span>[${format(s.low[i])}, ${format(s.high[i])}]</span>` : "");
      this.tip.innerHTML = `<b>${esc(this.options.xLabel ?? "")} ${format(at, 4)}</b>` + rows.map(([s, i]) => `<div>${mark(s.color, s.dashes)}${esc(s.name)} <b>${format(s.y[i])}</b>${span(s, i)}</div>`).join("");
      this.tip.hidden = false;
      const room = this.element.clientWidth - this.tip.offsetWidth;
      this.tip.style.left = `${Math.max(0, Math.min(room, px + (px > this.element.clientWidth / 2 ? -this.tip.offsetWidth - 14 : 14)))}px`;
      this.tip.style.top = `${Math.max(0, py - this.tip.offsetHeight / 2)}px`;
      this.plot.querySelector(".marks").innerHTML =
        `<line class="rule" x1="${this.box.sx(at)}" x2="${this.box.sx(at)}" y1="${this.box.top}" y2="${this.options.height - this.box.bottom}"/>` +
        (this.options.bars ? "" : rows.map(([s, i]) => `<circle cx="${this.box.sx(s.x[i])}" cy="${this.box.sy(s.y[i])}" r="3.5" fill="${s.color}"/>`).join(""));
    }

    leave() {
      this.tip.hidden = true;
      const marks = this.plot.querySelector(".marks");
      if (marks) marks.innerHTML = "";
    }
  }

  /** A piece of a curve, for legends. */
  const mark = (hue, dash = "") => `<svg class="mark" viewBox="0 0 26 10" aria-hidden="true"><line x1="1" x2="25" y1="5" y2="5" stroke="${hue}" stroke-dasharray="${dash}"/></svg>`;

  /** Learning curves: legend that hides and shows, steps or seconds along x. */
  function curves(element, data, wanted) {
    const shown = data.curves.map(() => true);
    const timed = data.curves.every((c) => c.seconds);
    let axis = timed && wanted.axis === "seconds" ? "seconds" : "steps";
    const legend = make("div", { class: "legend" }), plot = make("div");
    element.append(legend, plot);
    const chart = new Chart(plot, { height: 320, yLabel: data.yLabel, references: data.references, yRange: data.yRange ?? [] });
    const refresh = () => {
      legend.querySelectorAll("[data-curve]").forEach((b) => b.setAttribute("aria-pressed", shown[b.dataset.curve]));
      legend.querySelectorAll("[data-axis]").forEach((b) => b.setAttribute("aria-pressed", b.dataset.axis === axis));
      const series = data.curves.map((c) => ({ name: c.name, color: color(c.color), dashes: dashes(c.color), marked: true, x: axis === "steps" ? c.steps : c.seconds, y: c.mean, low: c.low, high: c.high }));
      const lasts = series.map((s) => s.x.at(-1)).filter((v) => v > 0);
      const xLog = Math.max(...lasts) > 8 * Math.min(...lasts);
      chart.set(series.filter((_, i) => shown[i]), { xLabel: axis, xLog, xEnd: axis === "steps" ? data.xEnd : 0 });
    };
    data.curves.forEach((curve, i) => {
      const button = make("button", { type: "button", "data-curve": i, onclick: () => { shown[i] = !shown[i]; refresh(); } });
      button.innerHTML = mark(color(curve.color), dashes(curve.color)) + esc(curve.name);
      legend.append(button);
    });
    if (timed) {
      const choose = (name) => make("button", { type: "button", "data-axis": name, onclick: () => { axis = name; refresh(); } }, name);
      legend.append(make("span", { class: "switch", role: "group", "aria-label": "horizontal axis" }, choose("steps"), choose("seconds")));
    }
    refresh();    return { set: (fresh) => { data = fresh; Object.assign(chart.options, { references: data.references, yRange: data.yRange ?? [] }); refresh(); } };
  }

  /** Rows of labelled bars that are kept and moved, so that they glide as the agent moves. */
  class Bars {
    constructor(title, kind = "") {
      this.note = make("small");
      this.rows = make("div", { class: "rows" });
      this.element = make("div", { class: `panel ${kind}`, hidden: "" }, make("h3", {}, title, this.note), this.rows);
      this.key = null;
    }

    /** `entries`: `[label, fraction, value text, colour, taken]`; an empty list hides the panel's rows. */
    show(entries, note = "") {
      const key = JSON.stringify(entries.map((e) => e[0]));
      if (key !== this.key) {
        this.key = key;
        this.rows.replaceChildren(...entries.map((e) => make("div", { class: "row" }, make("span", { title: e[0] }, e[0]), make("div", { class: "track" }, make("div")), make("span"))));
      }
      this.note.textContent = note;
      entries.forEach(([, fraction, text, hue, taken], i) => {
        const row = this.rows.children[i], fill = row.children[1].firstChild;
        row.classList.toggle("taken", Boolean(taken));
        fill.style.width = `${(100 * Math.max(0, Math.min(1, fraction))).toFixed(2)}%`;
        fill.style.background = hue;
        row.children[2].textContent = text;
      });
    }
  }

  // --------------------------------------------------------------------------------------------------------- player

  // drawn, because fonts differ in which of these signs they have
  const icon = (path) => `<svg viewBox="0 0 16 16" width="15" height="15" aria-hidden="true"><path d="${path}" fill="currentColor"/></svg>`;
  const ICONS = {
    play: icon("M4 2.5v11l9-5.5z"), pause: icon("M3.5 2.5h3.2v11H3.5zM9.3 2.5h3.2v11H9.3z"), first: icon("M3 3h2v10H3zM14 3v10L6 8z"),
    back: icon("M13 3v10L7 8zM4.5 3h1.8v10H4.5z"), forward: icon("M3 3v10l6-5zM9.7 3h1.8v10H9.7z"),
  };
  const OVERLAYS = { search: "Search", imagination: "Imagination", posterior: "Observer" };

  /** SVG of a scene whose layers are filled in later; the ones that only some players have stay empty. */
  const stageSvg = ([width, height, shapes], styles) =>
    `<svg class="${width > 1.6 * height ? "flat" : ""}" viewBox="0 0 ${width} ${height}" role="img" aria-label="the world">${["still", "heat", "halo", "ghosts", "moving"].map((name) => `<g class="${name}">${name === "still" ? layerSvg(shapes, styles) : ""}</g>`).join("")}</svg>`;

  /** An episode's title without the agent's name, which stands before it. */
  const ownTitle = (episode) => (episode.agent && episode.title.startsWith(`${episode.agent}: `) ? episode.title.slice(episode.agent.length + 2) : episode.title);

  /** What is said of frame t: step, action, reward, return, and how it ended. */
  function captionOf(episode, t) {
    const last = episode.moving.length - 1, action = episode.action[t];
    const words = [["step", `${format(t)} of ${format(last)}`], ["action", action < 0 ? "–" : episode.actions[action]], ["reward", format(episode.reward[t])], ["return", format(returnBefore(episode.reward, t + 1))]];
    const parts = words.map(([label, value]) => make("div", {}, make("span", {}, `${label} `), make("b", {}, value)));
    const more = [episode.caption?.[t], t === last ? episode.outcome : ""].filter(Boolean).join(" · ");
    return more ? [...parts, make("div", {}, make("span", {}, more))] : parts;
  }

  /** Time: buttons, the slider, the pace, keys. What is shown at a time is up to `show(frame)` of what extends it. */
  class Transport {
    constructor(element, data, index) {
      Object.assign(this, { element, data, index, frame: 0, speed: 1, playing: false });
      element.classList.add("player");
      element.tabIndex = 0;
      element.addEventListener("keydown", (event) => this.key(event));
      element.addEventListener("pointerdown", () => { Transport.active = this; });
    }

    buildTransport() {
      const button = (label, icon, action, name = "") => {
        const element = make("button", { type: "button", class: name, title: label, "aria-label": label, onclick: action });
        element.innerHTML = ICONS[icon];
        return element;
      };
      this.playButton = button("play or pause (space)", "play", () => this.play(!this.playing), "play");
      this.scrubber = make("input", { type: "range", min: 0, "aria-label": "frame", oninput: () => { this.play(false); this.show(Number(this.scrubber.value)); this.remember(); } });
      this.pace = make("select", { "aria-label": "speed", onchange: () => { this.speed = Number(this.pace.value); if (this.playing) this.play(true); } });
      for (const s of [0.25, 0.5, 1, 2, 4, 8]) this.pace.append(make("option", s === 1 ? { value: s, selected: "" } : { value: s }, `${s}×`));
      return make("div", { class: "transport" }, button("first frame (home)", "first", () => this.step(-Infinity)), button("step back (←)", "back", () => this.step(-1)), this.playButton, button("step forward (→)", "forward", () => this.step(1)), this.scrubber, this.pace);
    }

    step(by) {
      this.play(false);
      this.show(this.frame + by);
      this.remember();
    }

    play(on) {
      clearInterval(this.timer);
      if (on && this.frame >= this.last) this.show(0);
      this.playing = on;
      this.playButton.innerHTML = ICONS[on ? "pause" : "play"];
      if (!on) return;
      this.timer = setInterval(() => {
        if (this.frame >= this.last) { this.play(false); this.remember(); } else this.show(this.frame + 1);
      }, 1000 / ((this.data.fps || 6) * this.speed));
    }

    /** What keys do beside moving in time: name of the key → call. */
    moreKeys() { return {}; }

    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
      const far = event.shiftKey ? 10 : 1;
      const known = {
        " ": () => this.play(!this.playing), ArrowRight: () => this.step(far), ArrowLeft: () => this.step(-far), Home: () => this.step(-Infinity), End: () => this.step(Infinity),
        ...this.moreKeys(),
      }[event.key];
      if (!known || (event.key === " " && event.target.tagName === "BUTTON")) return;
      event.preventDefault();
      known();
    }

    get overlays() { return []; }

    /** Puts what is seen into the address, so that a link shows it again. */
    remember() {
      Transport.active = this;
      const state = { player: this.index + 1, episode: (this.episodeIndex ?? 0) + 1, frame: this.frame, overlays: this.overlays };
      try { history.replaceState(null, "", formatHash(state)); } catch { /* some browsers forbid this for local files; nothing else depends on it */ }
    }

    follow(wanted) {
      if (wanted.speed) { this.speed = wanted.speed; this.pace.value = String(wanted.speed); }
      this.show(wanted.frame ?? 0);
      this.element.closest("section").scrollIntoView({ behavior: "instant" });
      if (wanted.play) this.play(true);
    }
  }

  /** Agents beside each other, an episode of each, all at the same step; one that is over waits at its end. */
  class SideBySide extends Transport {
    constructor(element, data, index) {
      super(element, data, index);
      const agents = [...new Set(data.episodes.map((e) => e.agent))];
      this.lanes = agents.map((agent) => this.buildLane(agent, data.episodes.filter((e) => e.agent === agent)));
      this.keys = make("div", { class: "keys" });
      this.keys.innerHTML = "<kbd>space</kbd> play · <kbd>←</kbd> <kbd>→</kbd> step · <kbd>shift</kbd> ten";
      element.append(make("div", { class: "lanes" }, ...this.lanes.map((lane) => lane.element)), this.buildTransport(), this.keys);
      this.lanes.forEach((lane) => this.choose(lane, 0));
    }

    get last() { return Math.max(...this.lanes.map((lane) => lane.episode.moving.length - 1)); }

    buildLane(agent, episodes) {
      const lane = { episodes, stage: make("div", { class: "stage" }), caption: make("div", { class: "caption", "aria-live": "off" }) };
      const title = make("h3", {});
      title.innerHTML = (episodes[0].color === null ? "" : mark(color(episodes[0].color), dashes(episodes[0].color))) + esc(agent);
      lane.chooser = make("select", { "aria-label": `episode of ${agent}`, onchange: () => { this.play(false); this.choose(lane, lane.chooser.selectedIndex); } }, ...episodes.map((e) => make("option", {}, ownTitle(e))));
      lane.element = make("div", { class: "lane" }, title, lane.chooser, lane.stage, lane.caption);
      return lane;
    }

    choose(lane, number) {
      lane.episode = lane.episodes[number];
      lane.drawn = null;
      if (this.lanes.some((other) => !other.episode)) return;
      this.scrubber.max = this.last;
      this.show(0);
    }

    show(frame) {
      this.frame = Math.max(0, Math.min(this.last, frame));
      this.scrubber.value = this.frame;
      for (const lane of this.lanes) {
        const { episode } = lane, t = Math.min(this.frame, episode.moving.length - 1);
        const ground = episode.ground[Math.min(t, episode.ground.length - 1)];
        if (lane.drawn !== ground) { lane.drawn = ground; lane.stage.innerHTML = stageSvg(this.data.statics[ground], this.data.styles); }
        lane.stage.querySelector(".moving").innerHTML = layerSvg(this.data.movings[episode.moving[t]], this.data.styles);
        lane.caption.replaceChildren(...captionOf(episode, t));
      }
    }
  }

  class Player extends Transport {
    constructor(element, data, index) {
      super(element, data, index);
      Object.assign(this, { episodeIndex: 0, on: new Set(this.data.overlays) });
      this.buildControls();
      this.buildCharts();
      this.select(0);
    }

    get episode() { return this.data.episodes[this.episodeIndex]; }
    get last() { return this.episode.moving.length - 1; }

    buildControls() {
      this.chooser = make("select", { "aria-label": "episode", onchange: () => { this.select(this.chooser.selectedIndex); this.remember(); } });
      let group = null;
      this.data.episodes.forEach((episode) => {
        const option = make("option", {}, (episode.agent ? `${episode.agent}: ` : "") + ownTitle(episode));
        if (!episode.agent) { this.chooser.append(option); group = null; return; }
        if (!group || group.label !== episode.agent) this.chooser.append((group = make("optgroup", { label: episode.agent })));
        group.append(option);
      });
      this.chips = make("div", { class: "chips", role: "group", "aria-label": "overlays" });
      for (const [name, label] of Object.entries(OVERLAYS)) this.chips.append(make("button", { type: "button", "data-overlay": name, onclick: () => this.toggle(name) }, label));
      this.stage = make("div", { class: "stage" });
      this.panels = { posterior: new Bars("Observer: what does it want?"), next: new Bars("Observer: what will it do next?"), search: new Bars("Search: visits and values", "wide") };
      this.side = make("aside", {}, ...Object.values(this.panels).map((p) => p.element));
      this.body = make("div", { class: "body" }, make("div", {}, this.stage), this.side);
      this.caption = make("div", { class: "caption", "aria-live": "off" });
      this.body.firstChild.append(this.caption, this.buildTransport(), make("div", { class: "keys" }));
      this.body.querySelector(".keys").innerHTML = "<kbd>space</kbd> play · <kbd>←</kbd> <kbd>→</kbd> step · <kbd>shift</kbd> ten · <kbd>[</kbd> <kbd>]</kbd> episode" +
        (this.data.episodes.some((e) => e.search || e.imagination || e.posterior) ? " · <kbd>s</kbd> <kbd>i</kbd> <kbd>o</kbd> overlays" : "");
      this.element.append(make("div", { class: "bar" }, this.chooser, this.chips), this.body);
    }

    buildCharts() {
      const seek = (x) => { this.play(false); this.show(Math.round(x)); this.remember(); };
      const block = (title) => {
        const note = make("small"), plot = make("div");
        const element = make("div", {}, make("h3", {}, title, note), plot);
        return { element, note, plot };
      };
      this.beliefs = block("Posterior over the episode");
      this.bits = block("Surprise at each action");
      this.charts = make("div", { class: "charts" }, this.beliefs.element, this.bits.element);
      this.element.append(this.charts);
      this.beliefs.chart = new Chart(this.beliefs.plot, { height: 190, yDomain: [0, 1], xWhole: true, xLabel: "step", yLabel: "probability", onSeek: seek });
      this.bits.chart = new Chart(this.bits.plot, { height: 130, xWhole: true, xLabel: "step", yLabel: "bits", bars: true, onSeek: seek });
    }

    select(index) {
      this.play(false);
      this.episodeIndex = Math.max(0, Math.min(this.data.episodes.length - 1, index));
      this.chooser.selectedIndex = this.episodeIndex;
      this.scrubber.max = this.last;
      this.drawn = null;
      const belief = this.episode.posterior;
      if (belief) {
        this.hues = colorOrder(belief.probabilities, belief.names.length);
        const steps = belief.probabilities.map((_, t) => t), domain = { xDomain: [-0.5, this.last + 0.5] };
        this.beliefs.chart.set(belief.names.map((name, i) => ({ name, color: color(this.hues[i]), dashes: dashes(this.hues[i]), x: steps, y: belief.probabilities.map((row) => (row ? row[i] : null)) })), domain);
        const known = belief.bits.filter((v) => v !== null);
        this.bits.element.hidden = !known.length;
        if (known.length) {
          const ways = Math.max(...belief.next.map((row) => (row ? row.length : 0)));
          const uniform = ways > 1 ? Math.log2(ways) : null;
          this.bits.note.textContent = `mean ${format(known.reduce((a, b) => a + b, 0) / known.length)} bits per step` + (uniform ? `; dashed: guessing, ${format(uniform)}` : "");
          this.bits.chart.set([{ name: "bits", color: "var(--thought)", x: steps, y: belief.bits }], { ...domain, yDomain: [0, Math.max(uniform ?? 0, ...known) * 1.08 || 1], references: uniform ? [["", uniform]] : [] });
        }
      }
      this.show(0);
      this.refreshOverlays();
    }

    refreshOverlays() {
      const episode = this.episode;
      for (const chip of this.chips.children) {
        const name = chip.dataset.overlay;
        chip.hidden = !episode[name];
        chip.setAttribute("aria-pressed", this.on.has(name));
      }
      const belief = this.on.has("posterior") && episode.posterior, search = this.on.has("search") && episode.search;
      this.panels.posterior.element.hidden = this.charts.hidden = !belief;
      this.panels.next.element.hidden = !belief || !belief.next.some(Boolean);
      this.panels.search.element.hidden = !search;
      this.body.classList.toggle("alone", !belief && !search);
      this.show(this.frame);
    }

    toggle(name) {
      if (!this.on.delete(name)) this.on.add(name);
      this.refreshOverlays();
      this.remember();
    }

    show(frame) {
      const episode = this.episode;
      this.frame = Math.max(0, Math.min(this.last, frame));
      this.scrubber.value = this.frame;
      this.drawScene(episode);
      this.drawCaption(episode);
      this.drawPosterior(episode);
      this.drawSearch(episode);
      this.drawImagination(episode);
    }

    drawScene(episode) {
      const { statics, movings, styles } = this.data;
      const ground = episode.ground[Math.min(this.frame, episode.ground.length - 1)];
      if (this.drawn !== ground) {
        this.drawn = ground;
        this.stage.innerHTML = stageSvg(statics[ground], styles);
      }
      this.layer("moving").innerHTML = layerSvg(movings[episode.moving[this.frame]], styles);
    }

    layer(name) { return this.stage.querySelector(`.${name}`); }

    drawCaption(episode) {
      this.caption.replaceChildren(...captionOf(episode, this.frame));
    }

    drawPosterior(episode) {
      const belief = this.on.has("posterior") && episode.posterior;
      const halo = this.layer("halo");
      halo.innerHTML = "";
      if (!belief) return;
      const t = this.frame, row = belief.probabilities[t];
      this.panels.posterior.show(belief.names.map((name, i) => [name, row ? row[i] : 0, row ? `${(100 * row[i]).toFixed(1)}%` : "–", color(this.hues[i])]));
      const ways = belief.expected?.[t] ?? [];
      let expected = "";
      for (let i = 0; i < ways.length; i += 2) {
        const [x, y] = this.data.places[ways[i]], part = Math.min(1, ways[i + 1]);
        expected += `<circle class="way" cx="${x}" cy="${y}" r="${(belief.radius * (0.2 + 0.6 * Math.sqrt(part))).toFixed(3)}" opacity="${(0.12 + 0.45 * part).toFixed(3)}"><title>${format(ways[i + 1])} steps expected here</title></circle>`;
      }
      if (row)
        halo.innerHTML = expected + belief.places.map((place, i) => place ? `<circle cx="${place[0]}" cy="${place[1]}" r="${(this.haloRadius(belief)).toFixed(3)}" style="stroke:${color(this.hues[i])};stroke-width:${(0.02 + 0.14 * row[i] * this.haloRadius(belief)).toFixed(3)}" opacity="${(0.15 + 0.85 * row[i]).toFixed(3)}"/>` : "").join("");
      const next = belief.next[t];
      const taken = episode.action[t] < 0 ? null : episode.actions[episode.action[t]];
      const surprise = belief.bits[t];
      this.panels.next.show((next ?? []).map(([name, p]) => [episode.actions[name], p, `${(100 * p).toFixed(1)}%`, "var(--thought)", episode.actions[name] === taken]), surprise === null ? "" : `${format(surprise)} bits`);
      this.beliefs.chart.moveHead(t);
      this.bits.chart.moveHead(t);
    }

    haloRadius(belief) { return belief.radius; }

    drawSearch(episode) {
      const search = this.on.has("search") && episode.search;
      const heat = this.layer("heat");
      heat.innerHTML = "";
      if (!search) return;
      const now = search.frames[this.frame];
      if (!now) return this.panels.search.show([], "no search here");
      const [cells, actions] = now;
      const most = cells.reduce((best, _, i) => (i % 2 ? Math.max(best, cells[i]) : best), 1);
      let svg = "";
      for (let i = 0; i < cells.length; i += 2) {
        const [x, y] = this.data.places[cells[i]], part = Math.sqrt(cells[i + 1] / most);
        svg += `<circle cx="${x}" cy="${y}" r="${(search.radius * (0.25 + 0.75 * part)).toFixed(3)}" opacity="${(0.12 + 0.5 * part).toFixed(3)}"><title>${cells[i + 1]} visits</title></circle>`;
      }
      heat.innerHTML = svg;
      const total = actions.reduce((sum, a) => sum + a[1], 0), top = Math.max(1, ...actions.map((a) => a[1]));
      const taken = episode.action[this.frame];
      this.panels.search.show(actions.map(([name, visits, value]) => [episode.actions[name], visits / top, `${format(visits)} · ${format(value)}`, "var(--thought)", name === taken]), `${format(total)} visits`);
    }

    drawImagination(episode) {
      const imagined = this.on.has("imagination") && episode.imagination;
      const futures = imagined && imagined[this.frame];
      this.layer("ghosts").innerHTML = !futures ? "" : ghostOpacities(futures).map(([layer, opacity]) => {
        const shapes = this.data.movings[layer].filter((s) => this.data.styles[s[0]][0] !== "text");
        return `<g opacity="${opacity.toFixed(3)}">${layerSvg(shapes, this.data.styles)}</g>`;
      }).join("");
    }

    moreKeys() {
      return {
        "[": () => { this.select(this.episodeIndex - 1); this.remember(); }, "]": () => { this.select(this.episodeIndex + 1); this.remember(); },
        s: () => this.toggle("search"), i: () => this.toggle("imagination"), o: () => this.toggle("posterior"),
      };
    }

    get overlays() { return [...this.on].filter((name) => this.episode[name]); }

    follow(wanted) {
      if (wanted.overlays) this.on = new Set(wanted.overlays.filter((name) => name in OVERLAYS));
      this.select((wanted.episode ?? 1) - 1);
      super.follow(wanted);
    }
  }

  function start() {
    const payload = JSON.parse(document.getElementById("payload").textContent);
    const wanted = parseHash(location.hash);
    document.querySelectorAll("[data-curves]").forEach((element) => curves(element, payload.curves[element.dataset.curves], wanted));
    const players = [...document.querySelectorAll("[data-player]")].map((element, i) => {
      const data = payload.players[element.dataset.player];
      return new (data.sideBySide ? SideBySide : Player)(element, data, i);
    });
    const follow = () => {
      const now = parseHash(location.hash);
      const target = players[(now.player ?? 1) - 1];
      if (target && (now.player ?? now.episode ?? now.frame ?? now.overlays) !== undefined) target.follow(now);
    };
    follow();
    window.addEventListener("hashchange", follow);
    // Keys reach the player used last even when nothing has the focus.
    document.addEventListener("keydown", (event) => { if (event.target === document.body && Transport.active) Transport.active.key(event); });
    Transport.active = players[0];
    // a table or a line that does not fit says that it goes on
    const wide = () => document.querySelectorAll(".scroll").forEach((e) => e.classList.toggle("more", e.scrollWidth > e.clientWidth + 1));
    wide();
    window.addEventListener("resize", wide);
  }

  start();
  // what the viewer's pages, which change while they are open, are made of
  return { ...pure, make, mark, color, curves, stageSvg, Chart, Bars, Player, SideBySide, Transport };
})();
if (typeof module !== "undefined") module.exports = Inscape;
