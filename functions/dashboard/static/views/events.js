// What happened to alerts lately, of one server or of all.

import { html, useState } from "../vendor/preact.js";
import { Glyph, useLoad } from "../lib/ui.js";
import { ago, instant, t } from "../lib/i18n.js";
import { href, serverPath } from "../lib/router.js";
import { now, shelves } from "../lib/store.js";
import { kindOf, predicted, whatOf } from "./alert-rows.js";
import { Panel } from "./forms.js";

const HOUR_S = 3600;
const WEEK_S = 7 * 24 * HOUR_S;
// What happens on the way to something else, and is no news by itself.
const MINOR = new Set(["pending", "cleared", "told", "data", "recovering", "relapsed", "suppressed", "unsuppressed"]);

/** Of server `id`, or of all with their names; `stamp` is new when there may be more, `most` are shown at first. */
export function Events({ id = null, stamp, most: first = 8 }) {
  const [most, show] = useState(first);
  const of = id === null ? "" : `server=${encodeURIComponent(id)}&`;
  const load = useLoad(`/api/alerts/history?${of}from=${Math.floor(now.peek() / HOUR_S) * HOUR_S - WEEK_S}`, { stamp, key: id ?? "all" });
  const told = load.data?.events ?? [];
  // What has just opened is not in the history before the archive took it there.
  const opened = new Set(told.filter((event) => event.what === "firing").map((event) => event.alert.id));
  const fresh = Object.values(shelves.value).flat().filter((alert) => (id === null || alert.server === id) && !opened.has(alert.id))
    .map((alert) => ({ id: alert.id, at: alert.fired, what: "firing", alert }));
  const rows = [...fresh, ...told.filter((event) => !MINOR.has(event.what))].sort((a, b) => b.at - a.at);
  return html`<${Panel} title=${t("server.events")} note=${t("server.events_note")} load=${load} empty=${!rows.length && t("server.no_events")}>
    <ul class="events">${rows.slice(0, most).map(({ id: key, at, what, alert }) => html`<li key=${key}>
      <${Glyph} status=${what === "resolved" ? "healthy" : kindOf(alert) === "offline" ? "offline" : alert.severity} />
      <time class="note" title=${instant(at)}>${ago(at)}</time>
      <span>${id === null && alert.server[0] !== "@" && html`<a href=${href(serverPath(alert.server))}>${alert.server}</a> `}${whatOf(alert)} — ${t(`event.${what}`)}${what === "acknowledged" && alert.by ? ` (${alert.by})` : ""}</span>
      ${predicted(alert) && html`<span class="chip model">${t("alerts.predicted")}</span>`}</li>`)}</ul>
    ${rows.length > most && html`<button class="button small" type="button" onClick=${() => show(most + 20)}>${t("alerts.more", Math.min(20, rows.length - most))}</button>`}
  <//>`;
}
