// The API: who is logged in, requests with their token, and what goes wrong in them.

import { signal } from "../vendor/preact.js";

const KEPT = "openmanager.session";
const ADDRESS = "openmanager.api";
const TIMEOUT_MS = 15_000;
// Renewed when so much of a token's life is over.
const RENEW_AT = 0.75;

/** What the API answered instead: RFC 9457 problem details. `status` 0: it did not answer. */
export class ApiError extends Error {
  constructor(status, problem = {}, retryAfter = null) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    Object.assign(this, { status, title: problem.title ?? "", detail: problem.detail ?? "", field: problem.field ?? null, retryAfter });
  }
}

/** Where the API is: "" on the page's own origin. */
export const address = signal(chosenAddress());
/** Who is logged in: {user, role, token, issued, expires} in s, or null. */
export const session = signal(kept());
/** Until when (ms) the API wants to be left alone, after a 429; 0 if it does not. */
export const slowedUntil = signal(0);

function chosenAddress() {
  const asked = new URLSearchParams(location.search).get("api");
  if (asked === null) return localStorage.getItem(ADDRESS) ?? "";
  history.replaceState(null, "", location.pathname + location.hash);
  return setStored(ADDRESS, asked.replace(/\/+$/, ""));
}

function setStored(key, text) {
  if (text) localStorage.setItem(key, text);
  else localStorage.removeItem(key);
  return text;
}

/** Asks another API from now on; "" is the page's own origin. */
export function setAddress(text) {
  address.value = setStored(ADDRESS, text.trim().replace(/\/+$/, ""));
}

function kept() {
  const text = sessionStorage.getItem(KEPT) ?? localStorage.getItem(KEPT);
  try {
    const found = JSON.parse(text);
    return found && found.expires * 1000 > Date.now() ? found : null;
  } catch {
    return null;
  }
}

function keep(answer, staying) {
  const now = Date.now() / 1000;
  const { access_token: token, user, role, expires_in: life } = answer;
  const next = { user, role, token, staying, issued: now, expires: now + life };
  sessionStorage.removeItem(KEPT);
  localStorage.removeItem(KEPT);
  (staying ? localStorage : sessionStorage).setItem(KEPT, JSON.stringify(next));
  session.value = next;
}

function forget() {
  sessionStorage.removeItem(KEPT);
  localStorage.removeItem(KEPT);
  session.value = null;
}

/** Whether whoever is logged in has at least this role. */
export function may(role) {
  const mine = session.value?.role;
  if (role === "auditor") return mine === "auditor" || mine === "admin";
  const order = ["viewer", "operator", "admin"];
  return order.indexOf(mine === "auditor" ? "viewer" : mine) >= order.indexOf(role);
}

export async function logIn(user, password, staying) {
  keep(await send("POST", "/api/auth/token", { user, password }, { open: true }), staying);
}

export async function logOut() {
  const leaving = send("POST", "/api/auth/logout").catch(() => {});
  await Promise.race([leaving, new Promise((done) => setTimeout(done, 2000))]);
  forget();
}

/** Another token before this one ends. A token renews once only, so tabs that share one take turns. */
export async function renew() {
  const mine = session.value;
  if (!mine) return;
  await (navigator.locks?.request ?? ((_, run) => run())).call(navigator.locks, "openmanager.renew", async () => {
    const theirs = kept();
    if (theirs && theirs.token !== mine.token) session.value = theirs;
    else keep(await send("POST", "/api/auth/refresh"), mine.staying);
  });
}

/** Keeps the session alive, and the same in all tabs. */
export function watchSession() {
  addEventListener("storage", (event) => {
    if (event.key === KEPT && session.value?.staying) session.value = kept();
  });
  setInterval(() => {
    const now = Date.now() / 1000;
    const { issued, expires } = session.value ?? {};
    if (!expires) return;
    if (now >= expires) forget();
    else if (now > issued + RENEW_AT * (expires - issued)) renew().catch(() => {});
  }, 15_000);
}

export const get = (path) => send("GET", path);
/** The same of what is no JSON, as text. */
export const getText = (path, type) => send("GET", path, undefined, { type });
export const post = (path, body) => send("POST", path, body);
export const put = (path, body) => send("PUT", path, body);
export const del = (path) => send("DELETE", path);

/** The bearer's header, for whoever must fetch by itself. */
export const authorization = () => (session.value ? { Authorization: `Bearer ${session.value.token}` } : {});

/** The answer that theme.js asked for before there were modules, once, if it is for this path and this token. */
function begun(path, token) {
  const early = globalThis.begun;
  if (early?.path !== path) return undefined;
  delete globalThis.begun;
  return early.token === token ? early.answer : undefined;
}

async function send(method, path, body, { open = false, again = true, type = "application/json" } = {}) {
  const used = session.value?.token;
  const headers = { Accept: type, ...(open ? {} : authorization()) };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await (begun(path, used) ?? fetch(address.value + path, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
      // Asked anew each time, so that what somebody has changed is seen at once; what is the same comes as a 304.
      credentials: "omit", cache: method === "GET" ? "no-cache" : "no-store", signal: AbortSignal.timeout(TIMEOUT_MS),
    }));
  } catch (cause) {
    throw new ApiError(0, { title: "no answer", detail: String(cause.message ?? cause) });
  }
  if (answer.ok && type !== "application/json") return answer.text();
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const error = await problem(answer);
  if (answer.status === 401 && !open) {
    if (again && refused(used)) return send(method, path, body, { again: false, type });
  } else if (answer.status === 429 && !open) {
    slowedUntil.value = Date.now() + 1000 * (error.retryAfter ?? 10);
  }
  throw error;
}

/** A token was refused: true if another tab has a newer one, which is ours from now on; else the session is over. */
export function refused(token) {
  if (session.value && session.value.token !== token) return true;
  const theirs = kept();
  if (theirs && theirs.token !== token) {
    session.value = theirs;
    return true;
  }
  forget();
  return false;
}

/** The ApiError of an answer. */
export async function problem(answer) {
  const wait = Number(answer.headers.get("Retry-After"));
  let details = {};
  try {
    details = await answer.json();
  } catch {
    // A proxy's page of its own.
  }
  return new ApiError(answer.status, { title: answer.statusText, ...details }, Number.isFinite(wait) && wait > 0 ? wait : null);
}
