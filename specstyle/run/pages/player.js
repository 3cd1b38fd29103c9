"use strict";
/* The player of all pages: sounds side by side on one clock, pictures on top of each other, losses. */

/** An element. Text is always text, never markup. */
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child != null && child !== false));
  return made;
}

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

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

/** Keys that a player takes while it is on the page and nobody writes. */
function onKeys(root, act) {
  const listen = (event) => {
    if (!root.isConnected) return document.removeEventListener("keydown", listen);
    const at = event.target, writes = at.matches("input:not([type=checkbox]):not([type=range]), select, textarea");
    if (writes || event.ctrlKey || event.metaKey || event.altKey || (event.key === " " && at.closest("button, summary, a, label, input"))) return;
    if (act(event.key)) event.preventDefault();
  };
  document.addEventListener("keydown", listen);
}

/* -- sounds ----------------------------------------------------------------------------------------------- */

const LEFT = 50, BOTTOM = 22, WAVE = 40;

/** Sounds that are heard one at a time, all at the same place, equally loud; seen in one window of time and frequency. */
class SoundPlayer {
  constructor(root, panels) {
    this.panels = panels;
    this.longest = Math.max(1e-9, ...panels.map((p) => p.duration_s));
    this.highest = Math.max(1e-9, ...panels.map((p) => p.nyquist_hz));
    this.whole = { t0: 0, t1: this.longest, f0: 0, f1: this.highest };
    this.shown = { ...this.whole };
    this.draws = [];
    this.tracks = panels.filter((p) => p.audio).map((panel) =>
      ({ panel, audio: make("audio", { src: panel.audio, preload: "auto", "aria-hidden": "true" }) }));
    // The longest one is the clock, and goes on unheard; shorter ones begin again.
    this.clock = this.tracks.reduce((a, b) => (b.panel.duration_s > a.panel.duration_s + 1e-3 ? b : a)).audio;
    this.playing = false;
    this.clock.addEventListener("ended", () => this.loop.checked ? this.seek(this.shown.t0, true) : this.pause());
    this.clock.addEventListener("seeked", () => this.redraw());
    const button = (text, onclick, rest = {}) => make("button", { type: "button", onclick, ...rest }, text);
    this.button = button("▶ Play", () => this.toggle(), { class: "play" });
    this.time = make("span", { class: "time" });
    this.loop = make("input", { type: "checkbox" });
    this.level = make("input", { type: "checkbox", checked: true, onchange: () => this.hear() });
    this.choices = this.tracks.map((track, i) =>
      button([make("kbd", {}, i + 1), track.panel.title], () => this.select(i), { "aria-pressed": "false" }));
    const zoomed = [button("+", () => this.zoom(0.6, 0.6), { "aria-label": "zoom in" }),
      button("−", () => this.zoom(1 / 0.6, 1 / 0.6), { "aria-label": "zoom out" }), button("show all", () => this.all())];
    const label = (input, text) => make("label", {}, input, text);
    const cells = panels.map((panel) => this.cell(panel));
    root.append(make("div", { class: "bar", role: "group", "aria-label": "Player" }, this.button, this.time, this.choices,
      label(this.loop, "loop what is shown"), label(this.level, "equally loud"), zoomed),
    make("p", { class: "keys" }, "Keys: 1, 2, 3 … choose, space plays, L loops. Click: from there. Drag: move. Ctrl, shift or alt and wheel: zoom."),
    make("div", { class: "panels sounds" }, cells), ...this.tracks.map((t) => t.audio));
    onKeys(root, (key) => {
      if (key === " ") return this.toggle(), true;
      if (key === "l") return this.loop.click(), true;
      return this.tracks[key - 1] && (this.select(key - 1), true);
    });
    this.select(Math.max(0, this.tracks.findIndex((t) => t.panel.first)));
  }

  get now() { return this.clock.currentTime; }

  /** Only the chosen one is heard; where they differ in loudness, the louder are turned down. */
  hear() {
    const softest = Math.min(...this.tracks.map((t) => t.panel.level_db));
    this.tracks.forEach((track, i) => {
      track.audio.muted = i !== this.at;
      track.audio.volume = this.level.checked ? Math.max(10 ** ((softest - track.panel.level_db) / 20), 0.01) : 1;
      this.choices[i].setAttribute("aria-pressed", String(i === this.at));
      track.cell?.classList.toggle("on", i === this.at);
    });
  }

  select(i) {
    this.at = i;
    const { audio, panel } = this.tracks[i], due = this.now % panel.duration_s;
    if (audio !== this.clock && Math.abs(audio.currentTime - due) > 0.03) audio.currentTime = due;
    this.hear();
    this.redraw();
  }

  seek(t, goOn = false) {
    for (const { audio, panel } of this.tracks) audio.currentTime = audio === this.clock ? t : t % panel.duration_s;
    if (goOn && this.playing) this.play();
    this.redraw();
  }

  toggle() { this.playing ? this.pause() : this.play(); }

  play() {
    for (const player of SoundPlayer.all) if (player !== this && player.playing) player.pause();
    if (!this.playing && this.now >= this.longest - 0.01) this.seek(0);
    for (const { audio } of this.tracks) {
      audio.loop = audio !== this.clock;
      audio.play().catch(() => {});
    }
    this.playing = true;
    this.button.textContent = "❚❚ Pause";
    const follow = () => {
      if (!this.button.isConnected) return this.pause();
      if (this.loop.checked && (this.now >= this.shown.t1 - 0.01 || this.now < this.shown.t0 - 0.05)) this.seek(this.shown.t0, true);
      this.redraw();
      if (this.playing) requestAnimationFrame(follow);
    };
    requestAnimationFrame(follow);
  }

  pause() {
    for (const { audio } of this.tracks) audio.pause();
    this.playing = false;
    this.button.textContent = "▶ Play";
  }

  redraw() {
    this.time.textContent = `${this.now.toFixed(1)} / ${this.longest.toFixed(1)} s`;
    this.draws.forEach((draw) => draw());
  }

  all() { Object.assign(this.shown, this.whole); this.zoom(1, 1); }

  zoom(factorT, factorF, t = (this.shown.t0 + this.shown.t1) / 2, f = (this.shown.f0 + this.shown.f1) / 2) {
    const shown = this.shown, clamp = (low, high, limit, least) => {
      const width = Math.min(limit, Math.max(least, high - low)), start = Math.min(Math.max(low, 0), limit - width);
      return [start, start + width];
    };
    [shown.t0, shown.t1] = clamp(t - (t - shown.t0) * factorT, t + (shown.t1 - t) * factorT, this.longest, this.longest / 400);
    [shown.f0, shown.f1] = clamp(f - (f - shown.f0) * factorF, f + (shown.f1 - f) * factorF, this.highest, this.highest / 100);
    document.body.dataset.window = [shown.t0, shown.t1, shown.f0, shown.f1].map((v) => v.toFixed(4)).join(" ");
    this.redraw();
  }

  cell(panel) {
    const canvas = make("canvas", { tabindex: "0", role: "img",
      "aria-label": `${panel.title}: waveform and spectrogram; arrows move, + and - zoom, 0 shows all` });
    const cell = make("article", { class: "panel" }, make("h3", {}, panel.title, " ", make("small", {}, panel.text || "")), canvas);
    const image = new Image(), track = this.tracks.find((t) => t.panel === panel);
    if (track) track.cell = cell;
    const draw = drawn(canvas, (context, width, height) => this.paint(context, width, height, panel, image));
    image.onload = draw; image.src = panel.image;
    this.draws.push(draw);
    this.steer(canvas, track);
    return cell;
  }

  paint(context, width, height, panel, image) {
    const { t0, t1, f0, f1 } = this.shown, top = panel.peaks ? WAVE : 0, w = width - LEFT, h = height - BOTTOM - top;
    const toX = (t) => LEFT + (t - t0) / (t1 - t0) * w, toY = (f) => top + (f1 - f) / (f1 - f0) * h;
    context.fillStyle = panel.difference ? color("--page") : "#000";
    context.fillRect(LEFT, top, w, h);
    context.save();
    context.beginPath(); context.rect(LEFT, 0, w, top + h); context.clip();
    context.imageSmoothingEnabled = image.width / panel.duration_s * (t1 - t0) > w;
    if (image.complete && image.width)
      context.drawImage(image, toX(0), toY(panel.nyquist_hz), toX(panel.duration_s) - toX(0), toY(0) - toY(panel.nyquist_hz));
    context.fillStyle = color("--accent");
    const most = Math.max(1, ...(panel.peaks || []));
    (panel.peaks || []).forEach((peak, i, { length }) => {
      const x = toX(i / length * panel.duration_s), tall = Math.max(peak / most * (WAVE - 8), 1);
      context.fillRect(x, (WAVE - 4 - tall) / 2, Math.max(toX((i + 0.7) / length * panel.duration_s) - x, 0.6), tall);
    });
    if (panel.audio && (this.now || this.playing)) {
      const x = toX(this.now % (panel.duration_s + 1e-3));
      context.fillStyle = "#fff"; context.fillRect(x, top, 2, h);
      context.fillStyle = color("--ink"); context.fillRect(x, 0, 2, top);
    }
    context.restore();
    context.fillStyle = color("--soft"); context.font = "12px system-ui, sans-serif";
    context.textAlign = "center"; context.textBaseline = "top";
    for (const t of ticks(t0, t1, w / 70)) context.fillText(`${+t.toPrecision(6)} s`, Math.min(toX(t), width - 14), top + h + 6);
    context.textAlign = "right"; context.textBaseline = "middle";
    for (const f of ticks(f0, f1, h / 40))
      context.fillText(f >= 1000 ? `${+(f / 1000).toPrecision(4)} kHz` : `${+f.toPrecision(4)} Hz`, LEFT - 5, Math.min(Math.max(toY(f), top + 7), top + h - 6));
  }

  /** Wheel, drag, click and keys on a spectrogram. */
  steer(canvas, track) {
    const shown = this.shown;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      const x = (event.clientX - box.left - LEFT) / (box.width - LEFT), y = (event.clientY - box.top - WAVE) / (box.height - BOTTOM - WAVE);
      return [shown.t0 + x * (shown.t1 - shown.t0), shown.f1 - y * (shown.f1 - shown.f0)];
    };
    const move = (dt, df) => { shown.t0 += dt; shown.t1 += dt; shown.f0 += df; shown.f1 += df; this.zoom(1, 1); };
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.shiftKey && !event.altKey) return; // the page scrolls
      event.preventDefault();
      const factor = Math.exp(Math.sign(event.deltaY || event.deltaX) * 0.25);
      this.zoom(event.altKey ? 1 : factor, event.shiftKey ? 1 : factor, ...place(event));
    }, { passive: false });
    let from = null, moved = false;
    canvas.addEventListener("pointerdown", (event) => { from = place(event); moved = false; canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointermove", (event) => {
      if (!from) return;
      const [t, f] = place(event), dt = from[0] - t, df = from[1] - f;
      moved = moved || Math.abs(dt) > (shown.t1 - shown.t0) / 200 || Math.abs(df) > (shown.f1 - shown.f0) / 200;
      if (moved) move(dt, df);
    });
    canvas.addEventListener("pointerup", (event) => {
      if (from && !moved && track) {
        this.select(this.tracks.indexOf(track));
        this.seek(Math.min(Math.max(place(event)[0], 0), track.panel.duration_s - 0.01));
      }
      from = null;
    });
    canvas.addEventListener("dblclick", () => this.all());
    canvas.addEventListener("keydown", (event) => {
      const dt = (shown.t1 - shown.t0) / 5, df = (shown.f1 - shown.f0) / 5;
      const acts = { ArrowLeft: () => move(-dt, 0), ArrowRight: () => move(dt, 0), ArrowUp: () => move(0, df), ArrowDown: () => move(0, -df),
        "+": () => this.zoom(0.7, 0.7), "=": () => this.zoom(0.7, 0.7), "-": () => this.zoom(1 / 0.7, 1 / 0.7), 0: () => this.all() };
      if (!acts[event.key]) return;
      acts[event.key]();
      event.preventDefault();
    });
  }
}
SoundPlayer.all = new Set();

/* -- pictures --------------------------------------------------------------------------------------------- */

/** Pictures on top of each other: the first one to the left of a line, another one to its right, at any size. */
function showPictures(root, panels) {
  const under = make("img", { draggable: "false" }), over = make("img", { class: "over", src: panels[0].image, alt: panels[0].title, draggable: "false" });
  const compare = make("div", { class: "compare" }, under, over, make("div", { class: "rule" }));
  const right = make("span"), slider = make("input", { type: "range", min: 0, max: 100, step: 0.5, oninput: () => cut(slider.value),
    "aria-label": `${panels[0].title} to the left, what is chosen to the right` });
  let at = 0;
  const cut = (value) => {
    slider.value = value;
    compare.style.setProperty("--cut", `${slider.value}%`);
    choices.forEach((choice, i) => choice.setAttribute("aria-pressed", String(i ? i === at && slider.value < 100 : slider.value > 0)));
  };
  const drag = (event) => {
    const box = compare.getBoundingClientRect();
    cut(100 * (event.clientX - box.left) / box.width);
  };
  compare.addEventListener("pointerdown", (event) => { compare.setPointerCapture(event.pointerId); drag(event); });
  compare.addEventListener("pointermove", (event) => { if (event.buttons) drag(event); });
  const size = make("select", { "aria-label": "Size", onchange: () => sized() },
    [["fit", "fit"], [0.5, "half"], [1, "full size"], [2, "2 ×"], [4, "4 ×"]].map(([value, text]) => make("option", { value }, text)));
  const sized = () => {
    const { naturalWidth: w, naturalHeight: h } = under;
    const fits = `min(100%, ${w * Math.max(1, Math.min(384 / w, 384 / h))}px, ${70 * w / h}vh)`; // a small one is shown larger, not huge
    compare.style.width = size.value === "fit" ? fits : `${w * size.value / (window.devicePixelRatio || 1)}px`;
    compare.classList.toggle("large", size.value > 1);
  };
  under.addEventListener("load", sized);
  const cells = panels.map((panel, i) => make("article", { class: "panel", onclick: () => i && select(i) },
    make("h3", {}, panel.title, " ", make("small", {}, panel.text || "")), make("img", { src: panel.thumbnail || panel.image, alt: panel.title, loading: "lazy" })));
  const choice = (i, text, onclick) => make("button", { type: "button", onclick }, make("kbd", {}, i), text);
  const choices = panels.map((panel, i) => choice(i + 1, panel.title, () => show(i)));
  const half = choice(0, "half and half", () => cut(50)), single = panels.length === 1;
  const select = (i) => {
    at = i;
    under.src = panels[i].image;
    under.alt = right.textContent = panels[i].title;
    cells.forEach((cell, k) => cell.classList.toggle("on", k === i));
    cut(slider.value);
  };
  const show = (i) => { if (i) select(i); cut(i ? 0 : 100); };
  root.append(make("article", { class: "panel" }, make("div", { class: "bar" }, !single && [choices, half].flat(), size),
    make("div", { class: "stage" }, compare), !single && slider,
    !single && make("div", { class: "ends" }, make("span", {}, `← ${panels[0].title}`), right)), make("div", { class: "panels pictures" }, cells));
  onKeys(root, (key) => {
    const chosen = key === "0" ? half : choices[key - 1];
    return chosen && !single && (chosen.click(), true);
  });
  select(single ? 0 : Math.max(1, panels.findIndex((p) => p.first)));
  cut(single ? 0 : 50);
}

function showMedia(root, medium, panels) {
  if (medium === "image") showPictures(root, panels);
  else SoundPlayer.all.add(new SoundPlayer(root, panels));
}

/* -- losses ----------------------------------------------------------------------------------------------- */

const HUES = ["--ink", "#d1495b", "#3c7dd9", "#2a9d6f", "#c58a00", "#8a5cd6", "#0f9fb5", "#b5541c", "#8f8f9c", "#c2409b"];

/** Losses by step, logarithmic, each to be shown or not; returns a function that takes the rows. */
function showLosses(root) {
  let rows = [], names = [], at = null;
  const hidden = new Set(), legend = make("div", { class: "legend" });
  const canvas = make("canvas", { role: "img", "aria-label": "losses by step, logarithmic" });
  const short = (value) => value < 1e-3 || value >= 1e5 ? value.toExponential(0) : String(+value.toPrecision(2));
  const hue = (name) => { const h = HUES[names.indexOf(name) % HUES.length]; return h.startsWith("--") ? color(h) : h; };
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
    context.font = "12px system-ui, sans-serif"; context.textBaseline = "middle"; context.textAlign = "right";
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
    if (at === null) return;
    const row = rows.reduce((best, r) => Math.abs(toX(r.step) - at) < Math.abs(toX(best.step) - at) ? r : best);
    const lines = [`step ${row.step}`, ...seen.map((n) => `${n} ${row[n]?.toPrecision(4)}`)];
    const wide = Math.max(...lines.map((l) => context.measureText(l).width)) + 16;
    const x = toX(row.step) + wide + 10 > width ? toX(row.step) - wide - 8 : toX(row.step) + 8;
    context.strokeStyle = color("--soft"); context.beginPath(); context.moveTo(toX(row.step), 0); context.lineTo(toX(row.step), h); context.stroke();
    context.fillStyle = color("--card"); context.fillRect(x, 8, wide, lines.length * 16 + 8); context.strokeRect(x, 8, wide, lines.length * 16 + 8);
    context.textAlign = "left";
    lines.forEach((line, i) => { context.fillStyle = i ? hue(seen[i - 1]) : color("--ink"); context.fillText(line, x + 8, 14 + i * 16); });
  });
  const name = (text) => {
    if (text.includes(":")) hidden.add(text);
    const button = make("button", { type: "button", "aria-pressed": String(!hidden.has(text)), onclick: () => {
      hidden.has(text) ? hidden.delete(text) : hidden.add(text);
      button.setAttribute("aria-pressed", String(!hidden.has(text))); draw();
    } }, make("i"), text);
    button.firstChild.style.background = hue(text);
    legend.append(button);
  };
  canvas.addEventListener("pointermove", (event) => { at = event.clientX - canvas.getBoundingClientRect().left; draw(); });
  canvas.addEventListener("pointerleave", () => { at = null; draw(); });
  root.append(make("div", { class: "losses" }, legend, canvas));
  return (given) => {
    rows = given;
    const found = Object.keys(rows[0] || {}).filter((n) => n !== "step" && n !== "scale" && !names.includes(n));
    names.push(...found);
    found.forEach(name);
    draw();
  };
}
