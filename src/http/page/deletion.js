// Deleting is immediate and can be undone. Whether it lasts depends on the host, which is pointed out.
import { $, foreign, h } from './dom.js';
import { emit, failed, on } from './events.js';
import { strike } from './list.js';
import { closePanel } from './panel.js';
import { fetchRegistration } from './registration.js';
import { nextRenewal, renewalInterval } from './renewals.js';
import { absent, deleteRegistration } from './server.js';
import { state } from './state.js';
import { plural } from './words.js';

export const called = ({ targets }) => h('b.mono', foreign(targets[0]));

export async function remove(row) {
  const el = $(`[data-id="${row.id}"]`);
  if (el?.classList.contains('going')) return;
  el?.classList.add('going');
  try {
    // Whether a host renews it is only a hint.
    if (row.ttl_seconds && !renewalInterval(row)) await fetchRegistration(row.id).catch(() => {});
    if ((await deleteRegistration(row.id).catch(absent(row))) === null) return;
  } catch (error) {
    return failed('deleted', error);
  } finally {
    el?.classList.remove('going');
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
    back: { rows: [row] },
  });
}

export const startDeletion = () => on('delete', remove);
