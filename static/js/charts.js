// Charts are drawn from the tables beside them. The library comes only to pages that have one.

const holders = () => [...document.querySelectorAll("[data-chart]")];
let drawn = [];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const number = (cell) => {
  const text = cell.dataset.value ?? cell.textContent.trim();
  return /^-?\d/.test(text) ? Number(text) : null;
};

function read(table) {
  const heads = [...table.querySelectorAll("thead th")];
  const rows = [...table.querySelectorAll("tbody tr")];
  const columns = heads.map((head, index) => ({ head, index })).filter(({ head }) => head.dataset.series);
  return {
    labels: rows.map((row) => row.cells[0].textContent.trim()),
    sets: columns.map(({ head, index }) => ({
      label: head.textContent.trim(),
      colour: head.dataset.series,
      values: rows.map((row) => number(row.cells[index])),
    })),
  };
}

function options(kind, sets) {
  const grid = { color: colour("line") };
  const ticks = { color: colour("muted") };
  const across = kind === "share";
  const counted = { grid, ticks: { ...ticks, precision: 0 }, beginAtZero: true, stacked: kind === "stack" };
  const named = { grid: { display: false }, ticks: { ...ticks, autoSkip: !across, maxRotation: 0 }, stacked: kind === "stack" };
  if (across) Object.assign(counted, { suggestedMax: 20, ticks: { ...ticks, callback: (value) => `${value} %` } });
  const tooltip = across ? { callbacks: { label: (item) => `${Math.round(item.raw)} %` } } : {};
  return {
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    indexAxis: across ? "y" : "x",
    interaction: { mode: "index", axis: across ? "y" : "x", intersect: false },
    scales: across ? { x: counted, y: named } : { x: named, y: counted },
    plugins: { tooltip, legend: { display: sets.length > 1, align: "start", labels: { color: colour("text"), boxWidth: 12, boxHeight: 12 } } },
  };
}

const SHORT = 22;
const MOST = 12; // bars that one can still tell apart; the table has the others
function draw(holder) {
  const kind = holder.dataset.chart;
  const table = document.getElementById(holder.dataset.table);
  let { labels, sets } = read(table);
  if (kind === "share") {
    labels = labels.slice(0, MOST).map((label) => (label.length > SHORT ? `${label.slice(0, SHORT - 1)}…` : label));
    sets = sets.map((set) => ({ ...set, values: set.values.slice(0, MOST) }));
    holder.style.setProperty("height", `${60 + 30 * labels.length}px`);
  }
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", table.caption.textContent.trim());
  holder.replaceChildren(canvas);
  const datasets = sets.map((set) => ({
    label: set.label,
    data: set.values,
    backgroundColor: colour(`chart-${set.colour}`),
    maxBarThickness: kind === "share" ? 18 : 44,
    borderRadius: 3,
  }));
  drawn.push(new window.Chart(canvas, { type: "bar", data: { labels, datasets }, options: options(kind, sets) }));
}

async function all() {
  for (const chart of drawn) chart.destroy();
  drawn = [];
  if (!holders().length) return;
  await import("../vendor/chart.umd.min.js");
  window.Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  for (const holder of holders()) draw(holder);
  document.documentElement.dataset.drawn = "yes";
}

document.addEventListener("htmx:afterSettle", (event) => { if (event.detail.target?.id === "app") all(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
all();
