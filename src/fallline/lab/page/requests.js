// Asking the server, and asking it for the newest of many wishes only.

const PAUSE = 50; // milliseconds from a change to its request, in which more changes may come
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

// A function that has `work(signal)` done some time after each call, never twice at once, the newest call always.
export function newest(work) {
  let [running, timer, wanted] = [null, null, false];

  async function begin() {
    clearTimeout(timer);
    [timer, wanted] = [null, false];
    if (running) running.controller.abort();
    const mine = (running = { controller: new AbortController(), began: performance.now() });
    try {
      await work(mine.controller.signal);
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    } finally {
      if (running === mine) {
        running = null;
        if (wanted) begin();
      }
    }
  }

  return () => {
    wanted = true;
    if (timer !== null) return;
    const left = running ? running.began + PATIENCE - performance.now() : 0;
    timer = setTimeout(begin, Math.max(PAUSE, left));
  };
}
