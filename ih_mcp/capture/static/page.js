// The page: exchanges its ticket for a key, connects with it, records, and shows the timeline.

import { Link } from "./link.js";
import { Recorder, openCamera, trouble } from "./recorder.js";
import { RecordingCopy } from "./recording_copy.js";
import { Review } from "./review.js";
import { download, fileName, pageWith } from "./save.js";
import { Sender } from "./sender.js";
import { TimelineView, apply, clock, lanes } from "./timeline.js";

const MAX_SHOWN = 300;
const MAX_MEASURED = 200;
const CLOCK_ROUNDS = 8;
const page = crypto.randomUUID();
const $ = (id) => document.getElementById(id);
const state = {
  drawing: {}, cursor: 0, clockDifference: 0, recorder: null, isStarting: false, isOver: false, isDrawing: false,
  welcome: null, sentSeconds: 0, sentChunks: 0, droppedSeconds: 0, toWire: [], toDrawing: [],
};
const view = new TimelineView($("timeline"));
const copy = new RecordingCopy();
const template = fetch("static/file.html").then((answer) => answer.text()); // the server may be gone by the end

const say = (text) => { $("said").textContent = text; };
const complain = (text) => { $("trouble").textContent = text; };
/** What happened and what helps, as sentences; a name at the start keeps its case. */
function complainOf({ what, help }) {
  const begun = what.replace(/^\p{L}(?=[\p{L}']*(\s|$))/u, (letter) => letter.toUpperCase());
  complain(`${begun.replace(/\.$/, "")}. ${help}`);
}
const show = (id, text) => { if ($(id).textContent !== text) $(id).textContent = text; };
const size = (bytes) => bytes < 2 ** 20 ? `${Math.round(bytes / 1024)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;

function median(list, value) {
  list.push(value);
  if (list.length > MAX_MEASURED) list.shift();
  const sorted = [...list].sort((a, b) => a - b);
  return `${sorted[Math.floor(sorted.length / 2)].toFixed(1)} ms (median of ${list.length})`;
}

// --- recording ---------------------------------------------------------------------------------

const sender = new Sender({
  send: ({ recording, seq, blob, at }) => link.sayWith("chunk", { recording, seq, at }, blob),
  onOverflow: ({ seconds, bytes }) => {
    noteDropped(seconds);
    complain(`The connection is too slow: ${seconds.toFixed(0)} s (${size(bytes)}) were dropped. Recording goes on with half the bit rate.`);
    state.recorder?.restart({ abandon: true, slower: true });
  },
});

function noteDropped(seconds) {
  state.droppedSeconds += seconds;
  show("dropped", `${state.droppedSeconds.toFixed(1)} s`);
  if (state.isOver) return; // nothing counts it any more
  if (!link.say("dropped", { seconds })) state.unreported = (state.unreported ?? 0) + seconds;
}

/** Whether a recording may begin. */
const isOpen = () => Boolean(state.welcome?.may_record) && !state.isOver && !state.isEnding;

async function start({ takesOver = false } = {}) {
  complain("");
  state.isStarting = true;
  showButtons();
  say("Waiting for camera and microphone…");
  let media;
  try {
    media = await openCamera();
    state.isStarting = false;
    if (!isOpen()) { // it took a while to be allowed
      for (const track of media.getTracks()) track.stop();
      return;
    }
    const recorder = new Recorder(media, {
      wholeMs: state.welcome.whole ? state.welcome.target_seconds * 1000 : 0,
      minMs: (state.welcome.min_seconds ?? 0) * 1000,
      onChunk: (chunk) => {
        if (!state.welcome.whole) copy.add(chunk.recording, recorder.type, chunk.blob);
        sender.put(chunk);
        showQueue();
      },
      onShort: (seconds) => { noteDropped(seconds); say(`The last ${seconds.toFixed(1)} s were too short to be analysed.`); },
      onError: (error) => { complain(trouble(error)); stop(); },
    });
    state.recorder = recorder;
  } catch (error) {
    for (const track of media?.getTracks() ?? []) track.stop();
    state.isStarting = false;
    say("");
    complain(trouble(error));
    showButtons();
    return;
  }
  $("preview").srcObject = media;
  for (const track of media.getTracks()) {
    track.addEventListener("ended", () => { complain("The camera or microphone went away."); stop(); });
  }
  link.say("claim", { takes_over: takesOver });
  state.recorder.start();
  if (state.welcome.whole) state.second = copy.record(media, state.recorder.type);
  state.recordingSince = performance.now();
  say(media.getAudioTracks().length ? "Recording." : "Recording, without sound: no microphone was found.");
  showButtons();
}

async function stop(text = "Stopped.") {
  sessionStorage.removeItem("recording");
  const { recorder } = state;
  state.recorder = null;
  if (recorder) state.recordedMs = (state.recordedMs ?? 0) + performance.now() - state.recordingSince;
  if (state.second?.state === "recording") state.second.stop();
  $("preview").srcObject = null;
  showButtons();
  say(""); // what was said of the recording holds no longer
  await recorder?.stop();
  if (text) say(text);
  if (recorder && !link.isReady && !state.isOver) offerSaving();
  finish();
}

/** What waits here will never be taken. */
function forget() {
  const { seconds } = sender;
  sender.queue.length = 0;
  sender.lost();
  if (seconds) noteDropped(seconds);
}

async function end() {
  await stop("Ending: what was sent is still analysed.");
  state.isEnding = true;
  finish();
  showButtons();
}

/** The end is said after the last chunk, never before it. */
function finish() {
  if (state.isOver) return;
  if (state.isEnding) {
    if (!sender.queue.length && !state.hasEnded) state.hasEnded = link.say("end");
  } else if (!state.recorder && !sender.queue.length && sender.isSeated) {
    sender.isSeated = false;
    link.say("stop");
  }
}

function showButtons() {
  $("start").disabled = !isOpen() || state.isStarting || Boolean(state.recorder);
  $("stop").disabled = !state.recorder;
  $("end").disabled = !isOpen();
  show("recording", state.recorder ? state.recorder.type : "no");
  showState();
}

const WORDS = { connecting: "Connecting", ready: "Ready", recording: "Recording", paused: "Paused", watching: "Watching", ending: "Ending", ended: "Ended" };

function showState() {
  let now = "connecting";
  if (state.isOver) now = "ended";
  else if (state.isEnding) now = "ending";
  else if (state.recorder) now = "recording";
  else if (state.welcome) now = !state.welcome.may_record ? "watching" : state.recordedMs ? "paused" : "ready";
  $("state").dataset.state = now;
  show("state-word", WORDS[now]);
  showClock();
  const hasFindings = (state.drawing.spans ?? []).length;
  show("hint", now === "recording" && !hasFindings ? "Listening. Some readings need 12 s of speech first." : "");
}

/** How long was recorded; of a stream that is watched, how much media it has. */
function showClock() {
  const running = state.recorder ? performance.now() - state.recordingSince : 0;
  const ms = (state.recordedMs ?? 0) + running;
  show("clock", clock(Math.floor(ms ? ms / 1000 : state.drawing.seconds ?? 0)));
}

setInterval(showClock, 1000);

function showQueue() {
  const waiting = sender.bytes + (state.drawing.waiting_bytes ?? 0);
  show("waiting", waiting ? `${size(waiting)}${sender.seconds ? `, ${sender.seconds.toFixed(0)} s of it still here` : ""}` : "nothing");
  show("sent", state.sentChunks ? `${state.sentChunks} chunks, ${clock(state.sentSeconds)}` : "nothing yet");
}

// --- messages of the server ----------------------------------------------------------------------

const handlers = {
  welcome(message) {
    state.welcome = message;
    state.quickest = Infinity;
    for (let round = 0; round < CLOCK_ROUNDS; round += 1) {
      setTimeout(() => link.say("clock", { page: performance.now() }), round * 300);
    }
    complain("");
    if (!state.isOver) $("after").hidden = true;
    $("camera").hidden = !message.may_record;
    show("where", message.stream_id);
    show("who", message.stand_in || (message.endpoint ? "Interhuman analyses what is sent." : ""));
    if (state.unreported && link.say("dropped", { seconds: state.unreported })) state.unreported = 0;
    if (state.recorder || sender.queue.length) link.say("claim");
    if (state.isEnding) { // the request may have gone into a connection that was lost
      state.hasEnded = false;
      finish();
    }
    const before = sessionStorage.getItem("recording");
    if (before !== null && message.may_record && !state.recorder) {
      sessionStorage.removeItem("recording");
      noteDropped(Number(before) || 0);
      start().then(() => {
        if (state.recorder) say(`The page was reloaded and records again; ${Number(before).toFixed(1)} s in between were not sent.`);
      });
    }
    showButtons();
  },
  clock({ page: asked, server }) { // the quickest answer tells the difference best
    const took = performance.now() - asked;
    if (took >= state.quickest) return;
    state.quickest = took;
    state.clockDifference = server - (performance.timeOrigin + asked + took / 2);
  },
  seated(message) {
    $("over").hidden = true;
    sender.seated(message);
    showQueue();
    finish(); // it may have stopped meanwhile
  },
  taken(message) {
    const chunk = sender.settled(message);
    if (chunk) {
      state.sentChunks += 1;
      state.sentSeconds += chunk.seconds;
    }
    if ($("said").dataset.full) { delete $("said").dataset.full; say("Sending again."); }
    showQueue();
    finish();
  },
  written({ at, server }) { // from the recorder's hand to the wire; the way of this message does not count
    show("to-wire", median(state.toWire, Math.max(0, server - state.clockDifference - performance.timeOrigin - at)));
  },
  full({ waiting_bytes: waiting }) {
    $("said").dataset.full = "1";
    say(`The connection is slower than the video: ${size(waiting)} wait to be sent. The page keeps its chunks until then.`);
  },
  restart() { state.recorder?.restart(); },
  left({ why }) {
    sender.lost();
    if (why === "taken_over") stop("Another page records now; this one only shows.").then(forget);
  },
  another({ ticket }) {
    state.isSaved = true; // or the person said that it may go
    state.review?.letGo();
    location.hash = ticket;
  },
  refused({ code, what, help, recording, seq }) {
    if (seq !== undefined && !sender.isFirst({ recording, seq })) return; // it follows one that was refused
    if (state.isOver && $("another").disabled) { // that is what was asked last
      $("another").disabled = false;
      complainOf({ what, help });
      return;
    }
    if (state.isOver || code === "not_seated") return; // the page is over, or another one records; it knows both already
    if (code === "busy") {
      $("over").hidden = false;
      complain("Another page records into this stream.");
      stop("").then(forget);
    } else if (code === "stream_ended") { // it was ended elsewhere, and its end is told when it is there
      state.isEnding = state.hasEnded = true;
      stop("The session is ending: what was sent is still analysed.").then(forget);
    } else {
      complainOf({ what, help });
      if (code !== "bad_word") stop("Stopped.").then(forget);
    }
  },
  news({ entries, changes }) {
    state.drawing = apply(state.drawing, changes);
    for (const entry of entries) showMessage(entry);
    if (state.drawing.ended && !state.isOver) over();
    if (entries.length && !document.hidden) state.newest = entries.at(-1).received_at;
    drawSoon();
  },
};

/** At the next frame; a hidden page gets none, and one has to do for all that came meanwhile. */
function drawSoon() {
  if (state.isDrawing) return;
  state.isDrawing = true;
  requestAnimationFrame(() => {
    state.isDrawing = false;
    view.draw(state.drawing);
    showStatus();
    showState();
    if (state.newest) measureDrawing(state.newest);
    state.newest = 0;
  });
}

/** What is said of an end without an error, by its reason. */
const ENDS = {
  __proto__: null,
  by_request: "The session has ended; all its messages are kept.",
  by_service: "The session has ended: the service closed it. All its messages are kept.",
  drain_timeout: "The session has ended without the last word of the service: results of the last seconds may be missing. All messages that came are kept.",
};

function over() {
  state.isOver = true;
  sender.lost();
  const { error, reason } = state.drawing;
  if (error) complainOf(error);
  stop(error ? "The session is over; what was received is kept." : ENDS[reason] ?? ENDS.by_request).then(() => { forget(); showAfter(); });
}

// --- after the end -------------------------------------------------------------------------------

/** At the end, and where the server is away, so that nothing is lost with the page. */
function offerSaving() {
  $("after").hidden = false;
  $("save-recording").hidden = $("recording-note").hidden = !copy.files().length;
  showAnother();
}

/** What was recorded can be saved, and played beside the timeline. */
function showAfter() {
  const files = copy.files();
  $("camera").hidden = true;
  offerSaving();
  if (state.review) return;
  $("review").hidden = false;
  state.review = new Review($("review"), view, { save: saveTimeline });
  if (files.length === 1) state.review.open(new File([files[0].blob], files[0].name), { isOwn: true });
  drawSoon();
}

async function saveTimeline(notes) {
  const drawing = view.whole; // as it is shown, also where the server is away
  if (!drawing) return;
  const { source, label, stream_id: id, state: name } = drawing;
  const text = pageWith(await template, {
    drawing,
    notes,
    title: [source || label || id, name].join(" · "),
    withoutScript: view.asTable(lanes(view.drawing)).outerHTML,
  });
  download(fileName(drawing, notes.length ? "notes.html" : "timeline.html"), new Blob([text], { type: "text/html" }));
}

function saveRecording() {
  for (const { name, blob } of copy.files()) download(fileName(view.whole ?? {}, name), blob);
  state.isSaved = true;
}

/** Whether closing the page would lose the recording. */
const wouldLose = () => (state.isOver || !link.isReady) && !state.isSaved && copy.files().length > 0;

/** Another recording is a stream of its own, with a page of its own; this process has to live for it. */
function showAnother() {
  const may = Boolean(state.welcome?.may_start_another) && link.isReady;
  $("another").hidden = !may;
  $("another-note").hidden = may || !state.welcome?.may_record;
  show("another-note", "To record again, ask for a new link, or run ih-mcp capture again.");
}

function startAnother() {
  const lost = [wouldLose() && "recording is", state.review?.hasUnsaved && "notes are"].find(Boolean);
  if (lost && !confirm(`Your ${lost} not saved, and this page forgets what is not saved. Start another one?`)) return;
  complain("");
  $("another").disabled = link.say("another");
}

function showMessage(entry) {
  state.cursor = Math.max(state.cursor, entry.cursor);
  const item = document.createElement("li");
  item.value = entry.cursor;
  item.textContent = entry.body ?? entry.base64;
  $("messages").prepend(item);
  while ($("messages").childElementCount > MAX_SHOWN) $("messages").lastElementChild.remove();
}

/** From a message's arrival at the server to the frame that shows it, by the server's clock. */
function measureDrawing(arrived) {
  const channel = new MessageChannel(); // its message comes after the frame is drawn
  channel.port1.onmessage = () => {
    channel.port1.close();
    const now = performance.timeOrigin + performance.now() + state.clockDifference;
    if (arrived >= state.openedAt) show("to-drawing", median(state.toDrawing, Math.max(0, now - arrived)));
  };
  channel.port2.postMessage(null);
}

function showStatus() {
  const { receipts = {}, messages = 0, state: name = "", lost = {}, about = [] } = state.drawing;
  show("readings", about.slice(1).join(" "));
  const counts = Object.entries(receipts).map(([name, count]) => `${count} ${name}`).join(", ");
  show("receipts", `${name}${counts ? ` · parts of the media: ${counts}` : ""}`);
  show("count", String(messages));
  if (lost.let_go_s) show("dropped", `${lost.let_go_s.toFixed(1)} s`);
  showQueue();
  showButtons();
}

const link = new Link({
  hello: () => {
    state.openedAt = performance.timeOrigin + performance.now();
    return { type: "hello", key: sessionStorage.getItem("key"), page, cursor: state.cursor };
  },
  on: handlers,
  onLost: () => {
    sender.lost();
    if (state.isOver) { // the page has everything
      if (!$("after").hidden) showAnother();
      return false;
    }
    state.drawing = {}; // a new connection sends all of it again
    const goesOn = state.recorder ? " Recording goes on, and is sent later; press Pause to save it in a file." : "";
    complain(`The connection to ih-mcp is lost; trying again.${goesOn}`);
    if (!state.recorder) offerSaving();
    return true;
  },
  onRefused: () => {
    stop("").then(forget);
    sessionStorage.removeItem("key");
    complain("ih-mcp does not know this page any more; it was started anew. Ask for a new link. What was received is kept.");
  },
});

// --- the beginning -------------------------------------------------------------------------------

async function redeem(ticket) {
  try {
    return await (await fetch("ticket", { method: "POST", body: ticket })).json();
  } catch {
    return { what: "ih-mcp does not answer", help: "If it still runs, ask for a new link." };
  }
}

async function enter() {
  const ticket = location.hash.slice(1);
  if (ticket) {
    history.replaceState(null, "", location.pathname);
    const { key, what, help } = await redeem(ticket);
    if (!key) {
      show("where", "");
      complainOf({ what, help });
      return;
    }
    sessionStorage.clear();
    sessionStorage.setItem("key", key);
  }
  if (!sessionStorage.getItem("key")) {
    show("where", "");
    complain("This page needs a link with a ticket. Ask for one with start_capture, or ih-mcp watch STREAM --page.");
    return;
  }
  link.open();
}

$("start").addEventListener("click", () => start());
$("stop").addEventListener("click", () => stop());
$("end").addEventListener("click", end);
$("over").addEventListener("click", () => {
  $("over").hidden = true;
  start({ takesOver: true });
});
$("save-timeline").addEventListener("click", () => state.review ? state.review.saveNotes() : saveTimeline([]));
$("save-recording").addEventListener("click", saveRecording);
$("another").addEventListener("click", startAnother);
addEventListener("beforeunload", (event) => { if (wouldLose()) event.preventDefault(); });
addEventListener("hashchange", () => location.reload()); // another link, perhaps of another stream
addEventListener("pagehide", () => {
  if (state.recorder) sessionStorage.setItem("recording", String(sender.seconds + (performance.now() - state.recorder.run.startedAt - state.recorder.run.given) / 1000));
});
showButtons();
enter();
