// What the dashboard's modules expect of a browser, as little as they need to be imported by node.

const storage = () => {
  const kept = new Map();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, String(value)),
    removeItem: (key) => kept.delete(key),
  };
};

globalThis.localStorage = storage();
globalThis.sessionStorage = storage();
globalThis.localStorage.setItem("openmanager.lang", "en");
globalThis.document = { documentElement: { dataset: { theme: "dark" } }, hidden: false, addEventListener() {}, removeEventListener() {} };
globalThis.location = { search: "", hash: "", pathname: "/" };
globalThis.history = { replaceState() {} };
globalThis.addEventListener = () => {};
globalThis.matchMedia = () => ({ matches: false, addEventListener() {} });

export const from = (path) => import(new URL(`../../functions/dashboard/static/${path}`, import.meta.url));
