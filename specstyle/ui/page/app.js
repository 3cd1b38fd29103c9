// The page as a whole: the form, examples, history, and asking again how jobs go.

import { ask, send, sentence, span } from "./api.js";
import { Chooser, Painter } from "./chooser.js";
import { chosenOf, ENDED, JobView, label, STATES, titleOf } from "./jobview.js";

const BUSY_MS = 500, IDLE_MS = 2500, PAUSE_MS = 700;
const $ = (id) => document.getElementById(id);
const form = $("new"), options = JSON.parse($("data").textContent);
const MEANINGS = {
  style: "The result is optimized for this pair: the best there is, in a minute or so.",
  once: "A trained network plays or paints it in about a second.",
  texture: "New sound or canvas of any size with the texture of the styles, from noise.",
  sweep: "The same several times with one setting varied, side by side.",
  film: "A film's pictures, its sound or both, by trained styles; about a second for each four pictures.",
};
const NO_FILMS = "Films need PyAV and OpenCV: pip install 'specstyle[film]', then start this page anew.";

function fail(text) {
  $("server-error").textContent = text;
  $("server-error").hidden = !text;
}

// Says what is wrong beside the field that it is about.
function complain(text = "", field = "") {
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
  limits: options.limits, onchange: changed, onerror: (text) => complain(text, role), ...rest });
const styles = chooser("style", { most: options.limits.styles });
const content = chooser("content", { most: 1, onmore: (files) => styles.add(files) });
const painter = new Painter($("mask"), { onchange: changed, onerror: (text) => complain(text, "mask") });
const kind = () => form.elements.kind.value;
const shown = (selector) => [...form.querySelectorAll(selector)].filter((one) => !one.closest("[hidden]"));
const onceChosen = () => shown("[name=once]:checked");
const filesOf = (one) => (one.input.closest("[hidden]") ? [] : one.files);
const media = () => [...new Set([...filesOf(content), ...filesOf(styles)].map((file) => file.medium))];
let estimated = 0, suggested = 0.5;

function usualStrength() {
  const medium = content.files[0]?.medium || onceChosen()[0]?.closest("[data-medium]").dataset.medium;
  return (kind() === "once" && !filesOf(styles).length && options.once[medium]) || 0.5;
}

// Why it cannot be started yet.
function missing() {
  const now = kind(), own = filesOf(styles).length, trained = onceChosen().length;
  if (now === "film" && !options.films) return NO_FILMS;
  if (content.sending || styles.sending) return "A file is still being sent.";
  if (now === "film" && !content.files.length) return "Choose a film first.";
  if (now !== "texture" && !content.files.length) return "Choose a content first: a sound or a picture.";
  if ((now === "film") !== media().includes("film")) return now === "film" ? "Choose a film, with pictures." : "A film has a tab of its own: Film.";
  if (media().length > 1) return "A sound and a picture cannot be mixed. Choose two sounds or two pictures.";
  if (now === "film") return trained ? "" : "Choose a style for its pictures, for its sound, or both.";
  if (now !== "once") return own ? "" : "Choose a style of the same kind.";
  if (own && trained) return "Choose trained styles or one of your own, not both.";
  return own > 1 ? "At once takes one style of your own." : own || trained ? "" : "Choose a trained style, or any of your own.";
}

function changed() {
  const now = kind();
  $("content-chooser").hidden = now === "texture";
  $("style-chooser").hidden = now === "film";
  $("style-chooser").querySelector(".hint").textContent = now === "once" ? "or any of your own" : "what it becomes like; several mix";
  $("content-chooser").querySelector("b").textContent = now === "film" ? "Drop a film" : "Drop a sound or a picture";
  form.querySelector(".trained .hint").textContent = now === "film" ? "trained; one for each" : "trained; several blend";
  const medium = media().length === 1 ? media()[0] : "";
  $("kind-meaning").textContent = now === "film" && !options.films ? NO_FILMS : MEANINGS[now];
  form.querySelector(".trained").hidden = now !== "once" && now !== "film";
  for (const box of form.querySelectorAll(".trained [data-medium]")) box.hidden = now !== "film" && Boolean(medium) && box.dataset.medium !== medium;
  for (const field of form.querySelectorAll("[data-uses]")) {
    const uses = field.dataset.uses.split(" ");
    field.hidden = medium ? !uses.includes(`${now}-${medium}`) : !uses.some((use) => use.startsWith(now));
  }
  for (const group of form.querySelectorAll(".group")) group.hidden = !group.querySelector(".field:not([hidden])");
  $("settings").hidden = now === "film";
  form.querySelector(".trained").classList.toggle("blend", now === "once" && onceChosen().length > 1);
  painter.for(content.files[0]);
  form.querySelector("[data-field=mask]").hidden = now === "texture" || now === "film";
  $("paint").disabled = !content.files.length;
  $("painted").textContent = painter.mask ? "painted" : content.files[0]?.medium === "audio" ? "on the spectrogram" : "";
  offer(medium);
  if (now === "sweep" && $("f-vary").value === "strength") form.querySelector("[data-field=strength]").hidden = true;
  if (Number($("strength").value) === suggested) $("strength").value = usualStrength();
  suggested = usualStrength();
  describeStrength();
  $("why").textContent = missing();
  $("start").disabled = Boolean(missing());
  estimate();
}

// The recipes of a medium, and the value that the chosen one has of each field.
function offer(medium) {
  const recipes = options.recipes[medium] || options.recipes.audio, before = $("recipe").value;
  const offered = (select, pairs, value) => {
    select.replaceChildren(...pairs.map(([name, text]) => make("option", { value: name }, text)));
    select.value = pairs.some(([name]) => name === value) ? value : pairs[0][0];
  };
  offered($("recipe"), recipes.filter((r) => medium || r.name === "default").map((r) => [r.name, r.name]), before);
  const recipe = recipes.find((r) => r.name === $("recipe").value);
  $("recipe-source").textContent = sentence(recipe.source);
  for (const input of form.querySelectorAll(".group .field :is(input, select)")) {
    if (input.options) input.options[0].textContent = `${recipe.values[input.name]} (as it is)`;
    else input.placeholder = recipe.values[input.name];
  }
  const varied = shown(".group .field").map((field) => field.dataset.field).filter((name) => !["keep_band", "style_scale"].includes(name));
  offered($("f-vary"), ["strength", ...varied].map((name) => [name, label(name)]), $("f-vary").value);
}

function describeStrength() {
  const value = Number($("strength").value);
  $("strength-value").textContent = `${value.toFixed(2)}${value === suggested ? ", the default" : ""}`;
}

// What the server is asked for.
function asked() {
  const settings = {}, all = [...shown("#settings .field :is(input, select)"), ...shown(".vary :is(input, select)"), ...shown("#strength")];
  for (const input of all) if (input.value.trim()) settings[input.name] = input.value.trim();
  if (kind() !== "once" && styles.blend) settings.style_blend = styles.blend;
  const once = onceChosen().map((box) => [box.value, Number(box.closest("label").querySelector("[type=range]").value)]);
  if (once.length) settings.once = Object.fromEntries(once);
  const mask = shown("#paint").length ? painter.mask?.id : null;
  return { kind: kind(), settings, content: filesOf(content)[0]?.id ?? null, styles: filesOf(styles).map((file) => file.id), mask };
}

// The time that it will take, and what would make it fail, a moment after the last change.
async function estimate() {
  const mine = (estimated += 1), quick = kind() === "once" ? "It will take about a second for each ten seconds of sound or megapixel." : "";
  $("time").textContent = missing() ? "" : quick;
  if (missing() || quick || kind() === "film") return;
  await new Promise((done) => setTimeout(done, PAUSE_MS));
  if (mine !== estimated) return;
  $("time").textContent = "Estimating the time …";
  let said = "", wrong = {};
  try {
    const { seconds } = await send("api/estimate", asked());
    said = seconds < 3 ? "It will take a few seconds." : `It will take about ${span(seconds)}${seconds > 60 ? ", if nothing else runs" : ""}.`;
  } catch (error) {
    wrong = error;
  }
  if (mine !== estimated) return;
  $("time").textContent = said;
  complain(wrong.message, wrong.field);
}

async function start() {
  complain();
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
  const settings = wanted === "once" ? { once: { [second]: 1 } } : medium === "image" ? { size: "256" } : {};
  await fill({ kind: wanted, settings }, async () => {
    content.put(await ask(`api/uploads/${first}`));
    if (wanted === "style") styles.put(await ask(`api/uploads/${second}`));
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
  for (const box of form.querySelectorAll("[name=once]")) {
    box.checked = box.value in (settings.once || {});
    if (box.checked) box.closest("label").querySelector("[type=range]").value = settings.once[box.value];
  }
  try {
    await files();
  } catch (error) {
    fail(error.message);
  }
  changed(); // offers what there is for this medium
  for (const [name, value] of Object.entries(settings)) if (form.elements[name] && name !== "once") form.elements[name].value = value;
  suggested = null; // also where the strength is not the usual one
  changed();
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
const view = new JobView($("job"), { onchange: refresh, onerror: fail, onagain: again, oncontent: asContent });

function choose(id) {
  chosen = id;
  fail("");
  return refresh();
}

// Rows are changed in place, so that a click or the focus is not lost between two answers.
function list(jobs) {
  const rows = jobs.map((job) => {
    const row = $(`row-${job.id}`) || make("button", { type: "button", id: `row-${job.id}`, onclick: () => choose(job.id) });
    row.setAttribute("aria-current", String(job.id === chosen));
    const said = JSON.stringify(job);
    if (row.dataset.said !== said) row.replaceChildren(...rowOf(job));
    row.dataset.said = said;
    return row.parentElement || make("li", {}, row);
  });
  const there = [...$("jobs").children];
  if (there.length !== rows.length || there.some((row, i) => row !== rows[i])) $("jobs").replaceChildren(...rows);
  $("history").hidden = !jobs.length;
  $("examples").classList.toggle("small", jobs.length > 0);
}

function rowOf(job) {
  const when = new Date(job.began).toLocaleString([], { dateStyle: "short", timeStyle: "short" });
  const doing = job.state === "running" && job.step ? ` ${job.step} / ${job.steps}` : "";
  const place = job.position ? ` · ${job.position === 1 ? "next" : `number ${job.position}`}` : "";
  return [make("img", { alt: "", loading: "lazy", src: `files/jobs/${job.id}/${job.thumbnail}` }),
    make("span", {}, make("span", { class: "name", title: titleOf(job) }, titleOf(job)), make("span", { class: "hint" }, [when, chosenOf(job)].filter(Boolean).join(" · "))),
    make("span", { class: `state ${job.state}` }, `${STATES[job.state]}${doing}${place}`)];
}

async function refresh() {
  clearTimeout(timer);
  const mine = (round += 1);
  let busy = false;
  try {
    const jobs = await ask("api/jobs");
    if (mine !== round) return;
    busy = jobs.some((job) => !ENDED.includes(job.state));
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
form.addEventListener("change", (event) => { if (event.target.type !== "file") { complain(); changed(); } });
$("strength").addEventListener("input", describeStrength);
$("paint").addEventListener("click", () => painter.open());
for (const card of document.querySelectorAll(".example")) card.addEventListener("click", () => example(card.dataset));
addEventListener("paste", (event) => (content.files.length ? styles : content).add([...event.clipboardData.files]));
for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.target.type === "file" || event.preventDefault());
changed();
refresh();
