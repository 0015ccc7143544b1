// Charts: what was measured in ink, what the model expects in violet, the limit dotted, "now" a line between the two.

import { effect } from "../vendor/preact.js";
import { clock, number, theme } from "./i18n.js";

const FONT = '11px Inter, Pretendard, system-ui, -apple-system, "Segoe UI", sans-serif';
// A forecast older than this (s) is shown faded, and said to be old.
export const OLD_S = 300;
const FADED = 0.35;
const DAY_S = 86_400;

// Steps of an axis of octets, which are read in steps of 1024.
const OCTETS = [1, 1024, 1024 ** 2, 1024 ** 3].flatMap((size) => [1, 2, 5, 10, 20, 50, 100, 200, 500].map((n) => n * size));

let loading = null;
// Where the line was cut it is asked for again with the chart's next values.
const library = () => (loading ??= import("../vendor/uplot.js").then((module) => module.default, () => (loading = null)));

let colours = {};
let coloursOf = "";

/** A colour token of app.css in the theme that is shown. */
export function colour(name) {
  if (coloursOf !== theme.peek()) {
    colours = {};
    coloursOf = theme.peek();
  }
  colours[name] ??= getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  return colours[name];
}

/**
 * When a path first meets the limit (s), on the line between two points; null if it does not, or is beyond it already.
 * `points` [[time, value], …].
 */
export function crossing(points, limit) {
  for (let i = 1; i < points.length; i += 1) {
    const [[t0, v0], [t1, v1]] = [points[i - 1], points[i]];
    if (v0 < limit && v1 >= limit) return t0 + ((limit - v0) / (v1 - v0)) * (t1 - t0);
  }
  return null;
}

/** [times, measured, path, low, high] on one time axis; the fan begins at the last measured point. */
export function aligned(history, forecast, until = 0) {
  const times = history.values.map((_, i) => history.start + i * history.step);
  const measured = [...history.values];
  let last = measured.length - 1;
  while (last >= 0 && measured[last] === null) last -= 1;
  const path = times.map(() => null), low = [...path], high = [...path];
  if (forecast && last >= 0) {
    path[last] = low[last] = high[last] = measured[last];
    forecast.path.forEach((value, i) => {
      const at = forecast.at + (i + 1) * forecast.step;
      if (at <= times[last]) return;
      if (at <= times.at(-1)) return; // nothing was measured there, but the axis has it
      times.push(at);
      measured.push(null);
      path.push(value);
      low.push(forecast.low[i]);
      high.push(forecast.high[i]);
    });
  }
  const step = Math.max(history.step, (until - times.at(-1)) / 200);
  while (last >= 0 && times.at(-1) + step <= until) {
    times.push(times.at(-1) + step);
    for (const row of [measured, path, low, high]) row.push(null);
  }
  return { data: [times, measured, path, low, high], last };
}

/** The ends of the value axis: round, with air, and no wider than noise deserves. */
export function ends(rows, unit, limit) {
  let low = Infinity, high = -Infinity;
  for (const row of rows) for (const v of row) if (v !== null) { low = Math.min(low, v); high = Math.max(high, v); }
  if (low > high) return [0, unit === "%" ? 100 : 1];
  if (unit !== "%") return [0, high > 0 ? high * 1.15 : 1];
  if (limit !== null && high > limit - 20) high = Math.max(high, limit + 2);
  const bottom = Math.max(0, Math.floor((low - 3) / 10) * 10);
  const top = Math.min(100, Math.ceil((high + 1) / 10) * 10);
  return top - bottom >= 20 ? [bottom, top] : top >= 20 ? [top - 20, top] : [0, 20];
}

/**
 * Draws into an element, as large as it is, until `destroy()`. `options`:
 *   history {start, step, values}, forecast {at, step, path, low, high} or null, unit, limit or null,
 *   label (for those who do not see it), size "small" (the time axis says only when now is) or "large",
 *   meets {earliest, likely, latest} in s since 1970 (likely and latest may be null): when it meets the limit, if known,
 *   until (s) how far the time axis reaches at least, anomalies [s, …], sync (a name: charts with the same one share a crosshair), onCursor({time, value, path, low, high} or null)
 * `update(options)` shows other data in place.
 */
export function mount(element, options) {
  let plot = null, gone = false, current = options, shape = shaped(options);
  element.setAttribute("role", "img");
  const name = () => element.setAttribute("aria-label", current.label ?? "");
  name();

  const draw = () => library().then((uPlot) => {
    if (gone || plot || !uPlot) return;
    plot = new uPlot(configured(element, () => current, () => shape, uPlot), shape.data, element);
  });
  draw();
  const sizes = new ResizeObserver(() => plot?.setSize(sizeOf(element)));
  sizes.observe(element);
  const stop = effect(() => {
    theme.value;
    plot?.redraw(false, true);
  });
  return {
    update(next) {
      current = { ...current, ...next };
      shape = shaped(current);
      name();
      if (plot) plot.setData(shape.data);
      else draw();
    },
    destroy() {
      gone = true;
      stop();
      sizes.disconnect();
      plot?.destroy();
      plot = null;
    },
  };
}

const sizeOf = (element) => ({ width: Math.max(80, element.clientWidth), height: Math.max(60, element.clientHeight) });

function shaped({ history, forecast, unit, limit = null, meets = null, until }) {
  const { data, last } = aligned(history, forecast, until);
  const points = data[0].map((at, i) => [at, data[2][i]]).filter(([, v]) => v !== null);
  return {
    data, last,
    y: ends(meets ? [...data.slice(1), [limit]] : data.slice(1), unit, limit),
    cross: limit === null ? null : crossing(points, limit) ?? meets?.likely ?? null,
    old: Boolean(forecast) && Date.now() / 1000 - forecast.at > OLD_S,
  };
}

function configured(element, options, shape, uPlot) {
  const large = options().size === "large";
  const axis = { stroke: () => colour("ink-3"), font: FONT, ticks: { show: false }, border: { show: false } };
  const violet = () => (shape().old ? translucent(colour("model"), FADED) : colour("model"));
  const moment = (at) => (shape().data[0].at(-1) - shape().data[0][0] > DAY_S ? clock(at) : hour(at));
  return {
    ...sizeOf(element),
    padding: [8, 18, 0, 0],
    legend: { show: false },
    cursor: options().sync
      ? { y: false, drag: { x: false, y: false }, sync: { key: options().sync }, points: { size: 6, fill: (_, i) => colour(i === 1 ? "ink" : "model"), stroke: () => colour("surface") } }
      : { show: false },
    scales: { x: { range: (_, low, high) => [low, high] }, y: { range: () => shape().y } },
    series: [
      {},
      { stroke: () => colour("ink"), width: 1.5, fill: () => colour("ink-fill"), points: { show: false }, spanGaps: false },
      { stroke: violet, width: 1.5, dash: [4, 3], points: { show: false } },
      { points: { show: false } },
      { points: { show: false } },
    ],
    bands: [{ series: [4, 3], fill: () => translucent(colour("model"), (theme.peek() === "dark" ? 0.19 : 0.15) * (shape().old ? FADED : 1)) }],
    axes: [
      { ...axis, size: 22, gap: 4, space: 72, grid: { show: false },
        ...(large
          ? { splits: (u) => instants(u.scales.x.min, u.scales.x.max, element.clientWidth / 90) , values: (_, at) => at.map(moment) }
          : { splits: () => (shape().last < 0 ? [] : [shape().data[0][shape().last]]), values: (_, at) => at.map(hour) }) },
      { ...axis, size: options().unit === "%" ? 32 : 60, gap: 6, ...(options().unit === "B/s" && { incrs: OCTETS }), space: large ? 40 : 13, grid: { stroke: () => colour("line"), width: 1 },
        values: (_, all) => all.map((v) => (options().unit === "%" ? String(v) : number(v, options().unit))) },
    ],
    hooks: {
      draw: [(u) => draw(u, options(), shape(), uPlot)],
      setCursor: [(u) => {
        const i = u.cursor.idx;
        const [times, measured, path, low, high] = shape().data;
        options().onCursor?.(i === null || i === undefined || u.cursor.left < 0 ? null : { time: times[i], value: measured[i], path: path[i], low: low[i], high: high[i] });
      }],
    },
  };
}

const STEPS_S = [300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, DAY_S, 2 * DAY_S];

/** Round local times between two instants (s), at most so many. */
function instants(from, to, most) {
  const step = STEPS_S.find((s) => (to - from) / s <= most) ?? 7 * DAY_S;
  const zone = new Date(from * 1000).getTimezoneOffset() * 60;
  const found = [];
  for (let at = Math.ceil((from - zone) / step) * step + zone; at <= to; at += step) found.push(at);
  return found;
}

const hour = (at) => {
  const when = new Date(at * 1000);
  return `${String(when.getHours()).padStart(2, "0")}:${String(when.getMinutes()).padStart(2, "0")}`;
};

function translucent(hex, alpha) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  return `rgba(${r}, ${g}, ${b}, ${alpha})`;
}

/** The limit, now, the last measured point, where the path meets the limit, and what was unusual. */
function draw(u, { limit = null, anomalies = [], meets = null }, { data, last, cross, old }, uPlot) {
  const { ctx } = u;
  const ratio = uPlot.pxRatio;
  const { left, top, width, height } = u.bbox;
  const x = (at) => u.valToPos(at, "x", true);
  const y = (v) => u.valToPos(v, "y", true);
  const inside = (v) => v >= u.scales.y.min && v <= u.scales.y.max;
  ctx.save();
  if (last >= 0) {
    line(ctx, colour("line-2"), ratio, [], Math.round(x(data[0][last])) + 0.5, top, null, top + height);
  }
  if (limit !== null && inside(limit)) {
    ctx.globalAlpha = 0.75;
    line(ctx, colour("crit"), 1.25 * ratio, [2 * ratio, 3 * ratio], left, y(limit), left + width, null);
    ctx.globalAlpha = 1;
  }
  if (meets && inside(limit)) {
    // Beyond the forecast's own path only the interval is known: a bar along the limit.
    const [from, to] = [meets.earliest, meets.latest ?? Infinity].map((at) => Math.min(left + width, x(Math.min(at, data[0].at(-1)))));
    ctx.fillStyle = translucent(colour("model"), 0.36);
    ctx.fillRect(from, y(limit) - 3 * ratio, Math.max(2 * ratio, to - from), 6 * ratio);
  }
  for (const at of anomalies) {
    const i = nearest(data[0], at);
    if (i !== null && data[1][i] !== null) dot(ctx, x(data[0][i]), y(data[1][i]), 3.5 * ratio, null, colour("model"), 1.5 * ratio);
  }
  if (last >= 0 && inside(data[1][last])) dot(ctx, x(data[0][last]), y(data[1][last]), 2.75 * ratio, colour("ink"));
  if (cross !== null && inside(limit)) {
    ctx.globalAlpha = old ? FADED : 1;
    dot(ctx, x(cross), y(limit), 3.75 * ratio, colour("surface"), colour("crit"), 1.75 * ratio);
  }
  ctx.restore();
}

function line(ctx, stroke, width, dash, x0, y0, x1, y1) {
  ctx.beginPath();
  ctx.setLineDash(dash);
  ctx.lineWidth = width;
  ctx.strokeStyle = stroke;
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1 ?? x0, y1 ?? y0);
  ctx.stroke();
  ctx.setLineDash([]);
}

function dot(ctx, x, y, radius, fill, stroke = null, width = 0) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  if (fill) { ctx.fillStyle = fill; ctx.fill(); }
  if (stroke) { ctx.lineWidth = width; ctx.strokeStyle = stroke; ctx.stroke(); }
}

function nearest(times, at) {
  if (!times.length || at < times[0] || at > times.at(-1)) return null;
  let best = 0;
  times.forEach((t, i) => { if (Math.abs(t - at) < Math.abs(times[best] - at)) best = i; });
  return best;
}
