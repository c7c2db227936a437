// One row of the list: how it is drawn, how its time runs, how many of its labels fit.
import { $, $$, address, fill, foreign, h, iconButton } from './dom.js';
import { includes, withRequirement } from './selector.js';
import { doubt, refusal } from './server.js';
import { go, href, state } from './state.js';
import { ago, at, exactly, life, setText, zone } from './words.js';

const VALUE_CHARS_MAX = 200; // of a label in a chip
const TITLE_CHARS_MAX = 500;

/** Labels with this prefix control relabelling and are removed by it. */
export const isMeta = name => name.startsWith('__');
export const sortedLabels = labels => Object.entries(labels).sort(([a], [b]) => isMeta(a) - isMeta(b));
export const filterBy = (name, op, value) => go({ selector: withRequirement(state.selector, name, op, value) });
export const plus = (n, what = 'more') => n > 0 && h('span.plus', ` +${n}`, h('span.vh', ` ${what}`));

const wantedWords = () => state.q.toLowerCase().split(/\s+/).filter(Boolean);
const isFound = text => wantedWords().some(word => text.toLowerCase().includes(word));

/** A text with what was searched for marked in it. */
function found(text) {
  const lower = text.toLowerCase();
  const words = wantedWords();
  // In some scripts the lower case is longer, and its places are others.
  if (!words.length || lower.length !== text.length) return foreign(text);
  const parts = [];
  for (let from = 0; from < text.length; ) {
    const next = words.map(word => [lower.indexOf(word, from), word.length]).filter(([place]) => place >= 0);
    const [start, length] = next.sort(([a, n], [b, m]) => a - b || m - n)[0] ?? [text.length, 0];
    if (start > from) parts.push(foreign(text.slice(from, start)));
    if (length) parts.push(h('mark', foreign(text.slice(start, start + length))));
    from = start + length;
  }
  return parts;
}

const isAsked = name => state.selector.some(r => r.key === name);
/** Labels that the list is filtered or searched by come first: they are why the row is there. */
const byRelevance = labels => {
  const rank = ([name, value]) => (isAsked(name) ? 0 : isFound(name) || isFound(value) ? 1 : 2);
  return labels
    .map(label => [rank(label), label])
    .sort(([a], [b]) => a - b)
    .map(([, label]) => label);
};

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
      title: `${name}=${value.slice(0, TITLE_CHARS_MAX)}\nAlt or Shift and click: exclude`,
    },
    h('span', found(name), '='),
    found(value.slice(0, VALUE_CHARS_MAX)),
  );
}

// The room for labels and the width of a character are measured when the list changes its width; how many labels fit
// is then reckoned, so that no row makes the browser lay it out before it is seen.
const CHIP_PX = 16; // around its text, with the gap
const PLUS_PX = 40; // of "+12"
const WIDE = /[\u1100-\u115f\u2e80-\uffdc\u{1f300}-\u{1faff}]/gu; // two columns in the fixed-width font
const room = { width: 0, char: 7 };

/** Measures; says whether there is another room than before. */
export function measureLabels() {
  const probe = h('span.chip.vh', 'x'.repeat(100));
  const cell = $('#grid .head .c-labels');
  if (!cell) return false;
  cell.append(probe);
  const char = (probe.scrollWidth - 12) / 100;
  const width = cell.clientWidth;
  probe.remove();
  const isSame = room.width === width && room.char === char;
  Object.assign(room, { width, char });
  return !isSame;
}

function fitting(labels) {
  let left = room.width;
  for (const [at, [name, value]] of labels.entries()) {
    const text = `${name}=${value.slice(0, VALUE_CHARS_MAX)}`;
    left -= (text.length + (text.match(WIDE)?.length ?? 0)) * room.char + CHIP_PX;
    if (at > 0 && left < (at < labels.length - 1 ? PLUS_PX : 0)) return at;
  }
  return labels.length;
}

function drawLabels(cell, row) {
  const labels = byRelevance(sortedLabels(row.labels));
  const n = fitting(labels);
  const rest = labels.slice(n).map(([name, value]) => `${name}=${value}`);
  const more =
    rest.length > 0 && h('span.plus', { title: listed(rest) }, `+${rest.length}`, h('span.vh', ' more labels'));
  fill(cell, labels.slice(0, n).map(chip), more);
  return n;
}

/** Draws the labels of a row anew if others fit than before. */
export function refit(held) {
  const cell = $('.c-labels', held.el);
  const shown = cell.querySelectorAll('.chip').length;
  if (fitting(byRelevance(sortedLabels(held.row.labels))) !== shown) drawLabels(cell, held.row);
}

const cell = (name, ...kids) => h(`div.c-${name}`, { role: 'gridcell' }, kids);
const listed = texts => texts.join('\n').slice(0, TITLE_CHARS_MAX);

export function drawRow(row) {
  // The target that was found, if it is not the first.
  const first = row.targets.find(isFound) ?? row.targets[0];
  const link = h('a', { href: href({ id: row.id }), tabindex: -1, draggable: 'false' }, address(first, found));
  const targets = cell('targets', link, plus(row.targets.length - 1, 'more targets'));
  const modules = cell('modules', found(row.modules.join(', ').slice(0, VALUE_CHARS_MAX)));
  const group = { 'data-act': 'group', tabindex: -1, title: row.target_group };
  targets.title = listed(row.targets);
  modules.title = listed(row.modules);
  const labels = cell('labels');
  drawLabels(labels, row);
  return h(
    'div.row',
    { role: 'row', tabindex: -1, 'data-id': row.id },
    targets,
    labels,
    cell('group', h('button.link', group, found(row.target_group))),
    modules,
    cell('acts'),
    cell('renewed'),
    cell('left', h('span.life', h('i')), h('span'), h('span.vh')),
  );
}

/** The time left, each second. Only changed text is touched. */
export function paintRow(held) {
  const { share, text, mood, more } = life(held.row, doubt());
  const left = held.el.lastChild;
  const [bar, words, aside] = left.children;
  const { updated_at, expires_at } = held.row;
  const painted = updated_at + mood + more + zone;
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
  setText(left.previousSibling, updated_at ? ago(updated_at) : '');
  const width = share.toFixed(3);
  if (held.width !== width) bar.firstChild.style.setProperty('--share', width);
  held.width = width;
}

/** For a button that changes a group: where the token may not, it says so. It can be pressed, to enter another token. */
export function changes(group, name) {
  const why = refusal(group);
  const title = why ? `${name}. ${why}` : name;
  return { title, 'data-refused': Boolean(why), 'data-changes': group, 'data-name': name };
}

/** Tokens come and go. */
export function drawRights(root = document) {
  for (const el of $$('[data-changes]', root)) {
    const now = changes(el.dataset.changes, el.dataset.name);
    el.title = now.title;
    el.toggleAttribute('data-refused', now['data-refused']);
  }
}

const ACTS = { select: 'Select (x)', copy: 'Copy targets (c)', edit: 'Edit (e)', delete: 'Delete (d)' };
// One set of buttons, in the row that is pointed at or current: one for each row would be a third of all elements.
const buttons = Object.entries(ACTS).map(([act, label]) => iconButton(act, label, null, { 'data-act': act }));
export const isButton = el => buttons.includes(el);

/** Moves them only if necessary: a pressed element must stay in the document until it is released. */
export function bringButtons(el) {
  const place = $('.c-acts', el);
  const isUsed = buttons.some(button => button.parentElement === place || button.matches(':focus-visible'));
  if (isUsed) return;
  place.append(...buttons);
  const { title } = $('.c-group button', el);
  for (const button of buttons.slice(2)) Object.assign(button.dataset, { changes: title, name: button.ariaLabel });
  drawRights(place);
}
