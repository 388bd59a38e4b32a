// A table of any length: only the rows that are seen are in the page. It is worked with the arrow keys: the table has the focus, one row is the
// active one. Enter opens it, Space ticks it.

import { h, say } from './dom.js';

const SPARE = 6;
const PRINTED = 2000;
let tables = 0;

/**
 * @param columns  `{id, label, unit?, num?, minor?, wide?, as?, value?(row), cell?(row), title?(row)}`. Without more, a cell is the row's field
 *   `id`, written by `as`. `value` is what a column is sorted by, null where it is not; `minor` leaves it out on a phone, `optional`
 *   shows it only where a row has something there
 * @param key      identity of a row
 * @param open     what Enter and a click do
 * @param ticks    a Set of ticked keys, changed in place; `onTick` hears of it; `tickable(row)`
 * @param more     called when the end comes near
 * @param tone     a class for a row
 */
export function table({ label, columns, key, open, ticks, onTick, tickable = () => true, tickMax = 10, more, tone, sort, onSort, tall }) {
  const all = columns.map(({ id, as = (value) => value ?? '', value = (row) => row[id], cell = (row) => as(row[id]), ...rest }) => ({ id, value, cell, ...rest }));
  columns = all.filter((column) => !column.optional);
  const id = `t${(tables += 1)}`;
  let rows = [];
  let order = sort ?? null;
  let active = null;
  let drawn = new Map();
  let rowHeight = 0;
  let printing = false;

  const head = h('tr', { 'aria-rowindex': '1' });
  const body = h('tbody');
  const grid = h('table', {
    role: 'grid', tabindex: '0', 'aria-label': label, onkeydown: onKey, onfocus: onFocus,
    'aria-multiselectable': ticks ? 'true' : null, id,
  }, h('thead', null, head), body);
  const box = h('div', { class: `grid ${tall ? 'tall' : ''}`, onscroll: draw }, grid);
  const above = h('tr', { class: 'gap', 'aria-hidden': 'true' }, h('td'));
  const below = above.cloneNode(true);

  function drawHead() {
    head.replaceChildren(...(ticks ? [h('th', { class: 'tick', scope: 'col' }, h('span', { class: 'unseen' }, 'Compare'))] : []),
      ...columns.map((column) => {
        const sorted = order?.id === column.id ? (order.down ? 'descending' : 'ascending') : null;
        const name = [column.label, column.unit ? h('small', null, ` ${column.unit}`) : null];
        return h('th', { scope: 'col', class: classes(column), 'aria-sort': sorted },
          column.value ? h('button', { class: 'sort', onclick: () => sortBy(column) }, name, sorted ? h('span', { 'aria-hidden': 'true' }, order.down ? ' ↓' : ' ↑') : null) : name);
      }));
  }

  function classes(column) {
    return [column.num ? 'num' : '', column.minor ? 'minor' : '', column.wide ? 'wide' : ''].join(' ').trim() || null;
  }

  function sortBy(column) {
    const first = Boolean(column.num);
    if (order?.id !== column.id) order = { id: column.id, down: first };
    else if (order.down === first) order = { id: column.id, down: !first };
    else order = sort ?? null;
    onSort?.(order);
    arrange();
    drawHead();
    head.querySelectorAll('th')[columns.indexOf(column) + (ticks ? 1 : 0)]?.querySelector('button')?.focus();
    draw();
  }

  let asked = [];
  function arrange() {
    const column = columns.find((one) => one.id === order?.id);
    if (!column?.value) { rows = asked; return; }
    const sign = order.down ? -1 : 1;
    const valued = asked.map((row, index) => ({ row, index, value: column.value(row) }));
    valued.sort((a, b) => {
      const none = (value) => value === null || value === undefined || value === '' || Number.isNaN(value);
      if (none(a.value) || none(b.value)) return Number(none(a.value)) - Number(none(b.value)) || a.index - b.index;
      return (a.value < b.value ? -sign : a.value > b.value ? sign : 0) || a.index - b.index;
    });
    rows = valued.map((one) => one.row);
  }

  function draw() {
    if (!box.isConnected) return;
    // Before it is filled, it is lower than it will be.
    const room = Math.max(box.clientHeight, 600);
    if (rowHeight === 0 && rows.length > 0) {
      body.replaceChildren(rowOf(rows[0], 0));
      rowHeight = body.firstChild.getBoundingClientRect().height || 32;
      drawn = new Map();
    }
    const seen = Math.ceil(room / (rowHeight || 32));
    let from = Math.max(0, Math.floor(box.scrollTop / (rowHeight || 32)) - SPARE);
    let to = Math.min(rows.length, from + seen + 2 * SPARE);
    if (printing) { from = 0; to = Math.min(rows.length, PRINTED); }
    const next = new Map();
    const wanted = [];
    for (let index = from; index < to; index += 1) {
      const row = rows[index];
      const name = key(row);
      const old = drawn.get(name);
      const element = old && old.row === row && old.index === index ? old.element : rowOf(row, index);
      next.set(name, { row, index, element });
      wanted.push(element);
    }
    drawn = next;
    above.firstChild.style.height = `${from * rowHeight}px`;
    below.firstChild.style.height = `${(rows.length - to) * rowHeight}px`;
    above.hidden = from === 0;
    below.hidden = to === rows.length;
    settle([above, ...wanted, below]);
    mark();
    if (more && to + 2 * seen > rows.length) more();
  }

  /** Fixes the widths that the drawn rows need, so that nothing moves sideways and little is laid out while one scrolls. They only grow. */
  function steady() {
    if (!body.firstChild || !columns.some((column) => column.wide)) return;
    const cells = [...head.children];
    const before = cells.map((cell) => parseFloat(cell.style.width) || 0);
    grid.style.tableLayout = 'auto';
    for (const cell of cells) cell.style.width = '';
    const widths = cells.map((cell, index) => Math.max(before[index], cell.getBoundingClientRect().width));
    let least = 0;
    cells.forEach((cell, index) => {
      const isWide = columns[index - (ticks ? 1 : 0)]?.wide;
      if (!isWide) cell.style.width = `${widths[index]}px`;
      least += isWide ? (width < 500 ? 92 : 150) : widths[index];
    });
    grid.style.minWidth = `${least}px`;
    grid.style.tableLayout = 'fixed';
  }

  /** Leaves rows that stay where they are, so that nothing flickers and no link loses the focus. */
  function settle(wanted) {
    const keep = new Set(wanted);
    for (const child of [...body.children]) if (!keep.has(child)) child.remove();
    wanted.forEach((element, index) => { if (body.children[index] !== element) body.insertBefore(element, body.children[index] ?? null); });
  }

  function rowOf(row, index) {
    const name = key(row);
    const cells = columns.map((column, at) => {
      const content = column.cell(row);
      return h(at === 0 ? 'th' : 'td', { class: classes(column), scope: at === 0 ? 'row' : null, title: column.title?.(row) }, content);
    });
    const tick = ticks && h('td', { class: 'tick' }, tickable(row) ? h('input', {
      type: 'checkbox', tabindex: '-1', checked: ticks.has(name), 'aria-label': `Compare ${name}`,
      onclick: (event) => { event.stopPropagation(); toggle(row, event.target); },
    }) : null);
    return h('tr', {
      id: `${id}-${index}`, 'aria-rowindex': String(index + 2), class: [tone?.(row) ?? '', open ? 'opens' : ''].join(' ').trim() || null,
      'aria-selected': ticks ? String(ticks.has(name)) : null,
      onclick: (event) => {
        active = name;
        mark();
        if (event.target.closest('a, button, input, .tick') || getSelection()?.toString()) return;
        open?.(row);
      },
    }, tick, cells);
  }

  function toggle(row, input) {
    const name = key(row);
    if (ticks.has(name)) ticks.delete(name);
    else if (ticks.size >= tickMax) { if (input) input.checked = false; say(`At most ${tickMax} can be compared.`); return; } else ticks.add(name);
    drawn.delete(name);
    draw();
    onTick?.(row);
  }

  function mark() {
    const found = active === null ? null : drawn.get(active);
    for (const { element } of drawn.values()) element.classList.toggle('active', element === found?.element);
    if (found) grid.setAttribute('aria-activedescendant', found.element.id);
    else grid.removeAttribute('aria-activedescendant');
  }

  const at = () => rows.findIndex((row) => key(row) === active);

  function onFocus() {
    if (at() < 0 && rows.length > 0) go(Math.floor(box.scrollTop / (rowHeight || 32)));
  }

  function go(index) {
    if (rows.length === 0) return;
    const to = Math.min(Math.max(index, 0), rows.length - 1);
    active = key(rows[to]);
    const headHeight = head.getBoundingClientRect().height;
    const top = to * rowHeight;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + rowHeight > box.scrollTop + box.clientHeight - headHeight) box.scrollTop = top + rowHeight - box.clientHeight + headHeight;
    draw();
  }

  function onKey(event) {
    if (event.target !== grid || event.altKey || event.ctrlKey || event.metaKey) return;
    const index = at();
    const page = Math.max(1, Math.floor(box.clientHeight / (rowHeight || 32)) - 2);
    const to = { ArrowDown: index + 1, ArrowUp: index - 1, PageDown: index + page, PageUp: index - page, Home: 0, End: rows.length - 1 }[event.key];
    if (to !== undefined) { event.preventDefault(); go(to); return; }
    if (event.key === 'ArrowRight' || event.key === 'ArrowLeft') {
      event.preventDefault();
      box.scrollLeft += event.key === 'ArrowRight' ? 80 : -80;
      return;
    }
    const row = rows[index];
    if (!row) return;
    if (event.key === 'Enter' && open) { event.preventDefault(); open(row); }
    if (event.key === ' ' && ticks && tickable(row)) { event.preventDefault(); toggle(row); }
  }

  let width = 0;
  const resized = new ResizeObserver(() => {
    const now = box.clientWidth;
    if (now !== width) { width = now; rowHeight = 0; drawn = new Map(); grid.style.minWidth = ''; for (const cell of head.children) cell.style.width = ''; }
    draw();
    steady();
  });
  resized.observe(box);
  const print = (starts) => () => {
    if (!box.isConnected) { removeEventListener('beforeprint', before); removeEventListener('afterprint', after); return; }
    printing = starts;
    draw();
  };
  const before = print(true);
  const after = print(false);
  addEventListener('beforeprint', before);
  addEventListener('afterprint', after);
  drawHead();

  return {
    element: box,
    grid,
    /** Shows these rows. With the list scrolled, what is new above pushes nothing out of sight. */
    show(list) {
      asked = list;
      const wanted = all.filter((column) => !column.optional || list.some((row) => column.optional(row)));
      if (wanted.length !== columns.length) { columns = wanted; drawn = new Map(); drawHead(); }
      const anchorIndex = rowHeight && box.scrollTop > 0 ? Math.floor(box.scrollTop / rowHeight) : -1;
      const anchor = rows[anchorIndex] ? key(rows[anchorIndex]) : null;
      arrange();
      if (anchor !== null) {
        const now = rows.findIndex((row) => key(row) === anchor);
        if (now >= 0 && now !== anchorIndex) {
          below.firstChild.style.height = `${rows.length * rowHeight}px`;
          below.hidden = false;
          box.scrollTop += (now - anchorIndex) * rowHeight;
        }
      }
      grid.setAttribute('aria-rowcount', String(rows.length + 1));
      draw();
      steady();
    },
    get rows() { return rows; },
    redraw() { drawn = new Map(); draw(); },
  };
}
