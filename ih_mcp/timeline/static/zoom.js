// Which part of a timeline is shown: all of it, or some seconds around a moment.

const LENGTHS = [[0, "everything"], [1200, "20 minutes"], [300, "5 minutes"], [60, "1 minute"], [20, "20 seconds"]];
const AHEAD = 0.15; // of what is shown stands before a moment that is turned to

function control(tag, properties) { return Object.assign(document.createElement(tag), properties); }

export class Zoom {
  /** `onChange` draws anew; `here` is the media time that the person looks at, or null; `clock` writes a time. */
  constructor({ onChange, here, clock }) {
    Object.assign(this, { onChange, here, clock });
    this.length = 0; // in seconds; 0: everything
    this.start = null; // of what is shown; null: its newest part
    this.from = this.to = this.end = 0;
    this.isOver = true;
    this.#build();
  }

  #build() {
    this.choice = control("select", {});
    this.choice.append(...LENGTHS.map(([value, textContent]) => control("option", { value: String(value), textContent })));
    this.choice.addEventListener("change", () => this.#set(Number(this.choice.value)));
    const label = control("label", { textContent: "Show " });
    label.append(this.choice);
    this.nearer = control("button", { type: "button", textContent: "Zoom in" });
    this.farther = control("button", { type: "button", textContent: "Zoom out" });
    this.nearer.addEventListener("click", () => this.step(1));
    this.farther.addEventListener("click", () => this.step(-1));
    this.part = control("input", { type: "range", min: 0, step: 1, className: "timeline-part" });
    this.part.setAttribute("aria-label", "Which part of the timeline is shown");
    this.part.addEventListener("input", () => this.#move(Number(this.part.value)));
    this.node = control("div", { className: "timeline-zoom" });
    this.node.append(label, this.nearer, this.farther, this.part);
  }

  get #lengths() { return LENGTHS.map(([length]) => length).filter((length) => length < this.end); }

  /** Nearer, or farther off. */
  step(by) {
    const known = this.#lengths;
    const found = known[Math.max(0, known.indexOf(this.length) + by)];
    if (found !== undefined && found !== this.length) this.#set(found);
  }

  everything() { this.#set(0); }

  #set(length) {
    const moment = this.here() ?? (this.from + this.to) / 2;
    this.length = length;
    this.start = this.isOver ? moment - length / 2 : null;
    this.onChange();
  }

  #move(start) {
    this.start = !this.isOver && start >= Number(this.part.max) ? null : start;
    this.onChange();
  }

  holds(seconds) { return this.from <= seconds && seconds <= this.to; }

  /** Show the part that a moment stands in. */
  turnTo(seconds) {
    if (this.holds(seconds)) return;
    this.start = seconds - AHEAD * this.length;
    this.onChange();
  }

  /** The part to show of so many seconds; more of them come while the stream is not over. */
  fit(end, isOver) {
    Object.assign(this, { end, isOver });
    if (this.length >= end) this.length = 0;
    const last = this.length ? end - this.length : 0;
    this.from = Math.min(last, Math.max(0, this.start ?? last));
    this.to = this.length ? this.from + this.length : end;
    this.#show(last);
  }

  #show(last) {
    const known = this.#lengths;
    for (const option of this.choice.options) option.hidden = !known.includes(Number(option.value));
    this.choice.value = String(this.length);
    this.nearer.disabled = this.length === known.at(-1);
    this.farther.disabled = !this.length;
    this.part.hidden = !this.length;
    this.part.max = Math.ceil(last);
    this.part.value = this.from;
    this.part.setAttribute("aria-valuetext", `${this.clock(Math.round(this.from))} to ${this.clock(Math.round(this.to))}`);
  }
}
