// #/: what is wrong now, what breaks next, and why one would think so. The largest text is the answer.

import { computed, html, untracked, useEffect, useMemo, useRef, useState } from "../vendor/preact.js";
import { get } from "../lib/api.js";
import { mount, OLD_S } from "../lib/charts.js";
import { Glyph, Icon, useLoad } from "../lib/ui.js";
import { clock, duration, known, number, percent, range as between, reach, slowly, t, until } from "../lib/i18n.js";
import { href, serverPath } from "../lib/router.js";
import { arrived, byId, counts, judged, link, round, servers, STATUSES } from "../lib/store.js";
import { Fleet, FleetMap } from "./fleet.js";

const ROWS = 5;
const FEW = 4, MANY = 12;
const MINUTE = 60, HOUR_S = 3600;
// How often longer pasts are asked for: they change little, and each is a request.
const PAST_S = 300;
// The axis of "what breaks next": the shortest that holds what is to be shown.
const AXES = [
  [0, 5, 15, 30, 60, 90],
  [0, 30, 60, 120, 240, 480],
  [0, 180, 360, 720, 1440, 1800],
].map((ticks) => ticks.map((m) => m * MINUTE));

export const metricName = (key) => (known(`metric.${key}`) ? t(`metric.${key}`) : key);

export default function Overview() {
  return html`<div class="page overview">
    <div class="answers">
      <section class="panel verdict" aria-label=${t("verdict.title")}><${Sentence} />${arrived.value && html`<${Tally} /><${FleetMap} />`}</section>
      <${Next} />
    </div>
    <${Watch} />
    <${Fleet} />
  </div>`;
}

function Sentence() {
  const c = counts.value;
  const lost = link.value.state === "lost";
  if (!arrived.value) return html`<h1>${t("verdict.waiting")}</h1>`;
  const parts = [];
  if (c.offline) parts.push(html`<a class="down" href=${href("/servers?status=offline")}>${t("verdict.down", c.offline)}</a>`);
  if (c.soon) parts.push(html`<a class="ahead" href=${href("/servers?soon=1")}>${t("verdict.soon", c.soon)}</a>`);
  if (!parts.length && c.critical) parts.push(html`<a class="crit" href=${href("/servers?status=critical")}>${t("verdict.critical", c.critical)}</a>`);
  // Silence in passing is for the tally; where much is silent, the sentence must not sound as if all were known.
  if (c.unknown > c.total / 4 && c.unknown < c.total) parts.push(html`<a href=${href("/servers?status=unknown")}>${t("verdict.unheard", c.unknown)}</a>`);
  const text = parts.length === 0
    ? c.warning ? t("verdict.warning", c.warning) : c.unknown === c.total ? t("verdict.unjudged") : c.unknown ? t("verdict.silent", c.unknown) : t("verdict.well", c.total)
    : html`${t("verdict.now")}${parts.map((part, i) => html`${i ? t("verdict.and") : ""}${part}`)}${t("verdict.end")}`;
  return html`<h1>${text}${lost && html` <span class="as-of">${t("verdict.asof", clock(link.value.since, { seconds: true }))}</span>`}</h1>`;
}

function Tally() {
  const c = counts.value;
  const shown = STATUSES.filter((status) => c[status] || status === "healthy");
  return html`<ul class="tally" aria-label=${t("verdict.tally")}>
    ${shown.map((status) => html`<li><a href=${href(`/servers?status=${status}`)}><${Glyph} status=${status} /><b>${c[status]}</b> ${t(`status.${status}`)}</a></li>`)}
  </ul>`;
}

/** Servers whose forecast meets a limit, the soonest first. */
const coming = computed(() => {
  judged.value;
  return [...servers.value.values()]
    .filter(({ status, said }) => said?.next && status !== "offline" && status !== "maintenance")
    .sort((a, b) => Number(b.said.next.skilled) - Number(a.said.next.skilled) || middle(a) - middle(b) || byId(a, b))
    .slice(0, ROWS)
    .sort((a, b) => middle(a) - middle(b));
});

const middle = ({ said: { next } }) => next.likely_s ?? next.latest_s ?? next.earliest_s + 86_400;
const over = (next) => next.earliest_s === 0 && next.latest_s === 0;

function Next() {
  const rows = coming.value;
  const farthest = Math.max(0, ...rows.map(({ said: { next } }) => next.likely_s ?? next.earliest_s));
  const axis = AXES.find((ticks) => farthest <= ticks.at(-1)) ?? AXES.at(-1);
  return html`<section class="panel next" aria-labelledby="next">
    <header class="panel-head next-head"><h2 id="next">${t("next.title")}</h2>${rows.length > 0 && html`<span class="note">${t("next.how")}</span>`}</header>
    ${rows.length === 0 ? html`<${NoneComing} />` : html`
      <div class="next-axis" aria-hidden="true"><ol>${axis.map((s, i) => html`<li style=${{ left: `${(100 * i) / (axis.length - 1)}%` }}>${i ? tick(s) : t("next.now")}</li>`)}</ol></div>
      <div class="next-rows">${rows.map((record) => html`<${NextRow} key=${record.id} record=${record} axis=${axis} />`)}</div>`}
  </section>`;
}

function NextRow({ record: { id, status, said: { next } }, axis }) {
  const x = (s) => place(s, axis);
  const [low, high] = [x(next.earliest_s), x(next.latest_s ?? Infinity)];
  return html`<a class="next-row" data-row href=${href(serverPath(id))}>
    <span class="next-who"><${Glyph} status=${status} /><b title=${id}>${id}</b><span class="note">${metricName(next.metric)}</span></span>
    <svg class=${next.skilled ? "interval" : "interval unproven"} viewBox="0 0 100 22" preserveAspectRatio="none" aria-hidden="true">
      ${axis.map((_, i) => html`<line class="tick" vector-effect="non-scaling-stroke" x1=${(100 * i) / (axis.length - 1)} x2=${(100 * i) / (axis.length - 1)} y1="0" y2="22" />`)}
      <rect class="bar" x=${low} y="5" width=${Math.max(1, high - low)} height="12" />
      ${next.likely_s !== null && html`<line class="mid" vector-effect="non-scaling-stroke" x1=${x(next.likely_s)} x2=${x(next.likely_s)} y1="2" y2="20" />`}
    </svg>
    <span class="next-when" title=${when(next)}>${over(next) ? t("next.over") : next.likely_s === null ? t("next.from", duration(next.earliest_s)) : until(next.likely_s)}<span class="visually-hidden">, ${when(next)}</span></span>
  </a>`;
}

/** A span on the axis, as short as can be. */
const tick = (s) => (s >= 3600 && s % 3600 === 0 ? t("next.h", s / 3600) : t("next.min", s / MINUTE));

/** Where an instant lies on an axis whose ticks are evenly apart, in percent. */
function place(s, axis) {
  const i = axis.findIndex((tick) => s < tick);
  if (i < 0) return 100;
  if (i === 0) return 0;
  return (100 * (i - 1 + (s - axis[i - 1]) / (axis[i] - axis[i - 1]))) / (axis.length - 1);
}

/** When a limit is met, in words, never as one bare number. */
export function when(next) {
  if (over(next)) return t("next.over.words");
  if (next.likely_s === null || next.likely_s === undefined) return next.earliest_s < MINUTE / 2 ? t("next.early.now") : t("next.early", duration(next.earliest_s));
  const words = t("next.in", until(next.likely_s), next.latest_s === null ? t("time.open", between(next.earliest_s, next.likely_s)) : between(next.earliest_s, next.latest_s));
  return next.skilled ? words : `${words} ${t("next.unproven")}`;
}

function NoneComing() {
  judged.value;
  const waiting = [...servers.value.values()].map(({ said }) => said?.missing?.history_minutes).filter((m) => m > 0);
  const warming = waiting.length > 0 && waiting.length === servers.value.size;
  return html`<div class="none">${warming
    ? html`<p>${t("next.warming", duration(Math.min(...waiting) * MINUTE))}</p>`
    : html`<${Icon} name="check" size=${24} /><p>${t("next.none")}</p>`}</div>`;
}

/** Servers by risk, the highest first; those without one follow by how near they are to a limit. */
const ranked = computed(() => {
  judged.value;
  return [...servers.value.values()]
    .filter(({ status, said }) => said && status !== "offline" && status !== "maintenance" && status !== "unknown")
    .sort((a, b) => (b.said.risk ?? -1) - (a.said.risk ?? -1) || soonest(a) - soonest(b) || byId(a, b))
    .slice(0, MANY)
    .map(({ id }) => id);
});
const soonest = ({ said: { next } }) => next?.likely_s ?? next?.earliest_s ?? Infinity;

function Watch() {
  const [many, set] = useState(false);
  const ids = ranked.value.slice(0, many ? MANY : FEW);
  const { outlooks, error, again } = useOutlooks(ids);
  const more = Math.min(MANY, ranked.value.length) - FEW;
  return html`<section class="watching" aria-labelledby="watch">
    <header class="section-head"><h2 id="watch">${t("watch.title")}</h2>
      ${error ? html`<span class="note" role="alert">${t("watch.failed", error.status ? error.detail || error.title : t("app.unreachable"))}</span>
        <button class="text-button" type="button" onClick=${again}>${t("app.retry")}</button>` : html`<span class="note how">${t("watch.how")}</span>`}
      ${more > 0 && html`<button class="text-button push" type="button" aria-expanded=${String(many)} onClick=${() => set(!many)}>${many ? t("watch.fewer") : t("watch.more", more)}</button>`}</header>
    <div class="watch" tabindex="-1">
      ${ids.map((id) => html`<${Risk} key=${id} id=${id} outlook=${outlooks.get(id)} />`)}
      ${arrived.value && !ids.length && html`<p class="note">${t("watch.none")}</p>`}
    </div>
  </section>`;
}

/** What is ahead of these servers, asked for anew with each round of verdicts. What fails leaves the last answer. */
function useOutlooks(ids) {
  const [state, set] = useState({ outlooks: new Map(), error: null });
  const [turn, again] = useState(0);
  const asked = ids.join(",");
  const stamp = round.value;
  useEffect(() => {
    if (!asked) return undefined;
    let gone = false;
    get(`/api/outlooks?servers=${asked.split(",").map(encodeURIComponent).join(",")}`).then(
      ({ outlooks }) => gone || set({ outlooks: new Map(outlooks.map((each) => [each.server, each])), error: null }),
      (error) => gone || set((before) => ({ ...before, error })),
    );
    return () => { gone = true; };
  }, [asked, stamp, turn]);
  return { ...state, again: () => again((n) => n + 1) };
}

function Risk({ id, outlook }) {
  const record = untracked(() => servers.value.get(id)) ?? { status: "unknown" };
  judged.value;
  const { said } = record;
  const risk = said?.risk;
  // Of a server that sends nothing that could run out there is a risk, but nothing to chart.
  const charted = outlook?.metric ? outlook : null;
  const newest = charted?.history.values.findLast((v) => v !== null);
  const past = usePast(id, charted);
  const options = useMemo(() => charted && drawn(charted, past), [charted, past]);
  const age = outlook?.forecast ? slowly.value - outlook.forecast.at : 0;
  const old = age > OLD_S;
  const words = !outlook ? "" : old ? t("watch.old", duration(age)) : outlook.next ? when(outlook.next) : outlook.forecast ? t("watch.calm") : lacking(said);
  return html`<a class="risk" data-row href=${href(serverPath(id))}>
    <span class="risk-head"><${Glyph} status=${record.status} label /><b title=${id}>${id}</b>
      ${risk === null || risk === undefined ? html`<span class="note">${t("watch.unknown")}</span>` : html`<span class="chip model" title=${t("watch.risk")}>${percent(risk / 10)}</span>`}</span>
    <p>${charted ? html`<b>${metricName(outlook.metric)}</b> <span class="quiet">${number(newest, outlook.unit)}</span>` : " "}</p>
    <p class="words" title=${words}>${words || " "}</p>
    <${Chart} options=${options} label=${charted && `${id}: ${metricName(outlook.metric)} ${number(newest, outlook.unit)}. ${words}`} />
  </a>`;
}

/** Why there is no forecast. */
function lacking(said) {
  const minutes = said?.missing?.history_minutes ?? said?.missing?.window_minutes;
  return minutes ? t("watch.needs", duration(minutes * MINUTE)) : t("watch.noforecast");
}

/** A server's metric as far back as charts reach, where that is farther than the outlook's own history. */
function usePast(id, outlook) {
  const hours = reach.value;
  const from = Math.floor(slowly.value / PAST_S) * PAST_S - hours * HOUR_S;
  const far = hours > 1 && outlook;
  const path = far ? `/api/servers/${encodeURIComponent(id)}/metrics?metrics=${outlook.metric}&from=${from}` : null;
  const { data } = useLoad(path, { key: `${hours}|${outlook?.metric}` });
  return far ? data : null;
}

/** What the chart of an outlook shows. Values stand at the beginning of their step, as the feed has them. */
function drawn({ history, forecast, unit, limit, metric, next }, past) {
  const at = forecast?.at ?? 0;
  const then = (s) => (s === null || s === undefined ? null : at + s);
  const meets = next && forecast && !over(next) ? { earliest: then(next.earliest_s), likely: then(next.likely_s), latest: then(next.latest_s) } : null;
  return {
    unit, limit, meets, size: "small",
    history: past?.times.length ? { start: past.times[0], step: past.step, values: past.metrics[metric] ?? [] } : history,
    forecast: forecast && { ...forecast, at: at - forecast.step },
    until: meets ? Math.min(meets.latest ?? meets.earliest + HOUR_S / 2, at + reach.peek() * HOUR_S) : 0,
  };
}

function Chart({ options, label }) {
  const root = useRef(null);
  const chart = useRef(null);
  useEffect(() => {
    if (!options) return;
    if (chart.current) chart.current.update({ ...options, label });
    else chart.current = mount(root.current, { ...options, label });
  }, [options, label]);
  useEffect(() => () => chart.current?.destroy(), []);
  return html`<div class="chart" ref=${root}></div>`;
}
