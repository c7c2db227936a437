// Notices at the bottom left, below the groups; they wait while somebody looks at them. What can be undone stays for as long as was
// promised, whatever else happens: many of a kind fold into one notice, and go back one by one, the last one first.
import { $, fill, h, iconButton } from './dom.js';
import { on } from './events.js';
import { handOver } from './server.js';
import { takeBack } from './several.js';
import { plural } from './words.js';

const NOTICES_MAX = 3; // of those without a way back
const STEP_MS = 250;
const SECONDS = 8;
const SECONDS_IMPORTANT = 20;
const UNDO_SECONDS = 30;

const noticePlace = $('#toasts');
const notices = []; // those shown, the oldest first

class Notice {
  constructor({ bad, verb, noun = 'registration' }) {
    Object.assign(this, { verb, noun });
    this.ways = []; // back, the latest last: {text, warn, more, back}
    this.text = h('div.grow');
    this.bar = h('i');
    this.acts = h('span.line');
    const close = iconButton('close', 'Close', () => this.end());
    const role = bad ? 'alert' : 'status';
    this.el = h('div.toast', { role }, this.text, close, this.acts, h('span.life', this.bar));
    this.ticking = setInterval(() => this.tick(), STEP_MS);
    notices.push(this);
    noticePlace.append(this.el);
  }

  say({ text, warn, more, bad }, seconds) {
    fill(this.text, h('p', bad && h('b.end', '◆ '), text), warn && h('p.warn', warn), more && h('p.note', more));
    Object.assign(this, { seconds, left: seconds });
  }

  /** Adds something that can be undone, for as long as the last one. */
  add(way) {
    this.ways.push(way);
    this.draw();
  }

  draw() {
    const n = this.ways.length;
    const last = this.ways.at(-1);
    const before = n > 1 && `${this.verb} ${plural(n - 1, this.noun)} before it.`;
    this.say({ ...last, more: [last.more, last.more && before && ' ', before] }, UNDO_SECONDS);
    const button = (label, title, act) => h('button', { title, onclick: act }, label);
    fill(
      this.acts,
      n > 1 && button(`Undo all ${n}`, 'All of these, the last one first', () => this.undoAll()),
      button('Undo', 'Undo (z)', () => this.undo()),
    );
  }

  /** Undoes one; if that fails, it stays. */
  async undo() {
    const way = this.ways.pop();
    if (this.ways.length) this.draw();
    else this.hide();
    if (await takeBack(way.back)) return true;
    if (!notices.includes(this)) notices.push(this);
    this.ticking ??= setInterval(() => this.tick(), STEP_MS);
    noticePlace.append(this.el);
    this.add(way);
    return false;
  }

  async undoAll() {
    while (this.ways.length && (await this.undo()));
  }

  tick() {
    if (!this.el.matches(':hover, :focus-within')) this.left -= STEP_MS / 1000;
    this.bar.style.setProperty('--share', this.left / this.seconds);
    if (this.left <= 0) this.end();
  }

  end() {
    this.ways = [];
    this.hide();
  }

  hide() {
    clearInterval(this.ticking);
    this.ticking = null;
    this.el.remove();
    const at = notices.indexOf(this);
    if (at >= 0) notices.splice(at, 1);
  }
}

/** Undoes the last thing that can be undone. */
export const undo = () => notices.findLast(notice => notice.ways.length)?.undo();

function showNotice(notice) {
  const { back, verb, noun = 'registration', bad } = notice;
  if (back) {
    const same = notices.find(shown => shown.ways.length && shown.verb === verb && shown.noun === noun);
    const one = same ?? new Notice(notice);
    one.add(notice);
    return one;
  }
  new Notice(notice).say(notice, bad ? SECONDS_IMPORTANT : SECONDS);
  const fleeting = notices.filter(shown => !shown.ways.length);
  if (fleeting.length > NOTICES_MAX) fleeting[0].end();
}

const asText = text =>
  [text]
    .flat(Infinity)
    .filter(Boolean)
    .map(part => part.textContent ?? part)
    .join('');

/** Everything that can still be undone, for this page after a reload. */
function waysLeft() {
  const undoable = notices.filter(({ ways }) => ways.length);
  const kept = ({ verb, noun, left, ways }) => ({
    left,
    ways: ways.map(({ text, warn, more, back }) => ({ text: asText(text), warn, more, back, verb, noun })),
  });
  return { at: Date.now(), notices: undoable.map(kept) };
}

export function startNotices() {
  on('toast', showNotice);
  const before = handOver('undo', waysLeft);
  for (const { left, ways } of before?.notices ?? []) {
    const now = left - (Date.now() - before.at) / 1000;
    if (now > 0) for (const way of ways) showNotice(way).left = now;
  }
  // Content below them can be scrolled clear of them.
  const measure = () => document.documentElement.style.setProperty('--toasts', `${noticePlace.offsetHeight}px`);
  new ResizeObserver(measure).observe(noticePlace);
}
