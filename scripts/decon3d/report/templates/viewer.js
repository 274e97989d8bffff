// The viewer: all methods side by side or two under a swipe, in one shared view of the volume.
const farFromMiddle = (byte) => Math.abs(byte - 128);

class Viewer {
  constructor(root) {
    this.root = root;
    this.scenes = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    this.stage = root.querySelector(".stage");
    this.control = {};
    for (const element of root.querySelectorAll("[data-control]")) {
      this.control[element.dataset.control] = element;
    }
    this.turn = 0;
    listen(this);
    this.open(0);
  }

  choice(name) {
    return this.root.querySelector(`[data-choice=${name}]:checked`)?.value;
  }

  // The planes of a film are time points; it has one view.
  get film() { return this.scene?.moments.length > 0; }
  get view() { return this.film ? "xy" : this.choice("plane"); }
  get swiping() { return this.choice("layout") === "swipe"; }
  get orthogonal() { return this.choice("layout") === "planes"; }
  get projected() { return !this.film && this.control.projection.checked; }
  get sharing() { return this.choice("contrast") === "shared"; }
  get axes() { return VIEWS[this.view]; }
  get overlaid() { return this.channels.length > 1; }

  // The channels of a scene that are shown: all, or the one chosen.
  channelsOf(scene) {
    const chosen = this.choice("channel") ?? 0;
    return chosen === "all" ? scene.channels : [scene.channels[chosen]];
  }

  async open(number) {
    const scene = this.scenes[number], turn = ++this.turn;
    this.scene = null;
    this.root.dataset.ready = "false";
    this.say("Decoding the pictures …");
    const channels = this.channelsOf(scene);
    await Promise.all(channels.map((channel) => this.decode(scene, channel)));
    if (turn !== this.turn) return;  // another one was chosen meanwhile
    const kept = number === this.number ? this.at : null;  // another channel of the same volume
    Object.assign(this, {scene, channels, number, at: kept || [...scene.start]});
    if (this.control.volume) this.control.volume.value = number;
    this.control.napari.textContent = scene.napari;
    this.control.about.textContent = this.about(scene);
    const maps = channels.flatMap((channel) => this.overlaid ? [] : channel.overlays.filter(Boolean));
    this.control.overlay.parentElement.hidden = maps.length === 0;
    const checked = channels[0].panels.find((panel) => panel.overlay);
    if (checked) this.control.threshold.textContent = checked.overlay.from;
    this.control.key.hidden = !(maps.length && this.control.overlay.checked);
    this.control.contrasts.replaceChildren(...channels.map(({contrast}) => contrast.element));
    for (const {contrast} of channels) contrast.switch.hidden = !this.overlaid;
    this.pictures = picturesOf(channels);
    this.pick();
    this.offerTimes();
    this.fit(scene.shape.map((n, axis) => n * scene.voxel_size_um[axis]));
    this.build();
    this.say("");
    this.root.dataset.ready = "true";
  }

  async decode(scene, channel) {
    if (channel.contrast) return;
    [channel.volumes, channel.overlays] = await Promise.all([
      Promise.all(channel.panels.map((p) => decodeVolume(p, scene.shape, !p.signed))),
      Promise.all(channel.panels.map(
        (p) => p.overlay && decodeVolume(p.overlay, p.overlay.shape, false)))]);
    channel.contrast ||= new Contrast(channel, this.root.querySelector(".contrast-template"),
      scene.channels.length > 1, () => this.render());
  }

  // The panels to choose for a swipe; a choice stays if the new volume has a panel of that name.
  pick() {
    const labels = this.pictures.map((picture) => picture.label);
    for (const [i, select] of [this.control.left, this.control.right].entries()) {
      const before = labels.indexOf(select.selectedOptions[0]?.textContent);
      select.replaceChildren(...labels.map((label, at) => new Option(label, at)));
      select.selectedIndex = before >= 0 ? before : Math.min(i, labels.length - 1);
    }
  }

  // The film of a volume of several time points; -1 if there is none.
  filmOf(scene) {
    return this.scenes.findIndex((other) => other.of === scene.of && other.moments.length);
  }

  // The time slider belongs to a volume with a film, and takes the place of the slice in a film.
  offerTimes() {
    const {scene, film, control} = this, series = this.scenes[this.filmOf(scene)];
    control.timing.hidden = !series;
    control.slicing.hidden = film;
    for (const element of this.root.querySelectorAll(".volume-only")) element.hidden = film;
    this.root.querySelector("[value=planes]").parentElement.hidden = film;
    if (film && this.orthogonal) this.root.querySelector("[value=grid]").checked = true;
    if (!series) return;
    control.time.max = series.moments.length - 1;
    if (film) this.at[0] = +control.time.value;
    else control.time.value = 0;
  }

  about(scene) {
    const text = (shape) => shape.join(" × ");
    const axes = scene.moments.length ? "time, Y, X" : "Z, Y, X";
    const averaged = text(scene.shape) === text(scene.full_shape) ? ""
      : `, averaged to ${text(scene.shape)}`;
    return `Shown: ${text(scene.full_shape)} voxels (${axes})${averaged}, ` +
      `${scene.channels[0].panels[0].bits === 12 ? "12 bit" : "8 bit, compressed"}. ` +
      `For inspection, not for measurements. ${scene.note}`;
  }

  say(text) { this.control.status.textContent = text; }

  // The panels of the present layout, with what each draws: one picture, or two under the swipe.
  build() {
    if (!this.scene) return;
    const {pictures} = this, {left, right} = this.control;
    const shown = this.swiping ? [{sides: [pictures[left.value], pictures[right.value]]}]
      : this.orthogonal ? Object.keys(VIEWS).map((view) => ({sides: [pictures[left.value]], view}))
      : pictures.map((picture) => ({sides: [picture]}));
    this.stage.dataset.count = shown.length;
    this.figures = shown.map(({sides, view}) => {
      const figure = document.createElement("figure");
      const canvas = document.createElement("canvas");
      const caption = document.createElement("figcaption");
      const value = document.createElement("span");
      const names = sides.map((picture) => picture.label).join(" | ") +
        (view ? `, ${view.toUpperCase()}` : "") + (this.film ? ", maximum along Z" : "");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Section through ${names}` +
        (this.overlaid ? `: ${this.channels.map((c) => c.name).join(", ")} in colour` : ""));
      caption.append(Object.assign(document.createElement("strong"), {textContent: names}), value);
      figure.append(canvas, caption);
      const made = {figure, canvas, value, sides, view};
      watch(this, made);
      return made;
    });
    this.stage.replaceChildren(...this.figures.map((f) => f.figure));
    for (const element of this.root.querySelectorAll(".swipe-only")) element.hidden = !this.swiping;
    for (const element of this.root.querySelectorAll(".pick")) {
      element.hidden = !this.swiping && !this.orthogonal;
    }
    this.render();
  }

  // Show all of a volume of this size, in µm; the zoom stays if the one before covers as much.
  fit(size = this.size) {
    const same = this.size && [1, 2].every((axis) =>
      Math.abs(this.size[axis] - size[axis]) < 1e-3 * size[axis]);
    if (!same || size === this.size) {
      this.zoom = 1;
      this.centre = size.map((length) => length / 2);
    }
    this.size = size;
    this.keepInside();
  }

  // What a change of plane, contrast or volume needs: new sections, then a drawing.
  render() {
    if (!this.scene) return;
    const {scene, axes, control} = this;
    const axis = axes.through, index = this.at[axis];
    control.slice.max = scene.shape[axis] - 1;
    control.slice.value = index;
    control.slice.disabled = this.projected;
    const name = "ZYX"[axis];
    const place = `${name} ${((index + 0.5) * scene.voxel_size_um[axis]).toFixed(2)} µm`;
    const words = this.projected ? `maximum along ${name}`
      : `${place}, plane ${index + 1} of ${scene.shape[axis]}`;
    control.slice.setAttribute("aria-valuetext", words);
    control.place.textContent = words;
    const series = this.scenes[this.filmOf(scene)];
    if (series) {
      if (this.film) control.time.value = index;
      const moment = series.moments[control.time.value];
      control.time.setAttribute("aria-valuetext", moment);
      control.moment.textContent = moment;
    }
    for (const figure of this.figures) {
      const view = figure.view || this.view, {across, down, through} = VIEWS[view];
      figure.axes = VIEWS[view];
      figure.cuts = figure.sides.map(({parts}) => parts.map(({channel, panel, i}) =>
        section(channel.volumes[i], scene.shape, view, this.at[through], this.projected,
          panel.signed ? farFromMiddle : undefined)));
      figure.layers = figure.sides.map((picture, side) =>
        this.layersOf(picture, figure.cuts[side], view));
      const ratio = Math.min(Math.max(this.size[across] / this.size[down], 0.8), 4);
      figure.canvas.style.aspectRatio = ratio;
    }
    for (const {contrast} of this.channels) contrast.draw(this.sharing);
    this.draw();
  }

  layersOf({parts}, cuts, view) {
    if (this.overlaid) {
      const shown = parts.flatMap(({channel, panel}, at) => channel.contrast.shown.checked
        ? [{cut: cuts[at], range: panel.range, window: this.window(channel, panel),
          colour: channel.colour}] : []);
      return shown.length ? [blendCanvas(shown)] : [];
    }
    const [{channel, panel, i}] = parts, [cut] = cuts;
    if (panel.signed) {
      const limit = panel.range[1] * channel.contrast.stretch;
      return [differenceCanvas(cut, panel.range, limit, this.scene.colours)];
    }
    return [greyCanvas(cut, panel.range, this.window(channel, panel)),
      this.deviation(channel, panel, i, view)];
  }

  window({contrast}, panel) {
    return this.sharing ? contrast.shared : contrast.own(panel);
  }

  deviation(channel, panel, i, view) {
    const volume = channel.overlays[i];
    if (!volume || !this.control.overlay.checked) return null;
    const axis = VIEWS[view].through, {shape} = panel.overlay;
    const coarse = Math.floor((this.at[axis] + 0.5) * shape[axis] / this.scene.shape[axis]);
    const cut = section(volume, shape, view, coarse, this.projected, farFromMiddle);
    return deviationCanvas(cut, panel.overlay, this.scene.colours);
  }

  draw() {
    if (!this.scene || !this.figures?.[0].layers) return;
    const ratio = window.devicePixelRatio || 1;
    const named = this.overlaid ? this.channels.filter((c) => c.contrast.shown.checked) : [];
    const moment = this.film ? this.scene.moments[this.at[0]].split(", ").at(-1) : "";
    for (const {canvas, sides, layers, axes} of this.figures) {
      const {across, down} = axes, [width, height] = [this.size[across], this.size[down]];
      canvas.width = Math.round(canvas.clientWidth * ratio);
      canvas.height = Math.round(canvas.clientHeight * ratio);
      const context = canvas.getContext("2d");
      const scale = this.zoom * Math.min(canvas.width / width, canvas.height / height);
      const left = canvas.width / 2 - this.centre[across] * scale;
      const top = canvas.height / 2 - this.centre[down] * scale;
      const split = sides.length > 1 ? this.control.swipe.value / 100 * canvas.width : canvas.width;
      canvas.um = {scale: scale / ratio, left: left / ratio, top: top / ratio};
      const voxel = Math.min(this.scene.voxel_size_um[across], this.scene.voxel_size_um[down]);
      context.imageSmoothingEnabled = scale * voxel < 6;
      sides.forEach((_, side) => {
        context.save();
        context.beginPath();
        context.rect(side ? split : 0, 0, side ? canvas.width - split : split, canvas.height);
        context.clip();
        for (const layer of layers[side]) {
          if (layer) context.drawImage(layer, left, top, width * scale, height * scale);
        }
        context.restore();
      });
      if (sides.length > 1) {
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
      drawLegend(context, named, moment, ratio);
      drawScaleBar(context, canvas.width, canvas.height, scale, ratio);
    }
    readOut(this);
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
