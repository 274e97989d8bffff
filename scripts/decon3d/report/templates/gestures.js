// Mouse, touch and keys of the viewer.

// Where an event on a canvas lies in the volume, in µm (Z, Y, X).
function placeOf(viewer, event, axes) {
  const {scale, left, top} = event.currentTarget.um;
  const box = event.currentTarget.getBoundingClientRect();
  const place = viewer.at.map((index, axis) => (index + 0.5) * viewer.scene.voxel_size_um[axis]);
  place[axes.across] = (event.clientX - box.left - left) / scale;
  place[axes.down] = (event.clientY - box.top - top) / scale;
  return place;
}

function watch(viewer, figure) {
  const {canvas} = figure;
  let grip = null, turned = 0;
  const inSwipe = (event) => {
    const box = canvas.getBoundingClientRect();
    const at = 100 * (event.clientX - box.left) / box.width;
    return viewer.swiping && Math.abs(at - viewer.control.swipe.value) * box.width < 1500 ? at : null;
  };
  canvas.addEventListener("pointerdown", (event) => {
    viewer.stage.focus({preventScroll: true});
    const swipe = inSwipe(event) !== null;
    grip = {x: event.clientX, y: event.clientY, moved: false, swipe};
    if (swipe || viewer.zoom > 1) canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!viewer.scene) return;
    viewer.pointer = placeOf(viewer, event, figure.axes);
    if (grip) {
      const [x, y] = [event.clientX - grip.x, event.clientY - grip.y];
      if (Math.abs(x) + Math.abs(y) > 3) grip.moved = true;
      if (grip.swipe) {
        const box = canvas.getBoundingClientRect();
        viewer.control.swipe.value = 100 * (event.clientX - box.left) / box.width;
      } else if (grip.moved) {
        Object.assign(grip, {x: event.clientX, y: event.clientY});
        viewer.pan(-x / canvas.um.scale, -y / canvas.um.scale, figure.axes);
        return;
      }
    }
    viewer.draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (viewer.scene && grip && !grip.moved && !grip.swipe && !viewer.film) {
      const place = placeOf(viewer, event, figure.axes);
      for (const axis of [figure.axes.across, figure.axes.down]) {
        const index = Math.floor(place[axis] / viewer.scene.voxel_size_um[axis]);
        viewer.at[axis] = Math.min(Math.max(index, 0), viewer.scene.shape[axis] - 1);
      }
      viewer.say("The other planes now pass through this place.");
      if (viewer.orthogonal) viewer.render();
    }
    grip = null;
  });
  canvas.addEventListener("pointercancel", () => { grip = null; });
  canvas.addEventListener("pointerleave", () => { viewer.pointer = null; viewer.draw(); });
  canvas.addEventListener("wheel", (event) => {
    if (!viewer.scene) return;
    if (event.ctrlKey) {
      event.preventDefault();
      viewer.zoomBy(2 ** (-event.deltaY / 300), placeOf(viewer, event, figure.axes));
    } else if (!viewer.projected) {  // after the last slice, the page scrolls on
      turned += event.deltaY;
      const steps = Math.abs(event.deltaY) >= 50 ? Math.sign(event.deltaY) : Math.trunc(turned / 25);
      if (steps === 0) event.preventDefault();
      else {
        turned = 0;
        if (viewer.step(steps, figure.axes.through)) event.preventDefault();
      }
    }
  }, {passive: false});
  canvas.addEventListener("dblclick", (event) =>
    viewer.scene && viewer.zoomBy(2, placeOf(viewer, event, figure.axes)));
}

function listen(viewer) {
  const {control} = viewer;
  control.slice.addEventListener("input", () => {
    viewer.at[viewer.axes.through] = +control.slice.value;
    viewer.render();
  });
  control.swipe.addEventListener("input", () => viewer.draw());
  control.projection.addEventListener("input", () => viewer.render());
  control.save.addEventListener("click", () => savePicture(viewer));
  control.full.addEventListener("click", () =>
    document.fullscreenElement ? document.exitFullscreen() : viewer.root.requestFullscreen());
  control.full.hidden = !document.fullscreenEnabled;
  control.overlay.addEventListener("input", () => {
    control.key.hidden = !control.overlay.checked;
    viewer.render();
  });
  control.volume?.addEventListener("input", () => viewer.open(+control.volume.value));
  for (const input of viewer.root.querySelectorAll("[data-choice=channel]")) {
    input.addEventListener("input", () => viewer.open(viewer.number));
  }
  control.time.addEventListener("input", () => {
    if (!viewer.scene) return;  // the film is being decoded and starts where the slider is then
    if (viewer.film) {
      viewer.at[0] = +control.time.value;
      viewer.render();
    } else viewer.open(viewer.filmOf(viewer.scene));
  });
  for (const input of viewer.root.querySelectorAll("[data-choice=plane], [data-choice=contrast]")) {
    input.addEventListener("input", () => viewer.render());
  }
  for (const input of [control.left, control.right,
    ...viewer.root.querySelectorAll("[data-choice=layout]")]) {
    input.addEventListener("input", () => viewer.build());
  }
  control.nearer.addEventListener("click", () => viewer.zoomBy(1.5));
  control.farther.addEventListener("click", () => viewer.zoomBy(1 / 1.5));
  control.reset.addEventListener("click", () => { viewer.fit(); viewer.draw(); });
  viewer.stage.addEventListener("keydown", (event) => pressKey(viewer, event));
  new ResizeObserver(() => viewer.draw()).observe(viewer.stage);
}

function pressKey(viewer, event) {
  if (!viewer.scene || event.ctrlKey || event.altKey || event.metaKey) return;
  const {control} = viewer;
  const far = viewer.size[viewer.axes.across] / viewer.zoom / 10;
  const choose = (selector) => viewer.root.querySelector(selector).click();
  const actions = {
    ArrowLeft: () => viewer.pan(-far, 0), ArrowRight: () => viewer.pan(far, 0),
    ArrowUp: () => viewer.pan(0, -far), ArrowDown: () => viewer.pan(0, far),
    "+": () => viewer.zoomBy(1.5), "=": () => viewer.zoomBy(1.5), "-": () => viewer.zoomBy(1 / 1.5),
    "0": () => control.reset.click(),
    PageUp: () => viewer.step(1), PageDown: () => viewer.step(-1),
    c: () => choose("[data-choice=contrast]:not(:checked)"),
    s: () => choose(viewer.swiping ? "[value=grid]" : "[value=swipe]"),
    f: () => control.full.click(),
  };
  const ofVolumes = {
    "1": () => choose("[value=xy]"), "2": () => choose("[value=xz]"), "3": () => choose("[value=yz]"),
    m: () => control.projection.click(), o: () => control.overlay.click(),
    p: () => choose(viewer.orthogonal ? "[value=grid]" : "[value=planes]"),
  };
  if (!viewer.film) Object.assign(actions, ofVolumes);
  if (!(event.key in actions)) return;
  event.preventDefault();
  actions[event.key]();
}
