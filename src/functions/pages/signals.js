// Signals: how far each month is synced from the lake to Postgres, what is behind and why, and the rows of a day.

import { get, watch } from './api.js';
import { empty, h, place, put, tabs } from './dom.js';
import * as f from './format.js';
import { table } from './table.js';

export async function draw({ main, signal, parameters, replace }) {
  document.title = 'Signals · Backtests';
  const holder = h('div');
  put(main, h('h1', null, 'Signals'), holder);
  put(holder, tabs('signals', [
    { id: 'months', label: 'Months', make: () => months(signal) },
    { id: 'composite', label: 'Composites of a day', make: () => ofDay('composite') },
    { id: 'ranking', label: 'Rankings of a day', make: () => ofDay('ranking') },
  ], parameters.get('tab'), (tab) => { parameters.set('tab', tab); replace(parameters); }));
}

const why = (month) => (month.why && typeof month.why === 'string' ? month.why.replaceAll('_', ' ') : month.why ? JSON.stringify(month.why) : '');

async function months(signal) {
  const lead = h('p', { class: 'lead', role: 'status' });
  const holder = h('div');
  const list = table({
    label: 'Months of signals, newest first', key: (month) => month.year_month, tone: (month) => (month.behind ? 'behind' : ''), tall: true, columns: [
      { id: 'year_month', label: 'Month' },
      { id: 'state', label: 'State', value: (month) => month.status, cell: (month) => h('span', { class: `status ${month.error ? 'failed' : month.status === 'missing' ? 'queued' : 'completed'}` }, month.status) },
      { id: 'behind', label: 'Behind', value: (month) => Number(month.behind), cell: (month) => (month.behind === null || month.behind === undefined ? 'unknown' : month.behind ? h('span', { class: 'warn' }, 'behind') : 'up to date') },
      { id: 'why', label: 'Why', value: why, cell: why },
      { id: 'signals_rows', label: 'Signals', unit: 'rows', num: true, as: f.whole },
      { id: 'composite_rows', label: 'Composites', unit: 'rows', num: true, minor: true, as: f.whole },
      { id: 'synced_at', label: 'Synced', num: true, minor: true, as: f.moment },
      { id: 'error', label: 'Last error', minor: true, title: (month) => month.error },
    ],
  });
  async function look() {
    const page = await get('signals/sync');
    const behind = page.months.filter((month) => month.behind);
    lead.textContent = page.lake?.state === 'unavailable' ? 'The lake cannot be looked at now, so it is not known what is behind.'
      : behind.length === 0 ? `All ${f.whole(page.months.length)} months are up to date.` : `${f.whole(behind.length)} of ${f.whole(page.months.length)} months are behind.`;
    if (page.months.length === 0) { lead.textContent = ''; put(holder, empty('The lake has no rankings yet: `backtests lake rank` makes some of prices.')); return behind.length > 0; }
    if (list.element.parentNode !== holder) put(holder, list.element);
    list.show(page.months);
    return behind.length > 0;
  }
  await look();
  watch(signal, look, 5000, 60000);
  return [lead, holder];
}

async function ofDay(kind) {
  const date = h('input', { type: 'date', onchange: () => load() });
  const symbol = h('input', { class: 'text', type: 'search', onchange: () => load(), placeholder: 'AAPL, IBM' });
  const strategy = h('input', { class: 'text', type: 'search', onchange: () => load() });
  const count = h('span', { class: 'count', role: 'status' });
  const holder = h('div');
  const shared = [{ id: 'symbol', label: 'Symbol' }];
  const columns = kind === 'composite' ? [
    { id: 'composite_rank', label: 'Rank', num: true, as: f.whole }, ...shared,
    { id: 'composite_percentile', label: 'Percentile', num: true, as: (value) => f.number(value, 4) },
    { id: 'strategies_present', label: 'Strategies', num: true, minor: true, as: f.whole },
    { id: 'strategies_hit', label: 'Hits', num: true, minor: true, as: f.whole },
  ] : [
    { id: 'strategy', label: 'Strategy' },
    { id: 'rank', label: 'Rank', num: true, as: f.whole }, ...shared,
    { id: 'rank_percentile', label: 'Percentile', num: true, as: (value) => f.number(value, 4) },
    { id: 'score', label: 'Score', num: true, minor: true, as: f.brief },
    { id: 'n_symbols', label: 'Of', unit: 'symbols', num: true, minor: true, as: f.whole },
  ];
  const list = table({ label: `Signals: ${kind}`, columns, key: (row) => `${row.strategy ?? ''}/${row.symbol}`, tall: true });
  async function load() {
    await place(put(holder), async () => {
      const page = await get(`signals/${kind}`, { date: date.value, symbol: symbol.value.replace(/\s/g, '').toUpperCase(), strategy: kind === 'ranking' ? strategy.value.trim() : '', limit: 10000 });
      if (page.date && !date.value) date.value = page.date;
      count.textContent = page.signals.length ? `${f.whole(page.signals.length)} rows${page.truncated ? ', and more' : ''}` : '';
      if (page.signals.length === 0) return empty('No signals of that day.');
      list.show(page.signals);
      return list.element;
    });
  }
  await load();
  return [h('div', { class: 'tools' }, h('label', null, 'Day', date), h('label', null, 'Symbols', symbol), kind === 'ranking' ? h('label', null, 'Strategy', strategy) : null, count), holder];
}
