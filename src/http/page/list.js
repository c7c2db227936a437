// The list. Each page of rows has its place from the start, so that the scrollbar, End and Back reach every row of
// 100,000; only the pages near the window have rows in the document. These are real rows: find-in-page and copying work.
import { $, $$, fill, h, say } from './dom.js';
import { emit, trouble } from './events.js';
import { bringButtons, drawRow, isButton, measureLabels, paintRow, refit } from './row.js';
import { get } from './server.js';
import { arrived, filter, go, orders, placeOf, state } from './state.js';
import { plural } from './words.js';

const PAGE_ROWS = 50;
const PAGES_HELD = 10; // with rows in the document

const grid = $('#grid');

/** What is shown: `wrong` is why the server did not take the filter. `pending`: others came or went meanwhile. */
export const list = { total: 0, wrong: '', pending: false, current: null };
let pages = []; // {at, el, token, rows: [id]}
let rows = new Map(); // id -> {row, el, page}, of the pages that are held
const nearPages = new Set(); // the pages around the window
let shownKey;
let asking;
let stop; // the row that Tab goes to

const filterKey = () => JSON.stringify([filter(), state.sort]);
const rowShape = ({ labels, target_group, modules }) => JSON.stringify([labels, target_group, modules]);

/** Whether something else is to be looked at than what is shown. */
export const isOutdated = () => filterKey() !== shownKey;
export const rowOf = id => rows.get(id)?.row;
export const currentRow = () => rowOf(list.current);

/** A page by the place where the one before ended, so that nothing is skipped or repeated; by its number where one jumps. */
function ask({ at, token }) {
  const place = token ? { page_token: token } : { skip: at * PAGE_ROWS };
  return get('registrations', { ...filter(), sort: state.sort, limit: PAGE_ROWS, ...place }, asking.signal);
}

const ignoreAbort = error => {
  if (error.name !== 'AbortError') throw error;
};

/** A filter that the server does not take is an answer as well: there is nothing to show, and a reason. */
function refused(error) {
  if (error.status !== 400 && error.status !== 403) throw error;
  return { registrations: [], total: 0, wrong: error.message };
}

let loading = { key: null, done: null };

/** The column of modules is there from the first registration on that has any. */
const showModules = some => some.some(row => row.modules.length > 0) && grid.classList.add('with-modules');

/** Another list, at its beginning or where one was when one left it. */
export function load() {
  if (loading.key !== filterKey()) loading = { key: filterKey(), done: loadFirst() };
  return loading.done;
}

const rowHeight = () => Number.parseFloat(getComputedStyle(grid).getPropertyValue('--row'));

async function loadFirst() {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const asked = filterKey();
  const y = placeOf();
  const at = Math.max(0, Math.floor((y - grid.offsetTop) / rowHeight() / PAGE_ROWS));
  grid.ariaBusy = 'true';
  try {
    let answer = await ask({ at }).catch(refused);
    if (at && !answer.registrations.length && answer.total) answer = await ask({ at: 0 });
    shownKey = asked;
    for (const page of pages) seen.unobserve(page.el);
    nearPages.clear();
    pages = [];
    rows = new Map();
    list.pending = false;
    list.wrong = answer.wrong ?? '';
    fill(grid, head());
    showModules(answer.registrations);
    measureLabels();
    lay(answer.total);
    const page = pages[at] ?? pages[0];
    if (page) put(page, answer);
    mark(rows.has(list.current) ? list.current : null);
    scrollTo(0, y || Math.min(scrollY, $('.shell').offsetTop));
    arrived();
    emit('listed');
    say(plural(list.total, 'registration'));
  } catch (error) {
    ignoreAbort(error);
  } finally {
    if (!signal.aborted) {
      grid.ariaBusy = null;
      loading = { key: null, done: null };
    }
  }
}

/** Gives each page of so many rows its place. */
function lay(total) {
  list.total = total;
  grid.setAttribute('aria-rowcount', total + 1);
  const n = Math.ceil(total / PAGE_ROWS);
  for (const page of pages.splice(n)) {
    empty(page);
    seen.unobserve(page.el);
    nearPages.delete(page);
    page.el.remove();
  }
  const more = [];
  while (pages.length < n) {
    const page = { at: pages.length, el: h('div.page', { role: 'presentation' }), token: null, rows: [] };
    page.el.page = page;
    pages.push(page);
    more.push(page);
  }
  grid.append(...more.map(page => page.el));
  for (const page of more) seen.observe(page.el);
  for (const page of pages) {
    const count = page.rows.length || Math.min(PAGE_ROWS, total - page.at * PAGE_ROWS);
    if (page.count === count) continue;
    page.count = count;
    page.el.style.setProperty('--rows', count);
  }
}

/** Fills a page. What has not changed keeps its element, and with it what the browser knows of it. */
function put(page, { registrations, next_page_token }, before = rows) {
  if (showModules(registrations)) refitAll();
  const next = pages[page.at + 1];
  if (next && !next.rows.length) next.token = next_page_token;
  const mine = registrations.filter(({ id }) => !rows.has(id) || rows.get(id).page === page);
  const elements = mine.map((row, i) => {
    const had = before.get(row.id);
    const isSame = had && rowShape(had.row) === rowShape(row);
    const el = isSame ? had.el : drawRow(row);
    el.ariaRowIndex = page.at * PAGE_ROWS + i + 2;
    rows.set(row.id, { row, el, page });
    return el;
  });
  page.rows = mine.map(({ id }) => id);
  page.el.setAttribute('role', elements.length ? 'rowgroup' : 'presentation');
  page.el.replaceChildren(...elements);
  for (const id of page.rows) paintRow(rows.get(id));
  if (list.current === null) tab(rows.get(page.rows[0]));
}

/** Takes the rows of a page out of the document; its place stays. */
function empty(page) {
  for (const id of page.rows) if (rows.get(id)?.page === page) rows.delete(id);
  page.rows = [];
  page.el.setAttribute('role', 'presentation');
  page.el.replaceChildren();
}

/** Keeps the number of elements bounded: the pages furthest from the window go. */
function trim() {
  const middle = middleOf(nearPages);
  const held = pages.filter(page => page.rows.length && !nearPages.has(page));
  const order = held.sort((a, b) => Math.abs(b.at - middle) - Math.abs(a.at - middle));
  const spare = held.length + nearPages.size - PAGES_HELD;
  for (const page of order.slice(0, Math.max(0, spare))) if (!page.el.contains(document.activeElement)) empty(page);
}

function middleOf(some) {
  let sum = 0;
  for (const { at } of some) sum += at;
  return some.size ? sum / some.size : 0;
}

/** Of the pages around the window, the one nearest to its middle that has no rows yet. */
function nextEmpty() {
  const middle = middleOf(nearPages);
  const wanted = [...nearPages].filter(page => !page.rows.length && !page.isVoid);
  return wanted.sort((a, b) => Math.abs(a.at - middle) - Math.abs(b.at - middle))[0];
}

let filling = null;

/** Fills the pages around the window, one after the other; where one rushes past, nothing is asked for. */
function fillNear() {
  filling ??= fillAll().finally(() => {
    filling = null;
  });
  return filling;
}

async function fillAll() {
  try {
    for (let page = nextEmpty(); page; page = nextEmpty()) {
      const answer = await ask(page);
      if (pages[page.at] !== page || page.rows.length) continue;
      put(page, answer);
      page.isVoid = !page.rows.length;
      trim();
      lay(answer.total);
    }
  } catch (error) {
    if (error.name !== 'AbortError') trouble(error);
  }
}

const seen = new IntersectionObserver(
  entries => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) nearPages.add(target.page);
      else nearPages.delete(target.page);
    }
    paint();
    if (!grid.ariaBusy) fillNear();
  },
  { rootMargin: '900px' },
);

/** The same list anew, at the same place: what is in sight, and what follows when one gets there. */
export async function reload() {
  const sight = [...nearPages].filter(page => page.rows.length).sort((a, b) => a.at - b.at);
  if (!sight.length || isOutdated()) return load();
  const answers = [];
  for (const { at } of sight) answers.push(await ask({ at }));
  if (isOutdated() || sight.some(page => pages[page.at] !== page)) return;
  if (!answers[0].registrations.length) {
    shownKey = null;
    return load();
  }
  const focused = document.activeElement;
  const before = rows;
  rows = new Map();
  list.pending = false;
  for (const page of pages) {
    Object.assign(page, { token: null, isVoid: false });
    if (sight.includes(page)) page.rows = [];
    else empty(page);
  }
  sight.forEach((page, i) => {
    put(page, answers[i], before);
  });
  lay(answers[0].total);
  if (focused.isConnected) focused.focus({ preventScroll: true });
  mark(rows.has(list.current) ? list.current : null);
  emit('listed');
  fillNear();
}

const isGone = id => rows.get(id)?.el.classList.contains('gone');

/** Nothing moves under a hand: rows change in place, and that others came or went is told. */
export async function refresh() {
  if (grid.ariaBusy || isOutdated() || list.wrong) return;
  if (!rows.size) {
    if ((await ask({ at: 0 })).total) {
      shownKey = null;
      await load();
    }
    return;
  }
  list.pending = false;
  for (const page of [...nearPages].filter(p => p.rows.length)) {
    const answer = await ask(page);
    if (isOutdated() || pages[page.at] !== page) return;
    for (const row of answer.registrations) {
      if (rows.has(row.id)) update(row);
      else list.pending = true;
    }
    list.pending ||= answer.registrations.length < page.rows.filter(id => !isGone(id)).length;
    list.total = answer.total;
  }
  const nobodyLooks = scrollY < 80 && !grid.matches(':hover, :focus-within') && !state.id;
  if (list.pending && nobodyLooks) return reload();
  emit('listed');
  paint();
}

function update(row) {
  const held = rows.get(row.id);
  const isSame = rowShape(held.row) === rowShape(row);
  held.row = row;
  if (isSame) return;
  const el = drawRow(row);
  el.ariaRowIndex = held.el.ariaRowIndex;
  const hadFocus = held.el.contains(document.activeElement);
  held.el.replaceWith(el);
  Object.assign(held, { el, painted: null, width: null });
  if (row.id === list.current) mark(list.current, { focus: hadFocus });
}

/** Shows what was just written, if it is in the list. */
export function apply(row) {
  const el = rows.get(row.id)?.el;
  if (!el) return;
  if (el.classList.contains('gone')) list.total++;
  el.classList.remove('gone');
  update(row);
  emit('listed');
  paint();
}

/** Strikes a row out: it is gone, and nothing moves. */
export function strike(id) {
  const el = rows.get(id)?.el;
  if (el?.classList.contains('gone') !== false) return;
  el.classList.add('gone');
  list.total--;
  emit('listed');
}

/** What an order is called with its first value the other way round. */
const reversed = sort => (sort[0] === '-' ? sort.slice(1) : `-${sort}`);

function head() {
  const isDown = state.sort[0] === '-';
  const column = (name, label, sort) => {
    const isSorted = sort && [sort, reversed(sort)].includes(state.sort);
    const then = isSorted ? reversed(state.sort) : sort;
    const arrow = isSorted && (isDown ? ' ↓' : ' ↑');
    const button = sort && h('button', { onclick: () => go({ sort: then }), title: orders[then] }, label, arrow);
    const order = isSorted && (isDown ? 'descending' : 'ascending');
    return h(`div.c-${name}`, { role: 'columnheader', 'aria-sort': order }, button ?? label);
  };
  return h(
    'div.row.head',
    { role: 'row', 'aria-rowindex': 1 },
    column('targets', 'Targets', 'targets'),
    column('labels', 'Labels'),
    column('group', 'Group', 'target_group,targets'),
    column('modules', 'Modules'),
    column('acts', h('span.vh', 'Actions')),
    column('left', 'Time left', 'expires_at'),
  );
}

/** Each second: the rows around the window. */
export function paint() {
  for (const page of nearPages) for (const id of page.rows) paintRow(rows.get(id));
}

/** The room for labels is another: rows show more of them, or less. */
function refitAll() {
  if (!measureLabels()) return;
  for (const held of rows.values()) refit(held);
}

/** One row is the stop of the Tab key, and what can be pressed in it comes after it. */
function tab(held) {
  const press = (el, tabIndex) => {
    for (const one of [el, ...$$('button, a', el)]) if (!isButton(one)) one.tabIndex = tabIndex;
  };
  if (stop) press(stop, -1);
  stop = held?.el;
  if (stop) press(stop, 0);
}

export function mark(id, { focus = false, scroll = false } = {}) {
  rows.get(list.current)?.el.classList.remove('current');
  const held = rows.get(id);
  list.current = held ? id : null;
  if (!held) return tab(rows.values().next().value);
  const { el } = held;
  if (scroll) scrollIntoSight(el);
  bringButtons(el);
  tab(held);
  el.classList.add('current');
  if (focus) el.focus({ preventScroll: true });
}

function scrollIntoSight(el) {
  const { top, bottom } = el.getBoundingClientRect();
  const edge = $('.list-head').getBoundingClientRect().bottom + 36;
  scrollBy(0, top < edge ? top - edge : Math.max(0, bottom - innerHeight + 32));
}

/** The number of the first row in sight. */
function firstInSight() {
  const edge = $('.list-head').getBoundingClientRect().bottom - grid.getBoundingClientRect().top;
  return Math.max(0, Math.floor(edge / rowHeight()));
}

/** Goes to a row by its number; its page may have to be fetched first. */
async function goTo(position) {
  const to = Math.max(0, Math.min(list.total - 1, position));
  const page = pages[Math.floor(to / PAGE_ROWS)];
  if (!page) return null;
  if (!page.rows.length) {
    page.el.scrollIntoView({ block: 'nearest' });
    nearPages.add(page);
    await fillNear();
  }
  const id = page.rows[Math.min(to % PAGE_ROWS, page.rows.length - 1)];
  if (!id) return null;
  mark(id, { focus: !$('#panel').contains(document.activeElement), scroll: true });
  return id;
}

/** Goes up or down from the current row, or to the first in sight; to the ends with an infinite step. Gives the id. */
export function step(by) {
  const held = rows.get(list.current);
  if (!Number.isFinite(by)) return goTo(by);
  return goTo(held ? held.page.at * PAGE_ROWS + held.page.rows.indexOf(list.current) + by : firstInSight());
}

export function startList() {
  // Not within the observation: what is refitted is observed as well.
  new ResizeObserver(() => requestAnimationFrame(refitAll)).observe(grid);
}
