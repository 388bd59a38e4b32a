// What the pages need of YAML: on which line of a text a path stands, and a config as text. The service reads the text itself.

/** Splits `strategy.legs[1].weight` into its steps. */
function steps(path) {
  return path.split(/\.|(?=\[)/).filter(Boolean).map((step) => (step.startsWith('[') ? Number(step.slice(1, -1)) : step));
}

/** The line, from 1, on which the value at `path` stands, or that of its nearest parent; null where none of it is found. */
export function lineOf(text, path) {
  const lines = text.split('\n').map((raw, index) => {
    const content = raw.replace(/(^|\s)#.*$/, '').trimEnd();
    return { index, content, indent: content.length - content.trimStart().length };
  }).filter((line) => line.content.trim() !== '' && !/^(---|%)/.test(line.content));
  let range = lines;
  let found = null;
  for (const step of steps(path)) {
    if (range.length === 0) break;
    const level = Math.min(...range.map((line) => line.indent));
    let at = -1;
    if (typeof step === 'number') {
      let seen = -1;
      at = range.findIndex((line) => line.indent === level && /^\s*-(\s|$)/.test(line.content) && (seen += 1) === step);
    } else {
      at = range.findIndex((line) => line.indent === level && keyOf(line.content) === step);
    }
    if (at < 0) {
      // A flow mapping or list stands on the line of its parent, or on those below it.
      const word = typeof step === 'string' ? new RegExp(`[{,\\s"']${escape(step)}["']?\\s*:`) : null;
      const inside = word && [found, ...range].filter(Boolean).find((line) => word.test(line.content));
      if (!inside) break;
      found = inside;
      range = [inside];
      continue;
    }
    found = range[at];
    const isItem = typeof step === 'number';
    const end = range.findIndex((line, index) => index > at && (isItem ? line.indent <= level : line.indent < level || (line.indent === level && !/^\s*-(\s|$)/.test(line.content))));
    range = range.slice(at + 1, end < 0 ? range.length : end);
    if (isItem) {
      // What stands behind the dash is the first line of the item.
      const rest = found.content.replace(/^(\s*)-(\s*)/, (whole) => ' '.repeat(whole.length));
      if (rest.trim()) range = [{ ...found, content: rest, indent: rest.length - rest.trimStart().length }, ...range];
    }
  }
  return found ? found.index + 1 : null;
}

function keyOf(content) {
  const match = /^\s*(?:"([^"]*)"|'([^']*)'|([^\s"'#{[][^:]*?))\s*:(\s|$)/.exec(content);
  return match ? match[1] ?? match[2] ?? match[3] : null;
}

const escape = (word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** A line that a message of the reader of YAML names: `line 3, column 5`. */
export function lineIn(message) {
  const match = /\bline (\d+)/.exec(message);
  return match ? Number(match[1]) : null;
}

/** A document of objects, lists and scalars as YAML. Short lists and objects of scalars stand on one line. */
export function write(value, indent = '') {
  if (Array.isArray(value)) return value.map((one) => `${indent}- ${nested(one, `${indent}  `).trimStart()}`).join('\n');
  return Object.entries(value).map(([key, one]) => {
    const name = scalar(key);
    if (isFlat(one) || !isNode(one)) return `${indent}${name}: ${flow(one)}`;
    return `${indent}${name}:\n${write(one, `${indent}  `)}`;
  }).join('\n');
}

const isNode = (value) => value !== null && typeof value === 'object';
const isFlat = (value) => isNode(value) && Object.values(value).every((one) => !isNode(one)) && flow(value).length <= 70;
const nested = (value, indent) => (isNode(value) && !isFlat(value) ? write(value, indent) : flow(value));

function flow(value) {
  if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`;
  if (isNode(value)) return `{${Object.entries(value).map(([key, one]) => `${scalar(key)}: ${flow(one)}`).join(', ')}}`;
  return scalar(value);
}

function scalar(value) {
  if (typeof value !== 'string') return JSON.stringify(value);
  const plain = /^[A-Za-z_/][\w ./+@%-]*$/.test(value) && !/\s$/.test(value) && !/^(true|false|null|yes|no|on|off|y|n|nan|inf)$/i.test(value);
  return plain || /^\d{4}-\d{2}-\d{2}$/.test(value) ? value : JSON.stringify(value);
}
