// Black and white of one channel: two handles on the histogram of its counts.
const LINES = ["#555555", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];
const rounded = (counts) => counts.toLocaleString("en", {maximumSignificantDigits: 4});

function histogramOf(volume) {
  const bins = new Array(64).fill(0);
  for (const code of volume) bins[code >> 6]++;
  return bins;
}

// Where counts lie between the ends of a scale, 0 to 1: the square root, as the codes are stored.
function positionOf(counts, scale) {
  return Math.sqrt(Math.min(Math.max((counts - scale[0]) / (scale[1] - scale[0]), 0), 1));
}

class Contrast {
  // `named`: the volume has several channels, and this one can be switched off in an overlay.
  constructor(channel, template, named, changed) {
    this.channel = channel;
    this.element = template.content.firstElementChild.cloneNode(true);
    for (const name of ["histogram", "black", "white", "window", "shown", "switch", "name"]) {
      this[name] = this.element.querySelector(`[data-control=${name}]`);
    }
    if (named) {
      this.name.textContent = channel.name;
      this.element.querySelector(".swatch").style.background = channel.colour;
      this.black.setAttribute("aria-label", `Black, ${channel.name}`);
      this.white.setAttribute("aria-label", `White, ${channel.name}`);
    }
    const images = channel.panels.filter((panel) => !panel.signed);
    this.scale = [Math.min(...images.map((panel) => panel.range[0])),
      Math.max(...images.map((panel) => panel.range[1]))];
    this.bins = channel.panels.flatMap((panel, i) => panel.signed ? []
      : [{range: panel.range, counts: histogramOf(channel.volumes[i])}]);
    [this.black.value, this.white.value] = channel.shared.map(
      (counts) => 1000 * positionOf(counts, this.scale));
    for (const [handle, other, side] of [[this.black, this.white, -1], [this.white, this.black, 1]]) {
      handle.addEventListener("input", () => {  // black stays below white
        if (side * (handle.value - other.value) < 5) handle.value = +other.value + 5 * side;
        changed();
      });
    }
    this.shown.addEventListener("input", changed);
  }

  // The shared window, in counts, as the two handles have it.
  get shared() {
    const [black, white] = [this.black, this.white].map((handle) =>
      countsOf(CODES * handle.value / 1000, this.scale));
    return [black, Math.max(white, black + 1e-6)];
  }

  // By how much the handles have stretched the window.
  get stretch() {
    const [low, high] = this.shared, [first, last] = this.channel.shared;
    return (high - low) / (last - first);
  }

  // A panel's own window moves and stretches with the handles.
  own(panel) {
    const [black, white] = panel.window, [first, last] = this.channel.shared;
    const scale = (white - black) / (last - first);
    return this.shared.map((counts) => black + (counts - first) * scale);
  }

  // How often counts occur in each panel (logarithmic), between the handles. Only a shared window
  // has one pair of counts to name.
  draw(shared) {
    const {histogram: canvas, black, white} = this;
    canvas.width = 2 * canvas.clientWidth;
    canvas.height = 2 * canvas.clientHeight;
    const {width, height} = canvas, context = canvas.getContext("2d");
    context.fillStyle = "#e4eaf0";
    context.fillRect(width * black.value / 1000, 0,
      width * (white.value - black.value) / 1000, height);
    this.bins.forEach(({range, counts}, i) => {
      const most = Math.log1p(Math.max(...counts));
      context.strokeStyle = LINES[i % LINES.length];
      context.lineWidth = 2;
      context.beginPath();
      counts.forEach((count, bin) => context.lineTo(
        width * positionOf(countsOf(64 * bin + 32, range), this.scale),
        height - (height - 4) * Math.log1p(count) / most));
      context.stroke();
    });
    const words = shared ? this.shared.map((counts) => `${rounded(counts)} counts`)
      : [black, white].map((handle) => `${Math.round(handle.value / 10)} % of the histogram`);
    black.setAttribute("aria-valuetext", words[0]);
    white.setAttribute("aria-valuetext", words[1]);
    this.window.textContent = shared ? `${rounded(this.shared[0])} to ${words[1]}` : "per panel";
  }
}
