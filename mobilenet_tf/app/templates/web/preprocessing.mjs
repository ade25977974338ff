// Pixels of any size to the bytes that the model takes: upright, RGB, cropped, padded or stretched,
// then resized by an antialiased bilinear filter in 22-bit fixed point, as Pillow resizes.
// Imports nothing and touches no page: it runs in a browser, a worker and Node.

const BITS = 22;
const GREY = 128;

/**
 * Return height * width * 3 bytes, red first.
 *
 * rgba: four bytes a pixel, rows from the top; alpha is ignored. size: {width, height} of the model.
 * rule: "crop" (the largest centred part), "pad" (the whole between bars of grey) or "stretch".
 * orientation: EXIF's, 1 to 8; 1 where the pixels are already upright.
 */
export function preprocess(rgba, width, height, size, rule, orientation = 1) {
  if (!(width > 0 && height > 0) || rgba.length < 4 * width * height) {
    throw new RangeError(`${rgba.length} bytes are not ${width} x ${height} RGBA pixels`);
  }
  const turned = orientation >= 5;
  const columns = turned ? height : width;
  const rows = turned ? width : height;
  const place = placeImage(columns, rows, size, rule);
  const across = filterWeights(place.sourceWidth, place.width);
  const down = filterWeights(place.sourceHeight, place.height);
  const walk = walkUpright(width, height, orientation);
  const bytes = new Uint8Array(3 * size.width * size.height).fill(GREY);
  const target = { bytes, at: 3 * (place.y * size.width + place.x), row: 3 * size.width };
  const pixels = new Uint8Array(rgba.buffer, rgba.byteOffset, rgba.length); // one type for all loops
  const source = { bytes: pixels, at: 4 * walk.start, column: 4 * walk.column, row: 4 * walk.row };
  source.at += place.top * source.row + place.left * source.column;
  const { sourceWidth, sourceHeight } = place;
  if (sourceHeight > place.height && sourceHeight - place.height > 2 * (sourceWidth - place.width)) {
    const band = makeBand(sourceWidth, place.height);
    resizeColumns(source, band, down, sourceWidth);
    resizeRows(band, target, across, place.height);
  } else {
    const band = makeBand(place.width, sourceHeight);
    resizeRows(source, band, across, sourceHeight);
    resizeColumns(band, target, down, place.width);
  }
  return bytes;
}

/** Return which part of an upright image goes where in the model's input. */
export function placeImage(columns, rows, size, rule) {
  let [sourceWidth, sourceHeight, width, height] = [columns, rows, size.width, size.height];
  if (rule === "crop") {
    const scale = Math.min(columns / size.width, rows / size.height);
    sourceWidth = clip(size.width * scale, columns);
    sourceHeight = clip(size.height * scale, rows);
  } else if (rule === "pad") {
    const scale = Math.min(size.width / columns, size.height / rows);
    width = clip(columns * scale, size.width);
    height = clip(rows * scale, size.height);
  } else if (rule !== "stretch") {
    throw new RangeError(`unknown rule ${rule}; use crop, pad or stretch`);
  }
  return {
    left: (columns - sourceWidth) >> 1,
    top: (rows - sourceHeight) >> 1,
    sourceWidth,
    sourceHeight,
    x: (size.width - width) >> 1,
    y: (size.height - height) >> 1,
    width,
    height,
  };
}

function clip(length, most) {
  return Math.min(most, Math.max(1, roundHalfEven(length)));
}

function roundHalfEven(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

// Where upright pixel (0, 0) lies, and how far the next column and row are, in pixels.
function walkUpright(width, height, orientation) {
  const mirroredX = [2, 3, 7, 8].includes(orientation);
  const mirroredY = [3, 4, 6, 7].includes(orientation);
  const start = (mirroredX ? width - 1 : 0) + (mirroredY ? (height - 1) * width : 0);
  const x = mirroredX ? -1 : 1;
  const y = mirroredY ? -width : width;
  return orientation >= 5 ? { start, column: y, row: x } : { start, column: x, row: y };
}

// For each target pixel: the first source pixel, how many, and their weights in fixed point.
function filterWeights(source, target) {
  const scale = source / target;
  const support = Math.max(scale, 1);
  const most = 2 * Math.ceil(support) + 1;
  const first = new Int32Array(target);
  const count = new Int32Array(target);
  const weights = new Int32Array(most * target);
  const exact = new Float64Array(most);
  for (let i = 0; i < target; i++) {
    const centre = (i + 0.5) * scale;
    first[i] = Math.max(0, Math.trunc(centre - support + 0.5));
    count[i] = Math.min(source, Math.trunc(centre + support + 0.5)) - first[i];
    let sum = 0;
    for (let j = 0; j < count[i]; j++) {
      exact[j] = Math.max(0, 1 - Math.abs((j + first[i] - centre + 0.5) * (1 / support)));
      sum += exact[j];
    }
    for (let j = 0; j < count[i]; j++) {
      weights[most * i + j] = Math.trunc(0.5 + exact[j] / sum * (1 << BITS));
    }
  }
  return { first, count, weights, most };
}

function makeBand(width, height) {
  return { bytes: new Uint8Array(3 * width * height), at: 0, column: 3, row: 3 * width };
}

function resizeRows(source, target, across, rows) {
  for (let y = 0; y < rows; y++) {
    resizeLine(source, source.at + y * source.row, source.column, target.bytes, target.at + y * target.row, 3, across);
  }
}

function resizeColumns(source, target, down, columns) {
  for (let x = 0; x < columns; x++) {
    resizeLine(source, source.at + x * source.column, source.row, target.bytes, target.at + 3 * x, target.row, down);
  }
}

// One row or column: `from` and `step` in the source, `to` and `stride` in the target, in bytes.
function resizeLine(source, from, step, bytes, to, stride, { first, count, weights, most }) {
  const pixels = source.bytes;
  for (let i = 0; i < count.length; i++, to += stride) {
    let red = 1 << (BITS - 1);
    let green = red;
    let blue = red;
    let at = from + first[i] * step;
    const end = most * i + count[i];
    for (let k = most * i; k < end; k++, at += step) {
      const weight = weights[k];
      red = (red + Math.imul(pixels[at], weight)) | 0; // whole numbers of 32 bits throughout
      green = (green + Math.imul(pixels[at + 1], weight)) | 0;
      blue = (blue + Math.imul(pixels[at + 2], weight)) | 0;
    }
    bytes[to] = Math.min(255, red >> BITS);
    bytes[to + 1] = Math.min(255, green >> BITS);
    bytes[to + 2] = Math.min(255, blue >> BITS);
  }
}
