// The recorder: chunks of one MediaRecorder after the other, each recording beginning with a header.

const TYPES = [
  "video/webm;codecs=vp9,opus",
  "video/webm;codecs=vp8,opus",
  "video/webm",
  "video/mp4;codecs=avc1.42E01E,mp4a.40.2",
  "video/mp4",
];
const SLICE_MS = 3000;
const KEY_FRAME_MS = 3000;
const SOUND_BITS = 64_000;
const PICTURE_BITS = 1_000_000;
const LEAST_PICTURE_BITS = 250_000;

/** A sentence for what the browser refused, with what helps. */
export function trouble(error) {
  const found = {
    NotAllowedError: "Camera and microphone were not allowed. Allow them at the sign in the address bar, then start again.",
    NotFoundError: "No camera was found. Connect one, then start again.",
    NotReadableError: "The camera or microphone cannot be read; perhaps another program uses it. Close that, then start again.",
    OverconstrainedError: "The camera has no picture of a size that can be used.",
    SecurityError: "This browser gives no camera to this page; open it at 127.0.0.1 or over HTTPS.",
    NotSupportedError: "This browser cannot record video in a format that can be analysed.",
  };
  return found[error?.name] ?? `The camera could not be opened: ${error?.message ?? error}`;
}

/** Camera and microphone, or the camera alone where there is no microphone. */
export async function openCamera() {
  if (!navigator.mediaDevices?.getUserMedia) throw new DOMException("", "SecurityError");
  const video = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio: true });
  } catch (error) {
    if (error.name !== "NotFoundError") throw error;
    return navigator.mediaDevices.getUserMedia({ video });
  }
}

export class Recorder {
  /** `wholeMs`: each recording is a file of its own of about this length; 0 where chunks continue. */
  constructor(media, { wholeMs, minMs, onChunk, onShort, onError }) {
    Object.assign(this, { media, wholeMs, minMs, onChunk, onShort, onError });
    this.type = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    if (!this.type) throw new DOMException("", "NotSupportedError");
    this.bits = PICTURE_BITS;
    this.run = null;
  }

  start() {
    const recorder = new MediaRecorder(this.media, {
      mimeType: this.type,
      videoBitsPerSecond: this.bits,
      audioBitsPerSecond: SOUND_BITS,
      videoKeyFrameIntervalDuration: KEY_FRAME_MS,
    });
    const run = { id: crypto.randomUUID(), seq: 0, recorder, startedAt: performance.now(), given: 0, isAbandoned: false };
    recorder.addEventListener("dataavailable", ({ data }) => this.#give(run, data));
    recorder.addEventListener("error", ({ error }) => this.onError(error));
    this.run = run;
    if (this.wholeMs) {
      recorder.start();
      this.timer = setTimeout(() => this.restart(), this.wholeMs);
    } else {
      recorder.start(SLICE_MS);
    }
  }

  #give(run, blob) {
    const at = performance.now();
    const seconds = (at - run.startedAt - run.given) / 1000;
    run.given = at - run.startedAt;
    if (run.isAbandoned || !blob.size) return;
    if (this.wholeMs && run.given < this.minMs) {
      this.onShort(seconds);
      return;
    }
    this.onChunk({ recording: run.id, seq: run.seq++, blob, at, seconds });
  }

  /** Begin anew with a header; what was recorded until now is given first, unless it is abandoned. */
  restart({ abandon = false, slower = false } = {}) {
    const before = this.run;
    if (!before) return;
    clearTimeout(this.timer);
    before.isAbandoned = abandon;
    if (slower) this.bits = Math.max(LEAST_PICTURE_BITS, this.bits / 2);
    this.start();
    if (before.recorder.state !== "inactive") before.recorder.stop();
  }

  /** Stop; resolves once the last chunk was given. */
  async stop() {
    const { run } = this;
    this.run = null;
    clearTimeout(this.timer);
    if (run && run.recorder.state !== "inactive") {
      const stopped = new Promise((resolve) => run.recorder.addEventListener("stop", resolve, { once: true }));
      run.recorder.stop();
      await stopped;
    }
    for (const track of this.media.getTracks()) track.stop();
  }
}
