// The page as a whole: the form, examples, history, and asking again how jobs go.

import { ask, send, sentence, span } from "./api.js";
import { Chooser, Painter } from "./chooser.js";
import { chosenOf, JobView, STATES, titleOf } from "./jobview.js";

const BUSY_MS = 500, IDLE_MS = 2500, PAUSE_MS = 700;
const $ = (id) => document.getElementById(id);
const form = $("new"), options = JSON.parse($("data").textContent);
const MEANINGS = {
  style: "The result is optimized for this pair: the best there is, in a minute or so.",
  once: "A trained network plays or paints it in about a second.",
  texture: "New sound or canvas of any size with the texture of the styles, from noise.",
  sweep: "The same several times with one setting varied, side by side.",
};

function fail(text) {
  $("server-error").textContent = text;
  $("server-error").hidden = !text;
}

// Says what is wrong beside the field that it is about.
function complain(text, field = "") {
  for (const old of form.querySelectorAll(".beside")) old.remove();
  for (const old of form.querySelectorAll("[aria-invalid]")) old.removeAttribute("aria-invalid");
  const at = text && field && form.querySelector(`[data-field="${field}"]`);
  $("form-error").hidden = !text || Boolean(at);
  $("form-error").textContent = at ? "" : text;
  if (!at) return;
  at.closest("details")?.setAttribute("open", "");
  at.append(make("p", { class: "error beside", role: "alert" }, text));
  at.querySelector("input, select")?.setAttribute("aria-invalid", "true");
}

// -- the form ---------------------------------------------------------------------------------------------

const chooser = (role, rest) => new Chooser($(`${role}-chooser`), {
  limits: options, onchange: changed, onerror: (text) => complain(text, role), ...rest });
const styles = chooser("style", { most: options.styles });
const content = chooser("content", { most: 1, onmore: (files) => styles.add(files) });
const painter = new Painter($("mask"), { onchange: changed, onerror: (text) => complain(text, "mask") });
const kind = () => form.elements.kind.value;
const onceChosen = () => [...form.querySelectorAll("[name=once]:checked")].filter((box) => !box.closest("[hidden]"));
let estimated = 0, estimating = 0, suggested = 0.5;

function usualStrength() {
  const medium = content.files[0]?.medium || onceChosen()[0]?.closest("[data-medium]").dataset.medium;
  return (kind() === "once" && options.once[medium]) || 0.5;
}

function media() {
  return [...new Set([...(kind() === "texture" ? [] : content.files), ...(kind() === "once" ? [] : styles.files)].map((file) => file.medium))];
}

// Why it cannot be started yet.
function missing() {
  if (content.sending || styles.sending) return "A file is still being sent.";
  if (kind() !== "texture" && !content.files.length) return "Choose a content first: a sound or a picture.";
  if (media().length > 1) return "A sound and a picture cannot be mixed. Choose two sounds or two pictures.";
  if (kind() === "once") return onceChosen().length ? "" : "Choose a trained style.";
  return styles.files.length ? "" : "Choose a style of the same kind.";
}

function changed() {
  const medium = media().length === 1 ? media()[0] : "", now = kind();
  $("kind-meaning").textContent = MEANINGS[now];
  $("content-chooser").hidden = now === "texture";
  $("style-chooser").hidden = now === "once";
  form.querySelector(".trained").hidden = now !== "once";
  for (const box of form.querySelectorAll("[data-medium]")) if (box.closest(".trained")) box.hidden = Boolean(medium) && box.dataset.medium !== medium;
  for (const field of form.querySelectorAll("[data-uses]")) {
    const uses = field.dataset.uses.split(" ");
    field.hidden = medium ? !uses.includes(`${now}-${medium}`) : !uses.some((use) => use.startsWith(now));
  }
  for (const group of form.querySelectorAll(".group")) group.hidden = !group.querySelector(".field:not([hidden])");
  painter.for(content.files[0]);
  form.querySelector("[data-field=mask]").hidden = now === "texture";
  $("paint").disabled = !content.files.length;
  $("painted").textContent = painter.mask ? "painted" : content.files[0]?.medium === "audio" ? "on the spectrogram" : "";
  offer(medium);
  if (now === "sweep" && $("f-vary").value === "strength") form.querySelector("[data-field=strength]").hidden = true;
  if (Number($("strength").value) === suggested) $("strength").value = usualStrength();
  suggested = usualStrength();
  describeStrength();
  const why = missing();
  $("why").textContent = why;
  $("start").disabled = Boolean(why);
  estimate();
}

// The recipes of a medium, and the value that the chosen one has of each field.
function offer(medium) {
  const recipes = options.recipes[medium || "audio"], before = $("recipe").value;
  if ($("recipe").dataset.medium !== medium) {
    $("recipe").dataset.medium = medium;
    $("recipe").replaceChildren(...recipes.filter((r) => medium || r.name === "default").map((r) => make("option", {}, r.name)));
    $("recipe").value = recipes.some((r) => r.name === before) ? before : "default";
  }
  const recipe = recipes.find((r) => r.name === $("recipe").value) || recipes[0];
  $("recipe-source").textContent = sentence(recipe.source);
  for (const field of form.querySelectorAll(".group .field")) {
    const input = field.querySelector("input, select"), value = recipe.values[input.name];
    if (input.options) input.options[0].textContent = `${value} (as it is)`;
    else input.placeholder = value;
  }
  const varied = [...form.querySelectorAll(".group .field:not([hidden])")].filter((field) => !["keep_band", "style_scale"].includes(field.dataset.field));
  const names = [["strength", "strength"], ...varied.map((field) => [field.dataset.field, field.querySelector("label").textContent])];
  const chosen = $("f-vary").value || "strength";
  $("f-vary").replaceChildren(...names.map(([value, text]) => make("option", { value }, text)));
  $("f-vary").value = names.some(([name]) => name === chosen) ? chosen : "strength";
}

function describeStrength() {
  const value = Number($("strength").value);
  $("strength-value").textContent = value.toFixed(2);
  $("strength-meaning").textContent =
    value === 0 ? "The content, unchanged." : value < suggested ? "Nearer to the content than the default." :
    value === suggested ? "The default." : value < 1 ? "Nearer to the style than the default." : "Pure style: the content counts no more.";
}

// What the server is asked for.
function asked() {
  const now = kind(), settings = {};
  for (const field of form.querySelectorAll("#settings .field:not([hidden]), .vary:not([hidden]) .field")) {
    const input = field.querySelector("input, select");
    if (input.value.trim() && !field.closest("[hidden]")) settings[input.name] = input.value.trim();
  }
  if (!form.querySelector("[data-field=strength]").hidden) settings.strength = $("strength").value;
  if (now !== "once" && styles.blend) settings.style_blend = styles.blend;
  if (now === "once") settings.once = Object.fromEntries(onceChosen().map((box) => [box.value, Number(box.closest("label").querySelector("[type=range]").value)]));
  return {
    kind: now, settings, content: now === "texture" ? null : content.files[0]?.id,
    styles: now === "once" ? [] : styles.files.map((file) => file.id), mask: now === "texture" ? null : painter.mask?.id,
  };
}

// The time that it will take, and what would make it fail, a moment after the last change.
function estimate() {
  clearTimeout(estimating);
  const mine = (estimated += 1);
  $("time").textContent = missing() || kind() !== "once" ? "" : "It will take about a second for each ten seconds of sound or megapixel.";
  if (missing() || kind() === "once") return;
  estimating = setTimeout(async () => {
    $("time").textContent = "Estimating the time …";
    try {
      const { seconds } = await send("api/estimate", asked());
      if (mine === estimated) $("time").textContent = seconds < 3 ? "It will take a few seconds." : `It will take about ${span(seconds)}${seconds > 60 ? ", if nothing else runs" : ""}.`;
      if (mine === estimated) complain("");
    } catch (error) {
      if (mine !== estimated) return;
      $("time").textContent = "";
      complain(error.message, error.field);
    }
  }, PAUSE_MS);
}

async function start() {
  complain("");
  clearTimeout(estimating);
  estimated += 1; // what is under way does not matter any more
  $("start").disabled = true;
  try {
    choose((await send("api/jobs", asked())).id);
    $("job").scrollIntoView({ block: "nearest" });
  } catch (error) {
    complain(error.message, error.field);
    form.querySelector("[aria-invalid]")?.focus();
  }
  $("start").disabled = Boolean(missing());
}

async function example({ kind: wanted, medium }) {
  const [first, second] = options.examples[medium][wanted];
  await fill({ kind: wanted, settings: wanted === "once" ? { once: { [second]: 1 } } : medium === "image" ? { size: "256" } : {} }, async () => {
    content.put(await ask(`api/uploads/example.${first}`));
    if (wanted === "style") styles.put(await ask(`api/uploads/example.${second}`));
  });
  await start();
}

// Puts a job's kind, files and settings into the form.
async function fill({ kind: wanted, settings }, files) {
  form.reset();
  suggested = 0.5;
  content.clear();
  styles.clear();
  form.elements.kind.value = wanted;
  for (const [name, value] of Object.entries(settings)) {
    const input = name === "strength" ? $("strength") : form.elements[name];
    if (name !== "once" && input && "value" in input) input.value = value;
  }
  for (const box of form.querySelectorAll("[name=once]")) {
    box.checked = box.value in (settings.once || {});
    if (box.checked) box.closest("label").querySelector("[type=range]").value = settings.once[box.value];
  }
  try {
    await files();
  } catch (error) {
    fail(error.message);
  }
  changed();
  if (settings.recipe) $("recipe").value = settings.recipe;
  if (settings.vary) $("f-vary").value = settings.vary;
  changed();
  if (settings.strength) $("strength").value = settings.strength; // also where it is not the usual one
  describeStrength();
}

const taken = (job, file, name = "") => ask(`api/uploads?job=${job.id}&file=${file}&name=${encodeURIComponent(name)}`, { method: "POST" });

async function again(job) {
  const weights = (job.settings.style_blend || "").split(",");
  await fill(job, async () => {
    for (const { stem, name } of job.files) {
      const file = await taken(job, stem, name);
      if (stem === "mask") painter.mask = file;
      else if (stem === "content") painter.for((content.put(file), file));
      else styles.put(file, null, weights[styles.files.length] || "1");
    }
  });
  form.scrollIntoView({ block: "start" });
}

async function asContent(job, file) {
  try {
    const given = await taken(job, file);
    content.clear();
    content.put(given);
    changed();
    form.scrollIntoView({ block: "start" });
  } catch (error) {
    fail(error.message);
  }
}

// -- the jobs ---------------------------------------------------------------------------------------------

let chosen = null, timer = 0, round = 0, lost = false;
const rows = new Map();
const view = new JobView($("job"), { onchange: refresh, onerror: fail, onagain: again, oncontent: asContent });

function choose(id) {
  chosen = id;
  fail("");
  return refresh();
}

// Rows are changed in place, so that a click or the focus is not lost between two answers.
function list(jobs) {
  for (const [id, row] of rows) {
    if (jobs.some((job) => job.id === id)) continue;
    row.item.remove();
    rows.delete(id);
  }
  jobs.forEach((job, i) => {
    if (!rows.has(job.id)) rows.set(job.id, newRow(job));
    const row = rows.get(job.id);
    if ($("jobs").children[i] !== row.item) $("jobs").insertBefore(row.item, $("jobs").children[i] || null);
    const doing = job.state === "running" && job.step ? ` ${job.step} / ${job.steps}` : "";
    const place = job.position ? ` · ${job.position === 1 ? "next" : `number ${job.position}`}` : "";
    write(row.state, `${STATES[job.state]}${doing}${place}`);
    row.state.className = `state ${job.state}`;
    const source = `files/jobs/${job.id}/${job.thumbnail}`;
    if (row.image.getAttribute("src") !== source) row.image.setAttribute("src", source);
    if (job.id === chosen) row.button.setAttribute("aria-current", "true");
    else row.button.removeAttribute("aria-current");
  });
  $("history").hidden = !jobs.length;
  $("examples").classList.toggle("small", jobs.length > 0);
}

function newRow(job) {
  const state = make("span", { class: "state" }), image = make("img", { alt: "", loading: "lazy" });
  const when = new Date(job.began).toLocaleString([], { dateStyle: "short", timeStyle: "short" });
  const button = make("button", { type: "button", onclick: () => choose(job.id) }, image,
    make("span", {}, make("span", { class: "name", title: titleOf(job) }, titleOf(job)), make("span", { class: "hint" }, [when, chosenOf(job)].filter(Boolean).join(" · "))), state);
  return { item: make("li", {}, button), button, state, image };
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

async function refresh() {
  clearTimeout(timer);
  const mine = (round += 1);
  let busy = false;
  try {
    const kept = [...content.files, ...styles.files, ...(painter.mask ? [painter.mask] : [])].map((file) => file.id);
    const jobs = await ask(`api/jobs?chosen=${kept.join(",")}`);
    if (mine !== round) return;
    busy = jobs.some((job) => ["waiting", "running", "finishing"].includes(job.state));
    if (!jobs.some((job) => job.id === chosen)) chosen = jobs.length ? (jobs.find((job) => job.state === "running") || jobs[0]).id : null;
    list(jobs);
    await view.show(chosen, jobs.find((job) => job.id === chosen));
    if (lost) fail(""); // what else was said stays until it is read
    lost = false;
  } catch (error) {
    fail(error.message);
    lost = true;
  }
  if (mine === round) timer = setTimeout(refresh, busy && !document.hidden ? BUSY_MS : IDLE_MS);
}

form.addEventListener("submit", (event) => { event.preventDefault(); start(); });
form.addEventListener("change", (event) => { if (event.target.type !== "file") { complain(""); changed(); } });
$("strength").addEventListener("input", describeStrength);
$("paint").addEventListener("click", () => painter.open());
for (const card of document.querySelectorAll(".example")) card.addEventListener("click", () => example(card.dataset));
for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.target.type === "file" || event.preventDefault());
changed();
refresh();
