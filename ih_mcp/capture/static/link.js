// The connection to the server: words out, words in, anew where it is lost.

const DELAYS = [300, 600, 1200, 2500, 5000];
const UNKNOWN_KEY = 4401;

export class Link {
  /** `hello` gives the first word of each connection; `on` has a function for each word of the server. */
  constructor({ hello, on, onOpen, onLost, onRefused }) {
    Object.assign(this, { hello, on, onOpen, onLost, onRefused });
    this.tries = 0;
    this.socket = null;
    this.isReady = false;
  }

  open() {
    const socket = new WebSocket(`${location.origin.replace("http", "ws")}/live`);
    this.socket = socket;
    socket.addEventListener("open", () => socket.send(JSON.stringify(this.hello())));
    socket.addEventListener("message", ({ data }) => {
      const { type, ...word } = JSON.parse(data);
      if (type === "welcome") {
        this.tries = 0;
        this.isReady = true;
      }
      this.on[type]?.(word);
    });
    socket.addEventListener("close", ({ code, reason }) => {
      if (this.socket !== socket) return;
      this.isReady = false;
      if (code === UNKNOWN_KEY) {
        this.onRefused(reason);
        return;
      }
      const delay = DELAYS[Math.min(this.tries++, DELAYS.length - 1)];
      if (this.onLost()) setTimeout(() => this.open(), delay);
    });
  }

  say(type, values = {}) {
    if (this.isReady) this.socket.send(JSON.stringify({ type, ...values }));
    return this.isReady;
  }

  /** A word and the bytes that belong to it; a Blob keeps its place among what is sent. */
  sayWith(type, values, blob) {
    if (!this.say(type, values)) return false;
    this.socket.send(blob);
    return true;
  }
}
