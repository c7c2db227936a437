// All by keyboard: single keys where nobody types, and the list of them.
import { use } from './configuration.js';
import { remove } from './deletion.js';
import { $, copy, h, iconButton } from './dom.js';
import { emit, trouble } from './events.js';
import { showFacets } from './facets.js';
import { register } from './form.js';
import { showGroups } from './groups.js';
import { currentRow, list, reload, step } from './list.js';
import { undo } from './notices.js';
import { closePanel, enterPanel, isOpen } from './panel.js';
import { server } from './server.js';
import { chooseNone, copyChosen, removeChosen, toggleChosen } from './several.js';
import { go, state } from './state.js';
import { kept, nextTheme, zoneBox } from './theme.js';
import { isGated, modal } from './tokens.js';
import { showView, viewNames } from './views.js';
import { until, words } from './words.js';

const NARROW = 900; // below, the groups are over the list

const LEFT = {
  '/': 'search',
  f: 'filter groups',
  'j k': 'down, up',
  Enter: 'open',
  x: 'select',
  Esc: 'close, step back',
  r: 'update the list',
  '1 … 4': 'views',
};
const RIGHT = {
  n: 'register',
  e: 'edit',
  d: 'delete',
  z: 'undo',
  c: 'copy targets',
  l: 'labels and counts',
  u: 'use it',
  i: 'import a group',
  t: 'theme',
};
const MORE =
  'Alt or Shift and click a label to exclude it, Shift and click a row to select all up to it, Ctrl+click for several groups. In the search, type env=prod, env in (prod,stg) or !canary and press Enter to filter by label.';

function keyList(keys) {
  const boxes = names => names.split(' ').map(name => h('kbd', name));
  return h(
    'dl',
    Object.entries(keys).map(([names, what]) => [h('dt', boxes(names)), h('dd', what)]),
  );
}

function help() {
  const s = server.status;
  const switched = e => kept('keys', e.target.checked ? 'on' : 'off');
  const close = iconButton('close', 'Close', () => $('#dialog').close());
  modal(
    'Keyboard',
    h(
      'div.form',
      h('header.line', h('h2.grow', 'Keyboard'), close),
      h('div.keys', keyList(LEFT), keyList(RIGHT)),
      h('p.note', MORE),
      h(
        'label.check',
        h('input', { type: 'checkbox', checked: kept('keys') !== 'off', onchange: switched }),
        h('span', 'Single-key shortcuts'),
      ),
      zoneBox(),
      s &&
        h(
          'p.note',
          `inventor ${s.version} (${s.revision}), up ${words(-until(s.started_at))}. `,
          h('a', { href: 'openapi.json' }, 'API'),
          ' · ',
          h('a', { href: 'metrics' }, 'metrics'),
        ),
    ),
  );
}

const openView = at => () => go({ view: ['', ...viewNames()][at], id: '', kind: '', find: '' });

function toSearch() {
  if (state.view) openView(0)();
  $('#q').select();
}

function toGroups() {
  if (state.view) openView(0)();
  if (innerWidth < NARROW) showGroups(true);
  $('#group-filter').focus();
}

/** Steps through the list, and with it through what is open beside it. */
async function walk(by) {
  try {
    const id = await step(by);
    if (id && isOpen('registration')) go({ id }, { replace: true });
  } catch (error) {
    trouble(error);
  }
}

/** The action of a key here and now; undefined if there is none. */
function actOf(pressed, el) {
  const isList = !state.view;
  const row = isList && currentRow();
  const isFree = row && !isOpen('form');
  const onRow = {
    Enter:
      !el.closest('a, button, summary, .group, pre') &&
      (() => {
        go({ id: row.id });
        enterPanel();
      }),
    e: isFree && (() => register(row)),
    d: isFree && (() => remove(row)),
    x: () => toggleChosen(row),
    c: () => copy(row.targets.join('\n')),
  };
  const onChosen = { d: removeChosen, c: copyChosen };
  const always = {
    '/': toSearch,
    f: toGroups,
    j: isList && (() => walk(1)),
    k: isList && (() => walk(-1)),
    z: undo,
    n: () => register(),
    u: use,
    l: isList && showFacets,
    t: nextTheme,
    '?': help,
    r: () => (isList ? reload() : showView(state.view)).catch(trouble),
    i: () => emit('declare'),
  };
  if (/^[1-9]$/.test(pressed) && pressed <= viewNames().length + 1) return openView(pressed - 1);
  return always[pressed] ?? ((isList && list.chosen.size > 0 && onChosen[pressed]) || (row && onRow[pressed]));
}

function pressed(e) {
  if ($('#dialog').open) return;
  const el = e.target;
  const isTyping = el.matches('input:not([type=checkbox]), textarea, select, .offer');
  if (e.key === 'Escape') {
    if (showGroups(false) || closePanel() || chooseNone()) e.preventDefault();
    else if (isTyping) el.blur();
    return;
  }
  if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || isTyping || isGated()) return;
  if (kept('keys') === 'off' && e.key !== '?') return;
  const act = actOf(e.key, el);
  if (!act) return;
  e.preventDefault();
  act();
}

/** In the list itself: arrows, Home, End. */
function pressedInList(e) {
  if (!e.target.matches('.row[data-id]')) return;
  const by = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[e.key];
  if (!by) return;
  e.preventDefault();
  walk(by);
}

export function startKeys() {
  document.addEventListener('keydown', pressed);
  $('#grid').addEventListener('keydown', pressedInList);
  $('#help').onclick = help;
}
