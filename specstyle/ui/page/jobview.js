// One job: how it goes while it runs, and what came of it.

import { ask, el, send, sentence, span } from "/api.js";
import { about } from "/chooser.js";
import { Curves } from "/curves.js";

export const STATES = {
  waiting: "Waiting",
  running: "Running",
  finishing: "Making the result",
  stopped: "Stopped",
  finished: "Finished",
  failed: "Failed",
};

const ENDED = ["stopped", "finished", "failed"];

export function titleOf(job) {
  return `${job.content} in the style of ${job.styles.join(", ")}`;
}

// Gives an element the width at which a picture of the content's shape fits on the screen.
function shaped(job, element, ...children) {
  element.append(...children);
  element.classList.add("shaped");
  const { width, height } = job.files[0];
  if (job.medium === "image") element.style.width = `${Math.max(30 * (width / height), 12)}rem`;
  return element;
}

export class JobView {
  constructor(root, { onchange, onerror }) {
    Object.assign(this, { root, onchange, onerror });
    this.id = this.job = null;
    this.built = "";
    addEventListener("resize", () => this.job && this.curves?.draw(this.job.losses, this.job.steps));
  }

  // The job as the list has it; what has ended is not asked for again.
  async show(id, { state, number } = {}) {
    if (id !== this.id) this.built = "";
    else if (ENDED.includes(state) && state === this.job?.state && number === this.job.number) return;
    this.id = id;
    if (id === null) this.job = null;
    this.root.hidden = id === null;
    if (id === null) document.title = "specstyle";
    if (id === null) return;
    const job = await ask(`/api/jobs/${id}`);
    if (id !== this.id) return;
    const key = `${job.id} ${job.number} ${job.state} ${job.has_result}`;
    if (key !== this.built) {
      // For who does not see it: the state of the same job has changed.
      if (this.job?.id === id) document.getElementById("announced").textContent = `${titleOf(job)}: ${STATES[job.state]}`;
      this.build(job);
    }
    this.built = key;
    this.job = job;
    this.update(job);
  }

  // Made anew only when the state changes, so that a player keeps playing.
  build(job) {
    this.curves = new Curves();
    this.bar = el("progress", { max: 1, "aria-label": "Progress" });
    this.told = el("p", { class: "told" });
    const alt = job.medium === "audio" ? "The current spectrogram" : "The current picture";
    this.live = shaped(job, el("img", { class: `live ${job.medium}`, alt, hidden: true }));
    this.liveAt = null;
    this.notes = el("ul", {});
    this.more = el("details", {}, el("summary", {}, "Notes"), this.notes);
    const runs = ["running", "finishing"].includes(job.state);
    const ended = job.has_result && ENDED.includes(job.state);
    const said = job.said && el("p", { class: job.state === "failed" ? "error" : "said" }, sentence(job.said));
    const progress = runs && el("div", {}, this.bar, this.told);
    const parts = [this.heading(job), said, progress, ended && this.result(job)];
    parts.push(runs ? el("div", { class: `watch ${job.medium}` }, this.live, this.curves.root) : this.curves.root);
    parts.push(!runs && !ended && this.inputs(job), this.more);
    this.root.replaceChildren(...parts.filter(Boolean));
  }

  heading(job) {
    const button = (text, act, cls = "") => el("button", { type: "button", class: cls, onclick: act }, text);
    this.stop = job.state === "running" && button("Stop", () => this.change(() => send(`/api/jobs/${job.id}/stop`)));
    const act = (what) => () => this.change(() => send(`/api/jobs/${job.id}/${what}`));
    const remove = () => confirm("Remove this job and its result?") &&
      this.change(() => send(`/api/jobs/${job.id}`, undefined, "DELETE"));
    const buttons = [
      job.state === "waiting" && button("Take out of the queue", act("stop")),
      this.stop,
      job.state === "stopped" && button("Go on", act("go-on"), "primary"),
      ["waiting", "stopped", "finished", "failed"].includes(job.state) && button("Remove", remove),
    ];
    const { recipe, strength, steps, size, duration_s: seconds, seed } = job.settings;
    const chosen = [`recipe ${recipe}`, `strength ${strength}`, steps && `${steps} steps`, size && `${size} pixels`,
      seconds && `${seconds} s`, seed && `seed ${seed}`].filter(Boolean).join(" · ");
    return el("div", { class: "heading" },
      el("div", {}, el("h2", {}, job.content, el("span", { class: "in" }, " in the style of "), job.styles.join(", ")),
        el("p", { class: "hint" }, el("span", { class: `state ${job.state}` }, STATES[job.state]), ` ${chosen}`)),
      el("div", { class: "buttons" }, buttons));
  }

  async change(act) {
    this.onerror("");
    try {
      await act();
    } catch (error) {
      this.onerror(error.message);
    }
    this.onchange();
  }

  update(job) {
    this.curves.draw(job.losses, job.steps);
    this.notes.replaceChildren(...job.notes.map((note) => el("li", {}, sentence(note))));
    this.more.hidden = !job.notes.length;
    if (job.step) this.bar.value = job.step / job.steps;
    const scale = job.scales > 1 ? ` (size ${job.scale} of ${job.scales})` : "";
    const left = job.seconds_left == null || job.state !== "running" ? ""
      : `, ${job.scale < job.scales ? "at least" : "about"} ${span(job.seconds_left)} left`; // larger sizes take longer
    const doing = job.state === "running" && job.step ? `${Math.round((100 * job.step) / job.steps)} %` : STATES[job.state];
    document.title = `${doing} · ${job.content} · specstyle`;
    if (this.stop) this.stop.disabled = Boolean(job.stopping);
    if (job.stopping) this.told.textContent = "Stopping after this step …";
    else if (job.state === "finishing") this.told.textContent = "Making the result …";
    else this.told.textContent = job.step ? `Step ${job.step} of ${job.steps}${scale}${left}` : "Reading the files …";
    if (job.picture != null && job.picture !== this.liveAt) {
      this.liveAt = job.picture;
      this.live.src = `/files/jobs/${job.id}/live.png?step=${job.picture}`;
      this.live.hidden = false;
    }
  }

  result(job) {
    const at = `/files/jobs/${job.id}`;
    const name = job.medium === "audio" ? "result.wav" : "result.png";
    const link = (file, text, cls) => el("a", { href: `${at}/${file}`, download: true, class: cls }, text);
    return el("div", { class: "result" },
      job.medium === "image" && this.compare(job, at),
      job.medium === "audio" && this.player("Result", `${at}/listen.wav`, "main-player"),
      el("p", { class: "downloads" },
        link(name, job.medium === "audio" ? "Download the sound" : "Download the picture", "button primary"),
        link("record.json", "Record (JSON)", "button"), link("recipe.toml", "Recipe (TOML)", "button"),
        link("report.html", "Report (HTML)", "button")),
      job.medium === "audio" && job.has_figure &&
        el("img", { class: "figure", src: `${at}/figure.png?of=${Date.now()}`, alt: "Spectrograms of content, style and result" }),
      this.inputs(job, { pictures: job.medium === "image" || !job.has_figure }));
  }

  player(text, src, cls = "") {
    return el("div", { class: `player ${cls}` }, el("span", {}, text),
      el("audio", { controls: true, preload: "metadata", src, "aria-label": text }));
  }

  // The content and the result on top of each other, with a handle between them.
  compare(job, at) {
    const above = el("img", { src: `${at}/content.preview.png`, alt: "The content", class: "above" });
    const line = el("div", { class: "line" });
    const move = (value) => {
      above.style.clipPath = `inset(0 ${100 - value}% 0 0)`;
      line.style.left = `${value}%`;
    };
    const range = el("input", { type: "range", min: 0, max: 100, value: 25, class: "slide",
      "aria-label": "How much of the content is shown over the result", oninput: (event) => move(event.target.value) });
    move(25);
    const result = el("img", { src: `${at}/preview.png?of=${Date.now()}`, alt: "The result" });
    return shaped(job, el("div", {}), el("div", { class: "compare" }, result, above, line, range),
      el("div", { class: "ends" }, el("span", {}, "← content"), el("span", {}, "result →")));
  }

  inputs(job, { pictures = true } = {}) {
    const at = `/files/jobs/${job.id}`;
    const role = (i) => (i === 0 ? "Content" : job.files.length > 2 ? `Style ${i}` : "Style");
    return el("div", { class: "inputs" }, job.files.map((file, i) =>
      el("figure", {},
        pictures && el("img", { src: `${at}/${file.stem}.preview.png`, alt: "", class: job.medium }),
        el("figcaption", {}, el("b", {}, role(i)), ` ${file.name}`, el("span", { class: "hint" }, about(file))),
        job.medium === "audio" && el("audio", { controls: true, preload: "metadata",
          src: `${at}/${file.stem}.listen.wav`, "aria-label": `${role(i)}: ${file.name}` }))));
  }
}
