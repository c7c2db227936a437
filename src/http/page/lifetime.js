// The field for a lifetime: one of the usual, or a number of some unit.
import { h } from './dom.js';
import { server } from './server.js';
import { words } from './words.js';

const USUAL = [
  [600, '10 min'],
  [3600, '1 h'],
  [21_600, '6 h'],
  [86_400, '1 day'],
];
const UNITS = { seconds: 1, minutes: 60, hours: 3600, days: 86_400 };

const largestUnit = seconds => Object.entries(UNITS).findLast(([, unit]) => seconds % unit === 0);
const FAULT = 'A lifetime is a whole number; 0 never ends.';

/** What is written beside the choice of the server's own. */
function usualText() {
  const standard = server.status?.default_ttl_seconds;
  if (standard === undefined) return 'the server’s default';
  return standard ? `default: ${words(standard)}` : 'default: never ends';
}

/** `seconds` undefined is the default of the server, which is offered as `usual`; null where there is none. `seconds` null
 * is no number. */
export function lifetimeField(id, seconds, usual = usualText()) {
  const isListed = seconds === undefined || seconds === 0 || USUAL.some(([s]) => s === seconds);
  const [unitName, unitSeconds] = largestUnit(isListed || seconds === null ? 1800 : seconds);
  const options = [[0, 'never ends'], ...USUAL, ['other', 'another…']];
  if (usual !== null) options.unshift(['', usual]);
  const chosen = isListed ? (seconds ?? '') : 'other';
  const choice = h(
    'select',
    { id },
    options.map(([value, text]) => h('option', { value, selected: value === chosen }, text)),
  );
  const amount = h('input', {
    type: 'number',
    min: 0,
    'aria-label': 'Lifetime as a number',
    value: seconds === null ? '' : (isListed ? 1800 : seconds) / unitSeconds,
  });
  const unit = h(
    'select',
    { 'aria-label': 'Unit of the lifetime' },
    Object.keys(UNITS).map(name => h('option', { selected: name === unitName }, name)),
  );
  const other = h('span.line', amount, unit);
  const draw = () => {
    other.hidden = choice.value !== 'other';
  };
  const el = h('div.line', { onchange: draw }, choice, other);
  draw();
  return {
    el,
    /** Where a fault is told. */
    field: () => (other.hidden ? choice : amount),
    /** What is wrong with it; undefined if nothing. */
    fault: () => (!other.hidden && !/^\d+$/.test(amount.value) ? FAULT : undefined),
    seconds() {
      if (choice.value === '') return undefined;
      return other.hidden ? Number(choice.value) : amount.valueAsNumber * UNITS[unit.value];
    },
  };
}
