// What is looked at. It lives in the address, so that Back, bookmarks and links to colleagues work.
import { h, wantsMore } from './dom.js';
import { emit } from './events.js';
import { requirements, selector } from './selector.js';

export const views = ['', 'pollers', 'changes', 'problems'];
export const orders = {
  id: 'By id',
  expires_at: 'Expires first',
  '-expires_at': 'Expires last',
  '-updated_at': 'Recently renewed',
  updated_at: 'Least recently renewed',
  target_group: 'By group',
  '-target_group': 'By group, reversed',
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

export function startAddress() {
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
