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

/** A file name for what is about a stream: its source, or its id. */
export function fileName({ source, label, stream_id: id }, ending) {
  const name = String(source || label || id || "timeline").replace(/\.[^.]*$/, "").replace(/[^\w.-]+/g, "-").slice(0, 80);
  return `${name || "timeline"}.${ending}`;
}
