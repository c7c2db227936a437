// What has changed, by day; many of one kind at one time fold into one line. What is open stays open.
import { actionMark, actions } from './actions.js';
import { $, address, fill, foreign, h, heading, keep } from './dom.js';
import { get } from './server.js';
import { go, link, nothing, state } from './state.js';
import { registerView } from './views.js';
import { clock, count, day, plural, setText, time } from './words.js';

const CHANGES_MAX = 1000; // the server remembers no more
const RUN_MS = 20_000; // between two changes of one run
const RUN_MAX = 3; // lines that are not folded

let all = [];

const numberOf = action => all.filter(c => !action || c.action === action).length;
const haystack = ({ targets, target_group, by }) => JSON.stringify([targets, target_group, by]).toLowerCase();
const keyOf = c => `${c.at} ${c.action} ${c.id}`;

/** Neighbours with one action by one hand. */
function runs() {
  const found = [];
  const wanted = state.find.trim().toLowerCase();
  for (const c of all) {
    if (state.action && c.action !== state.action) continue;
    if (wanted && !haystack(c).includes(wanted)) continue;
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
  const target = link({ ...nothing, id: c.id }, address(c.targets[0]));
  return h(
    'div.change',
    time(c.at, clock(c.at)),
    actionMark(c.action),
    h('span.mono', target, others > 0 && h('span.plus', ` +${others}`)),
    groupLink(c.target_group),
    who(c),
  );
}

const lineItem = c => ({ key: keyOf(c), shape: '', draw: () => changeLine(c) });

function summaryOf(run) {
  const [c] = run;
  const groups = new Set(run.map(x => x.target_group));
  return [
    time(c.at, clock(c.at)),
    actionMark(c.action),
    h('b', plural(run.length, 'registration')),
    h('span', groups.size > 1 ? `${groups.size} groups` : foreign(c.target_group)),
    who(c),
  ];
}

/** Many at once; what nobody opens is not made, and what comes to it meanwhile closes nothing. */
function folded(run) {
  const lines = h('div');
  const details = h('details.run', h('summary.change', summaryOf(run)), lines);
  const draw = () => details.open && keep(lines, details.run.map(lineItem));
  details.run = run;
  details.addEventListener('toggle', draw);
  details.renew = next => {
    details.run = next;
    fill(details.firstChild, summaryOf(next));
    draw();
  };
  return details;
}

/** The oldest change of a run stays in it while newer ones come. */
const runItem = run => ({
  key: `run ${keyOf(run.at(-1))}`,
  shape: String(run.length),
  draw: () => folded(run),
  update: details => details.renew(run),
});

function drawFilter(view) {
  const button = action => {
    const isOn = state.action === action;
    const choose = () => go({ action });
    return h(
      'button',
      { 'aria-pressed': String(isOn), disabled: !isOn && action !== '' && !numberOf(action), onclick: choose },
      action || 'all',
      ' ',
      h('span.n', count(numberOf(action))),
    );
  };
  const item = action => ({
    key: action,
    shape: `${state.action === action} ${numberOf(action)}`,
    draw: () => button(action),
    update: el => el.replaceChildren(...button(action).childNodes) ?? turn(el, action),
  });
  keep($('.segments', view), ['', ...actions].map(item));
}

function turn(el, action) {
  el.ariaPressed = String(state.action === action);
  el.disabled = state.action !== action && action !== '' && !numberOf(action);
}

function drawChanges(view) {
  setText(
    $('.lead', view),
    `The last ${plural(all.length, 'change')} that this server remembers. Renewals are not changes.`,
  );
  drawFilter(view);
  const found = runs();
  const none = all.length ? 'No change matches.' : 'Nothing has changed since this server started.';
  const items = found.length ? [] : [{ key: none, shape: '', draw: () => h('p.none', none) }];
  let today;
  for (const run of found) {
    const date = day(run[0].at);
    if (date !== today) items.push({ key: date, shape: '', draw: () => h('h2.day', date) });
    today = date;
    if (run.length > RUN_MAX) items.push(runItem(run));
    else items.push(...run.map(lineItem));
  }
  keep($('.changes', view), items);
}

function frame(view) {
  const find = h('input', {
    type: 'search',
    id: 'c-find',
    placeholder: 'Filter by target, group or author',
    'aria-label': 'Filter changes',
    value: state.find,
    oninput: e => go({ find: e.target.value }, { replace: true }),
  });
  fill(view, heading('Changes', ''), h('p.lead'), h('div.bar', h('div.segments'), find), h('div.changes'));
}

async function showChanges(view, { isNew } = {}) {
  if (!isNew || !$('#c-find')) all = (await get('changes', { limit: CHANGES_MAX })).changes;
  if (state.view !== 'changes') return;
  if (!$('#c-find')) frame(view);
  if ($('#c-find') !== document.activeElement) $('#c-find').value = state.find;
  drawChanges(view);
}

registerView('changes', { show: showChanges });
