// Every page of the portal: the user at the screen, click-to-call, forms, tabs, the application's frame.

import { $, $$, follow, onRefresh, post, refresh, toast } from './common.js';
import { refreshCards, sitDown } from './cards.js';
import { AppFrame } from './frame.js';

$('#whoami')?.addEventListener('change', (event) => sitDown(Number(event.target.value)));

/** Performs an action and shows its message. */
async function perform(name, body) {
  const answer = await post(`/sandbox/do/${name}`, body);
  if (answer.message) toast(answer.message);
  if (answer.reload) location.reload();
  return answer;
}

document.addEventListener('click', async (event) => {
  const target = event.target.closest('a, button');
  if (!target) return;
  if (target.classList.contains('dial')) {
    event.preventDefault();
    await perform('dial', { phone: target.dataset.phone, owner: target.dataset.owner });
  } else if (target.dataset.done) {
    await perform('done', { id: Number(target.dataset.done) });
  } else if (target.dataset.do) {
    await perform(target.dataset.do, JSON.parse(target.dataset.body ?? '{}'));
  } else if (target.dataset.open) {
    $(target.dataset.open).showModal();
  } else if (target.dataset.tab) {
    turn(target);
  }
});

let tab;

function turn(button) {
  for (const other of button.parentElement.children) other.classList.toggle('on', other === button);
  const place = $('#tabframe');
  const framed = button.dataset.tab === 'frame';
  $('#general').hidden = framed;
  place.hidden = !framed;
  tab?.destroy();
  tab = undefined;
  if (framed) {
    const { client, placement, options } = button.dataset;
    tab = new AppFrame(place, { client_id: client, placement, options: JSON.parse(options), place: 'tab' });
    tab.open();
  }
}

function values(form) {
  const body = { ...form.dataset };
  delete body.action;
  delete body.auto;
  for (const [name, value] of new FormData(form)) body[name] = value;
  for (const box of $$('input[type=checkbox]', form)) body[box.name] = box.checked;
  return body;
}

for (const form of $$('form[data-action]')) {
  form.addEventListener('submit', async (event) => {
    if (event.submitter?.value === 'cancel') return;
    event.preventDefault();
    await perform(form.dataset.action, values(form));
    form.closest('dialog')?.close();
    if (!form.dataset.auto) form.reset();
  });
  if ('auto' in form.dataset) {
    form.addEventListener('change', async () => {
      await perform(form.dataset.action, values(form));
      toast('Saved');
    });
  }
}

const app = $('#app');
if (app) {
  const { client, placement, options } = app.dataset;
  new AppFrame(app, { client_id: client, placement, options: JSON.parse(options), place: 'page' }).open();
}

if ($('#cards')) {
  onRefresh(() => refreshCards());
  refreshCards();
}
follow('/sandbox/live');
addEventListener('focus', () => refresh().catch(() => {}));
