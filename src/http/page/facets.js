// Which labels there are in what is looked at, and how many have which value: a value is pressed to filter by it.
import { $, foreign, h, keep } from './dom.js';
import { on, trouble } from './events.js';
import { list } from './list.js';
import { enterPanel, isOpen, openPanel } from './panel.js';
import { filterBy } from './row.js';
import { includes, selector } from './selector.js';
import { get } from './server.js';
import { filter, state } from './state.js';
import { count, setText } from './words.js';

const NAMES_MAX = 50;
const VALUES_MAX = 20; // of a name

const FACETS_LEAD = 'Press a value to see only these, a second one to see both; Alt or Shift and press to exclude it.';
const NOT_COUNTED = 'The search and the time left are not part of these numbers.';

const unfolded = new Set(); // names whose values are shown
let drawnFacets;

/** Without what is said of the label itself: its other values can be added. */
const scope = name => ({ group: state.groups, selector: selector(state.selector.filter(({ key }) => key !== name)) });

function valueItem(name, { value, registrations }) {
  const isOn = includes(state.selector, name, value);
  const update = ({ firstChild: button }) => {
    button.ariaPressed = String(isOn);
    setText(button.lastChild, count(registrations));
  };
  const draw = () => {
    const choose = e => filterBy(name, e.altKey || e.shiftKey ? '!=' : '=', value);
    const text = h('span.mono.name', value ? foreign(value) : h('i', 'empty'));
    const el = h('li', h('button.facet', { onclick: choose, title: value }, text, h('span.n')));
    update(el);
    return el;
  };
  return { key: value, shape: `${isOn} ${registrations}`, draw, update };
}

async function drawValues(name, place) {
  const query = { ...scope(name), limit: VALUES_MAX };
  const { values } = await get(`labels/${encodeURIComponent(name)}/values`, query);
  const items = values.map(one => valueItem(name, one));
  const rest = {
    key: '',
    draw: () => h('li.none', `The ${VALUES_MAX} most frequent. For others, type ${name}= in the search.`),
  };
  keep(place, values.length < VALUES_MAX ? items : [...items, rest]);
}

function nameItem({ name, registrations }) {
  const draw = () => {
    const values = h('ul');
    const summary = h('summary.line', h('b.mono.grow', foreign(name)), h('span.n', count(registrations)));
    const el = h('details.facets', { open: unfolded.has(name) }, summary, values);
    el.renew = () => (el.open ? drawValues(name, values) : undefined);
    el.addEventListener('toggle', () => {
      if (el.open === unfolded.has(name)) return;
      unfolded[el.open ? 'add' : 'delete'](name);
      el.renew()?.catch(trouble);
    });
    return el;
  };
  const update = el => setText(el.firstChild.lastChild, count(registrations));
  return { key: name, shape: String(registrations), draw, update };
}

async function drawFacets() {
  const now = JSON.stringify([filter(), list.total]);
  if (!isOpen('facets') || now === drawnFacets) return;
  drawnFacets = now;
  const { labels } = await get('labels', { ...scope(), limit: NAMES_MAX });
  if (!isOpen('facets')) return;
  setText(
    $('#facets-note'),
    labels.length ? (state.q.trim() || state.within ? NOT_COUNTED : '') : 'Nothing here has a label.',
  );
  keep($('#facets'), labels.map(nameItem));
  await Promise.all([...$('#facets').children].map(el => el.renew()));
}

export function showFacets() {
  drawnFacets = null;
  const note = h('p.note', { id: 'facets-note' });
  openPanel('facets', 'Labels', { closed() {} }, h('p.lead', FACETS_LEAD), note, h('div', { id: 'facets' }));
  enterPanel();
  drawFacets().catch(trouble);
}

export function startFacets() {
  $('#labels').onclick = showFacets;
  on('listed', () => drawFacets().catch(trouble));
}
