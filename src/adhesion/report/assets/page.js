"use strict";

// Sorting: numbers by value, words by name, dashes last; a second click turns the order round.
const DASH = "-";

function compare(a, b, numeric) {
  if (a === DASH || b === DASH) return null;
  return numeric ? parseFloat(a) - parseFloat(b) : a.localeCompare(b, "en");
}

function sortBy(table, index) {
  const header = table.tHead.rows[0].cells[index];
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const numeric = header.classList.contains("number");
  const text = (row) => row.cells[index].textContent.trim();
  const rows = Array.from(table.tBodies[0].rows);
  rows.sort((first, second) => {
    const [a, b] = [text(first), text(second)];
    const order = compare(a, b, numeric);
    if (order === null) return (a === DASH) - (b === DASH);
    return down ? -order : order;
  });
  table.tBodies[0].append(...rows);
}

for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead button").forEach((button, index) => {
    button.addEventListener("click", () => sortBy(table, index));
  });
}

// The 3D view: one viewer, filled when it comes into sight, and a button for each interface.
async function startViewer(place) {
  const data = JSON.parse(document.getElementById("structures").textContent);
  const ids = { structure: "viewer-structure", info: "viewer-info", meta: "viewer-meta" };
  const warnings = new Chemiscope.Warnings();
  const viewer = await Chemiscope.StructureVisualizer.load(ids, data.dataset, warnings);
  const buttons = Array.from(document.querySelectorAll("[data-structure]"));
  const show = (i) => {
    viewer.select({ environment: i, structure: i });
    document.getElementById("structure-caption").textContent = data.captions[i];
    buttons.forEach((b, j) => b.setAttribute("aria-pressed", String(i === j)));
    place.dataset.shown = String(i);
  };
  buttons.forEach((button, i) => button.addEventListener("click", () => show(i)));
  const pressed = buttons.findIndex((b) => b.getAttribute("aria-pressed") === "true");
  show(Math.max(pressed, 0));
}

const place = document.getElementById("viewer");
if (place !== null) {
  const start = () => startViewer(place).catch((error) => {
    place.textContent = `The 3D view needs WebGL, which this browser does not give: ${error.message}`;
  });
  const watch = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watch.disconnect();
    start();
  }, { rootMargin: "200px" });
  watch.observe(place);
}
