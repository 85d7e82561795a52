// The installation ends here: only `installFinish` makes events flow and placements appear; the portal then opens the main page.
import { fit, frame } from "./frame.js";

const steps = document.getElementById("steps");

async function finish() {
  const b24 = await frame();
  if (!b24) throw new Error("not inside a portal");
  await b24.installFinish();
}

fit(document.querySelector("main"));
setTimeout(() => { document.getElementById("slow").hidden = false; }, 8000);
finish().then(
  () => steps.lastElementChild.classList.replace("busy", "done"),
  () => {
    steps.lastElementChild.classList.replace("busy", "failed");
    document.getElementById("trouble").hidden = false;
  },
);
