// Forms: what is unsaved, employees by the portal's own picker, rows that come and go, addresses to copy.
import { frame } from "./frame.js";
import { post, proven } from "./session.js";
import { toast } from "./tell.js";

const say = document.body.dataset;
const htmx = window.htmx;

function changed(element) {
  element.closest("form[data-watch]")?.classList.add("dirty");
  element.closest("[data-row]")?.setAttribute("data-changed", "");
}

for (const kind of ["input", "change"]) document.addEventListener(kind, (event) => changed(event.target));

document.addEventListener("reset", (event) => {
  const here = event.target.dataset.here;
  if (!here) return;
  event.preventDefault();
  event.target.classList.remove("dirty");
  htmx.ajax("GET", here, { target: "#app" });
});

window.addEventListener("beforeunload", (event) => {
  if (document.querySelector("form.dirty")) event.preventDefault();
});

// Of a table only the rows that were changed are sent: thousands of others stay as they are, whoever changes them meanwhile.
document.addEventListener("htmx:configRequest", (event) => {
  const form = event.detail.elt.closest?.("form[data-rows]");
  if (!form || event.detail.verb === "get") return;
  for (const row of form.querySelectorAll("[data-row]:not([data-changed])")) {
    for (const field of row.querySelectorAll("[name]")) {
      event.detail.formData?.delete(field.name);
      delete event.detail.parameters[field.name];
    }
  }
});

async function pick(box) {
  const b24 = await frame();
  if (!b24) return toast(say.sayOutside, true);
  const many = box.dataset.mult === "yes";
  const found = many ? await b24.dialog.selectUsers() : await b24.dialog.selectUser();
  const people = (Array.isArray(found) ? found : Object.values(many ? found ?? {} : [found])).filter((one) => one?.id);
  if (!people.length) return undefined;
  if (!many) for (const chip of box.querySelectorAll(".chip")) chip.remove();
  for (const { id, name } of people) add(box, String(id).replace(/\D/g, ""), name);
  settle(box);
  return undefined;
}

function add(box, id, name) {
  if (!id || box.querySelector(`input[value="${id}"]`)) return;
  const chip = document.getElementById("chip").content.cloneNode(true).firstElementChild;
  chip.querySelector("span").textContent = name;
  const input = chip.querySelector("input");
  input.name = box.dataset.name;
  input.value = id;
  const drop = chip.querySelector("button");
  if ("required" in box.dataset) chip.classList.add("sole");
  if ("required" in box.dataset) drop.remove();
  drop.setAttribute("aria-label", drop.dataset.words.replace("{}", name));
  box.querySelector("[data-none]").before(chip);
}

function settle(box) {
  box.querySelector("[data-none]").hidden = box.querySelector(".chip") !== null;
  box.dispatchEvent(new Event("change", { bubbles: true }));
}

let copies = 0;
function another(button) {
  const template = document.getElementById(button.dataset.add);
  const holder = document.createElement("div");
  copies += 1;
  holder.innerHTML = template.innerHTML.replaceAll("__n__", `${button.dataset.prefix ?? ""}new${copies}`);
  const row = holder.firstElementChild;
  button.before(row);
  changed(button);
  row.querySelector("input, button")?.focus();
}

const clicks = {
  "[data-pick]": (button) => pick(button.closest("[data-users]")),
  "[data-drop]": (button) => {
    const box = button.closest("[data-users]");
    button.closest(".chip").remove();
    settle(box);
    box.querySelector("[data-pick]").focus();
  },
  "[data-accept]": (button) => {
    const row = button.closest("[data-row]");
    const box = row.querySelector("[data-users]");
    for (const chip of box.querySelectorAll(".chip")) chip.remove();
    add(box, button.dataset.accept, button.dataset.name);
    settle(box);
    button.closest("[data-suggestion]").remove();
  },
  "[data-add]": another,
  "[data-remove]": (button) => {
    const row = button.closest("[data-removable]");
    changed(row.parentElement);
    row.remove();
  },
  "[data-copy]": async (button) => {
    const field = document.getElementById(button.dataset.copy);
    field.select();
    // The portal's frame forbids the clipboard's new interface (and the console would say so); the old one works on the selection.
    if (!document.execCommand("copy")) await navigator.clipboard.writeText(field.value);
    toast(say.sayCopied);
  },
  "[data-takeover]": async (button) => {
    button.disabled = true;
    await proven(button.dataset.takeover, (auth) => ({ REFRESH_ID: auth.refresh_token })).finally(() => { button.disabled = false; });
    await htmx.ajax("GET", "/frame", { target: "#app" });
  },
  "[data-authorise]": async (button) => {
    window.open((await post(button.dataset.authorise)).url, "_blank", "noopener");
  },
  "[data-path]": async (link) => {
    const b24 = await frame();
    if (b24) await b24.slider.openPath(new URL(link.dataset.path, b24.auth.getTargetOrigin())).catch(() => {});
  },
};

document.addEventListener("click", (event) => {
  for (const [selector, act] of Object.entries(clicks)) {
    const found = event.target.closest(selector);
    if (found) {
      event.preventDefault();
      Promise.resolve(act(found)).catch(() => toast(say.sayFault, true));
      return;
    }
  }
  const row = event.target.closest("tr.link");
  if (row && !event.target.closest("a, button, input, audio, label")) row.querySelector("a.row")?.click();
});
