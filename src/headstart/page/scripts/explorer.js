// The images of a pair: filtered, sorted, painted with boxes or activations; one chosen, with its neighbors in both
// spaces. One list (`view`) is behind the gallery and the table, so that a filter filters both.

const PAGE = 12;
const ROWS = 50;
// The colors of the series of charts, lighter: they stand on photographs. Arms differ in dashes, too.
const COLORS = ["#4cc9f0", "#ffa552", "#c9c9c2", "#3df0c5", "#e39cf0", "#ffd60a", "#ff8aa5"];
const DASHES = [[], [4, 2.5]];
const TIE = 1e-6;
const NAMED = 10;
const TRUTH = "#ffffff";
const points = value => value === null || value === undefined ? "–" : (100 * value).toFixed(1);
const percent = value => value === null || value === undefined ? "–" : (100 * value).toPrecision(2) + " %";
const grouped = count => count.toLocaleString("en");  // as everywhere else in the report
const element = (name, text, kind) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;  // never as markup: it may come from data
  if (kind) made.className = kind;
  return made;
};

class Explorer {
  constructor(root, images, pair, number) {
    Object.assign(this, { root, images, pair, number });
    const unpacked = maps => maps.map(map => map && { grid: map.grid, values: bytes(map.values) });
    this.maps = { maps: unpacked(pair.maps), cams: unpacked(pair.cams) };  // by what is shown
    this.pictures = new Map();
    this.apart = images.ids.map((_, k) => this.difference(k));  // once: a filter of many images asks for it again and again
    this.names = images.ids.map(id => id.toLowerCase());
    this.controls = Object.fromEntries([...root.querySelectorAll("[data-control]")].map(c => [c.dataset.control, c]));
    this.defaults = {};
    this.panel = this.part("detail");
    this.chosen = null;
    this.shown = PAGE;
    this.rows = ROWS;
    this.prepare();
    this.restore();
    for (const arm of [0, 1]) this.root.querySelectorAll(".arm-key")[1 + arm].style.borderColor = this.color(arm);
    for (const control of Object.values(this.controls)) control.addEventListener("input", () => this.change(control));
    this.part("clear").addEventListener("click", () => this.clear());
    this.part("more").addEventListener("click", () => { this.shown += PAGE; this.gallery(); });
    this.part("more-rows").addEventListener("click", () => { this.rows += 4 * ROWS; this.table(); });
    this.part("gallery").addEventListener("keydown", event => this.walk(event));
    this.part("rows").closest(".scroll").nextElementSibling?.remove();  // that copied the rows shown only
    this.part("rows").closest(".scroll").after(copyButtons(() => this.asRows()));
    window.addEventListener("hashchange", () => this.restore());
    this.update();
  }

  color(arm) { return COLORS[this.pair.series[arm] % COLORS.length]; }

  part(name) { return this.root.querySelector(`[data-part="${name}"]`); }

  score(arm, k) { return this.pair.scores ? this.pair.scores[arm][k] : null; }

  difference(k) {
    const [a, b] = [this.score(0, k), this.score(1, k)];
    return a === null || b === null ? null : a - b;
  }

  label(k) {
    const label = this.pair.labels ? this.pair.labels[k] : -1;
    return label >= 0 ? this.pair.names[label] : "";
  }

  // What is in image k: its class; of objects of several classes how many of each, the most frequent first.
  inside(k) {
    const flat = this.images.boxes[k], counts = new Map();
    for (let at = 4; at < flat.length; at += 5) counts.set(flat[at], (counts.get(flat[at]) ?? 0) + 1);
    const whole = !this.pair.counts || this.pair.counts[k] * 5 === flat.length;  // of very many not all boxes are here
    if (counts.size < 2 || !whole) return this.label(k);
    return [...counts].sort((a, b) => b[1] - a[1]).map(([at, n]) => `${n} ${this.images.classes[at]}`).join(", ");
  }

  // Options that the data decide: classes; what can be shown and sorted by.
  prepare() {
    const classes = [...new Set(this.images.ids.map((_, k) => this.label(k)).filter(Boolean))].sort();
    for (const name of classes) this.controls.class.append(new Option(name, name));
    const drop = (control, values) => [...this.controls[control].options].forEach(o => values.includes(o.value) && o.remove());
    if (!this.pair.found) drop("show", ["boxes"]);
    for (const kind of ["maps", "cams"]) if (!this.maps[kind].some(Boolean)) drop("show", [kind]);
    const known = this.images.ids.some((_, k) => this.difference(k) !== null);
    if (!known) { drop("sort", ["apart", "a", "b"]); this.controls.ahead.closest("label").hidden = true; }
    if (!this.pair.counts || !this.pair.counts.some(Boolean)) {
      drop("sort", ["count", "area"]);
      this.controls.count.closest("label").hidden = true;
    }
    if (!this.images.boxes.some(flat => flat.length)) this.controls.truth.closest("label").hidden = true;
    this.alike = classes.length < 2;
    if (this.alike) this.controls.class.closest("label").hidden = true;
    if (this.pair.threshold !== null) this.controls.threshold.value = this.pair.threshold;
    for (const [name, control] of Object.entries(this.controls)) this.defaults[name] = this.value(control);
  }

  value(control) { return control.type === "checkbox" ? String(control.checked) : control.value; }

  set(control, value) {
    if (control.type === "checkbox") control.checked = value === "true";
    else control.value = value;
    if (control.tagName === "SELECT" && control.selectedIndex < 0) control.selectedIndex = 0;
  }

  restore() {
    const said = address.read();
    if (Number(said.get("pair") || 0) !== this.number) return;
    for (const [name, control] of Object.entries(this.controls)) this.set(control, said.get(name) ?? this.defaults[name]);
    const at = this.images.ids.indexOf(said.get("img") ?? "");
    this.chosen = at >= 0 ? at : null;
    if (this.view) this.update();
  }

  remember() {
    const values = { pair: this.number || "", img: this.chosen === null ? "" : this.images.ids[this.chosen] };
    for (const [name, control] of Object.entries(this.controls)) {
      values[name] = this.value(control) === this.defaults[name] ? "" : this.value(control);
    }
    address.write(values);
  }

  clear() {
    for (const [name, control] of Object.entries(this.controls)) this.set(control, this.defaults[name]);
    this.chosen = null;
    this.change(this.controls.sort);
  }

  change(control) {
    const paints = ["show", "threshold", "truth"].includes(control.dataset.control);
    if (!paints) { this.shown = PAGE; this.rows = ROWS; }
    if (paints) { this.gallery(); this.detail(); this.said(); } else this.update();
    this.remember();
  }

  update() {
    const is = name => this.controls[name].value;
    const many = { "": null, 0: n => n === 0, 1: n => n === 1, 2: n => n >= 2 && n <= 4, 5: n => n >= 5 }[is("count")];
    const ahead = { "": null, a: d => d > TIE, b: d => d < -TIE, level: d => Math.abs(d) <= TIE }[is("ahead")];
    const words = is("find").trim().toLowerCase();
    this.view = this.images.ids.map((_, k) => k).filter(k => (!is("class") || this.label(k) === is("class"))
      && (!many || !this.pair.counts || many(this.pair.counts[k]))
      && (!ahead || (this.apart[k] !== null && ahead(this.apart[k])))
      && (!words || this.names[k].includes(words)));
    const key = {
      apart: k => this.apart[k] === null ? 1 : -Math.abs(this.apart[k]),
      a: k => -(this.apart[k] ?? -9),
      b: k => this.apart[k] ?? 9,
      count: k => -this.pair.counts[k],
      area: k => this.pair.areas[k] || 9,
      order: k => k,
    }[is("sort")];
    const keys = new Float64Array(this.images.ids.length);
    for (const k of this.view) keys[k] = key(k);
    this.view.sort((p, q) => keys[p] - keys[q] || p - q);
    this.gallery();
    this.table();
    this.detail();
    this.said();
  }

  said() {
    const ahead = [0, 0];
    for (const k of this.view) {
      const d = this.apart[k];
      if (d !== null && Math.abs(d) > TIE) ahead[d > 0 ? 0 : 1] += 1;
    }
    const [a, b] = this.pair.arms;
    const who = this.pair.scores ? `; ${a} is ahead on ${grouped(ahead[0])}, ${b} on ${grouped(ahead[1])}` : "";
    this.part("said").textContent = `${grouped(this.view.length)} of ${grouped(this.images.ids.length)} images${who}`;
    const show = this.controls.show.value, maps = show in this.maps;
    const value = Number(this.controls.threshold.value);
    this.part("threshold-said").textContent = maps ? `cells from ${value} % of the map’s range on` : `scores from ${(value / 100).toFixed(2)} on`;
    this.controls.threshold.closest("label").hidden = show === "plain";
    this.part("key-maps").hidden = !maps;
    this.part("what-maps").textContent = show === "cams" ? "what speaks for the image’s class to a linear probe (Grad-CAM)" : "energy";
    this.part("key-boxes").hidden = show !== "boxes";
  }

  // The image element of a picture, decoded once.
  picture(k) {
    if (!this.pictures.has(k)) {
      const image = new Image();
      image.src = "data:image/jpeg;base64," + this.images.pictures[k];
      this.pictures.set(k, image);
    }
    return this.pictures.get(k);
  }

  truth(k) {
    if (!this.controls.truth.checked) return [];
    const flat = this.images.boxes[k], boxes = [];
    for (let at = 0; at < flat.length; at += 5) boxes.push({ xyxy: flat.slice(at, at + 4), color: TRUTH, dash: [] });
    return boxes;
  }

  found(arm, k, named) {
    const flat = this.pair.found[arm][k], boxes = [];
    for (let at = 0; at < flat.length; at += 6) {
      if (flat[at + 5] < Number(this.controls.threshold.value)) continue;
      const label = named ? `${this.images.classes[flat[at + 4]] ?? ""} .${String(flat[at + 5]).padStart(2, "0")}` : "";
      boxes.push({ xyxy: flat.slice(at, at + 4), color: this.color(arm), dash: DASHES[arm], label });
    }
    if (boxes.length > NAMED) boxes.forEach(one => { one.label = ""; });  // names would hide what they name
    return boxes.reverse();
  }

  // A canvas of image k as `arm` sees it (null: as it is), painted once its picture is there.
  canvas(k, arm, named) {
    const canvas = element("canvas");
    const [w, h] = this.images.size;
    canvas.width = w;
    canvas.height = h;
    const show = arm === null ? "plain" : this.controls.show.value;
    const layers = { boxes: this.truth(k), bold: named };
    let words = "photograph";
    if (this.maps[show]?.[arm]) {
      const { grid, values } = this.maps[show][arm], cells = grid[0] * grid[1];
      layers.heat = { grid, values: values.subarray(k * cells, (k + 1) * cells), threshold: this.controls.threshold.value / 100 };
      words = show === "cams" ? `what speaks for its class to ${this.pair.arms[arm]}` : `where ${this.pair.arms[arm]} fires`;
    } else if (show === "boxes") {
      const found = this.found(arm, k, named);
      layers.boxes = [...layers.boxes, ...found];
      words = `${found.length} detections of ${this.pair.arms[arm]}`;
    }
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${this.images.ids[k]}: ${words}`);
    const image = this.picture(k);
    const draw = () => paint(canvas, image, layers);
    if (image.complete && image.naturalWidth) draw();
    else image.addEventListener("load", draw, { once: true });
    return canvas;
  }

  facts(k) {
    const said = [this.inside(k)];
    if (this.pair.counts && this.pair.counts[k]) {
      said.push(`${this.pair.counts[k]} object${this.pair.counts[k] === 1 ? "" : "s"}, ${percent(this.pair.areas[k])} each`);
    }
    if (this.difference(k) !== null) said.push(`${points(this.score(0, k))} against ${points(this.score(1, k))}`);
    return said.filter(Boolean).join("; ");
  }

  gallery() {
    const arms = this.controls.show.value === "plain" ? [null] : [0, 1];
    const cards = this.view.slice(0, this.shown).map(k => {
      const card = element("button", undefined, "card");
      card.type = "button";
      card.dataset.k = k;
      card.setAttribute("aria-pressed", String(k === this.chosen));
      const panels = element("span", undefined, "panels-of");
      panels.append(...arms.map(arm => this.canvas(k, arm, false)));
      card.append(panels, element("span", this.images.ids[k], "name"), element("span", this.facts(k), "facts-of"));
      card.addEventListener("click", () => this.choose(k));
      return card;
    });
    this.part("gallery").replaceChildren(...cards, this.panel);
    this.place();
    this.part("more").hidden = this.view.length <= this.shown;
    this.part("none").hidden = this.view.length > 0;
  }

  walk(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const card = event.target.closest(".card");
    if (!step || !card) return;
    const cards = [...this.part("gallery").querySelectorAll(":scope > .card")];
    const next = cards[cards.indexOf(card) + step];
    if (next) { next.focus(); event.preventDefault(); }
  }

  // The chosen image's panel stands below its row: the grid fills the row up with the cards that follow.
  place() {
    const k = this.chosen ?? this.view[0];
    const gallery = this.part("gallery"), card = gallery.querySelector(`:scope > [data-k="${k}"]`);
    if (card) card.after(this.panel);
    else gallery.prepend(this.panel);
    return card;
  }

  choose(k) {
    this.chosen = k;
    for (const card of this.part("gallery").querySelectorAll(":scope > .card")) {
      card.setAttribute("aria-pressed", String(Number(card.dataset.k) === k));
    }
    if (!this.place()) this.panel.scrollIntoView({ block: "nearest" });
    this.table();
    this.detail();
    this.remember();
  }

  detail() {
    const k = this.chosen ?? this.view[0];
    const place = this.panel;
    place.hidden = k === undefined;
    if (place.hidden) return;
    const arms = this.controls.show.value === "plain" ? [null] : [null, 0, 1];
    const figures = arms.map(arm => {
      const figure = element("figure");
      const words = arm === null ? "The image" : this.pair.arms[arm];
      figure.append(this.canvas(k, arm, true), element("figcaption", words));
      return figure;
    });
    const large = element("div", undefined, "large");
    large.append(...figures);
    place.replaceChildren(element("h4", this.images.ids[k]), element("p", this.facts(k), "facts-of"), large, ...this.near(k));
  }

  near(k) {
    if (!this.pair.near) return [];
    return [0, 1].map(arm => {
      const [nearest, ranks] = this.pair.near[arm];
      const other = this.pair.arms[1 - arm];
      const row = element("div", undefined, "space-of");
      row.append(element("p", `Nearest for ${this.pair.arms[arm]}, nearest first; below, their rank for ${other}`, "space"));
      const list = element("ol");
      nearest[k].forEach((j, place) => {
        const item = element("li"), button = element("button", undefined, "card");
        button.type = "button";
        const same = this.label(k) && this.label(j) === this.label(k);
        if (same) button.classList.add("same");
        const image = this.picture(j).cloneNode();
        image.alt = `${this.images.ids[j]}, ${this.inside(j) || "no class"}`;
        button.append(image, element("span", `rank ${ranks[k][place]}${this.alike || !this.label(j) ? "" : ": " + this.inside(j)}`));
        button.addEventListener("click", () => this.choose(j));
        item.append(button);
        list.append(item);
      });
      row.append(list);
      return row;
    });
  }

  asRows() {
    const [a, b] = this.pair.arms;
    const body = this.view.map(k => [this.images.ids[k], this.label(k), String(this.pair.counts?.[k] ?? ""),
      String(this.pair.areas?.[k] ?? ""), points(this.score(0, k)), points(this.score(1, k))]);
    return [["image", "class", "objects", "mean area", a, b], ...body];
  }

  table() {
    const rows = this.view.slice(0, this.rows).map(k => {
      const row = element("tr");
      const head = element("th");
      head.scope = "row";
      const button = element("button", this.images.ids[k], "link");
      button.type = "button";
      button.addEventListener("click", () => this.choose(k));
      head.append(button);
      const d = this.difference(k);
      const ahead = d === null ? "–" : Math.abs(d) <= TIE ? "level" : this.pair.arms[d > 0 ? 0 : 1];
      row.append(head, element("td", this.label(k) || "–"));
      const counts = this.pair.counts;
      for (const text of [counts ? counts[k] : "–", counts && counts[k] ? percent(this.pair.areas[k]) : "–",
        points(this.score(0, k)), points(this.score(1, k))]) row.append(element("td", text, "num"));
      row.append(element("td", ahead));
      if (k === this.chosen) row.className = "chosen";
      return row;
    });
    this.part("rows").replaceChildren(...rows);
    this.part("more-rows").hidden = this.view.length <= this.rows;
  }
}

const sets = [...document.querySelectorAll("script.image-data")].map(block => JSON.parse(block.textContent));
document.querySelectorAll(".explorer").forEach((root, number) => {
  const pair = JSON.parse(root.querySelector("script.pair-data").textContent);
  root.querySelector(".needs-script").remove();
  root.querySelector(".tools").hidden = false;
  new Explorer(root, sets[Number(root.dataset.images)], pair, number);
});
