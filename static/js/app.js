// The frame's page. Modules talk through the page itself; htmx and the SDK are globals of their own scripts.
import "./requests.js";
import "./forms.js";
import "./players.js";
import "./rules.js";
import "./charts.js";
import { fit } from "./frame.js";

fit(document.getElementById("app"));
// From here on every control works: htmx, whose script stands before this one, has seen the page. Until then the page takes no clicks,
// since a link that is followed without htmx carries no session.
document.addEventListener("DOMContentLoaded", () => { document.documentElement.dataset.ready = "yes"; });

// On a narrow screen the pages stand in one row that scrolls: the present one is brought into view.
function bringNear() {
  const row = document.querySelector(".top .tabs"), here = row?.querySelector("[aria-current]");
  if (here) row.scrollLeft = here.offsetLeft - (row.clientWidth - here.offsetWidth) / 2;
}
document.addEventListener("htmx:afterSettle", bringNear);
bringNear();
