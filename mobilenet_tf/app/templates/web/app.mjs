// The page: camera, files, drop and paste; bars for what the model sees.

import { Classifier, decodeImage, readPixels, runSelfTest } from "./classifier.mjs";

const SHOWN_CLASSES = 5;
const folder = new URL("./", import.meta.url);
const find = (id) => document.getElementById(id);
const view = find("view");
const video = find("video");
const canvas = document.createElement("canvas");
let classifier;
let stream = null;

start().catch((error) => showStatus(`This page cannot run here: ${error.message}`, "bad"));

async function start() {
  find("needs-server").remove();
  classifier = await Classifier.load(folder);
  const { name, examples } = classifier.description;
  document.title = name;
  find("title").textContent = name;
  const test = await runSelfTest(classifier, folder);
  if (test.faults.length) {
    showStatus(`Self-test failed. ${test.faults.join("; ")}.`, "bad");
  } else {
    showStatus(`Self-test passed: ${test.count} images give the same answers as on the computer that made this.`, "good");
  }
  for (const id of ["camera", "pick"]) find(id).disabled = false;
  listen();
  showExamples(examples);
  document.documentElement.dataset.ready = "true";
  if ("serviceWorker" in navigator) await navigator.serviceWorker.register("sw.js").catch(() => {});
}

function listen() {
  find("camera").addEventListener("click", () => (stream ? stopCamera() : startCamera()));
  find("pick").addEventListener("click", () => find("file").click());
  find("file").addEventListener("change", (event) => showFile(event.target.files[0]));
  document.addEventListener("paste", (event) => showFile(event.clipboardData.files[0]));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    view.classList.add("over");
  });
  document.addEventListener("dragleave", () => view.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    view.classList.remove("over");
    showFile(event.dataTransfer.files[0]);
  });
}

async function startCamera() {
  if (!navigator.mediaDevices) {
    return say("The camera needs https, or localhost. Pick an image instead.");
  }
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: "environment", width: { ideal: 640 }, height: { ideal: 480 } },
    });
  } catch (error) {
    const reason = error.name === "NotAllowedError" ? "is not allowed" : "cannot be used";
    return say(`The camera ${reason} (${error.message}). Pick an image instead.`);
  }
  video.srcObject = stream;
  await video.play();
  view.dataset.shows = "video";
  find("camera").textContent = "Stop camera";
  classifyFrames();
}

function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  video.srcObject = null;
  find("camera").textContent = "Start camera";
  if (view.dataset.shows === "video") view.dataset.shows = "nothing";
}

async function classifyFrames() {
  let frames = 0;
  let since = performance.now();
  let speed = "";
  while (stream) {
    await new Promise((resolve) => requestAnimationFrame(resolve));
    if (!video.videoWidth) continue;
    const pixels = readPixels(video, video.videoWidth, video.videoHeight, canvas);
    const result = await classifier.classify(pixels);
    if (!stream) return;
    frames += 1;
    const elapsed = performance.now() - since;
    if (elapsed > 500) {
      speed = `${((1000 * frames) / elapsed).toFixed(0)} images/s`;
      [frames, since] = [0, performance.now()];
    }
    if (frames % 6 === 0) showResult(result, speed);
  }
}

async function showFile(file) {
  if (!file) return;
  stopCamera();
  let bitmap;
  try {
    bitmap = await decodeImage(file);
  } catch {
    return say(`${file.name || "This"} is no image that this browser can read.`);
  }
  const shown = find("image");
  URL.revokeObjectURL(shown.src);
  shown.src = URL.createObjectURL(file);
  shown.alt = file.name || "The pasted image";
  view.dataset.shows = "image";
  const pixels = readPixels(bitmap, bitmap.width, bitmap.height, canvas);
  bitmap.close();
  showResult(await classifier.classify(pixels));
}

function showExamples(examples) {
  find("examples-title").hidden = !examples.length;
  find("examples").replaceChildren(
    ...examples.map(({ file, label, predicted }) => {
      const button = document.createElement("button");
      const image = document.createElement("img");
      const caption = document.createElement("span");
      image.src = new URL(file, folder).href;
      image.alt = "";
      caption.textContent = label === predicted ? label : `${label}, not ${predicted}`;
      button.append(image, caption);
      button.addEventListener("click", async () => {
        const response = await fetch(image.src);
        showFile(new File([await response.blob()], caption.textContent));
        view.scrollIntoView({ behavior: "smooth", block: "nearest" });
      });
      return button;
    }),
  );
}

function showResult({ scores, unsure, preprocessingMs, inferenceMs }, speed = "") {
  const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
  find("answer").textContent = unsure ? `Unsure, perhaps ${scores[0].name}` : scores[0].name;
  find("answer").classList.toggle("unsure", unsure);
  find("bars").replaceChildren(
    ...scores.slice(0, SHOWN_CLASSES).map(({ name, probability }) => {
      const row = document.createElement("li");
      const label = document.createElement("span");
      const share = document.createElement("span");
      const bar = document.createElement("div");
      const filled = document.createElement("div");
      label.textContent = name;
      share.textContent = percent(probability);
      bar.className = "bar";
      filled.style.width = `${100 * probability}%`;
      bar.append(filled);
      row.append(label, share, bar);
      return row;
    }),
  );
  const times = `${preprocessingMs.toFixed(1)} ms preprocessing, ${inferenceMs.toFixed(1)} ms model`;
  find("latency").textContent = speed ? `${times}, ${speed}` : times;
}

function say(text) {
  find("answer").textContent = text;
  find("answer").classList.remove("unsure");
  find("bars").replaceChildren();
  find("latency").textContent = "";
}

function showStatus(text, kind) {
  find("status").textContent = text;
  find("status").dataset.kind = kind;
}
