// Who asks for a list, for which one, and whether they still do.
import { fill, foreign, h, heading, tag } from './dom.js';
import { emit } from './events.js';
import { requirements, written } from './selector.js';
import { getAllowed, server } from './server.js';
import { link, nothing, state } from './state.js';
import { count, since, words } from './words.js';

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
  return h('div.empty', h('h2', 'Nobody polls'), h('p', 'Nobody has asked for a list in the last hour.'), button);
}

export async function showPollers(view) {
  await loadPollers();
  if (state.view !== 'pollers') return;
  const { pollers } = server;
  if (!pollers) return fill(view, heading('Pollers', ''), h('p.lead', 'This token may not see who polls.'));
  if (!pollers.length) return fill(view, heading('Pollers', '0'), nobody());
  const columns = COLUMNS.map((text, at) => h(`th${isNumber(at) ? '.num' : ''}`, { scope: 'col' }, text));
  const lines = pollers.toSorted((a, b) => b.late - a.late).map(pollerLine);
  const lead =
    'Who asked for a list in the last hour, and for which one. A poller is late once it has missed three of its own intervals.';
  fill(
    view,
    heading('Pollers', count(pollers.length)),
    h('p.lead', lead),
    h('table', h('thead', h('tr', columns)), h('tbody', lines)),
  );
}
