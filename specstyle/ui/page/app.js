// The page as a whole: the form, the list of jobs, and asking again how they go.

import { ask, el, send, sentence } from "/api.js";
import { Chooser } from "/chooser.js";
import { JobView, STATES, titleOf } from "/jobview.js";

const BUSY_MS = 500, IDLE_MS = 2500;
const $ = (id) => document.getElementById(id);
const options = await ask("/api/options").catch((error) => fail(error.message));

function fail(text) {
  const box = $("server-error");
  box.textContent = text;
  box.hidden = !text;
}

function complain(text) {
  $("form-error").textContent = text;
  $("form-error").hidden = !text;
}

// -- the form ---------------------------------------------------------------------------------------------

const styles = new Chooser($("style-chooser"), {
  most: options.styles, limits: options, onchange: changed, onerror: complain });
const content = new Chooser($("content-chooser"), {
  most: 1, limits: options, onchange: changed, onerror: complain, onmore: (files) => styles.add(files) });
let offered = "";

function changed() {
  const files = [...content.files, ...styles.files];
  const media = new Set(files.map((file) => file.medium));
  const mixed = media.size > 1;
  if (mixed) complain("A sound and a picture cannot be mixed. Choose two sounds or two pictures.");
  else if ($("form-error").textContent.startsWith("A sound and a picture")) complain("");
  const medium = mixed ? "" : [...media][0] || "";
  offer(medium);
  $("size-field").hidden = medium === "audio";
  $("duration-field").hidden = medium === "image";
  $("start").disabled = mixed || content.busy || styles.busy || !content.files.length || !styles.files.length;
}

function offer(medium) {
  if (medium === offered && $("recipe").options.length) return;
  offered = medium;
  const before = $("recipe").value || "default";
  const recipes = medium ? options.recipes[medium] : options.recipes.audio.filter((r) => r.name === "default");
  $("recipe").replaceChildren(...recipes.map((r) =>
    el("option", { value: r.name }, r.name)));
  $("recipe").value = recipes.some((r) => r.name === before) ? before : "default";
  describeRecipe();
}

function describeRecipe() {
  const found = options.recipes[offered || "audio"].find((r) => r.name === $("recipe").value);
  $("recipe-source").textContent = found ? sentence(found.source) : "";
}

function describeStrength() {
  const value = Number($("strength").value);
  $("strength-value").textContent = value.toFixed(2);
  $("strength-meaning").textContent =
    value === 0 ? "The content, unchanged." :
    value < 0.5 ? "Nearer to the content than the default." :
    value === 0.5 ? "The default." :
    value < 1 ? "Nearer to the style than the default." : "Pure style: the content counts no more.";
}

function given(id) {
  const input = $(id);
  if (input.validity.badInput) throw new Error(`${input.labels[0].textContent}: this is no number.`);
  return input.value === "" ? null : Number(input.value);
}

async function start(event) {
  event.preventDefault();
  complain("");
  try {
    const medium = content.files[0].medium;
    const settings = { recipe: $("recipe").value, strength: Number($("strength").value), steps: given("steps"), seed: given("seed") };
    if (medium === "image") settings.size = given("size");
    else settings.duration_s = given("duration");
    $("start").disabled = true;
    const job = await send("/api/jobs", { content: content.files[0].id, styles: styles.files.map((file) => file.id), settings });
    choose(job.id);
    $("jobs-title").scrollIntoView({ block: matchMedia("(max-width: 60rem)").matches ? "start" : "nearest" });
  } catch (error) {
    complain(error.message);
  }
  changed();
}

// -- the jobs ---------------------------------------------------------------------------------------------

let chosen = null, timer = 0, round = 0, lost = false;
const rows = new Map();
const view = new JobView($("job"), { onchange: refresh, onerror: fail });

function choose(id) {
  chosen = id;
  fail("");
  refresh();
}

// Rows are changed in place, so that a click or the focus is not lost between two answers.
function list(jobs) {
  for (const [id, row] of rows) {
    if (!jobs.some((job) => job.id === id)) {
      row.item.remove();
      rows.delete(id);
    }
  }
  jobs.forEach((job, i) => {
    if (!rows.has(job.id)) rows.set(job.id, newRow(job));
    const row = rows.get(job.id);
    if ($("jobs").children[i] !== row.item) $("jobs").insertBefore(row.item, $("jobs").children[i] || null);
    const doing = job.state === "running" && job.step ? ` ${job.step} / ${job.steps}` : "";
    const place = job.position ? ` · ${job.position === 1 ? "next" : `number ${job.position}`}` : "";
    write(row.hint, `${job.medium === "audio" ? "sound" : "picture"}${doing}${place}`);
    write(row.state, STATES[job.state]);
    row.state.className = `state ${job.state}`;
    if (job.id === chosen) row.button.setAttribute("aria-current", "true");
    else row.button.removeAttribute("aria-current");
  });
  $("no-jobs").hidden = jobs.length > 0;
}

function newRow(job) {
  const state = el("span", { class: "state" }), hint = el("span", { class: "hint" });
  const button = el("button", { type: "button", onclick: () => choose(job.id) },
    state, el("span", { class: "name", title: titleOf(job) }, titleOf(job)), hint);
  return { item: el("li", {}, button), button, state, hint };
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

async function refresh() {
  clearTimeout(timer);
  const mine = (round += 1);
  let busy = false;
  try {
    const jobs = await ask("/api/jobs");
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

if (options) {
  for (const [id, name] of [["steps", "steps"], ["size", "size"], ["duration", "duration_s"], ["seed", "seed"]]) {
    [$(id).min, $(id).max] = options.bounds[name];
  }
  $("new").noValidate = true; // the server's words are plainer than the browser's
  $("new").addEventListener("submit", start);
  $("strength").addEventListener("input", describeStrength);
  $("recipe").addEventListener("change", describeRecipe);
  for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
  describeStrength();
  changed();
  refresh();
}
