// Before the first paint: the theme, the language and whether anybody is logged in, so that nothing flashes.
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
})();
