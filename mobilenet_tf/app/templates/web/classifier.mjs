// The model in the browser: pixels in, classes with their probabilities out.

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
import { preprocess } from "./preprocessing.mjs";

let runtime; // one for all models of a page

export class Classifier {
  /** Load model.json and model.tflite from a folder, given by its URL. */
  static async load(folder) {
    const description = await fetchJson(new URL("model.json", folder));
    runtime ??= loadLiteRt(new URL("vendor/litertjs-core/wasm/", folder).href);
    await runtime;
    const model = await loadAndCompile(new URL("model.tflite", folder).href, {
      accelerator: "wasm",
    });
    return new Classifier(description, model);
  }

  constructor(description, model) {
    this.description = description;
    this.model = model;
  }

  /** The bytes that the model takes, of {data, width, height} pixels: RGBA, as a canvas has them. */
  prepare(pixels, orientation = 1) {
    const { input, resize } = this.description;
    return preprocess(pixels.data, pixels.width, pixels.height, input, resize, orientation);
  }

  /** The output as it is in the file: one byte a class. */
  async run(bytes) {
    const { height, width } = this.description.input;
    const input = new Tensor(bytes, [1, height, width, 3]);
    try {
      const [output] = await this.model.run([input]);
      const values = Uint8Array.from(output.toTypedArray());
      output.delete();
      return values;
    } finally {
      input.delete();
    }
  }

  /** Classes in order of their probability, whether it is too low to be trusted, and the time. */
  async classify(pixels, orientation = 1) {
    const start = performance.now();
    const bytes = this.prepare(pixels, orientation);
    const prepared = performance.now();
    const raw = await this.run(bytes);
    const done = performance.now();
    const scores = this.decode(raw);
    const { threshold } = this.description;
    return {
      scores,
      unsure: threshold !== null && scores[0].probability < threshold,
      preprocessingMs: prepared - start,
      inferenceMs: done - prepared,
    };
  }

  decode(raw) {
    const { classes, output } = this.description;
    const values = Array.from(raw, (value) => (value - output.zero_point) * output.scale);
    const probabilities = output.kind === "logits" ? softmax(values) : values;
    return classes
      .map((name, index) => ({ name, index, probability: probabilities[index] }))
      .sort((a, b) => b.probability - a.probability || a.index - b.index);
  }
}

/** The RGBA pixels of a decoded image, canvas or video frame; what is transparent becomes white. */
export function readPixels(source, width, height, canvas = document.createElement("canvas")) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true, alpha: false });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

/** An image file, upright by its EXIF orientation; its colours are taken as they are. */
export async function decodeImage(blob) {
  return createImageBitmap(blob, { imageOrientation: "from-image", colorSpaceConversion: "none" });
}

/** Compare this browser with the machine that made the app, image by image; return the faults. */
export async function runSelfTest(classifier, folder) {
  const expected = await fetchJson(new URL("selftest.json", folder));
  const faults = [];
  for (const image of expected.images) {
    const bitmap = await decodeImage(new Blob([fromBase64(image.png)], { type: "image/png" }));
    const bytes = classifier.prepare(readPixels(bitmap, bitmap.width, bitmap.height));
    bitmap.close();
    const wanted = fromBase64(image.input);
    const wrong = bytes.filter((byte, i) => byte !== wanted[i]).length;
    if (wrong) faults.push(`${image.name}: ${wrong} of ${wanted.length} bytes differ`);
    const output = await classifier.run(wanted);
    const steps = Math.max(...image.output.map((value, i) => Math.abs(value - output[i])));
    if (steps > expected.tolerance) {
      faults.push(`${image.name}: the output is ${steps} steps off, ${expected.tolerance} are allowed`);
    } else if (classifier.decode(output)[0].index !== image.top) {
      faults.push(`${image.name}: another class comes first`);
    }
  }
  return { count: expected.images.length, faults };
}

async function fetchJson(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname}: ${response.status} ${response.statusText}`);
  return response.json();
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function softmax(values) {
  const highest = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - highest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}
