import { Classifier, decodeImage, readPixels } from "./classifier.mjs";

const classifier = await Classifier.load(new URL("./", import.meta.url));
const bitmap = await decodeImage(file); // fails for what is no image
const pixels = readPixels(bitmap, bitmap.width, bitmap.height);
const { scores, unsure } = await classifier.classify(pixels);
