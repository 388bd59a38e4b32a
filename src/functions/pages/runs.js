// The runs of the service, newest first: a page of them at a time, drawn as they come into view.

import { get, watch } from './api.js';
import { empty, failed, h, loading, put, say } from './dom.js';
import * as f from './format.js';
import { table } from './table.js';

const FIRST = 100;
const NEXT = 500;
const STATES = ['queued', 'running', 'completed', 'failed', 'canceled'];
const LIVE = 'queued,running';

/** The words of a state, with how far a running run is. */
export function state(run) {
  if (run.status === 'running') {
    const share = Math.round(100 * (run.progress ?? 0));
    const rest = f.left(run);
    const meter = h('span', { class: 'meter', role: 'meter', 'aria-label': 'done', 'aria-valuenow': String(share), 'aria-valuemin': '0', 'aria-valuemax': '100' }, h('i'));
    meter.firstChild.style.width = `${share}%`;
    return h('span', { class: 'status running' }, run.cancel_requested_at ? 'stopping' : 'running', meter, h('small', null, `${share} %${rest === null ? '' : `, ${f.duration(rest)} left`}`));
  }
  return h('span', { class: `status ${run.status}` }, h('span', null, run.status));
}

/** Where a run is looked at. */
export function address(run) {
  return `#/${run.kind === 'study' ? 'studies' : 'runs'}/${encodeURIComponent(run.run_id)}`;
}

const figures = (run) => run.summary ?? {};
/** What a run made beyond its benchmark, over the days of both. */
export function excess(run) {
  const { total_return: own, benchmark } = figures(run);
  return benchmark && typeof own === 'number' && typeof benchmark.total_return === 'number' ? own - benchmark.total_return : null;
}

const COLUMNS = [
  {
    id: 'name', label: 'Name', wide: true, value: (run) => f.named(run).toLowerCase(), title: (run) => `${f.named(run)} (${run.run_id})`,
    cell: (run) => [run.kind && run.kind !== 'backtest' ? h('span', { class: 'tag' }, run.kind) : null, h('a', { href: address(run), tabindex: '-1' }, f.named(run))],
  },
  { id: 'status', label: 'State', value: (run) => STATES.indexOf(run.status), cell: state, title: (run) => run.error ?? run.progress_note },
  { id: 'return', label: 'Return', unit: '%', num: true, value: (run) => figures(run).total_return, cell: (run) => f.hundred(figures(run).total_return) },
  { id: 'excess', label: 'Excess', unit: 'pp', num: true, minor: true, value: excess, cell: (run) => f.hundred(excess(run)), title: (run) => figures(run).benchmark && `beyond ${f.benchmarkName(figures(run).benchmark.name)}` },
  { id: 'sharpe', label: 'Sharpe', unit: 'p.a.', num: true, value: (run) => figures(run).sharpe_ratio ?? null, cell: (run) => f.number(figures(run).sharpe_ratio) },
  { id: 'drawdown', label: 'Drawdown', unit: '%', num: true, minor: true, value: (run) => figures(run).max_drawdown, cell: (run) => f.hundred(figures(run).max_drawdown) },
  { id: 'window', label: 'Window', minor: true, value: (run) => run.start_date, cell: (run) => `${run.start_date} … ${run.end_date}` },
  { id: 'warnings', label: 'Warnings', num: true, minor: true, optional: (run) => figures(run).warnings?.length, value: (run) => figures(run).warnings?.length ?? null, cell: (run) => (figures(run).warnings?.length ? h('span', { class: 'warn' }, String(figures(run).warnings.length)) : ''), title: (run) => figures(run).warnings?.join('\n') },
  { id: 'tags', label: 'Tags', minor: true, value: null, optional: (run) => run.tags?.length, cell: (run) => (run.tags ?? []).map((tag) => h('span', { class: 'tag' }, tag)) },
  { id: 'by', label: 'By', minor: true, optional: (run) => run.submitted_by, value: (run) => run.submitted_by, cell: (run) => run.submitted_by ?? '' },
  { id: 'took', label: 'Took', num: true, minor: true, value: (run) => f.took(run), cell: (run) => f.duration(f.took(run)) },
  { id: 'submitted', label: 'Submitted', num: true, minor: true, value: (run) => run.submitted_at, cell: (run) => h('time', { datetime: run.submitted_at }, f.moment(run.submitted_at)) },
];

export async function draw({ main, signal, parameters, replace }) {
  document.title = 'Runs · Backtests';
  const runs = new Map();
  const ticks = new Set();
  let cursor;
  let asking = false;
  let fault = null;
  let round = 0;

  const filters = () => ({
    q: search.value.trim(), status: status.value, tag: tag.value.trim(), submitted_by: by.value.trim(),
    submitted_after: after.value && new Date(`${after.value}T00:00`).toISOString(),
    submitted_before: before.value && new Date(new Date(`${before.value}T00:00`).getTime() + 86_400_000).toISOString(),
    archived: archived.checked ? 'any' : '',
  });
  const changed = () => { remember(); load(); };
  const input = (name, attributes = {}) => h('input', { value: parameters.get(name) ?? '', oninput: debounced(changed), ...attributes });
  const search = input('q', { type: 'search', placeholder: 'name or id', 'aria-keyshortcuts': '/' });
  const status = h('select', { onchange: changed }, h('option', { value: '' }, 'any state'), h('option', { value: LIVE }, 'not ended'), STATES.map((one) => h('option', { value: one }, one)));
  status.value = parameters.get('status') ?? '';
  const tag = input('tag', { class: 'text' });
  const by = input('by', { class: 'text' });
  const after = input('after', { type: 'date' });
  const before = input('before', { type: 'date' });
  const archived = h('input', { type: 'checkbox', checked: parameters.get('archived') === 'any', onchange: changed });
  const count = h('span', { class: 'count', role: 'status' });
  const compare = h('button', { onclick: toCompare, 'aria-keyshortcuts': 'c' }, 'Compare');
  const tagLabel = h('label', { hidden: !tag.value }, 'Tag', tag);
  const archivedLabel = h('label', { hidden: !archived.checked }, 'Archived too', archived);
  const place = h('div');
  // Runs whose data was written again since.
  const since = new Map();
  const inputs = { id: 'inputs', label: 'Inputs', minor: true, value: null, optional: (run) => since.has(run.run_id), cell: (run) => since.has(run.run_id) && h('span', { class: 'warn' }, 'restated'), title: (run) => since.get(run.run_id) };

  const list = table({
    label: 'Runs, newest first', columns: [...COLUMNS, inputs], key: (run) => run.run_id, open: (run) => { location.hash = address(run); }, tall: true,
    ticks, tickable: (run) => run.status === 'completed' && run.kind !== 'study' && run.kind !== 'reproduction', onTick: drawTicks, more, tone: (run) => (run.archived_at ? 'equal' : ''),
    sort: sortOf(parameters.get('sort')),
    onSort: (order) => { parameters.set('sort', order ? `${order.id}${order.down ? '-' : ''}` : ''); replace(parameters); },
  });

  function sortOf(text) {
    return text ? { id: text.replace(/-$/, ''), down: text.endsWith('-') } : null;
  }

  function remember() {
    for (const [name, value] of Object.entries({ q: search.value.trim(), status: status.value, tag: tag.value.trim(), by: by.value.trim(), after: after.value, before: before.value, archived: archived.checked ? 'any' : '' })) parameters.set(name, value);
    replace(parameters);
  }

  function toCompare() {
    if (ticks.size >= 2) location.hash = `#/compare?runs=${[...ticks].map(encodeURIComponent).join(',')}`;
    else say('Tick two to ten completed runs first.');
  }

  function drawTicks() {
    compare.disabled = ticks.size < 2;
    compare.textContent = ticks.size ? `Compare ${ticks.size}` : 'Compare';
  }

  function sorted() {
    return [...runs.values()].sort((a, b) => (a.submitted_at < b.submitted_at ? 1 : a.submitted_at > b.submitted_at ? -1 : 0));
  }

  function show() {
    const rows = sorted();
    count.textContent = rows.length === 0 ? '' : `${f.whole(rows.length)} run${rows.length === 1 ? '' : 's'}${cursor ? ' so far' : ''}`;
    if (rows.length === 0) {
      const filtered = Object.values(filters()).some(Boolean);
      put(place, fault ? failed(fault, load) : filtered
        ? empty('No run fits these filters.', h('button', { onclick: clear }, 'Clear the filters'))
        : empty('There are no runs yet.', h('a', { class: 'button', href: '#/submit' }, 'Submit one')));
      return;
    }
    // Only a service that keeps tags answers them.
    if ('tags' in rows[0]) { tagLabel.hidden = false; archivedLabel.hidden = false; }
    if (list.element.parentNode !== place) put(place, list.element);
    list.show(rows);
  }

  function clear() {
    for (const one of [search, tag, by, after, before, status]) one.value = '';
    archived.checked = false;
    changed();
    search.focus();
  }

  async function load() {
    const mine = (round += 1);
    if (runs.size === 0) put(place, loading('Loading runs …'));
    try {
      const page = await get('backtests', { ...filters(), limit: FIRST });
      if (mine !== round) return;
      runs.clear();
      for (const run of page.runs) runs.set(run.run_id, run);
      cursor = page.next_cursor;
      fault = null;
    } catch (error) {
      if (error.name === 'AbortError' || mine !== round) return;
      runs.clear();
      fault = error;
    }
    show();
    if (!fault) restated(mine);
  }

  async function restated(mine) {
    const page = await get('backtests', { ...filters(), status: 'completed', limit: FIRST, inputs: 'true' }).catch(() => null);
    if (!page || mine !== round) return;
    for (const run of page.runs) if (run.inputs?.line) since.set(run.run_id, run.inputs.line);
    if (since.size) show();
  }

  async function more() {
    if (!cursor || asking) return;
    asking = true;
    const mine = round;
    try {
      const page = await get('backtests', { ...filters(), limit: NEXT, cursor });
      if (mine === round) {
        for (const run of page.runs) runs.set(run.run_id, run);
        cursor = page.next_cursor;
        show();
      }
    } catch { /* the next scroll asks again */ } finally { asking = false; }
  }

  /** What changed: the newest, and those that had not ended. Answers whether any still has not. */
  async function look() {
    const mine = round;
    const page = await get('backtests', { ...filters(), limit: FIRST });
    if (mine !== round) return true;
    const known = runs.size === 0 || page.runs.some((run) => runs.has(run.run_id));
    if (!known || fault) { await load(); return true; }
    const fresh = new Set(page.runs.map((run) => run.run_id));
    const waiting = [...runs.values()].filter((run) => !f.ENDED.has(run.status) && !fresh.has(run.run_id));
    let changes = 0;
    const take = (run) => {
      if (JSON.stringify(runs.get(run.run_id)) === JSON.stringify(run)) return;
      runs.set(run.run_id, run);
      changes += 1;
    };
    page.runs.forEach(take);
    // Beyond the newest, few still run; each is asked for by its id.
    for (const run of waiting.slice(0, 20)) take(await get(`backtests/${encodeURIComponent(run.run_id)}`));
    // What was deleted, or no longer fits, is missing from between the oldest and the newest of the page.
    const oldest = page.runs.at(-1)?.submitted_at;
    for (const run of [...runs.values()]) {
      if (!fresh.has(run.run_id) && (!page.next_cursor || run.submitted_at > oldest)) { runs.delete(run.run_id); ticks.delete(run.run_id); changes += 1; }
    }
    if (changes || page.runs.some((run) => run.status === 'running')) show();
    return [...runs.values()].some((run) => !f.ENDED.has(run.status));
  }

  put(main,
    h('h1', { class: 'unseen' }, 'Runs'),
    h('div', { class: 'tools' },
      h('label', { class: 'search' }, 'Search', search), h('label', null, 'State', status), tagLabel, h('label', null, 'By', by),
      h('label', null, 'From', after), h('label', null, 'To', before), archivedLabel, compare, count),
    place);
  drawTicks();
  document.addEventListener('keydown', (event) => {
    if (event.target.matches('input, select, textarea') || event.altKey || event.ctrlKey || event.metaKey) {
      if (event.key === 'Escape' && event.target === search && search.value) { search.value = ''; changed(); }
      return;
    }
    if (event.key === '/') { event.preventDefault(); search.focus(); }
    if (event.key === 'c') toCompare();
    if (event.key === 'Escape' && ticks.size) { ticks.clear(); drawTicks(); list.redraw(); }
  });
  await load();
  watch(signal, look, 1500, 15000);
}

function debounced(work) {
  let timer;
  return () => { clearTimeout(timer); timer = setTimeout(work, 250); };
}
