// Tables as text for other programs: every table in a `.scroll` gets buttons that copy it as CSV or as LaTeX.

const GROUPED = /^[-+]?\d{1,3}(,\d{3})+(\.\d+)?$/;

// What other programs read: a minus sign of theirs, plain spaces, numbers without groups of thousands.
function plain(shown) {
  const text = shown.replace(/\u2212/g, "-").replace(/\u00a0/g, " ").replace(/\s+/g, " ").trim();
  return GROUPED.test(text) ? text.replace(/,/g, "") : text;
}

const rowsOf = table => [...table.rows].map(row =>
  [...row.cells].flatMap(cell => [plain(cell.textContent), ...Array(cell.colSpan - 1).fill("")]));

const asCsv = rows => rows.map(row => row.map(cell =>
  /[",\n]/.test(cell) ? `"${cell.replace(/"/g, '""')}"` : cell).join(",")).join("\n") + "\n";

function asLatex(rows) {
  const escaped = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" };
  const cell = text => text.replace(/[\\~^&%$#_{}]/g, c => escaped[c] || "\\" + c);
  const lines = rows.map(row => row.map(cell).join(" & ") + " \\\\");
  const columns = "l" + "r".repeat(Math.max(0, (rows[0] || []).length - 1));
  return [`\\begin{tabular}{${columns}}`, "\\hline", lines[0], "\\hline", ...lines.slice(1), "\\hline",
    "\\end{tabular}", ""].join("\n");
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // pages from a disk may not be allowed to
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1200);
}

function copyButtons(rows) {
  const place = document.createElement("p");
  place.className = "copying";
  for (const [name, write] of [["Copy as CSV", asCsv], ["Copy as LaTeX", asLatex]]) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => copy(write(rows()), button));
    place.append(button);
  }
  return place;
}

for (const holder of document.querySelectorAll(".scroll")) {
  const table = holder.querySelector("table");
  if (table) holder.after(copyButtons(() => rowsOf(table)));
}
