// Calls of the service, under its own auth: a function key that was typed in this tab, the sign-in cookie of the platform, or
// nothing. The key goes nowhere but to the folder above this file.

const BASE = new URL('..', import.meta.url);
const KEY = 'function-key';

/** Why a call came to nothing. `kind`: offline, key, missing, gone, busy, refused. */
export class CallError extends Error {
  constructor(kind, message, problem = {}) {
    super(message);
    this.kind = kind;
    this.status = problem.status ?? 0;
    this.code = problem.code;
    this.errors = problem.errors ?? [];
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (text) => (text ? sessionStorage.setItem(KEY, text) : sessionStorage.removeItem(KEY)),
};

/** Hears of each answer: `(kind)`, where null is a good one. */
let listener = () => {};
export function onAnswer(hear) { listener = hear; }

/** The address of a call, with its query. What is null, undefined or '' is left out. */
export function address(path, query = {}) {
  const url = new URL(path.replace(/^\/(api\/)?/, ''), BASE);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== '') url.searchParams.set(name, value);
  }
  return url;
}

/** Segments of a path, encoded. */
export function path(...segments) {
  return segments.map((segment) => String(segment).split('/').map(encodeURIComponent).join('/')).join('/');
}

/** Reads end with the page that asked. */
let reading;
export function readUntil(signal) { reading = signal; }

async function send(method, where, { query, body, headers = {}, signal = method === 'GET' ? reading : undefined } = {}) {
  const sent = { accept: 'application/json, */*', ...headers };
  if (key.get()) sent['x-functions-key'] = key.get();
  if (body !== undefined) sent['content-type'] = 'application/json';
  let response;
  try {
    response = await fetch(address(where, query), {
      method, headers: sent, signal, body: body === undefined ? undefined : JSON.stringify(body), credentials: 'same-origin', redirect: 'follow',
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    listener('offline');
    throw new CallError('offline', 'The service does not answer.');
  }
  if (response.ok) {
    listener(null);
    return response;
  }
  const error = await refusal(response);
  listener(error.kind);
  throw error;
}

async function refusal(response) {
  let problem = {};
  try { problem = await response.json(); } catch { /* not every refusal is a document: the platform's are empty */ }
  problem.status = response.status;
  const known = typeof problem.code === 'string';
  const kind = response.status === 401 || response.status === 403 ? 'key'
    : response.status === 501 || response.status === 405 || (response.status === 404 && (!known || problem.code === 'not_found')) ? 'missing'
      : response.status === 404 || response.status === 410 ? 'gone'
        : response.status === 429 || response.status >= 502 ? 'busy' : 'refused';
  return new CallError(kind, problem.detail ?? problem.title ?? `The service answered ${response.status}.`, problem);
}

/** A document. */
export async function get(where, query) {
  return (await send('GET', where, { query })).json();
}

/** A document with its entity tag. */
export async function getTagged(where) {
  const response = await send('GET', where);
  return { data: await response.json(), etag: response.headers.get('etag') };
}

/** A text. */
export async function text(where) {
  return (await send('GET', where)).text();
}

/** The answer to a body. */
export async function post(where, body, options) {
  return answered(await send('POST', where, { body, ...options }));
}

export async function patch(where, body, options) {
  return answered(await send('PATCH', where, { body, ...options }));
}

export async function remove(where, options) {
  return answered(await send('DELETE', where, options));
}

async function answered(response) {
  const content = await response.text();
  return content ? JSON.parse(content) : {};
}

/** Brings a file to the person: by a plain link where no key is needed, so that a large one is never held in memory. */
export async function download(where, name, query) {
  const link = document.createElement('a');
  link.download = name;
  if (key.get()) {
    const response = await send('GET', where, { query });
    link.href = URL.createObjectURL(await response.blob());
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  } else {
    link.href = address(where, query).href;
  }
  link.click();
}

let offered;
/** Whether the service has a call, by its method and the path below `/api`, placeholders as `{}`. */
export async function offers(method, template) {
  offered ??= send('GET', 'openapi.json', { signal: null }).then((response) => response.json()).then((document) => {
    const calls = new Set();
    for (const [where, methods] of Object.entries(document.paths)) {
      for (const one of Object.keys(methods)) calls.add(`${one.toUpperCase()} ${where.replace(/\{[^}]*\}/g, '{}')}`);
    }
    return calls;
  }).catch(() => { offered = undefined; return new Set(); });
  return (await offered).has(`${method} /api/${template}`);
}

/** Calls `look` again and again until the page is left: after `soon` ms while it answers true, `later` ms otherwise, and not while the
 *  tab is hidden. */
export function watch(signal, look, soon = 1500, later = 15000) {
  let timer;
  const round = async () => {
    clearTimeout(timer);
    if (signal.aborted) return;
    let live = false;
    if (!document.hidden) {
      try { live = await look(); } catch (error) { if (error.name === 'AbortError') return; }
    }
    if (!signal.aborted) timer = setTimeout(round, live ? soon : later);
  };
  const shown = () => { if (!document.hidden) round(); };
  document.addEventListener('visibilitychange', shown, { signal });
  addEventListener('online', shown, { signal });
  signal.addEventListener('abort', () => clearTimeout(timer));
  timer = setTimeout(round, soon);
}
