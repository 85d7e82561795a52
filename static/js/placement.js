// A tab of ours in a page of the portal: calls and their recordings, nothing else.
import "./requests.js";
import "./players.js";
import { fit, frame } from "./frame.js";
import { become } from "./session.js";

fit(document.getElementById("app"), document.body.classList.contains("card-tab") ? 440 : undefined);
// A call card that learns who calls, or is given another client, shows their calls.
const page = document.body.dataset;
let client = page.client, last = Promise.resolve();

// One after the other: of two quick changes the later one is shown.
function follow(card) {
  if (card && "CRM_ENTITY_ID" in card) last = last.then(() => turn(card.CRM_ENTITY_TYPE ?? "", card.CRM_ENTITY_ID || ""));
}

async function turn(type, id) {
  const now = `${type}:${id}`;
  if (now === client) return;
  try {
    await become(page.follow, { CRM_ENTITY_TYPE: type, CRM_ENTITY_ID: id });
  } catch {
    return; // the tab keeps what it showed, and the next change is tried again
  }
  client = now;
  await window.htmx.ajax("GET", page.calls, { target: "#app", swap: "innerHTML" });
}

async function watch() {
  const b24 = await frame();
  if (!b24) return;
  // The SDK takes what comes within its first 900 ms for the answer to the binding itself.
  b24.placement.bindEvent("CallCard::EntityChanged", follow).then(follow);
  follow(await b24.placement.call("getStatus").catch(() => null)); // what changed while the tab was being loaded
}
if (page.follow) watch();
document.documentElement.dataset.ready = "yes";
