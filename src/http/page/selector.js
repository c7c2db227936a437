// Label selectors as in Kubernetes, as a list of {key, op, values}; op is one of = != in notin ! exists, or `raw` for what this page cannot read: the server shall say what is wrong with it.

const NEEDS_QUOTES = /[,()"]|^[\s=]|\s$|^$/;
const quote = value => (NEEDS_QUOTES.test(value) ? `"${value.replace(/["\\]/g, '\\$&')}"` : value);

function unquote(text) {
  const value = text.trim();
  return /^".*"$/s.test(value) ? value.slice(1, -1).replace(/\\(.)/gs, '$1') : value;
}

/** Splits at commas outside of quotes and parentheses. */
const split = text => text.match(/(?:"(?:\\.|[^"\\])*"|\((?:"(?:\\.|[^"\\])*"|[^)])*\)|[^,])+/gs) ?? [];

const REQUIREMENT = /^\s*(!?)\s*([A-Za-z_][\w.-]*)\s*(?:(==?|!=)(.*)|\s(in|notin)\s*\((.*)\))?\s*$/s;

/** One requirement, or null. A bare word is one only in an address: in the search it is a word to look for. */
export function requirement(text, { bare = true } = {}) {
  const [all, not, key, sign, value, set, list] = REQUIREMENT.exec(text) ?? [];
  if (!all || (not && (sign || set))) return null;
  if (not) return { key, op: '!', values: [] };
  if (sign) return { key, op: sign === '!=' ? '!=' : '=', values: [unquote(value)] };
  if (set) return { key, op: set, values: split(list).map(unquote) };
  return bare ? { key, op: 'exists', values: [] } : null;
}

export const requirements = text =>
  split(text).map(part => requirement(part) ?? { key: part.trim(), op: 'raw', values: [] });

export function written({ key, op, values }) {
  if (op === 'exists' || op === 'raw') return key;
  if (op === '!') return `!${key}`;
  return op === 'in' || op === 'notin' ? `${key} ${op} (${values.map(quote).join(',')})` : key + op + quote(values[0]);
}

export const isNegative = ({ op }) => op === '!' || op === '!=' || op === 'notin';
export const includes = (list, key, value) =>
  list.some(r => r.key === key && (r.op === '=' || r.op === 'in') && r.values.includes(value));
export const selector = list => list.map(written).join(',');

/** A second value of a label widens the requirement, the same again takes it away. */
export function withRequirement(list, key, op, value) {
  const wide = op === '=' ? 'in' : 'notin';
  let values = [value];
  const rest = list.filter(r => {
    if (r.key !== key) return true;
    const has = r.values.includes(value);
    if (r.op !== op && r.op !== wide) return !has;
    values = has ? r.values.filter(v => v !== value) : [...r.values, value];
    return false;
  });
  return values.length ? [...rest, { key, op: values.length > 1 ? wide : op, values }] : rest;
}

const PLAIN_WORDS = /^[\w:@/ -]+(\|[\w:@/ -]+)*$/;

/** A requirement as Prometheus writes it: a pattern of plain words, all of it, is a list of values. */
function fromPattern(text) {
  const [, key, sign, pattern] = /^\s*([A-Za-z_]\w*)\s*(=~|!~)\s*"?(.*?)"?\s*$/s.exec(text) ?? [];
  if (!key) return null;
  if (!PLAIN_WORDS.test(pattern)) return { pattern: `${key}${sign}` };
  const values = pattern.split('|');
  const isOne = values.length === 1;
  if (sign === '=~') return { key, op: isOne ? '=' : 'in', values };
  return { key, op: isOne ? '!=' : 'notin', values };
}

const TEXT = /"(?:\\.|[^"\\])*"/g;
const OR = /\s(?:or|\|\|)\s+!?[a-z_]\w*\s*(?:[=!{]|(?:not)?in\b)/i;
// "and" between terms, and blanks before another one.
const AND = /("(?:\\.|[^"\\])*")|\s+(?:and|&&)\s+|(?<=[=~)].{0,200})\s+(?=[a-z_][\w.-]*\s*[=!])/gis;

/**
 * What somebody typed, if it reads as a selector: `env=prod,dc=fra1`, `{env="prod"}`, `up{env="prod"}`, `!canary`, `env=prod and dc=fra1`.
 * `found` is a list of requirements; `wrong` says what no list can be selected by.
 */
export function typedSelector(text) {
  const braces = /^\s*[\w:]*\{(.*?),?\s*\}\s*$/s.exec(text);
  const terms = braces ? braces[1] : text.replace(/^\s*[\w:]*\{/, '');
  if (OR.test(terms.replace(TEXT, '""')))
    return { wrong: 'Terms cannot be joined by “or”. Several values of one label can: env in (prod,stg).' };
  const parts = split(terms.replace(AND, (_all, quoted) => quoted ?? ','));
  const read = parts.map(part => fromPattern(part) ?? requirement(part, { bare: parts.length > 1 || Boolean(braces) }));
  const pattern = read.find(r => r?.pattern);
  if (pattern)
    return {
      wrong: `Lists cannot be selected by a regular expression (${pattern.pattern}). Name values: env in (prod,stg).`,
    };
  const isOne = read.length > 0 && read.every(Boolean) && (braces || read.some(r => r.op !== 'exists'));
  return { found: isOne ? read : null };
}

/** Whether labels meet a requirement; `!=` and `notin` hold where the label is absent. */
export function meets({ key, op, values }, labels) {
  const has = Object.hasOwn(labels, key);
  const isListed = has && values.includes(labels[key]);
  return { '=': isListed, in: isListed, '!=': !isListed, notin: !isListed, exists: has, '!': !has }[op] ?? false;
}
