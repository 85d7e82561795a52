// The frame's page. Modules talk through the page itself; htmx and the SDK are globals of their own scripts.
import "./requests.js";
import "./forms.js";
import "./players.js";
import "./rules.js";
import "./charts.js";
import "./countdown.js";
import { fit } from "./frame.js";

fit(document.getElementById("app"));
// From here on every control works: htmx, whose script stands before this one, has seen the page. Until then the page takes no clicks,
// since a link that is followed without htmx carries no session.
document.addEventListener("DOMContentLoaded", () => { document.documentElement.dataset.ready = "yes"; });

// On a narrow screen tabs stand in one row that scrolls: the present one is brought into view.
function bringNear() {
  for (const here of document.querySelectorAll(".tabs [aria-current]")) {
    const row = here.closest(".tabs");
    row.scrollLeft += here.getBoundingClientRect().left - row.getBoundingClientRect().left - (row.clientWidth - here.offsetWidth) / 2;
  }
}
document.addEventListener("htmx:afterSettle", bringNear);
bringNear();
