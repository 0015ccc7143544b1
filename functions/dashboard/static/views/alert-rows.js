// Alerts as rows, on their own page and in the overview's rail: what, where, since when, why, and what can be done.

import { html, signal, useEffect, useState } from "../vendor/preact.js";
import { get, may } from "../lib/api.js";
import { Glyph, Icon, Menu, Problem, Tabs, useLoad } from "../lib/ui.js";
import { ago, clock, duration, instant, number, percent, range, t } from "../lib/i18n.js";
import { href, serverPath } from "../lib/router.js";
import { alerts, arrived, counts, now, refusals, servers, shelves } from "../lib/store.js";

const MINUTES = [15, 60, 240];
// Loaded when something is done for the first time.
const act = async (name, ...args) => (await import("../lib/actions.js"))[name](...args);

export const SHELVES = ["open", "acknowledged", "silenced"];
const RAIL = 12;

/** The API's silences, or null before the first answer; shared by all who show them. */
export const silences = signal(null);
/** Why they could not be read, or null. */
export const unread = signal(null);

export const readSilences = () =>
  get("/api/silences").then((answer) => { silences.value = answer.silences; unread.value = null; }, (error) => { unread.value = error; });

/** Whether a silence is about an alert. */
export const covers = (silence) => (alert) =>
  (!silence.servers.length || silence.servers.includes(alert.server)) &&
  (!silence.rules.length || silence.rules.includes(alert.rule)) &&
  (!silence.roles.length || silence.roles.includes(servers.value.get(alert.server)?.role));

/** The silence that an alert is silenced by; the feed does not name it before the next round. */
export const silenceOf = (alert) =>
  silences.value?.find((s) => (alert.suppressed === "silence" ? covers(s)(alert) : alert.suppressed === `silence ${s.id}`));

/** The time that an input of kind datetime-local shows, on this machine's clock. */
export const local = (s) => new Date(s * 1000 - new Date(s * 1000).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);

/** What an alert watches, seen from what it says (as notices do: openmanager.notify.message). */
export function kindOf({ rule, facts = {} }) {
  const told = [["silent_s", "offline"], ["horizon_minutes", "failure"], ["outcome", "exhaustion"], ["contributions", "anomaly"], ["model", "quality"], ["stage", "age"], ["waited_s", "rounds"], ["silent_servers", "arrivals"], ["metric", "threshold"]];
  const named = { offline: "offline", anomaly: "anomaly", failure: "failure", prediction_quality: "quality" };
  return told.find(([name]) => name in facts)?.[1] ?? named[rule] ?? "other";
}

export const predicted = (alert) => ["failure", "exhaustion"].includes(kindOf(alert));
// What models say has reasons, which the server's page tells.
const explained = (alert) => predicted(alert) || kindOf(alert) === "anomaly";

/** An alert in a few words: "Disk to reach its limit". */
export function whatOf(alert) {
  const kind = kindOf(alert);
  const metric = alert.facts?.metric;
  const low = kind === "threshold" && alert.facts.above === false;
  return t(`alerts.what.${kind}${low ? "_low" : ""}`, metric ? t(`metric.${metric}`) : alert.rule);
}

/** Its figures in words, or "" where there are none. */
export function factOf(alert) {
  const { facts = {}, value, limit } = alert;
  const kind = kindOf(alert);
  if (kind === "exhaustion") {
    // What the last verdict says, rather than what the alert said when it last changed.
    const next = servers.value.get(alert.server)?.said?.next;
    const { earliest_s: earliest, latest_s: latest } = next?.metric === facts.metric ? next : facts;
    if (latest === 0) return t("next.over.words");
    return earliest === undefined ? "" : t("alerts.fact.exhaustion", range(earliest, latest), latest == null || latest < 30);
  }
  if (kind === "quality") return facts.model ?? "";
  if (kind === "age") return t("alerts.fact.value", percent(value), percent(limit));
  if (value === null) return "";
  if (kind === "threshold") return t("alerts.fact.value", number(value, unitOf(facts.metric)), number(limit, unitOf(facts.metric)));
  if (["offline", "rounds", "arrivals"].includes(kind)) return "";
  if (kind === "failure") return t("alerts.fact.failure", percent(100 * value), duration(60 * (facts.horizon_minutes ?? 30)));
  if (kind === "anomaly") return t("alerts.fact.anomaly", number(value));
  return number(value);
}

const UNITS = { bytes: "B/s", packets: "1/s", reads: "1/s", writes: "1/s", errors: "1/s", time: "ms", wait: "ms" };
/** The unit of a metric of the catalogue. */
export function unitOf(metric = "") {
  if (/utilization$|^memory_|^disk_busy$/.test(metric)) return "%";
  if (metric === "uptime") return "s";
  return /^tcp_/.test(metric) ? "" : UNITS[metric.split("_").pop()] ?? "";
}

/** Why nobody is told of it. */
function reasonOf(alert) {
  const [kind] = alert.suppressed.split(/[ :]/);
  const rest = alert.suppressed.slice(kind.length).replace(/^[: ]+/, "");
  if (kind === "parent") return rest[0] === "@" ? t("alerts.suppressed.arrivals") : t("alerts.suppressed.parent", rest.split(" ")[0]);
  if (kind !== "silence") return t(`alerts.suppressed.${kind}`, rest);
  const by = silenceOf(alert);
  return t("alerts.suppressed.silence", by ? clock(by.end) : "–", by?.by ?? "");
}

/** One alert. `compact`: the buttons are icons, as in the rail. */
export function AlertRow({ alert, shelf, compact = false }) {
  const what = whatOf(alert);
  const fact = compact ? "" : factOf(alert);
  const refused = refusals.value.get(alert.id);
  return html`<li class=${`alert ${compact ? "compact" : ""}`} data-row>
    <${Glyph} status=${kindOf(alert) === "offline" ? "offline" : alert.severity} label />
    <div class="alert-text">
      <p class="alert-what"><strong>${what}</strong>${predicted(alert) && html` <span class="chip model">${t("alerts.predicted")}</span>`}
        ${alert.tellings > 1 && html` <span class="note" title=${t("alerts.times", alert.tellings)}>×${alert.tellings}</span>`}</p>
      <p class="alert-where">${serverLink(alert.server)}${fact && html` <span class="fact">${fact}</span>`}
        <span class="note" title=${instant(alert.fired)}>${ago(alert.fired)}</span>
        ${["nodata", "recovering"].includes(alert.state) && html` <span class="note">${t(`alerts.state.${alert.state}`)} ${clock(alert.changed)}</span>`}
        ${!compact && alert.incident && html` <button class="text-button why" type="button" aria-label=${t("alerts.report_of", what, alert.server)} onClick=${() => act("report", alert)}>${t("alerts.report")}</button>`}
        ${explained(alert) && html` <a class="why" href=${href(serverPath(alert.server))} aria-label=${t("alerts.why_of", what, alert.server)}>${t("alerts.why")}</a>`}</p>
      ${shelf === "acknowledged" && html`<p class="note">${[alert.by, ago(alert.acknowledged ?? now.value), alert.note].filter(Boolean).join(" · ")}</p>`}
      ${shelf === "silenced" && html`<p class="note">${reasonOf(alert)}</p>`}
      ${refused && html`<p class="alert-refused">${refused}</p>`}
    </div>
    ${may("operator") && alert.server[0] !== "@" && html`<div class="alert-actions"><${Actions} alert=${alert} shelf=${shelf} what=${what} compact=${compact} /></div>`}
  </li>`;
}

// Alerts about ourselves belong to no server.
const serverLink = (server) => (server[0] === "@" ? html`<span>${t("alerts.ourselves")}</span>` : html`<a href=${href(serverPath(server))}>${server}</a>`);

function Actions({ alert, shelf, what, compact }) {
  const style = compact ? "icon-button" : "button";
  const word = (key) => !compact && html`<span>${t(key)}</span>`;
  if (shelf === "silenced") {
    const by = silenceOf(alert);
    return by && html`<button class=${style} type="button" aria-label=${`${t("alerts.unsilence")}: ${what}, ${alert.server}`} title=${t("alerts.unsilence")}
      onClick=${() => act("unsilence", alert, by.id).then(readSilences)}><${Icon} name="undo" size="16" />${word("alerts.unsilence")}</button>`;
  }
  return html`${shelf === "open"
      ? html`<button class=${style} type="button" data-act="acknowledge" aria-label=${`${t("alerts.acknowledge")}: ${what}, ${alert.server}`} title=${t("alerts.acknowledge")}
          onClick=${() => act("acknowledge", alert)}><${Icon} name="check" size="16" />${word("alerts.acknowledge")}</button>`
      : html`<button class=${style} type="button" aria-label=${`${t("alerts.give_back")}: ${what}, ${alert.server}`} title=${t("alerts.give_back")}
          onClick=${() => act("unacknowledge", alert)}><${Icon} name="undo" size="16" />${word("alerts.give_back")}</button>`}
    <${SilenceMenu} run=${(minutes) => act("silence", alert, minutes).then(readSilences)} label=${`${t("alerts.silence")}: ${what}, ${alert.server}`} class=${style} text=${word("alerts.silence")} />`;
}

/** For 15 minutes, an hour, four, or until a time; `run` is called with minutes. */
export function SilenceMenu({ label, text, run, class: style }) {
  const [end, set] = useState(() => local(now.peek() + 8 * 3600));
  const until = (leave) => (event) => {
    event.preventDefault();
    const minutes = Math.ceil((new Date(end) - Date.now()) / 60_000);
    if (minutes < 1) return;
    leave();
    run(minutes);
  };
  return html`<${Menu} label=${label} class=${style} act="silence" icon=${html`<${Icon} name="mute" size="16" />`} text=${text}
    items=${MINUTES.map((minutes) => ({ text: t(`alerts.for.${minutes}`), run: () => run(minutes) }))}>
    ${(leave) => html`<form class="menu-until" onSubmit=${until(leave)}>
      <label>${t("alerts.until")} <input type="datetime-local" value=${end} min=${local(now.peek())} onInput=${(e) => set(e.target.value)} /></label>
      <button>${t("alerts.set")}</button></form>`}<//>`;
}

/** The tabs over alerts, with the store's counts. */
export function shelfTabs() {
  return SHELVES.map((key) => ({ key, text: t(`alerts.${key}`), count: arrived.value ? counts.value[key] : undefined }));
}

/** A shelf's alerts, what needs people first. */
export function sorted(shelf) {
  const rank = (a) => (kindOf(a) === "offline" ? 0 : a.severity === "critical" ? 1 : 2);
  return shelves.value[shelf].slice().sort((a, b) => rank(a) - rank(b) || b.fired - a.fired);
}

/** Keeps the silences read while alerts are shown that one of them silences. */
export function useSilences(shown = true) {
  const waiting = shown && alerts.value.some((alert) => alert.suppressed.startsWith("silence ") && !silenceOf(alert));
  useEffect(() => { if (waiting) readSilences(); }, [waiting]);
}

/** Nothing is open: when the last alert was resolved shows that the watching works. */
export function AllWell() {
  const [from] = useState(() => now.peek() - 7 * 86_400);
  const load = useLoad(`/api/alerts/history?from=${from}`);
  const last = load.data?.events.find((event) => event.what === "resolved");
  return html`<div class="all-well"><${Icon} name="check" size="24" /><p><strong>${t("alerts.none.open")}</strong></p>
    ${load.data && html`<p class="note">${last ? t("alerts.last_resolved", ago(last.at)) : t("alerts.never_resolved")}</p>`}
    <${Problem} error=${load.error} retry=${load.reload} /></div>`;
}

/** The overview's rail: the same alerts as on their page, narrow. */
export function AlertsRail() {
  const [shelf, set] = useState("open");
  useSilences(shelf === "silenced");
  const rows = sorted(shelf);
  return html`<div class="rail-alerts">
    <${Tabs} label=${t("alerts.title")} tabs=${shelfTabs()} value=${shelf} set=${set} />
    <div role="tabpanel" aria-label=${t(`alerts.${shelf}`)}>
      ${rows.length
        ? html`<ul class="alert-list">${rows.slice(0, RAIL).map((alert) => html`<${AlertRow} key=${alert.id} alert=${alert} shelf=${shelf} compact />`)}</ul>
          ${rows.length > RAIL && html`<a class="more" href=${href(shelf === "open" ? "/alerts" : `/alerts?tab=${shelf}`)}>${t("alerts.more", rows.length - RAIL)}</a>`}`
        : !arrived.value ? html`<p class="quiet">${t("parts.loading")}</p>`
          : shelf === "open" ? html`<${AllWell} />` : html`<p class="quiet">${t(`alerts.none.${shelf}`)}</p>`}
    </div>
  </div>`;
}
