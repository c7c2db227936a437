// The views beside the list; each draws itself into the same viewPlace.
import { showChanges } from './changes.js';
import { $, fill } from './dom.js';
import { showPollers } from './pollers.js';
import { showProblems } from './problems.js';
import { state } from './state.js';

const VIEWS = { pollers: showPollers, changes: showChanges, problems: showProblems };
const viewPlace = $('#view');

export async function showView() {
  if (viewPlace.dataset.view !== state.view) fill(viewPlace);
  viewPlace.dataset.view = state.view;
  await VIEWS[state.view]?.(viewPlace);
}
