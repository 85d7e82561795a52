// Helpers of every page of the sandbox: requests, short messages, live updates.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** An element: make('a', {href: '/', class: 'x'}, 'text', child). */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('class', 'icon');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `/sandbox/static/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** A short message at the bottom. */
export function toast(text, bad = false) {
  let shelf = $('#toasts');
  if (!shelf) document.body.append((shelf = make('div', { id: 'toasts', role: 'status' })));
  const note = make('div', { class: bad ? 'bad' : '' }, text);
  shelf.append(note);
  setTimeout(() => note.remove(), bad ? 7000 : 3500);
}

/** POSTs JSON and returns the answer's JSON; a refusal is shown and thrown. */
export async function post(url, body = {}) {
  const response = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  if (!response.ok) {
    const text = await response.text();
    toast(text || `HTTP ${response.status}`, true);
    throw new Error(`${url}: ${response.status} ${text}`);
  }
  return response.json();
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make('textarea', {});
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  toast('Copied');
}

// --- live updates: on every change the page is fetched again, and only the parts that differ are replaced

const told = new WeakMap();
const after = new Set();

/** Calls back after each update. */
export const onRefresh = (callback) => after.add(callback);

function remember(root) {
  for (const area of $$('[data-live]', root)) {
    told.set(area, area.innerHTML);
    for (const child of area.children) told.set(child, child.outerHTML);
  }
}

function exchange(area, fresh) {
  if (told.get(area) === fresh.innerHTML) return;
  told.set(area, fresh.innerHTML);
  if (![...fresh.children, ...area.children].some((child) => child.dataset.key)) {
    area.replaceChildren(...fresh.childNodes);
    return;
  }
  const old = new Map([...area.children].map((child) => [child.dataset.key, child]));
  let place = area.firstElementChild;
  for (const child of [...fresh.children]) {
    const known = old.get(child.dataset.key);
    old.delete(child.dataset.key);
    let kept = known;
    if (!known || told.get(known) !== child.outerHTML) {
      told.set(child, child.outerHTML);
      kept = child;
      if (known) {
        const open = $$('details', known).map((one) => one.open);
        $$('details', child).forEach((one, index) => { one.open = open[index] ?? false; });
        if (place === known) place = known.nextElementSibling;
        known.replaceWith(child);
      }
    }
    if (kept === place) place = place.nextElementSibling;
    else area.insertBefore(kept, place);
  }
  for (const gone of old.values()) {
    if (gone.dispatchEvent(new CustomEvent('leaving', { bubbles: true, cancelable: true }))) gone.remove();
  }
}

let running = false;
let again = false;

/** Fetches the page again and replaces what has changed. */
export async function refresh() {
  if (running) {
    again = true;
    return;
  }
  running = true;
  try {
    do {
      again = false;
      const response = await fetch(location.href, { headers: { 'X-Refresh': '1' } });
      if (!response.ok) break;
      const page = new DOMParser().parseFromString(await response.text(), 'text/html');
      for (const area of $$('[data-live]')) {
        const fresh = page.getElementById(area.id);
        if (fresh) exchange(area, fresh);
      }
      for (const callback of after) callback();
    } while (again);
  } finally {
    running = false;
  }
}

/** Follows a stream of changes while the page is visible: a browser has few connections per host. */
export function follow(url) {
  remember(document);
  let source;
  const listen = () => {
    source?.close();
    source = undefined;
    if (document.hidden) return;
    source = new EventSource(url);
    source.addEventListener('changed', () => refresh().catch(() => {}));
  };
  listen();
  document.addEventListener('visibilitychange', listen);
  addEventListener('pagehide', () => source?.close());
}
