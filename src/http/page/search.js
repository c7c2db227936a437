// The search field with the filters in it, and the line below: how much matches, in which order.
import { $, fill, foreign, h, icon, listen } from './dom.js';
import { emit, on } from './events.js';
import { groups } from './groups.js';
import { list, paint, reload, step } from './list.js';
import { isNegative, requirement, written } from './selector.js';
import { filter, go, isFiltered, nothing, orders, state } from './state.js';
import { count, plural, setText, short, since, until } from './words.js';

const TYPING_MS = 180; // without a key before a search is sent

const q = $('#q');
const hint = $('#q-hint');
let typing;

function filterToken(kind, body, patch) {
  const remove = () => {
    go(patch);
    q.focus();
  };
  const button = h('button.x', { 'aria-label': `Remove filter ${body.textContent}`, onclick: remove }, icon('close'));
  return h(`li.token${kind}`, body, button);
}

function drawTokens() {
  const ofGroup = g =>
    filterToken('', h('span', h('i', 'group '), foreign(g)), { groups: state.groups.filter(x => x !== g) });
  const ofLabel = (r, at) =>
    filterToken(isNegative(r) ? '.not' : '', h('span', foreign(written(r))), {
      selector: state.selector.toSpliced(at, 1),
    });
  fill($('#tokens'), state.groups.map(ofGroup), state.selector.map(ofLabel));
  q.placeholder = isFiltered()
    ? ''
    : innerWidth < 720
      ? 'Search'
      : 'Search targets, labels, groups; or a label: env=prod';
  $('#sort').value = state.sort;
}

function groupFacts(group) {
  return [
    h('span', plural(group.targets, 'target')),
    h('span', 'last renewed ', since(group.last_updated_at)),
    group.next_expiry_at && h('span', 'next expires in ', h('span', { 'data-until': group.next_expiry_at })),
  ];
}

function paintUntil() {
  const el = $('#summary [data-until]');
  if (el) setText(el, short(until(el.dataset.until)));
}

function groupActs({ name }) {
  const button = (text, title, act) => h('button.quiet.file', { title, onclick: () => emit(act, name) }, text);
  return [
    button('Export', 'The group as file_sd has it', 'export'),
    button('Replace', 'Make the group what a file says', 'declare'),
  ];
}

function pill() {
  const update = () => reload().catch(error => emit('trouble', error));
  const title = 'Update the list (r)';
  return h('button.quiet.pill', { onclick: update, title }, 'The list has changed', h('b', 'Update'));
}

function drawSummary() {
  const group = state.groups.length === 1 && groups.by.get(state.groups[0]);
  const all = isFiltered() && ` of ${count(groups.total)}`;
  const isOne = (isFiltered() ? groups.total : list.total) === 1;
  const clear = () => {
    q.value = '';
    go(nothing);
  };
  const focused = $('#summary').contains(document.activeElement) && document.activeElement.className;
  fill(
    $('#summary'),
    h('span.shown', h('b', count(list.total)), all, h('span', isOne ? ' registration' : ' registrations')),
    list.pending && pill(),
    h('span.facts.grow', group && groupFacts(group)),
    group && groupActs(group),
    isFiltered() && h('button.quiet.clear', clear, 'Clear filters'),
  );
  paintUntil();
  if (focused) $(`#summary [class="${focused}"]`)?.focus();
}

function search() {
  clearTimeout(typing);
  if (q.value !== state.q) go({ q: q.value }, { replace: true });
}

/** What reads as a label selector is offered as one; all else is searched for once the typing pauses. */
function typed() {
  const r = requirement(q.value, { bare: false });
  hint.hidden = !r;
  clearTimeout(typing);
  if (r) fill(hint, h('kbd', 'Enter'), ' only where ', h('code', foreign(written(r))));
  else typing = setTimeout(search, TYPING_MS);
}

function submit(e) {
  e.preventDefault();
  const r = requirement(q.value, { bare: false });
  if (!r) return search();
  emptyField();
  go({ q: '', selector: [...state.selector.filter(x => written(x) !== written(r)), r] });
}

function emptyField() {
  clearTimeout(typing);
  q.value = '';
  hint.hidden = true;
}

function dropLast() {
  if (state.selector.length) go({ selector: state.selector.slice(0, -1) });
  else if (state.groups.length) go({ groups: state.groups.slice(0, -1) });
}

function keydown(e) {
  if (e.key === 'ArrowDown') {
    e.preventDefault();
    step(0);
  } else if (e.key === 'Backspace' && !q.value) {
    dropLast();
  } else if (e.key === 'Escape' && q.value) {
    e.stopPropagation();
    e.preventDefault();
    emptyField();
    search();
  }
}

/** What another filter would match. */
export const conditions = () => [
  ...state.selector.map((r, at) => [written(r), { selector: state.selector.toSpliced(at, 1) }]),
  ...state.groups.map(g => [`group ${g}`, { groups: state.groups.filter(x => x !== g) }]),
  ...(filter().q ? [[filter().q, { q: '' }]] : []),
];

export function startSearch() {
  fill(
    $('#sort'),
    Object.entries(orders).map(([value, label]) => h('option', { value }, label)),
  );
  $('#search').onsubmit = submit;
  $('#sort').onchange = e => go({ sort: e.target.value });
  $('#field').onclick = e => {
    if (e.target.id === 'field') q.focus();
  };
  listen(q, { input: typed, keydown });
  on('listed', drawSummary);
  on('grouped', drawSummary);
  on('tick', paintUntil);
  on('route', () => {
    // What somebody types is never rewritten.
    if (q.value !== state.q && document.activeElement !== q) q.value = state.q;
    clearTimeout(typing);
    drawTokens();
  });
  // The heading of the columns sticks below what may be two lines high.
  new ResizeObserver(() => {
    document.documentElement.style.setProperty('--list-head', `${$('.list-head').offsetHeight}px`);
    paint();
  }).observe($('#summary'));
}
