// The pollers: who asks for which list, and whether they still do.
import { $, fill, foreign, h, heading, keep, tag } from './dom.js';
import { emit } from './events.js';
import { drawFilter, frame, isWanted } from './filters.js';
import { meets, requirements, written } from './selector.js';
import { getAllowed, late, server } from './server.js';
import { link, nothing, state } from './state.js';
import { registerView } from './views.js';
import { count, plural, setText, since, words } from './words.js';

const AGENT_CHARS_MAX = 40;

/** The known pollers; null for a token that may not see them. */
export async function loadPollers() {
  server.pollers = (await getAllowed('pollers'))?.pollers ?? null;
}

/** What a poller asks for: groups, label selector, shard. */
function question(path) {
  const query = new URL(path, 'http://server').searchParams;
  const groups = [...query.getAll('group'), ...query.getAll('name')];
  const selector = query.getAll('selector').flatMap(requirements);
  return { groups, selector, shard: query.get('shard'), shards: query.get('shards') };
}

/** Jump consistent hash (Lamping and Veach, 2014) of the first eight bytes of an id, as the server reckons it. */
function shardOf(id, shards) {
  const uint64 = n => BigInt.asUintN(64, n);
  let key = BigInt(`0x${id.replaceAll('-', '').slice(0, 16)}`);
  let bucket = 0;
  for (let next = 0; next < shards; ) {
    bucket = next;
    key = uint64(key * 2862933555777941757n + 1n);
    next = Math.floor((bucket + 1) * (2 ** 31 / (Number(key >> 33n) + 1)));
  }
  return bucket;
}

/** The pollers whose lists have this registration, as far as their queries tell; null if they may not be seen. */
export function pollersOf({ id, labels, target_group }) {
  const gets = ({ path, last_status }) => {
    const { groups, selector, shard, shards } = question(path);
    const isShard = shards === null || shardOf(id, Number(shards)) === Number(shard);
    const isGroup = !groups.length || groups.includes(target_group);
    return last_status < 400 && isGroup && isShard && selector.every(requirement => meets(requirement, labels));
  };
  return server.pollers?.filter(gets);
}

const criteria = ({ groups, selector }) =>
  [...groups.map(g => `group ${g}`), ...selector.map(written)].join(', ') || 'everything';

/** The filter of the list that somebody polls, as a link to it. */
function asksFor(path) {
  const { groups, selector, shard, shards } = question(path);
  const part = shards && h('span.sub', ` shard ${shard} (of 0 to ${shards - 1})`);
  return [link({ ...nothing, groups, selector }, foreign(criteria({ groups, selector }))), part];
}

/** The parts that change with each poll. */
function moving(p) {
  const every = p.refresh_interval_seconds;
  const isRefused = p.last_status >= 400;
  return [
    h(
      'td',
      p.late ? tag('low', 'clock', 'late') : every && !isRefused && h('span.sub', 'on time'),
      isRefused && h('span.tag.end', `answered ${p.last_status}`),
    ),
    h('td.num', since(p.last_seen)),
    h('td.num', every ? words(every) : h('span.sub', 'unknown')),
    h('td.num', count(p.polls)),
  ];
}

function pollerLine(p) {
  const fixed = [
    h('td', h('b', p.client), ' ', h('span.sub', foreign(p.user_agent.slice(0, AGENT_CHARS_MAX)))),
    h('td.mono', foreign(p.address)),
    h('td.mono', asksFor(p.path)),
  ];
  return h(`tr${p.late ? '.late' : ''}`, moving(p).slice(0, 1), fixed, moving(p).slice(1));
}

function renew(line, p) {
  line.classList.toggle('late', p.late);
  const [stand, ...rest] = moving(p);
  line.firstChild.replaceWith(stand);
  for (const [at, cell] of rest.entries()) line.children[at + 4].replaceWith(cell);
}

const COLUMNS = ['State', 'Client', 'Address', 'Asks for', 'Last poll', 'Every', 'Polls'];
const POLLERS_LEAD =
  'Who asked for a list in the last hour, and for which one. A poller is late once it has missed three of its own intervals; where none is known, nobody can tell.';

function nobody() {
  const button = h('button.primary', () => emit('use'), 'Configuration to paste');
  return h('div.empty', h('h2', 'Nobody polls'), h('p', 'Nobody has asked for a list in the last hour.'), button);
}

const kindOf = p =>
  p.late ? 'late' : p.last_status >= 400 ? 'refused' : p.refresh_interval_seconds ? 'on time' : 'unknown';

async function showPollers(view, { isNew } = {}) {
  if (!isNew) await loadPollers();
  if (state.view !== 'pollers') return;
  const { pollers } = server;
  if (!pollers) return fill(view, heading('Pollers', ''), h('p.lead', 'This token may not see who polls.'));
  if (!pollers.length) return fill(view, heading('Pollers', '0'), nobody());
  if (!$('tbody', view)) {
    const columns = COLUMNS.map((text, at) => h(`th${at > 3 ? '.num' : ''}`, { scope: 'col' }, text));
    const table = h('table', h('thead', h('tr', columns)), h('tbody'));
    const label = 'Filter by client, address or list';
    frame(view, 'Pollers', label, h('div.sideways', { tabindex: 0 }, table), h('p.none'));
  }
  const kinds = { '': pollers.length, late: 0, 'on time': 0, unknown: 0, refused: 0 };
  for (const p of pollers) kinds[kindOf(p)]++;
  drawFilter(view, POLLERS_LEAD, kinds);
  const found = pollers.filter(p => isWanted(kindOf(p), p.client, p.user_agent, p.address, criteria(question(p.path))));
  setText(view.lastChild, found.length ? '' : 'No poller matches.');
  const item = p => ({
    key: JSON.stringify([p.address, p.user_agent, p.path]),
    shape: JSON.stringify(p),
    draw: () => pollerLine(p),
    update: line => renew(line, p),
  });
  keep($('tbody', view), found.sort((a, b) => b.late - a.late).map(item));
}

function lateBadge() {
  const n = late().length;
  return n > 0 && h('span.tag.low', { title: plural(n, 'late poller') }, count(n), h('span.vh', ' late'));
}

registerView('pollers', { show: showPollers, badge: lateBadge });
