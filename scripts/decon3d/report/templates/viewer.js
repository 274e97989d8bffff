const LINES = ["#555555", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];
const farFromMiddle = (byte) => Math.abs(byte - 128);
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

// The viewer: all methods side by side or two under a swipe, in one shared view of the volume.
class Viewer {
  constructor(root) {
    this.root = root;
    this.scenes = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    this.stage = root.querySelector(".stage");
    this.control = {};
    for (const element of root.querySelectorAll("[data-control]")) {
      this.control[element.dataset.control] = element;
    }
    this.listen();
    this.open(0);
  }

  choice(name) {
    return this.root.querySelector(`[data-choice=${name}]:checked`).value;
  }

  get view() { return this.choice("plane"); }
  get swiping() { return this.choice("layout") === "swipe"; }
  get orthogonal() { return this.choice("layout") === "planes"; }
  get projected() { return this.control.projection.checked; }
  get axes() { return VIEWS[this.view]; }

  async open(number) {
    const scene = this.scenes[number];
    this.scene = null;
    this.root.dataset.ready = "false";
    this.say("Decoding the pictures …");
    if (!scene.volumes) {
      scene.volumes = await Promise.all(scene.panels.map(
        (p) => decodeVolume(p, scene.shape, !p.signed)));
      scene.overlays = await Promise.all(
        scene.panels.map((p) => p.overlay && decodeVolume(p.overlay, p.overlay.shape, false)));
    }
    this.scene = scene;
    this.at = [...scene.start];
    this.size = scene.shape.map((n, axis) => n * scene.voxel_size_um[axis]);
    this.control.napari.textContent = scene.napari;
    this.control.about.textContent = this.about(scene);
    this.control.overlay.parentElement.hidden = !scene.overlays.some(Boolean);
    const checked = scene.panels.find((p) => p.overlay);
    if (checked) this.control.threshold.textContent = checked.overlay.from;
    this.control.key.hidden = !(scene.overlays.some(Boolean) && this.control.overlay.checked);
    for (const name of ["left", "right"]) {
      this.control[name].replaceChildren(...scene.panels.map((p, i) => new Option(p.label, i)));
    }
    this.control.right.selectedIndex = Math.min(1, scene.panels.length - 1);
    const ranges = scene.panels.filter((panel) => !panel.signed).map((panel) => panel.range);
    scene.scale = [Math.min(...ranges.map((r) => r[0])), Math.max(...ranges.map((r) => r[1]))];
    scene.histograms ||= scene.volumes.map(histogramOf);
    [this.control.black.value, this.control.white.value] = scene.shared.map(
      (counts) => 1000 * positionOf(counts, scene.scale));
    this.fit();
    this.build();
    this.say("");
    this.root.dataset.ready = "true";
  }

  about(scene) {
    const text = (shape) => shape.join(" × ");
    const averaged = text(scene.shape) === text(scene.full_shape) ? ""
      : `, averaged to ${text(scene.shape)}`;
    return `Shown: ${text(scene.full_shape)} voxels (Z, Y, X)${averaged}, ` +
      `${scene.panels[0].bits === 12 ? "12 bit" : "8 bit, compressed"}. ` +
      `For inspection, not for measurements. ${scene.note}`;
  }

  say(text) { this.control.status.textContent = text; }

  // The panels of the present layout, with what each draws: one volume, or two under the swipe.
  build() {
    const {panels} = this.scene;
    const {left, right} = this.control;
    const shown = this.swiping ? [{indices: [+left.value, +right.value]}]
      : this.orthogonal ? Object.keys(VIEWS).map((view) => ({indices: [+left.value], view}))
      : panels.map((_, i) => ({indices: [i]}));
    this.stage.dataset.count = shown.length;
    this.figures = shown.map(({indices, view}) => {
      const figure = document.createElement("figure");
      const canvas = document.createElement("canvas");
      const caption = document.createElement("figcaption");
      const value = document.createElement("span");
      const names = indices.map((i) => panels[i].label).join(" | ") +
        (view ? `, ${view.toUpperCase()}` : "");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Section through ${names}`);
      caption.append(Object.assign(document.createElement("strong"), {textContent: names}), value);
      figure.append(canvas, caption);
      const made = {figure, canvas, value, indices, view};
      this.watch(made);
      return made;
    });
    this.stage.replaceChildren(...this.figures.map((f) => f.figure));
    for (const element of this.root.querySelectorAll(".swipe-only")) element.hidden = !this.swiping;
    for (const element of this.root.querySelectorAll(".pick")) {
      element.hidden = !this.swiping && !this.orthogonal;
    }
    this.render();
  }

  fit() {
    this.zoom = 1;
    this.centre = this.size.map((length) => length / 2);
  }

  // What a change of plane, contrast or volume needs: new sections, then a drawing.
  render() {
    if (!this.scene) return;
    const {scene, axes} = this;
    const axis = axes.through, index = this.at[axis];
    const slider = this.control.slice;
    slider.max = scene.shape[axis] - 1;
    slider.value = index;
    slider.disabled = this.projected;
    const name = "ZYX"[axis];
    const place = `${name} ${((index + 0.5) * scene.voxel_size_um[axis]).toFixed(2)} µm`;
    const words = this.projected ? `maximum along ${name}`
      : `${place}, plane ${index + 1} of ${scene.shape[axis]}`;
    slider.setAttribute("aria-valuetext", words);
    this.control.place.textContent = words;
    for (const figure of this.figures) {
      const view = figure.view || this.view, {across, down, through} = VIEWS[view];
      figure.axes = VIEWS[view];
      figure.sections = figure.indices.map((i) => section(scene.volumes[i], scene.shape, view,
        this.at[through], this.projected, scene.panels[i].signed ? farFromMiddle : undefined));
      figure.layers = figure.indices.map((i, side) => this.layersOf(i, figure.sections[side], view));
      const ratio = Math.min(Math.max(this.size[across] / this.size[down], 0.8), 4);
      figure.canvas.style.aspectRatio = ratio;
    }
    this.drawHistogram();
    this.draw();
  }

  layersOf(i, cut, view) {
    const panel = this.scene.panels[i], [low, high] = this.shared, [black, white] = this.scene.shared;
    if (panel.signed) {
      const limit = panel.range[1] * (high - low) / (white - black);
      return [differenceCanvas(cut, panel.range, limit, this.scene.colours)];
    }
    return [greyCanvas(cut, panel.range, this.window(panel)), this.deviation(panel, i, view)];
  }

  // The shared window, in counts, as the two handles on the histogram have it.
  get shared() {
    const [black, white] = [this.control.black, this.control.white].map((handle) =>
      countsOf(CODES * handle.value / 1000, this.scene.scale));
    return [black, Math.max(white, black + 1e-6)];
  }

  // A panel's own window moves and stretches with the handles.
  window(panel) {
    const [low, high] = this.shared;
    if (this.choice("contrast") === "shared") return [low, high];
    const [first, last] = this.scene.shared, [black, white] = panel.window;
    const scale = (white - black) / (last - first);
    return [black + (low - first) * scale, black + (high - first) * scale];
  }

  deviation(panel, i, view) {
    const volume = this.scene.overlays[i];
    if (!volume || !this.control.overlay.checked) return null;
    const axis = VIEWS[view].through, {shape} = panel.overlay;
    const coarse = Math.floor((this.at[axis] + 0.5) * shape[axis] / this.scene.shape[axis]);
    const cut = section(volume, shape, view, coarse, this.projected, farFromMiddle);
    return deviationCanvas(cut, panel.overlay, this.scene.colours);
  }

  // How often counts occur in each panel (logarithmic), between the handles of black and white.
  drawHistogram() {
    const {histogram: canvas, black, white} = this.control, {scene} = this;
    canvas.width = 2 * canvas.clientWidth;
    canvas.height = 2 * canvas.clientHeight;
    const {width, height} = canvas, context = canvas.getContext("2d");
    context.fillStyle = "#e4eaf0";
    context.fillRect(width * black.value / 1000, 0,
      width * (white.value - black.value) / 1000, height);
    scene.histograms.forEach((bins, i) => {
      if (scene.panels[i].signed) return;
      const most = Math.log1p(Math.max(...bins));
      context.strokeStyle = LINES[i % LINES.length];
      context.lineWidth = 2;
      context.beginPath();
      bins.forEach((count, bin) => context.lineTo(
        width * positionOf(countsOf(64 * bin + 32, scene.panels[i].range), scene.scale),
        height - (height - 4) * Math.log1p(count) / most));
      context.stroke();
    });
    const words = this.shared.map((counts) => `${rounded(counts)} counts`);
    black.setAttribute("aria-valuetext", words[0]);
    white.setAttribute("aria-valuetext", words[1]);
    this.control.window.textContent = `${rounded(this.shared[0])} to ${words[1]}`;
  }

  draw() {
    if (!this.scene || !this.figures?.[0].layers) return;
    const ratio = window.devicePixelRatio || 1;
    for (const {canvas, indices, layers, axes} of this.figures) {
      const {across, down} = axes, [width, height] = [this.size[across], this.size[down]];
      canvas.width = Math.round(canvas.clientWidth * ratio);
      canvas.height = Math.round(canvas.clientHeight * ratio);
      const context = canvas.getContext("2d");
      const scale = this.zoom * Math.min(canvas.width / width, canvas.height / height);
      const left = canvas.width / 2 - this.centre[across] * scale;
      const top = canvas.height / 2 - this.centre[down] * scale;
      const split = indices.length > 1 ? this.control.swipe.value / 100 * canvas.width : canvas.width;
      canvas.um = {scale: scale / ratio, left: left / ratio, top: top / ratio};
      const voxel = Math.min(this.scene.voxel_size_um[across], this.scene.voxel_size_um[down]);
      context.imageSmoothingEnabled = scale * voxel < 6;
      indices.forEach((_, side) => {
        context.save();
        context.beginPath();
        context.rect(side ? split : 0, 0, side ? canvas.width - split : split, canvas.height);
        context.clip();
        for (const layer of layers[side]) {
          if (layer) context.drawImage(layer, left, top, width * scale, height * scale);
        }
        context.restore();
      });
      if (indices.length > 1) {
        context.fillStyle = "white";
        context.fillRect(split - ratio, 0, 2 * ratio, canvas.height);
      }
      if (this.orthogonal) {
        const [x, y] = [[across, left], [down, top]].map(([axis, start]) =>
          start + (this.at[axis] + 0.5) * this.scene.voxel_size_um[axis] * scale);
        this.cross(context, x, y, ratio);
      }
      if (this.pointer) this.mark(context, left + this.pointer[across] * scale,
        top + this.pointer[down] * scale, ratio);
      drawScaleBar(context, canvas.width, canvas.height, scale, ratio);
    }
    this.readOut();
    Object.assign(this.root.dataset, {
      view: this.view, index: this.at[this.axes.through], zoom: this.zoom.toFixed(3),
      centre: this.centre.map((c) => c.toFixed(3)).join(" "),
    });
  }

  mark(context, x, y, ratio) {
    context.strokeStyle = "#ffd500";
    context.lineWidth = 1.5 * ratio;
    context.beginPath();
    context.arc(x, y, 7 * ratio, 0, 2 * Math.PI);
    context.stroke();
  }

  // Where the other planes cut this one.
  cross(context, x, y, ratio) {
    context.strokeStyle = "#ffd500";
    context.lineWidth = ratio;
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, context.canvas.height);
    context.moveTo(0, y);
    context.lineTo(context.canvas.width, y);
    context.stroke();
  }

  // The counts under the pointer: in every panel, and of all volumes where only some are shown.
  readOut() {
    const {scene, pointer} = this;
    const read = (code, i) => scene.panels[i].signed
      ? rounded(differenceOf(code, scene.panels[i].range)) : ({0: "≤ ", [CODES]: "≥ "}[code] || "") +
      rounded(countsOf(code, scene.panels[i].range));
    for (const {value, indices, sections, axes} of this.figures) {
      const texts = indices.map((i, side) => {
        if (!pointer) return "";
        const [row, column] = [axes.down, axes.across].map((axis) =>
          Math.floor(pointer[axis] / scene.voxel_size_um[axis]));
        const {codes, width, height} = sections[side];
        if (row < 0 || column < 0 || row >= height || column >= width) return "";
        return read(codes[row * width + column], i);
      });
      value.textContent = texts.some(Boolean) && !this.orthogonal
        ? `${texts.join(" | ")} counts` : "";
    }
    // In three planes without a pointer, the place is that of the cross-hair.
    const place = this.orthogonal ? pointer || this.at.map(
      (index, axis) => (index + 0.5) * scene.voxel_size_um[axis]) : null;
    const voxel = place?.map((um, axis) => Math.floor(um / scene.voxel_size_um[axis]));
    const inside = voxel?.every((index, axis) => index >= 0 && index < scene.shape[axis]);
    const at = inside && (voxel[0] * scene.shape[1] + voxel[1]) * scene.shape[2] + voxel[2];
    this.control.counts.textContent = !inside ? "" :
      `At ${place.map((um) => um.toFixed(2)).join(", ")} µm (Z, Y, X): ` + scene.panels.map(
        (panel, i) => `${panel.label} ${read(scene.volumes[i][at], i)}`).join(", ") + " counts";
  }

  // All panels with their names, as one picture to save.
  save() {
    const head = 22 * (window.devicePixelRatio || 1), gap = head / 4;
    const canvases = this.figures.map((figure) => figure.canvas);
    const columns = getComputedStyle(this.stage).gridTemplateColumns.split(" ").length;
    const across = Math.min(canvases.length, canvases.length === 5 ? 3 : columns);
    const [width, height] = ["width", "height"].map((side) =>
      Math.max(...canvases.map((canvas) => canvas[side])));
    const sheet = document.createElement("canvas");
    sheet.width = across * (width + gap) - gap;
    sheet.height = Math.ceil(canvases.length / across) * (height + head + gap) - gap;
    const context = sheet.getContext("2d");
    context.fillStyle = "white";
    context.fillRect(0, 0, sheet.width, sheet.height);
    context.font = `600 ${head * 0.65}px system-ui, sans-serif`;
    this.pointer = null;
    this.draw();
    this.figures.forEach(({canvas, figure}, i) => {
      const [x, y] = [(i % across) * (width + gap), Math.floor(i / across) * (height + head + gap)];
      context.fillStyle = "black";
      context.fillText(figure.querySelector("strong").textContent, x, y + head * 0.75);
      context.drawImage(canvas, x, y + head);
    });
    const link = document.createElement("a");
    link.download = `${this.scene.name.replace(/[^\w.-]+/g, "_")}.png`;
    link.href = sheet.toDataURL("image/png");
    link.click();
  }

  // Zoom about a place in µm, or about the middle.
  zoomBy(factor, place = this.centre) {
    const before = this.zoom;
    this.zoom = Math.min(Math.max(this.zoom * factor, 1), 40);
    const share = before / this.zoom;
    this.centre = this.centre.map((c, axis) => place[axis] + (c - place[axis]) * share);
    this.keepInside();
    this.draw();
  }

  pan(across, down, axes = this.axes) {
    this.centre[axes.across] += across;
    this.centre[axes.down] += down;
    this.keepInside();
    this.draw();
  }

  keepInside() {
    this.centre = this.centre.map((c, axis) => Math.min(Math.max(c, 0), this.size[axis]));
    if (this.zoom === 1) this.centre = this.size.map((length) => length / 2);
    this.stage.classList.toggle("zoomed", this.zoom > 1);
  }

  step(planes, axis = this.axes.through) {
    const before = this.at[axis];
    this.at[axis] = Math.min(Math.max(before + planes, 0), this.scene.shape[axis] - 1);
    if (this.at[axis] !== before) this.render();
    return this.at[axis] !== before;
  }

  // Where an event on a canvas lies in the volume, in µm (Z, Y, X).
  placeOf(event, axes) {
    const {scale, left, top} = event.currentTarget.um;
    const box = event.currentTarget.getBoundingClientRect();
    const place = this.at.map((index, axis) => (index + 0.5) * this.scene.voxel_size_um[axis]);
    place[axes.across] = (event.clientX - box.left - left) / scale;
    place[axes.down] = (event.clientY - box.top - top) / scale;
    return place;
  }

  watch(figure) {
    const {canvas} = figure;
    let grip = null, turned = 0;
    const inSwipe = (event) => {
      const box = canvas.getBoundingClientRect();
      const at = 100 * (event.clientX - box.left) / box.width;
      return this.swiping && Math.abs(at - this.control.swipe.value) * box.width < 1500 ? at : null;
    };
    canvas.addEventListener("pointerdown", (event) => {
      this.stage.focus({preventScroll: true});
      const swipe = inSwipe(event) !== null;
      grip = {x: event.clientX, y: event.clientY, moved: false, swipe};
      if (swipe || this.zoom > 1) canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      this.pointer = this.placeOf(event, figure.axes);
      if (grip) {
        const [x, y] = [event.clientX - grip.x, event.clientY - grip.y];
        if (Math.abs(x) + Math.abs(y) > 3) grip.moved = true;
        if (grip.swipe) {
          const box = canvas.getBoundingClientRect();
          this.control.swipe.value = 100 * (event.clientX - box.left) / box.width;
        } else if (grip.moved) {
          Object.assign(grip, {x: event.clientX, y: event.clientY});
          this.pan(-x / canvas.um.scale, -y / canvas.um.scale, figure.axes);
          return;
        }
      }
      this.draw();
    });
    canvas.addEventListener("pointerup", (event) => {
      if (grip && !grip.moved && !grip.swipe) {
        const place = this.placeOf(event, figure.axes);
        for (const axis of [figure.axes.across, figure.axes.down]) {
          const index = Math.floor(place[axis] / this.scene.voxel_size_um[axis]);
          this.at[axis] = Math.min(Math.max(index, 0), this.scene.shape[axis] - 1);
        }
        this.say("The other planes now pass through this place.");
        if (this.orthogonal) this.render();
      }
      grip = null;
    });
    canvas.addEventListener("pointercancel", () => { grip = null; });
    canvas.addEventListener("pointerleave", () => { this.pointer = null; this.draw(); });
    canvas.addEventListener("wheel", (event) => {
      if (event.ctrlKey) {
        event.preventDefault();
        this.zoomBy(2 ** (-event.deltaY / 300), this.placeOf(event, figure.axes));
      } else if (!this.projected) {  // after the last slice, the page scrolls on
        turned += event.deltaY;
        const steps = Math.abs(event.deltaY) >= 50 ? Math.sign(event.deltaY) : Math.trunc(turned / 25);
        if (steps === 0) event.preventDefault();
        else {
          turned = 0;
          if (this.step(steps, figure.axes.through)) event.preventDefault();
        }
      }
    }, {passive: false});
    canvas.addEventListener("dblclick", (event) =>
      this.zoomBy(2, this.placeOf(event, figure.axes)));
  }

  listen() {
    const {control} = this;
    control.slice.addEventListener("input", () => {
      this.at[this.axes.through] = +control.slice.value;
      this.render();
    });
    control.swipe.addEventListener("input", () => this.draw());
    control.projection.addEventListener("input", () => this.render());
    for (const [handle, other, side] of [
      [control.black, control.white, -1], [control.white, control.black, 1]]) {
      handle.addEventListener("input", () => {  // black stays below white
        if (side * (handle.value - other.value) < 5) handle.value = +other.value + 5 * side;
        this.render();
      });
    }
    control.save.addEventListener("click", () => this.save());
    control.full.addEventListener("click", () =>
      document.fullscreenElement ? document.exitFullscreen() : this.root.requestFullscreen());
    control.full.hidden = !document.fullscreenEnabled;
    control.overlay.addEventListener("input", () => {
      control.key.hidden = !control.overlay.checked;
      this.render();
    });
    control.volume?.addEventListener("input", () => this.open(+control.volume.value));
    for (const input of this.root.querySelectorAll("[data-choice=plane], [data-choice=contrast]")) {
      input.addEventListener("input", () => this.render());
    }
    for (const input of [control.left, control.right,
      ...this.root.querySelectorAll("[data-choice=layout]")]) {
      input.addEventListener("input", () => this.build());
    }
    control.nearer.addEventListener("click", () => this.zoomBy(1.5));
    control.farther.addEventListener("click", () => this.zoomBy(1 / 1.5));
    control.reset.addEventListener("click", () => { this.fit(); this.keepInside(); this.draw(); });
    this.stage.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.stage);
  }

  key(event) {
    if (!this.scene || event.ctrlKey || event.altKey || event.metaKey) return;
    const far = this.size[this.axes.across] / this.zoom / 10;
    const press = (selector) => this.root.querySelector(selector).click();
    const actions = {
      ArrowLeft: () => this.pan(-far, 0), ArrowRight: () => this.pan(far, 0),
      ArrowUp: () => this.pan(0, -far), ArrowDown: () => this.pan(0, far),
      "+": () => this.zoomBy(1.5), "=": () => this.zoomBy(1.5), "-": () => this.zoomBy(1 / 1.5),
      "0": () => this.control.reset.click(),
      PageUp: () => this.step(1), PageDown: () => this.step(-1),
      "1": () => press("[value=xy]"), "2": () => press("[value=xz]"), "3": () => press("[value=yz]"),
      m: () => this.control.projection.click(), c: () => press("[data-choice=contrast]:not(:checked)"),
      s: () => press(this.swiping ? "[value=grid]" : "[value=swipe]"),
      p: () => press(this.orthogonal ? "[value=grid]" : "[value=planes]"),
      f: () => this.control.full.click(),
      o: () => this.control.overlay.click(),
    };
    if (!(event.key in actions)) return;
    event.preventDefault();
    actions[event.key]();
  }
}

for (const root of document.querySelectorAll(".viewer")) {
  // Unpacking takes a moment: only when the reader comes near.
  const seen = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    seen.disconnect();
    root.viewer = new Viewer(root);
  }, {rootMargin: "600px"});
  seen.observe(root);
}
