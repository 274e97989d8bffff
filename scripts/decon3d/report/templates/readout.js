// Counts under the pointer, and the panels as one picture to save.

// A code of a part as counts; beyond the stored range it is a bound.
function countsText({panel}, code) {
  if (panel.signed) return rounded(differenceOf(code, panel.range));
  return ({0: "≤ ", [CODES]: "≥ "}[code] || "") + rounded(countsOf(code, panel.range));
}

// The counts under the pointer: in every panel, and of all pictures where only some are shown.
// Those of several channels are separated by strokes.
function readOut(viewer) {
  const {scene, pointer} = viewer;
  for (const {value, sides, cuts, axes} of viewer.figures) {
    const texts = sides.map(({parts}, side) => {
      if (!pointer) return "";
      const [row, column] = [axes.down, axes.across].map((axis) =>
        Math.floor(pointer[axis] / scene.voxel_size_um[axis]));
      const {width, height} = cuts[side][0];
      if (row < 0 || column < 0 || row >= height || column >= width) return "";
      return parts.map((part, at) => countsText(part, cuts[side][at].codes[row * width + column]))
        .join(" / ");
    });
    value.textContent = texts.some(Boolean) && !viewer.orthogonal
      ? `${texts.join(" | ")} counts` : "";
  }
  // In three planes without a pointer, the place is that of the cross-hair.
  const place = viewer.orthogonal ? pointer || viewer.at.map(
    (index, axis) => (index + 0.5) * scene.voxel_size_um[axis]) : null;
  const voxel = place?.map((um, axis) => Math.floor(um / scene.voxel_size_um[axis]));
  const inside = voxel?.every((index, axis) => index >= 0 && index < scene.shape[axis]);
  const at = inside && (voxel[0] * scene.shape[1] + voxel[1]) * scene.shape[2] + voxel[2];
  viewer.control.counts.textContent = !inside ? "" :
    `At ${place.map((um) => um.toFixed(2)).join(", ")} µm (Z, Y, X): ` + viewer.pictures.map(
      ({label, parts}) => `${label} ${parts.map(
        (part) => countsText(part, part.channel.volumes[part.i][at])).join(" / ")}`
    ).join(", ") + " counts";
}

// All panels with their names, as one picture to save.
function savePicture(viewer) {
  const head = 22 * (window.devicePixelRatio || 1), gap = head / 4;
  const canvases = viewer.figures.map((figure) => figure.canvas);
  const columns = getComputedStyle(viewer.stage).gridTemplateColumns.split(" ").length;
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
  viewer.pointer = null;
  viewer.draw();
  viewer.figures.forEach(({canvas, figure}, i) => {
    const [x, y] = [(i % across) * (width + gap), Math.floor(i / across) * (height + head + gap)];
    context.fillStyle = "black";
    context.fillText(figure.querySelector("strong").textContent, x, y + head * 0.75);
    context.drawImage(canvas, x, y + head);
  });
  const link = document.createElement("a");
  link.download = `${viewer.scene.name.replace(/[^\w.-]+/g, "_")}.png`;
  link.href = sheet.toDataURL("image/png");
  link.click();
}
