// One job: how it goes while it runs, and what came of it.

import { ask, send, sentence, span } from "./api.js";
import { about } from "./chooser.js";

export const STATES = {
  waiting: "Waiting", running: "Running", finishing: "Making the result", stopped: "Stopped", finished: "Finished", failed: "Failed",
};
export const ENDED = ["stopped", "finished", "failed"];

export function titleOf(job) {
  return job.kind === "texture" ? `A texture of ${job.styles.join(", ")}` : `${job.content} in the style of ${job.styles.join(", ")}`;
}

// What the page calls a setting.
export const label = (name) => name.replace(/_s$/, "").replace(/_/g, " ");

// What was chosen, in a few words.
export function chosenOf({ settings, kind }) {
  const { recipe, once, vary, values, ...rest } = settings;
  const said = kind === "once" ? ["at once"] : kind === "sweep" ? [`${label(vary)} ${values}`] : [];
  if (once && Object.keys(once).length > 1) said.push(Object.entries(once).map(([name, weight]) => `${name} ${weight}`).join(" + "));
  if (recipe && recipe !== "default") said.push(`recipe ${recipe}`);
  return [...said, ...Object.entries(rest).map(([name, value]) => `${label(name)} ${value}`)].join(" · ");
}

export class JobView {
  constructor(root, { onchange, onerror, onagain, oncontent }) {
    Object.assign(this, { root, onchange, onerror, onagain, oncontent });
    this.id = this.job = null;
    this.built = "";
  }

  // The job as the list has it; what has ended is not asked for again.
  async show(id, { state, number } = {}) {
    if (id !== this.id) this.built = "";
    else if (ENDED.includes(state) && state === this.job?.state && number === this.job.number) return;
    this.id = id;
    this.root.hidden = id === null;
    if (id === null) {
      this.job = null;
      document.title = "specstyle";
      return;
    }
    const job = await ask(`api/jobs/${id}`);
    if (id !== this.id) return;
    const key = `${job.id} ${job.number} ${job.state} ${Object.keys(job.results)}`;
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
    this.at = `files/jobs/${job.id}`;
    this.bar = make("progress", { max: 1, "aria-label": "Progress" });
    this.told = make("p", { class: "told" });
    this.live = make("img", { class: `live ${job.medium}`, alt: job.medium === "audio" ? "The current spectrogram" : "The current picture", hidden: true });
    this.liveAt = null;
    this.notes = make("ul", {});
    this.more = make("details", {}, make("summary", {}, "Notes"), this.notes);
    this.curves = make("details", {}, make("summary", {}, "Losses"));
    this.draw = showLosses(this.curves);
    const runs = ["running", "finishing"].includes(job.state), there = Object.keys(job.results).length > 0;
    const player = make("div", { class: "player" });
    this.root.replaceChildren(...[
      this.heading(job),
      job.said && make("p", { class: job.state === "failed" ? "error" : "said" }, sentence(job.said)),
      runs && make("div", {}, this.bar, this.told, this.live),
      ...(there ? this.results(job) : []), player, this.curves, this.more,
    ].filter(Boolean));
    // What is heard while a job runs is what it was made of.
    if (job.medium === "film") player.append(...this.films(job, there));
    else if (there || !runs) showMedia(player, job.medium, this.panels(job));
  }

  heading(job) {
    const button = (text, act, cls = "") => make("button", { type: "button", class: cls, onclick: act }, text);
    const act = (what) => () => this.change(() => send(`api/jobs/${job.id}/${what}`));
    const remove = () => confirm("Remove this job and its result?") &&
      this.change(() => send(`api/jobs/${job.id}`, undefined, "DELETE"));
    this.stop = job.state === "running" && button("Stop", act("stop"));
    const buttons = [
      job.state === "waiting" && button("Take out of the queue", act("stop")),
      this.stop,
      job.state === "stopped" && button("Go on", act("go-on"), "primary"),
      button("Again with these settings", () => this.onagain(job)),
      ["waiting", ...ENDED].includes(job.state) && button("Remove", remove),
    ];
    return make("div", { class: "heading" },
      make("div", {}, make("h2", {}, titleOf(job)),
        make("p", { class: "hint" }, make("span", { class: `state ${job.state}` }, STATES[job.state]), ` ${chosenOf(job)}`,
          ENDED.includes(job.state) && job.seconds ? ` · took ${span(job.seconds)}` : "")),
      make("div", { class: "buttons" }, buttons));
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
    if (job.losses.length) this.draw(job.losses);
    this.curves.hidden = !job.losses.length;
    this.notes.replaceChildren(...job.notes.map((note) => make("li", {}, sentence(note))));
    this.more.hidden = !job.notes.length;
    const share = job.step ? (job.part + job.step / job.steps) / job.parts.length : 0;
    if (job.step) this.bar.value = share;
    const part = job.parts.length > 1 && job.part !== undefined ? `${job.parts[job.part]}: ` : "";
    const scale = job.scales > 1 ? ` (size ${job.scale} of ${job.scales})` : "";
    const left = job.seconds_left == null || job.state !== "running" ? ""
      : `, ${job.scale < job.scales || job.parts.length > 1 ? "at least" : "about"} ${span(job.seconds_left)} left`; // larger sizes take longer
    document.title = `${job.state === "running" && share ? `${Math.round(100 * share)} %` : STATES[job.state]} · ${job.content} · specstyle`;
    if (this.stop && job.stopping) this.stop.textContent = "End at once";
    if (job.stopping) this.told.textContent = "Stopping after this step …";
    else if (job.state === "finishing") this.told.textContent = `${part}Making the result …`;
    else this.told.textContent = job.step ? `${part}Step ${job.step} of ${job.steps}${scale}${left}` : "Reading the files …";
    if (job.picture != null && job.picture !== this.liveAt) {
      this.liveAt = job.picture;
      this.live.src = `${this.at}/live.png?step=${job.picture}`;
      this.live.hidden = false;
    }
  }

  // What can be done with each result.
  results(job) {
    const [suffix, what] = { audio: ["wav", "sound"], image: ["png", "picture"], film: ["mp4", "film"] }[job.medium];
    const optimized = job.kind !== "once" && job.kind !== "film";
    return Object.keys(job.results).map((place) => {
      const link = (file, text, cls = "button") => make("a", { href: `${this.at}/${file}`, download: true, class: cls }, text);
      const made = `result-${place}.${suffix}`;
      return make("p", { class: "downloads" }, job.parts.length > 1 && make("b", {}, job.parts[place]),
        link(made, `Download the ${what}`, "button primary"),
        make("button", { type: "button", onclick: () => this.oncontent(job, made) }, "Take as content"),
        link(`record-${place}.json`, "Record"), optimized && link(`recipe-${place}.toml`, "Recipe"),
        optimized && link(`report-${place}.html`, "Report"));
    });
  }

  // A film and what became of it, side by side.
  films(job, there) {
    const shown = [["content", "content"], ...(there ? [["result", "result-0.mp4"]] : [])].map(([title, file]) =>
      make("article", { class: "panel" }, make("h3", {}, title), make("video", { controls: true, loop: true, preload: "metadata", src: `${this.at}/${file}`, "aria-label": title })));
    const both = () => shown.forEach((panel, i) => {
      const video = panel.lastChild;
      Object.assign(video, { currentTime: 0, muted: i + 1 < shown.length }); // the result is heard
      video.play();
    });
    return [make("button", { type: "button", onclick: both }, there ? "▶ Play both from the start" : "▶ Play"), make("div", { class: "panels" }, shown)];
  }

  // Content, styles and results as the player has them.
  panels(job) {
    const several = job.files.filter((file) => file.stem.startsWith("style")).length > 1, stamp = `?of=${job.number}${job.state}`;
    const panel = (stem, title, file, rest) => ({
      title, text: `${file.name || ""} ${about({ medium: job.medium, ...file })}`, image: `${this.at}/${stem}.preview.png${stamp}`,
      audio: `${this.at}/${stem}.listen.wav${stamp}`, ...file, ...rest });
    const found = job.files.filter((file) => file.stem !== "mask").map((file) => {
      const cut = file.stem === "content" && job.view.duration_s; // the part of it that was taken
      return panel(cut ? "view" : file.stem, several ? file.stem.replace("-", " ") : file.stem.replace(/-.*/, ""), cut ? { ...file, ...job.view } : file);
    });
    const picture = job.medium === "image" && Object.keys(job.results).length;
    if (picture && found[0].title === "content") found[0].image = `${this.at}/view.png${stamp}`;
    for (const [place, file] of Object.entries(job.results)) {
      found.push(panel(`result-${place}`, job.parts[place], file, { first: Number(place) === job.parts.length >> 1,
        ...(picture && { thumbnail: `${this.at}/result-${place}.preview.png${stamp}`, image: `${this.at}/shown-${place}.png${stamp}` }) }));
    }
    return found;
  }
}
