// The changes, by day. Many of one kind at one time fold into one line. Open lines stay open.
import { actionMark, actions } from './actions.js';
import { $, address, fill, foreign, h, keep } from './dom.js';
import { drawFilter, frame, isWanted } from './filters.js';
import { get } from './server.js';
import { link, nothing, state } from './state.js';
import { zoneBox } from './theme.js';
import { registerView } from './views.js';
import { clock, day, plural, time } from './words.js';

const CHANGES_MAX = 1000; // the server remembers no more
const RUN_MS = 20_000; // between two changes of one run
const RUN_MAX = 3; // lines that are not folded

let all = [];

const numberOf = action => all.filter(c => !action || c.action === action).length;
const keyOf = c => `${c.at} ${c.action} ${c.id}`;

/** Consecutive changes with the same action and author. */
function runs() {
  const found = [];
  for (const c of all) {
    if (!isWanted(c.action, c.targets, c.target_group, c.by)) continue;
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
    time(c.at, clock),
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
    time(c.at, clock),
    actionMark(c.action),
    h('b', plural(run.length, 'registration')),
    h('span', groups.size > 1 ? `${groups.size} groups` : foreign(c.target_group)),
    who(c),
  ];
}

/** Many changes in one line. Its content is made when opened, and later changes do not close it. */
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

function drawChanges(view) {
  drawFilter(
    view,
    `The last ${plural(all.length, 'change')} that this server remembers. Renewals are not changes.`,
    Object.fromEntries(['', ...actions].map(action => [action, numberOf(action)])),
  );
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

async function showChanges(view, { isNew } = {}) {
  if (!isNew || !$('.changes', view)) all = (await get('changes', { limit: CHANGES_MAX })).changes;
  if (state.view !== 'changes') return;
  if (!$('.changes', view)) {
    frame(view, 'Changes', 'Filter by target, group or author', h('div.changes'));
    $('.bar', view).append(zoneBox());
  }
  drawChanges(view);
}

registerView('changes', { show: showChanges });
