// The rules page: order by mouse and keyboard, rules that go, and what counts as a change. All else comes from the server.

const list = () => document.getElementById("rules-list");

function changed(element) {
  element.closest("form")?.dispatchEvent(new Event("change", { bubbles: true }));
  element.closest("form")?.classList.add("dirty");
}

// Readers hear where a rule is now; the screen shows it by itself.
function told(item) {
  const items = [...list().children];
  const say = item.closest("form").dataset.sayMoved;
  const words = { name: item.dataset.name, number: items.indexOf(item) + 1, count: items.length };
  document.getElementById("rules-told").textContent = say.replace(/\{(\w+)\}/g, (_, key) => words[key]);
}

function move(item, up) {
  const other = up ? item.previousElementSibling : item.nextElementSibling;
  if (!other) return;
  if (up) other.before(item);
  else other.after(item);
  changed(item);
  told(item);
}

document.addEventListener("click", (event) => {
  const arrow = event.target.closest("[data-move]");
  if (arrow) {
    move(arrow.closest("li"), arrow.dataset.move === "up");
    arrow.focus(); // a moved element loses it
  }
  const drop = event.target.closest("[data-drop-rule]");
  if (drop) {
    const item = drop.closest("li");
    const next = item.nextElementSibling ?? item.previousElementSibling;
    changed(item);
    item.remove();
    (next?.querySelector("[data-drop-rule]") ?? document.querySelector("[data-testid=add-rule]"))?.focus();
  }
  const change = event.target.closest("[data-changes]");
  if (change) change.closest("form")?.classList.add("dirty");
});

document.addEventListener("keydown", (event) => {
  const handle = event.target.closest?.("[data-handle]");
  if (!handle || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
  event.preventDefault();
  move(handle.closest("li"), event.key === "ArrowUp");
  handle.focus();
});

function sortable() {
  const found = list();
  if (!found || found.dataset.sortable) return;
  found.dataset.sortable = "yes";
  window.Sortable.create(found, {
    handle: "[data-handle]",
    animation: 120,
    ghostClass: "ghost",
    onEnd: ({ item, oldIndex, newIndex }) => {
      if (oldIndex === newIndex) return;
      changed(item);
      told(item);
    },
  });
}

document.addEventListener("htmx:afterSwap", sortable);
sortable();

// A part that was put in says what is worked on next. (The browser's own autofocus is blocked in a frame of another site.)
document.addEventListener("htmx:afterSettle", () => {
  for (const item of document.querySelectorAll("li[data-focus]")) {
    item.querySelector(item.dataset.focus)?.focus();
    delete item.dataset.focus;
  }
});
