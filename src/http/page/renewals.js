// How often hosts renew, as far as the server has seen it: it counts renewals that changed nothing, two alike at least.
import { until, words } from './words.js';

const REMEMBERED_MAX = 1000; // registrations looked at
const intervals = new Map(); // id -> seconds

/** Remembers the interval from the answer for a single registration; rows of a list do not have it. */
export function learnRenewals({ id, renewal_interval_seconds: seconds }) {
  intervals.delete(id);
  if (seconds) intervals.set(id, seconds);
  if (intervals.size > REMEMBERED_MAX) intervals.delete(intervals.keys().next().value);
}

/** Seconds between its renewals; undefined where no rhythm is known. */
export const renewalInterval = ({ id }) => intervals.get(id);

/** Seconds until the next renewal is due; negative if it is late. */
export const untilRenewal = row => until(row.updated_at) + renewalInterval(row);

export function nextRenewal(row) {
  const left = untilRenewal(row);
  return left > 0 ? `in about ${words(left)}` : 'any moment';
}
