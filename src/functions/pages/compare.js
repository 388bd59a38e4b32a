// Two to ten runs over the days that all have, by `GET /api/compare` and their daily values.

import { download, get, offers, path } from './api.js';
import { heat, lines } from './chart.js';
import { empty, facts, failed, h, loading, place, plain, put, section } from './dom.js';
import * as f from './format.js';
import { address, excess } from './runs.js';
import { differences, differing, drawdowns } from './run.js';
import { table } from './table.js';

const MOST = 10;
const day = (text) => Date.parse(`${text}T00:00Z`);

/** A, B and so on. */
const letter = (index) => String.fromCharCode(65 + index);
/** Figures that are shares, shown in percent. */
const SHARES = /return|volatility|drawdown|var_95|cvar_95|hit_rate|day$|month$|exposure|turnover|alpha|tracking_error|risk_free/;
const COUNTS = /^(days|trades|longest_drawdown_days|initial_cash|final_equity|total_co.*|total_slippage_cost|observations)$/;

function figure(name, value) {
  if (typeof value !== 'number') return value === null || value === undefined ? f.DASH : String(value);
  return COUNTS.test(name) ? f.whole(value) : SHARES.test(name) ? f.percent(value, 2) : f.number(value, 3);
}

export async function draw({ main, parameters, replace }) {
  document.title = 'Compare · Backtests';
  const chosen = [...new Set((parameters.get('runs') ?? '').split(',').filter(Boolean))];
  if (chosen.length < 2 || chosen.length > MOST) { await choose(main, chosen); return; }
  const base = chosen.includes(parameters.get('base')) ? parameters.get('base') : chosen[0];
  // As in the answer: the base is A, the others follow in their order.
  const ids = [base, ...chosen.filter((id) => id !== base)];
  put(main, h('h1', null, 'Compare'), loading('Loading the runs …'));
  const runs = await Promise.all(ids.map((id) => get(path('backtests', id))));
  const unready = runs.filter((run) => run.status !== 'completed');
  const baseChoice = h('select', { onchange: (event) => { parameters.set('base', event.target.value); replace(parameters); dispatchEvent(new Event('hashchange')); } }, runs.map((run) => h('option', { value: run.run_id }, f.named(run))));
  baseChoice.value = base;
  const verdict = h('div');
  const bring = h('button', { hidden: true, onclick: () => download('compare/page', 'compare.html', { runs: ids.join(',') }).catch((error) => put(verdict, failed(error))) }, 'Download as one page');
  const curves = h('div');
  const rest = h('div');
  put(main,
    h('p', { class: 'kind' }, 'Comparison'), h('h1', null, runs.map(f.named).join(' – ')),
    h('p', { class: 'muted' }, runs.map((run, index) => [index ? ' · ' : '', runs.length > 2 ? `${letter(index)} ` : '', h('a', { href: address(run) }, run.run_id)])),
    unready.length ? empty(`${unready.map((run) => `${run.run_id} is ${run.status}`).join(', ')}: only completed runs can be compared.`, h('a', { class: 'button', href: '#/compare' }, 'Choose others'))
      : [verdict, h('div', { class: 'actions tools' }, ids.length > 2 ? h('label', null, 'Against', baseChoice) : null,
        bring, h('a', { class: 'button', href: '#/compare' }, 'Choose others')), curves, rest]);
  if (unready.length) return;
  offers('GET', 'compare/page').then((can) => { bring.hidden = !can; });
  const asked = get('compare', { runs: ids.join(','), bootstrap: parameters.get('bootstrap') });
  asked.catch(() => {});
  const series = Promise.all(runs.map((run) => values(run)));
  series.catch(() => {});
  const names = runs.map(f.named);
  await Promise.all([
    place(verdict, async () => {
      try { return said(await asked, runs); } catch (error) {
        if (error.kind !== 'missing') throw error;
        return h('p', { class: 'note' }, 'This service does not compare runs itself yet: below are the figures of each, without a test of whether they differ.');
      }
    }, 'Comparing …'),
    place(curves, async () => drawn(await series, names)),
    place(rest, async () => tables(await asked.catch(() => null), await series, runs, names)),
  ]);
}

/** Value of a run by day. */
async function values(run) {
  const series = await get(`${path('backtests', run.run_id)}/metrics/timeseries`, { max_points: 200000 });
  return series.points.map((point) => [day(point.date), point.portfolio_value]);
}

/** The days that all have, and what 1 of the first of them became. */
function common(series) {
  const shared = series.map((list) => new Set(list.map(([at]) => at))).reduce((a, b) => new Set([...a].filter((at) => b.has(at))));
  return series.map((list) => {
    const kept = list.filter(([at, value]) => shared.has(at) && value !== null);
    return kept.map(([at, value]) => [at, value / kept[0][1]]);
  });
}

/** The comparisons with the base: of two runs the answer itself, of more one for each other run. */
function comparisons(answer) {
  return answer?.pairs?.length ? answer.pairs : answer ? [answer] : [];
}

function said(answer, runs) {
  const { window } = answer;
  const data = { same: 'read the same data', versions_differ: 'read different versions of the same tables', different: 'read different data' }[answer.data];
  return [
    h('p', { class: 'lead' }, answer.sentence),
    h('p', { class: 'note' }, window.days ? `All figures are of the ${f.whole(window.days)} days that all runs have, ${window.from} to ${window.to}${window.cut?.length ? ` (${window.cut.join('; ')})` : ''}. ` : '',
      data ? `The ${runs.length} runs ${data}${answer.engine === 'same' ? ', with the same engine' : answer.engine ? ', with different engines' : ''}.` : ''),
  ];
}

function drawn(series, names) {
  const shared = common(series);
  if (shared[0].length < 2) return empty('These runs have no days in common.');
  const reach = Math.max(...shared.flat().map(([, value]) => value)) / Math.min(...shared.flat().map(([, value]) => value));
  const positive = shared.flat().every(([, value]) => value > 0);
  const log = positive && reach > 4;
  return [
    section('What 1 became', lines({ label: 'Value of 1', height: 280, log, format: (value) => f.number(value, 2), series: shared.map((points, index) => ({ name: names[index], points })) }),
      log ? h('p', { class: 'note' }, 'On a logarithmic scale.') : null),
    ratio(shared, names),
    section('Falls from the highest value so far', lines({ label: 'Drawdowns', height: 170, ceiling: 0, zero: true, format: (value) => f.percent(value, 0), series: shared.map((points, index) => ({ name: names[index], points: drawdowns(points), area: index === 0 })) })),
  ];
}

/** What 1 in the first became over what it became in each other; of two, with the band in which 95 % of such ratios lie at their end if neither run
 *  is better: 1.96 deviations of the daily log ratio, times the root of the days. */
function ratio(shared, names) {
  const [first, ...others] = shared;
  const two = others.length === 1;
  const ratios = others.map((points) => points.map(([at, value], index) => [at, first[index][1] / value]));
  let band = null;
  if (two && ratios[0].every(([, value]) => value > 0)) {
    const steps = ratios[0].slice(1).map(([, value], index) => Math.log(value / ratios[0][index][1]));
    const middle = steps.reduce((sum, step) => sum + step, 0) / steps.length;
    const deviation = Math.sqrt(steps.reduce((sum, step) => sum + (step - middle) ** 2, 0) / steps.length);
    band = ratios[0].map(([at], index) => { const reach = Math.exp(1.96 * deviation * Math.sqrt(index)); return [at, 1 / reach, reach]; });
  }
  return section('One against the other', lines({
    label: 'Ratio of values', height: 200, log: band !== null, band, format: (value) => f.number(value, 2),
    series: ratios.map((points, index) => ({ name: `${names[0]} over ${names[index + 1]}`, tone: two ? 8 : index + 2, points })),
  }), band ? h('p', { class: 'note' }, 'Shaded: where the ratio of two equally good runs that move apart like these would be, 95 times of 100.') : null);
}

/** Correlations of daily returns. */
function correlations(shared) {
  const returns = shared.map((points) => points.slice(1).map(([, value], index) => value / points[index][1] - 1));
  const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;
  const centred = returns.map((list) => { const middle = mean(list); return list.map((value) => value - middle); });
  const dot = (a, b) => a.reduce((sum, value, index) => sum + value * b[index], 0);
  return centred.map((a) => centred.map((b) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))));
}

async function tables(answer, series, runs, names) {
  const shared = common(series);
  const parts = [];
  if (answer?.figures) {
    const list = comparisons(answer);
    // A figure is marked as the better one only where the test says that it is better.
    const better = list.length === 1 && runs.length === 2 ? verdictOf(list[0].sharpe_test) : null;
    parts.push(section('Figures', plain('Figures', ['Over the common days', ...names.map((name) => `${name}|num`), ...(runs.length === 2 ? ['Difference|num'] : [])], answer.figures.map((row) => [row.name.replaceAll('_', ' '),
      ...runs.map((run, index) => { const text = figure(row.name, row[letter(index)]); return row.name === 'sharpe_ratio' && better === index ? h('strong', { class: 'good' }, text) : text; }),
      ...(runs.length === 2 ? [figure(row.name, row.difference)] : [])]))));
    if (list.length) parts.push(section('Test of the Sharpe ratios', h('div', { class: 'pairs' }, list.map((one, index) => tested(one, list.length > 1 ? names[index + 1] : null)))));
  } else {
    const rows = [['Total return', 'total_return'], ['Return a year', 'annualized_return'], ['Volatility a year', 'annualized_volatility'], ['Sharpe ratio a year', 'sharpe_ratio'], ['Deepest drawdown', 'max_drawdown'], ['Sortino ratio a year', 'sortino_ratio'], ['Mean turnover a day', 'average_turnover'], ['Costs in all', 'total_costs'], ['Trading days', 'days']];
    parts.push(section('Figures', h('p', { class: 'note' }, 'Each over the days of its own run.'), plain('Figures', ['', ...names.map((name) => `${name}|num`)], rows.map(([label, name]) => [label, ...runs.map((run) => figure(name, run.summary?.[name]))]))));
  }
  if (shared[0].length > 2) {
    const matrix = answer?.correlations ?? correlations(shared);
    parts.push(section('Correlation of daily returns', heat({ caption: 'Correlation of daily returns', columns: names, rows: names, middle: 0, value: (i, j) => matrix[i][j] })));
  }
  parts.push(section('What differs in the configs', answer?.config_diff ? differences(answer.config_diff.map((row) => [row.path, runs.map((run, index) => row[letter(index)])]), names) : await place(h('div'), () => differing(runs.map((run) => run.run_id), names))));
  return parts;
}

/** Which of two is better by the test: 0, 1, or null where it is within chance. */
function verdictOf(test) {
  const { p, z } = test?.hac ?? {};
  return Number.isFinite(p) && p < 0.05 ? (z > 0 ? 0 : 1) : null;
}

function tested(one, name) {
  const { sharpe_test: test, difference } = one;
  const interval = test?.hac?.interval95_annual;
  const rows = [];
  if (test) {
    rows.push(['Difference a day', f.brief(test.difference_daily)]);
    if (test.hac) rows.push(['p, autocorrelation allowed for (Ledoit, Wolf 2008)', f.number(test.hac.p ?? null, 3)], ['Its lag', f.whole(test.hac.lag)]);
    if (interval) rows.push(['95 % interval, a year', `${f.number(interval[0])} to ${f.number(interval[1])}`]);
    if (test.memmel) rows.push(['p, independent days (Memmel 2003)', f.number(test.memmel.p ?? null, 3)]);
    if (test.bootstrap) rows.push(['p, block bootstrap', f.number(test.bootstrap.p ?? null, 3)]);
    if (Number.isFinite(test.p_holm)) rows.push(['p, adjusted for their number (Holm 1979)', f.number(test.p_holm, 3)]);
  }
  if (difference) {
    rows.push(['Mean difference a year', f.percent(difference.mean_annual, 2)], ['Tracking error a year', f.percent(difference.tracking_error, 2)], ['Correlation of days', f.number(difference.correlation, 3)], ['Days on which the first did better', f.percent(difference.days_A_better, 1)], ['Final ratio', f.number(difference.final_ratio, 3)]);
  }
  if (one.holdings) rows.push(['Mean active share', f.percent(one.holdings.mean_active_share, 1)]);
  return h('div', null, name ? h('h3', null, name) : null, test ? null : h('p', { class: 'note' }, 'There is no test: too few common days, or the results are the same.'),
    facts('Test', rows));
}

/** Which runs: the newest completed ones, to be ticked. */
async function choose(main, chosen) {
  const ticks = new Set(chosen.slice(0, MOST));
  const go = h('button', { class: 'main', onclick: () => { if (ticks.size >= 2) location.hash = `#/compare?runs=${[...ticks].map(encodeURIComponent).join(',')}`; } }, 'Compare');
  const search = h('input', { type: 'search', placeholder: 'name or id', oninput: () => { clearTimeout(timer); timer = setTimeout(load, 250); } });
  let timer;
  const holder = h('div');
  const mark = () => { go.disabled = ticks.size < 2; go.textContent = ticks.size > 1 ? `Compare ${ticks.size}` : 'Compare'; };
  const list = table({
    label: 'Completed runs', tall: true, ticks, tickMax: MOST, onTick: mark, key: (run) => run.run_id, columns: [
      { id: 'name', label: 'Name', wide: true, value: (run) => f.named(run).toLowerCase(), cell: f.named, title: (run) => run.run_id },
      { id: 'return', label: 'Return', unit: '%', num: true, value: (run) => run.summary?.total_return, cell: (run) => f.hundred(run.summary?.total_return) },
      { id: 'excess', label: 'Beyond benchmark', unit: 'pp', num: true, minor: true, value: excess, cell: (run) => f.hundred(excess(run)) },
      { id: 'sharpe', label: 'Sharpe', unit: 'p.a.', num: true, value: (run) => run.summary?.sharpe_ratio, cell: (run) => f.number(run.summary?.sharpe_ratio) },
      { id: 'window', label: 'Window', minor: true, cell: (run) => `${run.start_date} … ${run.end_date}` },
      { id: 'submitted_at', label: 'Submitted', num: true, minor: true, as: f.moment },
    ],
  });
  async function load() {
    await place(put(holder, loading('Loading runs …')), async () => {
      const page = await get('backtests', { status: 'completed', q: search.value.trim(), limit: 200 });
      const fit = page.runs.filter((run) => !run.kind || run.kind === 'backtest');
      if (fit.length === 0) return empty(search.value ? 'No completed run fits.' : 'There are no completed runs yet.', h('a', { class: 'button', href: '#/submit' }, 'Submit one'));
      list.show(fit);
      return list.element;
    });
  }
  put(main, h('h1', null, 'Compare'), h('p', { class: 'note' }, chosen.length > MOST ? `At most ${MOST} runs can be compared at once.` : chosen.length === 1 ? 'Tick at least one more.' : `Tick two to ${MOST} completed runs.`),
    h('div', { class: 'tools' }, h('label', { class: 'search' }, 'Search', search), go), holder);
  mark();
  await load();
}
