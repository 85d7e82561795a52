// The frame session: kept in this module only, sent as a header, renewed by the portal before it ends. Never a cookie, never in a URL.
import { frame } from "./frame.js";

const page = document.body.dataset;
let claim = page.session;
let seconds = Number(page.seconds);
let running;
delete document.body.dataset.session;

export const header = () => ({ "X-Frame-Session": claim });

// One renewal at a time; whoever needs one meanwhile waits for the same.
export function renew() {
  running ??= fresh().finally(() => { running = undefined; });
  return running;
}

async function fresh() {
  ({ session: claim, seconds } = await proven(page.renew));
  plan();
}

// Another session for another purpose of this page, proven in the same way.
export async function become(url, more) {
  ({ session: claim, seconds } = await proven(url, () => more));
}

// A request that the portal's own fresh token proves.
export async function proven(url, more = () => ({})) {
  const b24 = await frame();
  if (!b24) throw new Error("not inside a portal");
  // A portal that gives no token any more is told to our server all the same, which knows why.
  const auth = await b24.auth.refreshAuth().catch(() => null);
  const form = new URLSearchParams(!auth ? {} : {
    AUTH_ID: auth.access_token,
    AUTH_EXPIRES: auth.expires_in,
    member_id: auth.member_id,
    DOMAIN: new URL(auth.domain).host,
    LANG: page.lang,
    ...more(auth),
  });
  const answer = await fetch(url, { method: "POST", body: form, headers: header(), credentials: "omit" });
  if (!answer.ok) throw Object.assign(new Error(`${url}: ${answer.status}`), { status: answer.status, kind: answer.headers.get("X-Error"), text: await answer.text() });
  return answer.json();
}

let timer;
function plan() {
  if ("lazy" in page) return; // a tab in the background costs the portal nothing: it is renewed when it is used
  clearTimeout(timer);
  timer = setTimeout(() => renew().catch(() => { timer = setTimeout(plan, 60000); }), seconds * 750);
}
plan();

// A POST of our own scripts (htmx has its own way); one retry after a renewal.
export async function post(url, again = true) {
  const answer = await fetch(url, { method: "POST", headers: header(), credentials: "omit" });
  if (answer.status === 401 && again) {
    await renew();
    return post(url, false);
  }
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer.json();
}
