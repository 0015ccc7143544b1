// Ask: questions in plain words, answered from what the API answers. Every figure points at its evidence.

import { html, signal, useEffect, useRef, useState } from "../vendor/preact.js";
import { get, post, session } from "../lib/api.js";
import { mount } from "../lib/charts.js";
import { clock, instant, known, lang, number, t } from "../lib/i18n.js";
import { href, route, serverPath } from "../lib/router.js";
import { servers, silent } from "../lib/store.js";
import { Icon, Problem } from "../lib/ui.js";
import { unitOf } from "./alert-rows.js";
import "./forms.js";

const sheet = document.createElement("link");
sheet.rel = "stylesheet";
sheet.href = new URL("../ask.css", import.meta.url);
const styled = new Promise((done) => { sheet.onload = sheet.onerror = done; });
document.head.append(sheet);
await styled;

const LONGEST = 500;
// What is kept on the page; older ones are let go of.
const MOST = 30;
const LIMITS = { cpu_utilization: 90, memory_used_effective: 100, filesystem_utilization: 100, swap_utilization: 100 };

// The conversation, for as long as the page lives: {id, question, answer, error, took} each.
const log = signal([]);
const waiting = signal(0);
// Whether to look back, around and into the runbooks as well.
const deep = signal(false);
let owner = null;
let conversation = "";
let last = 0;

/** A name of our own for what we talk about, which the API remembers for a while. */
function begin() {
  owner = session.peek()?.user ?? null;
  conversation = [...crypto.getRandomValues(new Uint8Array(12))].map((octet) => octet.toString(16).padStart(2, "0")).join("");
  log.value = [];
}

async function ask(question, instead = 0) {
  const text = question.trim();
  if (!text || waiting.peek()) return;
  const id = instead || (last += 1);
  const put = (fields) => { log.value = log.peek().map((entry) => (entry.id === id ? { ...entry, ...fields } : entry)); };
  if (instead) put({ error: null });
  else log.value = [...log.peek(), { id, question: text, answer: null, error: null }].slice(-MOST);
  waiting.value = id;
  const began = performance.now();
  try {
    const found = await post("/api/assistant/ask", { question: text, language: lang.peek(), mode: deep.peek() ? "advanced" : "basic", session: conversation, utc_offset_minutes: -new Date().getTimezoneOffset() });
    put({ answer: found.answer, source: found.source, took: (performance.now() - began) / 1000 });
  } catch (error) {
    put({ error });
  }
  waiting.value = 0;
}

export default function Ask({ close }) {
  if (owner !== session.value?.user || !conversation) begin();
  const input = useRef(null);
  const list = useRef(null);
  const [text, type] = useState("");
  useEffect(() => {
    const before = document.activeElement;
    input.current.focus({ preventScroll: true });
    return () => before?.isConnected && before.focus();
  }, []);
  const count = log.value.length;
  useEffect(() => {
    // Only the log scrolls; to the beginning of the newest answer.
    const newest = list.current?.lastElementChild;
    if (newest) list.current.scrollTop = newest.offsetTop - 4;
  }, [count, waiting.value]);
  const send = (question) => { type(""); ask(question); input.current.focus({ preventScroll: true }); };
  const submit = (event) => { event.preventDefault(); send(text); };
  const key = (event) => {
    if (event.key !== "Escape" || event.isComposing) return;
    event.stopPropagation();
    close();
  };
  return html`<div class="ask" onKeyDown=${key}>
    <header class="ask-head"><h2>${t("ask.title")}</h2>
      ${count > 0 && html`<button class="text-button" type="button" onClick=${() => { begin(); input.current.focus(); }}>${t("ask.new")}</button>`}
      <button class="icon-button" type="button" aria-label=${t("app.close")} title=${t("app.close")} onClick=${close}><${Icon} name="close" size=${18} /></button>
    </header>
    <div class="ask-log" role="log" aria-live="polite" aria-busy=${String(waiting.value > 0)} aria-label=${t("ask.log")} tabindex="0" ref=${list}>
      ${!count && html`<p class="quiet">${t("ask.empty")}</p>`}
      ${log.value.map((entry) => html`<${Entry} key=${entry.id} entry=${entry} send=${send} />`)}
    </div>
    <form class=${count ? "ask-form going" : "ask-form"} onSubmit=${submit}>
      <div class="ask-hints">${suggestions().map((each) => html`<button type="button" class="ask-chip" onClick=${() => send(each)}>${each}</button>`)}</div>
      <div class="ask-line">
        <input type="text" ref=${input} aria-label=${t("ask.label")} placeholder=${t("ask.hint", example())} maxlength=${LONGEST} enterkeyhint="send"
          autocomplete="off" value=${text} onInput=${(event) => type(event.target.value)} />
        <button class="button primary" type="submit" aria-label=${t("ask.send")} title=${t("ask.send")} disabled=${!text.trim() || waiting.value > 0}><${Icon} name="send" size=${16} /></button>
      </div>
      <label class="ask-deep"><input type="checkbox" checked=${deep.value} onChange=${(event) => { deep.value = event.target.checked; }} /> ${t("ask.deep")}</label>
      <p class="note">${t("ask.note")}</p>
    </form>
  </div>`;
}

/** Whom questions are likely about: the server that is shown, else the one that is worst. */
function example() {
  if (route.value.name === "server") return route.value.params.id;
  const all = [...servers.value.values()];
  const bad = all.find((each) => each.status === "critical") ?? all.find((each) => each.status === "warning" || silent(each));
  return bad?.id ?? all[0]?.id ?? "db-01";
}

function suggestions() {
  if (route.value.name === "server") return ["ask.why", "ask.todo", "ask.limit"].map((words) => t(words, route.value.params.id));
  return [t("ask.status"), t("ask.disk"), t("ask.unusual")];
}

function Entry({ entry: { id, question, answer, source, error, took }, send }) {
  return html`<article class="ask-entry">
    <p class="ask-question"><span class="visually-hidden">${t("ask.you")} </span>${question}</p>
    ${waiting.value === id && html`<p class="quiet">${t("ask.looking")}</p>`}
    ${error && html`<${Problem} error=${error} retry=${() => ask(question, id)} />`}
    ${answer && html`<${Answer} answer=${answer} source=${source} took=${took} send=${send} />`}
  </article>`;
}

function Answer({ answer: { text, evidence, chart, check, link, choices }, source, took, send }) {
  const several = evidence.length > 1;
  return html`<div class="ask-answer">
    ${text.map((sentence) => html`<p>${sentence.map((part) => html`<${Part} part=${part} evidence=${evidence} several=${several} />`)}</p>`)}
    ${choices && html`<div class="ask-hints">${choices.map((each) => html`<button type="button" class="ask-chip" onClick=${() => send(each.ask)}>${each.text}</button>`)}</div>`}
    ${chart && html`<${Figure} key=${`${chart.server}|${chart.metric}|${chart.from}`} chart=${chart} />`}
    ${evidence.length > 0 && html`<ol class="ask-evidence">${evidence.map((each) => html`<li value=${each.n}><span class="n" aria-hidden="true">${each.n}</span>
      <span>${each.fact}<span class="note" title=${`${each.tool} ${JSON.stringify(each.arguments)}`}>${span(each.window)}</span></span></li>`)}</ol>`}
    ${check && html`<${Check} check=${check} />`}
    <p class="note ask-source"><span>${t(source === "model" ? "ask.source.model" : "ask.source", evidence.length, Math.max(0.1, took).toFixed(1))}</span>
      ${link && html`<a href=${link}>${t("ask.view")}</a>`}</p>
  </div>`;
}

function Part({ part, evidence, several }) {
  if (part.server) return html`<a href=${href(serverPath(part.server))}><b>${part.text}</b></a>`;
  if (!part.evidence) return part.text;
  const from = evidence.find((each) => each.n === part.evidence);
  return html`<b title=${from && from.fact}>${part.text}</b>${several && html`<sup class="n"><span class="visually-hidden">${t("ask.evidence")} </span>${part.evidence}</sup>`}`;
}

/** From when until when, by this clock; an instant is one time. */
function span({ from, to }) {
  if (!to) return "";
  return to - from <= 60 ? clock(to) : `${clock(from)} – ${clock(to)}`;
}

function Check({ check: { command, why } }) {
  const [copied, set] = useState(false);
  const copy = () => navigator.clipboard.writeText(command).then(() => set(true), () => {});
  return html`<div class="ask-check">
    <p class="note">${t("ask.check")}: ${why}</p>
    <div><code tabindex="0">${command}</code>
      <button class="icon-button" type="button" aria-label=${copied ? t("parts.copied") : t("parts.copy")} title=${copied ? t("parts.copied") : t("parts.copy")} onClick=${copy}><${Icon} name=${copied ? "check" : "copy"} size=${16} /></button></div>
    <span class="visually-hidden" role="status">${copied ? t("parts.copied") : ""}</span>
  </div>`;
}

const metricName = (key) => (known(`metric.${key}`) ? t(`metric.${key}`) : key);

/** What was measured, and, where it reaches until now, what is forecast. */
function Figure({ chart: { server, metric, from, to } }) {
  const box = useRef(null);
  const [state, set] = useState({ error: null, empty: false, turn: 0 });
  const unit = unitOf(metric);
  useEffect(() => {
    let gone = false, plot = null;
    draw().then((made) => { if (gone) made?.destroy(); else plot = made; }, (error) => gone || set((s) => ({ ...s, error })));
    async function draw() {
      const path = `/api/servers/${encodeURIComponent(server)}`;
      const recent = Date.now() / 1000 - to < 600;
      const [past, verdict] = await Promise.all([get(`${path}/metrics?from=${from}&to=${to}&metrics=${metric}`), recent ? get(`${path}/prediction`).catch(() => null) : null]);
      if (gone) return null;
      const values = [...(past.metrics[metric] ?? [])];
      while (values.length && values.at(-1) === null) values.pop();
      const first = Math.max(0, values.findIndex((v) => v !== null));
      values.splice(0, first);
      if (!values.length) { set((s) => ({ ...s, empty: true })); return null; }
      const forecast = verdict && verdict.status !== "offline" ? verdict.forecasts[metric] : null;
      const there = values.filter((v) => v !== null);
      return mount(box.current, {
        history: { start: past.times[first], step: past.step, values }, unit, limit: LIMITS[metric] ?? null, size: "large",
        forecast: forecast ? { ...forecast, at: verdict.minute, step: 60 } : null,
        label: t("ask.shows", server, metricName(metric), there.length, clock(past.times[first]), number(there.at(-1), unit)),
      });
    }
    return () => { gone = true; plot?.destroy(); };
  }, [state.turn]);
  if (state.empty) return null;
  return html`<figure class="ask-chart">
    <${Problem} error=${state.error} retry=${() => set((s) => ({ error: null, empty: false, turn: s.turn + 1 }))} />
    ${!state.error && html`<div class="chart" ref=${box}></div>`}
    <figcaption class="note"><a href=${`${href(serverPath(server))}?metric=${encodeURIComponent(metric)}`}>${server} · ${metricName(metric)}</a>
      <span title=${`${instant(from)} – ${instant(to)}`}>${span({ from, to })}</span></figcaption>
  </figure>`;
}
