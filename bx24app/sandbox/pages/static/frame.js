// An application in the portal's page: the form that opens it, and the messages between the two.
//
// App -> portal: a string "command:PARAMS_JSON:CALLBACK_ID:APP_SID". BX24 keeps empty pieces ("getInitData::id:sid"),
// b24jssdk leaves them out ("getInitData:id:sid"), and sends an object {method, params, callback, appSid} where the command
// itself holds a colon. Portal -> app: "CALLBACK_ID:JSON", or "CALLBACK_ID:" without a value. What comes from another
// window, origin or session is dropped without an answer, and so is an unknown command.

import { make, post, toast } from './common.js';
import { pickAccess, pickCrm, pickUsers, slider } from './dialogs.js';

const PATHS = /^\/(crm\/(deal|lead|contact|company|type)|marketplace)\/|^\/company\/personal\/user\/\d+\/|^\/workgroups\/group\/\d+\//;

export function parse(data) {
  if (data && typeof data === 'object' && data.method) {
    return { command: data.method, params: data.params ?? {}, callback: data.callback ?? '', sid: data.appSid };
  }
  if (typeof data !== 'string') return null;
  const pieces = data.split(':');
  if (pieces.length < 3) return null;
  const text = pieces.slice(1, -2).join(':');
  let params = {};
  if (text) {
    try {
      params = JSON.parse(text);
    } catch {
      return null;
    }
  }
  return { command: pieces[0], params, callback: pieces.at(-2), sid: pieces.at(-1) };
}

export class AppFrame {
  /** @param {{client_id: string, placement?: string, options?: object, place?: 'page'|'tab'|'card'|'slider', card?: object, close?: Function}} what */
  constructor(parent, what) {
    this.parent = parent;
    this.what = what;
    this.bound = new Map();
    this.listen = (event) => this.receive(event);
  }

  async open() {
    const { client_id, placement = 'DEFAULT', options = {} } = this.what;
    try {
      this.opened = await post('/sandbox/frame', { client_id, placement, options });
    } catch (error) {
      this.parent.replaceChildren(make('div', { class: 'empty' }, String(error.message)));
      return this;
    }
    const { url, fields, name } = this.opened;
    this.iframe = make('iframe', { name, title: 'application', allow: 'geolocation *; microphone *; camera *; autoplay *;' });
    const form = make('form', { method: 'post', action: url, target: name, hidden: true }, ...Object.entries(fields).map(([key, value]) => make('input', { type: 'hidden', name: key, value })));
    for (const old of [...this.parent.children]) if (!old.classList.contains('bar')) old.remove();
    this.parent.append(this.iframe, form);
    addEventListener('message', this.listen);
    form.submit();
    form.remove();
    return this;
  }

  destroy() {
    removeEventListener('message', this.listen);
    this.iframe?.remove();
  }

  receive(event) {
    if (!this.iframe?.isConnected) {
      removeEventListener('message', this.listen);
      return;
    }
    if (event.source !== this.iframe.contentWindow || event.origin !== this.opened.origin) return;
    const message = parse(event.data);
    if (!message || message.sid !== this.opened.sid) return;
    const answer = (value) => {
      if (message.callback) this.send(`${message.callback}:${value === undefined ? '' : JSON.stringify(value)}`);
    };
    const action = this[`on_${message.command}`] ?? this.placementCommand(message.command);
    if (action) Promise.resolve(action.call(this, message.params ?? {}, answer, message)).catch((error) => toast(String(error.message ?? error), true));
  }

  send(text) {
    this.iframe.contentWindow?.postMessage(text, this.opened.origin);
  }

  /** Sends an event of the placement to its subscribers. */
  fire(event, value = {}) {
    for (const callback of this.bound.get(event) ?? []) this.send(`${callback}:${JSON.stringify(value)}`);
  }

  get place() {
    return this.what.place ?? 'page';
  }

  // --- commands

  on_getInitData(_params, answer) {
    answer(this.opened.init);
  }

  async on_setInstall(_params, answer) {
    await post('/sandbox/do/set_install', { client_id: this.what.client_id });
    answer(true);
  }

  async on_setInstallFinish() {
    await post('/sandbox/do/finish_install', { client_id: this.what.client_id });
    const address = new URL(location.href);
    address.searchParams.set('install_finished', 'Y');
    location.replace(address);
  }

  async on_refreshAuth(_params, answer) {
    answer(await post('/sandbox/auth', { client_id: this.what.client_id }));
  }

  on_resizeWindow({ width, height }, answer) {
    if (this.place === 'slider') return;
    if (height) this.iframe.style.height = `${Math.max(this.place === 'page' ? 420 : 120, Number(height))}px`;
    if (typeof width === 'number' && this.place === 'page') this.iframe.style.width = `min(100%, ${width}px)`;
    else this.iframe.style.width = '100%';
    answer({ width: this.iframe.clientWidth, height: this.iframe.clientHeight });
  }

  on_setTitle({ title }, answer) {
    if (this.opened.init.PLACEMENT !== 'DEFAULT') return;
    const heading = document.getElementById('apptitle');
    if (heading) heading.textContent = String(title);
    document.title = String(title);
    answer({ title });
  }

  on_setScroll({ scroll }, answer) {
    scrollTo({ top: Number(scroll) || 0 });
    answer({ scroll });
  }

  on_reloadWindow() {
    location.reload();
  }

  async on_setUserOption({ name, value }, answer) {
    await post('/sandbox/do/option', { client_id: this.what.client_id, scope: 'user', name, value });
    answer(true);
  }

  async on_setAppOption({ name, value }, answer) {
    await post('/sandbox/do/option', { client_id: this.what.client_id, scope: 'app', name, value });
    answer(true);
  }

  async on_selectUser({ mult }, answer) {
    const chosen = await pickUsers(Boolean(mult) && mult !== 'N');
    if (chosen) answer(chosen);
  }

  async on_selectAccess({ value }, answer) {
    const chosen = await pickAccess(value);
    if (chosen) answer(chosen);
  }

  async on_selectCRM(params, answer) {
    const chosen = await pickCrm(params);
    if (chosen) answer(chosen);
  }

  on_openApplication(params, answer) {
    const { bx24_width: width, bx24_title: title, bx24_label: _label, bx24_leftBoundary: _left, ...options } = params;
    let inner;
    slider(title ?? 'Application', (panel, self) => {
      inner = new AppFrame(panel, { client_id: this.what.client_id, options: { ...options, IFRAME: 'Y' }, place: 'slider', close: () => self.close() });
      inner.open();
    }, { width, onClose: () => { inner.destroy(); answer({}); } });
  }

  on_closeApplication() {
    this.what.close?.();
  }

  on_openPath({ path }, answer) {
    if (!PATHS.test(path ?? '')) {
      answer({ result: 'error', errorCode: 'PATH_NOT_AVAILABLE' });
      return;
    }
    const address = new URL(path, location.origin);
    address.searchParams.set('IFRAME', 'Y');
    slider('', (panel, self) => {
      const iframe = make('iframe', { src: address, title: path });
      iframe.addEventListener('load', () => iframe.contentWindow.addEventListener('keydown', (event) => { if (event.key === 'Escape') self.close(); }));
      panel.append(iframe);
    }, { onClose: () => answer({ result: 'close' }) });
  }

  async on_imPhoneTo({ phone }) {
    const { message } = await post('/sandbox/do/dial', { phone });
    toast(message);
  }

  on_imCallTo({ userId }) {
    toast(`A video call to user ${userId} would begin now`);
  }

  on_imOpenMessenger({ dialogId }) {
    toast(`The messenger would open now${dialogId ? ` (${dialogId})` : ''}`);
  }

  on_imOpenHistory({ dialogId }) {
    toast(`The history would open now${dialogId ? ` (${dialogId})` : ''}`);
  }

  on_getInterface(_params, answer) {
    answer(this.opened.interface);
  }

  on_placementBindEvent({ event }, _answer, { callback }) {
    if (!this.opened.interface.event.includes(event)) return;
    this.bound.set(event, [...(this.bound.get(event) ?? []), callback]);
  }

  /** Commands of the placement: only those that `getInterface` names. */
  placementCommand(command) {
    if (!this.opened.interface.command.includes(command)) return null;
    const card = this.what.card;
    return {
      getStatus: (_params, answer) => answer(this.what.options),
      disableAutoClose: (_params, answer) => { card?.keep(true); answer({}); },
      enableAutoClose: (_params, answer) => { card?.keep(false); answer({}); },
    }[command];
  }
}
