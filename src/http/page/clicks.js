// What the pointer does in the list. Selecting text to copy it is no click.
import { $, copy, listen } from './dom.js';
import { emit } from './events.js';
import { list, mark, near, rowOf } from './list.js';
import { bringButtons, filterBy } from './row.js';
import { go } from './state.js';

const rowAt = e => e.target.closest('.row[data-id]');

function click(e) {
  const el = rowAt(e);
  const row = el && rowOf(el.dataset.id);
  const button = e.target.closest('[data-act]');
  if (!row || (!button && !getSelection().isCollapsed)) return;
  const { act, name, value } = button?.dataset ?? {};
  if (act === 'chip') return filterBy(name, e.altKey ? '!=' : '=', value);
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

export function startClicks() {
  listen($('#grid'), { click, mouseover: pointed, focusin: focused });
  let isAsked = false;
  const scrolled = () => {
    isAsked = false;
    near();
  };
  document.addEventListener('scroll', () => {
    if (!isAsked) requestAnimationFrame(scrolled);
    isAsked = true;
  });
}
