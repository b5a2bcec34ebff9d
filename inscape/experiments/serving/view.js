"use strict";
// The viewer's pages. Everything from the server reaches the page through `Inscape.esc`, `make` or textContent.
(() => {
  const { esc, format, make, mark, color, curves, stageSvg, layerSvg, linePath, layout, Bars, Player, SideBySide, Transport } = Inscape;
  const root = document.getElementById("view");
  if (!root) return;
  const query = new URLSearchParams(location.search), token = query.get("token") ?? "";
  const link = (path, values = {}) => `${path}?${new URLSearchParams({ ...values, token })}`;

  // ------------------------------------------------------------------------------------------------------ the server

  async function ask(method, path, values = {}) {
    const get = method === "GET";
    const answer = await fetch(get ? link(path, values) : path, get ? {} : {
      method, headers: { "Content-Type": "application/json", "X-Inscape-Token": token }, body: JSON.stringify(values),
    });
    const found = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(found.error ?? answer.statusText), { status: answer.status });
    return found;
  }
  const get = (path, values) => ask("GET", path, values), post = (path, values) => ask("POST", path, values);

  /** Calls back with what a stream reports; says when the server is gone, and goes on when it is back. */
  function listen(path, values, report) {
    const source = new EventSource(link(path, values));
    source.onmessage = (event) => { lost.hidden = true; report(JSON.parse(event.data)); };
    source.onerror = () => { lost.hidden = false; };
    window.addEventListener("pagehide", () => source.close());
    return source;
  }

  const lost = make("p", { class: "notice", role: "status", hidden: "" }, "The viewer does not answer: it may have been stopped.");
  const error = make("p", { class: "notice", role: "alert", hidden: "" });
  /** Runs something that asks the server; what goes wrong is said on the page. */
  async function doing(work, button) {
    error.hidden = true;
    if (button) button.disabled = true;
    document.body.classList.add("busy");
    try { return await work(); } catch (failed) {
      error.textContent = failed.message;
      error.hidden = false;
    } finally {
      document.body.classList.remove("busy");
      if (button) button.disabled = false;
    }
  }

  const section = (title, ...children) => make("section", {}, make("h2", {}, title), ...children);
  const button = (label, action, attributes = {}) => {
    const element = make("button", { type: "button", ...attributes }, label);
    element.addEventListener("click", () => action(element));
    return element;
  };
  const notesOf = (notes) => notes.map((text) => make("p", { class: "note" }, text));
  const scrolled = (table) => make("div", {}, make("div", { class: "scroll", tabindex: "0" }, table), make("div", { class: "hint" }, "more to the right: scroll →"));

  /** A table: column names, rows of texts, numbers or elements. */
  function table(columns, rows, numbers = []) {
    const kind = (name) => ({ class: numbers.includes(name) ? "number" : "text" });
    const cell = (value) => (typeof value === "number" ? format(value) : value ?? "–");
    return make("table", {}, make("thead", {}, make("tr", {}, ...columns.map((name) => make("th", { ...kind(name), scope: "col" }, name)))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((value, k) => make("td", kind(columns[k]), cell(value)))))));
  }

  const navigation = document.querySelector("nav.contents");
  const here = root.dataset.kind;
  for (const [kind, path, label] of [["list", "/", "Runs"], ["act", "/act", "Lead an agent"], ["play", "/play", "Play"]])
    navigation.append(make("a", kind === here ? { href: link(path), "aria-current": "page" } : { href: link(path) }, label));
  root.append(lost, error);

  // -------------------------------------------------------------------------------------------------- list of runs

  function sparkline([steps, values]) {
    if (values.length < 2) return "";
    const box = layout([{ x: steps, y: values }], { width: 120, height: 30, left: 1, right: 1, top: 3, bottom: 3, yDomain: [Math.min(...values), Math.max(...values)] });
    const element = make("span", { class: "spark" });
    element.innerHTML = `<svg viewBox="0 0 120 30" aria-hidden="true"><path d="${linePath({ x: steps, y: values }, box)}"/></svg>`;
    return element;
  }

  function ago(seconds) {
    if (!seconds) return "–";
    const past = Math.max(0, Date.now() / 1000 - seconds);
    for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) if (past >= size) return `${Math.floor(past / size)} ${unit} ago`;
    return "just now";
  }

  function list() {
    const filter = make("input", { type: "search", placeholder: "agent, world, folder", "aria-label": "filter runs" });
    const count = make("span", { class: "note" }), body = make("div"), others = make("p", { class: "note" });
    const columns = { run: (r) => r.id, return: (r) => r.last, curve: null, progress: (r) => r.steps / Math.max(1, r.total), agent: (r) => r.agent, world: (r) => r.world, seed: (r) => r.seed, changed: (r) => r.changed };
    let runs = [], by = "changed", down = true;
    root.append(make("section", {}, make("div", { class: "bar" }, filter, count), body, others));

    function draw() {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      const shown = runs.filter((r) => words.every((w) => `${r.id} ${r.agent} ${r.world} ${r.live ? "running" : ""}`.toLowerCase().includes(w)));
      const key = columns[by], order = (a, b) => (typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : (a ?? -Infinity) - (b ?? -Infinity));
      shown.sort((a, b) => (down ? -1 : 1) * order(key(a), key(b)));
      count.textContent = runs.length === shown.length ? `${runs.length} run${runs.length === 1 ? "" : "s"}` : `${shown.length} of ${runs.length} runs`;
      const head = Object.keys(columns).map((name) => {
        const kind = ["return", "seed"].includes(name) ? "number" : "text";
        if (!columns[name]) return make("th", { class: kind, scope: "col" }, name);
        const sorted = name === by ? { "aria-sort": down ? "descending" : "ascending" } : {};
        return make("th", { class: kind, scope: "col", ...sorted }, button(name === by ? `${name} ${down ? "↓" : "↑"}` : name, () => { [by, down] = [name, name === by ? !down : ["changed", "return", "progress"].includes(name)]; draw(); }, { class: "sort" }));
      });
      const rows = shown.map((r) => {
        const name = make("a", { href: link("/run", { run: r.id }) }, r.id);
        if (r.damage) return make("tr", {}, make("td", {}, name), make("td", { class: "damage", colspan: 7 }, r.damage));
        const bar = make("span", { class: "progress", title: `${format(r.steps)} of ${format(r.total)} steps` }, make("i", { style: `width:${Math.min(100, 100 * r.steps / Math.max(1, r.total))}%` }));
        const state = make("span", { class: r.live ? "live" : "" }, r.live ? "running" : ago(r.changed));
        return make("tr", {}, make("td", {}, name), make("td", { class: "number" }, format(r.last)), make("td", {}, sparkline(r.curve)), make("td", {}, bar), make("td", {}, r.agent), make("td", {}, r.world), make("td", { class: "number" }, format(r.seed)), make("td", {}, state));
      });
      const sorting = body.contains(document.activeElement) ? document.activeElement.textContent.split(" ")[0] : null;
      body.replaceChildren(runs.length ? scrolled(make("table", { class: "runs" }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows))) : make("p", {}, "No runs here yet: inscape train AGENT WORLD makes one."));
      if (sorting) [...body.querySelectorAll("button.sort")].find((b) => b.textContent.startsWith(sorting))?.focus();
      window.dispatchEvent(new Event("resize"));
    }

    async function read() {
      const found = await get("/api/runs");
      runs = found.runs;
      others.replaceChildren(...(found.experiments.length ? ["Experiments: ", ...found.experiments.flatMap((name, k) => [k ? ", " : "", make("a", { href: link("/experiment", { experiment: name }) }, name)])] : []));
      draw();
      root.dataset.ready = "1";
    }
    filter.addEventListener("input", draw);
    follow("/api/changes", {}, read);
  }

  /** Reads again when a stream reports a change, never while reading, and seldom where reading takes long. */
  function follow(path, values, read) {
    let reading = false, again = false;
    async function now() {
      if (reading) { again = true; return; }
      reading = true;
      const began = performance.now();
      await doing(read);
      await new Promise((done) => setTimeout(done, Math.max(500, 5 * (performance.now() - began))));
      reading = false;
      if (again) { again = false; now(); }
    }
    return listen(path, values, (report) => (report && report.error ? (error.textContent = report.error, error.hidden = false) : now()));
  }

  // ---------------------------------------------------------------------------------------------------------- a run

  function run() {
    const name = query.get("run"), state = make("p", { class: "note" }), charts = make("div"), episodes = make("div");
    root.append(make("div", { class: "bar" }, make("a", { class: "button", href: link("/act", { run: name }) }, "Lead this agent"), make("a", { class: "button", href: link("/play", { run: name }) }, "Play its world")), state, charts, episodes);
    let drawn = [];
    async function read() {
      let found;
      try { found = await get("/api/curves", { run: name }); } catch (failed) {
        if (failed.status === 404) source.close();
        throw failed;
      }
      const { summary } = found;
      state.textContent = `${summary.live ? "Running: " : ""}${format(summary.steps)} of ${format(summary.total)} steps${summary.last === null ? "" : `, return ${format(summary.last)}`}`;
      state.classList.toggle("live", summary.live);
      const kept = drawn.length === found.charts.length && drawn.every(([title], k) => title === found.charts[k].title);
      if (!kept) {
        charts.replaceChildren();
        drawn = found.charts.map((data) => {
          const place = make("div");
          charts.append(section(data.title, place));
          return [data.title, curves(place, data, {})];
        });
      } else found.charts.forEach((data, k) => drawn[k][1].set(data));
      root.dataset.ready = "1";
    }
    const source = follow("/api/changes", { run: name }, read);
    doing(async () => {
      const found = await post("/api/episodes", { run: name });
      if (found.player) new StoryView(episodes, found, "Episodes");
      else episodes.append(section("Episodes", ...notesOf(found.notes)));
      root.dataset.episodes = "1";
    });
  }

  // ------------------------------------------------------------------------ stories: a player, what if, the prior

  /** Episodes in the player; beside them the observer's prior, below what would follow from other actions. */
  class StoryView {
    constructor(element, found, title) {
      this.id = found.id;
      this.notes = make("div");
      this.stage = make("div");
      this.side = make("div");
      this.results = make("div", { class: "results" });
      this.controls = make("div", { class: "bar" });
      this.horizon = make("input", { type: "number", min: 1, max: 200, value: 20, "aria-label": "steps ahead" });
      this.samples = make("input", { type: "number", min: 1, max: 200, value: 20, "aria-label": "futures of each" });
      this.asking = button("What if?", (b) => this.whatIf(b), { class: "whatif" });
      const more = make("div", { class: "bar ask" }, this.asking, make("label", {}, "steps ahead ", this.horizon), make("label", {}, "futures ", this.samples));
      element.append(section(title, this.notes, this.controls, this.stage, more, this.side, this.results));
      this.player = new Player(this.stage, found.player, 0);
      Transport.active = this.player;
      this.show(found, 0);
    }

    /** Shows the episodes anew, at the same place or at a frame. */
    show(found, frame = this.player.frame) {
      const { player } = this, episode = player.episodeIndex;
      this.notes.replaceChildren(...notesOf(found.notes));
      player.data = found.player;
      player.select(episode);
      player.show(frame);
      this.found = found;
      this.sliders(found.prior);
    }

    sliders(prior) {
      const names = Object.keys(prior);
      if (names.length < 2) return this.side.replaceChildren();
      if (this.weights && names.every((n) => n in this.weights)) return this.shares(prior);
      this.weights = { ...prior };
      this.rows = names.map((name) => {
        const share = make("output", {}), slider = make("input", { type: "range", min: 0, max: 1, step: 0.01, value: prior[name], "aria-label": `prior of ${name}` });
        slider.addEventListener("input", () => { this.weights[name] = Number(slider.value); this.ask(); });
        return { name, share, slider, element: make("label", { class: "prior" }, make("span", {}, name), slider, share) };
      });
      const even = button("equal", () => { for (const row of this.rows) { row.slider.value = 0.5; this.weights[row.name] = 0.5; } this.ask(); });
      this.side.replaceChildren(make("details", { class: "priors", open: "" }, make("summary", {}, "The observer's prior: drag"), ...this.rows.map((r) => r.element), even));
      this.shares(prior);
    }

    shares(prior) { for (const row of this.rows) row.share.textContent = `${(100 * prior[row.name]).toFixed(0)} %`; }

    /** Asks for the posterior under the present sliders; while an answer is awaited, only the latest is asked for. */
    async ask() {
      if (this.waiting) { this.stale = true; return; }
      this.waiting = true;
      const total = Object.values(this.weights).reduce((a, b) => a + b, 0);
      if (total > 0) {
        const found = await doing(() => post("/api/prior", { id: this.id, prior: this.weights }));
        if (found) this.show(found);
        root.dataset.prior = String(Number(root.dataset.prior ?? 0) + 1);
      }
      this.waiting = false;
      if (this.stale) { this.stale = false; this.ask(); }
    }

    whatIf(pressed) {
      this.player.play(false);
      const frame = this.player.frame;
      return doing(async () => {
        const wanted = { id: this.id, episode: this.player.episodeIndex, frame, horizon: Number(this.horizon.value), samples: Number(this.samples.value) };
        const found = await post("/api/what-if", wanted);
        const place = make("div"), columns = ["alternative", "mean return", "steps", "less than the best by", "standard error"];
        this.results.replaceChildren(make("h3", { class: "sub" }, `What if, from step ${frame}`),
          make("p", { class: "note" }, `After the first action ${found.then}. ${found.samples} futures each, under the same random numbers; the first of each is drawn.`),
          scrolled(table(columns, found.rows, columns.slice(1))), place);
        const view = new SideBySide(place, found.player, 1);
        window.dispatchEvent(new Event("resize"));
        view.play(true);
        root.dataset.whatif = "1";
      }, pressed);
    }
  }

  const chooser = (label, names, value) => {
    const element = make("select", { "aria-label": label }, ...names.map((name) => make("option", name === value ? { selected: "" } : {}, name)));
    return [element, make("label", {}, `${label} `, element)];
  };

  function act() {
    const place = make("div");
    let view = null;
    const showActions = (found) => {
      const own = button("Agent acts", (b) => step({ action: null }, b), { class: "primary own" });
      const actions = found.actions.map((action, k) => button(action.name, (b) => step({ action: k }, b), action.legal ? {} : { disabled: "" }));
      if (found.ended) own.disabled = true;
      view.controls.replaceChildren(own, ...actions, button("Restart", (b) => step({ restart: true }, b)));
      if (found.turn) view.controls.append(make("span", { class: "note" }, `${found.turn} to move`));
    };
    async function step(what, pressed) {
      const found = await doing(() => post("/api/act", { id: view.id, ...what }), pressed);
      if (!found) return;
      view.show(found, Infinity);
      showActions(found);
      root.dataset.steps = String(Number(root.dataset.steps ?? 0) + 1);
    }
    const begin = (wanted, pressed) => doing(async () => {
      const found = await post("/api/act/new", wanted);
      place.replaceChildren();
      view = new StoryView(place, found, found.title);
      showActions(found);
      root.dataset.ready = "1";
    }, pressed);
    if (query.get("run")) {
      root.append(place);
      begin({ run: query.get("run") });
      return;
    }
    doing(async () => {
      const names = await get("/api/names");
      const [agent, agentLabel] = chooser("agent", names.agents, query.get("agent") ?? "mcts"), [world, worldLabel] = chooser("world", names.worlds.map((w) => w.name), query.get("world") ?? "FourGoals");
      const start = button("Begin", (b) => begin({ agent: agent.value, world: world.value }, b), { class: "primary" });
      root.append(make("section", {}, make("div", { class: "bar" }, agentLabel, worldLabel, start)), place);
      if (query.get("world")) await begin({ agent: agent.value, world: world.value }, start);
      root.dataset.chosen = "1";
    });
  }

  // ----------------------------------------------------------------------------------------------------------- play

  const CAPS = { left: "←", right: "→", up: "↑", down: "↓", space: "space", escape: "esc", pagedown: "page ↓" };
  const TYPED = { left: "ArrowLeft", right: "ArrowRight", up: "ArrowUp", down: "ArrowDown", space: " ", escape: "Escape", pagedown: "PageDown" };

  class Game {
    constructor(element, found) {
      Object.assign(this, { id: found.id, pressed: [], held: new Set(), left: false });
      this.stage = make("div", { class: "stage", tabindex: "0", role: "application", "aria-label": "the game: its keys are listed" });
      this.panel = make("aside", { class: "panelled" });
      element.append(section(found.title, make("div", { class: "body" }, make("div", {}, this.stage), this.panel)));
      this.draw(found);
      document.addEventListener("keydown", (event) => this.key(event, true));
      document.addEventListener("keyup", (event) => this.key(event, false));
      window.addEventListener("blur", () => this.held.clear());
      this.stage.focus({ preventScroll: true });
      this.tick();
    }

    key(event, down) {
      if (this.left || event.ctrlKey || event.metaKey || event.altKey || ["INPUT", "SELECT"].includes(event.target.tagName)) return;
      if (event.target.tagName === "BUTTON" && [" ", "Enter", "Tab"].includes(event.key)) return;
      const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      if (name === "Tab" || name.length > 12) return;
      if ([" ", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "PageDown", "PageUp"].includes(name)) event.preventDefault();
      if (down && !event.repeat) this.press(name);
      if (down) this.held.add(name); else this.held.delete(name);
    }

    press(name) {
      if (this.pressed.length < 32) this.pressed.push(name);
      if (!this.realtime) this.now?.();
    }

    async tick() {
      while (!this.left) {
        const began = performance.now(), pressed = this.pressed.splice(0);
        const found = await doing(() => post("/api/play", { id: this.id, pressed, held: [...this.held].slice(0, 32) }));
        if (!found) return;
        if (found.changed) this.draw(found);
        root.dataset.ticks = String(Number(root.dataset.ticks ?? 0) + 1);
        const rest = 1000 / this.fps - (performance.now() - began);
        if (!this.pressed.length || this.realtime) await new Promise((done) => { this.now = done; setTimeout(done, Math.max(0, rest)); });
      }
    }

    draw(found) {
      Object.assign(this, { realtime: found.realtime, fps: found.fps, left: found.left });
      const { statics, movings, styles, episodes: [episode] } = found.player;
      const ground = statics[episode.ground[0]];
      const key = JSON.stringify(ground);
      if (key !== this.ground) { this.ground = key; this.stage.innerHTML = stageSvg(ground, styles); }
      this.stage.querySelector(".still").innerHTML = layerSvg(ground[2], styles); // styles are numbered afresh in every picture
      this.stage.querySelector(".moving").innerHTML = layerSvg(movings[episode.moving[0]], styles);
      this.panel.replaceChildren(...found.lines.map((line) => this.line(line)));
      if (found.left) this.panel.replaceChildren(make("p", {}, found.saved ? `Recorded in ${found.saved}` : "Nothing was played, nothing is kept."), found.saved ? make("p", { class: "note" }, `inscape watch ${found.saved} shows it again.`) : "", make("a", { class: "button", href: location.href }, "Again"));
    }

    line(line) {
      const classes = `line${line.dim ? " dim" : ""}${line.strong ? " strong" : ""}`;
      if (!line.text && !line.key) return make("div", { class: "gap" });
      if (line.share !== null) return make("div", { class: "row" }, make("span", {}, line.text), make("div", { class: "track" }, make("div", { style: `width:${(100 * line.share).toFixed(1)}%;background:var(--p-${esc(line.color || "muted")})` })), make("span", {}, `${(100 * line.share).toFixed(0)}%`));
      if (!line.key) {
        const dot = line.color ? [make("i", { class: "swatch", style: `--c:var(--p-${esc(line.color)})` })] : [];
        return make("div", { class: classes }, ...dot, line.text);
      }
      const typed = TYPED[line.key] ?? line.key;
      const element = button("", () => { this.press(typed); this.stage.focus({ preventScroll: true }); }, { class: classes });
      element.append(make("kbd", {}, CAPS[line.key] ?? line.key), ` ${line.text}`);
      return element;
    }
  }

  function play() {
    const place = make("div");
    const begin = (wanted, pressed) => doing(async () => {
      place.replaceChildren();
      const found = await post("/api/play/new", wanted);
      new Game(place, found);
      root.dataset.ready = "1";
    }, pressed);
    doing(async () => {
      if (query.get("run")) {
        root.append(place);
        await begin({ run: query.get("run"), observe: true });
        return;
      }
      const names = await get("/api/names");
      const players = Object.fromEntries(names.worlds.map((w) => [w.name, w.players]));
      const [world, worldLabel] = chooser("world", Object.keys(players), query.get("world") ?? "FourGoals"), [against, againstLabel] = chooser("others", ["human", ...names.agents], "random");
      const several = () => { againstLabel.hidden = players[world.value] < 2; };
      const start = button("Begin", (b) => begin({ world: world.value, observe: true, players: players[world.value] > 1 ? ["human", ...Array(players[world.value] - 1).fill(against.value)] : [] }, b), { class: "primary" });
      world.addEventListener("change", several);
      several();
      root.append(make("section", {}, make("div", { class: "bar" }, worldLabel, againstLabel, start)), place);
      if (query.get("world")) start.click();
      root.dataset.chosen = "1";
    });
  }

  ({ list, run, act, play })[here]?.();
})();
