// What the camera gave, kept in this page, so that the person can save it or play it beside the timeline.

const SLICE_MS = 5000;

export class RecordingCopy {
  constructor() { this.parts = new Map(); }

  /** A chunk of a recording that begins with a header; parts of one recording make one file. */
  add(recording, type, blob) {
    if (!this.parts.has(recording)) this.parts.set(recording, { type, blobs: [] });
    this.parts.get(recording).blobs.push(blob);
  }

  /** Record `media` a second time: where each chunk is a file of its own, chunks make no whole. */
  record(media, type) {
    const recorder = new MediaRecorder(media, { mimeType: type });
    const id = crypto.randomUUID();
    recorder.addEventListener("dataavailable", ({ data }) => data.size && this.add(id, type, data));
    recorder.start(SLICE_MS);
    return recorder;
  }

  /** The files, in the order in which they were begun. */
  files() {
    return [...this.parts.values()].map(({ type, blobs }, index, all) => {
      const ending = type.startsWith("video/mp4") ? "mp4" : "webm";
      const name = all.length > 1 ? `recording-${index + 1}.${ending}` : `recording.${ending}`;
      return { name, blob: new Blob(blobs, { type: type.split(";")[0] }) };
    });
  }
}
