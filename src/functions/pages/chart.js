// Drawings: lines over time with a cursor, a histogram, a scatter, a heat map, each redrawn to its width.

import { h, s } from './dom.js';
import * as f from './format.js';

const DAY = 86_400_000;
const LEFT = 4;
const RIGHT = 52;

/** Round values between two others, about `wanted` of them. */
export function ticks(from, to, wanted = 5) {
  const span = to - from;
  if (!(span > 0)) return [from];
  const rough = span / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const list = [];
  for (let at = Math.ceil(from / step - 1e-9) * step; at <= to + step * 1e-9; at += step) list.push(Math.abs(at) < step * 1e-9 ? 0 : at);
  return list;
}

/** First days of years or months within a span, not more than fit. */
function dateTicks(from, to, fit) {
  const first = new Date(from);
  const months = (to - from) / (30.44 * DAY);
  const step = [1, 3, 6, 12, 24, 60, 120, 240].find((one) => months / one <= (one >= 12 ? 1.9 : 1) * fit) ?? 480;
  const list = [];
  const start = step >= 12 ? Date.UTC(Math.ceil((first.getUTCFullYear()) / (step / 12)) * (step / 12), 0, 1) : Date.UTC(first.getUTCFullYear(), first.getUTCMonth(), 1);
  for (let at = new Date(start); at <= to; at = new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + step, 1))) {
    const month = at.getUTCMonth();
    const aligned = step >= 12 || month % Math.min(step, 12) === 0;
    if (at >= from && aligned) list.push({ at: at.getTime(), text: step >= 12 || month === 0 ? String(at.getUTCFullYear()) : at.toISOString().slice(0, 7) });
    if (!aligned) at = new Date(Date.UTC(at.getUTCFullYear(), month, 1));
  }
  return list;
}

const iso = (at) => new Date(at).toISOString().slice(0, 10);
const points = (list, x, y) => {
  let path = '';
  let pen = false;
  for (const [at, value] of list) {
    if (value === null || !Number.isFinite(value)) { pen = false; continue; }
    path += `${pen ? 'L' : 'M'}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = true;
  }
  return path;
};

/** A drawing that follows its width. `draw(width)` answers an svg. */
function fitted(element, draw) {
  let width = 0;
  new ResizeObserver(([entry]) => {
    const now = Math.round(entry.contentRect.width);
    if (now > 0 && now !== width) { width = now; draw(width); }
  }).observe(element);
}

/**
 * Lines over time.
 * @param series  `{name, points: [[milliseconds, value|null], …], area?, tone?}`, oldest first; the tone is 1 to 10
 * @param band    `[[milliseconds, low, high], …]`
 * @param format  a value as text
 */
export function lines({ label, series, band, format = f.brief, axis = format, log = false, height = 220, zero = false, floor = null, ceiling = null }) {
  const all = series.flatMap((one) => one.points).filter(([, value]) => value !== null && Number.isFinite(value) && (!log || value > 0));
  if (all.length < 2) return h('p', { class: 'state' }, 'Too few days for a curve.');
  const read = h('div', { class: 'read' });
  const holder = h('div');
  const chart = h('div', { class: 'chart', tabindex: '0', role: 'group', 'aria-label': `${label}. The arrow keys read values.`, onkeydown: onKey, onblur: leave }, read, holder);
  let from = Infinity; let to = -Infinity; let low = Infinity; let high = -Infinity;
  for (const [at, value] of all) { if (at < from) from = at; if (at > to) to = at; if (value < low) low = value; if (value > high) high = value; }
  for (const [, a, b] of band ?? []) { low = Math.min(low, a); high = Math.max(high, b); }
  if (zero) { low = Math.min(low, 0); high = Math.max(high, 0); }
  if (floor !== null) low = Math.min(low, floor);
  if (ceiling !== null) high = Math.max(high, ceiling);
  if (low === high) { low -= Math.abs(low) * 0.05 || 1; high += Math.abs(high) * 0.05 || 1; if (ceiling !== null && high > ceiling) high = ceiling; }
  const days = [...new Set(series.flatMap((one) => one.points.map(([at]) => at)))].sort((a, b) => a - b);
  let cursor = -1;
  let scale = null;
  let marks = null;

  fitted(chart, (width) => {
    const inner = width - LEFT - RIGHT;
    const bottom = height - 20;
    const x = (at) => LEFT + ((at - from) / (to - from)) * inner;
    const put = log ? Math.log : (value) => value;
    const y = (value) => 6 + (1 - (put(value) - put(low)) / (put(high) - put(low))) * (bottom - 6);
    scale = { x, y, inner };
    const levels = log ? logTicks(low, high) : ticks(low, high, height < 160 ? 3 : 5);
    marks = s('g', { 'aria-hidden': 'true' });
    const svg = s('svg', { viewBox: `0 0 ${width} ${height}`, height: String(height), role: 'img', 'aria-label': `${label}, ${iso(from)} to ${iso(to)}` },
      levels.map((value) => [
        s('line', { class: value === 0 && !log ? 'zero' : 'axis', x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
        s('text', { x: width - RIGHT + 6, y: y(value) + 4 }, axis(value))]),
      dateTicks(from, to, inner / 110).map((tick) => s('text', { x: x(tick.at), y: height - 4, 'text-anchor': x(tick.at) < 18 ? 'start' : x(tick.at) > width - RIGHT - 16 ? 'end' : 'middle' }, tick.text)),
      band ? s('path', { class: 'band', d: `${points(band.map(([at, , b]) => [at, b]), x, y)}${points(band.map(([at, a]) => [at, a]).reverse(), x, y).replace('M', 'L')}Z` }) : null,
      series.map((one, index) => {
        const d = points(one.points, x, y);
        return s('g', { class: `s${one.tone ?? index + 1}` },
          one.area ? s('path', { class: 'area', d: `${d}L${x(one.points.at(-1)[0]).toFixed(1)} ${y(0)}L${x(one.points[0][0]).toFixed(1)} ${y(0)}Z` }) : null,
          s('path', { class: `line ${index > 0 ? 'thin' : ''}`, d }));
      }),
      marks,
      s('rect', { x: LEFT, y: 0, width: Math.max(0, inner), height: bottom, fill: 'transparent', onpointermove: onMove, onpointerdown: onMove, onpointerleave: leave }));
    holder.replaceChildren(svg);
    if (cursor >= 0) show();
  });

  const lookups = series.map((one) => new Map(one.points));
  function show() {
    const at = days[cursor];
    const x = scale.x(at);
    marks.replaceChildren(s('line', { class: 'cursor', x1: x, x2: x, y1: 0, y2: height - 20 }),
      ...lookups.map((lookup, index) => [lookup.get(at), index]).filter(([value]) => Number.isFinite(value)).map(([value, index]) => s('g', { class: `s${series[index].tone ?? index + 1}` }, s('circle', { class: 'dot', cx: x, cy: scale.y(value), r: 3.5 }))));
    write(at, (index) => lookups[index].get(at));
  }
  function write(at, value) {
    read.replaceChildren(h('span', null, iso(at)), ...series.map((one, index) => h('span', { class: `s${one.tone ?? index + 1}` }, h('i'), `${one.name} `, h('b', null, Number.isFinite(value(index)) ? format(value(index)) : f.DASH))));
  }
  function leave() {
    cursor = -1;
    read.removeAttribute('aria-live');
    marks?.replaceChildren();
    write(to, (index) => series[index].points.findLast(([, value]) => value !== null && Number.isFinite(value))?.[1]);
  }
  function onMove(event) {
    const box = event.currentTarget.getBoundingClientRect();
    const at = from + Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * (to - from);
    let a = 0; let b = days.length - 1;
    while (a < b) { const middle = (a + b) >> 1; if (days[middle] < at) a = middle + 1; else b = middle; }
    cursor = a > 0 && at - days[a - 1] < days[a] - at ? a - 1 : a;
    show();
  }
  function onKey(event) {
    const step = event.shiftKey ? 21 : 1;
    const next = { ArrowRight: (cursor < 0 ? days.length - 1 : cursor) + step, ArrowLeft: (cursor < 0 ? days.length : cursor) - step, Home: 0, End: days.length - 1 }[event.key];
    if (event.key === 'Escape') { leave(); return; }
    if (next === undefined || !scale) return;
    event.preventDefault();
    cursor = Math.min(days.length - 1, Math.max(0, next));
    read.setAttribute('aria-live', 'polite');
    show();
  }
  leave();
  return chart;
}

function logTicks(low, high) {
  for (const steps of [[1, 2, 5], [1, 1.5, 2, 3, 5, 7]]) {
    const list = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) list.push(...steps.map((one) => one * 10 ** power));
    const inside = list.filter((at) => at >= low && at <= high);
    if (inside.length >= 4) return inside;
  }
  return ticks(low, high, 4);
}

/** A plain drawing with two axes. `draw({x, y, width})` answers what is in it. */
function plot({ label, x: [x0, x1], y: [y0, y1], xFormat = f.brief, yFormat = f.brief, xTitle, height = 220, yAxis = true }, draw) {
  const chart = h('figure', { class: 'chart' });
  const right = yAxis ? RIGHT : LEFT;
  fitted(chart, (width) => {
    const bottom = height - 34;
    const x = (value) => LEFT + ((value - x0) / (x1 - x0 || 1)) * (width - LEFT - right);
    const y = (value) => 8 + (1 - (value - y0) / (y1 - y0 || 1)) * (bottom - 8);
    chart.replaceChildren(s('svg', { viewBox: `0 0 ${width} ${height}`, height: String(height), role: 'img', 'aria-label': label },
      yAxis ? ticks(y0, y1, 4).map((value) => [s('line', { class: value === 0 ? 'zero' : 'axis', x1: LEFT, x2: width - right, y1: y(value), y2: y(value) }), s('text', { x: width - right + 6, y: y(value) + 4 }, yFormat(value))]) : s('line', { class: 'zero', x1: LEFT, x2: width - right, y1: y(0), y2: y(0) }),
      ticks(x0, x1, Math.max(2, width / 110)).map((value) => s('text', { x: x(value), y: height - 18, 'text-anchor': 'middle' }, xFormat(value))),
      xTitle ? s('text', { x: (width - right) / 2, y: height - 3, 'text-anchor': 'middle' }, xTitle) : null,
      draw({ x, y, width: width - right, bottom })));
  });
  return chart;
}

/** How often values fall where. `marks` are `{at, name}`: lines to read the values against. */
export function histogram({ label, values, marks = [], format = f.brief, title, height = 200, bins }) {
  const known = values.filter(Number.isFinite);
  if (known.length < 2) return h('p', { class: 'state' }, 'Too few values for a distribution.');
  const shown = marks.filter((mark) => Number.isFinite(mark.at));
  let low = Math.min(...shown.map((mark) => mark.at), known.reduce((a, b) => Math.min(a, b)));
  let high = Math.max(...shown.map((mark) => mark.at), known.reduce((a, b) => Math.max(a, b)));
  if (low === high) { low -= 0.5; high += 0.5; }
  const room = (high - low) * 0.03;
  low -= room; high += room;
  const number = bins ?? Math.min(48, Math.max(8, Math.ceil(Math.sqrt(known.length) * 1.4)));
  const counts = new Array(number).fill(0);
  for (const value of known) counts[Math.min(number - 1, Math.floor(((value - low) / (high - low)) * number))] += 1;
  const most = Math.max(...counts);
  return plot({ label, x: [low, high], y: [0, most * 1.18], xFormat: format, xTitle: title, height, yAxis: false }, ({ x, y, bottom, width }) => [
    counts.map((count, index) => {
      const a = x(low + ((high - low) * index) / number);
      const b = x(low + ((high - low) * (index + 1)) / number);
      return count ? s('rect', { class: 'bin', x: a + 0.5, width: Math.max(0.5, b - a - 1), y: y(count), height: Math.max(0, y(0) - y(count)) }, s('title', null, `${count}: ${format(low + ((high - low) * index) / number)} to ${format(low + ((high - low) * (index + 1)) / number)}`)) : null;
    }),
    shown.map((mark, index) => [s('line', { class: 'mark', x1: x(mark.at), x2: x(mark.at), y1: 4 + 14 * index, y2: bottom }),
      s('text', { class: 'mark', x: x(mark.at) + (x(mark.at) > width * 0.7 ? -4 : 4), y: 14 + 14 * index, 'text-anchor': x(mark.at) > width * 0.7 ? 'end' : 'start' }, `${mark.name} ${format(mark.at)}`)]),
  ]);
}

/** Points `{x, y, name, open?}`, with a line through zero in both directions and the diagonal where both axes mean the same. */
export function scatter({ label, list, xTitle, format = f.brief, diagonal = false, height = 260, open }) {
  const known = list.filter((one) => Number.isFinite(one.x) && Number.isFinite(one.y));
  if (known.length < 2) return h('p', { class: 'state' }, 'Too few values to draw.');
  const reach = (values) => { const a = Math.min(0, ...values); const b = Math.max(0, ...values); const room = (b - a || 1) * 0.05; return [a - room, b + room]; };
  const xs = reach(known.map((one) => one.x));
  const ys = reach(known.map((one) => one.y));
  return plot({ label, x: xs, y: ys, xFormat: format, yFormat: format, xTitle, height }, ({ x, y, bottom }) => [
    s('line', { class: 'zero', x1: x(0), x2: x(0), y1: 8, y2: bottom }),
    diagonal ? s('line', { class: 'cursor', x1: x(Math.max(xs[0], ys[0])), y1: y(Math.max(xs[0], ys[0])), x2: x(Math.min(xs[1], ys[1])), y2: y(Math.min(xs[1], ys[1])) }) : null,
    known.map((one) => s('circle', { class: 'point', cx: x(one.x), cy: y(one.y), r: 3.5, onclick: open ? () => open(one) : null }, s('title', null, `${one.name}: ${format(one.x)}, ${format(one.y)}`))),
  ]);
}

/** A table whose cells are shaded by their value: blue above the middle, red below. */
export function heat({ caption, columns, rows, value, format = f.number, corner = '', middle = null, title, open }) {
  const all = rows.flatMap((row, i) => columns.map((column, j) => value(i, j))).filter(Number.isFinite);
  const low = Math.min(...all);
  const high = Math.max(...all);
  const centre = middle ?? (low < 0 && high > 0 ? 0 : null);
  const shade = (at) => {
    if (!Number.isFinite(at) || low === high) return '';
    if (centre === null) return `p${Math.min(3, Math.floor(((at - low) / (high - low)) * 4))}`;
    const share = at >= centre ? (at - centre) / (high - centre || 1) : (centre - at) / (centre - low || 1);
    return `${at >= centre ? 'p' : 'n'}${Math.min(3, Math.floor(share * 4))}`;
  };
  return h('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': caption }, h('table', { class: 'plain heat' },
    h('caption', { class: 'unseen' }, caption),
    h('thead', null, h('tr', null, h('td', null, corner), columns.map((column) => h('th', { scope: 'col', class: 'num' }, column)))),
    h('tbody', null, rows.map((row, i) => h('tr', null, h('th', { scope: 'row' }, row),
      columns.map((column, j) => { const at = value(i, j); return h('td', { class: shade(at), title: title?.(i, j) }, open && Number.isFinite(at) ? h('button', { onclick: () => open(i, j) }, format(at)) : format(at)); }))))));
}
