// The fleet on the overview: the map of all servers, and their cards by what needs attention and by role.
//
// Cards are rendered once. What a tick changes is written to their text and attributes by an effect each, which runs
// only while the card is on the screen.

import { computed, effect, html, signal, useEffect, useMemo, useRef, useState } from "../vendor/preact.js";
import { colour } from "../lib/charts.js";
import { Glyph, Icon } from "../lib/ui.js";
import { duration, known, lang, percent, t, theme } from "../lib/i18n.js";
import { go, href, serverPath } from "../lib/router.js";
import { byId, counts, CPU, DISK, judged, MEMORY, server, servers, silence, silent, soon, STATUSES, value } from "../lib/store.js";

// Above so many servers healthy groups are closed at first: who looks for trouble does not need them, and neither does
// the browser.
const CROWD = 300;
const PAGE = 120;
// Groups that are drawn at once; those below the first screen follow one by one.
const FIRST = 1;
const REORDER_MS = 10_000;

export const roleName = (role) => (role ? (known(`tier.${role}`) ? t(`tier.${role}`) : role) : t("tier.none"));
const RANK = Object.fromEntries(STATUSES.map((status, i) => [status, i]));
const worst = (a, b) => RANK[a.status] - RANK[b.status];
const byRisk = (a, b) => worst(a, b) || (b.said?.risk ?? -1) - (a.said?.risk ?? -1) || byId(a, b);

/** Servers by role, the largest first. */
function byRole(records) {
  const found = new Map();
  for (const record of records) {
    const role = record.role || "";
    if (found.has(role)) found.get(role).push(record);
    else found.set(role, [record]);
  }
  return [...found].sort((a, b) => b[1].length - a[1].length || (a[0] < b[0] ? -1 : 1));
}

/* The map */

const GAP_SHARE = 0.2;
const LABEL = 18;
const LARGEST = 20;

/** Where each role's label and cells lie: as large as with which all fit. `widthOf(role)` is how long a label is. */
export function layout(groups, width, height, widthOf) {
  for (let size = LARGEST; size >= 3; size -= 0.5) {
    for (const rows of [4, 6, 8, 12, 16]) {
      const pitch = size * (1 + GAP_SHARE);
      const blocks = [];
      let x = 0, y = 0, fits = true;
      for (const [role, records] of groups) {
        const wide = Math.ceil(records.length / rows) * pitch;
        const block = Math.max(wide, widthOf(role));
        if (x > 0 && x + block > width) { x = 0; y += LABEL + rows * pitch + 8; }
        if (block > width || y + LABEL + Math.min(rows, records.length) * pitch > height) { fits = false; break; }
        blocks.push({ role, x, y, cells: records.map((record, i) => ({ record, x: x + Math.floor(i / rows) * pitch, y: y + LABEL + (i % rows) * pitch })) });
        x += block + 14;
      }
      if (fits) return { size, blocks };
    }
  }
  return { size: 3, blocks: [] };
}

export function FleetMap() {
  const root = useRef(null);
  const [tip, point] = useState(null);
  const drawn = useRef({ size: 0, blocks: [] });
  useEffect(() => {
    const canvas = root.current.querySelector("canvas");
    const box = root.current;
    const draw = () => { drawn.current = paintMap(canvas, box); };
    const stop = effect(() => { judged.value; servers.value; theme.value; lang.value; draw(); });
    const sizes = new ResizeObserver(draw);
    sizes.observe(box);
    return () => { stop(); sizes.disconnect(); };
  }, []);
  const at = (event) => {
    const box = root.current.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const { size, blocks } = drawn.current;
    for (const block of blocks) for (const cell of block.cells) {
      if (x >= cell.x - 1 && x <= cell.x + size + 1 && y >= cell.y - 1 && y <= cell.y + size + 1) return cell;
    }
    return null;
  };
  const c = counts.value;
  const words = STATUSES.filter((status) => c[status]).map((status) => `${t(`status.${status}`)} ${c[status]}`).join(", ");
  const edge = tip && tip.x > (root.current?.clientWidth ?? 0) / 2;
  return html`<div class="map" ref=${root} onPointerMove=${(event) => point(at(event))} onPointerLeave=${() => point(null)}
      onClick=${(event) => { const cell = at(event); if (cell) go(serverPath(cell.record.id)); }}>
    <canvas role="img" aria-label=${t("map.label", words)}></canvas>
    ${tip && html`<div class="tip" style=${{ top: `${tip.y + 20}px`, ...(edge ? { right: `${root.current.clientWidth - tip.x - 16}px` } : { left: `${tip.x}px` }) }}>
      ${tip.record.id} · ${t(`status.${tip.record.status}`)}${tip.record.said?.risk ? ` · ${t("watch.risk")} ${percent(tip.record.said.risk / 10)}` : ""}</div>`}
  </div>`;
}

function paintMap(canvas, root) {
  const [width, height] = [root.clientWidth, root.clientHeight];
  if (!width || !height) return { size: 0, blocks: [] };
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const ctx = canvas.getContext("2d");
  ctx.scale(ratio, ratio);
  ctx.font = "11px Inter, Pretendard, system-ui, sans-serif";
  const found = layout(byRole([...servers.peek().values()].sort(byRisk)), width, height, (role) => ctx.measureText(roleName(role)).width);
  ctx.textBaseline = "alphabetic";
  for (const { role, x, y, cells } of found.blocks) {
    ctx.fillStyle = colour("ink-3");
    ctx.fillText(roleName(role), x, y + 11);
    for (const cell of cells) paintCell(ctx, cell, found.size);
  }
  return found;
}

const COLOURS = { offline: "down", critical: "crit", warning: "warn" };

/** One cell. Trouble is a filled square with its shape in it; where that is too small to see, the shape alone. */
function paintCell(ctx, { record, x, y }, size) {
  const { status } = record;
  const round = Math.min(3, size / 4);
  const box = (inset = 0) => { ctx.beginPath(); ctx.roundRect(x + inset, y + inset, size - 2 * inset, size - 2 * inset, round); };
  if (status === "healthy") {
    ctx.fillStyle = colour("ok-cell");
    box();
    ctx.fill();
  } else if (status === "unknown") {
    ctx.strokeStyle = colour("ink-3");
    ctx.lineWidth = 1;
    ctx.setLineDash([2, 2]);
    box(0.5);
    ctx.stroke();
    ctx.setLineDash([]);
  } else if (status === "maintenance") {
    ctx.fillStyle = colour("surface-3");
    box();
    ctx.fill();
    ctx.fillStyle = colour("ink-3");
    ctx.fillRect(x + size * 0.3, y + size * 0.28, size * 0.13, size * 0.44);
    ctx.fillRect(x + size * 0.57, y + size * 0.28, size * 0.13, size * 0.44);
  } else if (size < 10) {
    ctx.fillStyle = colour(COLOURS[status]);
    shape(ctx, status, x, y, size);
  } else {
    ctx.fillStyle = colour(COLOURS[status]);
    box();
    ctx.fill();
    ctx.fillStyle = ctx.strokeStyle = theme.peek() === "dark" ? "#0a0c0f" : "#ffffff";
    const inset = size * 0.26;
    if (status === "offline") cross(ctx, x + inset + 0.5, y + inset + 0.5, size - 2 * inset - 1);
    else shape(ctx, status, x + inset, y + inset, size - 2 * inset);
  }
  if (soon(record)) {
    ctx.strokeStyle = colour("model");
    ctx.lineWidth = 1.5;
    ctx.beginPath();
    ctx.roundRect(x - 1.5, y - 1.5, size + 3, size + 3, round + 1.5);
    ctx.stroke();
  }
}

function shape(ctx, status, x, y, size) {
  const half = size / 2;
  ctx.beginPath();
  if (status === "critical") { ctx.moveTo(x + half, y); ctx.lineTo(x + size, y + half); ctx.lineTo(x + half, y + size); ctx.lineTo(x, y + half); }
  else if (status === "warning") { ctx.moveTo(x + half, y); ctx.lineTo(x + size, y + size); ctx.lineTo(x, y + size); }
  else ctx.rect(x, y, size, size);
  ctx.closePath();
  ctx.fill();
}

function cross(ctx, x, y, size) {
  ctx.lineWidth = 1.8;
  ctx.lineCap = "round";
  ctx.beginPath();
  ctx.moveTo(x, y); ctx.lineTo(x + size, y + size);
  ctx.moveTo(x + size, y); ctx.lineTo(x, y + size);
  ctx.stroke();
}

/* The cards */

const KEPT = "openmanager.fleet";
const chosen = (() => {
  try { return JSON.parse(localStorage.getItem(KEPT)) ?? {}; } catch { return {}; }
})();
const look = signal(chosen.look === "rows" ? "rows" : "cards");
const order = signal(["risk", "name", "cpu", "memory", "disk"].includes(chosen.order) ? chosen.order : "risk");
const keep = () => localStorage.setItem(KEPT, JSON.stringify({ look: look.value, order: order.value }));

const ORDERS = {
  risk: byRisk,
  name: (a, b) => a.id.localeCompare(b.id, undefined, { numeric: true }),
  cpu: (a, b) => (value(b, CPU) ?? -1) - (value(a, CPU) ?? -1),
  memory: (a, b) => (value(b, MEMORY) ?? -1) - (value(a, MEMORY) ?? -1),
  disk: (a, b) => (value(b, DISK) ?? -1) - (value(a, DISK) ?? -1),
};

/** [[name, ids], …]: what needs attention first, then by role. */
function grouped() {
  const all = [...servers.peek().values()].sort(ORDERS[order.peek()]);
  const attention = all.filter(({ status }) => status !== "healthy" && status !== "maintenance");
  const rest = all.filter(({ status }) => status === "healthy" || status === "maintenance");
  return [["attention", attention], ...byRole(rest)]
    .filter(([, records]) => records.length)
    .map(([name, records]) => [name, records.map(({ id }) => id)]);
}

/** The groups in an order that stands still, their numbers (store.counts) apart: anew every ten seconds at most, and never under a pointer or the focus. */
function useGroups(root) {
  const [groups, set] = useState(grouped);
  useEffect(() => {
    let at = 0, timer = 0;
    const settle = () => {
      clearTimeout(timer);
      const busy = root.current?.matches(":hover") && matchMedia("(hover: hover)").matches || root.current?.contains(document.activeElement);
      const wait = busy ? 1000 : REORDER_MS - (performance.now() - at);
      if (at && (busy || wait > 0)) timer = setTimeout(settle, Math.max(250, wait));
      else {
        at = performance.now();
        set(grouped());
      }
    };
    const stop = effect(() => { judged.value; settle(); });
    const now = effect(() => { servers.value; order.value; at = performance.now(); set(grouped()); });
    return () => { stop(); now(); clearTimeout(timer); };
  }, []);
  // Cards stand still, and numbers do not: a role whose first server is well again is there at once, its card later.
  const here = peopled.value;
  return useMemo(() => {
    const lacking = JSON.parse(here).filter((name) => !groups.some(([known]) => known === name)).map((name) => [name, []]);
    const first = lacking.filter(([name]) => name === "attention");
    return lacking.length ? [...first, ...groups, ...lacking.filter((each) => !first.includes(each))] : groups;
  }, [groups, here]);
}

// What the fleet is rendered anew for; its numbers change with every round, and each is a component of its own.
const total = computed(() => counts.value.total);
/** The names of the groups that have servers now, as a text, which is the same as long as they are. */
const peopled = computed(() => JSON.stringify([...(counts.value.attention ? ["attention"] : []), ...[...counts.value.calm.keys()].sort()]));

export function Fleet() {
  const root = useRef(null);
  const groups = useGroups(root);
  const [drawn, draw] = useState(FIRST);
  const more = drawn < groups.length;
  // One more each time a frame has been shown: what is on the screen has its values, and a finger is answered meanwhile.
  // Once all are there, a group that comes is drawn with what it took its servers from.
  useEffect(() => {
    if (!more) {
      if (groups.length) draw(Infinity);
      return undefined;
    }
    const frame = requestAnimationFrame(() => setTimeout(() => draw(drawn + 1 < groups.length ? drawn + 1 : Infinity)));
    return () => cancelAnimationFrame(frame);
  }, [more, drawn, groups.length]);
  return html`<section class="fleet" aria-labelledby="fleet">
    <header class="section-head"><h2 id="fleet">${t("fleet.title")}</h2><span class="note">${t("fleet.count", total.value)}</span>
      <div class="fleet-tools push">
        <div class="segments" role="group" aria-label=${t("fleet.look")}>
          ${["cards", "rows"].map((each) => html`<button type="button" aria-pressed=${String(look.value === each)} onClick=${() => { look.value = each; keep(); }}>${t(`fleet.${each}`)}</button>`)}
        </div>
        <select aria-label=${t("fleet.order")} value=${order.value} onChange=${(event) => { order.value = event.target.value; keep(); }}>
          ${Object.keys(ORDERS).map((each) => html`<option value=${each} selected=${each === order.value}>${t(`fleet.by.${each}`)}</option>`)}
        </select>
      </div></header>
    <div class=${`groups as-${look.value}`} ref=${root} aria-busy=${String(more)}>
      ${groups.slice(0, drawn).map(([name, ids]) => html`<${Group} key=${name} name=${name} ids=${ids} crowd=${total.value > CROWD} />`)}
    </div>
  </section>`;
}

function HowMany({ name }) {
  return html`<span class="n">${name === "attention" ? counts.value.attention : counts.value.calm.get(name) ?? 0}</span>`;
}

function Group({ name, ids, crowd }) {
  const attention = name === "attention";
  const [open, set] = useState(attention || !crowd);
  const [shown, show] = useState(PAGE);
  const id = `group-${name || "none"}`;
  return html`<div class="group">
    <h3><button class="group-head" type="button" aria-expanded=${String(open)} aria-controls=${id} onClick=${() => set(!open)}>
      <${Icon} name=${open ? "down" : "right"} size=${14} />${attention ? t("fleet.attention") : roleName(name)} <${HowMany} name=${name} /></button></h3>
    <div class="cards" id=${id} hidden=${!open}>${open && ids.slice(0, shown).map((each) => html`<${Card} key=${each} id=${each} />`)}</div>
    ${open && ids.length > shown && html`<button class="button small show-more" type="button" onClick=${() => show(shown + PAGE)}>${t("fleet.more", Math.min(PAGE, ids.length - shown))}</button>`}
  </div>`;
}

const METERS = [[CPU, "cpu"], [MEMORY, "memory"], [DISK, "disk"]];
const WARN = 75, CRITICAL = 90;

// One for all cards: who is on the screen is painted with every change, nobody else.
const watched = new WeakMap();
const eyes = typeof IntersectionObserver === "undefined" ? null : new IntersectionObserver(
  (entries) => entries.forEach(({ target, isIntersecting }) => watched.get(target)?.(isIntersecting)),
  { rootMargin: "120px" },
);

function Card({ id }) {
  const root = useRef(null);
  const language = lang.value;
  useEffect(() => {
    const element = root.current;
    const paint = painter(element);
    let stop = null;
    watched.set(element, (visible) => {
      if (visible && !stop) stop = effect(() => { const cell = server(id); if (cell) paint(cell.value); });
      else if (!visible && stop) { stop(); stop = null; }
    });
    eyes.observe(element);
    return () => { eyes.unobserve(element); stop?.(); };
  }, [id, language]);
  const status = useStatus(id);
  return useMemo(() => html`<a class="card" data-row ref=${root} href=${href(serverPath(id))}>
    <span class="head"><${Glyph} status=${status} label /><b title=${id}>${id}</b></span>
    <span class="risk-n"></span>
    <svg class="spark" viewBox="0 0 100 26" preserveAspectRatio="none" aria-hidden="true"><path d="" /></svg>
    <span class="meters">${METERS.map(([, name]) => html`<span class="meter"><abbr title=${t(`metric.short.${name}.title`)}>${t(`metric.short.${name}`)}</abbr><span class="v"></span><span class="bar"><i></i></span></span>`)}</span>
    <span class="said"></span>
  </a>`, [id, status, language]);
}

/** A server's status, which renders its card anew when it changes. */
function useStatus(id) {
  const [status, set] = useState(() => server(id)?.peek().status ?? "unknown");
  useEffect(() => effect(() => { judged.value; set(server(id)?.peek().status ?? "unknown"); }), [id]);
  return status;
}

/** Writes a record into a card, touching only what differs from what it wrote before. */
function painter(card) {
  const [risk, path, said] = [".risk-n", ".spark path", ".said"].map((each) => card.querySelector(each));
  const meters = [...card.querySelectorAll(".meter")].map((root) => ({ root, text: root.querySelector(".v"), bar: root.querySelector("i") }));
  const before = {};
  const write = (key, now, apply) => { if (before[key] !== now) { before[key] = now; apply(now); } };
  return (record) => {
    const message = messageOf(record);
    write("kind", `card k-${silent(record) ? "silent" : record.status}${message ? " quiet-card" : ""}`, (name) => { card.className = name; });
    write("said", message, (text) => { said.textContent = text; });
    write("risk", record.said && !message && record.said.risk !== null && record.said.risk >= 10 ? percent(record.said.risk / 10) : "", (text) => { risk.textContent = text; });
    if (message) return;
    write("recent", record.recent, (recent) => path.setAttribute("d", spark(recent)));
    METERS.forEach(([column], i) => {
      const v = value(record, column);
      write(`v${i}`, v === null ? null : Math.round(v), (share) => {
        meters[i].text.textContent = share === null ? "–" : share;
        meters[i].bar.style.transform = `scaleX(${(share ?? 0) / 100})`;
        meters[i].root.className = share >= CRITICAL ? "meter crit" : share >= WARN ? "meter warn" : "meter";
      });
    });
  };
}

/** What stands in the place of values that are no news any more. */
function messageOf(record) {
  if (record.status === "offline") return t("fleet.offline", duration(silence(record)));
  if (silent(record)) return t("fleet.silent", duration(silence(record)));
  return "";
}

/** The path of a sparkline, 100 wide and 26 high: at least 18 points from top to bottom, so that noise is no drama. */
export function spark(recent) {
  const known = recent.filter((v) => v !== null && v !== undefined);
  if (known.length < 2) return "";
  const low = Math.max(0, Math.min(...known) - 3);
  const span = Math.max(18, Math.max(...known) - low);
  let d = "", pen = false;
  recent.forEach((v, i) => {
    if (v === null || v === undefined) { pen = false; return; }
    d += `${pen ? "L" : "M"}${((100 * i) / (recent.length - 1)).toFixed(1)} ${(25 - (24 * (v - low)) / span).toFixed(1)}`;
    pen = true;
  });
  return d;
}
