// What htmx asks of the server: every request carries the session; a stale one is renewed and the same request sent again.
import { header, renew } from "./session.js";
import { ask, toast } from "./tell.js";

const say = document.body.dataset;
const htmx = window.htmx;
let open = 0;

function busy(change) {
  open = Math.max(0, open + change);
  document.body.classList.toggle("busy", open > 0);
}

const quiet = (event) => event.detail.elt?.hasAttribute?.("data-quiet");

document.addEventListener("htmx:configRequest", (event) => Object.assign(event.detail.headers, header()));
document.addEventListener("htmx:beforeRequest", (event) => {
  if (quiet(event)) {
    if (document.hidden) event.preventDefault(); // a page that nobody looks at asks nothing by itself
    return;
  }
  busy(1);
  // Not htmx:afterRequest: of an element that has left the page meanwhile it reaches nobody, and the bar would stay for ever.
  event.detail.xhr.addEventListener("loadend", () => busy(-1), { once: true });
});
document.addEventListener("htmx:sendError", (event) => { if (!quiet(event)) toast(say.sayGone, true); });

document.addEventListener("htmx:responseError", async (event) => {
  const { xhr, requestConfig, elt, target } = event.detail;
  if (xhr.status === 401 && !requestConfig.headers["X-Again"]) {
    try {
      // A poll of the page may have renewed it while this request was under way.
      if (requestConfig.headers["X-Frame-Session"] === header()["X-Frame-Session"]) await renew();
      document.getElementById("ended")?.remove();
    } catch (error) {
      // A portal that is busy with calls says nothing against the viewer: the next try may do.
      if (error.status >= 500 || error.status === 429) toast(say.sayFault, true);
      else if (!quiet(event) || error.kind === "session") ended(error);
      return;
    }
    // htmx asks nothing for an element that has left the page: a part that drew itself anew must not swallow a press within it.
    const again = { source: elt.isConnected ? elt : target, target, values: requestConfig.formData ?? requestConfig.parameters, headers: { "X-Again": "1" } };
    htmx.ajax(requestConfig.verb.toUpperCase(), requestConfig.path, again);
    return;
  }
  if (quiet(event)) return;
  const [heading, why] = reason(xhr.responseText);
  const words = xhr.getResponseHeader("X-Error") === "portal_refuses" && why ? `${heading.textContent}. ${why.textContent}` : heading?.textContent;
  toast(words ?? say.sayFault, true);
});

// The session is not renewed: say why, or how to get back in, and leave what was typed where it is.
function ended(error) {
  document.getElementById("ended")?.remove();
  const notice = document.createElement("div");
  notice.id = "ended";
  notice.className = "notice bad";
  notice.setAttribute("role", "alert");
  notice.dataset.testid = "session-ended";
  const why = error.kind && error.kind !== "session" ? reason(error.text) : [];
  if (why.length) notice.append(...why);
  else notice.textContent = say.sayStale;
  document.getElementById("page").prepend(notice);
  notice.scrollIntoView({ block: "nearest" });
}

// The words of an error page, without what stands around them.
function reason(text) {
  const words = new DOMParser().parseFromString(text, "text/html").querySelectorAll("[data-testid=error] h1, [data-testid=error] p");
  return [...words].map((from) => {
    const line = document.createElement(from.tagName === "H1" ? "h2" : "p");
    line.textContent = from.textContent;
    return line;
  });
}

// Leaving a page with unsaved changes is asked about. Its own form, and parts within the page, are not leaving.
document.addEventListener("htmx:confirm", async (event) => {
  const { elt, target } = event.detail;
  const question = elt.getAttribute("hx-confirm");
  const form = document.querySelector("form.dirty");
  const leaves = form && target?.id === "app" && elt !== form;
  if (!question && !leaves) return;
  event.preventDefault();
  if (await ask(leaves ? say.sayLeave : question)) event.detail.issueRequest(true);
});

// A new page: readers hear its heading, and the portal shows its top.
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target?.id !== "app") return;
  const first = document.querySelector("#page [role=alert], #page h1");
  if (first) {
    if (!first.hasAttribute("tabindex")) first.setAttribute("tabindex", "-1");
    first.focus({ preventScroll: false });
  }
});
