// Words for numbers, times and lifetimes. Times are the server's: its clock, not this machine's, says how long is left.
import { $$, h } from './dom.js';

export const count = n => n.toLocaleString();
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;

/** A text of the server, which begins in lower case, as a sentence. */
export const sentence = text => text.replace(/^[a-z]/, c => c.toUpperCase()).replace(/[^.!?]$/, '$&.');

const LEGACY_NAME = /^".*" does not match \[a-zA-Z_\]/s;
const PLAIN_NAME =
  'Letters, digits and _ only, not a digit first. LABEL_NAMES=utf8 on the server allows others, for Prometheus 3.';
/** A fault that the server finds, for people. */
export const plainly = detail => (LEGACY_NAME.test(detail) ? PLAIN_NAME : sentence(detail));

/** For clocks that tick: 5h 12m, 12m 03s, 41s. */
export function short(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const whole = unit => Math.floor(s / unit);
  const rest = (unit, of) => String(Math.floor((s % of) / unit)).padStart(2, '0');
  if (s >= DAY) return `${whole(DAY)}d ${rest(HOUR, DAY)}h`;
  if (s >= HOUR) return `${whole(HOUR)}h ${rest(MINUTE, HOUR)}m`;
  return s >= MINUTE ? `${whole(MINUTE)}m ${rest(1, MINUTE)}s` : `${s}s`;
}

/** For sentences: 6 h, 50 min, 2 days. */
export function words(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 1.5 * MINUTE) return `${s} s`;
  if (s < 1.5 * HOUR) return `${Math.round(s / MINUTE)} min`;
  return s < 1.5 * DAY ? `${Math.round((10 * s) / HOUR) / 10} h` : `${Math.round(s / DAY)} days`;
}

const SKEW_MS_MIN = 2000; // the header of an answer has whole seconds, and was some time on the way
let skew = 0; // milliseconds that the server's clock is ahead

/** Learns from an answer how far the clock of the server is from this one. */
export function setServerTime(date) {
  const ahead = Date.parse(date) - Date.now();
  if (!Number.isNaN(ahead)) skew = Math.abs(ahead) > SKEW_MS_MIN ? ahead : 0;
}

/** Seconds from now to an instant. */
export const until = t => (Date.parse(t) - Date.now() - skew) / 1000;

/** The zone that times are told in: `UTC`, or that of this machine. */
export let zone;

const format = options => {
  const shapes = {};
  return t => {
    shapes[zone] ??= new Intl.DateTimeFormat(undefined, { hourCycle: 'h23', timeZone: zone, ...options });
    return shapes[zone].format(new Date(t));
  };
};
export const clock = format({ timeStyle: 'medium' });
export const day = format({ weekday: 'long', day: 'numeric', month: 'long' });
const moment = format({ day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });
const exact = format({ dateStyle: 'full', timeStyle: 'long' });

/** The time of day; with the date, if it is another day. */
export const at = t => `${(day(t) === day(Date.now()) ? clock : moment)(t)}${zone ? ' UTC' : ''}`;
export const exactly = t => `${exact(t)}\n${t}`;

/** A time in this form, which it keeps when the zone is another. */
export function time(t, form = at, more = {}) {
  const el = h('time', { datetime: t, title: exactly(t), ...more }, form(t));
  el.form = form;
  return el;
}

/** Tells all times in UTC, or no longer. */
export function setZone(isUtc) {
  zone = isUtc ? 'UTC' : undefined;
  for (const el of $$('time')) {
    setText(el, el.form(el.dateTime));
    el.title = exactly(el.dateTime);
  }
}

export const ago = t => `${short(-until(t))} ago`;

/** How long ago something was, kept up to date by [`paintTimes`]; some documents do not say when. */
export const since = t => (t ? time(t, ago, { 'data-since': t }) : 'at an unknown time');

export function setText(el, text) {
  if (el.textContent !== text) el.textContent = text;
}

export function paintTimes() {
  for (const el of $$('[data-since]')) setText(el, ago(el.dataset.since));
}

const DOUBTS = {
  kept: 'kept because the store is unavailable',
  unknown: 'its time is over by what the server said last; whether it was renewed is not known',
};

/**
 * What is left of a registration. While the store is lost nobody can renew, and what expires is kept; while the server
 * is silent, a host may renew and nobody here hears of it.
 */
export function life({ expires_at, ttl_seconds }, doubt) {
  if (expires_at === null) return { share: 1, text: 'never', mood: 'none', more: '' };
  const left = until(expires_at);
  const share = ttl_seconds ? Math.max(0, Math.min(1, left / ttl_seconds)) : 1;
  if (left <= 0 && doubt) return { share, text: doubt, mood: 'none', more: DOUBTS[doubt] };
  if (left <= 0) return { share, text: 'expired', mood: 'end', more: '' };
  if (share < 0.1) return { share, text: short(left), mood: 'end', more: 'less than a tenth left' };
  if (share < 0.25) return { share, text: short(left), mood: 'low', more: 'less than a quarter left' };
  return { share, text: short(left), mood: 'well', more: '' };
}
