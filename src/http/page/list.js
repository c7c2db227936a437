// The list: which rows are on its pages, and how they change while one looks. These are real rows: find-in-page and copying
// work.
import { $, $$, fill, h, say } from './dom.js';
import { emit, trouble } from './events.js';
import {
  drop,
  dropAll,
  grid,
  hold,
  isNear,
  layPages,
  lookAround,
  measurePages,
  nearest,
  nearPages,
  PAGE_ROWS,
  pages,
  rowAt,
} from './pages.js';
import { bringButtons, drawRow, isButton, measureLabels, paintRow, refit } from './row.js';
import { get, outside } from './server.js';
import { arrived, filter, go, orders, placeOf, state } from './state.js';
import { plural } from './words.js';

const PAGES_HELD = 20; // with rows in the document

/**
 * What is shown: `wrong` is why the server did not take the filter. `pending`: others came or went meanwhile. `chosen` are
 * rows by their ids, to do something with all of them, wherever one has scrolled.
 */
export const list = { total: 0, wrong: '', pending: false, current: null, chosen: new Map() };
let rows = new Map(); // id -> {row, el, page}, of the pages that are held
let tokens = new Map(); // number of a page -> where it begins, as the answer before it said
let shownKey;
let asking;
let stop; // the row that Tab goes to

const filterKey = () => JSON.stringify([filter(), state.sort]);
const rowShape = ({ labels, target_group, modules }) => JSON.stringify([labels, target_group, modules]);

/** Whether the wanted list is not the one shown. */
export const isOutdated = () => filterKey() !== shownKey;
export const rowOf = id => rows.get(id)?.row;
export const currentRow = () => rowOf(list.current);

/** A page by the place where the one before ended, so that nothing is skipped or repeated; by its number where one jumps.
 * Of large registrations the server gives fewer at a time. */
async function ask(at) {
  const { signal } = asking;
  let place = tokens.get(at) ? { page_token: tokens.get(at) } : { skip: at * PAGE_ROWS };
  const found = [];
  for (;;) {
    const limit = PAGE_ROWS - found.length;
    const answer = await get('registrations', { ...filter(), sort: state.sort, limit, ...place }, signal);
    found.push(...answer.registrations);
    if (found.length >= PAGE_ROWS || !answer.next_page_token) return { ...answer, registrations: found };
    place = { page_token: answer.next_page_token };
  }
}

const ignoreAbort = error => {
  if (error.name !== 'AbortError') throw error;
};

/** A filter that the server does not take is an answer as well: there is nothing to show, and a reason. */
async function refused(error) {
  if (error.status !== 400 && error.status !== 403) throw error;
  const wrong = error.status === 403 ? outside((await get('status')).caller) : error.message;
  return { registrations: [], total: 0, wrong };
}

let loading = { key: null, done: null };

function drawChosen(el, isChosen) {
  el.classList.toggle('chosen', isChosen);
  el.ariaSelected = isChosen ? 'true' : null;
}

function drawn(row) {
  const el = drawRow(row);
  if (list.chosen.has(row.id)) drawChosen(el, true);
  return el;
}

/** Chooses rows, or no longer. */
export function chooseRows(some, isOn = true) {
  for (const row of some) {
    if (isOn) list.chosen.set(row.id, row);
    else list.chosen.delete(row.id);
    const held = rows.get(row.id);
    if (held) drawChosen(held.el, isOn);
  }
  emit('chosen');
}

/** The rows from the current one to another, as far as they are held. */
export function rowsTo(id) {
  const ids = [...pages.values()].sort((a, b) => a.at - b.at).flatMap(page => page.rows);
  const [from, to] = [rows.has(list.current) ? list.current : id, id]
    .map(one => ids.indexOf(one))
    .sort((a, b) => a - b);
  return ids
    .slice(from, to + 1)
    .filter(one => !isGone(one))
    .map(rowOf);
}

/** The column of modules is there from the first registration on that has any. */
const showModules = some => some.some(row => row.modules.length > 0) && grid.classList.add('with-modules');

/** Another list, at its beginning or where one was when one left it. */
export function load() {
  if (loading.key !== filterKey()) loading = { key: filterKey(), done: loadFirst() };
  return loading.done;
}

async function loadFirst() {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const asked = filterKey();
  const y = placeOf();
  if (y) measurePages();
  const at = Math.max(0, Math.floor(rowAt(y) / PAGE_ROWS));
  grid.ariaBusy = 'true';
  tokens = new Map();
  try {
    let answer = await ask(at).catch(refused);
    if (at && !answer.registrations.length && answer.total) answer = await ask(0);
    // One may have gone back meanwhile to what is shown.
    if (asked !== filterKey()) return;
    shownKey = asked;
    chooseRows([...list.chosen.values()], false);
    dropAll();
    rows = new Map();
    Object.assign(list, { total: answer.total, pending: false, wrong: answer.wrong ?? '' });
    fill(grid, head());
    showModules(answer.registrations);
    measureLabels();
    measurePages();
    if (answer.registrations.length) put(hold(at * PAGE_ROWS < list.total ? at : 0), answer);
    lay();
    mark(rows.has(list.current) ? list.current : null);
    scrollTo(0, y || Math.min(scrollY, $('.shell').offsetTop));
    arrived();
    lookAround(list.total);
    emit('listed');
    say(plural(list.total, 'registration'));
  } catch (error) {
    ignoreAbort(error);
  } finally {
    if (!signal.aborted) {
      settle();
      fillNear();
    }
  }
}

/** Marks the list while it answers an earlier question. */
function settle() {
  loading = { key: null, done: null };
  grid.ariaBusy = isOutdated() ? 'true' : null;
}

/** The list shown is the wanted one; later requests are dropped. */
export function stay() {
  if (grid.ariaBusy) {
    asking.abort();
    asking = new AbortController();
    settle();
    emit('listed');
  }
  arrived();
}

/** Every row has its place. */
function lay(total = list.total) {
  list.total = total;
  grid.setAttribute('aria-rowcount', total + 1);
  for (const page of pages.values()) if (page.at > 0 && page.at * PAGE_ROWS >= total) empty(page);
  layPages(total);
}

/** Fills a page. Unchanged rows keep their elements, and with them the browser's state. */
function put(page, { registrations, next_page_token }, before = rows) {
  if (showModules(registrations)) refitAll();
  tokens.set(page.at + 1, next_page_token);
  const mine = registrations.filter(({ id }) => !rows.has(id) || rows.get(id).page === page);
  const elements = mine.map((row, i) => {
    const had = before.get(row.id);
    const isSame = had && rowShape(had.row) === rowShape(row);
    const el = isSame ? had.el : drawn(row);
    el.ariaRowIndex = page.at * PAGE_ROWS + i + 2;
    el.classList.remove('gone');
    rows.set(row.id, { row, el, page });
    return el;
  });
  page.rows = mine.map(({ id }) => id);
  page.el.setAttribute('role', elements.length ? 'rowgroup' : 'presentation');
  page.el.replaceChildren(...elements);
  for (const id of page.rows) paintRow(rows.get(id));
  if (list.current === null) tab(rows.get(page.rows[0]));
}

/** Takes a page out of the document; its place stays. */
function empty(page) {
  for (const id of page.rows) if (rows.get(id)?.page === page) rows.delete(id);
  drop(page);
}

/** Keeps the number of elements bounded: the pages furthest from the window go. */
function trim() {
  const spare = nearest([...pages.values()]).slice(PAGES_HELD);
  for (const page of spare) if (!isNear(page) && !page.el.contains(document.activeElement)) empty(page);
}

/** Of the pages around the window, the one nearest to its middle that has no rows yet. */
const nextEmpty = () => !isOutdated() && nearPages().find(page => !page.rows.length && !page.isVoid);

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
      const answer = await ask(page.at);
      if (pages.get(page.at) !== page || page.rows.length) continue;
      put(page, answer);
      page.isVoid = !page.rows.length;
      trim();
      lay(answer.total);
    }
  } catch (error) {
    if (error.name !== 'AbortError') trouble(error);
  }
}

function scrolled() {
  if (state.view || grid.ariaBusy || !lookAround(list.total)) return;
  paint();
  fillNear();
}

/** The same list anew, at the same place: what is in sight, and what follows when one gets there. */
export const reload = () => reloadNow().catch(trouble);

async function reloadNow() {
  const sight = nearPages().filter(page => page.rows.length);
  sight.sort((a, b) => a.at - b.at);
  if (!sight.length || isOutdated()) return load();
  tokens = new Map();
  const answers = [];
  for (const { at } of sight) answers.push(await ask(at));
  if (isOutdated() || sight.some(page => pages.get(page.at) !== page)) return;
  if (!answers[0].registrations.length) {
    shownKey = null;
    return load();
  }
  const focused = document.activeElement;
  const before = rows;
  rows = new Map();
  list.pending = false;
  for (const page of pages.values()) {
    if (isNear(page)) Object.assign(page, { rows: [], isVoid: false });
    else empty(page);
  }
  sight.forEach((page, i) => {
    put(page, answers[i], before);
  });
  lay(answers[0].total);
  lookAround(list.total);
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
    if ((await ask(0)).total) {
      shownKey = null;
      await load();
    }
    return;
  }
  list.pending = false;
  for (const page of nearPages().filter(p => p.rows.length)) {
    const answer = await ask(page.at);
    if (isOutdated() || pages.get(page.at) !== page) return;
    for (const row of answer.registrations) {
      if (rows.has(row.id)) update(row);
      else list.pending = true;
    }
    list.pending ||= answer.registrations.length < page.rows.filter(id => !isGone(id)).length;
    list.total = answer.total;
  }
  const nobodyLooks = scrollY < 80 && !grid.matches(':hover, :focus-within') && !state.id;
  if (list.pending && nobodyLooks) return reloadNow();
  emit('listed');
  paint();
}

function update(row) {
  const held = rows.get(row.id);
  const isSame = rowShape(held.row) === rowShape(row);
  held.row = row;
  if (list.chosen.has(row.id)) list.chosen.set(row.id, row);
  if (isSame) return;
  const el = drawn(row);
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

/** Strikes rows out: they are gone, and nothing moves. */
export function strike(...some) {
  for (const { id } of some) {
    const el = rows.get(id)?.el;
    if (el?.classList.contains('gone') !== false) continue;
    el.classList.add('gone');
    list.total--;
  }
  chooseRows(some, false);
  emit('listed');
}

/** The name of an order with its first value reversed. */
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
    column('renewed', 'Renewed', '-updated_at'),
    column('left', 'Time left', 'expires_at'),
  );
}

/** Each second: the rows around the window. */
export function paint() {
  if (state.view) return;
  for (const page of nearPages()) for (const id of page.rows) paintRow(rows.get(id));
}

function resized() {
  measurePages();
  refitAll();
  scrolled();
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
  if (scroll) el.scrollIntoView({ block: 'nearest' });
  bringButtons(el);
  tab(held);
  el.classList.add('current');
  if (focus) el.focus({ preventScroll: true });
}

/** The number of the first row in sight. */
const firstInSight = () => Math.max(0, rowAt(scrollY + $('.list-head').getBoundingClientRect().bottom));

/** Goes to a row by its number; its page may have to be fetched first. */
async function goTo(position) {
  const to = Math.max(0, Math.min(list.total - 1, position));
  if (!list.total) return null;
  const page = hold(Math.floor(to / PAGE_ROWS));
  if (!page.rows.length) {
    lay();
    page.el.scrollIntoView({ block: 'nearest' });
    lookAround(list.total);
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
  addEventListener('scroll', scrolled, { passive: true });
  let width;
  new ResizeObserver(([{ contentRect }]) => {
    if (!contentRect.width || contentRect.width === width) return;
    width = contentRect.width;
    // Not within the observation, because refitted elements are observed as well.
    requestAnimationFrame(resized);
  }).observe(grid);
  addEventListener('resize', scrolled);
}
