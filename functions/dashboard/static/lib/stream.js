// Follows the live feed (GET /api/stream) with fetch, which sends a header where EventSource cannot; reconnects by
// itself, going on after the last event it saw. A reference client: it needs nothing else of the dashboard.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 4000;
const CONNECT_MS = 6000;
const HIDDEN_MS = 30_000;

/** Reads server-sent events piece by piece: `push(text)` calls `onEvent({id, event, data})` as they are complete. */
export function parser(onEvent, onRetry = () => {}) {
  let rest = "";
  let id = "";
  let event = "";
  let data = [];
  const line = (text) => {
    if (text === "") {
      if (data.length) onEvent({ id, event: event || "message", data: data.join("\n") });
      event = "";
      data = [];
      return;
    }
    const colon = text.indexOf(":");
    if (colon === 0) return; // a comment
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(text[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") data.push(value);
    else if (field === "event") event = value;
    else if (field === "id" && !value.includes("\0")) id = value;
    else if (field === "retry" && /^\d+$/.test(value)) onRetry(Number(value));
  };
  return function push(text) {
    rest += text;
    // A carriage return at the end may be the first half of a line break.
    let end;
    while ((end = /\r\n|\n|\r(?!$)/.exec(rest))) {
      line(rest.slice(0, end.index));
      rest = rest.slice(end.index + end[0].length);
    }
  };
}

/**
 * Follows the feed until `close()` is called. `options`:
 *   url(failures)    where it is, after so many failures one after another
 *   headers()        what to send, such as the bearer
 *   lastId           the id to go on after, "" for a snapshot first
 *   onEvent(name, data, id), onHeard() at every sign of life, onState("connecting"|"open"|"closed")
 *   onRefused(status, answer)   401, 403 and 429: answers after how many ms to try again, or null to give up
 */
export function follow(options) {
  let lastId = options.lastId ?? "";
  let retry = 3000;
  let failures = 0;
  let wake = () => {};
  let current = null;
  let closed = false;
  let hiddenTimer = 0;

  const pause = (ms) => new Promise((done) => {
    const timer = setTimeout(done, ms);
    wake = () => { clearTimeout(timer); done(); };
  });

  async function once() {
    current = new AbortController();
    const { signal } = current;
    const timer = setTimeout(() => current.abort(), CONNECT_MS);
    let opened = false;
    let heard = false;
    let farewell = "";
    try {
      const answer = await fetch(options.url(failures), {
        headers: { Accept: "text/event-stream", ...options.headers(), ...(lastId && { "Last-Event-ID": lastId }) },
        credentials: "omit", cache: "no-store", signal,
      });
      clearTimeout(timer);
      if ([401, 403, 429].includes(answer.status)) return { refused: answer };
      if (!answer.ok || !answer.headers.get("Content-Type")?.startsWith("text/event-stream")) throw new Error(`HTTP ${answer.status}`);
      options.onState?.("open");
      const push = parser(({ id, event, data }) => {
        if (id) lastId = id;
        const said = JSON.parse(data);
        if (event === "bye") farewell = said.reason;
        options.onEvent(event, said, id);
      }, (ms) => { retry = ms; });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        // A greeting alone is no life: a line that opens and then stands still is lost.
        if (opened || value.includes("data:")) {
          heard = true;
          options.onHeard?.();
        }
        opened = true;
        push(value);
      }
    } finally {
      clearTimeout(timer);
    }
    return { heard, farewell };
  }

  async function run() {
    while (!closed) {
      if (hidden) {
        options.onState?.("closed");
        await pause(86_400_000);
        continue;
      }
      options.onState?.("connecting");
      const began = performance.now();
      let wait;
      try {
        const { refused, heard, farewell } = await once();
        if (refused) {
          wait = await options.onRefused(refused.status, refused);
          if (wait === null) break;
        } else {
          failures = heard ? 0 : failures + 1;
          // Where replies are buffered they end at once, and coming back that soon would be a storm.
          wait = farewell && performance.now() - began > retry ? 100 : retry;
        }
      } catch {
        // No answer, a proxy's page, a line that broke, or what came was no JSON: as good as nothing.
        failures += 1;
        wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(failures - 1, 8));
      }
      if (closed) break;
      await pause(wait * (0.75 + Math.random() / 2));
    }
    options.onState?.("closed");
  }

  let hidden = false;
  const seen = () => {
    clearTimeout(hiddenTimer);
    if (document.hidden) hiddenTimer = setTimeout(() => { hidden = true; current?.abort(); }, HIDDEN_MS);
    else if (hidden) { hidden = false; wake(); }
  };
  document.addEventListener("visibilitychange", seen);
  run();
  return {
    /** Connects anew at once. */
    again() { failures = 0; current?.abort(); wake(); },
    close() {
      closed = true;
      document.removeEventListener("visibilitychange", seen);
      clearTimeout(hiddenTimer);
      current?.abort();
      wake();
    },
    lastId: () => lastId,
  };
}
