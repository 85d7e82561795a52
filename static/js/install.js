// The installation ends here: only `installFinish` makes events flow and placements appear; the portal then opens the main page.
import { fit, frame } from "./frame.js";

const steps = document.getElementById("steps");

async function finish() {
  const b24 = await frame();
  if (!b24) throw new Error("not inside a portal");
  if (!b24.isInstallMode) return document.getElementById("onward").requestSubmit(); // opened again: it is installed
  // The portal does not answer this: it reloads the frame with the main page.
  b24.installFinish().catch(failed);
  steps.lastElementChild.classList.replace("busy", "done");
}

function failed() {
  steps.lastElementChild.classList.replace("done", "failed");
  steps.lastElementChild.classList.replace("busy", "failed");
  document.getElementById("trouble").hidden = false;
}

fit(document.querySelector("main"));
setTimeout(() => { document.getElementById("slow").hidden = false; }, 8000);
finish().catch(failed);
