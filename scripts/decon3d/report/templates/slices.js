// Volumes of 12-bit codes (of maps: bytes), and the sections through them. Axes are 0 = Z, 1 = Y, 2 = X throughout.
const VIEWS = {
  xy: {down: 1, across: 2, through: 0},
  xz: {down: 0, across: 2, through: 1},
  yz: {down: 0, across: 1, through: 2},
};

const CODES = 4095;

// A picture of planes in rows becomes one array, X fastest. With 12 bits, the upper 8 are red and
// the lower 4 green; of 8 bits, `spread` makes codes between the same ends.
async function decodeVolume(picture, shape, spread = true) {
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
  const volume = new Uint16Array(depth * height * width);
  const codes = Uint16Array.from({length: 256}, (_, byte) => spread ? byte << 4 | byte >> 4 : byte);
  let to = 0;
  for (let z = 0; z < depth; z++) {
    const left = (z % picture.columns) * width;
    const top = Math.floor(z / picture.columns) * height;
    for (let y = 0; y < height; y++) {
      let from = 4 * ((top + y) * canvas.width + left);
      if (picture.bits === 12) {
        for (let x = 0; x < width; x++, from += 4) volume[to++] = pixels[from] << 4 | pixels[from + 1] >> 4;
      } else {
        for (let x = 0; x < width; x++, from += 4) volume[to++] = codes[pixels[from]];
      }
    }
  }
  return volume;
}

// One plane, or the largest of all planes, as {codes, width, height}. `rank` orders codes.
function section(volume, shape, view, index, projected, rank = (code) => code) {
  const {down, across, through} = VIEWS[view];
  const steps = [shape[1] * shape[2], shape[2], 1];
  const [height, width] = [shape[down], shape[across]];
  const codes = new Uint16Array(width * height);
  const planes = projected ? shape[through] : 1;
  for (let plane = 0; plane < planes; plane++) {
    const base = (projected ? plane : index) * steps[through];
    let to = 0;
    for (let row = 0; row < height; row++) {
      let from = base + row * steps[down];
      for (let column = 0; column < width; column++, from += steps[across], to++) {
        if (plane === 0 || rank(volume[from]) > rank(codes[to])) codes[to] = volume[from];
      }
    }
  }
  return {codes, width, height};
}

// Codes are square roots between `range[0]` and `range[1]` counts.
function countsOf(code, range) {
  return range[0] + (range[1] - range[0]) * (code / CODES) ** 2;
}

// By code: where its counts lie between black (0) and white (1).
function sharesOf(range, window) {
  return Float32Array.from({length: CODES + 1}, (_, code) => Math.min(Math.max(
    (countsOf(code, range) - window[0]) / (window[1] - window[0]), 0), 1));
}

// A canvas of the section in grey, black at `window[0]` counts and white at `window[1]`.
function greyCanvas({codes, width, height}, range, window) {
  const shares = sharesOf(range, window);
  return painted(width, height, (data) => {
    for (let i = 0; i < codes.length; i++) {
      data[4 * i] = data[4 * i + 1] = data[4 * i + 2] = 255 * shares[codes[i]];
      data[4 * i + 3] = 255;
    }
  });
}

// Bytes of a difference: 128 is 0 counts, 1 and 255 are `range`.
function differenceOf(byte, range) {
  return range[1] * (byte - 128) / 127;
}

const rgb = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));

// A canvas of a difference: black where there is none, then the colour of less and of more light up
// to `limit` counts.
function differenceCanvas({codes, width, height}, range, limit, colours) {
  const [less, more] = colours.map(rgb);
  return painted(width, height, (data) => {
    for (let i = 0; i < codes.length; i++) {
      const share = Math.max(-1, Math.min(differenceOf(codes[i], range) / limit, 1));
      const color = share < 0 ? less : more;
      for (let k = 0; k < 3; k++) data[4 * i + k] = color[k] * Math.abs(share);
      data[4 * i + 3] = 255;
    }
  });
}

// A canvas of the consistency map, raw minus re-blurred, in the colours of light that the data
// contradict and of light that the restoration lacks; transparent below `from` σ.
function deviationCanvas({codes, width, height}, overlay, colours) {
  const [invented, missed] = colours.map(rgb);
  return painted(width, height, (data) => {
    for (let i = 0; i < codes.length; i++) {
      const sigmas = (codes[i] - 128) / 127 * overlay.limit;
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
