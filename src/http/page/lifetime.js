// The field for a lifetime: one of the usual, or a number of some unit.
import { h } from './dom.js';
import { server } from './server.js';
import { plural, words } from './words.js';

const USUAL = [
  [600, '10 min'],
  [3600, '1 h'],
  [21_600, '6 h'],
  [86_400, '1 day'],
];
const UNITS = { seconds: 1, minutes: 60, hours: 3600, days: 86_400 };

const USUAL_OTHER = 1800; // seconds
const largestUnit = seconds => Object.entries(UNITS).findLast(([, unit]) => seconds % unit === 0);
const FAULT = 'A lifetime is a whole number; 0 never ends.';

/** A lifetime to the second. */
export function lasting(seconds) {
  const [name, unit] = largestUnit(seconds);
  return seconds ? plural(seconds / unit, name.slice(0, -1)) : 'never ends';
}

/** The text beside the choice of the server's default. */
function usualText() {
  const standard = server.status?.default_ttl_seconds;
  if (standard === undefined) return 'the server’s default';
  return standard ? `default: ${words(standard)}` : 'default: never ends';
}

/** `seconds` undefined is what `usual` names: the default of the server, or that there is none; null is no number. */
export function lifetimeField(id, seconds, usual = usualText()) {
  const option = ([value, text]) => h('option', { value }, text);
  const choice = h('select', { id }, [['', usual], [0, 'never ends'], ...USUAL, ['other', 'another…']].map(option));
  const amount = h('input', { type: 'number', min: 0, 'aria-label': 'Lifetime as a number' });
  const units = Object.keys(UNITS).map(name => h('option', name));
  const unit = h('select', { 'aria-label': 'Unit of the lifetime' }, units);
  const other = h('span.line', amount, unit);
  const draw = () => {
    other.hidden = choice.value !== 'other';
  };
  const set = s => {
    choice.value = s ?? '';
    const isListed = s === undefined || choice.value !== '';
    if (!isListed) choice.value = 'other';
    const shown = isListed || s === null ? USUAL_OTHER : s;
    [unit.value] = largestUnit(shown);
    amount.value = s === null ? '' : shown / UNITS[unit.value];
    draw();
  };
  set(seconds);
  return {
    el: h('div.line', { onchange: draw }, choice, other),
    set,
    /** Where a fault is shown. */
    field: () => (other.hidden ? choice : amount),
    /** Its fault; undefined if there is none. */
    fault: () => (!other.hidden && !/^\d+$/.test(amount.value) ? FAULT : undefined),
    seconds() {
      if (choice.value === '') return undefined;
      return other.hidden ? Number(choice.value) : amount.valueAsNumber * UNITS[unit.value];
    },
  };
}
