// Where the pages of the list are. Each has its place from the start, so that the scrollbar, End and Back reach every row
// of 100,000; only those around the window and a few more are in the document, the others are room between them. Which
// these are follows from how far one has scrolled: nothing has to be laid out to know it.
import { $, h } from './dom.js';

export const PAGE_ROWS = 25;
const NEAR_PX = 900; // above and below the window

export const grid = $('#grid');

/** Those in the document, by number: {at, el, rows: [id]}. */
export const pages = new Map();
const measured = { top: 0, row: 32 }; // px: where the list begins, how high a row is
let near = [0, -1]; // the first and the last page around the window

export const isNear = ({ at }) => at >= near[0] && at <= near[1];
/** How many pages from the middle of the window. */
const distance = ({ at }) => Math.abs(at - (near[0] + near[1]) / 2);
export const nearest = some => some.sort((a, b) => distance(a) - distance(b));
export const nearPages = () => nearest([...pages.values()].filter(isNear));

/** When the list is another, or has another width. */
export function measurePages() {
  measured.top = grid.getBoundingClientRect().top + scrollY;
  measured.row = Number.parseFloat(getComputedStyle(grid).getPropertyValue('--row'));
}

/** The number of the row at this height of the document. */
export const rowAt = y => Math.floor((y - measured.top) / measured.row);
const pageAt = y => Math.floor(rowAt(y) / PAGE_ROWS);

/** A page that has its element in the document from the next [`layPages`] on. */
export function hold(at) {
  if (!pages.has(at)) pages.set(at, { at, el: h('div.page', { role: 'presentation' }), rows: [] });
  return pages.get(at);
}

export function drop(page) {
  pages.delete(page.at);
  page.el.remove();
}

export function dropAll() {
  for (const page of pages.values()) drop(page);
  near = [0, -1];
}

function setRows(el, name, rows) {
  if (el.style.getPropertyValue(name) !== String(rows)) el.style.setProperty(name, rows);
}

/** Puts the pages into the document, in order, with as much room between them as the others take. */
export function layPages(total) {
  let place = grid.firstChild?.nextSibling ?? null; // after the heading
  let next = 0;
  for (const page of [...pages.values()].sort((a, b) => a.at - b.at)) {
    const rows = page.rows.length || Math.max(0, Math.min(PAGE_ROWS, total - page.at * PAGE_ROWS));
    setRows(page.el, '--before', (page.at - next) * PAGE_ROWS);
    setRows(page.el, '--rows', rows);
    if (page.el === place) place = place.nextSibling;
    else grid.insertBefore(page.el, place);
    next = page.at + 1;
  }
  setRows(grid, '--after', Math.max(0, total - next * PAGE_ROWS));
}

/** Finds the pages around the window; says whether one came into the document. */
export function lookAround(total) {
  const last = Math.ceil(total / PAGE_ROWS) - 1;
  const within = at => Math.max(0, Math.min(last, at));
  const [from, to] = [scrollY - NEAR_PX, scrollY + innerHeight + NEAR_PX].map(pageAt).map(within);
  near = total ? [from, to] : [0, -1];
  let isNew = false;
  for (let [at] = near; at <= near[1]; at++) {
    isNew ||= !pages.has(at);
    hold(at);
  }
  if (!isNew) return false;
  for (const page of pages.values()) if (!page.rows.length && !isNear(page)) drop(page);
  layPages(total);
  return true;
}
