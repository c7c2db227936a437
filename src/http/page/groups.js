// The groups on the left: counts, several at once, marks where something expires.
import { $, foreign, h, icon, keep, listen, wantsMore } from './dom.js';
import { emit, on } from './events.js';
import { get } from './server.js';
import { go, state } from './state.js';
import { count, setText, short, until } from './words.js';

const SHOWN_MAX = 500; // beyond that one filters
const SOON_SECONDS = 300;
const DIGITS_MAX = 12; // of a number in a name

const side = $('#side');
const options = $('#group-list');
const box = $('#group-filter');

/** The server's last answer; `total` counts registrations. */
export const groups = { list: [], by: new Map(), total: 0, isKnown: false };
let chosenGroup;

export async function loadGroups() {
  groups.list = inOrder((await get('groups')).groups);
  groups.isKnown = true;
  groups.by = new Map(groups.list.map(g => [g.name, g]));
  groups.total = groups.list.reduce((sum, g) => sum + g.registrations, 0);
  drawGroups();
  emit('grouped');
}

/** In natural order: node-2 before node-10. */
const inOrder = names => {
  const key = name => name.replace(/\d+/g, digits => digits.padStart(DIGITS_MAX, '0'));
  const keyed = names.map(g => [key(g.name), g]);
  return keyed.sort(([a], [b]) => (a < b ? -1 : Number(a > b))).map(([, g]) => g);
};

const isSoon = g => g.next_expiry_at && until(g.next_expiry_at) < SOON_SECONDS;

function soonMark({ next_expiry_at }) {
  const title = `One expires in ${short(until(next_expiry_at))}`;
  return h('span.soon', { title }, icon('clock'), h('span.vh', title));
}

/** A group that can be chosen. It changes in place, so that it can be pressed meanwhile. */
function option({ name, registrations, isChosen, soon }) {
  const update = el => {
    el.ariaSelected = String(isChosen);
    $('.soon', el)?.remove();
    if (soon) el.lastChild.before(soonMark(soon));
    setText(el.lastChild, count(registrations));
  };
  const draw = () => {
    const props = { role: 'option', tabindex: -1, 'data-name': name, title: name };
    const el = h('div.group', props, h('span.name', name ? foreign(name) : 'All groups'), h('span.n'));
    update(el);
    return el;
  };
  return { key: name, shape: JSON.stringify([registrations, isChosen, Boolean(soon)]), draw, update };
}

/** Chosen groups that are now empty come first, so that they can be removed. */
function wantedGroups(wanted) {
  const gone = state.groups.filter(name => !groups.by.has(name)).map(name => ({ name, registrations: 0 }));
  return [...gone, ...groups.list.filter(g => g.name.toLowerCase().includes(wanted))];
}

function drawGroups() {
  const wanted = box.value.trim().toLowerCase();
  const found = wantedGroups(wanted);
  const shown = found.slice(0, SHOWN_MAX);
  if (!groups.isKnown) return;
  setText($('#group-count'), count(groups.list.length));
  const all = { name: '', registrations: groups.total, isChosen: !state.groups.length };
  const some = shown.map(g => ({ ...g, isChosen: state.groups.includes(g.name), soon: isSoon(g) && g }));
  keep(options, [...(wanted ? [] : [all]), ...some].map(option));
  setText(
    $('#group-rest'),
    !shown.length && wanted
      ? 'No group has this in its name.'
      : found.length > shown.length
        ? `${count(found.length - shown.length)} more: filter them by name.`
        : '',
  );
  showChosen();
}

/** The group that Tab goes to; it is then scrolled into sight. */
function showChosen() {
  const chosen = $('[aria-selected=true]', options) ?? options.firstChild;
  if (chosen === chosenGroup) return;
  if (chosenGroup) chosenGroup.tabIndex = -1;
  chosenGroup = chosen;
  if (!chosenGroup) return;
  chosenGroup.tabIndex = 0;
  const top = chosenGroup.offsetTop - options.offsetTop;
  const isHidden = top < options.scrollTop || top > options.scrollTop + options.clientHeight - 28;
  if (isHidden) options.scrollTop = top - 84;
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

/** A press beside the open drawer closes it, and does nothing to what is below. */
function pressedBeside(e) {
  if (!side.classList.contains('open') || e.target.closest('#side, #side-open')) return;
  e.preventDefault();
  e.stopPropagation();
  showGroups(false);
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
  document.addEventListener('click', pressedBeside, true);
  on('route', drawGroups);
}
