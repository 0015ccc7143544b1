// Rules: thresholds and how long they must hold, each with its way back to the default.

import { html, useState } from "../vendor/preact.js";
import { del, may, put } from "../lib/api.js";
import { t } from "../lib/i18n.js";
import { Confirm, Field, Form, Panel } from "./forms.js";
import { Problem, useLoad } from "../lib/ui.js";

const KINDS = ["threshold", "exhaustion", "anomaly", "failure", "offline"];
// Rules without levels: what they watch is there or not.
const PLAIN = ["offline", "arrivals"];
const LEVELS = ["warning", "critical", "recover_warning", "recover_critical"];
const MINUTES = ["for_min", "keep_firing_min", "repeat_min", "escalate_min"];
const METRICS = [
  "cpu_utilization", "load_1m", "load_5m", "load_15m", "memory_used", "memory_used_effective", "disk_queue", "disk_reads", "disk_read_bytes",
  "disk_service_time", "disk_busy", "disk_writes", "disk_wait", "disk_write_bytes", "network_receive_bytes", "network_transmit_bytes",
  "network_receive_packets", "network_transmit_packets", "tcp_time_wait", "tcp_established", "filesystem_utilization", "swap_utilization",
  "network_errors", "processes", "uptime", "response_time",
];
const BOUNDED = ["memory_used_effective", "filesystem_utilization", "swap_utilization", "cpu_utilization", "memory_used", "disk_busy"];
const EMPTY = { id: "", kind: "threshold", metric: "cpu_utilization", warning: 80, critical: 90, for_min: 5, keep_firing_min: 5, repeat_min: 240, enabled: true };

export function Rules() {
  const load = useLoad("/api/rules");
  const [open, show] = useState("");
  const done = (rule) => {
    const rules = load.data.rules;
    load.set({ rules: rules.some((r) => r.id === rule.id) ? rules.map((r) => (r.id === rule.id ? { ...r, ...rule } : r)) : [...rules, rule] });
    show("");
  };
  const add = may("operator") && html`<button class="button small" type="button" aria-expanded=${String(open === "+")} onClick=${() => show(open === "+" ? "" : "+")}>
    ${t("rules.add")}</button>`;
  return html`<${Panel} title=${t("settings.rules")} note=${t("rules.note")} actions=${add} load=${load}>
    ${open === "+" && html`<${Editor} rule=${EMPTY} done=${done} cancel=${() => show("")} fresh />`}
    <ul class="rows">${load.data?.rules.map((rule) => html`<${Row} key=${rule.id} rule=${rule} open=${open === rule.id}
      toggle=${() => show(open === rule.id ? "" : rule.id)} done=${done} reload=${load.reload} />`)}</ul>
  <//>`;
}

/** What a rule says in words: from where on, and for how long. */
function levels(rule) {
  if (PLAIN.includes(rule.kind)) return t(`rules.${rule.kind}`);
  const unit = { threshold: rule.metric.endsWith("utilization") || rule.metric.startsWith("memory") || rule.metric === "disk_busy" ? "%" : "", exhaustion: t("rules.hours"), age: "%", rounds: t("rules.minutes") }[rule.kind] || "";
  const sign = rule.kind === "exhaustion" || rule.kind === "quality" || !rule.above ? "≤" : "≥";
  return ["warning", "critical"].filter((key) => rule[key] !== null).map((key) => html`<span class="level"><span class="note">${t(`severity.${key}`)}</span> ${sign} ${rule[key]}${unit}</span>`);
}

export function ruleName(rule) {
  const key = `rules.name.${rule.kind}`;
  return t(key, rule.metric && t(`${rule.kind === "age" ? "health" : "metric"}.${rule.metric}`));
}

function Row({ rule, open, toggle, done, reload }) {
  const [error, fail] = useState(null);
  const own = !rule.builtin;
  const restore = () => del(`/api/rules/${encodeURIComponent(rule.id)}`).then(reload, fail);
  return html`<li class=${rule.enabled ? "row" : "row off"}>
    <div class="row-main">
      <div class="row-text"><strong>${ruleName(rule)}</strong> <code>${rule.id}</code>
        ${!rule.enabled && html`<span class="chip">${t("rules.off")}</span>`}${!rule.default && !own && html`<span class="chip">${t("rules.changed")}</span>`}
        <div class="row-facts">${levels(rule)}<span class="note">${t("rules.for", rule.for_min)}</span>
          ${(rule.servers.length || rule.roles.length) > 0 && html`<span class="note">${[...rule.servers, ...rule.roles].join(", ")}</span>`}</div>
      </div>
      <div class="row-actions">${may("operator") && html`
        ${!rule.default && html`<${Confirm} text=${t(own ? "parts.delete" : "rules.restore")} sure=${t(own ? "parts.delete_sure" : "rules.restore_sure")} label=${ruleName(rule)} run=${restore} />`}
        <button class="button small" type="button" aria-expanded=${String(open)} onClick=${toggle} aria-label=${t("rules.edit_of", ruleName(rule))}>${t("parts.edit")}</button>`}
      </div>
    </div>
    <${Problem} error=${error} />
    ${open && html`<${Editor} rule=${rule} done=${done} cancel=${toggle} />`}
  </li>`;
}

function Editor({ rule, done, cancel, fresh }) {
  const [given, set] = useState(() => ({ ...rule, servers: (rule.servers || []).join(", "), roles: (rule.roles || []).join(", ") }));
  const change = (name) => (value) => set((before) => ({ ...before, [name]: value }));
  const run = async () => done(await put(`/api/rules/${encodeURIComponent(given.id)}`, body(given)));
  const levelled = !PLAIN.includes(given.kind);
  return html`<${Form} run=${run} submit=${t("parts.save")} cancel=${cancel}>${(error) => {
    const field = (name, more) => html`<${Field} label=${t(`rules.${name}`)} name=${name} value=${given[name]} set=${change(name)} error=${error} ...${more} />`;
    return html`
      ${fresh && html`<div class="fields">${field("id", { hint: t("rules.id_hint") })}
        ${field("kind", { options: KINDS.map((k) => [k, t(`rules.kind.${k}`)]) })}
        ${["threshold", "exhaustion"].includes(given.kind) && field("metric", { options: (given.kind === "exhaustion" ? BOUNDED : METRICS).map((m) => [m, t(`metric.${m}`)]) })}</div>`}
      ${levelled && html`<p class="note">${t(`rules.unit.${given.kind}`)}</p><div class="fields">${LEVELS.map((name) => field(name, { type: "number", step: "any", inputmode: "decimal" }))}</div>`}
      <div class="fields">${MINUTES.map((name) => field(name, { type: "number", min: 0, inputmode: "numeric" }))}
        ${["failure", "exhaustion"].includes(given.kind) && field("weekly_budget", { type: "number", min: 0, inputmode: "numeric" })}</div>
      <div class="fields">${field("servers", { hint: t("rules.list_hint") })}${field("roles", { hint: t("rules.list_hint") })}</div>
      ${given.kind === "threshold" && field("above", { type: "checkbox" })}
      ${field("enabled", { type: "checkbox" })}`;
  }}<//>`;
}

function body(given) {
  const out = { ...given };
  delete out.default;
  delete out.builtin;
  for (const name of LEVELS) out[name] = number(given[name]);
  for (const name of [...MINUTES, "weekly_budget"]) out[name] = number(given[name]) ?? 0;
  for (const name of ["servers", "roles"]) out[name] = names(given[name]);
  if (!["threshold", "exhaustion", "age"].includes(given.kind)) out.metric = "";
  if (PLAIN.includes(given.kind)) for (const name of LEVELS) out[name] = null;
  return out;
}

// What is no number goes as it is: the API says so at the field.
const number = (text) => (text === "" || text === null || text === undefined ? null : Number.isNaN(Number(text)) ? text : Number(text));

export const names = (text) => text.split(/[\s,]+/).filter(Boolean);
