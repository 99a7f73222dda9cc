
// In a file the values stand beside the script.
new TimelineView(document.getElementById("timeline")).draw(JSON.parse(document.getElementById("data").textContent));
