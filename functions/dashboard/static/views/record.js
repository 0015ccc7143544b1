// #/record: what predictions were worth. Only what is settled is counted, and what is not known yet says why.

import { html, useState } from "../vendor/preact.js";
import { clock, duration, instant, number, percent, t } from "../lib/i18n.js";
import { href, serverPath } from "../lib/router.js";
import { now } from "../lib/store.js";
import { Panel } from "./forms.js";
import { Tabs, useLoad } from "../lib/ui.js";

const MODELS = ["failure", "anomaly", "exhaustion"];
const DAYS = [7, 28, 90];
const SHOWN = 20;

export default function Record() {
  const [days, set] = useState(28);
  // To the minute, so that the address, and with it the answer, stays the same while one reads.
  const [to] = useState(() => Math.floor(now.value / 60) * 60);
  const load = useLoad(`/api/predictions/record?from=${to - days * 86400}`, { every: 300 });
  const found = load.data;
  const nothing = found && !found.probabilities && !found.episodes.length && !found.incident_list.length;
  return html`<div class="page record">
    <header class="page-head">
      <div><h1>${t("record.title")}</h1><p class="note">${t("record.about")}</p></div>
      <${Tabs} label=${t("record.span")} value=${String(days)} set=${(key) => set(Number(key))}
        tabs=${DAYS.map((n) => ({ key: String(n), text: t("record.days", n) }))} />
    </header>
    ${!found || nothing
      ? html`<${Panel} title=${t("record.warnings")} load=${load}>${nothing && html`<${Empty} />`}<//>`
      : html`<${Warnings} found=${found} />
        <div class="record-grid">
          <${Probabilities} found=${found.probabilities} />
          <${Forecasts} found=${found.forecasts} />
        </div>
        <${Weeks} rows=${found.weeks} />
        <${Episodes} found=${found} />`}
  </div>`;
}

function Empty() {
  return html`<div class="record-empty">
    <p>${t("record.empty")}</p>
    <ul>${["probability", "warning", "exhaustion", "incident"].map((key) => html`<li>${t(`record.fills.${key}`)}</li>`)}</ul>
  </div>`;
}

function Warnings({ found }) {
  return html`<${Panel} title=${t("record.warnings")} note=${t("record.incidents", found.incidents)}>
    <div class="models">${MODELS.map((model) => html`<${Model} name=${model} of=${found.models[model]} />`)}</div>
  <//>`;
}

function Model({ name, of }) {
  const settled = of.hits + of.false_alarms;
  const parts = [["hit", of.hits], ["false", of.false_alarms], ["during", of.during]];
  const all = settled + of.during;
  const facts = [
    [t("record.hits"), of.hits], [t("record.false"), of.false_alarms], [t("record.missed"), of.missed], [t("record.during"), of.during],
  ];
  return html`<article class="model">
    <h3>${t(`record.model.${name}`)} <span class="note">${t("record.horizon", duration(of.horizon_minutes * 60))}</span></h3>
    <dl class="figures">
      <${Figure} label=${t("record.precision")} value=${of.precision} note=${t("record.of", of.hits, settled)} why=${t("record.no_settled")} />
      <${Figure} label=${t("record.recall")} value=${of.recall} note=${t("record.of", of.announced, of.incidents)} why=${t("record.no_incidents")} />
      <div><dt>${t("record.lead")}</dt>
        <dd>${of.median_lead_s === null ? "–" : duration(of.median_lead_s)}</dd>
        <dd class="note">${of.median_lead_s === null ? t("record.no_hits") : t("record.median")}</dd></div>
    </dl>
    <svg class="stack" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
      <rect class="stack-none" width="100" height="6" />
      ${stacked(parts, all).map(([key, x, width]) => html`<rect class=${`stack-${key}`} x=${x} width=${width} height="6" />`)}
    </svg>
    <dl class="counts">${facts.map(([label, n]) => html`<div><dt>${label}</dt><dd>${number(n)}</dd></div>`)}</dl>
  </article>`;
}

function stacked(parts, all) {
  let x = 0;
  return parts.filter(([, n]) => n).map(([key, n]) => {
    const width = (100 * n) / all;
    x += width;
    return [key, x - width, width];
  });
}

function Figure({ label, value, note, why }) {
  return html`<div><dt>${label}</dt><dd>${value === null ? "–" : share(value)}</dd>
    <dd class="note">${value === null ? why : note}</dd></div>`;
}

function Probabilities({ found }) {
  return html`<${Panel} title=${t("record.probabilities")} note=${found && t("record.settled", found.count)} empty=${!found && t("record.fills.probability")}>
    ${found && html`<div class="reliability">
      <${Reliability} rows=${found.reliability} />
      <dl class="facts">
        <div><dt>${t("record.brier")}</dt><dd>${short(found.brier)}</dd></div>
        <div><dt>${t("record.brier_of_prevalence")}</dt><dd>${short(found.brier_of_prevalence)}</dd></div>
        <div><dt>${t("record.skill")}</dt><dd>${found.skill === null ? "–" : signed(found.skill)}</dd></div>
        <div><dt>${t("record.prevalence")}</dt><dd>${share(found.prevalence, 1)}</dd></div>
        <div><dt>${t("record.calibration")}</dt><dd>${short(found.calibration_error)}</dd></div>
      </dl>
    </div>
    <p class="note">${found.skill === null ? t("record.verdict.none") : t(found.skill > 0 ? "record.verdict.better" : "record.verdict.worse")}</p>`}
  <//>`;
}

/** Said against came true: on the diagonal, what was said is what happened. A dot's area is how often it was said. */
function Reliability({ rows }) {
  const most = Math.max(...rows.map((row) => row.count));
  const at = (v) => 42 + 150 * v;
  const y = (v) => 172 - 160 * v;
  const line = rows.map((row, i) => `${i ? "L" : "M"}${at(row.said)} ${y(row.came_true)}`).join("");
  const ticks = [0, 0.5, 1];
  return html`<figure class="plot">
    <svg viewBox="0 0 206 206" role="img" aria-label=${t("record.reliability", rows.length)}>
      ${ticks.map((v) => html`<g class="plot-grid"><path d=${`M42 ${y(v)}H192M${at(v)} 12V172`} />
        <text x="38" y=${y(v) + 3} text-anchor="end">${share(v)}</text><text x=${at(v)} y="186" text-anchor="middle">${share(v)}</text></g>`)}
      <path class="plot-ideal" d="M42 172L192 12" /><path class="plot-line" d=${line} />
      ${rows.map((row) => html`<circle class="plot-dot" cx=${at(row.said)} cy=${y(row.came_true)} r=${2 + 5 * Math.sqrt(row.count / most)}>
        <title>${t("record.dot", share(row.said), share(row.came_true), row.count)}</title></circle>`)}
      <text class="plot-name" x="117" y="202" text-anchor="middle">${t("record.said")}</text>
      <text class="plot-name" x="-92" y="9" text-anchor="middle" transform="rotate(-90)">${t("record.came_true")}</text>
    </svg>
    <details><summary>${t("record.as_table")}</summary><table class="table"><thead><tr><th>${t("record.said")}</th><th>${t("record.came_true")}</th>
      <th>${t("record.count")}</th></tr></thead><tbody>${rows.map((row) => html`<tr><td>${share(row.said, 1)}</td><td>${share(row.came_true, 1)}</td>
      <td>${number(row.count)}</td></tr>`)}</tbody></table></details>
  </figure>`;
}

function Forecasts({ found }) {
  const rows = Object.entries(found).filter(([, of]) => of.steps);
  return html`<${Panel} title=${t("record.forecasts")} note=${t("record.forecasts_note")} empty=${!rows.length && t("record.fills.forecast")}>
    <div class="scroll" tabindex="0" role="group" aria-label=${t("record.forecasts")}><table class="table"><thead><tr>
      <th>${t("record.metric")}</th><th class="end">${t("record.mae")}</th><th class="bar-cell" aria-hidden="true"></th><th class="end">${t("record.inside")}</th><th class="end">${t("record.steps")}</th>
    </tr></thead><tbody>${rows.map(([metric, of]) => html`<tr>
      <th scope="row">${t(`metric.${metric}`)}<span class="note methods">${methods(of.methods)}</span></th>
      <td class="end">${of.mae_over_last_value === null ? "–" : short(of.mae_over_last_value)}</td>
      <td class="bar-cell"><${Ratio} value=${of.mae_over_last_value} /></td>
      <td class="end">${of.inside_80 === null ? "–" : share(of.inside_80)}</td>
      <td class="end">${number(of.steps)}</td></tr>`)}</tbody></table></div>
  <//>`;
}

/** Error over that of the last value: 1 is the mark, left of it is better than no model. */
function Ratio({ value }) {
  if (value === null) return null;
  const x = Math.min(1.5, value) * 40;
  return html`<svg class="ratio" viewBox="0 0 62 10" aria-hidden="true"><rect class=${value < 1 ? "ratio-good" : "ratio-bad"} y="3" width=${x} height="4" rx="1" />
    <path class="ratio-mark" d="M40 0V10" /></svg>`;
}

function methods(of) {
  return Object.entries(of).sort(([, a], [, b]) => b - a).slice(0, 3).map(([name, part]) => `${t(`method.${name}`)} ${share(part)}`).join(" · ");
}

function Weeks({ rows }) {
  if (rows.length < 2) return null;
  return html`<${Panel} title=${t("record.weeks")}><div class="scroll" tabindex="0" role="group" aria-label=${t("record.weeks")}><table class="table"><thead><tr>
    <th>${t("record.week")}</th>${MODELS.map((m) => html`<th class="end">${t(`record.model.${m}`)}<span class="note methods">${t("record.week_counts")}</span></th>`)}
    <th class="end">${t("record.brier")}</th><th class="end">${t("record.mae")}</th></tr></thead>
    <tbody>${rows.slice().reverse().map((row) => html`<tr><th scope="row">${row.week}</th>
      ${MODELS.map((m) => html`<td class="end">${row[`${m}_hits`]} / ${row[`${m}_false_alarms`]} / ${row[`${m}_missed`]}</td>`)}
      <td class="end">${row.brier === null ? "–" : short(row.brier)}</td><td class="end">${row.mae_over_last_value === null ? "–" : short(row.mae_over_last_value)}</td>
    </tr>`)}</tbody></table></div><//>`;
}

function Episodes({ found }) {
  const [all, show] = useState(false);
  const rows = [
    ...found.episodes.map((e) => ({ ...e, what: e.outcome })),
    ...found.incident_list.filter((i) => !Object.keys(i.announced).length).map((i) => ({ ...i, what: "miss" })),
  ].sort((a, b) => b.began - a.began);
  return html`<${Panel} title=${t("record.episodes")} note=${t("record.episodes_note")} empty=${!rows.length && t("record.fills.warning")}>
    <ul class="events">${rows.slice(0, all ? 200 : SHOWN).map((row) => html`<li class=${`outcome outcome-${row.what.replace(" ", "-")}`}>
      <span class="mark">${t(`record.outcome.${row.what}`)}</span>
      <a href=${href(serverPath(row.server))}>${row.server}</a>
      <span>${row.model ? t(`record.model.${row.model}`) : t(`record.incident.${row.kind}`)}</span>
      <span class="note">${row.lead_s ? t("record.ahead", duration(row.lead_s)) : duration(row.ended - row.began)}</span>
      <time class="note" title=${instant(row.began)}>${clock(row.began)}</time>
    </li>`)}</ul>
    ${rows.length > SHOWN && !all && html`<button class="button small" type="button" onClick=${() => show(true)}>${t("record.more", Math.min(200, rows.length) - SHOWN)}</button>`}
  <//>`;
}

const short = (v) => v.toFixed(3);
const share = (v, digits) => percent(100 * v, digits);
const signed = (v) => `${v > 0 ? "+" : ""}${share(v)}`;
