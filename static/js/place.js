// A tab of ours in a page of the portal: calls and their recordings, nothing else.
import "./requests.js";
import "./players.js";
import { fit } from "./frame.js";

fit(document.getElementById("app"), document.body.classList.contains("card-tab") ? 440 : undefined);
document.documentElement.dataset.ready = "yes";
