// Draws a timeline: lanes of what was found, engagement, quality, what was lost, what was sent.
// It folds nothing; the values come folded from the server, and the page, a file and a host's app
// draw them alike. Text is only ever set as text.
import { Zoom } from "./zoom.js";

export const LISTS = ["spans", "phases", "engagement", "quality", "dropped", "degraded", "feedback", "segments"];

/** The values after `changes`, as the server's `changes` tells them. */
export function apply(drawing, changes) {
  const next = { ...drawing, ...(changes.set ?? {}) };
  for (const [name, { length, items }] of Object.entries(changes.lists ?? {})) {
    const list = (drawing[name] ?? []).slice(0, length);
    for (const [index, item] of items) list[index] = item;
    next[name] = list;
  }
  return next;
}

/** Media time for people: `1:05`, or `1:05.5` where it is not whole. */
export function clock(seconds) {
  if (typeof seconds !== "number") return "?";
  const tenths = Math.round(seconds * 10);
  const two = (value) => String(value).padStart(2, "0");
  const hours = Math.floor(tenths / 36000);
  const minutes = Math.floor(tenths / 600) % 60;
  const fraction = tenths % 10 ? `.${tenths % 10}` : "";
  const start = hours ? `${hours}:${two(minutes)}` : String(minutes);
  return `${start}:${two(Math.floor(tenths / 10) % 60)}${fraction}`;
}

const LANES = ["engagement", "quality", "dropped", "degraded", "segments"];
const END_PIXELS = 115; // the time of the end, and a time before it
const LITTLE_SECONDS = 60; // so much may have no signal yet
const TICK_PIXELS = 50; // a time
const MAX_SIGNALS = 40;
const MAX_MARKS = 2000;
const MAX_LAYERS = 8;

/** How many entries each lane may have, so that all have no more than `most`. */
function share(lengths, most) {
  const ascending = [...lengths].sort((one, other) => one - other);
  for (const [index, length] of ascending.entries()) {
    const each = Math.floor(most / (ascending.length - index));
    if (length > each) return each;
    most -= length;
  }
  return ascending.at(-1) ?? 0;
}

/** The drawing where it can be shown whole, else as much as can be; as `bounded` of the server. */
export function bounded(drawing) {
  const phases = drawing.phases ?? [];
  const names = [...new Set(phases.map(({ signal }) => signal))];
  const shown = new Set(names.slice(0, MAX_SIGNALS));
  const named = phases.filter(({ signal }) => shown.has(signal));
  const kept = named.filter(({ layer }) => layer < MAX_LAYERS);
  const lengths = new Map();
  for (const { signal } of kept) lengths.set(signal, (lengths.get(signal) ?? 0) + 1);
  const others = LANES.map((name) => (drawing[name] ?? []).length);
  const entries = [named.length, ...others].reduce((sum, length) => sum + length);
  if (kept.length === phases.length && entries <= MAX_MARKS) return drawing;
  const most = share([...lengths.values(), ...others], MAX_MARKS);
  const newest = { phases: kept.filter(({ signal }) => {
    const left = lengths.get(signal);
    lengths.set(signal, left - 1);
    return left <= most;
  }) };
  for (const name of LANES) newest[name] = (drawing[name] ?? []).slice(-most);
  const drawn = Object.values(newest).reduce((sum, list) => sum + list.length, 0);
  return { ...drawing, ...newest, left_out: { signals: names.length - shown.size, entries: entries - drawn } };
}

/** What a picture says of what it does not show, or shows at another place. */
export function leftOut(drawing) {
  const { signals = 0, entries = 0 } = bounded(drawing).left_out ?? {};
  const clipped = drawing.clipped ?? 0;
  const notKept = drawing.not_kept ?? 0;
  const count = (number) => number.toLocaleString("en-US");
  return [
    signals && `and ${count(signals)} more ${signals === 1 ? "signal" : "signals"}`,
    entries && `and ${count(entries)} ${entries === 1 ? "entry" : "entries"} not shown`,
    notKept && `the first ${count(notKept)} ${notKept === 1 ? "message is" : "messages are"} no longer kept: the beginning is missing`,
    clipped && `${count(clipped)} ${clipped === 1 ? "time lies outside of the media and is" : "times lie outside of the media and are"} shown at its edge`,
  ].filter(Boolean);
}

/** How far apart ticks are, so that there are about `most` of them. */
export function tickSeconds(seconds, most) {
  const fits = [1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600].find((step) => seconds / step <= most);
  return fits ?? 3600 * Math.ceil(seconds / most / 3600);
}

const PROBABILITIES = ["high", "medium", "low"];
const STATES = ["engaged", "neutral", "disengaged"];
/** Looks that need a word, in order; the key has those that are shown. */
const LEGEND = [
  ["high", "high"], ["medium", "medium"], ["low", "low probability"], ["unknown", "no probability named"],
  ["engaged", "engaged"], ["neutral", "neutral"], ["disengaged", "disengaged"],
  ["dropped", "not analysed"], ["lost", "lost with the connection"], ["degraded", "analysed in part"],
  ["not_sent", "not sent"],
];
/** Scores of conversation quality, 0 to 100. */
const SCORES = ["quality_index", "clarity", "authority", "energy", "rapport", "learning"];

/** The look of a probability; a number of older versions falls into the three too. */
function shade(probability) {
  if (typeof probability === "number") return probability >= 0.75 ? "high" : probability >= 0.5 ? "medium" : "low";
  const word = String(probability).toLowerCase();
  return PROBABILITIES.includes(word) ? word : "unknown";
}

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

/** Media whose results may be missing, for a connection was lost. */
function lostRanges(drawing) {
  return (drawing.lost?.media_s ?? []).slice(-400);
}

/** What lies behind all lanes, so that it does not look like silence. */
function gaps(drawing) {
  return [["dropped", drawing.dropped ?? []], ["lost", lostRanges(drawing)], ["degraded", drawing.degraded ?? []], ["not_sent", drawing.not_sent ?? []]]
    .flatMap(([look, ranges]) => ranges.map(([from, to]) => ({ look, from, to })));
}

/** What each lane shows, in order; a lane without items is left out. */
export function lanes(drawing) {
  const end = drawing.seconds ?? 0;
  const meanings = new Map(Object.entries(drawing.meanings ?? {})); // an object also has what it inherits, such as "constructor"
  const signals = new Map();
  for (const phase of drawing.phases ?? []) {
    if (!signals.has(phase.signal)) signals.set(phase.signal, []);
    const isOpen = phase.end === null;
    const label = phase.probability === null || phase.probability === undefined ? "" : String(phase.probability);
    signals.get(phase.signal).push({
      from: phase.start,
      to: isOpen ? Math.max(end, phase.start) : phase.end,
      isOpen,
      isImplicit: phase.ends_implicitly,
      span: phase.span,
      layer: phase.layer,
      look: shade(phase.probability),
      text: label,
      title: `${phase.signal}${label ? ` · probability ${label}` : ""}`,
      more: phase.rationale ?? "",
      meaning: meanings.get(phase.signal) ?? "",
    });
  }
  const found = [...signals].map(([name, items]) => ({ id: `signal ${name}`, name, items, hasGround: true })); // v0: one is "engagement"
  const named = (name, key, toItem, entries = drawing[key] ?? []) => {
    const items = entries.map(toItem).filter(Boolean);
    if (items.length) found.push({ id: key, name, items, key, hasGround: key === "engagement" || key === "quality" });
  };
  named("engagement", "engagement", (item) => ({
    from: item.start, to: item.end ?? Math.max(end, item.start), isOpen: item.end === null, isImplicit: item.ends_implicitly,
    look: STATES.includes(item.state) ? item.state : "state", text: item.state, title: `engagement: ${item.state}`, more: "",
  }));
  named("conversation quality", "quality", (item) => {
    const index = item.values.quality_index;
    return {
      from: item.start, to: item.end, look: "quality", values: item.values,
      text: typeof index === "number" ? String(Math.round(index)) : "",
      title: `conversation quality: ${index ?? "no index"}`,
      more: Object.entries(item.values).map(([name, value]) => `${name.replace("_", " ")} ${value}`).join(", "),
    };
  });
  const gap = (look, text, more) => ([from, to]) => ({ from, to, look, text, title: text, more });
  named("not analysed", "dropped", gap("dropped", "not analysed", "Nobody analysed these seconds."));
  named("lost", "lost", gap("lost", "lost", "The results of these seconds were lost with the connection."), lostRanges(drawing));
  named("degraded", "degraded", gap("degraded", "degraded", "These seconds were analysed with part of their picture."));
  named("not sent", "not_sent", gap("not_sent", "not sent", "These seconds of the file were not sent."));
  named("sent", "segments", (item) => item.start === null || item.end === null ? null : ({
    from: item.start, to: item.end, look: item.receipt === "dropped" || item.receipt === "refused" ? "dropped" : "segment",
    text: item.receipt, title: `part ${item.number} of the media: ${item.receipt}`, more: `${item.bytes} bytes`,
  }));
  return found;
}

/** How much media there was; of a file that was not sent whole, where its stream ended. */
function extent(drawing) {
  const unsent = drawing.not_sent ?? [];
  if (!unsent.length) return `${clock(drawing.seconds ?? 0)} of media`;
  return `${drawing.reason === "stopped" ? "stopped" : "ended"} at ${clock(unsent[0][0])} of ${clock(unsent.at(-1)[1])}`;
}

/** A line about the stream; a date is never broken. */
function aboutLine(text) {
  const line = make("p");
  text.split(" · ").forEach((part, index) => {
    if (index) line.append(" · ");
    line.append(/\d{4}-\d\d-\d\d/.test(part) ? make("span", "timeline-time", part) : part);
  });
  return line;
}

/** One timeline in the page; `draw` may be called again and again. */
export class TimelineView {
  constructor(root) {
    this.root = root;
    this.rows = new Map();
    this.moreLanes = []; // of the page: a transcript, notes
    this.onChoose = () => {}; // an entry was clicked, or Enter pressed on it
    this.isShown = () => true; // of a lane and one of its entries
    this.onDraw = () => {}; // with all lanes, shown or not
    root.classList.add("timeline");
    this.#build();
  }

  #build() {
    const bar = make("div", "timeline-bar");
    this.zoom = new Zoom({ onChange: () => this.whole && this.draw(this.whole), here: () => this.#here(), clock });
    this.summary = make("p");
    bar.append(this.zoom.node, this.summary);
    this.at = null; // the media time that a video shows

    this.lanes = make("div", "timeline-lanes");
    this.lanes.setAttribute("role", "group");
    this.lanes.setAttribute("aria-label", "Timeline. Arrow keys go from entry to entry.");
    this.lanes.addEventListener("keydown", (event) => this.#move(event));
    this.scale = this.#row("time", "timeline-scale");
    this.scale.track.setAttribute("aria-hidden", "true");
    this.ticks = () => {};
    new ResizeObserver(() => this.ticks()).observe(this.scale.track); // times never lie over each other

    this.detail = make("div", "timeline-detail");
    this.#tell(null);
    this.key = make("ul", "timeline-key");
    const table = make("details");
    table.append(make("summary", "", "The same as a table"));
    this.table = make("div", "timeline-scroll");
    this.table.tabIndex = 0;
    this.table.setAttribute("role", "region");
    this.table.setAttribute("aria-label", "Timeline as a table");
    table.append(this.table);
    table.addEventListener("toggle", () => this.drawing && this.#tabulate());
    this.tableBox = table;
    this.about = make("div", "timeline-about");
    this.facts = make("div", "timeline-facts");
    this.root.replaceChildren(this.about, bar, this.lanes, this.detail, this.key, table, this.facts);
    this.root.addEventListener("keydown", (event) => this.#onZoomKey(event));
  }

  #row(name, className = "") {
    const lane = make("div", `timeline-lane ${className}`);
    const track = make("div", "timeline-track");
    lane.append(make("div", "timeline-name", name), track);
    lane.setAttribute("role", "group");
    lane.setAttribute("aria-label", name);
    const row = { lane, track, items: [], line: null };
    this.lanes.append(lane);
    return row;
  }

  draw(whole) {
    const drawing = bounded(whole);
    this.whole = whole;
    this.drawing = drawing;
    const end = Math.max(drawing.seconds ?? 0, 10);
    const [who, ...facts] = drawing.about ?? [];
    this.about.replaceChildren(...(who ? [aboutLine(who)] : []));
    this.facts.replaceChildren(...facts.map(aboutLine));
    this.zoom.fit(end, Boolean(drawing.ended));
    const { from, to } = this.zoom;
    const place = (seconds) => ((seconds - from) / (to - from)) * 100;
    this.place = place;
    this.ticks = () => this.#ticks(from, to, place);
    this.ticks();
    const wanted = this.shown();
    this.#legend(wanted);
    this.ground = gaps(drawing);
    for (const [id, row] of this.rows) {
      if (wanted.some((lane) => lane.id === id)) continue;
      row.lane.remove();
      this.rows.delete(id);
    }
    wanted.forEach((lane, index) => {
      if (!this.rows.has(lane.id)) this.rows.set(lane.id, this.#row(lane.name, lane.key === "quality" ? "timeline-tall" : ""));
      const row = this.rows.get(lane.id);
      const here = this.lanes.children[index + 1]; // the scale comes first
      if (here !== row.lane) this.lanes.insertBefore(row.lane, here ?? null); // moving loses the focus
      this.#fill(row, lane, place);
    });
    this.#oneTabStop();
    const spans = (whole.spans ?? []).length;
    this.summary.textContent = `${extent(drawing)}, ${spans} ${spans === 1 ? "span" : "spans"} of signals${!spans && end < LITTLE_SECONDS ? "; some readings need 12 s of speech first" : ""}${leftOut(drawing).map((line) => `; ${line}`).join("")}`;
    if (this.tableBox.open) this.#tabulate();
    this.onDraw([...lanes(drawing), ...this.moreLanes]);
  }

  /** The lanes with the entries that are shown. */
  shown() {
    return [...lanes(this.drawing), ...this.moreLanes]
      .map((lane) => ({ ...lane, items: lane.items.filter((item) => this.isShown(lane, item)) }))
      .filter(({ items }) => items.length);
  }

  /** The entries that are shown, by their beginning; segments are no finding. */
  marks() {
    const items = this.drawing ? this.shown().filter(({ key }) => key !== "segments").flatMap((lane) => lane.items) : [];
    return items.sort((one, other) => one.from - other.from);
  }

  /** Show what an entry says, as if it was pointed at. */
  choose({ from, title }) {
    this.zoom.turnTo(from);
    const node = this.#nodes().flat().find(({ told }) => told.from === from && told.title === title);
    if (node) this.#tell(node);
  }

  /** A line over all lanes at a media time; none where it is null. */
  playhead(seconds) {
    const leaves = seconds !== null && this.at !== null && this.zoom.holds(this.at) && !this.zoom.holds(seconds);
    this.at = seconds;
    if (leaves) this.zoom.turnTo(seconds); // what plays goes on to the next part
    this.lanes.style.setProperty("--playhead", seconds === null ? "-10px" : `${this.place(seconds)}%`);
  }

  #ticks(from, to, place) {
    const step = tickSeconds(to - from, 8);
    const ticks = [];
    const last = this.drawing.seconds ?? 0;
    const hasEnd = to >= last;
    const free = Math.min(to, last) - ((to - from) * (hasEnd ? END_PIXELS : TICK_PIXELS)) / (this.scale.track.clientWidth || 1000);
    for (let at = Math.ceil(from / step) * step; at < Math.min(free, hasEnd ? last - step / 2 : to); at += step) {
      const tick = make("span", "timeline-tick", clock(at));
      tick.style.left = `${place(at)}%`;
      ticks.push(tick);
    }
    this.scale.track.replaceChildren(...ticks);
    if (!hasEnd) return;
    const tick = make("span", "timeline-tick timeline-end", `${clock(last)} ${this.drawing.ended ? "end" : "now"}`);
    if (place(last) > 15) tick.style.right = `${100 - place(last)}%`;
    this.scale.track.append(tick);
  }

  #legend(wanted) {
    const looks = new Set(wanted.flatMap(({ items }) => items.map(({ look }) => look)));
    const scores = new Set(wanted.flatMap(({ items }) => items.flatMap(({ values }) => Object.keys(values ?? {}))));
    const shown = [
      ...LEGEND.filter(([look]) => looks.has(look)).map(([look, text]) => [`timeline-${look}`, text]),
      ...SCORES.filter((name) => scores.has(name)).map((name) => [`timeline-score timeline-score-${name}`, name.replace("_", " ")]),
    ];
    const told = JSON.stringify(shown);
    if (told === this.shownKey) return;
    this.shownKey = told;
    this.key.replaceChildren(...shown.map(([className, text]) => {
      const item = make("li");
      item.append(make("span", className), text);
      return item;
    }));
  }

  #ground(row, lane, place) {
    const wanted = lane.hasGround ? this.ground : [];
    row.gaps ??= [];
    wanted.forEach(({ look, from, to }, index) => {
      if (!row.gaps[index]) row.track.prepend(row.gaps[index] = make("div"));
      const node = row.gaps[index];
      node.className = `timeline-gap timeline-${look}`;
      node.style.left = `${Math.max(0, place(from))}%`;
      node.style.width = `${Math.max(0, Math.min(100, place(to)) - Math.max(0, place(from)))}%`;
    });
    for (const node of row.gaps.splice(wanted.length)) node.remove();
  }

  #fill(row, lane, place) {
    const layers = 1 + Math.max(...lane.items.map(({ layer = 0 }) => layer));
    row.track.style.height = layers > 1 ? `${1.75 + 0.95 * (layers - 1)}rem` : "";
    this.#ground(row, lane, place);
    lane.items.forEach((item, index) => {
      const node = row.items[index] ?? this.#item(row, index);
      const left = Math.max(0, place(item.from));
      const right = Math.min(100, place(item.to));
      node.hidden = right < 0 || left > 100;
      node.style.left = `${left}%`;
      node.style.width = `${Math.max(0, right - left)}%`;
      const layer = item.layer ?? 0;
      node.style.top = layers > 1 ? `calc(${(layer / layers) * 100}% + 1px)` : "";
      node.style.bottom = layers > 1 ? `calc(${(1 - (layer + 1) / layers) * 100}% + 1px)` : "";
      const [before, after] = [lane.items[index - 1], lane.items[index + 1]];
      const look = [
        "timeline-item", `timeline-${item.look}`,
        (item.isOpen || item.isImplicit) && "timeline-open",
        item.span !== undefined && before?.span === item.span && "timeline-goes-on",
        item.span !== undefined && after?.span === item.span && "timeline-changes",
      ].filter(Boolean).join(" ");
      if (node.className !== look) node.className = look;
      if (node.textContent !== item.text) node.textContent = item.text;
      const told = `${item.title}, ${clock(item.from)} to ${item.isOpen ? "now" : clock(item.to)}${item.isImplicit ? ", no message ended it" : ""}${item.more ? ". " + item.more : ""}`;
      if (node.getAttribute("aria-label") !== told) node.setAttribute("aria-label", told);
      node.told = item;
      if (this.told === node) this.#tell(node);
    });
    for (const node of row.items.splice(lane.items.length)) node.remove();
    if (lane.key === "quality") this.#line(row, lane, place);
  }

  #item(row, index) {
    const node = make("button", "timeline-item");
    node.type = "button";
    node.tabIndex = -1;
    for (const event of ["focus", "mouseenter", "click"]) node.addEventListener(event, () => this.#tell(node));
    node.addEventListener("click", () => this.onChoose(node.told));
    row.items[index] = node;
    row.track.append(node);
    return node;
  }

  #line(row, lane, place) {
    const space = "http://www.w3.org/2000/svg";
    if (!row.line) {
      const svg = document.createElementNS(space, "svg");
      svg.setAttribute("class", "timeline-line");
      svg.setAttribute("viewBox", "0 0 100 100");
      svg.setAttribute("preserveAspectRatio", "none");
      svg.setAttribute("aria-hidden", "true");
      row.line = svg;
      for (const name of SCORES) {
        const path = document.createElementNS(space, "path");
        path.setAttribute("class", `timeline-score-${name}`);
        svg.append(path);
      }
      row.track.prepend(svg, ...[0, 50, 100].map((score) => make("span", `timeline-level timeline-level-${score}`, String(score))));
    }
    SCORES.forEach((name, index) => {
      const known = lane.items.filter(({ values }) => typeof values[name] === "number");
      const steps = known.map((item, at) => {
        const level = 94 - 0.88 * Math.min(100, Math.max(0, item.values[name]));
        const goesOn = at > 0 && item.from <= known[at - 1].to + 0.01; // else there is a hole
        return `${goesOn ? "L" : "M"}${place(item.from)} ${level}L${place(item.to)} ${level}`;
      });
      row.line.children[index].setAttribute("d", steps.join(""));
    });
  }

  #tell(node) {
    this.told?.removeAttribute("aria-current");
    this.told = node;
    if (!node) {
      this.detail.replaceChildren(make("p", "", "Point at an entry, or press Tab and the arrow keys, to read it here."));
      return;
    }
    node.setAttribute("aria-current", "true");
    const { title, from, to, isOpen, isImplicit, more, meaning } = node.told;
    const head = make("p");
    head.append(make("strong", "", title), ` · ${clock(from)} to ${isOpen ? "now" : clock(to)}${isImplicit ? ", no message ended it" : ""}`);
    const texts = [more && make("p", "", more), meaning && make("p", "quiet", `What it stands for: ${meaning}.`)];
    this.detail.replaceChildren(head, ...texts.filter(Boolean));
  }

  /** The entries of each lane, also those of parts that are not shown. */
  #nodes() {
    return [...this.lanes.querySelectorAll(".timeline-lane")]
      .map((lane) => [...lane.querySelectorAll(".timeline-item")])
      .filter((items) => items.length);
  }

  #oneTabStop() {
    const all = this.#nodes().flat();
    const stop = all.find((node) => node.tabIndex === 0);
    if (stop && !stop.hidden) return;
    if (stop) stop.tabIndex = -1;
    const first = all.find((node) => !node.hidden);
    if (first) first.tabIndex = 0;
  }

  /** The media time that a person looks at: of the video, or of the entry that is told. */
  #here() { return this.at ?? this.told?.told.from ?? null; }

  #onZoomKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, textarea, select")) return;
    if (event.key === "+" || event.key === "=") this.zoom.step(1);
    else if (event.key === "-") this.zoom.step(-1);
    else if (event.key === "0") this.zoom.everything();
  }

  #move(event) {
    const rows = this.#nodes();
    const at = rows.findIndex((items) => items.includes(document.activeElement));
    if (at < 0) return;
    const index = rows[at].indexOf(document.activeElement);
    const here = document.activeElement.told.from;
    const away = ({ told }) => Math.abs(told.from - here);
    const nearest = (row) => rows[row]?.reduce((one, other) => (away(other) < away(one) ? other : one));
    const targets = {
      ArrowRight: rows[at][index + 1], ArrowLeft: rows[at][index - 1],
      ArrowDown: nearest(at + 1), ArrowUp: nearest(at - 1),
      Home: rows[at][0], End: rows[at].at(-1),
    };
    if (!(event.key in targets)) return;
    event.preventDefault();
    const target = targets[event.key];
    if (!target) return;
    document.activeElement.tabIndex = -1;
    target.tabIndex = 0;
    this.zoom.turnTo(target.told.from);
    target.focus();
  }

  #tabulate() { this.table.replaceChildren(this.asTable()); }

  /** Lanes as a table by time, what was sent last; without any, what is shown. */
  asTable(found = this.shown()) {
    const table = make("table");
    const head = make("tr");
    for (const name of ["what", "from", "to", "details"]) {
      const cell = make("th", "", name);
      cell.scope = "col";
      head.append(cell);
    }
    const body = make("tbody");
    const [findings, sent] = [false, true].map((isSent) => found.filter(({ key }) => (key === "segments") === isSent).flatMap((lane) => lane.items));
    for (const item of [...findings.sort((one, other) => one.from - other.from || one.to - other.to), ...sent]) {
      const row = make("tr");
      for (const text of [item.title, clock(item.from), item.isOpen ? "now" : clock(item.to), item.more]) row.append(make("td", /^\d+:/.test(text) ? "timeline-time" : "", text));
      body.append(row);
    }
    const top = make("thead");
    top.append(head);
    table.append(top, body);
    return table;
  }
}
