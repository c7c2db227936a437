// What has changed, by day; many of one kind at one time fold into one line.
import { actionMark, actions } from './actions.js';
import { $, address, fill, foreign, h, heading } from './dom.js';
import { get } from './server.js';
import { link, nothing, state } from './state.js';
import { clock, count, day, plural, time } from './words.js';

const CHANGES_MAX = 1000; // the server remembers no more
const RUN_MS = 20_000; // between two changes of one run
const RUN_MAX = 3; // lines that are not folded

const changesFilter = { action: '', text: '' };
let all = [];
let changesPlace;
let drawnChanges;

const numberOf = action => all.filter(c => !action || c.action === action).length;
const haystack = ({ targets, target_group, by }) => JSON.stringify([targets, target_group, by]).toLowerCase();

/** Neighbours with one action by one hand. */
function runs() {
  const found = [];
  for (const c of all) {
    if (changesFilter.action && c.action !== changesFilter.action) continue;
    if (changesFilter.text && !haystack(c).includes(changesFilter.text)) continue;
    const last = found.at(-1)?.at(-1);
    const isSame = last?.action === c.action && last.by === c.by;
    if (isSame && Date.parse(last.at) - Date.parse(c.at) < RUN_MS) found.at(-1).push(c);
    else found.push([c]);
  }
  return found;
}

const groupLink = name => link({ ...nothing, groups: [name] }, foreign(name));
const who = c => h('span.sub', c.by ? foreign(c.by) : c.action === 'expired' && 'not renewed');

function changeLine(c) {
  const others = c.targets_total - 1;
  const target = link({ view: '', id: c.id }, address(c.targets[0]));
  return h(
    'div.change',
    time(c.at, clock(c.at)),
    actionMark(c.action),
    h('span.mono', target, others > 0 && h('span.plus', ` +${others}`)),
    groupLink(c.target_group),
    who(c),
  );
}

function folded(run) {
  const [c] = run;
  const groups = new Set(run.map(x => x.target_group));
  const summary = h(
    'summary.change',
    time(c.at, clock(c.at)),
    actionMark(c.action),
    h('b', plural(run.length, 'registration')),
    h('span', groups.size > 1 ? `${groups.size} groups` : foreign(c.target_group)),
    who(c),
  );
  const details = h('details.run', summary);
  // What nobody opens is not made.
  details.addEventListener('toggle', () => details.append(...run.map(changeLine)), { once: true });
  return details;
}

function drawFilter() {
  const button = action => {
    const choose = () => {
      changesFilter.action = action;
      drawChanges();
      $('[aria-pressed=true]', changesPlace).focus();
    };
    const n = numberOf(action);
    const isOn = String(changesFilter.action === action);
    return h(
      'button',
      { 'aria-pressed': isOn, disabled: action !== '' && !n, onclick: choose },
      action || 'all',
      ' ',
      h('span.n', count(n)),
    );
  };
  fill($('.segments', changesPlace), ['', ...actions].map(button));
}

function drawChanges() {
  const signature = JSON.stringify([changesFilter, all.length, all[0]]);
  if (signature === drawnChanges) return;
  drawnChanges = signature;
  $('.lead', changesPlace).textContent =
    `The last ${plural(all.length, 'change')} that this server remembers. Renewals are not changes.`;
  drawFilter();
  const none = all.length ? 'No change matches.' : 'Nothing has changed since this server started.';
  const found = runs();
  let today;
  fill(
    $('.changes', changesPlace),
    !found.length && h('p.none', none),
    found.map(run => {
      const date = day(run[0].at);
      const head = date !== today && h('h2.day', date);
      today = date;
      return [head, run.length > RUN_MAX ? folded(run) : run.map(changeLine)];
    }),
  );
}

function frame(view) {
  changesPlace = view;
  drawnChanges = '';
  const typed = e => {
    changesFilter.text = e.target.value.trim().toLowerCase();
    drawChanges();
  };
  const find = h('input', {
    type: 'search',
    id: 'c-find',
    placeholder: 'Filter by target, group or author',
    'aria-label': 'Filter changes',
    oninput: typed,
  });
  Object.assign(changesFilter, { action: '', text: '' });
  fill(view, heading('Changes', ''), h('p.lead'), h('div.bar', h('div.segments'), find), h('div.changes'));
}

export async function showChanges(view) {
  all = (await get('changes', { limit: CHANGES_MAX })).changes;
  if (state.view !== 'changes') return;
  if (!$('#c-find')) frame(view);
  drawChanges();
}
