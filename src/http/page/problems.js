// What is wrong, in one place, each with what it means.
import { address, copyButton, fill, foreign, h, heading, tag } from './dom.js';
import { get, getAllowed, late, server, storeLost } from './server.js';
import { link, nothing, state } from './state.js';
import { count, plural, since, words } from './words.js';

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
    'Nothing can be registered, renewed or deleted; what expires meanwhile is kept until its owner has had time to renew it.',
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
  h('pre.code', { tabindex: 0, role: 'group', 'aria-label': 'The stored value' }, foreign(q.value)),
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

const LATE = 'They missed three of their own intervals and keep scraping what they last knew.';
const QUARANTINED =
  'Stored values that would make Prometheus refuse the whole list. They are left out until somebody fixes or deletes them.';
const TWICE = 'One address in several registrations: Prometheus scrapes it once for each, unless the labels are equal.';
const NONE = 'None: the store is healthy, pollers are on time, and every stored registration is listed.';
const HIDDEN = 'This token may not see pollers, quarantined values or addresses registered twice.';

export async function showProblems(view) {
  const [quarantine, duplicates] = await Promise.all([getAllowed('quarantine'), getAllowed('duplicates')]);
  server.status ??= await get('status');
  if (state.view !== 'problems') return;
  const isHidden = !quarantine || !server.pollers;
  const n = problemCounts().reduce((sum, [k]) => sum + k, 0);
  const content = [
    heading('Problems', count(n)),
    !n && !isHidden && h('p.lead', NONE),
    isHidden && h('p.lead', HIDDEN),
    section([], storeLost() ? 1 : 0, 'The store is unavailable', storeLost() && outageText(server.status)),
    section(late(), late().length, 'Late pollers', LATE, latePoller),
    section(quarantine?.quarantine ?? [], quarantine?.total, 'Quarantined', QUARANTINED, quarantined),
    section(duplicates?.duplicates ?? [], duplicates?.total, 'Registered twice', TWICE, duplicate),
  ];
  fill(view, content);
}
