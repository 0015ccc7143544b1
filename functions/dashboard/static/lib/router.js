// Where we are: the address behind the hash, so that the page works from any static host.

import { signal } from "../vendor/preact.js";

const PATTERNS = [
  ["overview", /^\/$/],
  ["server", /^\/servers\/([^/]+)$/, "id"],
  ["servers", /^\/servers$/],
  ["alerts", /^\/alerts$/],
  ["record", /^\/record$/],
  ["settings", /^\/settings(?:\/([^/]+))?$/, "part"],
];

/** {name, params, query} of an address such as "/servers/web-01?metric=cpu_utilization"; `missing` where nothing is. */
export function read(path) {
  const [place, search = ""] = path.split("?");
  const query = Object.fromEntries(new URLSearchParams(search));
  for (const [name, pattern, key] of PATTERNS) {
    const found = pattern.exec(place);
    if (!found) continue;
    try {
      return { name, params: key && found[1] ? { [key]: decodeURIComponent(found[1]) } : {}, query };
    } catch {
      break; // half an escape sequence
    }
  }
  return { name: "missing", params: {}, query };
}

const here = () => location.hash.slice(1) || "/";

/** The view that is shown. */
export const route = signal(read(here()));

addEventListener("hashchange", () => {
  route.value = read(here());
});

/** The address of a view, for links. */
export const href = (path) => `#${path}`;

/** Shows a view. `replace` leaves no step back to the one before. */
export function go(path, { replace = false } = {}) {
  if (replace) {
    history.replaceState(null, "", href(path));
    route.value = read(path);
  } else location.hash = path;
}

export const serverPath = (id) => `/servers/${encodeURIComponent(id)}`;
