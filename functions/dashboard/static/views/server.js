// #/servers/{id}: one server: what is expected of it, why, how it went, and what happened to its alerts.

import { html, useComputed, useEffect, useMemo, useRef, useSignal, useState } from "../vendor/preact.js";
import { acknowledge, say } from "../lib/actions.js";
import { del, may, post } from "../lib/api.js";
import { mount } from "../lib/charts.js";
import { Glyph, Icon, Problem, useLoad } from "../lib/ui.js";
import { ago, clock, duration, known, number, percent, range, reach, t, until } from "../lib/i18n.js";
import { go, href, route, serverPath } from "../lib/router.js";
import { BUSY, CPU, DISK, LOAD, MEMORY, NETWORK, arrived, now, refusals, server, servers, shelves, silent, value, wish } from "../lib/store.js";
import { readSilences, SilenceMenu, unitOf } from "./alert-rows.js";
import { Events } from "./events.js";
import { Panel } from "./forms.js";

// What is charted: the store's column, the metric's key in the API, and the limit it may run into.
const CHARTS = [
  { key: "cpu_utilization", column: CPU, limit: 90 },
  { key: "memory_used_effective", column: MEMORY, limit: 100 },
  { key: "filesystem_utilization", column: DISK, limit: 100 },
  { key: "network", column: NETWORK, unit: "B/s" },
  { key: "load_5m", column: LOAD, unit: "" },
  { key: "disk_busy", column: BUSY },
].map((chart) => ({ unit: "%", limit: null, ...chart }));
const ASKED = ["cpu_utilization", "memory_used_effective", "filesystem_utilization", "network_receive_bytes", "network_transmit_bytes", "load_5m", "disk_busy"];
const RIBBON_STEP_S = 900;
const BASELINE_MIN = 240;
const HOUR_S = 3600;
const DAY_S = 24 * HOUR_S;
const UNSAID = Object.fromEntries(["path", "low", "high"].map((name) => [name, new Array(30).fill(null)]));
const path = (id) => `/api/servers/${encodeURIComponent(id)}`;

export default function Server({ params: { id } }) {
  const record = servers.value.has(id) ? server(id).value : null;
  const minute = record?.said?.minute ?? 0;
  const detail = useLoad(path(id), { stamp: minute });
  const why = useLoad(`${path(id)}/explanation`, { stamp: minute });
  // Asked again with every verdict; a long past every five minutes.
  const turn = reach.value > 6 ? Math.floor(minute / 300) : minute;
  const asked = useMemo(() => `${path(id)}/metrics?from=${now.peek() - reach.value * HOUR_S}&metrics=${ASKED}`, [id, reach.value, turn]);
  const past = useLoad(asked, { key: `${id}|${reach.value}` });
  const verdict = detail.data?.verdict;
  const chosen = CHARTS.find((chart) => chart.key === route.value.query.metric) ?? CHARTS.find((chart) => chart.key === worst(verdict)) ?? CHARTS[0];
  if (detail.error?.status === 404 && arrived.value && !record) {
    return html`<div class="page"><h1>${id}</h1><p class="quiet">${t("server.gone")}</p><a class="button" href=${href("/servers")}>${t("server.back")}</a></div>`;
  }
  const charted = { id, record, verdict, past };
  return html`<div class="page server">
    <${Head} id=${id} record=${record} uptime=${detail.data?.metrics.uptime} />
    <div class="server-top">
      <${Large} ...${charted} chart=${chosen} />
      <${Risk} record=${record} verdict=${verdict} load=${detail} why=${why.data} />
    </div>
    <${Multiples} ...${charted} chosen=${chosen} />
    <div class="server-bottom"><${Events} id=${id} stamp=${minute} /><${Why} load=${why} /></div>
  </div>`;
}

/** What the server's risk is about: what runs out first, else the fullest of what can. */
function worst(verdict) {
  if (!verdict) return null;
  const bounded = ["filesystem_utilization", "memory_used_effective"];
  const soonest = bounded.filter((key) => verdict.exhaustion[key]?.earliest_s !== undefined)
    .sort((a, b) => verdict.exhaustion[b].skilled - verdict.exhaustion[a].skilled || verdict.exhaustion[a].earliest_s - verdict.exhaustion[b].earliest_s)[0];
  const reason = verdict.reasons.find((each) => CHARTS.some((chart) => chart.key === each.metric))?.metric;
  const last = (key) => verdict.forecasts[key]?.path[0] ?? 0;
  return soonest ?? reason ?? ["cpu_utilization", ...bounded].sort((a, b) => last(b) - last(a))[0];
}

function Head({ id, record, uptime }) {
  const open = shelves.value.open.filter((alert) => alert.server === id);
  const facts = record && [record.role && (known(`tier.${record.role}`) ? t(`tier.${record.role}`) : record.role), record.environment, record.stage,
    record.hostname !== id && record.hostname, uptime !== undefined && t("server.up", duration(uptime))].filter(Boolean);
  const down = record && (record.status === "offline" || silent(record));
  const refused = open.map((alert) => refusals.value.get(alert.id)).find(Boolean);
  const head = useRef(null);
  useKeys(head);
  return html`<header class="server-head" ref=${head}>
    <a class="icon-button" href=${href("/servers")} aria-label=${t("server.back")} title=${t("server.back")}><${Icon} name="back" /></a>
    ${record && html`<${Glyph} status=${record.status} label size="14" />`}
    <h1>${id}</h1>
    <span class="note">${facts?.join(" · ")}</span>
    ${down && html`<span class="silent">${t("server.silent", duration(now.value - record.seen))}</span>`}
    ${may("operator") && record && html`<div class="panel-actions">
      ${open.length > 0 && html`<button class="button" type="button" data-act="acknowledge" onClick=${() => open.forEach((alert) => acknowledge(alert))}>
        <${Icon} name="check" size="16" /><span>${t("server.ack")}</span>${open.length > 1 && html`<span class="count">${open.length}</span>`}</button>`}
      <${SilenceMenu} class="button" label=${`${t("alerts.silence")}: ${id}`} text=${html`<span>${t("alerts.silence")}</span>`} run=${(minutes) => quiet(id, minutes, open)} />
    </div>`}
    ${refused && html`<p class="alert-refused">${refused}</p>`}
  </header>`;
}

/** Acknowledges and silences with the keys that do so for a row. */
function useKeys(head) {
  useEffect(() => {
    const bound = import("../lib/keys.js").then(({ bind }) => ["acknowledge", "silence"].map((name) => bind(name[0], () => head.current?.querySelector(`[data-act="${name}"]`)?.click())));
    return () => { bound.then((all) => all.forEach((unbind) => unbind())); };
  }, []);
}

/** Tells nobody of anything of this server for a while. */
async function quiet(id, minutes, open) {
  const show = (fields) => open.forEach((alert) => wish(alert.id, fields));
  show({ suppressed: "silence" });
  try {
    const made = await post("/api/silences", { minutes, servers: [id] });
    say(t("actions.silenced", id, minutes), { undo: () => { show(null); del(`/api/silences/${made.id}`).then(readSilences, fail); } });
  } catch (error) {
    show(null);
    fail(error);
  }
  readSilences();
}

const fail = (error) => say(t("actions.failed", error.detail || error.message), { error: true });

/** A chart that lives as long as it is shown. */
function Chart({ options, class: name }) {
  const box = useRef(null);
  const plot = useRef(null);
  useEffect(() => {
    plot.current = mount(box.current, options);
    return () => plot.current.destroy();
  }, []);
  useEffect(() => plot.current?.update(options), [options]);
  return html`<div class=${name} ref=${box}></div>`;
}

/** What a chart shows: the past as it was answered, with the newest value, and what the last verdict expects. */
function useChart({ id, record, verdict, past }, chart) {
  return useMemo(() => {
    const answer = past.data;
    if (!answer) return null;
    const start = answer.times[0] ?? answer.from;
    const values = series(answer, chart.key);
    const current = value(record, chart.column);
    if (current !== null) {
      const at = Math.floor((record.seen - start) / answer.step);
      while (values.length < at) values.push(null);
      if (at >= 0) values[at] = current;
    }
    // The step that is under way, of which nothing came yet, is no gap.
    while (values.length && values.at(-1) === null && record?.status !== "offline") values.pop();
    const forecast = record?.status === "offline" ? null : verdict?.forecasts[chart.key];
    const history = { start, step: answer.step, values };
    const there = values.filter((v) => v !== null);
    const meets = crossing(verdict, chart);
    return {
      history, unit: chart.unit, limit: chart.limit, sync: id, empty: !there.length, meets,
      until: horizon(verdict),
      // What is not forecast has the same axis, so that one crosshair fits all.
      forecast: verdict ? { ...(forecast ?? UNSAID), at: verdict.minute, step: 60 } : null,
      anomalies: onsets(answer, record),
      label: t("server.shows", metricName(chart.key), there.length, clock(start), number(there.at(-1), chart.unit)),
    };
  }, [past.data, verdict, record?.seen, record?.status, chart.key]);
}

/** When a metric meets its limit by the last verdict, in s since 1970; null where it is not expected to. */
function crossing(verdict, chart) {
  const end = verdict?.exhaustion[chart.key];
  if (end?.outcome !== "crosses" || chart.limit === null) return null;
  const [earliest, likely, latest] = [end.earliest_s, end.likely_s, end.latest_s].map((s) => (s == null ? null : verdict.minute + 60 + s));
  return { earliest, likely, latest };
}

/** How far ahead all charts of a server reach: to what may run out, but not further than they reach back. */
function horizon(verdict) {
  const ends = CHARTS.map((chart) => crossing(verdict, chart)).filter(Boolean).map(({ earliest, latest }) => latest ?? earliest + 1800);
  return verdict ? Math.min(Math.max(0, ...ends), verdict.minute + reach.value * HOUR_S) : 0;
}

const metricName = (key) => t(`metric.${key}`);

function series(answer, key) {
  if (key !== "network") return [...(answer.metrics[key] ?? answer.times.map(() => null))];
  const { network_receive_bytes: received = [], network_transmit_bytes: sent = [] } = answer.metrics;
  return answer.times.map((_, i) => (received[i] == null && sent[i] == null ? null : (received[i] ?? 0) + (sent[i] ?? 0)));
}

/** When runs of anomalous minutes began; the newest minutes are known from the feed before the archive has them. */
function onsets({ times, anomalous }, record) {
  const found = times.filter((_, i) => anomalous[i] > 0 && !(anomalous[i - 1] > 0));
  const last = anomalous.findLastIndex((share) => share !== null);
  if (record?.said?.anomalous && !(anomalous[last] > 0)) found.push(record.said.minute);
  return found;
}

function Large({ id, record, verdict, past, chart }) {
  const options = useChart({ id, record, verdict, past }, chart);
  const cursor = useSignal(null);
  const shown = useMemo(() => options && { ...options, size: "large", onCursor: (at) => { cursor.value = at; } }, [options]);
  const end = verdict?.exhaustion[chart.key];
  const legend = [["measured", true], ["predicted", verdict?.forecasts[chart.key]], ["limit", chart.limit !== null], ["anomalous", shown?.anomalies.length]];
  return html`<section class="panel large" aria-labelledby="large-title" aria-busy=${!past.data && !past.error ? "true" : null}>
    <header class="panel-head"><h2 id="large-title">${metricName(chart.key)}</h2>
      <span class="note outlook">${words(end, verdict, chart, options, record)}</span>
      <ul class="legend" aria-hidden="true">${legend.filter(([, there]) => there).map(([key]) => html`<li class=${`key-${key}`}>${t(`server.${key}`)}</li>`)}</ul>
    </header>
    <${Problem} error=${past.error} retry=${past.reload} />
    <div class="large-chart">
      ${shown && !shown.empty && html`<${Chart} key=${`${id}|${chart.key}|${reach.value}`} class="chart" options=${shown} />`}
      ${shown?.empty && html`<p class="quiet">${t("server.chart_empty")}</p>`}
      <${Readout} at=${cursor} unit=${chart.unit} />
    </div>
    <${Ribbon} id=${id} />
  </section>`;
}

function Readout({ at, unit }) {
  const text = useComputed(() => {
    const found = at.value;
    if (!found) return "";
    if (found.value !== null) return `${clock(found.time)} · ${number(found.value, unit)}`;
    return found.path === null ? "" : `${clock(found.time)} · ${number(found.path, unit)} (${number(found.low, unit)} – ${number(found.high, unit)})`;
  });
  return html`<span class="readout" aria-hidden="true">${text}</span>`;
}

/** When a metric meets its limit, as a range; what is not known is said so. */
function words(end, verdict, chart, options, record) {
  if (!verdict || record?.status === "offline") return "";
  const over = chart.limit !== null && overSince(options, chart.limit);
  if (over) return t("server.over_since", clock(over));
  if (!(chart.key in verdict.forecasts) && verdict.missing.window_minutes && chart.limit !== null) return t("server.needs", verdict.missing.window_minutes);
  if (!end || end.outcome === "unknown") return "";
  if (end.outcome === "at_limit") return t("server.over");
  if (end.outcome !== "crosses") return t(end.outcome === "resets_before_limit" ? "server.resets" : end.skilled ? "server.calm" : "server.no_skill");
  const gone = Math.max(0, now.value - verdict.minute - 60);
  const left = (s) => (s === null || s === undefined ? null : Math.max(0, s - gone));
  const [earliest, likely, latest] = [left(end.earliest_s), left(end.likely_s), left(end.latest_s)];
  const said = likely === null ? (latest === null ? earliest < 30 ? t("server.any_time") : t("server.as_early", duration(earliest)) : t("server.reaches", range(earliest, latest)))
    : t("server.likely", until(likely), range(earliest, latest));
  return end.skilled ? said : `${said} · ${t("server.unskilled")}`;
}

/** Since when (s) a metric is at its limit or over it, as far as is shown; null if it is not. */
function overSince(options, limit) {
  const { start, step, values = [] } = options?.history ?? {};
  const under = values.findLastIndex((v) => v !== null && v < limit);
  const first = values.findIndex((v, i) => i > under && v !== null);
  return first < 0 ? null : start + first * step;
}

function Ribbon({ id }) {
  const from = Math.floor(now.peek() / RIBBON_STEP_S) * RIBBON_STEP_S - DAY_S + RIBBON_STEP_S;
  const load = useLoad(`${path(id)}/metrics?from=${from}&step=${RIBBON_STEP_S}&metrics=cpu_utilization`, { every: 300, key: id });
  const cells = load.data?.times.map((at, i) => [at, load.data.anomalous[i]]) ?? [];
  const hours = new Set(cells.filter(([, share]) => share > 0).map(([at]) => Math.floor(at / HOUR_S))).size;
  return html`<div class="ribbon"><span class="note">${t("server.ribbon")}</span>
    <svg viewBox="0 0 96 10" preserveAspectRatio="none" role="img" aria-label=${t("server.ribbon_summary", hours)}>
      ${cells.slice(-96).map(([at, share], i) => html`<rect class=${share === null ? "blank" : ""} x=${i + 0.08} width=".84" height="10"
        fill-opacity=${share === null ? null : 0.07 + 0.93 * share}><title>${share === null ? t("server.ribbon_none", clock(at)) : t("server.ribbon_cell", clock(at), percent(100 * share))}</title></rect>`)}
    </svg><span class="note">${t("server.hours")}</span>
    <${Problem} error=${load.error} retry=${load.reload} /></div>`;
}

function Risk({ record, verdict, load, why }) {
  const history = verdict?.missing.history_minutes;
  // What the models make of a server whose past is not known yet is no risk to be shown.
  const risk = history ? null : verdict?.risk;
  const parts = Object.entries(risk?.parts ?? {}).sort(([, a], [, b]) => b - a);
  return html`<section class="panel odds" aria-labelledby="risk-title" aria-busy=${!load.data && !load.error ? "true" : null}>
    <h2 id="risk-title">${t("server.risk")} <span class="note">${t("server.risk_within")}</span></h2>
    <${Problem} error=${load.error} retry=${load.reload} />
    <p class=${risk ? "risk-number" : "risk-number unsaid"}>${risk ? html`${number(Math.round(100 * risk.probability))}<small>%</small>` : "–"}</p>
    ${load.data && !risk && !history && html`<p class="note">${!verdict ? t("server.not_judged") : t(record?.status === "offline" ? "server.risk_offline" : "server.risk_none")}</p>`}
    ${history && html`<p class="note">${t("server.risk_needs", duration(60 * (BASELINE_MIN - history)))}</p>`}
    ${parts.length > 0 && html`<h3>${t("server.parts")}</h3><dl class="bars">${parts.map(([key, p]) => html`<${Bar} label=${key === "failure" ? t("server.part.failure") : t("server.part.limit", metricName(key))} share=${p} model />`)}</dl>`}
    ${why?.contributions.length > 0 && html`<h3>${t(verdict?.anomaly?.anomalous ? "server.unusual" : "server.common")}</h3>
      <dl class="bars">${why.contributions.slice(0, 3).map((each) => html`<${Bar} label=${metricName(each.metric)} share=${each.share} text=${number(each.value, each.unit)} />`)}</dl>`}
    ${verdict && html`<p class="note risk-foot">${t("server.confidence", percent(100 * verdict.confidence))} · ${t("server.judged", ago(verdict.minute + 60))}</p>`}
  </section>`;
}

function Bar({ label, share, text, model }) {
  return html`<div class=${model ? "bar model" : "bar"}><dt>${label}</dt><dd>${text ?? percent(100 * share)}</dd>
    <dd class="bar-track" aria-hidden="true"><svg viewBox="0 0 100 4" preserveAspectRatio="none"><rect width=${100 * Math.min(1, share)} height="4" /></svg></dd></div>`;
}

function Multiples({ chosen, ...charted }) {
  return html`<section class="multiples" aria-label=${t("server.metrics")}>
    ${CHARTS.map((chart) => html`<${Small} key=${chart.key} ...${charted} chart=${chart} pressed=${chart === chosen} />`)}
  </section>`;
}

function Small({ chart, pressed, ...charted }) {
  const { id, record, past } = charted;
  const options = useChart(charted, chart);
  const cursor = useSignal(null);
  const shown = useMemo(() => options && { ...options, size: "small", onCursor: (at) => { cursor.value = at; } }, [options]);
  const figure = useComputed(() => {
    const at = cursor.value;
    const pointed = at && (at.value ?? at.path);
    return number(pointed ?? value(servers.value.has(id) ? server(id).value : null, chart.column), chart.unit);
  });
  const show = () => go(`${serverPath(id)}?metric=${chart.key}`, { replace: true });
  return html`<div class="panel small-chart">
    <header><button type="button" class="plain" aria-pressed=${String(pressed)} aria-label=${t("server.show", metricName(chart.key))} onClick=${show}>${metricName(chart.key)}</button>
      <strong class="figure">${figure}</strong></header>
    ${shown && !shown.empty
      ? html`<${Chart} key=${`${id}|${reach.value}`} class="chart" options=${shown} />`
      : html`<p class="quiet chart">${past.data ? t("server.chart_empty") : past.error ? "–" : t("parts.loading")}</p>`}
  </div>`;
}

function Why({ load }) {
  const why = load.data;
  if (load.error?.status === 404) return html`<${Panel} title=${t("server.why")} empty=${t("server.not_judged")} />`;
  return html`<${Panel} title=${t("server.why")} load=${load} class="why">${why && html`
    <dl class="reasons">
      <div><dt>${t("server.reasons")}</dt><dd>${why.reasons.length ? why.reasons.map(reason).join(" · ") : t("server.reason.none")}</dd></div>
      ${why.p_value !== null && why.p_value !== undefined && html`<div><dt>${t("server.rarity_name")}</dt><dd>${t("server.rarity", percent(100 * why.p_value, why.p_value < 0.1 ? 1 : 0))}</dd></div>`}
      ${why.nearest && html`<div><dt>${t("server.nearest")}</dt><dd>${clock(why.nearest.minute)} · ${why.nearest.incident
        ? t("server.followed", t(`record.incident.${why.nearest.incident.kind}`), duration(why.nearest.incident.began - why.nearest.minute)) : t("server.not_followed")}</dd></div>`}
      <${Around} label=${t("server.needs_servers")} rows=${why.depends_on} /><${Around} label=${t("server.affects")} rows=${why.affects} />
    </dl>`}<//>`;
}

function reason(of) {
  if (of.metric) return t("server.reason.metric", metricName(of.metric), number(of.value, unitOf(of.metric)), number(of.limit, unitOf(of.metric)));
  if (of.anomaly) return t("server.reason.anomaly");
  return of.silent_s ? t("server.reason.offline", duration(of.silent_s)) : t("server.reason.unknown", of.error ?? "");
}

/** Servers that it needs, or that need it: those in trouble by name, the others by number. */
function Around({ label, rows }) {
  if (!rows.length) return null;
  const bad = rows.filter((row) => row.status !== "healthy");
  return html`<div><dt>${label}</dt><dd>${bad.length ? bad.slice(0, 8).map((row) => html`<a class="near" href=${href(serverPath(row.server))}>
    <${Glyph} status=${row.status ?? "unknown"} label /> ${row.server}</a> `) : t("server.all_well", rows.length)}</dd></div>`;
}
