// Volumes of bytes and the sections through them. Axes are 0 = Z, 1 = Y, 2 = X throughout.
const VIEWS = {
  xy: {down: 1, across: 2, through: 0},
  xz: {down: 0, across: 2, through: 1},
  yz: {down: 0, across: 1, through: 2},
};

// A picture of planes in rows becomes one array, X fastest.
async function decodeVolume(picture, shape) {
  const image = new Image();
  image.src = picture.image;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const [depth, height, width] = shape;
  const volume = new Uint8Array(depth * height * width);
  let to = 0;
  for (let z = 0; z < depth; z++) {
    const left = (z % picture.columns) * width;
    const top = Math.floor(z / picture.columns) * height;
    for (let y = 0; y < height; y++) {
      let from = 4 * ((top + y) * canvas.width + left);
      for (let x = 0; x < width; x++, from += 4) volume[to++] = pixels[from];
    }
  }
  return volume;
}

// One plane, or the largest of all planes, as {bytes, width, height}. `rank` orders bytes.
function section(volume, shape, view, index, projected, rank = (byte) => byte) {
  const {down, across, through} = VIEWS[view];
  const steps = [shape[1] * shape[2], shape[2], 1];
  const [height, width] = [shape[down], shape[across]];
  const bytes = new Uint8Array(width * height);
  const planes = projected ? shape[through] : 1;
  for (let plane = 0; plane < planes; plane++) {
    const base = (projected ? plane : index) * steps[through];
    let to = 0;
    for (let row = 0; row < height; row++) {
      let from = base + row * steps[down];
      for (let column = 0; column < width; column++, from += steps[across], to++) {
        if (plane === 0 || rank(volume[from]) > rank(bytes[to])) bytes[to] = volume[from];
      }
    }
  }
  return {bytes, width, height};
}

// Bytes are square roots between `range[0]` and `range[1]` counts.
function countsOf(byte, range) {
  return range[0] + (range[1] - range[0]) * (byte / 255) ** 2;
}

// A canvas of the section in grey, black at `window[0]` counts and white at `window[1]`.
function greyCanvas({bytes, width, height}, range, window) {
  const grey = new Uint8ClampedArray(256);
  for (let byte = 0; byte < 256; byte++) {
    grey[byte] = 255 * (countsOf(byte, range) - window[0]) / (window[1] - window[0]);
  }
  return painted(width, height, (data) => {
    for (let i = 0; i < bytes.length; i++) {
      data[4 * i] = data[4 * i + 1] = data[4 * i + 2] = grey[bytes[i]];
      data[4 * i + 3] = 255;
    }
  });
}

// Bytes of a difference: 128 is 0 counts, 1 and 255 are `range`.
function differenceOf(byte, range) {
  return range[1] * (byte - 128) / 127;
}

// A canvas of a difference: black where there is none, then blue (less) and orange (more) up to
// `limit` counts.
function differenceCanvas({bytes, width, height}, range, limit) {
  return painted(width, height, (data) => {
    for (let i = 0; i < bytes.length; i++) {
      const share = Math.max(-1, Math.min(differenceOf(bytes[i], range) / limit, 1));
      const color = share < 0 ? [40, 130, 255] : [255, 130, 0];
      for (let k = 0; k < 3; k++) data[4 * i + k] = color[k] * Math.abs(share);
      data[4 * i + 3] = 255;
    }
  });
}

// A canvas of the consistency map, raw less re-blurred: light that the data deny in blue, light
// that they have and the restoration lacks in orange; nothing below `from` σ.
function deviationCanvas({bytes, width, height}, overlay) {
  const [invented, missed] = [overlay.invented, overlay.missed].map(
    (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16)));
  return painted(width, height, (data) => {
    for (let i = 0; i < bytes.length; i++) {
      const sigmas = (bytes[i] - 128) / 127 * overlay.limit;
      const strength = (Math.abs(sigmas) - overlay.from) / (overlay.limit - overlay.from);
      if (strength <= 0) continue;
      data.set(sigmas < 0 ? invented : missed, 4 * i);
      data[4 * i + 3] = 255 * (0.25 + 0.65 * Math.min(strength, 1));
    }
  });
}

function painted(width, height, paint) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  paint(image.data);
  context.putImageData(image, 0, 0);
  return canvas;
}

// A round length (1, 2 or 5 times a power of ten) of at most `most`.
function roundLength(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return [5, 2, 1].find((digit) => digit * power <= most) * power;
}

function drawScaleBar(context, width, height, pixelsPerUm, ratio) {
  const um = roundLength(width / 4 / pixelsPerUm);
  const label = um >= 0.1 ? `${Number(um.toPrecision(2))} µm` : `${Number((um * 1000).toPrecision(2))} nm`;
  const [left, top, thick] = [10 * ratio, height - 14 * ratio, 3 * ratio];
  context.font = `${12 * ratio}px system-ui, sans-serif`;
  context.shadowColor = "black";
  context.shadowBlur = 3 * ratio;
  context.fillStyle = "white";
  context.fillRect(left, top, um * pixelsPerUm, thick);
  context.fillText(label, left, top - 5 * ratio);
  context.shadowBlur = 0;
}
