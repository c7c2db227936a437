// The configuration to paste for a poller, with exactly the filter of the list.
import { codes, curlGet } from './codes.js';
import { $, fill, foreign, h } from './dom.js';
import { on } from './events.js';
import { list } from './list.js';
import { enterPanel, isOpen, openPanel } from './panel.js';
import { configurations } from './polling.js';
import { selector, written } from './selector.js';
import { get, origin, server } from './server.js';
import { filter, readable, state } from './state.js';
import { plural } from './words.js';

const SHARDS_MAX = 1024;
const chosen = { form: 0, shards: 1, shard: 0 };

function listUrl() {
  const p = new URLSearchParams(state.groups.map(g => ['group', g]));
  if (state.selector.length) p.set('selector', selector(state.selector));
  if (chosen.shards > 1) {
    p.set('shard', chosen.shard);
    p.set('shards', chosen.shards);
  }
  return `${origin}/sd${p.size ? `?${readable(p)}` : ''}`;
}

const hasModules = () => $('.row:not(.head) .c-modules:not(:empty)') !== null;

function texts() {
  const url = listUrl();
  const needsToken = server.status?.tokens.read;
  const job = state.groups.length === 1 ? state.groups[0] : 'inventor';
  return [...configurations({ url, job, needsToken, hasModules: hasModules() }), ['curl', curlGet(url, needsToken)]];
}

/** How many share the work, and which of them this one is. */
function shardFields(changed) {
  const shard = h('select', { id: 'u-shard' });
  const which = h('span.line', h('label', { for: 'u-shard' }, 'this is number'), shard);
  const shards = h('input', { type: 'number', id: 'u-shards', min: 1, max: SHARDS_MAX, value: chosen.shards });
  const draw = () => {
    fill(
      shard,
      Array.from({ length: chosen.shards }, (_, i) => h('option', { selected: i === chosen.shard }, String(i))),
    );
    which.hidden = chosen.shards === 1;
    changed();
  };
  shard.onchange = () => {
    chosen.shard = Number(shard.value);
    changed();
  };
  shards.onchange = () => {
    chosen.shards = Math.max(1, Math.min(SHARDS_MAX, Math.floor(shards.value) || 1));
    chosen.shard = Math.min(chosen.shard, chosen.shards - 1);
    shards.value = chosen.shards;
    draw();
  };
  draw();
  return h('div.line', h('label', { for: 'u-shards' }, 'Servers sharing the work'), shards, which);
}

/** How many registrations the configuration selects, which may differ from the list. */
async function tellMatched(el) {
  const { group, selector } = filter();
  el.textContent = plural((await get('registrations', { group, selector, limit: 1 })).total, 'registration');
}

const signature = () => JSON.stringify([filter(), list.total, hasModules(), server.status?.tokens]);
let drawnUse;

export function use() {
  drawnUse = signature();
  const forms = codes(texts(), chosen.form);
  forms.chosen = at => {
    chosen.form = at;
  };
  const matched = h('b');
  const conditions = [...state.groups.map(g => `group ${g}`), ...state.selector.map(written)];
  const lead = conditions.length
    ? ['Poll this for exactly these ', matched, ', now and as they come and go:']
    : ['Poll this for all ', matched, '. Filter the list first to poll a part of it.'];
  const { q } = filter();
  const left = q ? ['The search “', foreign(q), '”'] : state.within && 'The time left';
  const wasOpen = isOpen('use');
  openPanel(
    'use',
    'Use it',
    { closed() {} },
    h('p.lead', lead),
    conditions.length > 0 &&
      h(
        'ul.tokens',
        conditions.map(text => h('li.token', h('span', foreign(text)))),
      ),
    left && h('p.warn', left, ' is not part of it: a configuration selects by group and label.'),
    shardFields(() => forms.update(texts())),
    forms,
    server.status?.tokens.read && h('p.note', 'The file holds the read token, and nothing else.'),
  );
  tellMatched(matched).catch(() => {});
  if (!wasOpen) enterPanel();
}

export function startConfiguration() {
  on('use', use);
  const renew = () => isOpen('use') && drawnUse !== signature() && use();
  // The status may come after the list, and after somebody has asked for this.
  for (const news of ['listed', 'tick']) on(news, renew);
}
