// One row of the list: how it is drawn, how its time runs, how many of its labels fit.
import { $, $$, address, foreign, h, iconButton } from './dom.js';
import { includes, withRequirement } from './selector.js';
import { storeLost } from './server.js';
import { go, state } from './state.js';
import { at, exactly, life, setText } from './words.js';

const VALUE_CHARS_MAX = 200; // of a label in a chip
const TITLE_CHARS_MAX = 500;

/** Names that begin so steer relabelling and are gone after it. */
export const isMeta = name => name.startsWith('__');
export const sortedLabels = labels => Object.entries(labels).sort(([a], [b]) => isMeta(a) - isMeta(b));
export const filterBy = (name, op, value) => go({ selector: withRequirement(state.selector, name, op, value) });
export const plus = (n, what = 'more') => n > 0 && h('span.plus', ` +${n}`, h('span.vh', ` ${what}`));

function chip([name, value]) {
  const isOn = includes(state.selector, name, value);
  return h(
    `button.chip${isMeta(name) ? '.meta' : ''}${isOn ? '.on' : ''}`,
    {
      tabindex: -1,
      'aria-pressed': isOn && 'true',
      'data-act': 'chip',
      'data-name': name,
      'data-value': value,
      title: `${name}=${value.slice(0, TITLE_CHARS_MAX)}\nAlt+click: exclude`,
    },
    h('span', foreign(name), '='),
    foreign(value.slice(0, VALUE_CHARS_MAX)),
  );
}

const cell = (name, ...kids) => h(`div.c-${name}`, { role: 'gridcell' }, kids);
const listed = texts => texts.join('\n').slice(0, TITLE_CHARS_MAX);

export function drawRow(row, index) {
  const targets = cell('targets', address(row.targets[0]), plus(row.targets.length - 1, 'more targets'));
  const modules = cell('modules', foreign(row.modules.join(', ').slice(0, VALUE_CHARS_MAX)));
  const group = { 'data-act': 'group', tabindex: -1, title: row.target_group };
  targets.title = listed(row.targets);
  modules.title = listed(row.modules);
  return h(
    'div.row',
    { role: 'row', tabindex: -1, 'aria-rowindex': index, 'data-id': row.id },
    targets,
    cell('labels', h('div.chips', sortedLabels(row.labels).map(chip)), h('span.plus')),
    cell('group', h('button.link', group, foreign(row.target_group))),
    modules,
    cell('acts'),
    cell('left', h('span.life', h('i')), h('span'), h('span.vh')),
  );
}

/** The time left, each second: only what differs is touched. */
export function paintRow(held) {
  const { share, text, mood, more } = life(held.row, storeLost());
  const left = held.el.lastChild;
  const [bar, words, aside] = left.children;
  const { updated_at, expires_at } = held.row;
  const painted = updated_at + mood + more;
  if (held.painted !== painted) {
    held.painted = painted;
    left.className = `c-left ${mood}`;
    aside.textContent = more && `, ${more}`;
    const renewed = updated_at ? `\nRenewed ${at(updated_at)}` : '';
    left.title = expires_at
      ? `Expires ${at(expires_at)} unless renewed${more && `: ${more}`}${renewed}\n${exactly(expires_at)}`
      : 'Stays until it is deleted';
  }
  setText(words, text);
  const width = share.toFixed(3);
  if (held.width !== width) bar.firstChild.style.setProperty('--share', width);
  held.width = width;
}

const ACTS = { copy: 'Copy targets (c)', edit: 'Edit (e)', delete: 'Delete (d)' };
// One set of buttons, in the row that is pointed at or current: one for each row would be a third of all elements.
const buttons = Object.entries(ACTS).map(([act, label]) => iconButton(act, label, null, { 'data-act': act }));

/** Moves them only where they are not yet: what is pressed must stay in the document until it is released. */
export function bringButtons(el) {
  const place = $('.c-acts', el);
  const isUsed = buttons.some(button => button.parentElement === place || button.matches(':focus-visible'));
  if (!isUsed) place.append(...buttons);
}

/** Writes how many chips did not fit: one reading of the layout for all, then one writing. */
export function countHiddenChips(rows) {
  const found = $$('.c-labels', rows).map(el => {
    const chips = [...el.firstChild.children];
    const last = chips.findLastIndex(c => c.offsetTop === chips[0].offsetTop);
    const end = chips[last] ? chips[last].offsetLeft + chips[last].offsetWidth : 0;
    return { plus: el.lastChild, hidden: chips.length - 1 - last, end };
  });
  for (const { plus: el, hidden, end } of found) {
    el.textContent = hidden ? `+${hidden}` : '';
    el.style.setProperty('--x', `${end}px`);
  }
}
