// Elements, and the states that a page can be in. Text goes in as text: nothing here, or anywhere else in these pages, parses
// HTML that came from outside.

const SVG = 'http://www.w3.org/2000/svg';

/** An element with attributes, listeners (`onclick`) and children; null and false children are left out. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  if (element.localName === 'button') element.type = 'button';
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else if (name === 'value' || name === 'checked' || name === 'indeterminate') element[name] = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== ''));
  return element;
}

/** Puts children in the place of what was there. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Tells a screen reader. */
export function say(text) {
  document.getElementById('said').textContent = text;
}

/** What stands where something will be. */
export function loading(what = 'Loading …') {
  return h('p', { class: 'state', 'aria-busy': 'true' }, what);
}

/** What stands where there is nothing, with what to do about it. */
export function empty(text, ...more) {
  return h('div', { class: 'state' }, h('p', null, text), ...more);
}

/** What stands where something failed. `again` tries once more. */
export function failed(error, again) {
  const kind = error.kind ?? 'broken';
  const title = {
    offline: 'The service does not answer.',
    key: 'The service asks for a key.',
    missing: 'This service does not offer this.',
    gone: 'It is not there.',
    busy: 'The service is busy.',
    refused: 'The service refused.',
    broken: 'This page has a fault.',
  }[kind];
  const more = {
    key: 'Type it in the field above; the page then goes on by itself.',
    offline: 'This page asks again as soon as it can.',
    missing: error.code && error.code !== 'not_found' && error.code !== 'method_not_allowed' ? `${error.message}.` : 'A newer version may.',
  }[kind] ?? '';
  return h('div', { class: `state failed is-${kind}`, role: 'alert' },
    h('p', null, h('strong', null, title), ' ', more || error.message),
    error.errors?.length ? h('ul', null, error.errors.map((fault) => h('li', null, fault.path ? h('code', null, fault.path) : null, ' ', fault.message))) : null,
    again && kind !== 'missing' ? h('button', { onclick: again }, 'Try again') : null);
}

/** Fills a place with what `make` comes to: loading first, then the content or why there is none. */
export async function place(element, make, what) {
  if (!element.hasChildNodes()) put(element, loading(what));
  try {
    put(element, await make());
  } catch (error) {
    if (error.name !== 'AbortError') put(element, failed(error, () => { element.replaceChildren(); place(element, make, what); }));
  }
  return element;
}

/** A heading with content below. */
export function section(title, ...children) {
  return h('section', null, h('h2', null, title), ...children);
}

/** A table of a few rows that may be wider than the page. The first cell of a row names it; a column named `X|num` is of numbers. */
export function plain(label, head, rows) {
  const [names, kinds] = [0, 1].map((part) => head.map((one) => one.split(/\|(?=num$)/)[part] ?? null));
  return h('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': label }, h('table', { class: 'plain' },
    names.some(Boolean) ? h('thead', null, h('tr', null, names.map((name, index) => h(name ? 'th' : 'td', { scope: name ? 'col' : null, class: kinds[index] }, name)))) : h('caption', { class: 'unseen' }, label),
    h('tbody', null, rows.map((row) => h('tr', null, row.map((cell, index) => h(index ? 'td' : 'th', { scope: index ? null : 'row', class: kinds[index] }, cell)))))));
}

/** Names and values. */
export function facts(label, rows) {
  return plain(label, ['', '|num'], rows);
}

/** Tabs. Each of `tabs` is `{id, label, make}`; `make` answers the content and is called when first looked at. */
export function tabs(name, list, chosen, onChoose) {
  const panel = h('div', { role: 'tabpanel', id: `${name}-panel`, tabindex: '0' });
  const made = new Map();
  const buttons = list.map((tab) => h('button', {
    role: 'tab', id: `${name}-${tab.id}`, 'aria-controls': `${name}-panel`, onclick: () => choose(tab, true),
  }, tab.label));
  function choose(tab, byHand) {
    buttons.forEach((button, index) => {
      const mine = list[index] === tab;
      button.setAttribute('aria-selected', String(mine));
      button.tabIndex = mine ? 0 : -1;
      if (mine && byHand) button.focus();
    });
    panel.setAttribute('aria-labelledby', `${name}-${tab.id}`);
    if (!made.has(tab.id)) {
      const content = h('div');
      made.set(tab.id, content);
      place(content, tab.make);
    }
    put(panel, made.get(tab.id));
    if (byHand) onChoose?.(tab.id);
  }
  const keys = (event) => {
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    choose(list[(to + buttons.length) % buttons.length], true);
  };
  choose(list.find((tab) => tab.id === chosen) ?? list[0], false);
  const bar = h('div', { role: 'tablist', class: 'tabs', 'aria-label': name, onkeydown: keys }, buttons);
  return h('div', { class: 'tabbed' }, bar, panel);
}
