// The frame's page. Modules talk through the page itself; htmx and the SDK are globals of their own scripts.
import "./requests.js";
import "./forms.js";
import "./players.js";
import "./rules.js";
import "./charts.js";
import { fit } from "./frame.js";

fit(document.getElementById("app"));
document.documentElement.dataset.ready = "yes"; // for tests: from here on every control works
