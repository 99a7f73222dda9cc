import { clock } from "./timeline.js";

// The video beside the timeline. The file stays in the browser: it is opened as a blob, and no byte of
// it is sent anywhere. Notes are kept in this page alone; "Save" puts them into a copy of it.

const BEFORE_SECONDS = 1; // a mark plays from so long before it
const NEAR_SECONDS = 0.25; // "next" goes beyond a mark that the playhead stands on
const MAX_NOTE_CHARS = 2000;

function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  const { label, ...own } = properties;
  Object.assign(node, own);
  if (label) node.setAttribute("aria-label", label);
  node.append(...children);
  return node;
}

function chooser(text, accept, onFile) {
  const input = element("input", { type: "file", accept });
  input.addEventListener("change", () => input.files[0] && onFile(input.files[0]));
  return element("label", { className: "button" }, text, input);
}

function button(text, onClick) {
  const node = element("button", { type: "button", className: "button", textContent: text });
  node.addEventListener("click", onClick);
  return node;
}

/**
 * What is wrong with a file that was opened for this drawing, in words; empty where nothing is.
 * `seconds`: the duration of the file, in which a browser counts its `start`, or not, or a part of it. A stream that was
 * stopped halfway is shorter than its file; a length that was estimated may differ from what was sent.
 */
export function mismatch(drawing, name, seconds, start) {
  const found = [];
  const of = drawing.is_camera ? {} : { file: drawing.source, seconds: drawing.source_seconds }; // a camera has no file
  const known = [of.seconds, drawing.seconds].filter(Boolean).map((media) => fileSeconds(drawing, media));
  const fits = known.some((wanted) => {
    const slack = Math.max(2, wanted * 0.02);
    return wanted - slack <= seconds && seconds <= wanted + start + slack;
  });
  if (of.file && of.file !== name) found.push(`The timeline is of ${of.file}, this file is ${name}.`);
  if (Number.isFinite(seconds) && known.length && !fits) {
    found.push(`The timeline is of ${clock(known[0])} of media, this file has ${clock(Math.round(seconds * 10) / 10)}.`);
  }
  return found.length ? `${found.join(" ")} Marks may not fit.` : "";
}

/** Seconds of the file at a media time: where the clock of the file jumps, the jump was left out. */
export function fileSeconds(drawing, media) {
  let place = media;
  for (const { at_s: jump, left_out_s: out } of drawing.clock_jumps ?? []) if (media >= jump) place += out;
  return place;
}

/** The media time at a place in the file; within a jump, where the jump begins. */
export function mediaSeconds(drawing, place) {
  let media = place;
  for (const { at_s: jump, left_out_s: out } of drawing.clock_jumps ?? []) if (media > jump) media = Math.max(jump, media - out);
  return media;
}

export class Review {
  /** `command`: what helps where this browser cannot play the file; `source`: an address of the video, `name`: of its file. */
  constructor(root, view, { command = "", source = "", name = null, notes = [], save = null } = {}) {
    Object.assign(this, { root, view, command, save, notes });
    this.savedNotes = JSON.stringify(notes);
    this.cues = [];
    this.words = "";
    this.noteAt = null; // the media time of the note that is being written
    this.hidden = new Set();
    view.onChoose = (item) => this.#choose(item);
    view.onDraw = (lanes) => { this.#showChoice(lanes); this.#tellFound(); this.#follow(); };
    view.isShown = (lane, item) => this.#isShown(lane, item);
    this.#build();
    this.#showNotes();
    if (source) this.#load(source, name);
    for (const node of [root, view.root]) node.addEventListener("keydown", (event) => this.#onKey(event));
    window.addEventListener("beforeunload", (event) => { if (this.hasUnsaved) event.preventDefault(); });
  }

  #build() {
    this.status = element("p", { className: "review-status" });
    this.status.setAttribute("role", "status");
    this.video = element("video", { controls: true, playsInline: true, preload: "auto" });
    this.now = element("ul", { className: "review-now", tabIndex: 0, label: "Open at this moment" }); // so that keys scroll it
    this.noteText = element("textarea", { rows: 2, maxLength: MAX_NOTE_CHARS, label: "A note at this moment" });
    this.noteText.addEventListener("input", () => this.#stampNote());
    this.noteStatus = element("p", { className: "quiet" });
    this.noteStatus.setAttribute("role", "status");
    this.noteList = element("ol", { className: "review-notes" });
    const find = element("input", { type: "search", placeholder: "Find a word", label: "Find a word in the marks" });
    find.addEventListener("input", () => { this.words = find.value.trim(); this.#redraw(); });
    this.found = element("p", { className: "review-found" });
    this.found.setAttribute("role", "status");
    this.laneBox = element("div", { className: "review-lanes" });
    this.stage = element("div", { className: "review-stage", hidden: true }, this.video,
      element("div", {}, element("h2", { textContent: "Now" }), this.now));
    this.notesBox = element("div", { className: "review-note", hidden: true }, element("h2", { textContent: "My notes" }),
      element("div", { className: "review-bar" }, this.noteText, button("Add note", () => this.#addNote())), this.noteStatus, this.noteList);
    if (this.save) this.notesBox.append(button("Save this page with my notes", () => this.saveNotes()));
    this.root.classList.add("review");
    this.root.replaceChildren(
      element("div", { className: "review-bar" },
        chooser("Open the video…", "video/*,audio/*", (file) => this.open(file)),
        chooser("Open a transcript…", ".vtt,text/vtt", (file) => this.openTranscript(file)),
        button("Previous mark", () => this.step(-1)), button("Next mark", () => this.step(1)), find),
      element("details", {}, element("summary", { textContent: "Choose lanes" }), this.laneBox),
      this.status, this.stage, this.found,
      element("p", { className: "quiet", textContent: "The video stays on this computer. Keys, while the focus is here or in the timeline: N next mark, P previous mark, Space plays and stops, + and − zoom, 0 shows everything." }));
    this.notesHint = element("p", { className: "review-hint quiet", textContent: "Open the video to write notes of your own." });
    this.view.root.after(this.notesHint, this.notesBox);
    this.video.addEventListener("loadedmetadata", () => { this.stage.hidden = false; this.#openNotes(); });
    this.video.addEventListener("loadeddata", () => this.#onFirstPicture());
    this.video.addEventListener("durationchange", () => { this.#compare(); this.#seek(); });
    for (const event of ["pointerdown", "keydown"]) this.video.addEventListener(event, () => { this.wanted = null; }); // they choose a place
    this.video.addEventListener("error", () => this.#onError());
    for (const event of ["timeupdate", "seeked", "play"]) this.video.addEventListener(event, () => this.#follow());
  }

  /** Open a file that the person chose. */
  open(file, { isOwn = false } = {}) {
    this.isOwn = isOwn; // what this page recorded fits, whatever its name
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = URL.createObjectURL(file);
    this.#load(this.url, file.name);
  }

  #load(address, name) {
    this.name = name;
    this.saidOfFile = null;
    this.wanted = null; // the media time to go to, until the video is there
    this.start = null; // where the clock of the file starts, which is not always 0; null until it is known
    this.status.textContent = "Opening the video…";
    this.video.src = address;
  }

  #onFirstPicture() {
    this.start ??= this.video.currentTime;
    this.#compare();
    if (this.video.duration === Infinity) this.#findEnd();
    this.#seek();
    this.#follow();
  }

  #compare() {
    if (this.start === null) return;
    const isKnown = this.name === null || this.isOwn;
    const text = isKnown ? "" : mismatch(this.#drawing, this.name, this.video.duration, this.start);
    if (text === this.saidOfFile) return; // what was said of a transcript stays
    this.status.textContent = this.saidOfFile = text;
  }

  /** A recorder's file names no duration: a seek beyond the end finds it, and lets the person seek. */
  #findEnd() {
    this.video.addEventListener("seeked", () => { this.video.currentTime = this.start; }, { once: true });
    this.video.currentTime = 1e7;
  }

  #onError() {
    this.stage.hidden = true;
    this.view.playhead(null);
    this.status.textContent = `This browser cannot play ${this.name ?? "the video"}.${this.command ? ` This serves a copy that it can play: ${this.command}` : ""}`;
  }

  get #drawing() { return this.view.drawing ?? {}; }

  /** The media time that the video shows. */
  get seconds() {
    return mediaSeconds(this.#drawing, Math.max(0, this.video.currentTime - (this.start ?? 0)));
  }

  /** Play from a media time, if a video is open. */
  play(seconds) {
    if (this.stage.hidden) return;
    this.wanted = Math.max(0, seconds);
    this.#seek();
    this.video.play().catch(() => {}); // a browser may want a click first; it stands at the place
  }

  /** Of an MP4 whose clock starts late, Chromium learns the true end only as it reads: it is asked again then. */
  #seek() {
    if (this.start === null || this.wanted === null) return;
    const place = this.start + fileSeconds(this.#drawing, this.wanted);
    this.video.currentTime = place;
    if (this.video.currentTime > place - NEAR_SECONDS) this.wanted = null; // else it is at the end that is known
  }

  /** To the next mark, or the one before. */
  step(by) {
    const marks = this.view.marks();
    const here = this.stage.hidden ? (this.chosen ?? -1) : this.seconds + (by > 0 ? BEFORE_SECONDS : BEFORE_SECONDS - NEAR_SECONDS);
    const found = by > 0
      ? marks.find(({ from }) => from > here + NEAR_SECONDS)
      : marks.findLast(({ from }) => from < here - NEAR_SECONDS);
    if (!found) return;
    this.view.choose(found);
    this.#choose(found);
  }

  #choose({ from }) {
    this.chosen = from;
    this.play(from - BEFORE_SECONDS);
    this.#stampNote();
  }

  #follow() {
    if (this.stage.hidden) return;
    const at = this.seconds;
    this.view.playhead(at);
    const open = this.view.marks().filter(({ from, to }) => from <= at && at < Math.max(to, from + NEAR_SECONDS));
    const text = JSON.stringify([this.words, this.hidden.size, open.map(({ title, more }) => [title, more])]);
    if (text === this.shownNow) return;
    this.shownNow = text;
    const line = ({ title, more }) => element("li", {}, element("strong", { textContent: title }), element("span", { textContent: more }));
    this.now.replaceChildren(...(open.length ? open.map(line) : [element("li", { textContent: this.#nothingOpen() })]));
  }

  #nothingOpen() {
    if (this.words) return `Nothing that matches '${this.words}' is open now.`;
    return this.hidden.size ? "Nothing in the chosen lanes is open now." : "Nothing is open at this moment.";
  }

  /** Where a search or the choice of lanes leaves nothing, the page says so. */
  #tellFound() {
    const isEmpty = (this.words || this.hidden.size) && !this.view.shown().length;
    const marks = this.hidden.size ? "mark in the chosen lanes" : "mark";
    const text = this.words ? `No ${marks} contains '${this.words}'.` : "No lane with marks is chosen.";
    this.found.textContent = isEmpty ? text : "";
  }

  #showChoice(lanes) {
    const ids = JSON.stringify(lanes.map(({ id }) => id));
    if (ids === this.shownLanes) return;
    this.shownLanes = ids;
    this.laneBox.replaceChildren(...lanes.map(({ id, name }) => {
      const box = element("input", { type: "checkbox", checked: !this.hidden.has(id) });
      box.addEventListener("change", () => { if (box.checked) this.hidden.delete(id); else this.hidden.add(id); this.#redraw(); });
      return element("label", {}, box, name);
    }));
  }

  #isShown(lane, { title, more, text }) {
    return !this.hidden.has(lane.id) && (!this.words || `${title} ${more} ${text}`.toLowerCase().includes(this.words.toLowerCase()));
  }

  #redraw() { if (this.view.whole) this.view.draw(this.view.whole); }

  /** A transcript beside the lanes; the browser reads it. */
  openTranscript(file) {
    const address = URL.createObjectURL(file);
    const track = element("track", { kind: "metadata", src: address });
    const done = (text) => { this.status.textContent = text; track.remove(); URL.revokeObjectURL(address); };
    track.addEventListener("load", () => {
      this.cues = [...track.track.cues].map((cue) => ({ from: cue.startTime, to: cue.endTime, text: cue.text.replace(/<[^>]*>/g, "") }));
      done(this.cues.length ? "" : `${file.name} has no cues.`);
      this.#moreLanes();
    });
    track.addEventListener("error", () => done(`${file.name} is no WebVTT transcript.`));
    this.video.append(track);
    track.track.mode = "hidden"; // that loads it
  }

  #openNotes() {
    this.notesBox.hidden = false;
    this.notesHint.hidden = true;
  }

  /** A note is of the moment at which it was begun; without a video, of the mark that is chosen. */
  #stampNote() {
    if (!this.noteText.value.trim()) this.noteAt = null;
    else this.noteAt ??= this.stage.hidden ? (this.chosen ?? null) : this.seconds;
    this.noteStatus.textContent = this.noteAt === null ? "" : `at ${clock(this.noteAt)}`;
  }

  #addNote() {
    const text = this.noteText.value.trim();
    if (!text) return;
    this.#stampNote();
    if (this.noteAt === null) {
      this.noteStatus.textContent = "Choose a moment or open the video first.";
      return;
    }
    this.notes = [...this.notes, { at: Math.round(this.noteAt * 10) / 10, text }].sort((one, other) => one.at - other.at);
    this.noteText.value = "";
    this.#stampNote();
    this.#showNotes();
  }

  /** Whether leaving the page loses a note, or a change of one. */
  get hasUnsaved() {
    return !this.mayGo && (this.noteText.value.trim() !== "" || JSON.stringify(this.notes) !== this.savedNotes);
  }

  async saveNotes() {
    const notes = this.notes;
    await this.save(notes);
    this.savedNotes = JSON.stringify(notes);
  }

  /** The person said that what is not saved may go. */
  letGo() { this.mayGo = true; }

  #showNotes() {
    if (this.notes.length) this.#openNotes();
    this.noteList.replaceChildren(...this.notes.map((note) => element("li", {},
      button(clock(note.at), () => this.play(note.at - BEFORE_SECONDS)), element("span", { textContent: note.text }),
      button("Remove", () => { this.notes = this.notes.filter((other) => other !== note); this.#showNotes(); }))));
    this.#moreLanes();
  }

  #moreLanes() {
    const lane = (id, items) => items.length ? [{ id, name: id, items: items.map(({ from, to, text }) => ({ from, to, text, title: id, more: text, look: "words", isOpen: false })) }] : [];
    this.view.moreLanes = [...lane("transcript", this.cues), ...lane("my notes", this.notes.map(({ at, text }) => ({ from: at, to: at, text })))];
    this.#redraw();
  }

  #onKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest?.("input, textarea, select")) return;
    if (event.key === "n" || event.key === "N") this.step(1);
    else if (event.key === "p" || event.key === "P") this.step(-1);
    else if (event.key === " " && !this.stage.hidden && !event.target.closest?.("button, summary, video, label")) {
      if (this.video.paused) this.video.play().catch(() => {}); else this.video.pause();
      event.preventDefault();
    }
  }
}
