// What is wrong, in one place, each with what it means.
import { $, address, copyButton, foreign, h, keep, tag } from './dom.js';
import { drawFilter, frame, isWanted } from './filters.js';
import { get, getAllowed, late, server, storeLost } from './server.js';
import { link, nothing, state } from './state.js';
import { registerView } from './views.js';
import { count, plural, setText, since, words } from './words.js';

/** How many of what: [[2, 'late'], ...], without what is well. */
export function problemCounts() {
  const s = server.status;
  if (!s) return [];
  return [
    [storeLost() ? 1 : 0, 'outage'],
    [late().length, 'late'],
    [s.quarantined, 'quarantined'],
    [s.duplicates, 'registered twice'],
    [s.label_problems, 'not scraped'],
  ].filter(([n]) => n);
}
export const problemTotal = () => problemCounts().reduce((sum, [n]) => sum + n, 0);

export function outageText({ store: { kind, stale_seconds, reason } }) {
  const who = kind === 'redis' ? 'Redis' : 'The disk';
  return [
    `${who} has not taken writes for ${words(stale_seconds)}${reason ? ` (${reason})` : ''}. Polls get the last good list. `,
    'Nothing can be registered, renewed or deleted; what expires meanwhile is kept until its owner has had time to renew it.',
  ].join('');
}

/** A part of the view: its items keep their elements for as long as they say the same. */
function section(kind, name, list, total, why, draw) {
  const found = list.filter(one => isWanted(kind, ...Object.values(one)));
  if (!total || !(found.length || (!draw && isWanted(kind, name)))) return [];
  const rest = total - list.length;
  const items = found.map(one => ({ key: JSON.stringify(one), shape: '', draw: () => h('li', draw(one)) }));
  const update = el => {
    setText(el.firstChild.lastChild, count(state.find ? found.length : total));
    setText(el.children[1], why);
    keep(el.children[2], items);
    setText(el.lastChild, draw && rest > 0 ? `${count(rest)} more are not listed, and not searched.` : '');
  };
  const make = () => {
    const el = h('section', h('h2', name, ' ', h('span.n')), h('p.lead'), h('ul.cards'), h('p.none'));
    update(el);
    return el;
  };
  return [{ key: name, shape: JSON.stringify([total, why, found]), draw: make, update }];
}

const latePoller = ({ client, address: from, last_seen, refresh_interval_seconds: every }) => [
  tag('low', 'clock', 'late'),
  h('b', client),
  h('span.mono', foreign(from)),
  h('span', 'last seen ', since(last_seen), `, expected every ${words(every)}`),
];

const quarantined = q => [
  tag('end', 'close', 'left out'),
  h('span.mono', foreign(q.id), copyButton(q.id, 'Copy id')),
  h('p', foreign(q.reason)),
  h('pre.code', { tabindex: 0, role: 'group', 'aria-label': 'The stored value' }, foreign(q.value)),
];

const duplicate = d => [
  h('span.tag', plural(d.ids_total, 'time')),
  h('span.mono', address(d.address)),
  h(
    'span',
    'in ',
    d.groups.map((name, at) => [at > 0 && ', ', link({ ...nothing, groups: [name], q: d.address }, foreign(name))]),
    ' · ',
    link({ ...nothing, q: d.address }, 'show them'),
  ),
];

const dropped = ({ id, target_group, label, value, reason }) => [
  tag('end', 'close', 'not scraped'),
  link({ ...nothing, id }, h('span.mono', id.slice(0, 8))),
  h('span', 'in ', foreign(target_group)),
  h('p', h('span.mono', foreign(`${label}="${value}"`)), ': ', foreign(reason)),
];

const LATE = 'They missed three of their own intervals and keep scraping what they last knew.';
const QUARANTINED =
  'Stored values that would make Prometheus refuse the whole list. They are left out until their owner registers these targets again, or somebody deletes the key in the store: by its id, with a token for all groups, DELETE /target?id=… does that.';
const TWICE = 'One address in several registrations: Prometheus scrapes it once for each, unless the labels are equal.';
const DROPPED =
  'Labels by which Prometheus drops the target, or scrapes something else than was meant, unless its relabelling changes them.';
const NONE = 'None: the store is healthy, no poller is late, and every stored registration is listed.';
const HIDDEN = 'This token may not see pollers, quarantined values or addresses registered twice.';

let answers; // of the server, the last ones

async function showProblems(view, { isNew } = {}) {
  if (!isNew || !answers) {
    answers = await Promise.all(['quarantine', 'duplicates', 'problems'].map(path => getAllowed(path)));
    server.status ??= await get('status');
  }
  if (state.view !== 'problems') return;
  if (!$('#find', view)) frame(view, 'Problems', 'Filter by address, group or reason', h('div'));
  const [left, twice, labels] = answers;
  const counts = problemCounts();
  const isHidden = !left || !server.pollers;
  drawFilter(view, isHidden ? HIDDEN : counts.length ? '' : NONE, {
    '': problemTotal(),
    ...Object.fromEntries(counts.map(([n, kind]) => [kind, n])),
  });
  const lates = late().map(({ client, address, last_seen, refresh_interval_seconds }) => ({
    client,
    address,
    last_seen,
    refresh_interval_seconds,
  }));
  const lost = storeLost();
  const sections = [
    ...section('outage', 'The store is unavailable', [], lost ? 1 : 0, lost ? outageText(server.status) : ''),
    ...section('late', 'Late pollers', lates, lates.length, LATE, latePoller),
    ...section('quarantined', 'Quarantined', left?.quarantine ?? [], left?.total, QUARANTINED, quarantined),
    ...section('registered twice', 'Registered twice', twice?.duplicates ?? [], twice?.total, TWICE, duplicate),
    ...section('not scraped', 'Not scraped', labels?.problems ?? [], labels?.total, DROPPED, dropped),
  ];
  const none = { key: '', shape: '', draw: () => h('p.none', 'No problem that is listed matches.') };
  keep(view.lastChild, sections.length || !counts.length ? sections : [none]);
}

const problemBadge = () => problemTotal() > 0 && h('span.tag.end', count(problemTotal()));

registerView('problems', { show: showProblems, badge: problemBadge });
