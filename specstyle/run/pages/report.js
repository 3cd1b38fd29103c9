"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const make = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A canvas in device pixels, drawn anew whenever its size or the theme changes. */
function drawn(canvas, draw) {
  const again = () => {
    const ratio = window.devicePixelRatio || 1, box = canvas.getBoundingClientRect();
    if (!box.width) return;
    canvas.width = Math.round(box.width * ratio);
    canvas.height = Math.round(box.height * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    draw(context, box.width, box.height);
  };
  new ResizeObserver(again).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  return again;
}

/** Round values between two ends, about so many. */
function ticks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) found.push(value);
  return found;
}

/* Spectrograms: one window in time and frequency for all of them. */
const LEFT = 46, BOTTOM = 22;
const longest = Math.max(1e-9, ...data.panels.map((p) => p.duration_s || 0));
const highest = Math.max(1e-9, ...data.panels.map((p) => p.nyquist_hz || 0));
const whole = { t0: 0, t1: longest, f0: 0, f1: highest };
const shown = { ...whole };
const redraw = [];
const all = () => redraw.forEach((draw) => draw());

function zoom(factorT, factorF, t = (shown.t0 + shown.t1) / 2, f = (shown.f0 + shown.f1) / 2) {
  const clamp = (low, high, limit, least) => {
    const width = Math.min(limit, Math.max(least, high - low));
    const start = Math.min(Math.max(low, 0), limit - width);
    return [start, start + width];
  };
  [shown.t0, shown.t1] = clamp(t - (t - shown.t0) * factorT, t + (shown.t1 - t) * factorT, longest, longest / 400);
  [shown.f0, shown.f1] = clamp(f - (f - shown.f0) * factorF, f + (shown.f1 - f) * factorF, highest, highest / 100);
  document.body.dataset.window = [shown.t0, shown.t1, shown.f0, shown.f1].map((v) => v.toFixed(4)).join(" ");
  all();
}

function spectrogram(panel, audio) {
  const canvas = make("canvas", { tabindex: "0", role: "img",
    "aria-label": `spectrogram of ${panel.title}; arrow keys move, plus and minus zoom, 0 shows all` });
  const image = new Image();
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = (event.clientX - box.left - LEFT) / (box.width - LEFT), y = (event.clientY - box.top) / (box.height - BOTTOM);
    return [shown.t0 + x * (shown.t1 - shown.t0), shown.f1 - y * (shown.f1 - shown.f0)];
  };
  const draw = drawn(canvas, (context, width, height) => {
    const w = width - LEFT, h = height - BOTTOM;
    context.fillStyle = panel.difference ? color("--page") : "#000";
    context.fillRect(LEFT, 0, w, h);
    const toX = (t) => LEFT + (t - shown.t0) / (shown.t1 - shown.t0) * w;
    const toY = (f) => (shown.f1 - f) / (shown.f1 - shown.f0) * h;
    context.save();
    context.beginPath(); context.rect(LEFT, 0, w, h); context.clip();
    context.imageSmoothingEnabled = image.width / panel.duration_s * (shown.t1 - shown.t0) > w;
    if (image.complete && image.width)
      context.drawImage(image, toX(0), toY(panel.nyquist_hz), toX(panel.duration_s) - toX(0), toY(0) - toY(panel.nyquist_hz));
    if (audio && (audio.currentTime || !audio.paused)) {
      context.fillStyle = "#fff";
      context.fillRect(toX(audio.currentTime), 0, 1.5, h);
    }
    context.restore();
    context.fillStyle = color("--soft"); context.font = "11px system-ui, sans-serif";
    context.textAlign = "center"; context.textBaseline = "top";
    for (const t of ticks(shown.t0, shown.t1, w / 70)) context.fillText(`${+t.toPrecision(6)} s`, Math.min(toX(t), width - 14), h + 6);
    context.textAlign = "right"; context.textBaseline = "middle";
    for (const f of ticks(shown.f0, shown.f1, h / 40))
      context.fillText(f >= 1000 ? `${+(f / 1000).toPrecision(4)} kHz` : `${+f.toPrecision(4)} Hz`, LEFT - 5, Math.max(toY(f), 7));
  });
  image.onload = draw; image.src = panel.image;
  redraw.push(draw);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const factor = Math.exp(Math.sign(event.deltaY) * 0.25);
    zoom(event.altKey ? 1 : factor, event.shiftKey ? 1 : factor, ...place(event));
  }, { passive: false });
  let from = null, moved = false;
  canvas.addEventListener("pointerdown", (event) => { from = place(event); moved = false; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => {
    if (!from) return;
    const [t, f] = place(event), dt = from[0] - t, df = from[1] - f;
    moved = moved || Math.abs(dt) > (shown.t1 - shown.t0) / 200 || Math.abs(df) > (shown.f1 - shown.f0) / 200;
    shown.t0 += dt; shown.t1 += dt; shown.f0 += df; shown.f1 += df;
    zoom(1, 1);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (from && !moved && audio) audio.currentTime = Math.min(Math.max(place(event)[0], 0), panel.duration_s);
    from = null;
  });
  canvas.addEventListener("dblclick", () => { Object.assign(shown, whole); zoom(1, 1); });
  canvas.addEventListener("keydown", (event) => {
    const dt = (shown.t1 - shown.t0) / 5, df = (shown.f1 - shown.f0) / 5;
    const moves = { ArrowLeft: [-dt, 0], ArrowRight: [dt, 0], ArrowUp: [0, df], ArrowDown: [0, -df] };
    if (moves[event.key]) {
      const [t, f] = moves[event.key];
      shown.t0 += t; shown.t1 += t; shown.f0 += f; shown.f1 += f; zoom(1, 1);
    } else if (event.key === "+" || event.key === "=") zoom(0.7, 0.7);
    else if (event.key === "-") zoom(1 / 0.7, 1 / 0.7);
    else if (event.key === "0") { Object.assign(shown, whole); zoom(1, 1); } else return;
    event.preventDefault();
  });
  if (audio) {
    const follow = () => { draw(); if (!audio.paused) requestAnimationFrame(follow); };
    audio.addEventListener("play", () => {
      document.querySelectorAll("audio").forEach((other) => { if (other !== audio) other.pause(); });
      follow();
    });
    for (const name of ["seeked", "pause"]) audio.addEventListener(name, draw);
  }
  return canvas;
}

function showMedia() {
  const section = document.getElementById("media"), panels = make("div", { class: "panels" });
  for (const panel of data.panels) {
    const title = make("h3", {}, panel.title, " ", make("small", {}, panel.text || ""));
    const box = make("article", { class: "panel" }, title);
    if (panel.nyquist_hz) {
      const audio = panel.audio ? make("audio", { controls: "", preload: "metadata", src: panel.audio }) : null;
      box.append(spectrogram(panel, audio));
      if (audio) box.append(audio);
    } else box.append(make("img", { src: panel.image, alt: panel.title }));
    panels.append(box);
  }
  if (data.medium === "image") {
    const [content, result] = [data.panels[0], data.panels.find((p) => p.title === "result")];
    const compare = make("div", { class: "compare", style: "--cut: 50%" }, make("img", { src: result.image, alt: "result" }),
      make("img", { class: "over", src: content.image, alt: "content" }), make("div", { class: "rule" }));
    const slider = make("input", { type: "range", min: "0", max: "100", value: "50", "aria-label": "content to the left, result to the right" });
    slider.addEventListener("input", () => compare.style.setProperty("--cut", `${slider.value}%`));
    panels.append(make("article", { class: "panel" }, make("h3", {}, "content | result"), compare, slider));
  } else {
    const button = (text, action) => { const b = make("button", { type: "button" }, text); b.addEventListener("click", action); return b; };
    section.append(make("div", { class: "bar" }, button("zoom in", () => zoom(0.6, 0.6)), button("zoom out", () => zoom(1 / 0.6, 1 / 0.6)),
      button("show all", () => { Object.assign(shown, whole); zoom(1, 1); }),
      "wheel: zoom (shift: time, alt: frequency) · drag: move · click: play from there"));
  }
  section.append(panels);
}

const short = (value) => value < 1e-3 || value >= 1e5 ? value.toExponential(0) : String(+value.toPrecision(2));
const HUES = ["--ink", "#d1495b", "#3c7dd9", "#2a9d6f", "#c58a00", "#8a5cd6", "#0f9fb5", "#b5541c", "#8f8f9c", "#c2409b"];
function showLosses() {
  const box = document.getElementById("losses"), rows = data.losses;
  const names = Object.keys(rows[0] || {}).filter((n) => n !== "step" && n !== "scale");
  const hidden = new Set(names.filter((n) => n.includes(":")));
  const hue = (name) => { const h = HUES[names.indexOf(name) % HUES.length]; return h.startsWith("--") ? color(h) : h; };
  const legend = make("div", { class: "legend" }), canvas = make("canvas", { role: "img", "aria-label": "losses by step, logarithmic" });
  let at = null;
  const draw = drawn(canvas, (context, width, height) => {
    const left = 64, bottom = 22, w = width - left - 8, h = height - bottom;
    const seen = names.filter((n) => !hidden.has(n));
    const values = rows.flatMap((row) => seen.map((n) => row[n]).filter((v) => v > 0));
    if (!values.length) return;
    let low = Math.log10(Math.min(...values)), high = Math.log10(Math.max(...values));
    low = Math.max(low, high - 5); if (high - low < 0.2) { high += 0.1; low -= 0.1; }
    const last = rows[rows.length - 1].step;
    const toX = (step) => left + (last > 1 ? (step - 1) / (last - 1) : 0.5) * w;
    const toY = (value) => 4 + (high - Math.log10(value)) / (high - low) * (h - 8);
    context.font = "11px system-ui, sans-serif"; context.textBaseline = "middle"; context.textAlign = "right";
    for (const p of ticks(low, high, h / 45)) {
      const y = toY(10 ** p);
      context.strokeStyle = color("--line"); context.beginPath(); context.moveTo(left, y); context.lineTo(width - 8, y); context.stroke();
      context.fillStyle = color("--soft"); context.fillText(short(10 ** p), left - 6, y);
    }
    context.textAlign = "center"; context.textBaseline = "top";
    for (const s of ticks(1, Math.max(last, 2), w / 80).filter(Number.isInteger)) context.fillText(String(Math.round(s)), Math.min(toX(s), width - 14), h + 6);
    context.setLineDash([3, 3]);
    for (let i = 1; i < rows.length; i++) if (rows[i].scale !== rows[i - 1].scale) {
      context.beginPath(); context.moveTo(toX(rows[i].step), 0); context.lineTo(toX(rows[i].step), h); context.stroke();
      context.textAlign = "left"; context.fillText(`scale ${rows[i].scale}`, toX(rows[i].step) + 4, 2);
    }
    context.setLineDash([]); context.lineWidth = 1.8;
    for (const name of seen) {
      context.strokeStyle = hue(name); context.beginPath();
      let pen = false;
      for (const row of rows) {
        if (!(row[name] > 0)) { pen = false; continue; }
        const y = Math.min(toY(row[name]), h + 2);
        pen ? context.lineTo(toX(row.step), y) : context.moveTo(toX(row.step), y); pen = true;
      }
      context.stroke();
    }
    context.lineWidth = 1;
    if (at !== null) {
      const row = rows.reduce((best, r) => Math.abs(toX(r.step) - at) < Math.abs(toX(best.step) - at) ? r : best);
      const lines = [`step ${row.step}`, ...seen.map((n) => `${n} ${row[n].toPrecision(4)}`)];
      const wide = Math.max(...lines.map((l) => context.measureText(l).width)) + 16;
      const x = toX(row.step) + wide + 10 > width ? toX(row.step) - wide - 8 : toX(row.step) + 8;
      context.strokeStyle = color("--soft"); context.beginPath(); context.moveTo(toX(row.step), 0); context.lineTo(toX(row.step), h); context.stroke();
      context.fillStyle = color("--card"); context.fillRect(x, 8, wide, lines.length * 16 + 8); context.strokeRect(x, 8, wide, lines.length * 16 + 8);
      context.textAlign = "left";
      lines.forEach((line, i) => { context.fillStyle = i ? hue(seen[i - 1]) : color("--ink"); context.fillText(line, x + 8, 14 + i * 16); });
    }
  });
  for (const name of names) {
    const button = make("button", { type: "button", "aria-pressed": String(!hidden.has(name)) }, make("i"), name);
    button.firstChild.style.background = hue(name);
    button.addEventListener("click", () => {
      hidden.has(name) ? hidden.delete(name) : hidden.add(name);
      button.setAttribute("aria-pressed", String(!hidden.has(name))); draw();
    });
    legend.append(button);
  }
  canvas.addEventListener("pointermove", (event) => { at = event.clientX - canvas.getBoundingClientRect().left; draw(); });
  canvas.addEventListener("pointerleave", () => { at = null; draw(); });
  box.append(legend, canvas);
}
showMedia();
if (data.losses.length) showLosses();
