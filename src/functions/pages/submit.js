// Submit: a config, or a study, as YAML. What is wrong with it stands beside its lines while one types.

import { get, offers, post } from './api.js';
import { failed, h, put, say } from './dom.js';
import * as f from './format.js';
import { lineIn, lineOf, write } from './yaml.js';

const DRAFT = 'draft';
const LINE = 20;

const EXAMPLES = [
  ['momentum', `# The two strongest of five stocks by 12-1 momentum, every month, ten basis points a trade.
run_name: momentum, top two of five
start_date: 2005-01-03
end_date: 2013-03-01
universe: {symbols: [AAPL, FB, GOOG, IBM, MSFT]}
strategy:
  class: TopNSignalStrategy
  parameters: {signal_column: momentum_12_1, top_n: 2, rebalance: monthly}
broker: {slippage_bps: 5, commission: 0.0005}
benchmark: equal_weight
`],
  ['stages', `# A strategy put together from stages: breakouts of closing prices, looked at every week, with two exit rules.
run_name: weekly breakouts with stops
start_date: 2005-01-03
end_date: 2013-03-01
universe: {symbols: [AAPL, FB, GOOG, IBM, MSFT]}
strategy:
  type: configured
  rebalance: {freq: weekly}
  universe: {source: prices}
  signals: {provider: computed_from_prices}
  scoring: {type: price_breakout, lookback: 50}
  selection: {type: topn, topn: {n: 3, min_score: 0}}
  holding_policy: {type: replace_all, replace_all: {exit_if_not_selected: false}}
  exits:
    rules:
      - {type: trailing_ma, days: 50}
      - {type: stop_loss, pct: 0.12, use_intraday_extremes: false}
broker: {slippage_bps: 5}
`],
  ['study', `# Every combination of two parameters, and what the best of them can be believed.
study:
  name: breadth of momentum
  search: grid
  parameters:
    strategy.parameters.top_n: [1, 2, 3]
    strategy.parameters.rebalance: [weekly, monthly, quarterly]
  select_by: sharpe_ratio
base:
  start_date: 2005-01-03
  end_date: 2013-03-01
  universe: {symbols: [AAPL, FB, GOOG, IBM, MSFT]}
  strategy:
    class: TopNSignalStrategy
    parameters: {signal_column: momentum_12_1, top_n: 2, rebalance: monthly}
  broker: {slippage_bps: 5, commission: 0.0005}
`],
];

const isStudy = (content) => /^study\s*:/m.test(content);

export async function draw({ main, signal, parameters }) {
  document.title = 'Submit · Backtests';
  const parent = parameters.get('from');
  let checking = null;
  let timer;
  const fresh = () => crypto.randomUUID?.() ?? String(Math.random());
  let repeat = fresh();
  const numbers = h('div', { class: 'lines', 'aria-hidden': 'true' });
  const field = h('textarea', { 'aria-label': 'Config as YAML', 'aria-describedby': 'verdict', spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off', oninput: typed, onkeydown: onKey });
  const notes = h('div', { class: 'faults', role: 'list', 'aria-label': 'Faults' });
  const verdict = h('div', { class: 'verdict', id: 'verdict', role: 'status' });
  const button = h('button', { class: 'main', onclick: submit, 'aria-keyshortcuts': 'Control+Enter' }, 'Submit');
  const examples = h('div', { class: 'actions' }, h('span', { class: 'muted' }, 'Begin with'), EXAMPLES.map(([name, content]) => h('button', { onclick: () => { set(content); field.focus(); } }, name)));
  put(main, h('h1', null, parent ? 'Submit again' : 'Submit'),
    parent ? h('p', { class: 'note' }, 'With the config of ', h('a', { href: `#/runs/${encodeURIComponent(parent)}` }, parent), ', which it will name as its parent.') : null,
    examples, h('div', { class: 'editor' }, h('div', { class: 'sheet' }, numbers, field), notes),
    verdict, h('div', { class: 'actions' }, button, h('small', null, h('kbd', null, 'Ctrl'), ' ', h('kbd', null, 'Enter'), ' submits, ', h('kbd', null, 'Esc'), ' ', h('kbd', null, 'Tab'), ' leaves the text')));

  function set(content) {
    field.value = content;
    typed();
  }

  function typed() {
    if (!parent) sessionStorage.setItem(DRAFT, field.value);
    repeat = fresh();
    number(new Set());
    clearTimeout(timer);
    checking?.abort();
    button.disabled = false;
    timer = setTimeout(check, 300);
  }

  function number(bad) {
    const lines = field.value.split('\n').length;
    field.style.height = `${Math.max(24 * 16, lines * LINE + 36)}px`;
    put(numbers, Array.from({ length: lines }, (_, index) => h('span', { class: bad.has(index + 1) ? 'bad' : null }, String(index + 1))));
  }

  function call(again) {
    return isStudy(field.value) ? `studies${again}` : `backtests${again}`;
  }

  const body = () => ({ config_yaml: field.value });

  async function check() {
    if (!field.value.trim()) { put(notes); put(verdict, h('span', { class: 'muted' }, 'Nothing yet.')); button.disabled = true; return; }
    checking = new AbortController();
    const mine = checking;
    try {
      const answer = await post(call('/validate'), body(), { signal: mine.signal });
      put(notes);
      put(verdict, valid(answer));
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (error.kind === 'missing' && isStudy(field.value)) {
        put(notes);
        put(verdict, failed(error));
        button.disabled = true;
      } else if (error.code === 'invalid_config' || error.code === 'malformed_request') faults(error);
      else { put(notes); put(verdict, failed(error, check)); }
    }
  }

  function valid(answer) {
    const { estimate, fingerprint } = answer;
    const parts = [];
    if (estimate) {
      if (estimate.symbols !== null && estimate.symbols !== undefined) parts.push(`${f.whole(estimate.symbols)} symbols`);
      if (estimate.weekdays) parts.push(`${f.whole(estimate.weekdays)} weekdays`);
      if (estimate.bytes) parts.push(`${f.bytes(estimate.bytes)} of prices and signals`);
    }
    if (answer.trials) parts.push(`${f.whole(answer.trials)} trials`, answer.parts ? `in ${f.whole(answer.parts)} parts` : '');
    return [h('span', { class: 'good' }, 'This can be run'), `: ${parts.filter(Boolean).join(', ')}.`, fingerprint ? h('small', { title: fingerprint }, ` fingerprint ${fingerprint.slice(0, 12)}`) : null];
  }

  function faults(error) {
    const inStudy = isStudy(field.value);
    const list = (error.errors.length ? error.errors : [{ path: '', message: error.message }]).map((fault) => {
      const path = fault.path.replace(/^config_yaml\.?/, '');
      return { ...fault, path, line: lineIn(fault.message) ?? (path ? lineOf(field.value, path) ?? (inStudy ? lineOf(field.value, `base.${path}`) : null) : null) };
    });
    list.sort((a, b) => (a.line ?? 1e9) - (b.line ?? 1e9));
    number(new Set(list.map((fault) => fault.line)));
    put(notes, list.slice(0, 200).map((fault) => h('div', { role: 'listitem' }, h('button', { onclick: () => jump(fault.line) },
      h('small', null, fault.line ? `line ${fault.line} ` : ''), fault.path ? [h('code', null, fault.path), ' '] : null, fault.message.replace(/^line \d+, /, '')))));
    arrange(list);
    const many = list.length === 1 ? 'One fault' : `${f.whole(list.length)} faults`;
    put(verdict, h('span', { class: 'loss' }, `${many}. `), h('span', { class: 'muted' }, 'Nothing is stored until it is submitted.'));
    button.disabled = true;
  }

  /** Each note beside its line, below the one before where they would meet. */
  function arrange(list) {
    let free = 0;
    [...notes.querySelectorAll('button')].forEach((note, index) => {
      const top = Math.max(free, ((list[index].line ?? 1) - 1) * LINE + 9);
      note.style.top = `${top}px`;
      free = top + note.offsetHeight + 3;
    });
    notes.style.height = `${free}px`;
  }

  function jump(line) {
    field.focus();
    if (!line) return;
    const before = field.value.split('\n').slice(0, line - 1).join('\n').length + (line > 1 ? 1 : 0);
    field.setSelectionRange(before, before + field.value.split('\n')[line - 1].length);
  }

  let leavesByTab = false;
  function onKey(event) {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); submit(); return; }
    if (event.key === 'Escape') { leavesByTab = true; return; }
    if (event.key === 'Tab' && !event.shiftKey && !leavesByTab) { event.preventDefault(); field.setRangeText('  ', field.selectionStart, field.selectionEnd, 'end'); typed(); return; }
    if (event.key === 'Enter' && !event.shiftKey && !event.altKey) {
      const line = field.value.slice(0, field.selectionStart).split('\n').at(-1);
      const indent = /^\s*/.exec(line)[0] + (/:\s*$/.test(line) ? '  ' : '');
      if (indent) { event.preventDefault(); field.setRangeText(`\n${indent}`, field.selectionStart, field.selectionEnd, 'end'); typed(); }
    }
    leavesByTab = false;
  }

  async function submit() {
    if (button.disabled) return;
    button.disabled = true;
    button.textContent = 'Submitting …';
    try {
      const asked = { ...body(), ...(parent && !isStudy(field.value) ? { parent_run_id: parent } : {}) };
      const run = await post(call(''), asked, { headers: { 'idempotency-key': repeat } });
      sessionStorage.removeItem(DRAFT);
      say('Submitted.');
      location.hash = `#/${run.kind === 'study' || isStudy(field.value) ? 'studies' : 'runs'}/${encodeURIComponent(run.run_id)}`;
    } catch (error) {
      button.disabled = false;
      button.textContent = 'Submit';
      if (error.code === 'invalid_config' || error.code === 'malformed_request') faults(error);
      else put(verdict, failed(error, submit));
    }
  }

  if (parent) {
    try {
      set(await configOf(parent));
    } catch (error) {
      put(verdict, failed(error));
      button.disabled = true;
    }
  } else {
    set(sessionStorage.getItem(DRAFT) || EXAMPLES[0][1]);
  }
  if (!(await offers('POST', 'studies')) && !signal.aborted) examples.lastChild.hidden = true;
}

/** The config of a run as text. */
async function configOf(id) {
  return `${write(await get(`backtests/${encodeURIComponent(id)}/config`))}\n`;
}
