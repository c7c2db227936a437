// The loop of the page: polls the server every few seconds, and shows the view in the address.

import './changes.js';
import './problems.js';
import { startClicks } from './clicks.js';
import { startConfiguration } from './configuration.js';
import { startDeclare } from './declare.js';
import { startDeletion } from './deletion.js';
import { $, say } from './dom.js';
import { startEmpty } from './empty.js';
import { emit, on, trouble } from './events.js';
import { startFacets } from './facets.js';
import { restoreForms, startForm } from './form.js';
import { contact, drawFrame, LOOK_MS, paintFrame, titleOf } from './frame.js';
import { loadGroups, startGroups } from './groups.js';
import { startKeys } from './keys.js';
import { isOutdated, load, mark, paint, refresh, startList, stay } from './list.js';
import { startNotices } from './notices.js';
import { closePanel, isOpen } from './panel.js';
import { loadPollers } from './pollers.js';
import { leaveRegistration, paintRegistration, refreshRegistration, showRegistration } from './registration.js';
import { drawRights } from './row.js';
import { startSearch } from './search.js';
import { isRefusal, loadStatus } from './server.js';
import { startSeveral } from './several.js';
import { arrived, placeOf, startAddress, state } from './state.js';
import { startTheme } from './theme.js';
import { drawToken, gate, startTokens } from './tokens.js';
import { showView } from './views.js';
import { paintTimes } from './words.js';

const RETRY_SECONDS = [2, 4, 8, 15]; // between tries when it does not answer

let timer;
let routed;

/** Requests everything in sight: the rows first. */
async function look({ isWritten = false } = {}) {
  clearTimeout(timer);
  try {
    const list = isOutdated() ? load : isWritten ? () => {} : refresh;
    const main = state.view ? [showView(state.view)] : [list(), refreshRegistration()];
    await Promise.all([...main, loadGroups(), loadStatus(), loadPollers()]);
    drawToken();
    if (contact.lost) say('The server answers again.');
    Object.assign(contact, { heard: Date.now(), lost: null });
    drawFrame();
    restoreForms();
    again(LOOK_MS);
  } catch (error) {
    if (error.name === 'AbortError') again(LOOK_MS);
    else trouble(error);
  }
}

function again(ms) {
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(look, ms);
}

function noAnswer(error) {
  if (error.status === 401 && isRefusal(error)) {
    clearTimeout(timer);
    return gate(error.message);
  }
  // A mistake of this page, not of the server.
  if (error.status === undefined) console.error(error);
  if (!contact.lost) say('The server does not answer.');
  const tries = contact.lost?.tries ?? 0;
  const wait = RETRY_SECONDS[Math.min(tries, RETRY_SECONDS.length - 1)] * 1000;
  contact.lost = { error, tries: tries + 1, again: Date.now() + wait };
  drawFrame();
  again(wait);
}

function routeView(view) {
  if (routed === view) {
    // The same view, perhaps filtered otherwise.
    if (view) showView(view, { isNew: true }).then(arrived, trouble);
    return;
  }
  if (routed !== undefined) {
    say(titleOf(view));
    // The element with the focus may be gone.
    if (!$('#tabs').contains(document.activeElement)) $('#main').focus({ preventScroll: true });
  }
  routed = view;
  scrollTo(0, placeOf());
  if (!view) return;
  closePanel({ back: false });
  showView(view)
    .then(() => {
      scrollTo(0, placeOf());
      arrived();
    })
    .catch(trouble);
}

let shownId;

/** Shows the view in the address. */
function route() {
  const { view, id } = state;
  $('#browse').hidden = Boolean(view);
  $('#view').hidden = !view;
  $('#shell').classList.toggle('wide', Boolean(view));
  routeView(view);
  if (!view && isOutdated()) load().catch(trouble);
  else if (!view) stay();
  if (view || !id) leaveRegistration();
  else if (id !== shownId || !isOpen()) {
    mark(id);
    showRegistration(id);
  }
  shownId = id;
  drawFrame();
}

function tick() {
  if (document.hidden) return;
  paint();
  paintRegistration();
  paintTimes();
  paintFrame();
  drawRights();
  emit('tick');
}

startAddress();
startList();
startTheme();
startTokens();
startNotices();
startGroups();
startSearch();
startEmpty();
startFacets();
startSeveral();
startClicks();
startKeys();
startDeletion();
startForm();
startConfiguration();
startDeclare();
on('route', route);
on('trouble', noAnswer);
on('retry', () => look());
on('written', () => {
  drawToken();
  look({ isWritten: true });
});
document.addEventListener('visibilitychange', () => (document.hidden ? clearTimeout(timer) : look()));
$('#use').onclick = () => emit('use');
$('#register').onclick = () => emit('register');
setInterval(tick, 1000);
emit('route');
look();
