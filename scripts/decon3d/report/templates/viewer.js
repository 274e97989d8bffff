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
  get projected() { return this.control.projection.checked; }
  get axes() { return VIEWS[this.view]; }

  async open(number) {
    const scene = this.scenes[number];
    this.scene = null;
    this.root.dataset.ready = "false";
    this.say("Decoding the pictures …");
    if (!scene.volumes) {
      scene.volumes = await Promise.all(scene.panels.map((p) => decodeVolume(p, scene.shape)));
      scene.overlays = await Promise.all(
        scene.panels.map((p) => p.overlay && decodeVolume(p.overlay, p.overlay.shape)));
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
    this.fit();
    this.build();
    this.say("");
    this.root.dataset.ready = "true";
  }

  about(scene) {
    const text = (shape) => shape.join(" × ");
    const averaged = text(scene.shape) === text(scene.full_shape) ? ""
      : `, averaged to ${text(scene.shape)}`;
    return `Shown: ${text(scene.full_shape)} voxels (Z, Y, X)${averaged}, 8 bit, compressed. ` +
      `For inspection, not for measurements. ${scene.note}`;
  }

  say(text) { this.control.status.textContent = text; }

  // The panels of the present layout, with what each draws: one volume, or two under the swipe.
  build() {
    const {panels} = this.scene;
    const shown = this.swiping ? [[+this.control.left.value, +this.control.right.value]]
      : panels.map((_, i) => [i]);
    this.stage.dataset.count = this.swiping ? 1 : panels.length;
    this.figures = shown.map((indices) => {
      const figure = document.createElement("figure");
      const canvas = document.createElement("canvas");
      const caption = document.createElement("figcaption");
      const value = document.createElement("span");
      const names = indices.map((i) => panels[i].label).join(" | ");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Section through ${names}`);
      caption.append(Object.assign(document.createElement("strong"), {textContent: names}), value);
      figure.append(canvas, caption);
      this.watch(canvas);
      return {figure, canvas, value, indices};
    });
    this.stage.replaceChildren(...this.figures.map((f) => f.figure));
    for (const element of this.root.querySelectorAll(".swipe-only")) element.hidden = !this.swiping;
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
    const ratio = Math.min(Math.max(this.size[axes.across] / this.size[axes.down], 0.8), 4);
    const far = (byte) => Math.abs(byte - 128);
    this.sections = scene.volumes.map((volume, i) => section(volume, scene.shape, this.view, index,
      this.projected, scene.panels[i].signed ? far : undefined));
    this.layers = scene.panels.map((panel, i) => {
      if (panel.signed) {
        const limit = panel.range[1] * 2 ** -this.control.brightness.value;
        return [differenceCanvas(this.sections[i], panel.range, limit)];
      }
      const [low, high] = this.choice("contrast") === "shared" ? scene.shared : panel.window;
      const window = [low, low + (high - low) * 2 ** -this.control.brightness.value];
      return [greyCanvas(this.sections[i], panel.range, window), this.deviation(panel, i, index)];
    });
    for (const {canvas} of this.figures) canvas.style.aspectRatio = ratio;
    this.draw();
  }

  deviation(panel, i, index) {
    const volume = this.scene.overlays[i];
    if (!volume || !this.control.overlay.checked) return null;
    const axis = this.axes.through, {shape} = panel.overlay;
    const coarse = Math.floor((index + 0.5) * shape[axis] / this.scene.shape[axis]);
    const far = (byte) => Math.abs(byte - 128);
    return deviationCanvas(
      section(volume, shape, this.view, coarse, this.projected, far), panel.overlay);
  }

  draw() {
    if (!this.scene || !this.layers) return;
    const {across, down} = this.axes, [width, height] = [this.size[across], this.size[down]];
    const ratio = window.devicePixelRatio || 1;
    for (const {canvas, indices} of this.figures) {
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
      indices.forEach((index, side) => {
        context.save();
        context.beginPath();
        context.rect(side ? split : 0, 0, side ? canvas.width - split : split, canvas.height);
        context.clip();
        for (const layer of this.layers[index]) {
          if (layer) context.drawImage(layer, left, top, width * scale, height * scale);
        }
        context.restore();
      });
      if (indices.length > 1) {
        context.fillStyle = "white";
        context.fillRect(split - ratio, 0, 2 * ratio, canvas.height);
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

  // The counts under the pointer, in every panel; without a pointer, the range shown.
  readOut() {
    const {scene, axes} = this;
    const number = (counts) => counts.toLocaleString("en", {maximumSignificantDigits: 3});
    for (const {value, indices} of this.figures) {
      const texts = indices.map((i) => {
        if (!this.pointer) return "";
        const [row, column] = [axes.down, axes.across].map((axis) =>
          Math.floor(this.pointer[axis] / scene.voxel_size_um[axis]));
        const {bytes, width, height} = this.sections[i];
        if (row < 0 || column < 0 || row >= height || column >= width) return "";
        const byte = bytes[row * width + column];
        const sign = {0: "≤ ", 255: "≥ "}[byte] || "";
        const {signed, range} = scene.panels[i];
        if (signed) return number(differenceOf(byte, range));
        return sign + number(countsOf(byte, range));
      });
      value.textContent = texts.some(Boolean) ? `${texts.join(" | ")} counts` : "";
    }
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

  pan(across, down) {
    this.centre[this.axes.across] += across;
    this.centre[this.axes.down] += down;
    this.keepInside();
    this.draw();
  }

  keepInside() {
    this.centre = this.centre.map((c, axis) => Math.min(Math.max(c, 0), this.size[axis]));
    if (this.zoom === 1) this.centre = this.size.map((length) => length / 2);
    this.stage.classList.toggle("zoomed", this.zoom > 1);
  }

  step(planes) {
    const axis = this.axes.through;
    this.at[axis] = Math.min(Math.max(this.at[axis] + planes, 0), this.scene.shape[axis] - 1);
    this.render();
  }

  // Where an event on a canvas lies in the volume, in µm (Z, Y, X).
  placeOf(event) {
    const {scale, left, top} = event.currentTarget.um;
    const box = event.currentTarget.getBoundingClientRect();
    const place = this.at.map((index, axis) => (index + 0.5) * this.scene.voxel_size_um[axis]);
    place[this.axes.across] = (event.clientX - box.left - left) / scale;
    place[this.axes.down] = (event.clientY - box.top - top) / scale;
    return place;
  }

  watch(canvas) {
    let grip = null;
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
      this.pointer = this.placeOf(event);
      if (grip) {
        const [x, y] = [event.clientX - grip.x, event.clientY - grip.y];
        if (Math.abs(x) + Math.abs(y) > 3) grip.moved = true;
        if (grip.swipe) {
          const box = canvas.getBoundingClientRect();
          this.control.swipe.value = 100 * (event.clientX - box.left) / box.width;
        } else if (grip.moved) {
          Object.assign(grip, {x: event.clientX, y: event.clientY});
          this.pan(-x / canvas.um.scale, -y / canvas.um.scale);
          return;
        }
      }
      this.draw();
    });
    canvas.addEventListener("pointerup", (event) => {
      if (grip && !grip.moved && !grip.swipe) {
        const place = this.placeOf(event);
        for (const axis of [this.axes.across, this.axes.down]) {
          const index = Math.floor(place[axis] / this.scene.voxel_size_um[axis]);
          this.at[axis] = Math.min(Math.max(index, 0), this.scene.shape[axis] - 1);
        }
        this.say("The other planes now pass through this place.");
      }
      grip = null;
    });
    canvas.addEventListener("pointercancel", () => { grip = null; });
    canvas.addEventListener("pointerleave", () => { this.pointer = null; this.draw(); });
    canvas.addEventListener("wheel", (event) => {
      // The page scrolls on unless the viewer was clicked or Ctrl is held.
      if (!event.ctrlKey && document.activeElement !== this.stage) return;
      event.preventDefault();
      this.zoomBy(2 ** (-event.deltaY / 300), this.placeOf(event));
    }, {passive: false});
    canvas.addEventListener("dblclick", (event) => this.zoomBy(2, this.placeOf(event)));
  }

  listen() {
    const {control} = this;
    control.slice.addEventListener("input", () => {
      this.at[this.axes.through] = +control.slice.value;
      this.render();
    });
    control.swipe.addEventListener("input", () => this.draw());
    for (const name of ["projection", "brightness"]) {
      control[name].addEventListener("input", () => this.render());
    }
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
      s: () => press("[data-choice=layout]:not(:checked)"),
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
