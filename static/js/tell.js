// Short words to the person, near where they last were: the frame is as high as its content, so "bottom of the window" may be out of sight.

let near = 0;
for (const kind of ["pointerdown", "focusin"]) {
  document.addEventListener(kind, (event) => {
    const box = event.target instanceof Element ? event.target.getBoundingClientRect() : null;
    if (box) near = Math.max(0, window.scrollY + box.top);
  }, true);
}

export function toast(words, bad = false) {
  const place = document.getElementById("toasts");
  const item = document.createElement("div");
  item.className = bad ? "toast bad" : "toast";
  item.textContent = words;
  const lowest = Math.max(16, document.documentElement.scrollHeight - 80);
  place.style.top = `${Math.min(lowest, near + 56)}px`;
  place.append(item);
  setTimeout(() => item.remove(), bad ? 8000 : 2500);
}

// A question with two answers. The browser's own confirm() is silent in a frame of another site.
export function ask(words) {
  const dialog = document.getElementById("ask");
  dialog.querySelector("p").textContent = words;
  dialog.style.top = `${Math.max(16, near - 40)}px`;
  dialog.returnValue = "";
  dialog.showModal();
  dialog.querySelector("[value=no]").focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
