// Choosing files: dropped or picked, sent at once, shown with a preview; and painting on one what stays.

import { send, upload } from "./api.js";

export function about(file) {
  const seconds = file.duration_s, channels = { 1: "mono", 2: "stereo" }[file.channels] || `${file.channels} channels`;
  const lasts = seconds < 0.1 ? `${Math.round(1000 * seconds)} ms` : `${seconds?.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (file.medium === "audio") return `${lasts} · ${file.sample_rate / 1000} kHz · ${channels}`;
  return `${file.width} × ${file.height} pixels${seconds ? ` · ${lasts}` : ""}`;
}

export class Chooser {
  // root: the chooser's element; most: how many files it holds; onmore: takes what is too many.
  constructor(root, { most, limits, onchange, onerror, onmore }) {
    this.list = root.querySelector(".chosen");
    this.input = root.querySelector("input"); // lies over the whole zone: files can be dropped on it
    Object.assign(this, { most, limits, onchange, onerror, onmore, files: [], sending: 0 });
    this.input.addEventListener("change", () => {
      this.add([...this.input.files]);
      this.input.value = "";
    });
  }

  // The weights of several styles, as a recipe has them.
  get blend() {
    return this.files.length > 1 ? [...this.list.querySelectorAll("[data-weight]")].map((input) => input.value || "1").join(",") : "";
  }

  async add(given) {
    this.onerror("");
    if (!given.length) return;
    const room = this.most === 1 ? 1 : this.most - this.files.length - this.sending;
    const mine = given.slice(0, room), rest = given.slice(room);
    if (this.most === 1) this.clear();
    if (rest.length && this.onmore) this.onmore(rest);
    else if (rest.length) this.onerror(`At most ${this.most} styles can be mixed.`);
    await Promise.all(mine.map((file) => this.take(file)));
  }

  async take(file) {
    if (file.size > this.limits.upload_mb * 1e6) {
      this.onerror(`${file.name} is larger than ${this.limits.upload_mb} MB, the most that this server takes (--max-upload-mb).`);
      return;
    }
    const row = make("li", { class: "sending" }, file.name, make("progress", { "aria-label": `Sending ${file.name}` }));
    this.list.append(row);
    this.sending += 1;
    this.onchange();
    try {
      this.put(await upload(file), row);
    } catch (error) {
      this.onerror(error.message);
    } finally {
      row.remove();
      this.sending -= 1;
      this.onchange();
    }
  }

  // Shows a file that the server has.
  put(file, before = null, weight = "1") {
    const row = make("li", { class: file.medium }), at = `files/uploads/${file.id}`;
    const remove = () => {
      this.files = this.files.filter((other) => other !== file);
      row.remove();
      send(`api/uploads/${file.id}`, undefined, "DELETE").catch(() => {});
      this.onchange();
      this.input.focus();
    };
    row.append(
      make("img", { src: `${at}/preview.png`, alt: file.medium === "audio" ? "Its spectrogram" : "Its preview" }),
      make("div", {}, make("span", { class: "name", title: file.name }, file.name), make("span", { class: "hint" }, about(file))),
      make("button", { type: "button", class: "quiet", "aria-label": `Take ${file.name} out`, onclick: remove }, "×"),
      this.most > 1 && make("label", { class: "weight" }, "weight ", make("input", { "data-weight": true, value: weight, inputmode: "decimal", "aria-label": `Weight of ${file.name}` })) || "");
    if (file.medium === "audio") row.append(make("audio", { controls: true, preload: "none", src: `${at}/listen.wav`, "aria-label": file.name }));
    this.list.insertBefore(row, before);
    this.files.push(file);
  }

  clear() {
    this.files = [];
    this.list.replaceChildren();
  }
}

// A mask on the content, white where it is stylized and black where it stays.
export class Painter {
  constructor(dialog, { onchange, onerror }) {
    const [image, canvas, brush] = ["img", "canvas", "input"].map((tag) => dialog.querySelector(tag));
    Object.assign(this, { dialog, image, canvas, mask: null, of: null });
    const context = canvas.getContext("2d");
    let ink = "keep", last = null;
    const stroke = (event) => {
      const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
      const point = [(event.clientX - box.left) * scale, (event.clientY - box.top) * canvas.height / box.height];
      context.globalCompositeOperation = ink === "keep" ? "source-over" : "destination-out";
      Object.assign(context, { lineCap: "round", lineJoin: "round", lineWidth: brush.value * scale, strokeStyle: "#000" });
      context.beginPath();
      context.moveTo(...(last || point));
      context.lineTo(...point);
      context.stroke();
      last = point;
    };
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); last = null; stroke(event); });
    canvas.addEventListener("pointermove", (event) => event.buttons && stroke(event));
    for (const button of dialog.querySelectorAll("[data-ink]")) {
      button.addEventListener("click", () => {
        ink = button.dataset.ink;
        for (const other of dialog.querySelectorAll("[data-ink]")) other.setAttribute("aria-pressed", String(other === button));
      });
    }
    dialog.querySelector("[data-do=clear]").addEventListener("click", () => context.clearRect(0, 0, canvas.width, canvas.height));
    dialog.querySelector("[data-do=done]").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", async () => {
      this.mask = null;
      const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
      if (pixels.some((value, i) => i % 4 === 3 && value)) {
        context.globalCompositeOperation = "destination-over"; // white under what was painted
        const paper = make("canvas", { width: canvas.width, height: canvas.height }), on = paper.getContext("2d");
        on.fillStyle = "#fff";
        on.fillRect(0, 0, paper.width, paper.height);
        on.drawImage(canvas, 0, 0);
        const file = await new Promise((resolve) => paper.toBlob((blob) => resolve(new File([blob], "mask.png")), "image/png"));
        await upload(file).then((taken) => { this.mask = taken; }, (error) => onerror(error.message));
      }
      onchange();
    });
  }

  // Forgets what was painted on another content.
  for(content) {
    if (content?.id === this.of) return;
    this.of = content?.id;
    this.mask = null;
    if (content) this.image.src = `files/uploads/${content.id}/preview.png`;
    this.canvas.width = 0;
  }

  async open() {
    await this.image.decode();
    if (!this.canvas.width) Object.assign(this.canvas, { width: this.image.naturalWidth, height: this.image.naturalHeight });
    this.dialog.showModal();
  }
}
