// Call cards: they open and close as the portal says, with the tabs that applications have added to them.

import { icon, make, post } from './common.js';
import { AppFrame } from './frame.js';

const shown = new Map();

class CallCard {
  constructor(card) {
    this.kept = false;
    this.frames = [];
    this.timer = make('span', { class: 'mono' });
    this.client = make('div', {});
    this.inside = make('div', { class: 'inside' });
    this.tabs = make('nav', {});
    this.words = make('span', { class: 'grow' });
    const close = make('button', { class: 'plain', title: 'Close the card', onclick: () => post('/sandbox/do/close_card', { call_id: card.call_id }) }, icon('close'));
    this.phone = make('b', {});
    this.element = make('section', { class: 'callcard', 'data-call': card.call_id, role: 'dialog', 'aria-label': 'Call' },
      make('header', {}, make('i', { class: 'ring' }), this.words, this.timer, close),
      make('div', { class: 'who' }, this.phone, this.client), this.tabs, this.inside);
    this.opened = card.opened;
    this.general = make('div', { class: 'facts' });
    this.inside.append(this.general);
    this.update(card);
    document.getElementById('cards').append(this.element);
  }

  update(card) {
    const before = this.card;
    this.card = card;
    this.words.textContent = `${card.callback ? 'Callback' : card.incoming ? 'Incoming call' : 'Outgoing call'}${card.line ? ` · ${card.line}` : ''}`;
    this.phone.textContent = card.phone;
    this.client.replaceChildren(card.client ? make('a', { href: card.client.url }, card.client.title) : make('span', {}, 'unknown client'));
    this.general.replaceChildren(
      make('div', { class: 'row' }, make('span', { class: 'soft' }, 'Client'), card.client ? make('a', { href: card.client.url }, card.client.title) : 'not in the CRM'),
      make('div', { class: 'row' }, make('span', { class: 'soft' }, 'Line'), card.line || '–'));
    if (!before) this.layTabs(card);
    for (const frame of this.frames) frame.what.options = card.options;
    if (before && before.client?.url !== card.client?.url) for (const frame of this.frames) frame.fire('CallCard::EntityChanged', card.options);
  }

  layTabs(card) {
    const panes = [['General', this.general, null]];
    for (const tab of card.tabs) panes.push([tab.title, make('div', { hidden: true }), tab]);
    for (const [title, pane, tab] of panes) {
      if (tab) this.inside.append(pane);
      const button = make('button', { class: tab ? '' : 'on', onclick: async () => {
        for (const other of this.tabs.children) other.classList.toggle('on', other === button);
        for (const [, other] of panes) other.hidden = other !== pane;
        this.element.classList.toggle('wide', Boolean(tab));
        if (tab && !pane.firstChild) {
          const frame = new AppFrame(pane, { ...tab, place: 'card', card: this });
          this.frames.push(frame);
          await frame.open();
        }
      } }, title);
      this.tabs.append(button);
    }
  }

  keep(on) {
    this.kept = on;
    if (!on && !this.card) this.remove();
  }

  leave() {
    for (const frame of this.frames) frame.fire('CallCard::BeforeClose', {});
    this.card = null;
    if (this.kept) this.words.textContent = 'The call is over';
    else this.remove();
  }

  remove() {
    for (const frame of this.frames) frame.destroy();
    this.element.remove();
    shown.delete(this.element.dataset.call);
  }

  tick(now) {
    if (!this.card) return;
    const seconds = Math.max(0, Math.floor(now - this.opened));
    this.timer.textContent = `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`;
  }
}

let asked = 0;

/** Loads the cards that are open on this user's screen. */
export async function refreshCards() {
  const number = ++asked;
  const response = await fetch('/sandbox/cards');
  if (!response.ok || number !== asked) return;
  const { mine, elsewhere } = await response.json();
  const cards = new Map(mine.map((card) => [card.call_id, card]));
  for (const [call_id, card] of cards) {
    if (shown.get(call_id)?.card) shown.get(call_id).update(card);
    else if (!shown.has(call_id)) shown.set(call_id, new CallCard(card));
  }
  for (const [call_id, card] of shown) if (!cards.has(call_id) && card.card) card.leave();
  document.getElementById('elsewhere').replaceChildren(...elsewhere.map((one) => make('div', {}, icon('phone'),
    make('span', { class: 'grow' }, `${one.phone} rings at ${one.name}`), make('button', { class: 'tiny', onclick: () => sitDown(one.id) }, 'Look there'))));
}

/** Puts another user at this screen. */
export async function sitDown(id) {
  await post('/sandbox/whoami', { id });
  location.reload();
}

setInterval(() => { for (const card of shown.values()) card.tick(Date.now() / 1000); }, 500);
