// The list of registrations: pages of real rows, so that find-in-page and copying work. All pages keep their place, but
// only those around the window have rows in the document; others are asked for again when they come near.
import { $, $$, fill, h, say } from './dom.js';
import { emit, trouble } from './events.js';
import { bringButtons, countHiddenChips, drawRow, paintRow } from './row.js';
import { get } from './server.js';
import { filter, go, orders, state } from './state.js';
import { plural } from './words.js';

const PAGE_ROWS = 50;
const PAGES_HELD = 40; // with rows in the document
const AHEAD_WINDOWS = 2.5; // how near the listEnd is when more is asked for

const grid = $('#grid');
const listEnd = $('#below');

/** What is shown: `wrong` is why the server did not take the filter. `pending`: others came or went meanwhile. */
export const list = { total: 0, next: null, wrong: '', pending: false, current: null };
let pages = []; // {token, rows, el}
let rows = new Map(); // id -> {row, el}, of the pages that are held
let shownKey;
let asking;
let isLoading = false;

const filterKey = () => JSON.stringify([filter(), state.sort]);
const rowShape = ({ labels, target_group, modules }) => JSON.stringify([labels, target_group, modules]);

/** Whether something else is to be looked at than what is shown. */
export const isOutdated = () => filterKey() !== shownKey;
export const rowOf = id => rows.get(id)?.row;
export const currentRow = () => rowOf(list.current);
export const rowCount = () => pages.reduce((sum, page) => sum + page.count, 0);

const ask = token =>
  get('registrations', { ...filter(), sort: state.sort, limit: PAGE_ROWS, page_token: token }, asking.signal);

const ignoreAbort = error => {
  if (error.name !== 'AbortError') throw error;
};

/** A filter that the server does not take is an answer as well: there is nothing to show, and a reason. */
function refused(error) {
  if (error.status !== 400 && error.status !== 403) throw error;
  return { registrations: [], total: 0, next_page_token: null, wrong: error.message };
}

let loading = { key: null, done: null };

/** Another list, from its beginning. */
export function load() {
  if (loading.key !== filterKey()) loading = { key: filterKey(), done: loadFirst() };
  return loading.done;
}

async function loadFirst() {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const asked = filterKey();
  grid.ariaBusy = 'true';
  try {
    const answer = await ask(null).catch(refused);
    shownKey = asked;
    pages = [];
    rows = new Map();
    list.pending = false;
    list.wrong = answer.wrong ?? '';
    fill(grid, head());
    append(answer, null);
    mark(rows.has(list.current) ? list.current : null);
    scrollTo(0, Math.min(scrollY, $('.shell').offsetTop));
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

function take({ total, next_page_token }) {
  list.total = total;
  list.next = next_page_token;
  grid.setAttribute('aria-rowcount', total + 1);
}

function append(answer, token) {
  const page = { token, rows: [], count: 0, el: h('div.page') };
  pages.push(page);
  grid.append(page.el);
  take(answer);
  putRows(page, answer.registrations);
  seen.observe(page.el);
  emit('listed');
  if (isNearEnd()) more();
}

/** Fills a page. What has not changed keeps its element, and with it what the browser knows of it. */
function putRows(page, registrations, before = new Map()) {
  const first = pages.slice(0, pages.indexOf(page)).reduce((sum, p) => sum + p.count, 2);
  page.rows = registrations.filter(row => !rows.has(row.id));
  page.count = page.rows.length;
  const elements = page.rows.map((row, at) => {
    const had = before.get(row.id);
    const el = had && rowShape(had.row) === rowShape(row) ? had.el : drawRow(row, first + at);
    rows.set(row.id, { row, el });
    return el;
  });
  page.el.setAttribute('role', page.count ? 'rowgroup' : 'presentation');
  page.el.style.setProperty('--rows', page.count);
  page.el.replaceChildren(...elements);
  page.width = 0;
  if (isInSight(page.el)) show(page);
  if (list.current === null) tab(rows.values().next().value);
}

/** Takes the rows of a page out of the document; its place stays. */
function empty(page) {
  for (const row of page.rows) rows.delete(row.id);
  page.rows = [];
  page.el.setAttribute('role', 'presentation');
  page.el.replaceChildren();
}

/** Keeps the number of elements bounded: the pages furthest from the window go. */
function trim() {
  const held = pages.filter(page => page.rows.length && !page.el.contains(document.activeElement));
  const distance = page => Math.abs(page.el.getBoundingClientRect().top - innerHeight / 2);
  const order = held.map(page => [distance(page), page]).sort(([a], [b]) => b - a);
  for (const [, page] of order.slice(0, Math.max(0, held.length - PAGES_HELD))) empty(page);
}

async function more() {
  if (isLoading || !list.next) return;
  const token = list.next;
  isLoading = true;
  try {
    const answer = await ask(token);
    if (token !== list.next) return;
    isLoading = false;
    append(answer, token);
    trim();
  } catch (error) {
    if (error.name !== 'AbortError') trouble(error);
  } finally {
    isLoading = false;
  }
}

/** Asks again for a page whose rows were taken out. */
async function fillAgain(page) {
  if (page.rows.length || page.isAsked || !page.count) return;
  page.isAsked = true;
  try {
    const answer = await ask(page.token);
    if (!pages.includes(page)) return;
    putRows(page, answer.registrations);
    paint();
    trim();
  } catch (error) {
    if (error.name !== 'AbortError') trouble(error);
  } finally {
    page.isAsked = false;
  }
}

/** The same list anew, at the same place: what is in sight, and what follows when one gets there. */
export async function reload() {
  const sight = pages.filter(page => isInSight(page.el));
  const from = pages.indexOf(sight[0]);
  if (from < 0 || isOutdated()) return load();
  const answers = [];
  for (const page of sight) {
    const token = answers.length ? answers.at(-1).next_page_token : page.token;
    if (answers.length && !token) break;
    answers.push(await ask(token));
    if (!pages.includes(page)) return;
  }
  if (!answers[0].registrations.length) return load();
  const focused = document.activeElement;
  const before = rows;
  rows = new Map();
  list.pending = false;
  for (const page of pages.splice(from + answers.length)) page.el.remove();
  for (const page of pages.slice(0, from)) empty(page);
  answers.forEach((answer, at) => {
    const page = pages[from + at];
    if (at) page.token = answers[at - 1].next_page_token;
    take(answer);
    putRows(page, answer.registrations, before);
  });
  if (focused.isConnected) focused.focus({ preventScroll: true });
  mark(rows.has(list.current) ? list.current : null);
  paint();
  emit('listed');
  near();
}

/** Nothing moves under a hand: rows change in place, and that others came or went is told. */
export async function refresh() {
  if (!pages.length) return load();
  if (isLoading || grid.ariaBusy || isOutdated() || list.wrong) return;
  if (!rows.size) {
    if ((await ask(null)).total) await load();
    return;
  }
  list.pending = false;
  for (const page of pages.filter(p => p.rows.length && isInSight(p.el))) {
    const answer = await ask(page.token);
    if (isOutdated() || !pages.includes(page)) return;
    for (const row of answer.registrations) {
      if (rows.has(row.id)) update(row);
      else list.pending = true;
    }
    list.pending ||= answer.registrations.length < $$('.row:not(.gone)', page.el).length;
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
  const page = pages.find(p => p.el === held.el.parentElement);
  page.rows = page.rows.map(r => (r.id === row.id ? row : r));
  if (isSame) return;
  const el = drawRow(row, held.el.ariaRowIndex);
  const hadFocus = held.el.contains(document.activeElement);
  held.el.replaceWith(el);
  Object.assign(held, { el, painted: null, width: null });
  measure(page, true);
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

function head() {
  const isDown = state.sort[0] === '-';
  const column = (name, label, sort) => {
    const isSorted = sort && state.sort.replace('-', '') === sort;
    const then = state.sort === sort ? `-${sort}` : isSorted ? 'id' : sort;
    const arrow = isSorted && (isDown ? ' ↓' : ' ↑');
    const button = sort && h('button', { onclick: () => go({ sort: then }), title: orders[then] }, label, arrow);
    const order = isSorted && (isDown ? 'descending' : 'ascending');
    return h(`div.c-${name}`, { role: 'columnheader', 'aria-sort': order }, button ?? label);
  };
  return h(
    'div.row.head',
    { role: 'row', 'aria-rowindex': 1 },
    column('targets', 'Targets'),
    column('labels', 'Labels'),
    column('group', 'Group', 'target_group'),
    column('modules', 'Modules'),
    column('acts', h('span.vh', 'Actions')),
    column('left', 'Time left', 'expires_at'),
  );
}

const isInSight = el => {
  const { top, bottom } = el.getBoundingClientRect();
  return bottom > -200 && top < innerHeight + 200;
};

function show(page) {
  measure(page);
  for (const { id } of page.rows) paintRow(rows.get(id));
}

/** Each second: the rows that can be seen. */
export function paint() {
  for (const page of pages) if (page.rows.length && isInSight(page.el)) show(page);
}

function measure(page, again = false) {
  if (!again && page.width === grid.clientWidth) return;
  page.width = grid.clientWidth;
  countHiddenChips(page.el);
}

const seen = new IntersectionObserver(
  entries => {
    for (const { isIntersecting, target } of entries) {
      const page = isIntersecting && pages.find(p => p.el === target);
      if (!page) continue;
      if (page.rows.length) show(page);
      else fillAgain(page);
    }
  },
  { rootMargin: '600px' },
);

const isNearEnd = () =>
  $('#browse').checkVisibility() && listEnd.getBoundingClientRect().top < innerHeight * AHEAD_WINDOWS;
export function near() {
  if (isNearEnd()) more();
}

/** One row is the stop of the Tab filterKey, and its buttons come after it. */
function tab(held) {
  for (const el of $$('[tabindex="0"]', grid)) el.tabIndex = -1;
  if (held) for (const el of [held.el, ...$$('button', held.el)]) el.tabIndex = 0;
}

export function mark(id, { focus = false, scroll = false } = {}) {
  rows.get(list.current)?.el.classList.remove('current');
  const held = rows.get(id);
  list.current = held ? id : null;
  if (!held) return tab(rows.values().next().value);
  const { el } = held;
  bringButtons(el);
  tab(held);
  el.classList.add('current');
  if (focus) el.focus({ preventScroll: true });
  if (scroll) scrollIntoSight(el);
}

function scrollIntoSight(el) {
  const { top, bottom } = el.getBoundingClientRect();
  const edge = $('.list-head').getBoundingClientRect().bottom + 36;
  scrollBy(0, top < edge ? top - edge : Math.max(0, bottom - innerHeight + 32));
}

/** Goes up or down from the current row, or from the first in sight; gives the id of the row. */
export function step(by) {
  const all = $$('.row[data-id]', grid);
  const now = all.findIndex(el => el.dataset.id === list.current);
  const first = Math.max(
    0,
    all.findIndex(el => isInSight(el)),
  );
  const to = all[now < 0 && Math.abs(by) < 2 ? first : Math.max(0, Math.min(all.length - 1, now + by))];
  if (!to) return null;
  mark(to.dataset.id, { focus: !$('#panel').contains(document.activeElement), scroll: true });
  near();
  return list.current;
}

/** To the very first row, which may have left the document. */
export async function toTop() {
  if (!pages.length) return;
  scrollTo(0, 0);
  await fillAgain(pages[0]);
  step(-Infinity);
}
