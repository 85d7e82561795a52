// Pages that only tell something: the frame takes their height.
import { fit } from "./frame.js";

fit(document.querySelector("main"));
