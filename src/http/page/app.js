// What keeps the page going: it looks at the server every few seconds, and goes where the address says.
import { $, say } from './dom.js';
import { contact, drawFrame, paintFrame } from './frame.js';
import { isOutdated, load, mark, paint, refresh } from './list.js';
import { closePanel, isOpen } from './panel.js';
import { leaveRegistration, paintRegistration, refreshRegistration, showRegistration } from './registration.js';
import { get, server } from './server.js';
import { emit, on, state, trouble } from './state.js';
import { loadPollers, showView } from './views.js';
import { paintTimes } from './words.js';
import * as clicks from './input.js';
import * as configuration from './configuration.js';
import * as declare from './declare.js';
import * as deletion from './registration.js';
import * as empty from './empty.js';
import * as form from './form.js';
import * as groups from './filters.js';
import * as keys from './input.js';
import * as notices from './dialogs.js';
import * as search from './filters.js';
import * as address from './state.js';
import * as theme from './frame.js';
import * as tokens from './dialogs.js';

const LOOK_MS = 10_000; // between looks at the server
const RETRY_SECONDS = [2, 4, 8, 15]; // between tries when it does not answer

let timer;
let routed;

/** Asks for all that is in sight: the rows first. */
async function look({ isWritten = false } = {}) {
  clearTimeout(timer);
  try {
    const list = isOutdated() ? load : isWritten ? () => {} : refresh;
    const main = state.view ? [showView()] : [list(), refreshRegistration()];
    const status = get('status').then(s => {
      server.status = s;
    });
    await Promise.all([...main, groups.loadGroups(), status, loadPollers()]);
    if (contact.lost) say('The server answers again.');
    Object.assign(contact, { heard: Date.now(), lost: null });
    drawFrame();
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
  if (error.status === 401) {
    clearTimeout(timer);
    return tokens.gate(error.message);
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

function openView(view) {
  if (routed === view) return;
  routed = view;
  scrollTo(0, 0);
  if (!view) return;
  closePanel({ back: false });
  showView().catch(trouble);
}

let shownId;

/** Shows what the address says. */
function route() {
  const { view, id } = state;
  $('#browse').hidden = Boolean(view);
  $('#view').hidden = !view;
  $('#shell').classList.toggle('wide', Boolean(view));
  openView(view);
  if (!view && isOutdated()) load().catch(trouble);
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
  emit('tick');
}

const parts = [
  address,
  theme,
  tokens,
  groups,
  search,
  empty,
  clicks,
  keys,
  notices,
  deletion,
  form,
  configuration,
  declare,
];
for (const part of parts) part.start();
on('route', route);
on('trouble', noAnswer);
on('retry', () => look());
on('written', () => {
  tokens.drawToken();
  look({ isWritten: true });
});
document.addEventListener('visibilitychange', () => (document.hidden ? clearTimeout(timer) : look()));
$('#use').onclick = () => emit('use');
$('#register').onclick = () => emit('register');
setInterval(tick, 1000);
emit('route');
look();
