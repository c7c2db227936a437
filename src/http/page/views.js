// The views beside the list. Each registers itself: its name in the address, how it is drawn, what its tab tells.
import { $, fill } from './dom.js';

const known = new Map();
const viewPlace = $('#view');

/** `show` draws the view into a given place; `badge` is the text beside its name in the tab. */
export const registerView = (name, view) => known.set(name, view);
export const isView = name => known.has(name);
export const viewNames = () => [...known.keys()];
export const badges = () => [...known].map(([name, { badge }]) => [name, badge?.()]);

/** Draws a view, or looks again; `isNew` when another part of it is wanted. */
export async function showView(name, wish) {
  if (viewPlace.dataset.view !== name) fill(viewPlace);
  viewPlace.dataset.view = name;
  await known.get(name)?.show(viewPlace, wish);
}
