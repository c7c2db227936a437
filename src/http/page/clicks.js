// The pointer in the list. Selecting text to copy it is not a click.
import { $, copy, listen, wantsMore } from './dom.js';
import { emit } from './events.js';
import { list, mark, rowOf, rowsTo } from './list.js';
import { bringButtons, filterBy } from './row.js';
import { chooseSome } from './several.js';
import { go, href } from './state.js';

const rowUnder = e => e.target.closest('.row[data-id]');

function click(e) {
  const el = rowUnder(e);
  const row = el && rowOf(el.dataset.id);
  const button = e.target.closest('[data-act]');
  if (!row || (!button && !getSelection().isCollapsed)) return;
  const { act, name, value } = button?.dataset ?? {};
  if (act === 'chip') return filterBy(name, e.altKey || e.shiftKey ? '!=' : '=', value);
  if (!act && e.shiftKey && !e.target.closest('a')) {
    chooseSome(rowsTo(row.id));
    return mark(row.id);
  }
  // A row is a link: with Ctrl, or the middle button, it opens in a tab of its own.
  if (!act && wantsMore(e)) return e.target.closest('a') || open(href({ id: row.id }), '_blank', 'noopener');
  e.preventDefault();
  if (act === 'group') return go({ groups: [row.target_group] });
  // The buttons follow the pointer: one that a mouse has pressed does not keep the focus.
  mark(row.id, { focus: !button || e.detail > 0 });
  if (act === 'copy') copy(row.targets.join('\n'), button);
  else if (el.classList.contains('gone')) return;
  else if (act) emit(act, row);
  else go({ id: row.id });
}

function pointed(e) {
  const el = rowUnder(e);
  if (el) bringButtons(el);
}

function focused(e) {
  const { id } = e.target.dataset;
  if (id && id !== list.current) mark(id);
}

function middle(e) {
  const el = e.button === 1 && !e.target.closest('a') && rowUnder(e);
  if (el) open(href({ id: el.dataset.id }), '_blank', 'noopener');
}

/** With Shift, rows are chosen, not the text between them. */
function down(e) {
  if (e.shiftKey && rowUnder(e)) e.preventDefault();
}

export function startClicks() {
  listen($('#grid'), { click, auxclick: middle, mousedown: down, mouseover: pointed, focusin: focused });
}
