// #/servers: every server in one table, to sort, search and filter. A tick changes texts only; nothing is rendered anew.

import { html, useComputed, useEffect, useRef, useState } from "../vendor/preact.js";
import { Glyph } from "../lib/ui.js";
import { ago, duration, known, number, percent, t, UNKNOWN } from "../lib/i18n.js";
import { go, href, route, serverPath } from "../lib/router.js";
import { CPU, DISK, LOAD, MEMORY, NETWORK, STATUSES, counts, server, servers, silent, value } from "../lib/store.js";
import "./forms.js";

const PAGE = 120;
// How often (s) the order may change under the reader's eyes.
const SETTLED_S = 10;
const likely = (r) => r.said?.next?.likely_s ?? r.said?.next?.earliest_s;
const rank = (r) => STATUSES.indexOf(r.status);
const role = (r) => (known(`tier.${r.role}`) ? t(`tier.${r.role}`) : r.role || UNKNOWN);

// What a column says of a record, by what it is sorted (the worst first, but for names), and whether it is a figure.
const COLUMNS = [
  { key: "id", by: (r) => r.id },
  { key: "role", by: role, text: role },
  { key: "risk", by: (r) => -(r.said?.risk ?? -1), text: (r) => percent(r.said?.risk == null ? null : r.said.risk / 10), class: "end model" },
  measured("cpu_utilization", CPU, "%"),
  measured("memory_used_effective", MEMORY, "%"),
  measured("filesystem_utilization", DISK, "%"),
  { key: "next", by: (r) => likely(r) ?? Infinity, text: next, class: "model" },
  measured("load_5m", LOAD, ""),
  measured("network", NETWORK, "B/s"),
  { key: "seen", by: (r) => r.seen, text: (r) => ago(r.seen), class: "end" },
];

// What a server said before it fell silent is no news: it would look as if it were well.
const current = (r, column) => (r.status === "offline" || silent(r) ? null : value(r, column));

function measured(key, column, unit) {
  return { key, metric: true, column, unit, by: (r) => -(current(r, column) ?? -1), text: (r) => number(current(r, column), unit), class: "end" };
}

function next(record) {
  const { metric, likely_s: middle, earliest_s: earliest } = record.said?.next ?? {};
  if (!metric) return UNKNOWN;
  return `${t(`metric.${metric}`)} ${middle == null ? t("servers.early", duration(earliest)) : duration(middle)}`;
}

export default function Servers() {
  const { status = "", q = "" } = route.value.query;
  const [query, search] = useState(q);
  const [order, sort] = useState({ key: "status", down: false });
  const [shown, show] = useState(PAGE);
  const table = useRef(null);
  const ids = useOrder(table, query, status, order);
  const all = counts.value.total;
  const filter = (key) => go(key === status ? "/servers" : `/servers?status=${key}`, { replace: true });
  return html`<div class="page servers">
    <header class="page-head"><h1>${t("servers.title")}</h1><span class="note" role="status">${t("servers.shown", ids.length, all)}</span></header>
    <div class="filters">
      <input class="search" type="search" aria-label=${t("servers.search")} placeholder=${t("servers.search")} value=${query} onInput=${(e) => { search(e.target.value); show(PAGE); }} />
      <div class="tags" role="group" aria-label=${t("servers.status")}>
        ${STATUSES.map((key) => html`<button type="button" class="tag" aria-pressed=${String(status === key)} onClick=${() => filter(key)}>
          <${Glyph} status=${key} /> <strong>${counts.value[key]}</strong> ${t(`status.${key}`)}</button>`)}
      </div>
    </div>
    ${ids.length
      ? html`<div class="scroll panel" ref=${table} tabindex="0" role="group" aria-label=${t("servers.title")}><table class="table fleet-table">
          <thead><tr>${COLUMNS.map((column) => html`<${Heading} column=${column} order=${order} sort=${sort} />`)}</tr></thead>
          <tbody>${ids.slice(0, shown).map((id) => html`<${Row} key=${id} id=${id} />`)}</tbody>
        </table></div>
        ${ids.length > shown && html`<button class="button" type="button" onClick=${() => show(shown + PAGE)}>${t("alerts.more", Math.min(PAGE, ids.length - shown))}</button>`}`
      : html`<p class="quiet">${t(all ? "servers.none" : "servers.empty")}</p>`}
  </div>`;
}

/** The ids to show, in order. Rows do not move under a pointer or the focus, and else at most every ten seconds. */
function useOrder(table, query, status, { key, down }) {
  const [tick, again] = useState(0);
  const kept = useRef({});
  useEffect(() => {
    const timer = setInterval(() => {
      const held = table.current?.matches(":hover") || table.current?.contains(document.activeElement);
      if (!document.hidden && !held) again((n) => n + 1);
    }, SETTLED_S * 1000);
    return () => clearInterval(timer);
  }, []);
  const asked = [servers.value, query, status, key, down, tick].map((each, i) => (i ? String(each) : each));
  if (asked.some((each, i) => each !== kept.current.asked?.[i])) {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    const text = (r) => [r.id, r.role, r.environment, r.stage, r.hostname, ...Object.values(r.labels)].join(" ").toLowerCase();
    const found = [...servers.value.values()].filter((r) => (!status || r.status === status) && words.every((word) => text(r).includes(word)));
    const by = COLUMNS.find((column) => column.key === key)?.by ?? rank;
    const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
    found.sort((a, b) => (down ? -1 : 1) * compare(by(a), by(b)) || rank(a) - rank(b) || (b.said?.risk ?? -1) - (a.said?.risk ?? -1) || compare(a.id, b.id));
    kept.current = { asked, ids: found.map((r) => r.id) };
  }
  return kept.current.ids;
}

function Heading({ column: { key, metric, class: name }, order, sort }) {
  const on = order.key === key;
  const words = t(metric ? `metric.${key}` : `servers.column.${key}`);
  return html`<th class=${`c-${key} ${name ?? ""}`} aria-sort=${on ? (order.down ? "descending" : "ascending") : null}>
    <button type="button" class="plain" onClick=${() => sort({ key, down: on && !order.down })}>${words}${on && html`<span aria-hidden="true">${order.down ? " ↑" : " ↓"}</span>`}</button></th>`;
}

function Row({ id }) {
  const cell = server(id);
  const status = useComputed(() => cell?.value.status ?? "unknown");
  return html`<tr data-row>
    <th scope="row"><a href=${href(serverPath(id))}><${Status} of=${status} /> ${id}</a></th>
    ${COLUMNS.slice(1).map((column) => html`<${Cell} cell=${cell} column=${column} />`)}
  </tr>`;
}

const Status = ({ of }) => html`<${Glyph} status=${of.value} label />`;

function Cell({ cell, column: { key, column, unit, text, class: name } }) {
  const words = useComputed(() => (cell ? text(cell.value) : UNKNOWN));
  const grade = useComputed(() => {
    const v = cell && unit === "%" ? current(cell.value, column) : null;
    return `c-${key} ${name ?? ""} ${v >= 90 ? "high crit" : v >= 75 ? "high" : ""}`;
  });
  return html`<td class=${grade}>${words}</td>`;
}
