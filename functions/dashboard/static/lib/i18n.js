// What the reader chose and keeps: the language with its words, of which only those in use are loaded; the theme; how
// far back charts reach.

import { signal } from "../vendor/preact.js";

const LANG = "openmanager.lang", THEME = "openmanager.theme", RANGE = "openmanager.range";
export const LANGUAGES = ["ko", "en"];
export const THEMES = ["dark", "light"];
/** Hours that charts can reach back. */
export const RANGES = [1, 6, 24, 168];
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
export const range = signal(RANGES.find((hours) => String(hours) === localStorage.getItem(RANGE)) ?? 1);

async function load(language) {
  loaded[language] ??= (await import(`./${language}.js`)).default;
}

/** The text of a key; entries that are functions are called with the arguments. */
export function t(key, ...args) {
  const entry = loaded[lang.value]?.[key];
  if (entry === undefined) return key;
  return typeof entry === "function" ? entry(...args) : entry;
}

/** Whether there are words for a key, such as one made of a name that the API said. */
export const known = (key) => loaded[lang.value]?.[key] !== undefined;

export async function setLang(language) {
  await load(language);
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

export function setRange(hours) {
  localStorage.setItem(RANGE, hours);
  range.value = hours;
}

await load(lang.value);
