// What can happen to a registration, as marks and as a list.
import { foreign, h, icon } from './dom.js';
import { since } from './words.js';

const ICONS = { registered: 'plus', changed: 'change', deleted: 'delete', expired: 'clock', restored: 'undo' };
export const actions = Object.keys(ICONS);

export const actionMark = action => h(`span.action.${action}`, icon(ICONS[action] ?? 'change'), action);

/** The changes of one registration, newest first; without a list it is still on its way. */
export function changeHistory(changes) {
  if (!changes?.length) return h('p.none', changes ? 'No change within the last 1,000.' : '…');
  const change = ({ action, by, at }) => h('li', actionMark(action), h('span.grow', by && foreign(by)), since(at));
  return h('ol', changes.map(change));
}
