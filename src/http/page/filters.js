// What narrows the list: the groups on the left, the search field with its filters, and the line that says how much
// matches, in which order.
import { $, $$, fill, foreign, h, icon, listen, wantsMore } from './dom.js';
import { list, paint, reload, step } from './list.js';
import { get } from './server.js';
import { emit, filter, go, isFiltered, isNegative, nothing, on, orders, requirement, state, written } from './state.js';
import { count, plural, setText, short, since, until } from './words.js';

// ---- The groups on the left: counts, several at once, marks where something runs out.

const SHOWN_MAX = 500; // beyond that one filters
const SOON_SECONDS = 300;

const side = $('#side');
const options = $('#group-list');
const box = $('#group-filter');

/** What the server said last; `total` counts registrations. */
export const groups = { list: [], by: new Map(), total: 0 };
let drawnGroups;

export async function loadGroups() {
  groups.list = (await get('groups')).groups;
  groups.by = new Map(groups.list.map(g => [g.name, g]));
  groups.total = groups.list.reduce((sum, g) => sum + g.registrations, 0);
  drawGroups();
  emit('grouped');
}

const isSoon = g => g.next_expiry_at && until(g.next_expiry_at) < SOON_SECONDS;

function option(name, label, n, isChosen, soon) {
  const title = soon && `One runs out in ${short(until(soon.next_expiry_at))}`;
  return h(
    'div.group',
    { role: 'option', tabindex: -1, 'aria-selected': String(isChosen), 'data-name': name, title: name },
    h('span.name', label),
    soon && h('span.soon', { title }, icon('clock'), h('span.vh', title)),
    h('span.n', count(n)),
  );
}

/** Those chosen that have nothing now come first: they can be taken away again. */
function wantedGroups(wanted) {
  const gone = state.groups.filter(name => !groups.by.has(name)).map(name => ({ name, registrations: 0 }));
  return [...gone, ...groups.list.filter(g => g.name.toLowerCase().includes(wanted))];
}

function drawGroups() {
  const wanted = box.value.trim().toLowerCase();
  const found = wantedGroups(wanted);
  const shown = found.slice(0, SHOWN_MAX);
  setText($('#group-count'), count(groups.list.length));
  const signature = JSON.stringify([wanted, state.groups, shown.map(g => [g.name, g.registrations, isSoon(g)])]);
  if (signature === drawnGroups) return;
  drawnGroups = signature;
  const focused = document.activeElement.dataset.name;
  fill(
    options,
    !wanted && option('', 'All groups', groups.total, !state.groups.length),
    shown.map(g => option(g.name, foreign(g.name), g.registrations, state.groups.includes(g.name), isSoon(g) && g)),
  );
  setText(
    $('#group-rest'),
    !shown.length && wanted
      ? 'No group has this in its name.'
      : found.length > shown.length
        ? `${count(found.length - shown.length)} more: filter them by name.`
        : '',
  );
  showChosen(focused);
}

function showChosen(focused) {
  const chosen = $('[aria-selected=true]', options) ?? options.firstChild;
  if (!chosen) return;
  chosen.tabIndex = 0;
  const top = chosen.offsetTop - options.offsetTop;
  const isHidden = top < options.scrollTop || top > options.scrollTop + options.clientHeight - 28;
  if (isHidden) options.scrollTop = top - 84;
  if (focused === undefined) return;
  $$('.group', options)
    .find(el => el.dataset.name === focused)
    ?.focus();
}

function choose(el, several) {
  const { name } = el.dataset;
  const has = state.groups.includes(name);
  const others = state.groups.filter(g => g !== name);
  const isOnly = has && !others.length;
  const chosen = several ? (has ? others : [...others, name]) : isOnly ? [] : [name];
  go({ id: '', groups: name ? chosen : [] });
  if (!several) showGroups(false);
}

/** Opens or closes the groups where there is no room for them beside the list; says whether they were open. */
export function showGroups(open) {
  const was = side.classList.contains('open');
  side.classList.toggle('open', open);
  $('#side-open').ariaExpanded = String(open);
  if (open) box.focus();
  else if (was) $('#side-open').focus();
  return was;
}

function filterKey(e) {
  if (e.key === 'ArrowDown') {
    e.preventDefault();
    options.firstChild?.focus();
  } else if (e.key === 'Enter' && box.value && options.firstChild) {
    choose(options.firstChild);
  } else if (e.key === 'Escape' && box.value) {
    e.stopPropagation();
    box.value = '';
    drawGroups();
  }
}

function listKey(e) {
  const el = e.target;
  const to = {
    ArrowDown: el.nextElementSibling,
    ArrowUp: el.previousElementSibling ?? box,
    Home: options.firstChild,
    End: options.lastChild,
  }[e.key];
  if (to) to.focus();
  else if (e.key === 'Enter' || e.key === ' ') choose(el, wantsMore(e) || e.key === ' ');
  else return;
  e.preventDefault();
}

function clickGroup(e) {
  const el = e.target.closest('.group');
  if (el) choose(el, wantsMore(e));
}

export function startGroups() {
  listen(box, { input: drawGroups, keydown: filterKey });
  listen(options, { clickGroup, keydown: listKey });
  $('#side-open').onclick = () => showGroups(!side.classList.contains('open'));
  $('#side-close').onclick = () => showGroups(false);
  on('route', drawGroups);
}

// ---- The search field with the filters in it, and the line below: how much matches, in which order.

const TYPING_MS = 180; // without a key before a search is sent

const q = $('#q');
const hint = $('#q-hint');
let typing;

function token(kind, body, patch) {
  const remove = () => {
    go(patch);
    q.focus();
  };
  const button = h('button.x', { 'aria-label': `Remove filter ${body.textContent}`, onclick: remove }, icon('close'));
  return h(`li.token${kind}`, body, button);
}

function drawTokens() {
  const ofGroup = g =>
    token('', h('span', h('i', 'group '), foreign(g)), { groups: state.groups.filter(x => x !== g) });
  const ofLabel = (r, at) =>
    token(isNegative(r) ? '.not' : '', h('span', foreign(written(r))), { selector: state.selector.toSpliced(at, 1) });
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
    group.next_expiry_at && h('span', 'next runs out in ', h('span', { 'data-until': group.next_expiry_at })),
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
  const clear = () => {
    q.value = '';
    go(nothing);
  };
  const focused = $('#summary').contains(document.activeElement) && document.activeElement.className;
  fill(
    $('#summary'),
    h('span.shown', h('b', count(list.total)), all, h('span', list.total === 1 ? ' registration' : ' registrations')),
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
