// Photographs on canvases, with boxes and with the cells where a network fires.

const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));

// "inferno" of Smith and van der Walt, CC0: from dark to light in gray, too, so that no color needs to be told apart.
const STOPS = [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]];

function heatColor(unit) {
  const at = Math.min(Math.max(unit, 0), 1) * (STOPS.length - 1);
  const low = Math.min(Math.floor(at), STOPS.length - 2);
  return STOPS[low].map((v, k) => Math.round(v + (at - low) * (STOPS[low + 1][k] - v)));
}

// values (h * w) 0..255; cells from `threshold` (0..1) of the map's highest value on are lit.
function heatCells(values, [h, w], threshold) {
  const cells = document.createElement("canvas");
  cells.width = w;
  cells.height = h;
  const context = cells.getContext("2d");
  const pixels = context.createImageData(w, h);
  values.forEach((value, k) => {
    const unit = value / 255;
    pixels.data.set([...heatColor(unit), unit >= threshold ? 165 : 0], 4 * k);
  });
  context.putImageData(pixels, 0, 0);
  return cells;
}

const placed = ({ xyxy: [x1, y1, x2, y2] }, { width, height }) =>
  [x1 * width / 1000, y1 * height / 1000, (x2 - x1) * width / 1000, (y2 - y1) * height / 1000];

function box(context, one, bold) {
  const { color, dash } = one, { width } = context.canvas, place = placed(one, context.canvas);
  const stroke = Math.max(1.2, width / (bold ? 150 : 220));
  for (const [style, times] of [["rgb(0 0 0 / .6)", 2.2], [color, 1]]) {
    context.setLineDash(style === color ? dash.map(d => d * stroke) : []);
    context.strokeStyle = style;
    context.lineWidth = times * stroke;
    context.strokeRect(...place);
  }
  context.setLineDash([]);
}

// The label of a box: above it, or at the nearest place further up or down that no label in `taken` has.
function tag(context, one, taken) {
  const { width, height } = context.canvas, size = Math.max(10, width / 26), tall = size * 1.25;
  context.font = `600 ${size}px system-ui, sans-serif`;
  const wide = context.measureText(one.label).width + size / 2;
  const [x, y] = placed(one, context.canvas), left = Math.max(0, Math.min(x, width - wide));
  const free = top => top >= 0 && top + tall <= height &&
    taken.every(([l, t, w]) => left + wide <= l || l + w <= left || top + tall <= t || t + tall <= top);
  const first = Math.max(0, y - tall), steps = [...Array(Math.ceil(height / tall)).keys()];
  const top = steps.flatMap(k => [first - k * tall, first + k * tall]).find(free);
  if (top === undefined) return;
  taken.push([left, top, wide]);
  context.fillStyle = one.color;
  context.fillRect(left, top, wide, tall);
  context.fillStyle = "#14161a";
  context.fillText(one.label, left + size / 4, top + size);
}

// What stands over a photograph: {heat: {values, grid, threshold}, boxes: [{xyxy, color, dash, label}], bold}.
function paint(canvas, image, layers) {
  // A large view of a small picture has pixels of its own, or lines and names would be as coarse as the picture.
  const times = layers.bold ? Math.max(1, Math.ceil(640 / image.naturalWidth)) : 1;
  canvas.width = times * image.naturalWidth;
  canvas.height = times * image.naturalHeight;
  const context = canvas.getContext("2d");
  if (layers.heat) context.filter = "grayscale(1) brightness(.8)";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  context.filter = "none";
  if (layers.heat) {
    context.imageSmoothingEnabled = false;
    context.drawImage(heatCells(layers.heat.values, layers.heat.grid, layers.heat.threshold),
      0, 0, canvas.width, canvas.height);
  }
  const boxes = layers.boxes || [], taken = [];
  for (const one of boxes) box(context, one, layers.bold);
  for (const one of boxes) if (one.label) tag(context, one, taken);
}
