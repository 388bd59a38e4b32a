// Numbers, dates and times as a reader sees them. What is undefined is a dash.

export const DASH = '–';
const known = (value) => typeof value === 'number' && Number.isFinite(value);
const signed = (text) => text.replace(/^-/, '−');
const writers = [];
const grouped = (value, digits) => {
  writers[digits] ??= new Intl.NumberFormat('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return signed(writers[digits].format(value).replaceAll(',', '\u202f'));
};

/** 0.1234 → 12.3 % */
export function percent(value, digits = 1) { return known(value) ? `${grouped(100 * value, digits)}\u202f%` : DASH; }
/** 0.1234 → 12.3, for a column whose head says %. */
export function hundred(value, digits = 1) { return known(value) ? grouped(100 * value, digits) : DASH; }
export function number(value, digits = 2) { return known(value) ? grouped(value, digits) : DASH; }
export function whole(value) { return known(value) ? grouped(value, 0) : DASH; }
/** 4650000 → 4.65 M, for the marks of an axis. */
export function compact(value) {
  const size = Math.abs(value);
  const [divisor, unit] = size >= 1e9 ? [1e9, 'G'] : size >= 1e6 ? [1e6, 'M'] : size >= 1e4 ? [1e3, 'k'] : [1, ''];
  return signed(`${Number((value / divisor).toPrecision(3))}${unit && `\u202f${unit}`}`);
}
/** As many digits as say something. */
export function brief(value) {
  if (!known(value)) return value === null || value === undefined ? DASH : String(value);
  if (Number.isInteger(value)) return grouped(value, 0);
  return signed(Math.abs(value) >= 0.001 && Math.abs(value) < 1e6 ? String(Number(value.toPrecision(4))) : value.toExponential(2));
}

export function bytes(value) {
  if (!known(value)) return DASH;
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit += 1; }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0)}\u202f${units[unit]}`;
}

/** A span of milliseconds. */
export function duration(ms) {
  if (!known(ms) || ms < 0) return DASH;
  const seconds = ms / 1000;
  if (seconds < 0.95) return `${Math.max(1, Math.round(ms))}\u202fms`;
  if (seconds < 59.5) return `${seconds.toFixed(seconds < 9.95 ? 1 : 0)}\u202fs`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  if (minutes < 60) return `${minutes}\u202fmin ${String(Math.round(seconds) % 60).padStart(2, '0')}\u202fs`;
  return `${Math.floor(minutes / 60)}\u202fh ${String(minutes % 60).padStart(2, '0')}\u202fmin`;
}

/** A moment, in the zone of the reader, to the minute. */
export function moment(text) {
  if (!text) return DASH;
  const at = new Date(text);
  const two = (value) => String(value).padStart(2, '0');
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** How long a run took, or is taking. */
export function took(run, now = Date.now()) {
  if (!run.started_at) return null;
  return Math.max(0, (run.completed_at ? Date.parse(run.completed_at) : now) - Date.parse(run.started_at));
}

/** Milliseconds that a running run still needs if it goes on as before; null before that can be told. */
export function left(run, now = Date.now()) {
  const share = run.progress;
  if (run.status !== 'running' || !(share > 0.02) || share >= 1) return null;
  return (took(run, now) * (1 - share)) / share;
}

/** What a run is called. */
export function named(run) { return run.run_name || run.run_id; }

/** The words for states. */
export const ENDED = new Set(['completed', 'failed', 'canceled']);

/** `equal_weight` in words. */
export function benchmarkName(name) { return name === 'equal_weight' ? 'equal weight' : name; }

/** What a document says, as paths and values; a list of plain values is one value. */
export function flat(value, prefix = '') {
  const isPlain = (one) => one === null || typeof one !== 'object';
  if (isPlain(value) || (Array.isArray(value) && value.every(isPlain))) return [[prefix, value]];
  return Object.entries(value).flatMap(([key, one]) => flat(one, prefix ? `${prefix}.${key}` : key));
}

/** A value of a document as text. */
export function shown(value) {
  if (value === undefined || value === null || value === '') return DASH;
  return Array.isArray(value) ? value.map(shown).join(', ') : typeof value === 'object' ? JSON.stringify(value) : String(value);
}
