import { clock } from "./timeline.js";

// Saves files from the page, and the timeline as a page of its own.

/** Offer a file to the person, as a download. */
export function download(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

const NOTES_HEAD = "<tr><th>my notes</th><th></th></tr>";
const escaped = (text) => text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);

/** The text of a page with other values for its scripts; each part that is named is replaced. */
export function pageWith(text, { drawing, notes, title, withoutScript }) {
  const put = (pattern, value) => { text = text.replace(pattern, (_, before, after) => `${before}${value}${after}`); };
  const json = (value) => JSON.stringify(value).replaceAll("<", "\\u003c");
  put(/(<script type="application\/json" id="notes">)[^<]*(<\/script>)/, json(notes));
  if (drawing) put(/(<script type="application\/json" id="data">)[^<]*(<\/script>)/, json(drawing));
  if (title) {
    put(/(<title>)[^<]*(<\/title>)/, escaped(title));
    put(/(<header><h1>Timeline<\/h1><p>)[^<]*(<\/p>)/, escaped(title));
  }
  if (withoutScript) put(/(<noscript>)(<table>)/, withoutScript);
  const rows = notes.map(({ at, text: said }) => `<tr><td>${clock(at)}</td><td>${escaped(said)}</td></tr>`);
  put(/(<noscript>[^]*?<tbody id="noted">)[^]*?(<\/tbody>)/, rows.length ? NOTES_HEAD + rows.join("") : "");
  put(/( id="review"[^>]*?) data-source="[^"]*" data-name="[^"]*"()/, "");
  return text;
}

const plain = (text) => String(text ?? "").replace(/[^\p{L}\p{N}_.-]+/gu, "-").slice(0, 60).replace(/^[-.]+|[-.]+$/g, "");

/** When something began, by the clock of this computer, for a file name; empty where that is not known. */
function stamp(time) {
  const at = new Date(time ?? "");
  if (Number.isNaN(at.getTime())) return "";
  const two = (number) => String(number).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}-${two(at.getHours())}${two(at.getMinutes())}`;
}

/** A file name for what is about a stream, such as `P07-talk-2026-11-30-0942-notes.html`. */
export function fileName({ source, label, started_at: started, stream_id: id }, what) {
  const named = [plain(label), plain(String(source ?? "").replace(/\.[^.]*$/, ""))].filter(Boolean);
  return [...(named.length ? named : [plain(id)]), stamp(started), what].filter(Boolean).join("-");
}
