// The panel at the right: one place for a registration, the forms and the configuration.
import { $, fill, h, iconButton, say } from './dom.js';
import { go, state } from './state.js';

const panel = $('#panel');
let shownPanel;
let afterwards;
let leave;
let opener;

/**
 * Shows something. `closed` is done when it is closed, instead of looking at no registration any more; `left` as well
 * when something else takes its place.
 */
export function openPanel(what, title, { actions, closed, left } = {}, ...body) {
  if (left !== leave) leave?.();
  leave = left;
  const isSame = isOpen(what);
  const hadFocus = isSame && panel.contains(document.activeElement);
  // A button of a row goes to whichever row is pointed at: the row is where one comes back to.
  if (panel.hidden) opener = document.activeElement.closest('.row[data-id]') ?? document.activeElement;
  shownPanel = what;
  afterwards = closed;
  const close = iconButton('close', 'Close (Esc)', () => closePanel());
  fill(
    panel,
    h('header.panel-head', h('h2.grow', { tabindex: -1 }, title), h('span.line', actions, close)),
    h('div.panel-body', body),
  );
  if (!isSame) panel.scrollTop = 0;
  panel.hidden = false;
  if (hadFocus) enterPanel();
}

export const enterPanel = () => $('h2', panel)?.focus({ preventScroll: true });
export const isOpen = what => !panel.hidden && (!what || shownPanel === what);

/** Says whether there was something to close. `back`: the focus returns to where it came from. */
export function closePanel({ back = true } = {}) {
  if (panel.hidden) return false;
  const hadFocus = panel.contains(document.activeElement);
  panel.hidden = true;
  if (back && hadFocus && opener?.isConnected) opener.focus({ preventScroll: true });
  leave?.();
  leave = undefined;
  if (afterwards) afterwards();
  else if (state.id) go({ id: '' });
  return true;
}

/** A box with a fault, which screen readers announce. */
export function alertBox(...text) {
  const box = h('div.alert', { tabindex: -1 }, text);
  say(box.textContent);
  return box;
}
