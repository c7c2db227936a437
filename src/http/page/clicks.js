// What the pointer does in the list. Selecting text to copy it is no click.
import { $, copy, listen, wantsMore } from './dom.js';
import { emit } from './events.js';
import { list, mark, rowOf } from './list.js';
import { bringButtons, filterBy } from './row.js';
import { go, href } from './state.js';

const rowAt = e => e.target.closest('.row[data-id]');

function click(e) {
  const el = rowAt(e);
  const row = el && rowOf(el.dataset.id);
  const button = e.target.closest('[data-act]');
  if (!row || (!button && !getSelection().isCollapsed)) return;
  const { act, name, value } = button?.dataset ?? {};
  if (act === 'chip') return filterBy(name, e.altKey || e.shiftKey ? '!=' : '=', value);
  // A row is a link: with Ctrl, or the middle button, it opens in a tab of its own.
  if (!act && wantsMore(e)) return e.target.closest('a') || open(href({ id: row.id }), '_blank', 'noopener');
  e.preventDefault();
  if (act === 'group') return go({ groups: [row.target_group] });
  mark(row.id, { focus: !button });
  if (act === 'copy') copy(row.targets.join('\n'), button);
  else if (el.classList.contains('gone')) return;
  else if (act) emit(act, row);
  else go({ id: row.id });
}

function pointed(e) {
  const el = rowAt(e);
  if (el) bringButtons(el);
}

function focused(e) {
  const { id } = e.target.dataset;
  if (id && id !== list.current) mark(id);
}

function middle(e) {
  const el = e.button === 1 && !e.target.closest('a') && rowAt(e);
  if (el) open(href({ id: el.dataset.id }), '_blank', 'noopener');
}

export function startClicks() {
  listen($('#grid'), { click, auxclick: middle, mouseover: pointed, focusin: focused });
}
