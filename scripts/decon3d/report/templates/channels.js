// Channels: one in grey, or all overlaid in their colours.

// What the panels show: per label, the parts that are laid over each other.
function picturesOf(channels) {
  if (channels.length === 1) {
    return channels[0].panels.map(
      (panel, i) => ({label: panel.label, parts: [{channel: channels[0], panel, i}]}));
  }
  const images = (channel) => channel.panels.filter((panel) => !panel.signed);
  const labels = new Set(channels.flatMap((channel) => images(channel).map((panel) => panel.label)));
  return [...labels].map((label) => ({label, parts: channels.flatMap((channel) => {
    const panel = images(channel).find((one) => one.label === label);
    return panel ? [{channel, panel, i: channel.panels.indexOf(panel)}] : [];
  })}));
}

// A canvas of sections of several channels, each as light of its colour, added up.
function blendCanvas(sections) {
  const {width, height} = sections[0].cut;
  const sums = sections.map(({cut, range, window, colour}) => {
    const shares = sharesOf(range, window), parts = rgb(colour);
    return {codes: cut.codes, tables: parts.map((part) => shares.map((share) => share * part))};
  });
  return painted(width, height, (data) => {  // the picture clips sums above white
    for (let i = 0; i < width * height; i++) {
      for (let k = 0; k < 3; k++) {
        let light = 0;
        for (const {codes, tables} of sums) light += tables[k][codes[i]];
        data[4 * i + k] = light;
      }
      data[4 * i + 3] = 255;
    }
  });
}

// The names of the channels in their colours, at the upper left, and a text at the upper right.
function drawLegend(context, channels, text, ratio) {
  context.save();
  context.font = `600 ${12 * ratio}px system-ui, sans-serif`;
  context.shadowColor = "black";
  context.shadowBlur = 3 * ratio;
  channels.forEach(({name, colour}, i) => {
    context.fillStyle = colour;
    context.fillText(name, 10 * ratio, (18 + 16 * i) * ratio);
  });
  context.fillStyle = "white";
  context.textAlign = "right";
  context.fillText(text, context.canvas.width - 10 * ratio, 18 * ratio);
  context.restore();
}
