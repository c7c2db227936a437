// The views beside the list: who polls, what has changed, what is wrong.
import { $, address, copyButton, fill, foreign, h, icon } from './dom.js';
import { actionMark, actions } from './registration.js';
import { get, getAllowed, late, server, storeLost } from './server.js';
import { emit, link, nothing, requirements, state, written } from './state.js';
import { clock, count, day, plural, since, time, words } from './words.js';

// ---- Small parts that several views have.

export const tag = (mood, name, ...text) => h(`span.tag.${mood}`, icon(name), text);
export const heading = (text, n) => h('h1', text, h('span.n', ' ', n));

// ---- Who asks for a list, for which one, and whether they still do.

const AGENT_CHARS_MAX = 40;

/** What is known of them; null for a token that may not know. */
export async function loadPollers() {
  server.pollers = (await getAllowed('pollers'))?.pollers ?? null;
}

/** The filter of the list that somebody polls, as a link to it. */
function asksFor(path) {
  const query = new URL(path, 'http://server').searchParams;
  const groups = [...query.getAll('group'), ...query.getAll('name')];
  const selector = query.getAll('selector').flatMap(requirements);
  const text = [...groups.map(g => `group ${g}`), ...selector.map(written)].join(', ') || 'everything';
  const shard = query.has('shard') && ` shard ${query.get('shard')} of ${query.get('shards')}`;
  return [link({ ...nothing, groups, selector }, foreign(text)), shard && h('span.sub', foreign(shard))];
}

function pollerLine(p) {
  const every = p.refresh_interval_seconds;
  const isRefused = p.last_status >= 400;
  return h(
    `tr${p.late ? '.late' : ''}`,
    h('td', h('b', p.client), ' ', h('span.sub', foreign(p.user_agent.slice(0, AGENT_CHARS_MAX)))),
    h('td.mono', foreign(p.address)),
    h('td.mono', asksFor(p.path)),
    h('td.num', since(p.last_seen)),
    h('td.num', every ? words(every) : h('span.sub', 'unknown')),
    h('td.num', count(p.polls)),
    h(
      'td',
      p.late ? tag('low', 'clock', 'late') : every && !isRefused && h('span.sub', 'on time'),
      isRefused && h('span.tag.end', `answered ${p.last_status}`),
    ),
  );
}

const COLUMNS = ['Client', 'Address', 'Asks for', 'Last poll', 'Every', 'Polls', 'State'];
const isNumber = at => at > 2 && at < 6;

function nobody() {
  const button = h('button.primary', () => emit('use'), 'Configuration to paste');
  return h('div.empty', h('h2', 'Nobody polls'), h('p', 'Nobody asked for a list within the last hour.'), button);
}

export async function showPollers(view) {
  await loadPollers();
  if (state.view !== 'pollers') return;
  const { pollers } = server;
  if (!pollers) return fill(view, heading('Pollers', ''), h('p.lead', 'This token may not see who polls.'));
  if (!pollers.length) return fill(view, nobody());
  const columns = COLUMNS.map((text, at) => h(`th${isNumber(at) ? '.num' : ''}`, { scope: 'col' }, text));
  const lines = pollers.toSorted((a, b) => b.late - a.late).map(pollerLine);
  const lead =
    'Who asked for a list within the last hour, and for what. Late is who missed three of its own intervals.';
  fill(
    view,
    heading('Pollers', count(pollers.length)),
    h('p.lead', lead),
    h('table', h('thead', h('tr', columns)), h('tbody', lines)),
  );
}

// ---- What has changed, by day; many of one kind at one time fold into one line.

const CHANGES_MAX = 1000; // the server remembers no more
const RUN_MS = 20_000; // between two changes of one run
const RUN_MAX = 3; // lines that are not folded

const shown = { action: '', text: '' };
let all = [];
let changesPlace;
let drawnChanges;

const numberOf = action => all.filter(c => !action || c.action === action).length;
const haystack = ({ targets, target_group, by }) => JSON.stringify([targets, target_group, by]).toLowerCase();

/** Neighbours with one action by one hand. */
function runs() {
  const found = [];
  for (const c of all) {
    if (shown.action && c.action !== shown.action) continue;
    if (shown.text && !haystack(c).includes(shown.text)) continue;
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
      shown.action = action;
      drawChanges();
      $('[aria-pressed=true]', changesPlace).focus();
    };
    const n = numberOf(action);
    const isOn = String(shown.action === action);
    return h(
      'button',
      { 'aria-pressed': isOn, disabled: !n, onclick: choose },
      action || 'all',
      ' ',
      h('span.n', count(n)),
    );
  };
  fill($('.segments', changesPlace), ['', ...actions].map(button));
}

function drawChanges() {
  const signature = JSON.stringify([shown, all.length, all[0]]);
  if (signature === drawnChanges) return;
  drawnChanges = signature;
  $('.lead', changesPlace).textContent =
    `The last ${count(all.length)} that this server remembers. Renewals are not changes.`;
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
    shown.text = e.target.value.trim().toLowerCase();
    drawChanges();
  };
  const find = h('input', {
    type: 'search',
    id: 'c-find',
    placeholder: 'Filter by target, group or who',
    'aria-label': 'Filter changes',
    oninput: typed,
  });
  Object.assign(shown, { action: '', text: '' });
  fill(view, heading('Changes', ''), h('p.lead'), h('div.bar', h('div.segments'), find), h('div.changes'));
}

export async function showChanges(view) {
  all = (await get('changes', { limit: CHANGES_MAX })).changes;
  if (state.view !== 'changes') return;
  if (!$('#c-find')) frame(view);
  drawChanges();
}

// ---- What is wrong, in one place, each with what it means.

/** How many of what: [[2, 'late'], ...], without what is well. */
export function problemCounts() {
  const s = server.status;
  if (!s) return [];
  return [
    [storeLost() ? 1 : 0, 'outage'],
    [late().length, 'late'],
    [s.quarantined, 'quarantined'],
    [s.duplicates, 'registered twice'],
  ].filter(([n]) => n);
}

export function outageText({ store: { kind, stale_seconds, reason } }) {
  const who = kind === 'redis' ? 'Redis' : 'The disk';
  return [
    `${who} has not taken writes for ${words(stale_seconds)}${reason ? ` (${reason})` : ''}. Polls get the last good list. `,
    'Nothing can be registered, renewed or deleted; what runs out meanwhile is kept until its owners could renew it.',
  ].join('');
}

function section(list, total, name, why, item) {
  if (!total) return null;
  const rest = total - list.length;
  return h(
    'section',
    h('h2', name, ' ', h('span.n', count(total))),
    h('p.lead', why),
    item &&
      h(
        'ul.cards',
        list.map(one => h('li', item(one))),
      ),
    item && rest > 0 && h('p.none', `${count(rest)} more are not listed.`),
  );
}

const latePoller = p => [
  tag('low', 'clock', 'late'),
  h('b', p.client),
  h('span.mono', foreign(p.address)),
  h('span', 'last seen ', since(p.last_seen), `, expected every ${words(p.refresh_interval_seconds)}`),
];

const quarantined = q => [
  tag('end', 'close', 'left out'),
  h('span.mono', foreign(q.id), copyButton(q.id, 'Copy id')),
  h('p', foreign(q.reason)),
  h('pre.code', { tabindex: 0, 'aria-label': 'The stored value' }, foreign(q.value)),
];

const duplicate = d => [
  h('span.tag', plural(d.ids_total, 'time')),
  h('span.mono', address(d.address)),
  h(
    'span',
    'in ',
    d.ids.map((id, at) => [at > 0 && ', ', link({ ...nothing, id }, h('span.mono', id.slice(0, 8)))]),
    d.ids_total > d.ids.length && ` and ${d.ids_total - d.ids.length} more`,
  ),
];

const LATE = 'They missed three of their own intervals, and go on scraping what they knew.';
const QUARANTINED =
  'Stored values for which Prometheus would refuse the whole list. They are left out until somebody mends or deletes them.';
const TWICE =
  'One address in more than one registration: Prometheus scrapes it once for each, unless the labels are equal.';
const NONE = 'None: the store is well, who polls is on time, every stored value is in the list.';
const HIDDEN = 'Pollers, quarantined values and addresses registered twice are not shown to this token.';

export async function showProblems(view) {
  const [quarantine, duplicates] = await Promise.all([getAllowed('quarantine'), getAllowed('duplicates')]);
  if (state.view !== 'problems' || !server.status) return;
  const isHidden = !quarantine || !server.pollers;
  const n = problemCounts().reduce((sum, [k]) => sum + k, 0);
  const content = [
    heading('Problems', count(n)),
    !n && !isHidden && h('p.lead', NONE),
    isHidden && h('p.lead', HIDDEN),
    section([], storeLost() ? 1 : 0, 'The store is lost', storeLost() && outageText(server.status)),
    section(late(), late().length, 'Late pollers', LATE, latePoller),
    section(quarantine?.quarantine ?? [], quarantine?.total, 'Quarantined', QUARANTINED, quarantined),
    section(duplicates?.duplicates ?? [], duplicates?.total, 'Registered twice', TWICE, duplicate),
  ];
  fill(view, content);
}

// ---- The views beside the list; each draws itself into the same place.

const VIEWS = { pollers: showPollers, changes: showChanges, problems: showProblems };
const place = $('#view');

export async function showView() {
  if (place.dataset.view !== state.view) fill(place);
  place.dataset.view = state.view;
  await VIEWS[state.view]?.(place);
}
