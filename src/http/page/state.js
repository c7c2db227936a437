// What is looked at. It lives in the address, so that Back, bookmarks and links to colleagues work.
import { h, wantsMore } from './dom.js';
import { emit } from './events.js';
import { requirements, selector } from './selector.js';
import { isView } from './views.js';

export const orders = {
  'target_group,targets': 'By group, then target',
  '-target_group,targets': 'By group, reversed',
  targets: 'By target',
  '-targets': 'By target, reversed',
  expires_at: 'Expires first',
  '-expires_at': 'Expires last',
  '-updated_at': 'Recently renewed',
  updated_at: 'Least recently renewed',
};
const [FIRST_ORDER] = Object.keys(orders);
/** Spans within which registrations expire, in seconds. */
export const spans = { '5m': 300, '1h': 3600, '6h': 21_600 };
const SETTLED_MS = 150; // without scrolling before the place is remembered

export const state = {};
/** Everything, in the list. */
export const nothing = { view: '', groups: [], selector: [], q: '', within: '', id: '', kind: '', find: '' };

export function read() {
  const p = new URLSearchParams(location.search);
  const oneOf = (name, isKnown, other = '') => (isKnown(p.get(name)) ? p.get(name) : other);
  Object.assign(state, {
    view: oneOf('view', isView),
    groups: p.getAll('group'),
    selector: p.getAll('selector').flatMap(requirements),
    q: p.get('q') ?? '',
    within: oneOf('within', name => Object.hasOwn(spans, name)),
    sort: oneOf('sort', name => Object.hasOwn(orders, name), FIRST_ORDER),
    id: p.get('id') ?? '',
    kind: p.get('kind') ?? '',
    find: p.get('find') ?? '',
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
  add('within', s.within);
  add('sort', s.sort !== FIRST_ORDER && s.sort);
  add('id', s.id);
  add('kind', s.view && s.kind);
  add('find', s.view && s.find);
  return p.size ? `?${readable(p)}` : './';
}

export const link = (patch, ...kids) => h('a', { href: href(patch) }, kids);

/** How far down the page one was when one left this address; 0 for a new one. */
export const placeOf = () => history.state?.y ?? 0;
let isThere = false; // whether what the address says is shown, at its place

function keepPlace() {
  if (isThere) history.replaceState({ y: Math.round(scrollY) }, '');
}

/** What the address says is shown; before, what moves is something else, and no place to come back to. */
export function arrived() {
  isThere = true;
  keepPlace();
}

/** Looks at something else; `replace` is for what is not worth a step back, such as each key of a search. */
export function go(patch, { replace = false } = {}) {
  const to = new URL(href(patch), location.href);
  Object.assign(state, patch);
  if (to.href !== location.href) enter(to, replace);
  emit('route');
}

function enter(to, replace) {
  if (!replace) keepPlace();
  isThere = false;
  history[replace ? 'replaceState' : 'pushState'](null, '', to);
}

export const filter = (s = state) => ({
  group: s.groups,
  selector: selector(s.selector),
  q: s.q.trim(),
  expires_within: spans[s.within],
});
export const isFiltered = () =>
  state.groups.length > 0 || state.selector.length > 0 || state.q.trim() !== '' || state.within !== '';

/** What is looked at, in words. */
export const described = () =>
  [
    ...state.groups.map(name => `group ${name}`),
    selector(state.selector),
    state.q.trim() && `“${state.q.trim()}”`,
    state.within && `expire within ${state.within}`,
  ]
    .filter(Boolean)
    .join(', ');

export function startAddress() {
  // The list knows its own height only once it has asked: it goes back to its place itself.
  history.scrollRestoration = 'manual';
  let settling;
  addEventListener('scroll', () => {
    clearTimeout(settling);
    settling = setTimeout(keepPlace, SETTLED_MS);
  });
  addEventListener('beforeunload', keepPlace);
  addEventListener('popstate', () => {
    isThere = false;
    read();
    emit('route');
  });
  document.addEventListener('click', e => {
    const a = e.target.closest('a[href^="?"], a[href="./"]');
    if (!a || wantsMore(e) || e.defaultPrevented) return;
    e.preventDefault();
    enter(a.href, false);
    read();
    emit('route');
  });
  read();
}
