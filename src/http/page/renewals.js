import { until, words } from './words.js';

const REMEMBERED_MAX = 1000; // registrations looked at
const renewals = new Map(); // id -> {at, every}

/** Seconds between its renewals; undefined if nobody has renewals two. */
export function renewalInterval({ id, updated_at, renewal_interval_seconds }) {
  const at = Date.parse(updated_at ?? 0);
  const had = renewals.get(id) ?? { at };
  if (at > had.at) Object.assign(had, { every: (at - had.at) / 1000, at });
  had.every = renewal_interval_seconds ?? had.every;
  renewals.set(id, had);
  if (renewals.size > REMEMBERED_MAX) renewals.delete(renewals.keys().next().value);
  return had.every;
}

/** Seconds until the next renewal is due; negative if it is late. */
export const untilRenewal = row => until(row.updated_at) + renewalInterval(row);

export function nextRenewal(row) {
  const left = untilRenewal(row);
  return left > 0 ? `in about ${words(left)}` : 'any moment';
}
