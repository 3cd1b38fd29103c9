// Losses against steps on a logarithmic scale, as an SVG with its numbers beside it.

import { el } from "/api.js";

const NAMES = ["total", "style", "content", "tv"];
const HEIGHT = 200, LEFT = 48, RIGHT = 8, TOP = 10, BOTTOM = 24;

function svg(tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

export function number(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e4 || size < 1e-2 ? value.toExponential(1).replace("e+", "e") : value.toPrecision(3);
}

// Ticks at powers of ten, or at 1-2-5 where there are fewer than two of them.
function ticks(low, high) {
  const found = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power += 1) {
    for (const digit of high - low > 1.5 ? [1] : [1, 2, 5]) found.push(power + Math.log10(digit));
  }
  const inside = found.filter((at) => at >= low && at <= high);
  const every = Math.ceil(inside.length / 5);
  return inside.filter((_, i) => i % every === 0);
}

function tick(at) {
  return at >= -4 && at < 5 ? String(Number((10 ** at).toPrecision(1))) : `1e${Math.round(at)}`;
}

export class Curves {
  constructor() {
    this.chart = svg("svg", { role: "img", "aria-label": "Losses against steps" });
    this.legend = el("dl", { class: "legend" });
    this.root = el("div", { class: "curves" }, this.chart, this.legend);
    this.drawn = "";
  }

  draw(losses, steps) {
    const names = NAMES.filter((name) => losses[name]?.some((value) => value > 0));
    this.root.hidden = !names.length;
    const width = Math.max(this.chart.clientWidth || 640, 160); // one unit is one pixel: letters keep their size
    const key = `${losses.step?.length} ${losses.step?.at(-1)} ${steps} ${width}`;
    if (!names.length || key === this.drawn) return;
    this.drawn = key;
    this.chart.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    // A content loss begins near 0; its first values must not flatten all the rest.
    const early = Math.min(10, losses.step.length / 2);
    const shown = (name) => losses[name].filter((value, i) => value > 0 && (name !== "content" || i >= early));
    const logs = names.flatMap(shown).map(Math.log10);
    let low = Math.min(...logs), high = Math.max(...logs);
    const room = Math.max(0.05 * (high - low), 0.05);
    [low, high] = [low - room, high + room];
    const last = Math.max(steps || 0, losses.step.at(-1), 2);
    const x = (step) => LEFT + ((step - 1) / (last - 1)) * (width - LEFT - RIGHT);
    const y = (log) => TOP + ((high - log) / (high - low)) * (HEIGHT - TOP - BOTTOM);
    const inside = (log) => Math.min(y(log), HEIGHT - BOTTOM);
    const parts = [];
    for (const at of ticks(low, high)) {
      parts.push(svg("line", { x1: LEFT, x2: width - RIGHT, y1: y(at), y2: y(at), class: "grid" }));
      parts.push(svg("text", { x: LEFT - 8, y: y(at) + 4, "text-anchor": "end" }, tick(at)));
    }
    parts.push(svg("text", { x: LEFT, y: HEIGHT - 6 }, "step 1"));
    parts.push(svg("text", { x: width - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, String(last)));
    for (const name of names) {
      const points = losses.step
        .map((step, i) => [step, losses[name][i]])
        .filter(([, value]) => value > 0)
        .map(([step, value]) => `${x(step).toFixed(1)},${inside(Math.log10(value)).toFixed(1)}`);
      const [px, py] = points.at(-1).split(",");
      parts.push(svg("polyline", { points: points.join(" "), class: `line ${name}` }));
      parts.push(svg("circle", { cx: px, cy: py, r: 3.5, class: `dot ${name}` }));
    }
    this.chart.replaceChildren(...parts);
    this.legend.replaceChildren(
      ...names.map((name) =>
        el("div", { class: name }, el("dt", {}, name === "tv" ? "smoothness" : name), el("dd", {}, number(losses[name].at(-1)))),
      ),
    );
  }
}
