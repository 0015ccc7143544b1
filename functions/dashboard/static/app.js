// The shell: what surrounds every view, the feed that feeds them, and the login in their place.

import { batch, computed, effect, html, render, signal, useEffect, useErrorBoundary, useRef, useState } from "./vendor/preact.js";
import { address, authorization, get, may, problem, refused, renew, session, slowedUntil, watchSession } from "./lib/api.js";
import { Glyph, Icon, Mark } from "./lib/ui.js";
import { clock, duration, lang, nameOf, reach, REACHES, setLang, setReach, setTheme, t, theme } from "./lib/i18n.js";
import { href, route } from "./lib/router.js";
import * as store from "./lib/store.js";
import { follow } from "./lib/stream.js";
import Overview from "./views/overview.js";

const PLACES = [["overview", "/"], ["servers", "/servers"], ["alerts", "/alerts"], ["record", "/record"]];
const VIEWS = {
  overview: async () => Overview,
  servers: async () => (await import("./views/servers.js")).default,
  server: async () => (await import("./views/server.js")).default,
  alerts: async () => (await import("./views/alerts.js")).default,
  record: async () => (await import("./views/record.js")).default,
  settings: async () => (await import("./views/settings.js")).default,
};
const RETRY_MS = 4000;
// Where the feed streams if not at the API's own address, which is tried after so many failures there.
const LIVE = document.documentElement.dataset.live ?? "";
const LIVE_TRIES = 3;
// Whether the ask panel is open; where there is room for one thing only, it takes the place of the view.
const asking = signal(false);
const only = matchMedia("(max-width: 640px)");
const askOrNot = () => { asking.value = !asking.peek(); };
const askNoMore = () => { asking.value = false; };

/** A part that is loaded when it is first shown; `view` answers its component. */
function Later({ name, view, ...rest }) {
  const [found, set] = useState(null);
  useEffect(() => {
    let gone = false;
    set(null);
    view().then(
      (component) => gone || set(() => component),
      () => gone || set(() => Gone),
    );
    return () => { gone = true; };
  }, [name]);
  return found ? html`<${found} ...${rest} />` : html`<div class="page" aria-busy="true"></div>`;
}

/** A part of this version of the page is not to be had: most likely there is a newer one. */
const Gone = () => html`<${Trouble} text=${t("app.gone")} action=${t("app.reload")} run=${() => location.reload()} />`;

const Trouble = ({ text, action, run }) => html`<div class="panel problem" role="alert"><span>${text}</span>
  <button class="button small" type="button" onClick=${run}>${action}</button></div>`;

function App() {
  if (!session.value) return html`<${Later} name="login" view=${async () => (await import("./views/login.js")).default} />`;
  return html`<${Shell} />`;
}

function Shell() {
  const { name, params, query } = route.value;
  const side = !asking.value && name === "overview" && (store.servers.value.size > 0 || !store.arrived.value);
  useEffect(() => {
    if (only.matches) askNoMore();
    document.getElementById("main")?.scrollTo?.(0, 0);
    scrollTo(0, 0);
  }, [name, params.id]);
  return html`<div class=${`shell ${store.link.value.state === "lost" ? "stale" : ""}`}>
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById("main").focus(); }}>${t("app.skip")}</a>
    <${Rail} name=${name} />
    <div class="body">
      <${TopBar} />
      <${Banners} />
      <div class=${asking.value ? "content with-ask" : side ? "content with-rail" : "content"}>
        <main id="main" tabindex="-1"><${Bounded} key=${name}><${View} name=${name} params=${params} query=${query} /><//></main>
        ${side && html`<${Side} />`}
        ${asking.value && html`<aside class="asking" aria-label=${t("nav.ask")}><div><${Bounded}><${Later} name="ask" view=${async () => (await import("./views/ask.js")).default} close=${askNoMore} /><//></div></aside>`}
      </div>
    </div>
    <${TabBar} name=${name} />
  </div>`;
}

/** One view or panel that fails does not take the others with it. */
function Bounded({ children }) {
  const [error, reset] = useErrorBoundary();
  return error ? html`<${Trouble} text=${t("app.broken", String(error.message ?? error))} action=${t("app.retry")} run=${reset} />` : children;
}

function View({ name, ...rest }) {
  const failed = store.trouble.value;
  if (!store.arrived.value && failed) {
    return html`<${Trouble} text=${failed.status === 403 ? t("app.forbidden") : failed.status ? failed.detail || failed.title : t("app.unreachable")}
      action=${t("app.retry")} run=${reconnect} />`;
  }
  if (name === "missing") return html`<${Trouble} text=${t("app.missing")} action=${t("nav.overview")} run=${() => { location.hash = "/"; }} />`;
  if (store.arrived.value && !store.servers.value.size && (name === "overview" || name === "servers")) {
    return html`<${Later} name="first" view=${async () => (await import("./views/first.js")).default} />`;
  }
  if (name === "overview") return html`<${Overview} />`;
  return html`<${Later} name=${name} view=${VIEWS[name]} params=${rest.params} query=${rest.query} />`;
}

// The alerts beside the overview, where there is room for them.
const roomy = matchMedia("(min-width: 1180px)");

function Side() {
  const [wide, set] = useState(roomy.matches);
  useEffect(() => {
    const changed = () => set(roomy.matches);
    roomy.addEventListener("change", changed);
    return () => roomy.removeEventListener("change", changed);
  }, []);
  return html`<aside class="side" aria-label=${t("nav.alerts")}>
    ${wide && html`<div><${Bounded}><${Later} name="rail" view=${async () => (await import("./views/alert-rows.js")).AlertsRail} /><//></div>`}
  </aside>`;
}

const Badge = () => {
  const { open } = store.counts.value;
  return open > 0 && html`<span class="badge"><span aria-hidden="true">${open > 99 ? "99+" : open}</span><span class="visually-hidden">${t("nav.open", open)}</span></span>`;
};

const current = (place, name) => (place === name || (place === "servers" && name === "server") ? "page" : null);

const Rail = ({ name }) => html`<nav class="rail" aria-label=${t("nav.main")}>
  <${Mark} />
  ${PLACES.map(([place, path]) => html`<a href=${href(path)} aria-current=${current(place, name)} title=${t(`nav.${place}`)}>
    <${Icon} name=${place} /><span class="visually-hidden">${t(`nav.${place}`)}</span>${place === "alerts" && html`<${Badge} />`}</a>`)}
  <a class="end" href=${href("/settings")} aria-current=${current("settings", name)} aria-label=${t("nav.settings")} title=${t("nav.settings")}><${Icon} name="settings" /></a>
</nav>`;

const TabBar = ({ name }) => html`<nav class="tabbar" aria-label=${t("nav.main")}>
  ${[...PLACES, ["settings", "/settings"]].map(([place, path]) => html`<a href=${href(path)} aria-current=${asking.value ? null : current(place, name)} onClick=${askNoMore}>
    <${Icon} name=${place} size=${22} />${t(`nav.${place}`)}${place === "alerts" && html`<${Badge} />`}</a>`)}
  <button type="button" aria-pressed=${String(asking.value)} onClick=${askOrNot}><${Icon} name="ask" size=${22} />${t("nav.ask")}</button>
</nav>`;

function TopBar() {
  return html`<header class="topbar">
    <div class="brand"><${Mark} /><span>OpenManager</span><${Stage} /></div>
    <button class="finder" type="button" aria-label=${t("find.title")} onClick=${() => open("palette")}>
      <${Icon} name="search" size=${16} /><span>${t("find.title")}</span><kbd aria-hidden="true">/</kbd></button>
    <${Live} />
    <div class="segments" role="group" aria-label=${t("range.title")}>
      ${REACHES.map((hours) => html`<button type="button" aria-pressed=${String(reach.value === hours)} title=${t("range.of", hours)}
        onClick=${() => setReach(hours)}>${t(`range.${hours}`)}</button>`)}
    </div>
    ${!may("operator") && html`<span class="tag-quiet" title=${t("app.readonly.why")}>${t("app.readonly")}</span>`}
    <button class="icon-button" type="button" lang=${other()} title=${t("app.language")} onClick=${() => setLang(other())}>${other() === "en" ? "EN" : nameOf("ko")}</button>
    <button class="icon-button" type="button" aria-label=${t("app.theme")} title=${t("app.theme")} onClick=${flip}>
      <${Icon} name=${theme.value === "dark" ? "sun" : "moon"} size=${18} /></button>
    <button class="button primary ask-button" type="button" aria-pressed=${String(asking.value)} onClick=${askOrNot}>
      <${Icon} name="ask" size=${16} />${t("nav.ask")}<kbd aria-hidden="true">.</kbd></button>
  </header>`;
}

const other = () => (lang.value === "ko" ? "en" : "ko");
const flip = () => setTheme(theme.peek() === "dark" ? "light" : "dark");

function Stage() {
  const stages = new Set([...store.servers.value.values()].map((each) => each.stage).filter(Boolean));
  const stage = stages.size === 1 ? [...stages][0] : store.stage.value;
  return stage && html`<span class="slash" aria-hidden="true">/</span><span class="stage">${stage}</span>`;
}

/** Whether what is shown is true now. The dot beats once for every frame that came. */
function Live() {
  const { state, since } = store.link.value;
  const root = useRef(null);
  useEffect(() => effect(() => {
    store.ticked.value;
    if (document.hidden) return;
    root.current.classList.remove("beat");
    requestAnimationFrame(() => root.current?.classList.add("beat"));
  }), []);
  const age = state === "delayed" || state === "lost" ? duration(store.now.value - since) : "";
  return html`<span ref=${root} class="live push" data-state=${state} role="status"><span class="dot" aria-hidden="true"></span>
    <span>${t(`live.${state}`)}${age && html` <span aria-hidden="true">${age}</span>`}</span></span>`;
}

// Seconds that the API still wants to be left alone.
const slowed = computed(() => Math.max(0, Math.ceil(slowedUntil.value / 1000 - store.now.value)));

function Banners() {
  const { state, since } = store.link.value;
  return html`
    ${state === "lost" && html`<div class="banner amber" role="alert"><${Glyph} status="warning" />
      <span>${t("live.frozen", clock(since, { seconds: true }))}</span>
      <button class="button small" type="button" onClick=${reconnect}>${t("live.reconnect")}</button></div>`}
    ${slowed.value > 0 && html`<div class="banner" role="status"><span>${t("app.slowed", duration(slowed.value))}</span></div>`}
    ${store.outdated.value && html`<div class="banner" role="status"><span>${t("app.newer")}</span>
      <button class="button small" type="button" onClick=${() => location.reload()}>${t("app.reload")}</button></div>`}`;
}

// Dialogs and the keyboard are loaded when they are first needed.
const open = async (name) => (await import("./views/overlays.js")).show(name);

let keys = null;

function keyboard() {
  keys ??= import("./lib/keys.js").then((module) => {
    for (const key of ["/", "palette"]) module.bind(key, () => open("palette"));
    module.bind("?", () => open("shortcuts"));
    module.bind("t", flip);
    module.bind(".", askOrNot);
    return module;
  }, () => { keys = null; }); // Nothing answers: the next key tries again.
  return keys;
}

addEventListener("keydown", (event) => {
  if (!session.peek()) return;
  // The first time the answer comes too late to keep the browser from its own search.
  if (!keys && (event.ctrlKey || event.metaKey) && event.key === "k") event.preventDefault();
  keyboard().then((module) => module?.press(event));
});

// The feed: one picture of the whole fleet, then what changes. Frames are taken in once a repaint.
let feed = null;
let retry = 0;
let queue = [];

function enqueue(name, data) {
  if (name === "bye") {
    if (data.reason === "expired") renew().catch(() => {});
    return;
  }
  if (!queue.length) requestAnimationFrame(flush);
  queue.push([name, data]);
}

function flush() {
  const waiting = queue;
  queue = [];
  batch(() => waiting.forEach(([name, data]) => store.apply(name, data)));
}

async function connect() {
  clearTimeout(retry);
  feed?.close();
  feed = null;
  const user = session.peek()?.user;
  let first;
  try {
    first = await get("/api/stream/snapshot");
  } catch (error) {
    if (session.peek()?.user !== user) return;
    store.trouble.value = error;
    if (error.status !== 403) retry = setTimeout(connect, error.retryAfter ? error.retryAfter * 1000 : RETRY_MS);
    return;
  }
  if (session.peek()?.user !== user) return;
  store.trouble.value = null;
  store.apply("snapshot", first);
  feed = follow({
    url: (failures) => `${address.peek() || (failures < LIVE_TRIES ? LIVE : "")}/api/stream`,
    headers: authorization,
    lastId: first.id,
    onEvent: enqueue,
    onHeard: () => store.hear(),
    onState: (state) => state === "open" && lookForNewer(),
    onRefused,
  });
}

const reconnect = () => (feed && store.arrived.peek() ? feed.again() : connect());

async function onRefused(status, answer) {
  const token = session.peek()?.token;
  if (status === 401) return refused(token) ? 0 : null;
  const error = await problem(answer);
  if (status === 403) {
    store.trouble.value = error;
    return null;
  }
  slowedUntil.value = Date.now() + 1000 * (error.retryAfter ?? 10);
  return 1000 * (error.retryAfter ?? 10);
}

const LOOK_MS = 600_000;
let looked = Date.now();

/** Whether the page has another version by now, which its address in the page says. */
async function lookForNewer() {
  const mine = /\/assets\/[^/]+\//.exec(import.meta.url)?.[0];
  if (!mine || Date.now() - looked < LOOK_MS) return;
  looked = Date.now();
  const page = await fetch("./", { cache: "no-cache" }).then((answer) => (answer.ok ? answer.text() : ""), () => "");
  if (page.includes("assets/") && !page.includes(mine.slice(1))) store.outdated.value = true;
}

let user = null;
effect(() => {
  const next = session.value?.user ?? null;
  if (next === user) return;
  user = next;
  feed?.close();
  feed = null;
  clearTimeout(retry);
  store.reset();
  if (user) connect();
});

effect(() => {
  const { offline } = store.counts.value;
  document.title = offline ? t("app.title.down", offline) : "OpenManager";
});

document.documentElement.lang = lang.peek();
watchSession();
store.start(() => feed?.again());
const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
