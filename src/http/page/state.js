// What is looked at. It lives in the address, so that Back, bookmarks and links to colleagues work. Beside it the
// events by which modules tell each other what happens, and the grammar of label selectors.
import { h, wantsMore } from './dom.js';

// ---- Who makes something happen need not know who cares: modules tell each other by name. route: what is looked at · listed, grouped, asked: fresh data · written: something was changed · trouble: no answer register, edit, delete, use, declare, export: acts · toast: a notice

const bus = new EventTarget();

export const on = (name, act) => bus.addEventListener(name, e => act(e.detail));
export const emit = (name, detail) => bus.dispatchEvent(new CustomEvent(name, { detail }));
export const trouble = error => emit('trouble', error);
export const failed = (text, error) => emit('toast', { bad: true, text, more: error.message });

// ---- Label selectors as in Kubernetes, as a list of {key, op, values}; op is one of = != in notin ! exists, or `raw` for what this page cannot read: the server shall say what is wrong with it.

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

// ---- What is looked at. It lives in the address, so that Back, bookmarks and links to colleagues work.

export const views = ['', 'pollers', 'changes', 'problems'];
export const orders = {
  id: 'By id',
  expires_at: 'Runs out first',
  '-expires_at': 'Runs out last',
  '-updated_at': 'Renewed last',
  updated_at: 'Stalest',
  target_group: 'By group',
  '-target_group': 'By group, down',
};

export const state = {};
/** Everything, in the list. */
export const nothing = { view: '', groups: [], selector: [], q: '', id: '' };

export function read() {
  const p = new URLSearchParams(location.search);
  const oneOf = (name, known) => (known.includes(p.get(name)) ? p.get(name) : known[0]);
  Object.assign(state, {
    view: oneOf('view', views),
    groups: p.getAll('group'),
    selector: p.getAll('selector').flatMap(requirements),
    q: p.get('q') ?? '',
    sort: oneOf('sort', Object.keys(orders)),
    id: p.get('id') ?? '',
  });
}

/** Parameters as a person would write them. */
export const readable = params => String(params).replace(/%(2C|3D|21|28|29|3A|2F)/g, decodeURIComponent);

export function href(patch) {
  const s = { ...state, ...patch };
  const p = new URLSearchParams();
  const add = (name, value) => value && p.append(name, value);
  add('view', s.view);
  for (const group of s.groups) add('group', group);
  add('selector', selector(s.selector));
  add('q', s.q);
  add('sort', s.sort !== 'id' && s.sort);
  add('id', s.id);
  return p.size ? `?${readable(p)}` : './';
}

export const link = (patch, ...kids) => h('a', { href: href(patch) }, kids);

/** Looks at something else; `replace` is for what is not worth a step back, such as each key of a search. */
export function go(patch, { replace = false } = {}) {
  const to = new URL(href(patch), location.href);
  Object.assign(state, patch);
  if (to.href !== location.href) history[replace ? 'replaceState' : 'pushState'](null, '', to);
  emit('route');
}

export const filter = (s = state) => ({ group: s.groups, selector: selector(s.selector), q: s.q.trim() });
export const isFiltered = () => state.groups.length > 0 || state.selector.length > 0 || state.q.trim() !== '';

export function start() {
  addEventListener('popstate', () => {
    read();
    emit('route');
  });
  document.addEventListener('click', e => {
    const a = e.target.closest('a[href^="?"], a[href="./"]');
    if (!a || wantsMore(e)) return;
    e.preventDefault();
    history.pushState(null, '', a.href);
    read();
    emit('route');
  });
  read();
}
