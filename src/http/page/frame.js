// The frame of the list: tabs, the overview, how fresh the data is, and banners when it is not.
import { $, fill, h, keep } from './dom.js';
import { emit } from './events.js';
import { outageText, problemCounts } from './problems.js';
import { late, server, storeLost } from './server.js';
import { described, href, link, nothing, state } from './state.js';
import { badges } from './views.js';
import { at, count, plural, setText, short, words } from './words.js';

/** When the server answered last, and since when it does not: `lost` is {error, tries, again}. */
export const contact = { heard: 0, lost: null };
export const LOOK_MS = 10_000; // between looks at the server
const LIVE_MS = 2.2 * LOOK_MS; // since it was heard last

const sub = text => h('span.sub', text);
export const titleOf = view => (view ? view[0].toUpperCase() + view.slice(1) : 'Registrations');

const apart = { id: '', kind: '', find: '' }; // what a view does not take with it

function drawTabs() {
  const beside = badges();
  const shown = beside.map(([, badge]) => badge?.textContent);
  const signature = JSON.stringify([shown, href({ view: '', ...apart }), state.view]);
  const tabs = $('#tabs');
  if (tabs.dataset.drawn === signature) return;
  tabs.dataset.drawn = signature;
  const focused = [...tabs.children].indexOf(document.activeElement);
  const tab = ([view, badge]) => {
    const props = { href: href({ view, ...apart }), 'aria-current': state.view === view && 'page' };
    return h('a', props, titleOf(view), badge);
  };
  fill(tabs, [['', null], ...beside].map(tab));
  tabs.children[focused]?.focus();
}

const fact = (name, ...value) => h('dl.fact', h('dt', name), h('dd', value));

function runsOut({ expiring }) {
  const first = (label, within) =>
    h(
      'a',
      { href: href({ ...nothing, within, sort: 'expires_at' }), title: `Those that expire within ${label}` },
      sub(label),
      h('b', count(expiring[within])),
    );
  return fact('Expire unless renewed', first('5 min', '5m'), first('1 h', '1h'), first('6 h', '6h'));
}

function storeFact({ store }) {
  if (storeLost()) return fact('Store', h('b.end', 'Unavailable'), sub(`for ${words(store.stale_seconds)}`));
  return fact('Store', h('b', store.kind === 'redis' ? 'Redis' : 'Embedded'), sub('healthy'));
}

function pollersFact() {
  const n = server.pollers?.length ?? 0;
  const lates = late().length;
  const known = server.pollers?.filter(p => p.refresh_interval_seconds && p.last_status < 400).length ?? 0;
  const onTime = known === n ? 'on time' : known ? `${known} on time` : 'how often is unknown';
  const text = lates ? h('span.low', `${lates} late`) : sub(n ? onTime : 'nobody');
  return server.pollers && fact('Pollers', link({ view: 'pollers', id: '' }, h('b', count(n)), text));
}

function problemsFact(ill, problems) {
  const what = sub(ill.map(([n, name]) => `${count(n)} ${name}`).join(', '));
  return fact('Problems', link({ view: 'problems', id: '' }, h(problems ? 'b.end' : 'b', count(problems)), what));
}

function drawOverview(ill, problems) {
  const s = server.status;
  if (!s) return;
  const addresses = `${plural(s.addresses, 'address', 'addresses')} in ${plural(s.groups, 'group')}`;
  const facts = [
    fact('Registered', h('b', count(s.registrations)), sub(addresses)),
    runsOut(s),
    storeFact(s),
    pollersFact(),
    problemsFact(ill, problems),
  ];
  const item = el => ({ key: el.firstChild.textContent, shape: el.outerHTML, draw: () => el });
  keep($('#strip'), facts.filter(Boolean).map(item));
}

const banner = (mood, title, text, button) =>
  h(`div.banner.${mood}`, { role: 'alert' }, h('p', h('b', title), ' ', text), button);

function unreachable({ error }) {
  const { heard } = contact;
  const title =
    error.status === 503 && !heard
      ? 'The server is starting.'
      : error.status
        ? 'The server cannot answer.'
        : 'The server cannot be reached.';
  const text = [
    error.message && `${error.message} `,
    heard > 0 && `This is what it said at ${at(heard)}; the countdowns keep running. `,
    h('span', { id: 'retry' }),
  ];
  return banner(
    'end',
    title,
    text,
    h('button', () => emit('retry'), 'Try now'),
  );
}

function drawBanners() {
  const s = server.status;
  const { lost } = contact;
  const told = lost ? unreachable(lost) : storeLost() && banner('low', 'The store is unavailable.', outageText(s));
  const box = $('#banners');
  // A banner is announced once, not at each second of its count.
  const said = told ? `${told.className} ${$('b', told).textContent} ${lost?.error.message ?? ''}` : '';
  if (box.dataset.said !== said) fill(box, told);
  else if (told && !lost) setText($('p', box).lastChild, outageText(s));
  box.dataset.said = said;
}

export function drawFrame() {
  const ill = problemCounts();
  const problems = ill.reduce((sum, [n]) => sum + n, 0);
  const looking = [state.view ? '' : described(), titleOf(state.view), 'inventor'].filter(Boolean).join(' · ');
  document.title = `${problems ? `(${problems}) ` : ''}${looking}`;
  drawTabs();
  drawOverview(ill, problems);
  drawBanners();
  paintFrame();
}

/** A request without an answer is no sign of life. */
const isStale = () => Boolean(contact.lost) || (contact.heard > 0 && Date.now() - contact.heard > LIVE_MS);

function freshness() {
  const { heard } = contact;
  if (isStale()) return heard ? `stale ${short((Date.now() - heard) / 1000)}` : 'no answer';
  return heard ? 'live' : '';
}

/** Each second: how old the data is, and when the server is asked again. */
export function paintFrame() {
  const { lost } = contact;
  const el = $('#fresh');
  server.isSilent = isStale();
  const text = freshness();
  if (el.textContent !== text) fill(el, h('i'), text);
  el.className = isStale() ? 'end' : '';
  document.documentElement.classList.toggle('stale', isStale());
  const retry = $('#retry');
  if (retry && lost) setText(retry, `Trying again in ${Math.max(0, Math.ceil((lost.again - Date.now()) / 1000))} s.`);
}
