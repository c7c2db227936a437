// One registration in the panel: its lifetime, its content, and its changes.
import { changeHistory } from './actions.js';
import { codes, curlPut, json } from './codes.js';
import { $, address, copyButton, fill, foreign, h, iconButton } from './dom.js';
import { emit, trouble } from './events.js';
import { rowOf } from './list.js';
import { closePanel, isOpen, openPanel } from './panel.js';
import { pollersOf } from './pollers.js';
import { learnRenewals, nextRenewal, renewalInterval, untilRenewal } from './renewals.js';
import { changes, filterBy, isMeta, plus, sortedLabels } from './row.js';
import { absent, doubt, get, registrationPath, server } from './server.js';
import { link, nothing, state } from './state.js';
import { count, life, since, time, words } from './words.js';

const HISTORY_MAX = 20; // changes
const TARGETS_SHOWN = 10; // before somebody asks for all

let showing = null; // {row, history, codes, form}

export async function fetchRegistration(id) {
  const row = await get(registrationPath(id));
  learnRenewals(row);
  return row;
}
const fetchHistory = async id => (await get('changes', { id, limit: HISTORY_MAX })).changes;

/** The registration as one would register it again; the default lifetime stays the default. */
export function contentOf({ targets, labels, target_group, modules, ttl_seconds }) {
  const isDefault = ttl_seconds === server.status?.default_ttl_seconds;
  return {
    targets,
    labels,
    target_group,
    ...(modules.length && { modules }),
    ...(!isDefault && { ttl_seconds }),
  };
}

export async function showRegistration(id) {
  if (showing?.row.id !== id) showing = rowOf(id) ? { row: rowOf(id), form: showing?.form } : null;
  if (showing) drawRegistration();
  const isWanted = () => state.id === id && (isOpen('registration') || !isOpen());
  try {
    const row = await fetchRegistration(id);
    if (!isWanted()) return;
    const isShown = isOpen('registration') && showing && shape(showing.row) === shape(row);
    showing = { ...showing, row };
    // A pressed element must stay in the document until it is released.
    if (isShown) {
      showing.codes.update(formsOf(row));
      paintRegistration();
    } else {
      drawRegistration();
    }
    const history = await fetchHistory(id);
    if (showing?.row.id !== id) return;
    showing.history = history;
    if (isOpen('registration')) drawHistory();
  } catch (error) {
    if (!isWanted()) return;
    if (error.status === 404) await showAbsent(id, isWanted);
    else trouble(error);
  }
}

async function showAbsent(id, isWanted) {
  const history = await fetchHistory(id).catch(() => []);
  if (!isWanted()) return;
  showing = null;
  openPanel(
    'registration',
    'Not registered',
    {},
    h('p.lead', 'There is no registration ', h('code', foreign(id)), ' now.'),
    h('section', h('h3', 'What became of it'), changeHistory(history)),
  );
}

/** Its entries in a list: one for each module. */
function entries({ id, targets, labels, target_group, modules }) {
  const entry = module => ({
    targets,
    labels: {
      ...labels,
      __meta_inventor_group: target_group,
      __meta_inventor_id: id,
      ...(module && { __meta_inventor_sd_module: module }),
    },
  });
  return modules.length ? modules.map(entry) : [entry()];
}

function titled(title, n, text, ...body) {
  const copy = n > 0 && copyButton(text, `Copy ${title.toLowerCase()}`);
  return h('section', h('h3', title, h('span.n', count(n)), copy), body);
}

function labelLine([name, value]) {
  const only = (sign, op, what) =>
    h('button.icon-only', { title: what, 'aria-label': what, onclick: () => filterBy(name, op, value) }, sign);
  const acts = [
    only('=', '=', `Only where ${name} = ${value}`),
    only('≠', '!=', `Only where ${name} ≠ ${value}`),
    copyButton(value, `Copy the value of ${name}`),
  ];
  const text = h('span', value ? foreign(value) : h('i', 'empty'));
  return h(`li${isMeta(name) ? '.meta' : ''}`, h('span.k', foreign(name)), text, h('span.do', acts));
}

function facts(row) {
  const list = {
    Group: link({ ...nothing, groups: [row.target_group] }, foreign(row.target_group)),
    Modules: row.modules.length ? foreign(row.modules.join(', ')) : 'none',
    Lifetime: row.ttl_seconds ? `${words(row.ttl_seconds)} from each renewal` : 'for ever',
    Id: h('span.mono', row.id, copyButton(row.id, 'Copy id')),
  };
  return h(
    'dl.facts-list',
    Object.entries(list).map(([name, value]) => [h('dt', name), h('dd', value)]),
  );
}

/** The registration in the forms in which one copies it. */
const formsOf = row => [
  ['JSON', json(row, 2)],
  ['curl', curlPut(contentOf(row))],
  ['What Prometheus gets from /sd', json(entries(row), 2)],
];

function drawRegistration() {
  const { row } = showing;
  const labels = sortedLabels(row.labels);
  showing.codes = codes(formsOf(row), showing.form);
  showing.codes.chosen = at => {
    showing.form = at;
  };
  const actions = [
    iconButton('select', 'Select (x)', () => emit('select', showing.row)),
    h('button', { onclick: () => emit('edit', showing.row), ...changes(row.target_group, 'Edit (e)') }, 'Edit'),
    h(
      'button.danger',
      { onclick: () => emit('delete', showing.row), ...changes(row.target_group, 'Delete (d)') },
      'Delete',
    ),
  ];
  const line = t => h('li', address(t));
  const rest = row.targets.slice(TARGETS_SHOWN);
  const all = () => more.replaceWith(...rest.map(line));
  const more = rest.length > 0 && h('li', h('button.link', all, `and ${count(rest.length)} more`));
  const targets = h('ul.mono', row.targets.slice(0, TARGETS_SHOWN).map(line), more);
  const steers = 'Names that begin with __ steer relabelling and are gone after it.';
  openPanel(
    'registration',
    [address(row.targets[0]), plus(row.targets.length - 1, 'more targets')],
    { actions },
    h('section.lifeline', h('p.big'), h('div.life', h('i')), h('p.ends'), h('p.verdict')),
    titled('Targets', row.targets.length, row.targets.join('\n'), targets),
    titled(
      'Labels',
      labels.length,
      json(row.labels, 2),
      h('ul.labels.mono', labels.map(labelLine)),
      labels.some(([name]) => isMeta(name)) && h('p.note', steers),
    ),
    facts(row),
    whoPolls(row),
    showing.codes,
    h('section', h('h3', 'History'), h('div.history')),
  );
  paintRegistration();
  drawHistory();
}

/** Which pollers get it, so that one knows why it is scraped, or is not. */
function whoPolls(row) {
  const pollers = pollersOf(row);
  if (!pollers) return null;
  const line = p =>
    h('li', h('b', p.client), ' ', h('span.mono', foreign(p.address)), p.late && h('span.low', ' ◇ late'));
  const none = h('p.none', server.pollers.length ? 'Nobody who polled within the hour asks for it.' : 'Nobody polls.');
  const list = pollers.length ? h('ul', pollers.map(line)) : none;
  return h('section', h('h3', 'Polled by', h('span.n', count(pollers.length))), list);
}

const drawHistory = () => fill($('.history'), changeHistory(showing.history));

/** The next renewal, by those observed. */
function verdict(row, text) {
  const goes = () => ['expires at ', time(row.expires_at), '.'];
  const every = renewalInterval(row);
  if (text === 'never') return 'It stays until somebody deletes it.';
  if (text === 'expired') return 'It was not renewed in time, so Prometheus no longer gets it.';
  if (text === 'unknown') return 'Its time is over by what the server said last. Whether it was renewed is not known.';
  if (text === 'kept') return 'Nobody can renew it while the store is unavailable, so it is kept.';
  if (!every) return ['No rhythm of renewals is known yet. Without one more it ', goes()];
  const left = untilRenewal(row);
  if (left > -every / 2) return `Renewed every ${words(every)}; next ${nextRenewal(row)}.`;
  return [`Usually renewed every ${words(every)}, now ${words(-left)} late. Unless renewed, it `, goes()];
}

/** Each second: how long it has to live. */
export function paintRegistration() {
  const place = $('.lifeline');
  if (!place || !showing) return;
  const { row } = showing;
  const { share, text, mood, more } = life(row, doubt());
  const [big, bar, ends, words] = place.children;
  const isTicking = /\d/.test(text);
  place.className = `lifeline ${mood}`;
  fill(
    big,
    h('b', isTicking ? text : text[0].toUpperCase() + text.slice(1)),
    isTicking && [' left', h('span.mood', more)],
  );
  bar.firstChild.style.setProperty('--share', share.toFixed(4));
  fill(ends, h('span', 'renewed ', since(row.updated_at)), row.expires_at && time(row.expires_at));
  fill(words, verdict(row, text));
}

const shape = ({ labels, target_group, modules, ttl_seconds }) =>
  JSON.stringify([labels, target_group, modules, ttl_seconds]);
const GONE = { expires_at: '1970-01-01T00:00:00Z' };

/** Looks again, and redraws only changed parts. */
export async function refreshRegistration() {
  if (!isOpen('registration') || !showing) return;
  const { id } = showing.row;
  const row = await fetchRegistration(id).catch(absent());
  if (showing?.row.id !== id) return;
  const isSame = !row || shape(row) === shape(showing.row);
  showing.row = row ?? { ...showing.row, ...GONE };
  if (isSame) paintRegistration();
  else drawRegistration();
}

export function leaveRegistration() {
  if (!isOpen('registration')) return;
  showing = null;
  closePanel();
}
