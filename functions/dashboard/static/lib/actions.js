// What people do to alerts. It shows at once, can be taken back for some seconds, and goes back by itself if refused.

import { signal } from "../vendor/preact.js";
import { del, getText, post, session } from "./api.js";
import { lang, t } from "./i18n.js";
import { refuse, wish } from "./store.js";

const UNDO_MS = 5000;

/** What was just done or went wrong: {text, undo?: function, error?: true}, or null. */
export const toast = signal(null);
let timer = 0;

export function say(text, more = {}) {
  clearTimeout(timer);
  toast.value = { text, ...more };
  import("../views/overlays.js");
  timer = setTimeout(hush, more.error ? 2 * UNDO_MS : UNDO_MS);
}

export function hush() {
  clearTimeout(timer);
  toast.value = null;
}

const path = (alert) => `/api/alerts/${encodeURIComponent(alert.server)}/${encodeURIComponent(alert.rule)}/acknowledge`;

async function attempt(alert, fields, run, done) {
  refuse(alert.id, null);
  wish(alert.id, fields);
  try {
    const answer = await run();
    if (done) say(...done(answer));
    return answer;
  } catch (error) {
    const words = t("actions.failed", error.detail || error.message);
    wish(alert.id, null);
    refuse(alert.id, words);
    say(words, { error: true });
    return null;
  }
}

/** Takes care of an alert: no more reminders unless it worsens. */
export const acknowledge = (alert, note = "") =>
  attempt(
    alert,
    { acknowledged: Math.floor(Date.now() / 1000), by: session.value?.user ?? "" },
    () => post(path(alert), note ? { note } : undefined),
    () => [t("actions.acknowledged", alert.server), { undo: () => unacknowledge(alert) }],
  );

/** Gives it back to everybody. */
export const unacknowledge = (alert) => attempt(alert, { acknowledged: 0, by: "" }, () => del(path(alert)));

/** Tells nobody of this server's rule for so many minutes. */
export const silence = (alert, minutes, reason = "") =>
  attempt(
    alert,
    { suppressed: "silence" },
    () => post("/api/silences", { minutes, servers: [alert.server], rules: [alert.rule], ...(reason && { reason }) }),
    (made) => [t("actions.silenced", alert.server, minutes), { undo: () => unsilence(alert, made.id) }],
  );

/** Saves what is known of an alert's incident as a Markdown file. */
export async function report(alert) {
  try {
    const text = await getText(`/api/incidents/${encodeURIComponent(alert.incident)}/report?format=markdown&language=${lang.peek()}`, "text/markdown");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/markdown" }));
    link.download = `incident-${alert.incident.replace(/[^A-Za-z0-9._-]+/g, "_")}.md`;
    link.click();
    URL.revokeObjectURL(link.href);
  } catch (error) {
    say(t("actions.failed", error.detail || error.message), { error: true });
  }
}

/** Ends a silence; `alert` is the one that was shown as silenced by it. */
export const unsilence = (alert, id) => attempt(alert, { suppressed: "" }, () => del(`/api/silences/${encodeURIComponent(id)}`));
