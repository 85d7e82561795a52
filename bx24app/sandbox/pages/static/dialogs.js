// What the portal opens on request of an application: pickers and sliders.

import { $, $$, icon, make } from './common.js';

async function offered() {
  return (await fetch('/sandbox/pickable')).json();
}

/** A dialog with a list to choose from; resolves to the chosen entries, or to nothing when it is closed. */
function pick(title, groups, { multiple = false, chosen = [] } = {}) {
  return new Promise((resolve) => {
    const known = new Set(chosen.map(String));
    const list = make('ul', {});
    for (const [heading, entries] of groups) {
      if (groups.length > 1 && entries.length) list.append(make('li', {}, make('h3', {}, heading)));
      for (const entry of entries) {
        const input = make('input', { type: multiple ? 'checkbox' : 'radio', name: 'picked', value: entry.key, checked: known.has(entry.key) });
        list.append(make('li', { 'data-name': entry.name.toLowerCase() }, make('label', {}, input, make('span', {}, entry.name), make('span', { class: 'soft small' }, entry.note ?? ''))));
      }
    }
    const search = make('input', { type: 'search', placeholder: 'Search', 'aria-label': 'Search', oninput: () => {
      for (const item of $$('li[data-name]', list)) item.hidden = !item.dataset.name.includes(search.value.trim().toLowerCase());
    } });
    const ok = make('button', { class: 'primary', type: 'submit' }, 'Choose');
    const form = make('form', { class: 'picker' }, make('h2', {}, title), search, list, make('div', { class: 'row' }, ok, make('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel')));
    const dialog = make('dialog', {}, form);
    let answer;
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const keys = new Set($$('input:checked', list).map((input) => input.value));
      answer = groups.flatMap(([, entries]) => entries).filter((entry) => keys.has(entry.key)).map((entry) => entry.value);
      if (answer.length || multiple) dialog.close();
    });
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
    search.focus();
  });
}

export async function pickUsers(multiple) {
  const { users } = await offered();
  const entries = users.map((user) => ({ key: user.id, name: user.name, note: user.position, value: user }));
  const chosen = await pick(multiple ? 'Choose employees' : 'Choose an employee', [['Employees', entries]], { multiple });
  return chosen && (multiple ? chosen : chosen[0]);
}

export async function pickAccess(value = []) {
  const { access } = await offered();
  const entry = (one) => ({ key: one.id, name: one.name, value: one });
  const groups = [['Employees', access.filter((one) => one.provider === 'user').map(entry)], ['Departments', access.filter((one) => one.provider !== 'user').map(entry)]];
  return pick('Choose who has access', groups, { multiple: true, chosen: value });
}

export async function pickCrm({ entityType, multiple, value } = {}) {
  const { crm } = await offered();
  const kinds = [].concat(entityType ?? Object.keys(crm)).filter((kind) => crm[kind]);
  const groups = kinds.map((kind) => [kind, crm[kind].map((one) => ({ key: `${kind}_${one.id}`, name: one.title || `${kind} ${one.id}`, note: String(one.id), value: one }))]);
  const known = Object.entries(value ?? {}).flatMap(([kind, ids]) => Object.values(ids ?? {}).map((id) => `${kind}_${id}`));
  const chosen = await pick('Choose from the CRM', groups, { multiple: Boolean(multiple), chosen: known });
  if (!chosen) return undefined;
  const answer = Object.fromEntries(kinds.map((kind) => [kind, []]));
  for (const one of chosen) answer[one.type].push({ ...one, id: `${one.type[0].toUpperCase()}_${one.id}` });
  return answer;
}

const open = [];

/** A panel from the right. `fill` puts something into it; `onClose` is called when it closes. */
export function slider(title, fill, { width, onClose } = {}) {
  const bar = make('div', { class: 'bar' }, make('button', { class: 'plain', title: 'Close', onclick: () => close() }, icon('close')), make('b', { class: 'grow' }, title ?? ''));
  const panel = make('div', { role: 'dialog', 'aria-label': title ?? 'slider' }, bar);
  if (width) panel.style.width = `min(${Number(width)}px, calc(100vw - 60px))`;
  const cover = make('div', { class: 'slider', onclick: (event) => event.target === cover && close() }, panel);
  document.body.append(cover);
  const self = { close, panel };
  open.push(self);
  function close() {
    if (!cover.isConnected) return;
    cover.remove();
    open.splice(open.indexOf(self), 1);
    onClose?.();
  }
  fill(panel, self);
  return self;
}

document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && open.length && !$('dialog[open]')) open.at(-1).close();
});
