// The connection to the server: messages out and in; opened again where it is lost.

const DELAYS = [300, 600, 1200, 2500, 5000];
const UNKNOWN_KEY = 4401;

export class Link {
  /** `hello` gives the first message of each connection; `on` has a function for each message of the server. */
  constructor({ hello, on, onOpen, onLost, onRefused }) {
    Object.assign(this, { hello, on, onOpen, onLost, onRefused });
    this.tries = 0;
    this.socket = null;
    this.isReady = false;
  }

  open() {
    const socket = new WebSocket(new URL("live", location.href).href.replace("http", "ws"));
    this.socket = socket;
    socket.addEventListener("open", () => socket.send(JSON.stringify(this.hello())));
    socket.addEventListener("message", ({ data }) => {
      const { type, ...message } = JSON.parse(data);
      if (type === "welcome") {
        this.tries = 0;
        this.isReady = true;
      }
      this.on[type]?.(message);
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

  /** Send a message and the bytes that belong to it; a Blob keeps its place in the order. */
  sayWith(type, values, blob) {
    if (!this.say(type, values)) return false;
    this.socket.send(blob);
    return true;
  }
}
