// A study: what its best trial can be believed, its trials, and how chance, parameters and time bear on them.

import { download, get, path, post, watch } from './api.js';
import { heat, histogram, scatter } from './chart.js';
import { empty, facts, failed, h, place, put, say, section, tabs } from './dom.js';
import * as f from './format.js';
import { files, report } from './run.js';
import { state } from './runs.js';
import { table } from './table.js';

const PAGE = 1000;
const SHOWN = 20000;
const MEASURES = ['sharpe_ratio', 'total_return', 'annualized_return', 'max_drawdown', 'sortino_ratio', 'calmar_ratio', 'annualized_volatility'];
const measure = (name) => ({ sharpe_ratio: 'Sharpe ratio', total_return: 'Total return', annualized_return: 'Return a year', max_drawdown: 'Drawdown', sortino_ratio: 'Sortino ratio', calmar_ratio: 'Calmar ratio', annualized_volatility: 'Volatility' }[name] ?? name.replaceAll('_', ' '));
const isShare = (name) => /return|drawdown|volatility/.test(name);
const short = (name) => name.split('.').at(-1);

export async function draw({ main, signal, id, parameters, replace }) {
  const base = path('backtests', id);
  let run = await get(base);
  const head = h('div');
  const progress = h('div');
  const answer = h('div');
  const body = h('div');
  put(main, head, progress, answer, body);
  const trials = trialsOf(base);
  let bodyOf = null;

  async function show() {
    document.title = `${f.named(run)} · Backtests`;
    put(head, h('p', { class: 'kind' }, 'Study'), h('h1', null, f.named(run)),
      h('p', { class: 'muted' }, state(run), ' · ', h('code', null, run.run_id), run.submitted_by ? ` · by ${run.submitted_by}` : '', ' · submitted ', f.moment(run.submitted_at), f.took(run) !== null && run.completed_at ? ` · took ${f.duration(f.took(run))}` : ''),
      run.error ? h('div', { class: 'state failed' }, h('p', null, h('code', null, run.error))) : null, buttons());
    put(progress, parts());
    if (bodyOf !== run.status) {
      bodyOf = run.status;
      trials.refresh();
      const found = run.status === 'completed' ? get(`${base}/statistics`) : null;
      if (found) place(put(answer), async () => answered(await found, trials));
      put(body, tabs('part', [
        { id: 'trials', label: 'Trials', make: () => trialTable(trials, run, base) },
        { id: 'surface', label: 'Surface', make: () => surface(trials, base) },
        ...(found ? [{ id: 'statistics', label: 'Statistics', make: async () => statistics(await found) }, { id: 'report', label: 'Report', make: () => report(run) }, { id: 'files', label: 'Files', make: () => files(run) }] : []),
      ], parameters.get('tab'), (tab) => { parameters.set('tab', tab); replace(parameters); }));
    }
  }

  function parts() {
    if (f.ENDED.has(run.status)) return '';
    const share = run.progress ?? 0;
    const meter = h('span', { class: 'meter long', role: 'meter', 'aria-label': 'trials done', 'aria-valuenow': String(Math.round(100 * share)), 'aria-valuemin': '0', 'aria-valuemax': '100' }, h('i'));
    meter.firstChild.style.width = `${100 * share}%`;
    const list = Array.isArray(run.part_states) ? run.part_states : [];
    return section('Progress', h('p', null, meter, ` ${f.percent(share, 0)}`, run.parts ? ` in ${f.whole(run.parts)} parts` : '', run.trials ? ` of ${f.whole(run.trials)} trials` : '', run.progress_note ? `, ${run.progress_note}` : ''),
      list.length ? h('ul', null, list.map((part) => h('li', null, `part ${part.part}: ${part.status}, ${f.percent(part.progress, 0)}`))) : null);
  }

  function buttons() {
    const row = h('div', { class: 'actions' });
    const notice = h('div');
    if (!f.ENDED.has(run.status) && !run.cancel_requested_at) {
      row.append(h('button', { class: 'main', onclick: async () => { try { await post(`${base}/cancel`); await reload(); say('Canceled.'); } catch (error) { put(notice, failed(error)); } } }, 'Cancel'));
    }
    row.append(h('a', { class: 'button', href: `#/submit?from=${encodeURIComponent(id)}` }, 'Submit again …'));
    return [row, notice];
  }

  async function reload() {
    run = await get(base);
    await show();
  }

  await show();
  watch(signal, async () => {
    if (f.ENDED.has(run.status)) return false;
    await reload();
    trials.refresh();
    return true;
  }, 1500, 20000);
}

/** The trials as they come, a page at a time. */
function trialsOf(base) {
  let list = [];
  let known = { total: 0, evaluated: 0, complete: false };
  let running = null;
  const listeners = new Set();
  async function read() {
    const found = [];
    let cursor;
    do {
      const page = await get(`${base}/trials`, { limit: PAGE, cursor });
      found.push(...page.trials);
      known = { total: page.total, evaluated: page.evaluated, complete: page.complete };
      cursor = page.next_cursor;
    } while (cursor && found.length < SHOWN);
    list = found;
    for (const hear of listeners) hear(list, known);
    return list;
  }
  return {
    all: () => (running ??= read().catch((error) => { running = null; throw error; })),
    refresh: () => { if (!known.complete) { running = read(); running.catch(() => { running = null; }); } },
    onChange: (hear) => listeners.add(hear),
    drop: (hear) => listeners.delete(hear),
    facts: () => known,
  };
}

async function answered(found, trials) {
  const all = await trials.all().catch(() => []);
  const distinct = all.filter((trial) => !Number.isInteger(trial.equal_to));
  const ratio = (value) => f.number(value, 2);
  const halves = found.overfitting?.halves;
  return [
    h('p', { class: 'lead' }, found.sentence),
    found.warnings?.length ? h('div', { class: 'warnings' }, h('ul', null, found.warnings.map((one) => h('li', null, one)))) : null,
    h('div', { class: 'pairs' },
      section('Sharpe ratios of the distinct trials', histogram({
        label: 'Distribution of Sharpe ratios', title: 'Sharpe ratio a year', values: distinct.map((trial) => trial.sharpe_ratio), format: ratio,
        marks: [{ name: 'best', at: found.best?.sharpe_ratio }, { name: 'the best by chance', at: found.deflated?.distinct?.expected_best_sharpe_ratio }],
      })),
      halves?.length > 1 ? section('In sample against out of sample', scatter({ label: 'In sample against out of sample', list: halves.map(([x, y], index) => ({ x, y, name: `split ${index + 1}` })), xTitle: 'in sample across, out of sample up', format: ratio, diagonal: true })) : null),
  ];
}

/** Every figure, or why there is none. */
function statistics(found) {
  const rows = f.flat(found).filter(([name]) => !/^(sentence|warnings|undefined|name|overfitting\.halves)/.test(name));
  return facts('Statistics', rows.map(([name, value]) => [name.replaceAll('_', ' ').replaceAll('.', ' · '), value === null && found.undefined?.[name] ? h('small', null, found.undefined[name]) : shown(value)]));
}

async function trialTable(trials, run, base) {
  const all = await trials.all();
  if (all.length === 0) {
    const waits = h('div', null, empty(f.ENDED.has(run.status) ? 'The study has no trials.' : 'No part is done yet; its trials come here.'));
    const hear = async (now) => { if (now.length && trials.drop(hear)) put(waits, await trialTable(trials, run, base)); };
    trials.onChange(hear);
    return waits;
  }
  const names = [...new Set(all.slice(0, 500).flatMap((trial) => Object.keys(trial.parameters ?? {})))];
  const filter = h('input', { type: 'search', placeholder: 'top_n=2 weekly', oninput: () => show() });
  const equal = h('input', { type: 'checkbox', checked: true, onchange: () => show() });
  const count = h('span', { class: 'count', role: 'status' });
  const notice = h('div');
  let rows = all;
  const list = table({
    label: 'Trials', key: (trial) => trial.trial, tone: (trial) => (Number.isInteger(trial.equal_to) || trial.status !== 'ok' ? 'equal' : ''), open: (trial) => choose(trial), tall: true, sort: { id: 'sharpe_ratio', down: true }, columns: [
      { id: 'trial', label: 'Trial', num: true, value: (trial) => trial.trial, cell: (trial) => String(trial.trial) },
      ...names.map((name) => ({ id: `p:${name}`, label: short(name), value: (trial) => trial.parameters[name], cell: (trial) => shown(trial.parameters[name]), title: () => name, num: all.every((trial) => typeof trial.parameters?.[name] === 'number') })),
      ...MEASURES.filter((name) => all.some((trial) => Number.isFinite(trial[name]))).map((name, index) => ({ id: name, label: measure(name), unit: isShare(name) ? '%' : '', num: true, minor: index > 1, value: (trial) => trial[name], cell: (trial) => (isShare(name) ? f.hundred(trial[name]) : f.number(trial[name])) })),
      { id: 'note', label: 'Remark', value: null, minor: true, cell: (trial) => (trial.status !== 'ok' ? `${trial.status}${trial.error ? `: ${trial.error}` : ''}` : Number.isInteger(trial.equal_to) ? `the same as ${trial.equal_to}` : ''), title: (trial) => trial.error },
    ],
  });
  function fits(trial) {
    return filter.value.trim().toLowerCase().split(/\s+/).filter(Boolean).every((word) => {
      const [name, wanted] = word.includes('=') ? word.split('=') : [null, word];
      return Object.entries(trial.parameters ?? {}).some(([key, value]) => (name === null || short(key).toLowerCase() === name || key.toLowerCase() === name) && (name === null ? String(value).toLowerCase().includes(wanted) : String(value).toLowerCase() === wanted));
    });
  }
  function show() {
    const wanted = rows.filter((trial) => fits(trial) && (equal.checked || !Number.isInteger(trial.equal_to)));
    const { total, evaluated } = trials.facts();
    count.textContent = `${f.whole(wanted.length)} shown, ${f.whole(evaluated ?? rows.length)} of ${f.whole(total)} evaluated`;
    list.show(wanted);
  }
  trials.onChange((now) => { rows = now; show(); });
  function choose(trial) {
    put(notice, h('div', { class: 'state' }, h('p', null, `Trial ${trial.trial}: `, Object.entries(trial.parameters ?? {}).map(([name, value], index) => [index ? ', ' : '', h('code', null, `${name} = ${shown(value)}`)])),
      h('div', { class: 'actions' }, h('button', { class: 'main', onclick: () => runTrial(trial) }, 'Run it as a backtest'), h('button', { onclick: () => { put(notice); list.grid.focus(); } }, 'Close'))));
    notice.querySelector('button').focus();
  }
  async function runTrial(trial) {
    try {
      const made = await post(`${base}/trials/${trial.trial}/run`, {});
      location.hash = `#/runs/${encodeURIComponent(made.run_id)}`;
    } catch (error) { put(notice, failed(error)); }
  }
  notice.addEventListener('keydown', (event) => { if (event.key === 'Escape') { put(notice); list.grid.focus(); } });
  show();
  return [h('div', { class: 'tools' }, h('label', { class: 'search' }, 'Parameters', filter), h('label', null, 'Equal ones too', equal), count), notice, list.element];
}

const shown = (value) => (typeof value === 'number' ? f.brief(value) : Array.isArray(value) ? value.map(shown).join(' … ') : f.shown(value));

async function surface(trials, base) {
  const all = await trials.all();
  const names = [...new Set(all.slice(0, 500).flatMap((trial) => Object.keys(trial.parameters ?? {})))].filter((name) => new Set(all.map((trial) => JSON.stringify(trial.parameters?.[name]))).size > 1);
  if (names.length < 2) return empty('A surface needs two parameters with more than one value each.');
  const choice = (list, value, label) => { const select = h('select', { onchange: () => load() }, list.map((one) => h('option', { value: one }, label(one)))); select.value = value; return select; };
  const across = choice(names, names[0], short);
  const down = choice(names, names[1], short);
  const what = choice(MEASURES, 'sharpe_ratio', measure);
  const over = choice(['best', 'mean'], 'best', (one) => `${one} of the others`);
  const holder = h('div');
  async function load() {
    if (across.value === down.value) { put(holder, empty('Choose two different parameters.')); return; }
    await place(put(holder), async () => {
      const found = await get(`${base}/surface`, { x: across.value, y: down.value, measure: what.value, over: over.value });
      return heat({ caption: `${measure(what.value)} by ${short(down.value)} and ${short(across.value)}`, columns: found.x_values.map(shown), rows: found.y_values.map(shown), corner: `${short(down.value)} ↓ ${short(across.value)} →`, value: (i, j) => found.cells[i][j], format: (value) => (isShare(what.value) ? f.percent(value) : f.number(value)) });
    });
  }
  await load();
  return [h('div', { class: 'tools' }, h('label', null, 'Across', across), h('label', null, 'Down', down), h('label', null, 'Figure', what), h('label', null, 'Other parameters', over)), holder];
}
