// Before the first paint: the theme, the language and whether anybody is logged in, so that nothing flashes; and the
// first look at the fleet is asked for while the modules that show it are on their way (lib/api.js takes it over).
(() => {
  const root = document.documentElement;
  const kept = (name) => localStorage.getItem(`openmanager.${name}`);
  root.dataset.theme = kept("theme") || (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");
  root.lang = kept("lang") || (navigator.language.toLowerCase().startsWith("ko") ? "ko" : "en");
  const session = sessionStorage.getItem("openmanager.session") ?? localStorage.getItem("openmanager.session");
  root.dataset.session = session ? "kept" : "none";
  const words = document.createElement("link");
  words.rel = "modulepreload";
  words.href = new URL(`lib/${root.lang}.js`, document.currentScript.src);
  document.head.append(words);
  const { token, expires } = parsed(session) ?? {};
  if (!(expires * 1000 > Date.now()) || new URLSearchParams(location.search).has("api")) return;
  const path = "/api/stream/snapshot";
  const headers = { Accept: "application/json", Authorization: `Bearer ${token}` };
  const answer = fetch((kept("api") ?? "") + path, { headers, credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(15_000) });
  answer.catch(() => {}); // Whoever takes it over hears of it.
  globalThis.begun = { path, token, answer };

  function parsed(text) {
    try { return JSON.parse(text); } catch { return null; }
  }
})();
