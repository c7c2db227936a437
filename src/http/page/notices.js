// Notices at the bottom left; they wait while somebody looks at them. The last one with a way back can be undone.

import { $, h, iconButton } from './dom.js';
import { on } from './events.js';

const NOTICES_MAX = 3;
const STEP_MS = 250;
const SECONDS = 8;
const SECONDS_IMPORTANT = 20;

const notices = $('#toasts');
let last = null;

export const undo = () => last?.();

export const startNotices = () => on('toast', showNotice);

function showNotice({ text, more, warn, bad, undo: back, seconds = bad || back ? SECONDS_IMPORTANT : SECONDS }) {
  const bar = h('i');
  let left = seconds;
  const run = () => {
    done();
    back();
  };
  const toast = h(
    'div.toast',
    { role: bad ? 'alert' : 'status' },
    h('div.grow', h('p', bad && h('b.end', '◆ '), text), warn && h('p.warn', warn), more && h('p.note', more)),
    back && h('button', { title: 'Undo (z)', onclick: run }, 'Undo'),
    iconButton('close', 'Close', () => done()),
    h('span.life', bar),
  );
  const ticking = setInterval(() => {
    if (!toast.matches(':hover, :focus-within')) left -= STEP_MS / 1000;
    bar.style.setProperty('--share', left / seconds);
    if (left <= 0) done();
  }, STEP_MS);
  function done() {
    clearInterval(ticking);
    toast.remove();
    if (last === run) last = null;
  }
  if (back) last = run;
  notices.append(toast);
  if (notices.children.length > NOTICES_MAX) notices.firstChild.remove();
}
