// Deleting is immediate and can be undone; whether it lasts depends on the host, and that is told.
import { foreign, h } from './dom.js';
import { emit, failed, on } from './events.js';
import { apply, strike } from './list.js';
import { closePanel } from './panel.js';
import { contentOf, fetchRegistration } from './registration.js';
import { nextRenewal, renewalInterval } from './renewals.js';
import { absent, deleteRegistration, putRegistration } from './server.js';
import { state } from './state.js';
import { at, plural, words } from './words.js';

export const called = ({ targets }) => h('b.mono', foreign(targets[0]));

export async function remove(row) {
  try {
    if (row.ttl_seconds && !renewalInterval(row)) await fetchRegistration(row.id).catch(absent(row));
    if ((await deleteRegistration(row.id).catch(absent(row))) === null) return;
  } catch (error) {
    return failed('deleted', error);
  }
  const every = renewalInterval(row);
  const others = row.targets.length - 1;
  strike(row);
  if (state.id === row.id) closePanel();
  emit('written');
  emit('toast', {
    verb: 'Deleted',
    text: ['Deleted ', called(row), others > 0 && ` and ${plural(others, 'more target')}`],
    warn:
      every && `It will come back at its next renewal, ${nextRenewal(row)}, unless you stop the renewals on its host.`,
    more: !every && row.ttl_seconds > 0 && 'If a host still renews it, it will come back.',
    undo: () => restore(row),
  });
}

/** Whether it is registered again. */
async function restore(row) {
  try {
    if ((await putRegistration(contentOf(row))) === null) return false;
    const { ttl_seconds } = row;
    const ends = ttl_seconds && at(Date.now() + ttl_seconds * 1000);
    apply(await fetchRegistration(row.id));
    emit('written');
    emit('toast', {
      text: ['Registered again: ', called(row)],
      more: ttl_seconds > 0 && `Its lifetime starts over: ${words(ttl_seconds)} from now, until ${ends}.`,
    });
    return true;
  } catch (error) {
    failed('registered again', error);
    return false;
  }
}

export const startDeletion = () => on('delete', remove);
