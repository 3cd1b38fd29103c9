// Choosing files: dropped or picked, sent at once, shown with a preview.

import { el, upload } from "/api.js";

export function about(file) {
  if (file.medium === "image") return `${file.width} × ${file.height} pixels`;
  const channels = file.channels === 1 ? "mono" : file.channels === 2 ? "stereo" : `${file.channels} channels`;
  const lasts = file.seconds < 0.1 ? `${Math.round(1000 * file.seconds)} ms` : `${file.seconds.toFixed(file.seconds < 10 ? 1 : 0)} s`;
  return `${lasts} · ${file.sample_rate / 1000} kHz · ${channels}`;
}

export class Chooser {
  // root: the chooser's element; most: how many files it holds; others: the other chooser's files.
  constructor(root, { most, limits, onchange, onerror, onmore }) {
    this.list = root.querySelector(".chosen");
    this.drop = root.querySelector(".drop");
    this.input = root.querySelector("input");
    Object.assign(this, { most, limits, onchange, onerror, onmore });
    this.files = [];
    this.sending = 0;
    this.input.addEventListener("change", () => {
      this.add([...this.input.files]);
      this.input.value = "";
    });
    root.addEventListener("dragover", (event) => {
      event.preventDefault();
      this.drop.classList.add("over");
    });
    root.addEventListener("dragleave", (event) => {
      if (!root.contains(event.relatedTarget)) this.drop.classList.remove("over");
    });
    root.addEventListener("drop", (event) => {
      event.preventDefault();
      this.drop.classList.remove("over");
      this.add([...event.dataTransfer.files]);
    });
  }

  get busy() {
    return this.sending > 0;
  }

  async add(given) {
    this.onerror("");
    if (!given.length) return;
    const room = this.most === 1 ? 1 : this.most - this.files.length - this.sending;
    const mine = given.slice(0, room);
    const rest = given.slice(room);
    if (this.most === 1) this.clear();
    if (rest.length && this.onmore) this.onmore(rest);
    else if (rest.length) this.onerror(`At most ${this.most} styles can be mixed.`);
    await Promise.all(mine.map((file) => this.take(file)));
  }

  async take(file) {
    if (file.size > this.limits.upload_bytes) {
      this.onerror(`${file.name} is larger than ${this.limits.upload_mb} MB, the most that this server takes.`);
      return;
    }
    const bar = el("progress", { max: 1, value: 0, "aria-label": `Sending ${file.name}` });
    const row = el("li", { class: "sending" }, el("span", { class: "name" }, file.name), bar);
    this.list.append(row);
    this.sending += 1;
    this.onchange();
    try {
      const taken = await upload(file, (share) => (share < 1 ? (bar.value = share) : bar.removeAttribute("value")));
      row.replaceWith(this.shown(taken));
      this.files.push(taken);
    } catch (error) {
      row.remove();
      this.onerror(error.message);
    } finally {
      this.sending -= 1;
      this.onchange();
    }
  }

  shown(file) {
    const at = `/files/uploads/${file.id}`;
    const row = el("li", { class: file.medium });
    const remove = () => {
      this.files = this.files.filter((other) => other.id !== file.id);
      row.remove();
      this.onchange();
      this.input.focus();
    };
    row.append(
      el("img", { src: `${at}/preview.png`, alt: file.medium === "audio" ? "Its spectrogram" : "Its preview" }),
      el("div", {}, el("span", { class: "name", title: file.name }, file.name), el("span", { class: "hint" }, about(file))),
      el("button", { type: "button", class: "quiet", "aria-label": `Take ${file.name} out`, onclick: remove }, "×"),
    );
    if (file.medium === "audio") {
      row.append(el("audio", { controls: true, preload: "metadata", src: `${at}/listen.wav`, "aria-label": file.name }));
    }
    return row;
  }

  clear() {
    this.files = [];
    this.list.replaceChildren();
  }
}
