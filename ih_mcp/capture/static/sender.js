// Chunks on their way: in order, each kept until the server has it, and no more than a bound.

const MAX_IN_FLIGHT = 2;
const MAX_BYTES = 16 * 2 ** 20;
const MAX_SECONDS = 30;

export class Sender {
  /** `send` sends a chunk if there is a connection; `onOverflow` gets what was dropped. */
  constructor({ send, onOverflow }) {
    Object.assign(this, { send, onOverflow });
    this.queue = [];
    this.inFlight = 0;
    this.isSeated = false;
  }

  get bytes() { return this.queue.reduce((sum, chunk) => sum + chunk.blob.size, 0); }
  get seconds() { return this.queue.reduce((sum, chunk) => sum + chunk.seconds, 0); }

  put(chunk) {
    this.queue.push(chunk);
    if (this.bytes > MAX_BYTES || this.seconds > MAX_SECONDS) this.#dropWaiting();
    this.pump();
  }

  pump() {
    while (this.isSeated && this.inFlight < Math.min(MAX_IN_FLIGHT, this.queue.length)) {
      if (!this.send(this.queue[this.inFlight])) return;
      this.inFlight += 1;
    }
  }

  /** The server has this chunk, or will never take it. */
  settled(chunk) {
    if (!this.isFirst(chunk)) return null;
    const first = this.queue.shift();
    this.inFlight = Math.max(0, this.inFlight - 1);
    this.pump();
    return first;
  }

  /** Whether this chunk is the one that is to be settled next. */
  isFirst({ recording, seq }) {
    const [first] = this.queue;
    return first?.recording === recording && first.seq === seq;
  }

  /** The connection is gone; what was not confirmed is sent again on the next one. */
  lost() {
    this.inFlight = 0;
    this.isSeated = false;
  }

  /** The seat is ours; the server has the recording up to a chunk, and all before it. */
  seated({ recording, next_seq: nextSeq }) {
    const at = this.queue.findLastIndex((chunk) => chunk.recording === recording && chunk.seq < nextSeq);
    this.queue.splice(0, at + 1);
    this.inFlight = 0;
    this.isSeated = true;
    this.pump();
  }

  /** Keep the chunks that are on their way, for they may have arrived; drop the rest. */
  #dropWaiting() {
    const gone = this.queue.splice(this.inFlight);
    this.onOverflow({
      seconds: gone.reduce((sum, chunk) => sum + chunk.seconds, 0),
      bytes: gone.reduce((sum, chunk) => sum + chunk.blob.size, 0),
    });
  }
}
