
// In a file the values stand beside the script, and the page can save itself with notes.
const page = `<!doctype html>\n${document.documentElement.outerHTML}\n`;
const byId = (id) => document.getElementById(id);
const values = (id) => JSON.parse(byId(id).textContent || "null");
const drawn = values("data");
byId("who").textContent = drawn.about?.[0] ?? ""; // a page that was saved has none of its own yet
const view = new TimelineView(byId("timeline"));
const box = byId("review");
new Review(box, view, {
  command: box.dataset.command ?? "",
  source: box.dataset.source ?? "",
  name: box.dataset.name || null,
  notes: values("notes") ?? [],
  save: (notes) => download(fileName(drawn, notes.length ? "notes.html" : "timeline.html"), new Blob([pageWith(page, { notes })], { type: "text/html" })),
});
view.draw(drawn);
