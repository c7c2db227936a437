// The groups on the left: counts, several at once, marks where something expires.
import { $, $$, fill, foreign, h, icon, listen, wantsMore } from './dom.js';
import { emit, on } from './events.js';
import { get } from './server.js';
import { go, state } from './state.js';
import { count, setText, short, until } from './words.js';

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
  const title = soon && `One expires in ${short(until(soon.next_expiry_at))}`;
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

function groupFilterKey(e) {
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

function groupKey(e) {
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
  listen(box, { input: drawGroups, keydown: groupFilterKey });
  listen(options, { click: clickGroup, keydown: groupKey });
  $('#side-open').onclick = () => showGroups(!side.classList.contains('open'));
  $('#side-close').onclick = () => showGroups(false);
  on('route', drawGroups);
}
