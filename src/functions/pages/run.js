// One run: what came of it in plain words, warnings first, then everything that it left.

import { CallError, address, download, get, getTagged, offers, patch, path, post, remove, text, watch } from './api.js';
import { lines } from './chart.js';
import { empty, facts, failed, h, loading, place, plain, put, say, section, tabs } from './dom.js';
import * as f from './format.js';
import { state } from './runs.js';
import { table } from './table.js';
import { write } from './yaml.js';

const PAGE = 1000;

export async function draw({ main, signal, id, parameters, replace }) {
  const base = path('backtests', id);
  document.title = `${id} · Backtests`;
  let { data: run, etag } = await getTagged(base);
  if (run.kind === 'study') { location.replace(`#/studies/${encodeURIComponent(id)}`); return; }
  const head = h('div');
  const body = h('div');
  put(main, head, body);
  let bodyOf = null;

  function show() {
    document.title = `${f.named(run)} · Backtests`;
    put(head, headOf(run), buttonsOf(run, { etag: () => etag, changed: reload, signal }));
    const shape = `${run.status}/${run.attempt}`;
    if (bodyOf === shape) return;
    bodyOf = shape;
    put(body, run.status === 'completed' ? results(run, parameters, replace) : unfinished(run, parameters, replace));
  }

  async function reload() {
    ({ data: run, etag } = await getTagged(base));
    show();
  }

  show();
  watch(signal, async () => {
    if (f.ENDED.has(run.status)) return false;
    const before = run.status;
    await reload();
    if (before !== run.status) say(`The run is ${run.status}.`);
    return true;
  }, 700, 20000);
}

/** A sentence of what came of a run. */
export function sentence(run) {
  const made = run.summary;
  const span = `${run.start_date} to ${run.end_date}`;
  if (run.status === 'queued') return `Waits for an executor since ${f.moment(run.submitted_at)}, to run from ${span}.`;
  if (run.status === 'running') {
    const rest = f.left(run);
    return `Runs since ${f.duration(f.took(run))}, ${f.percent(run.progress, 0)} of the trading days are done${rest === null ? '' : `, about ${f.duration(rest)} to go`}${run.progress_note ? ` (${run.progress_note})` : ''}.`;
  }
  if (run.status === 'failed') return `Failed after ${run.attempt} of ${run.max_attempts} attempts${run.status_reason ? ` (${run.status_reason.replaceAll('_', ' ')})` : ''}.`;
  if (run.status === 'canceled') return `Canceled ${f.moment(run.completed_at)}; it left no results.`;
  if (!made) return `Completed ${f.moment(run.completed_at)}.`;
  const gain = made.annualized_return === null ? `${f.percent(made.total_return)} in all` : `${f.percent(made.annualized_return)} a year`;
  const versus = made.benchmark && f.percent(made.benchmark.total_return) !== f.DASH
    ? `; ${f.benchmarkName(made.benchmark.name)} made ${f.percent(made.benchmark.total_return)} in all, this run ${f.percent(made.total_return)}` : '';
  return `From ${made.first_day ?? run.start_date} to ${made.last_day ?? run.end_date} it made ${gain}${made.sharpe_ratio === null ? '' : ` at a Sharpe ratio of ${f.number(made.sharpe_ratio)}`}, and fell by ${f.percent(-made.max_drawdown)} at worst${versus}.`;
}

function headOf(run) {
  const made = run.summary;
  return [
    h('p', { class: 'kind' }, run.kind && run.kind !== 'backtest' ? run.kind : 'Backtest'),
    h('h1', null, f.named(run)),
    h('p', { class: 'muted' }, state(run), ' · ', h('code', null, run.run_id), run.submitted_by ? ` · by ${run.submitted_by}` : '', ' · submitted ', h('time', { datetime: run.submitted_at }, f.moment(run.submitted_at)),
      f.took(run) !== null && run.completed_at ? ` · took ${f.duration(f.took(run))}` : '',
      run.parent_run_id ? [' · repeats ', h('a', { href: `#/runs/${encodeURIComponent(run.parent_run_id)}` }, run.parent_run_id)] : null),
    run.tags?.length || run.note ? h('p', null, (run.tags ?? []).map((tag) => h('span', { class: 'tag' }, tag)), run.note ? h('span', { class: 'note' }, run.note) : null) : null,
    h('p', { class: 'lead' }, sentence(run)),
    run.error ? h('div', { class: 'state failed', role: run.status === 'failed' ? 'alert' : null }, h('p', null, run.status === 'failed' ? '' : 'An earlier attempt failed: ', h('code', null, run.error))) : null,
    made?.warnings?.length ? h('div', { class: 'warnings' }, h('h2', null, made.warnings.length === 1 ? 'One thing to know' : `${made.warnings.length} things to know`), h('ul', null, made.warnings.map((one) => h('li', null, one)))) : null,
    made ? headline(made) : null,
  ];
}

function headline(made) {
  const versus = made.benchmark;
  const tile = (label, value, theirs) => h('div', null, h('dt', null, label), h('dd', null, h('strong', null, value), theirs && theirs !== f.DASH ? h('small', null, theirs) : null));
  const name = versus ? f.benchmarkName(versus.name) : '';
  return h('dl', { class: 'headline' },
    tile('Total return', f.percent(made.total_return), versus ? `${name} ${f.percent(versus.total_return)}` : null),
    tile('Return a year', f.percent(made.annualized_return)),
    tile('Volatility a year', f.percent(made.annualized_volatility)),
    tile('Sharpe ratio a year', f.number(made.sharpe_ratio)),
    tile('Deepest drawdown', f.percent(made.max_drawdown)),
    versus ? tile('Information ratio', f.number(versus.information_ratio), `beta ${f.number(versus.beta)}`) : tile('Hit rate of days', f.percent(made.hit_rate)));
}

function buttonsOf(run, { etag, changed, signal }) {
  const base = path('backtests', run.run_id);
  const row = h('div', { class: 'actions' });
  const notice = h('div');
  const act = (label, work, attributes = {}) => h('button', {
    ...attributes, onclick: async (event) => {
      const button = event.currentTarget;
      button.disabled = true;
      try { put(notice, await work() ?? ''); } catch (error) { put(notice, failed(error)); } finally { button.disabled = false; }
    },
  }, label);
  const ended = f.ENDED.has(run.status);
  if (!ended && !run.cancel_requested_at) row.append(act('Cancel', async () => { await post(`${base}/cancel`); await changed(); say('Canceled.'); }, { class: 'main' }));
  if (run.kind !== 'reproduction' && run.kind !== 'audit') row.append(h('a', { class: 'button', href: `#/submit?from=${encodeURIComponent(run.run_id)}` }, 'Submit again …'));
  if (run.status === 'completed' && run.kind !== 'reproduction') row.append(h('a', { class: 'button', href: `#/compare?runs=${encodeURIComponent(run.run_id)}` }, 'Compare …'));
  if (!ended) return [row, notice];
  const slot = h('span', { class: 'actions bulk' });
  row.append(slot);
  (async () => {
    const [reproduce, edit, erase, zip] = await Promise.all([offers('POST', 'backtests/{}/reproduce'), offers('PATCH', 'backtests/{}'), offers('DELETE', 'backtests/{}'), offers('GET', 'backtests/{}/artifacts.zip')]);
    if (signal.aborted) return;
    const change = (fields) => patch(base, fields, { headers: { 'if-match': etag() } });
    put(slot,
      reproduce && run.status === 'completed' && run.kind !== 'reproduction' ? act('Reproduce', async () => { const made = await post(`${base}/reproduce`, {}); location.hash = `#/runs/${encodeURIComponent(made.run_id)}`; }) : null,
      edit ? act('Name, tags, note …', () => edited(run, change, changed)) : null,
      edit ? act(run.archived_at ? 'Take out of the archive' : 'Archive', async () => { await change({ archived: !run.archived_at }); await changed(); }) : null,
      zip && run.status === 'completed' ? act('Download all', () => download(`${base}/artifacts.zip`, `${run.run_id}.zip`)) : null,
      erase ? act('Delete …', async () => {
        if (!confirm(`Delete ${f.named(run)} for good? Its files go with the next sweep, its id cannot be used again.`)) return;
        await remove(base);
        location.hash = '#/runs';
      }) : null);
  })();
  return [row, notice];
}

/** Asks for name, tags and note. */
function edited(run, change, changed) {
  const name = h('input', { value: run.run_name ?? '', maxlength: '200' });
  const tags = h('input', { value: (run.tags ?? []).join(' '), spellcheck: 'false' });
  const note = h('textarea', { rows: '6', maxlength: '4000', value: run.note ?? '' });
  const notice = h('div');
  const dialog = h('dialog', { 'aria-label': 'Name, tags and note' }, h('form', {
    method: 'dialog', onsubmit: async (event) => {
      if (event.submitter?.value !== 'save') return;
      event.preventDefault();
      try {
        await change({ run_name: name.value || null, tags: tags.value.split(/[\s,]+/).filter(Boolean), note: note.value || null });
        dialog.close();
        await changed();
      } catch (error) { put(notice, failed(error)); }
    },
  }, h('label', null, 'Name', name), h('label', null, 'Tags, separated by blanks', tags), h('label', null, 'Note', note), notice,
  h('div', { class: 'actions' }, h('button', { type: 'submit', class: 'main', value: 'save' }, 'Save'), h('button', { type: 'submit', value: 'no' }, 'Leave it'))));
  document.body.append(dialog);
  dialog.addEventListener('close', () => dialog.remove());
  dialog.showModal();
}

/** What there is of a run without results. */
function unfinished(run, parameters, replace) {
  return tabs('part', [
    { id: 'events', label: 'Events', make: () => events(run) },
    { id: 'config', label: 'Config', make: () => config(run) },
  ], parameters.get('tab'), (tab) => { parameters.set('tab', tab); replace(parameters); });
}

function results(run, parameters, replace) {
  if (run.kind === 'reproduction') {
    return tabs('part', [
      { id: 'verdict', label: 'Verdict', make: () => verdict(run) },
      { id: 'files', label: 'Files', make: () => files(run) },
      { id: 'events', label: 'Events', make: () => events(run) },
    ], parameters.get('tab'), (tab) => { parameters.set('tab', tab); replace(parameters); });
  }
  const curves = h('div');
  place(curves, () => curvesOf(run), 'Loading the curve …');
  return [restated(run), curves, tabs('part', [
    { id: 'figures', label: 'Figures', make: () => figures(run) },
    { id: 'positions', label: 'Positions', make: () => positions(run) },
    { id: 'trades', label: 'Fills', make: () => trades(run) },
    { id: 'rolling', label: 'Rolling', make: () => rolling(run) },
    { id: 'report', label: 'Report', make: () => report(run) },
    { id: 'files', label: 'Files', make: () => files(run) },
    { id: 'config', label: 'Config', make: () => config(run) },
    { id: 'inputs', label: 'Inputs', make: () => inputs(run) },
    { id: 'events', label: 'Events', make: () => events(run) },
  ], parameters.get('tab'), (tab) => { parameters.set('tab', tab); replace(parameters); })];
}

/** Whether what it read was written again. */
function restated(run) {
  const line = h('div');
  get(path('backtests', run.run_id), { inputs: 'true' }).then(({ inputs: now }) => now?.line && put(line, h('p', { class: 'warnings', role: 'status' }, `Inputs: ${now.line}.`)), () => {});
  return line;
}

const day = (text) => Date.parse(`${text}T00:00Z`);

/** Falls from the highest value so far. */
export function drawdowns(points) {
  let peak = -Infinity;
  return points.map(([at, value]) => {
    if (value !== null) peak = Math.max(peak, value);
    return [at, value === null ? null : value / peak - 1];
  });
}

async function curvesOf(run) {
  const base = path('backtests', run.run_id);
  const [series, benchmark] = await Promise.all([
    get(`${base}/metrics/timeseries`),
    run.summary.benchmark ? benchmarkOf(base) : null,
  ]);
  const own = series.points.map((point) => [day(point.date), point.portfolio_value]);
  const falls = series.points.map((point) => [day(point.date), point.drawdown]);
  const worth = new Map(own);
  const kept = benchmark?.filter(([at]) => worth.has(at));
  // From its first bar on, with the money that the run had then.
  const theirs = kept?.map(([at, value]) => [at, (value / kept[0][1]) * worth.get(kept[0][0])]);
  const name = run.summary.benchmark && f.benchmarkName(run.summary.benchmark.name);
  const positive = own.every(([, value]) => value > 0);
  const reach = Math.max(...own.map(([, value]) => value)) / Math.min(...own.map(([, value]) => value));
  return [
    section('Value of the portfolio', lines({
      label: 'Value of the portfolio', height: 290, log: positive && reach > 4, format: f.whole, axis: f.compact,
      series: [{ name: 'this run', points: own }, ...(theirs?.length ? [{ name, points: theirs }] : [])],
    }), h('p', { class: 'note' }, positive && reach > 4 ? 'On a logarithmic scale. ' : '', series.truncated ? `${f.whole(series.points.length)} of ${f.whole(series.total_points)} days are drawn. ` : '',
      name && !theirs?.length ? `This run kept no curve of its benchmark (${name}); its report draws one.` : '')),
    section('Fall from the highest value so far', lines({
      label: 'Drawdown', height: 140, ceiling: 0, zero: true, axis: (value) => f.percent(value, 0), format: f.percent,
      series: [{ name: 'this run', points: falls, area: true }, ...(theirs?.length ? [{ name, points: drawdowns(theirs) }] : [])],
    })),
  ];
}

/** What 1 in the benchmark was worth, by day; null where the run kept it not. */
async function benchmarkOf(base) {
  const { artifacts } = await get(`${base}/artifacts`);
  if (!artifacts.some((one) => one.name === 'benchmark.csv')) return null;
  const rows = (await text(`${base}/artifacts/benchmark.csv`)).trim().split('\n').slice(1);
  return rows.map((row) => row.split(',')).filter(([, value]) => value).map(([date, value]) => [day(date), Number(value)]);
}

function figures(run) {
  const days = (text) => [text, text === f.DASH ? '' : h('small', null, ' calendar days')];
  const m = run.summary;
  const b = m.benchmark;
  const a = m.account_of;
  const counts = (object) => Object.entries(object ?? {}).filter(([, count]) => count > 0).map(([name, count]) => [name.replaceAll('_', ' '), f.whole(count)]);
  return h('div', { class: 'pairs' },
    section('Return', facts('Return', [
      ['Value at the start', f.whole(m.initial_cash)], ['Value at the end', f.whole(m.final_equity)], ['Total return', f.percent(m.total_return)], ['Return a year', f.percent(m.annualized_return)],
      ['Best month', f.percent(m.best_month)], ['Worst month', f.percent(m.worst_month)], ['Best day', f.percent(m.best_day)], ['Worst day', f.percent(m.worst_day)], ['Days with a gain', f.percent(m.hit_rate)],
      ['Trading days', f.whole(m.days)], ['Days of a year', f.number(m.periods_per_year, 0)], ...(m.ruined_on ? [['Ruined on', m.ruined_on]] : [])])),
    section('Risk', facts('Risk', [
      ['Volatility a year', f.percent(m.annualized_volatility)], ['Sharpe ratio a year', f.number(m.sharpe_ratio)], ['Sortino ratio a year', f.number(m.sortino_ratio)], ['Calmar ratio', f.number(m.calmar_ratio)],
      ['Risk-free rate a year', f.percent(m.risk_free_rate, 2)], ['Deepest drawdown', f.percent(m.max_drawdown)], ['Longest time below a peak', days(f.whole(m.longest_drawdown_days))],
      ['5 % quantile of days', f.percent(m.var_95, 2)], ['Mean of days below it', f.percent(m.cvar_95, 2)], ['Skewness of days', f.number(m.skew)], ['Excess kurtosis of days', f.number(m.excess_kurtosis)]])),
    section('Trading', facts('Trading', [
      ['Fills', f.whole(m.trades)], ['Mean turnover a day', f.percent(m.average_turnover, 2)], ['Mean holding', days(f.number(m.average_holding_days, 0))], ['Mean gross exposure', f.percent(m.average_gross_exposure)], ['Mean net exposure', f.percent(m.average_net_exposure)],
      ['Commissions', f.whole(m.total_commission)], ['Slippage', f.whole(m.total_slippage_cost)],
      ...[['Market impact', m.total_impact_cost], ['Borrowed shares', m.total_borrow_cost], ['Interest', m.total_interest], ['Dividends', m.total_dividends]].filter((row) => row[1]).map((row) => [row[0], f.whole(row[1])]),
      ['Costs in all', f.whole(m.total_costs)]])),
    b ? section(`Against ${f.benchmarkName(b.name)}`, facts('Against the benchmark', [
      ['Its total return', f.percent(b.total_return)], ['Alpha a year', f.percent(b.alpha)], ['Beta', f.number(b.beta)], ['Correlation of days', f.number(b.correlation)], ['Tracking error a year', f.percent(b.tracking_error)], ['Information ratio a year', f.number(b.information_ratio)],
      ['Up capture', f.percent(b.up_capture)], ['Down capture', f.percent(b.down_capture)], ['Days compared', f.whole(b.days)]])) : null,
    a ? section('What became of what was asked', facts('What became of what was asked', [
      ['Decisions', f.whole(a.decisions)], ['Decisions that named nothing', f.whole(a.decisions_without_names)], ['Days in cash', f.whole(a.days_in_cash)], ['Names wanted', f.whole(a.names_wanted)], ['Names cut by the sizer', f.whole(a.names_cut)],
      ['Gross exposure asked for', f.percent(a.gross_asked)], ['Gross exposure reached', f.percent(a.gross_reached)], ['Orders without a bar', f.whole(a.orders_without_bar)], ...counts(a.hits), ...counts(a.rejected_orders)])) : null);
}

async function positions(run) {
  const base = path('backtests', run.run_id);
  const date = h('input', { type: 'date', min: run.start_date, max: run.end_date, oninput: () => load() });
  const holder = h('div');
  const sum = h('span', { class: 'count', role: 'status' });
  const columns = [
    { id: 'symbol', label: 'Symbol' },
    { id: 'side', label: 'Side', value: (row) => row.side, cell: (row) => h('span', { class: row.side === 'short' ? 'loss' : null }, row.side) },
    { id: 'weight', label: 'Weight', unit: '%', num: true, value: (row) => row.weight, cell: (row) => f.hundred(row.weight, 2) },
    { id: 'position_value', label: 'Value', num: true, as: f.whole },
    { id: 'shares', label: 'Shares', num: true, minor: true, value: (row) => row.shares, cell: (row) => f.number(row.shares, 2) },
    { id: 'close', label: 'Close', num: true, minor: true, value: (row) => row.close, cell: (row) => [f.number(row.close, 2), row.stale ? h('span', { class: 'warn', title: 'of an earlier day' }, ' old') : null] },
  ];
  async function load() {
    const page = await get(`${base}/positions`, { date: date.value }).catch((error) => error);
    if (page instanceof Error) { put(holder, failed(page)); sum.textContent = ''; return; }
    if (!date.value && page.date) date.value = page.date;
    if (page.positions.length === 0) { put(holder, empty('Nothing was held.')); sum.textContent = ''; return; }
    const list = table({ label: `Positions on ${page.date}`, columns, key: (row) => row.symbol, sort: { id: 'weight', down: true } });
    put(holder, list.element);
    list.show(page.positions);
    sum.textContent = `${f.whole(page.positions.length)} held, ${f.percent(page.positions.reduce((total, row) => total + Math.abs(row.weight ?? 0), 0))} gross`;
  }
  await load();
  return [h('div', { class: 'tools' }, h('label', null, 'At the close of', date), sum), holder];
}

async function trades(run) {
  const base = path('backtests', run.run_id);
  let rows = [];
  let total = 0;
  let asking = false;
  const count = h('span', { class: 'count', role: 'status' });
  const symbol = h('input', { type: 'search', class: 'text', oninput: show });
  const costs = (row) => row.commission + row.slippage_cost + (row.impact_cost || 0);
  const list = table({
    label: 'Fills in the order of execution', key: (row) => row.n, more: () => more(), columns: [
      { id: 'date', label: 'Day', value: (row) => row.n, cell: (row) => row.execution_date },
      { id: 'symbol', label: 'Symbol' },
      { id: 'side', label: 'Side', value: (row) => row.quantity, cell: (row) => h('span', { class: row.quantity < 0 ? 'loss' : null }, row.quantity < 0 ? 'sold' : 'bought') },
      { id: 'quantity', label: 'Shares', num: true, value: (row) => Math.abs(row.quantity), cell: (row) => f.number(Math.abs(row.quantity), 2) },
      { id: 'price', label: 'Price', num: true, value: (row) => row.price, cell: (row) => f.number(row.price, 2) },
      { id: 'notional', label: 'Notional', num: true, minor: true, value: (row) => Math.abs(row.notional), cell: (row) => f.whole(row.notional) },
      { id: 'costs', label: 'Costs', num: true, minor: true, value: costs, cell: (row) => f.number(costs(row), 2) },
      { id: 'cash_after', label: 'Cash after', num: true, minor: true, as: f.whole },
    ],
  });
  function show() {
    const wanted = symbol.value.trim().toUpperCase();
    list.show(wanted ? rows.filter((row) => row.symbol.toUpperCase().includes(wanted)) : rows);
    count.textContent = `${f.whole(rows.length)} of ${f.whole(total)} fills loaded`;
  }
  async function more() {
    if (asking || (total > 0 && rows.length >= total)) return;
    asking = true;
    try {
      const page = await get(`${base}/trades`, { limit: PAGE, offset: rows.length });
      total = page.total;
      rows = rows.concat(page.trades.map((row, index) => ({ ...row, n: rows.length + index })));
      show();
    } finally { asking = false; }
  }
  await more();
  if (total === 0) return empty('Nothing was traded.');
  return [h('div', { class: 'tools' }, h('label', null, 'Symbol', symbol), count), list.element];
}

async function rolling(run) {
  const days = h('input', { type: 'number', min: '2', max: '2000', value: '63', class: 'text', onchange: () => load() });
  const holder = h('div');
  async function load() {
    await place(put(holder, loading()), async () => {
      const series = await get(`${path('backtests', run.run_id)}/metrics/rolling`, { window_days: days.value });
      const of = (name) => series.points.map((point) => [day(point.date), point[name]]);
      const known = (name) => series.points.some((point) => point[name] !== null);
      if (!known('rolling_volatility')) return empty(`The run is shorter than ${days.value} days.`);
      return h('div', { class: 'pairs' },
        section('Return over the window', lines({ label: 'Return over the window', height: 180, zero: true, format: (value) => f.percent(value, 0), series: [{ name: 'return', points: of('rolling_return') }] })),
        section('Volatility a year', lines({ label: 'Volatility a year', height: 180, floor: 0, format: (value) => f.percent(value, 0), series: [{ name: 'volatility', points: of('rolling_volatility') }] })),
        section('Sharpe ratio a year', lines({ label: 'Sharpe ratio a year', height: 180, zero: true, format: (value) => f.number(value, 1), series: [{ name: 'Sharpe ratio', points: of('rolling_sharpe') }] })),
        section('Exposure', lines({ label: 'Exposure', height: 180, zero: true, format: (value) => f.percent(value, 0), series: [{ name: 'gross', points: of('gross_exposure_avg') }, { name: 'net', points: of('net_exposure_avg') }] })));
    });
  }
  await load();
  return [h('div', { class: 'tools' }, h('label', null, 'Trading days of the window', days)), holder];
}

/** The report in a frame of its own document, in which nothing runs and nothing is fetched: the sandbox and the policy of `frame.html` see to that. */
export async function report(run) {
  const where = `${path('backtests', run.run_id)}/report`;
  const page = await text(where);
  const frame = h('iframe', { class: 'frame', sandbox: 'allow-same-origin', src: address('ui/frame.html').pathname, title: `Report of ${f.named(run)}` });
  frame.addEventListener('load', () => { frame.contentDocument.documentElement.innerHTML = page; }, { once: true });
  return [h('div', { class: 'actions' }, h('button', { onclick: () => download(where, `${run.run_id}.html`) }, 'Download the report')), frame];
}

export async function files(run) {
  const base = path('backtests', run.run_id);
  const { artifacts } = await get(`${base}/artifacts`);
  const rows = artifacts.map((row, n) => ({ ...row, n }));
  const bring = (row) => download(`${base}/${path('artifacts', row.name)}`, row.name.split('/').at(-1));
  const notice = h('div');
  const list = table({
    label: 'Files', key: (row) => row.name, open: (row) => bring(row).catch((error) => put(notice, failed(error))), columns: [
      { id: 'name', label: 'File', wide: true },
      { id: 'size_bytes', label: 'Size', num: true, as: f.bytes },
      { id: 'content_type', label: 'Type', minor: true },
      { id: 'sha256', label: 'SHA-256', minor: true, value: null, cell: (row) => h('code', null, row.sha256.slice(0, 16)), title: (row) => row.sha256 },
    ],
  });
  list.show(rows);
  const sum = rows.reduce((total, row) => total + row.size_bytes, 0);
  return [h('p', { class: 'note' }, `${f.whole(rows.length)} files, ${f.bytes(sum)}. A click, or Enter, downloads one.`), notice, list.element];
}

async function config(run) {
  const own = write(await get(`${path('backtests', run.run_id)}/config`));
  return [
    run.parent_run_id ? section('What differs from its parent', await place(h('div'), () => differing([run.parent_run_id, run.run_id], ['Parent', 'This run']))) : null,
    section('As it was submitted', h('pre', { class: 'text', tabindex: '0', 'aria-label': 'Config as it was submitted' }, own)),
    h('div', { class: 'actions' }, h('a', { class: 'button', href: `#/submit?from=${encodeURIComponent(run.run_id)}` }, 'Submit again …'), h('small', null, `SHA-256 of the effective config ${run.config_sha256.slice(0, 16)}`)),
  ];
}

/** Where the configs of runs differ, as a table. */
export async function differing(ids, names) {
  const configs = await Promise.all(ids.map(async (id) => new Map(f.flat(await get(`${path('backtests', id)}/config`)))));
  const paths = [...new Set(configs.flatMap((config) => [...config.keys()]))];
  return differences(paths.map((one) => [one, configs.map((config) => config.get(one))]).filter(([, values]) => new Set(values.map((value) => JSON.stringify(value))).size > 1), names);
}

/** The same of paths and the values of each run. */
export function differences(rows, names) {
  if (rows.length === 0) return h('p', { class: 'note' }, 'Nothing: the configs say the same.');
  return plain('Differences of the configs', ['Option', ...names], rows.map(([one, values]) => [h('code', null, one), ...values.map(f.shown)]));
}

async function inputs(run) {
  const digests = [['engine', run.engine_version], ['fingerprint', run.fingerprint], ['digest of results', run.results_sha256]].filter(([, value]) => value);
  const used = section('What was read', plain('What was read', ['', ''], [...f.flat(run.data_versions ?? {}), ...digests].map(([name, value]) => [name, h('code', null, f.shown(value))])));
  const since = h('div');
  place(since, async () => {
    if (!(await offers('GET', 'backtests/{}/inputs'))) throw new CallError('missing', '');
    const now = await get(`${path('backtests', run.run_id)}/inputs`);
    return h('ul', null, Object.entries(now).filter(([, one]) => one && typeof one === 'object' && 'state' in one).map(([name, one]) => h('li', null, h('strong', null, name), `: ${words(one)}`)));
  });
  return [section('Since then', since), used];
}

function words(one) {
  const versions = one.used !== undefined && one.used !== null ? ` (version ${one.used} was read, ${one.newest ?? f.DASH} is the newest)` : '';
  const text = {
    current: 'nothing that this run read has changed', appended: 'only later days were added', unknown: 'the table no longer tells', gone: 'the table is another one now',
    restated: `restated since${one.rows_restated ? `: ${f.whole(one.rows_restated)} rows` : ''}${one.first_date ? `, first ${one.first_date}` : ''}${one.files_changed_in_window ? `, ${f.whole(one.files_changed_in_window)} files` : ''}`,
  }[one.state] ?? String(one.state);
  return `${text}${versions}${one.symbols?.length ? `: ${one.symbols.join(', ')}` : ''}`;
}

async function verdict(run) {
  const found = await get(`${path('backtests', run.run_id)}/artifacts/reproduction.json`);
  const said = { identical: 'Every file is the same, byte by byte.', equal_numbers: 'Another engine, the same numbers to 1e-9.', different: 'It came out differently.', not_possible: 'It cannot be made again.' }[found.verdict] ?? found.verdict;
  const largest = found.largest_difference;
  return [
    h('p', { class: 'lead' }, said, found.reason ? ` ${found.reason}` : ''),
    facts('Then and now', [['Of', h('a', { href: `#/runs/${encodeURIComponent(found.of)}` }, found.of)], ['Engine then', found.engine?.then ?? f.DASH], ['Engine now', found.engine?.now ?? f.DASH], ['Data', String(found.data ?? f.DASH)],
      ...(largest ? [['Largest difference', `${f.brief(largest.absolute)} in ${largest.file}, ${largest.column}, row ${largest.row}`]] : [])]),
    plain('Files', ['File', 'Expected', 'Got', ''], (found.files ?? []).map((file) => [file.name, h('code', null, (file.expected ?? f.DASH).slice(0, 12)), h('code', null, (file.got ?? f.DASH).slice(0, 12)), h('span', { class: file.equal ? 'good' : 'loss' }, file.equal ? 'equal' : 'differs')])),
  ];
}

async function events(run) {
  const list = (await get(`${path('backtests', run.run_id)}/events`)).events;
  const first = list[0] && Date.parse(list[0].at);
  const brief = ([name, value]) => `${name}: ${/^[0-9a-f]{32,}$/.test(value) ? `${value.slice(0, 12)}…` : value}`;
  return plain('Events', ['What', 'When', 'After|num', 'Attempt|num', 'By', 'Detail'], list.map((event) => [
    event.event.replaceAll('_', ' '), h('time', { datetime: event.at }, f.moment(event.at)), Date.parse(event.at) === first ? '' : f.duration(Date.parse(event.at) - first), String(event.fence), event.actor,
    f.flat(event.detail ?? {}).map(brief).join(', ')]));
}
