import { $, $$, copy, follow, onRefresh, post, refresh, toast } from './common.js';

const key = document.body.dataset.pbx;
const api = (path) => `/sandbox/api/pbx/${key}/${path}`;

function wish() {
  const form = $('#wish').elements;
  return { client: form.client.value.replace(/[^\d]/g, ''), line: form.line.value, extension: form.extension.value, speed: Number(form.speed.value) };
}

document.addEventListener('click', async (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.dataset.scenario) {
    await post(api('call'), { scenario: button.dataset.scenario, ...wish() });
    toast(`${button.dataset.title}: on its way`);
  } else if (button.dataset.sequence) {
    const { client, line, speed } = wish();
    await post(api('play'), { name: button.dataset.sequence, client, line, speed: Math.max(10, speed) });
    toast(`${button.dataset.sequence} is being played`);
  } else if (button.dataset.signal) {
    await post(api('signal'), { entry_id: button.dataset.entry, kind: button.dataset.signal, to: button.dataset.to ?? '' });
  } else if (button.dataset.copy) {
    await copy($(button.dataset.copy).value);
  } else if (button.id === 'check') {
    await save();
    const { ok, sent } = await post(api('check'));
    const words = sent.map((one) => `${one.path || 'empty POST'}: ${one.status || one.error}`).join(', ');
    const result = $('#checked');
    result.className = `badge ${ok ? 'good' : 'bad'}`;
    result.textContent = `${ok ? 'Connection is good' : 'No connection'} (${words})`;
  }
});

async function save() {
  await post(api('set'), { hook_url: $('#hook').value });
}

$('#system').addEventListener('submit', async (event) => {
  event.preventDefault();
  await save();
  toast('Saved');
});

$('#faults').addEventListener('change', async (event) => {
  const form = event.currentTarget;
  const faults = JSON.parse(form.dataset.now);
  for (const input of $$('[data-fault]', form)) {
    faults[input.dataset.fault] = input.type === 'checkbox' ? input.checked : Number(input.value) / 100;
  }
  faults.record_delay = [Number(form.elements.delay.value), Number(form.elements.delay.value)];
  const drop = $$('[data-drop]:checked', form).map((input) => input.dataset.drop);
  const body = { faults, suppressed: drop };
  for (const input of $$('[data-switch]', form)) {
    body[input.dataset.switch] = input.type === 'checkbox' ? input.checked : input.dataset.number ? Number(input.value) : input.value;
  }
  await post(api('set'), body);
  toast('Switched');
});

$('#calm')?.addEventListener('click', async () => {
  await post(api('set'), { faults: {}, suppressed: [] });
  location.reload();
});

function tick() {
  for (const element of $$('[data-since]')) {
    const seconds = Math.max(0, Math.floor(Date.now() / 1000 - Number(element.dataset.since)));
    element.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
  }
}

tick();
setInterval(tick, 500);
onRefresh(tick);

follow('/sandbox/api/stream');
addEventListener('focus', () => refresh().catch(() => {}));
