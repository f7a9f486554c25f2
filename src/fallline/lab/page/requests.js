// Asking the server, and asking it for the newest of many wishes only.

const APART = 50; // milliseconds between two requests at least, in which more changes may come
const AGAIN = 300; // milliseconds until something is asked for again whose place another window has taken
const PATIENCE = 300; // a request that has run so long gives way to a newer one; a shorter one is shown first

export class Refusal extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

// The answer's JSON; raises Refusal with the server's sentence.
export async function ask(address, body, signal) {
  const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(address, body === undefined ? { signal } : { ...post, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The lab does not answer; see whether fallline lab still runs, then reload the page.", 0);
  }
  const content = await answer.json();
  if (!answer.ok) throw new Refusal(content.error, answer.status);
  return content;
}

// A function that has `work(signal)` done soon after each call, never twice at once, and for the newest call always;
// `failed(sentence)` is told what was refused.
export function newest(work, failed) {
  let [running, timer, wanted, began] = [null, null, false, -Infinity];

  async function begin() {
    clearTimeout(timer);
    [timer, wanted] = [null, false];
    running?.abort();
    const mine = (running = new AbortController());
    began = performance.now();
    try {
      await work(mine.signal);
    } catch (error) {
      if (error.status === 409) setTimeout(request, AGAIN);
      else if (error instanceof Refusal) failed(error.message);
      else if (error.name !== "AbortError") throw error;
    } finally {
      if (running === mine) {
        running = null;
        if (wanted) begin();
      }
    }
  }

  function request() {
    wanted = true;
    if (timer !== null) return;
    timer = setTimeout(begin, Math.max(0, began + (running ? PATIENCE : APART) - performance.now()));
  }

  return request;
}
