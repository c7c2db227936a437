// What narrows a view: words, and one kind of several. Both stand in the address.
import { $, fill, h, heading, keep } from './dom.js';
import { go, state } from './state.js';
import { count, setText } from './words.js';

/** What stands above all that a view lists; its list is drawn below, and the rest is `drawFilter`'s. */
export function frame(view, name, label, ...list) {
  const oninput = e => go({ find: e.target.value }, { replace: true });
  const find = h('input', { type: 'search', id: 'find', placeholder: label, 'aria-label': label, oninput });
  fill(view, heading(name, ''), h('p.lead'), h('div.bar', h('div.segments'), find), list);
}

const isOn = kind => state.kind === kind;

function turn(el, kind, n) {
  el.ariaPressed = String(isOn(kind));
  el.disabled = !isOn(kind) && kind !== '' && !n;
  setText(el.lastChild, count(n));
}

/** Tells how many there are of each kind, {name: n}, and what was typed; `lead` says what they are. */
export function drawFilter(view, lead, kinds) {
  const find = $('#find', view);
  if (find !== document.activeElement) find.value = state.find;
  setText($('.lead', view), lead);
  $('.bar', view).hidden = !kinds[''];
  const item = ([kind, n]) => ({
    key: kind,
    shape: `${isOn(kind)} ${n}`,
    draw() {
      const el = h('button', () => go({ kind }), kind || 'all', ' ', h('span.n'));
      turn(el, kind, n);
      return el;
    },
    update: el => turn(el, kind, n),
  });
  keep($('.segments', view), Object.entries(kinds).map(item));
}

/** Whether one of this kind is wanted, in whose values all words occur. */
export function isWanted(kind, ...values) {
  const text = JSON.stringify(values).toLowerCase();
  const words = state.find.toLowerCase().split(/\s+/);
  return ['', kind].includes(state.kind) && words.every(word => text.includes(word));
}
