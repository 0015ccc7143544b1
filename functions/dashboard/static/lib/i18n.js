// What the reader chose and keeps: the language with its words, of which only those in use are loaded; the theme; how
// far back charts reach. And numbers, sizes and times as they are written in that language; what is not known is an en
// dash, never a zero.

import { computed, signal } from "../vendor/preact.js";

const LANG = "openmanager.lang", THEME = "openmanager.theme", REACH = "openmanager.reach";
export const LANGUAGES = ["ko", "en"];
export const THEMES = ["dark", "light"];
/** Hours that charts can reach back. */
export const REACHES = [1, 6, 24, 168];
const loaded = {};

function chosenLanguage() {
  const kept = localStorage.getItem(LANG);
  if (LANGUAGES.includes(kept)) return kept;
  return navigator.language?.toLowerCase().startsWith("ko") ? "ko" : "en";
}

/** The language in use. It changes with setLang, after its words have come. */
export const lang = signal(chosenLanguage());
/** "dark" or "light", which theme.js has set before the first paint; and what was chosen, "" as the system has it. */
export const theme = signal(document.documentElement.dataset.theme ?? "dark");
export const chosenTheme = signal(localStorage.getItem(THEME) ?? "");
/** How many hours charts reach back. */
export const reach = signal(REACHES.find((hours) => String(hours) === localStorage.getItem(REACH)) ?? 1);

// Where dictionaries in use lie: beside this file, and those of the views but the overview once one of them is shown.
const folders = ["./"];

async function load(language) {
  const found = await Promise.all(folders.map((folder) => import(`${folder}${language}.js`)));
  loaded[language] = Object.assign({}, ...found.map((words) => words.default));
}

/** Has the words of another folder at hand as well, in whatever language. */
export async function addWords(folder) {
  folders.push(folder);
  await load(lang.peek());
}

/** The text of a key; entries that are functions are called with the arguments. */
export function t(key, ...args) {
  const entry = loaded[lang.value]?.[key];
  if (entry === undefined) return key;
  return typeof entry === "function" ? entry(...args) : entry;
}

/** Whether there are words for a key, such as one made of a name that the API said. */
export const known = (key) => loaded[lang.value]?.[key] !== undefined;

/** A language's own name. */
export const nameOf = (language) => t(`language.${language}`);

/** Speaks another language once its words have come; while nothing answers it stays with this one. */
export async function setLang(language) {
  try { await load(language); } catch { return; }
  localStorage.setItem(LANG, language);
  document.documentElement.lang = language;
  lang.value = language;
}

const light = matchMedia("(prefers-color-scheme: light)");

/** "dark", "light", or "" to follow the system. */
export function setTheme(choice) {
  if (choice) localStorage.setItem(THEME, choice);
  else localStorage.removeItem(THEME);
  chosenTheme.value = choice;
  theme.value = document.documentElement.dataset.theme = choice || (light.matches ? "light" : "dark");
}

light.addEventListener("change", () => chosenTheme.peek() || setTheme(""));

export function setReach(hours) {
  localStorage.setItem(REACH, hours);
  reach.value = hours;
}

export const UNKNOWN = "–";
const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;
const BINARY = ["B", "KB", "MB", "GB", "TB", "PB"];

/** Seconds since 1970 by this machine's clock, once a second. */
export const now = signal(Math.floor(Date.now() / 1000));
/** The same in steps of ten seconds, for what need not be rendered anew each second. */
export const slowly = computed(() => now.value - (now.value % 10));

const nothing = (v) => v === null || v === undefined || Number.isNaN(v);

const formats = new Map();

/** An Intl format, made once for the same options object: making one costs more than a hundred uses. */
function format(kind, options) {
  let made = formats.get(options);
  if (made?.of !== lang.value) {
    made = { of: lang.value, format: new kind(lang.value, options) };
    formats.set(options, made);
  }
  return made.format;
}

const DIGITS = [0, 1, 2].map((digits) => ({ minimumFractionDigits: digits, maximumFractionDigits: digits }));
const plain = (v, digits) => format(Intl.NumberFormat, DIGITS[digits]).format(v);

/** A value with its unit as the catalogue has it: "%", "B/s", "ms", "1/s", "s", "". */
export function number(v, unit = "") {
  if (nothing(v)) return UNKNOWN;
  if (unit === "%") return percent(v);
  if (unit === "B/s") return `${bytes(v)}/s`;
  if (unit === "B") return bytes(v);
  if (unit === "s") return duration(v);
  const size = Math.abs(v);
  const text = plain(v, size >= 100 || Number.isInteger(v) ? 0 : size >= 10 ? 1 : 2);
  return unit === "1/s" ? `${text}/s` : unit ? `${text} ${unit}` : text;
}

/** A percentage given in points: 84.2 is "84%". */
export const percent = (v, digits = 0) => (nothing(v) ? UNKNOWN : `${plain(v, digits)}%`);

/** Octets, in steps of 1024. */
export function bytes(v) {
  if (nothing(v)) return UNKNOWN;
  let size = Math.abs(v);
  let step = 0;
  while (size >= 1000 && step < BINARY.length - 1) {
    size /= 1024;
    step += 1;
  }
  return `${plain(Math.sign(v) * size, step && size < 10 ? 1 : 0)} ${BINARY[step]}`;
}

/** A span in seconds: "42 s", "40 min" (up to 99), "3 h", "2 d". */
export function duration(s) {
  if (nothing(s)) return UNKNOWN;
  const size = Math.max(0, Math.round(s));
  if (size < MINUTE) return t("time.s", size);
  if (size < 100 * MINUTE) return t("time.min", Math.round(size / MINUTE));
  if (size < 2 * DAY) return t("time.h", Math.round(size / HOUR));
  return t("time.d", Math.round(size / DAY));
}

/** How long ago an instant (s since 1970) was. It counts on where it is read by a component. */
export function ago(at) {
  if (nothing(at)) return UNKNOWN;
  // What is older than a minute changes its text slowly.
  const age = (now.peek() - at < MINUTE ? now : slowly).value - at;
  return age < 5 ? t("time.just") : t("time.ago", duration(age));
}

const TIME = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const SECONDS = { ...TIME, second: "2-digit" };
const [DAY_TIME, DAY_SECONDS] = [TIME, SECONDS].map((time) => ({ month: "short", day: "numeric", ...time }));
const WHOLE = { dateStyle: "medium", timeStyle: "long" };

/** The time of an instant (s since 1970), with the day where it is not today's. */
export function clock(at, { seconds = false } = {}) {
  if (nothing(at)) return UNKNOWN;
  const when = new Date(at * 1000);
  const today = when.toDateString() === new Date(now.peek() * 1000).toDateString();
  const [short, long] = seconds ? [SECONDS, DAY_SECONDS] : [TIME, DAY_TIME];
  return format(Intl.DateTimeFormat, today ? short : long).format(when);
}

/** The same with the day and the zone, for hovering. */
export const instant = (at) =>
  nothing(at) ? UNKNOWN : format(Intl.DateTimeFormat, WHOLE).format(new Date(at * 1000));

/** How long until something comes; less than half a minute is nothing to count. */
export const until = (span) => (span < MINUTE / 2 ? t("time.range.now") : duration(span));

/** When something comes, between two spans in seconds: "29–54 min"; without a latest it may also never come. */
export function range(earliest, latest) {
  if (nothing(earliest)) return UNKNOWN;
  if (nothing(latest)) return t("time.from", duration(earliest));
  const last = Math.round(latest);
  if (last < MINUTE / 2) return t("time.range.now");
  const [size, key] = last < 100 * MINUTE ? [MINUTE, "time.range.min"] : last < 2 * DAY ? [HOUR, "time.range.h"] : [DAY, "time.range.d"];
  const low = size === MINUTE ? Math.round(earliest / size) : Math.round((10 * earliest) / size) / 10;
  return t(key, size === MINUTE || low >= 10 ? Math.round(low) : low, Math.round(last / size));
}

await load(lang.value);
