// The frame of the pages: which one an address names, the key, whether the service answers.

import { key, onAnswer, readUntil } from './api.js';
import { failed, loading, put } from './dom.js';

const main = document.getElementById('main');
const form = document.getElementById('key-form');
const field = document.getElementById('key-text');
const connection = document.getElementById('connection');

const PAGES = {
  runs: () => import('./runs.js'),
  run: () => import('./run.js'),
  study: () => import('./study.js'),
  compare: () => import('./compare.js'),
  submit: () => import('./submit.js'),
  signals: () => import('./signals.js'),
};

let leaving = new AbortController();
let shown = null;

/** `#/runs/RUN1?tab=files` → the page `run` of `RUN1`. */
function read(hash) {
  const [path, query] = hash.replace(/^#\/?/, '').split('?');
  const [first, id] = path.split('/').map(decodeURIComponent);
  const parameters = new URLSearchParams(query);
  if (first === 'runs' && id) return { page: 'run', id, parameters };
  if (first === 'studies' && id) return { page: 'study', id, parameters };
  return { page: PAGES[first] && first !== 'run' && first !== 'study' ? first : 'runs', id: null, parameters };
}

async function open() {
  leaving.abort();
  leaving = new AbortController();
  const signal = leaving.signal;
  readUntil(signal);
  const asked = read(location.hash);
  for (const link of document.querySelectorAll('#nav a')) {
    const page = link.getAttribute('href').slice(2);
    const here = page === asked.page || (page === 'runs' && (asked.page === 'run' || asked.page === 'study'));
    if (here) link.setAttribute('aria-current', asked.page === page ? 'page' : 'true');
    else link.removeAttribute('aria-current');
  }
  const moved = shown !== null && shown !== `${asked.page}/${asked.id}`;
  shown = `${asked.page}/${asked.id}`;
  put(main, loading());
  document.title = 'Backtests';
  try {
    const { draw } = await PAGES[asked.page]();
    if (!signal.aborted) await draw({ main, signal, id: asked.id, parameters: asked.parameters, replace });
  } catch (error) {
    if (signal.aborted || error.name === 'AbortError') return;
    put(main, failed(error, open));
    if (['offline', 'busy'].includes(error.kind)) setTimeout(() => { if (!signal.aborted) open(); }, 5000);
  }
  if (moved && !signal.aborted) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
}

/** Writes what a page shows into the address, so that it can be sent around, without another step back. */
function replace(parameters) {
  const [path] = location.hash.split('?');
  const text = new URLSearchParams([...parameters].filter(([, value]) => value !== '' && value !== null)).toString();
  history.replaceState(null, '', `${path || '#/runs'}${text ? `?${text}` : ''}`);
}

let offline = false;
onAnswer((kind) => {
  offline = kind === 'offline';
  connection.textContent = offline ? 'The service does not answer' : '';
  if (kind === 'key' && form.hidden) { askForKey(true); field.focus(); }
});
addEventListener('offline', () => { connection.textContent = 'This machine is offline'; });
addEventListener('online', () => { connection.textContent = ''; if (offline) open(); });

function askForKey(asked) {
  form.hidden = false;
  document.getElementById('key-about').hidden = false;
  document.getElementById('key-forget').hidden = !key.get();
  if (asked && key.get()) document.getElementById('key-about').textContent = 'The service does not take the key that was typed before.';
}

document.getElementById('key').addEventListener('click', () => {
  if (form.hidden) { askForKey(false); field.focus(); } else form.hidden = true;
});
document.getElementById('key-forget').addEventListener('click', () => { key.set(''); form.hidden = true; open(); });
form.addEventListener('submit', (event) => {
  event.preventDefault();
  if (!field.value.trim()) return;
  key.set(field.value.trim());
  field.value = '';
  form.hidden = true;
  open();
});
form.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') { form.hidden = true; document.getElementById('key').focus(); }
});

document.getElementById('skip').addEventListener('click', (event) => { event.preventDefault(); main.focus(); });
// A host on the reader's own machine has a page of its functions.
document.getElementById('functions').hidden = !['localhost', '127.0.0.1', '[::1]'].includes(location.hostname);
addEventListener('hashchange', open);
open();
