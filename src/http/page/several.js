// Several registrations at once: those that were chosen in the list, or all of it. They are copied, written to a file,
// deleted, and brought back.
import { json } from './codes.js';
import { called } from './deletion.js';
import { $, copy, h, iconButton, keep, saveFile, say } from './dom.js';
import { emit, failed, on, unheard } from './events.js';
import { chooseRows, isOutdated, list, reload, rowOf, strike } from './list.js';
import { contentOf, fetchRegistration } from './registration.js';
import { renewalInterval } from './renewals.js';
import { changes } from './row.js';
import { absent, allRegistrations, deleteRegistration, pagesOf, putRegistration, refusal } from './server.js';
import { filter } from './state.js';
import { at, count, plural, sentence, words } from './words.js';

/** How many may be chosen, or brought back one by one. */
export const AT_ONCE_MAX = 1000;
const REQUESTS = 6; // at a time: as many connections as browsers have to one host
const NAMED_FIRST = 2; // of many

const bar = $('#chosen');
let work = null; // what is done with many just now: {text, stop}

/** The first of them by name, and how many more. */
const firstOf = rows => [
  rows.slice(0, NAMED_FIRST).map((row, at) => [at > 0 && ', ', called(row)]),
  rows.length > NAMED_FIRST && ` and ${count(rows.length - NAMED_FIRST)} more`,
];
const allOf = rows =>
  rows.length === 1 ? called(rows[0]) : [plural(rows.length, 'registration'), ': ', firstOf(rows)];

/**
 * Does something with each row, the first alone, because it may ask for a token; the bar tells how far it is, and can
 * stop it. Gives what came of those that are done, whether these are all, and why no more if there was a reason: nobody
 * need enter a token.
 */
export async function withEach(what, rows, act) {
  const left = [...rows];
  const done = [];
  let isOver = false;
  let failure;
  const end = error => {
    isOver = true;
    // A change that may have been made must be reported.
    if (!failure?.isWrite) failure = error;
  };
  const mine = {
    text: () => sentence(`${what} ${count(done.length)} of ${count(rows.length)}`),
    stop: () => end({ message: 'Stopped.' }),
  };
  const next = async () => {
    try {
      const answer = await act(left.shift());
      if (answer === null) isOver = true;
      else done.push(answer);
    } catch (error) {
      end(error);
    }
  };
  const goOn = async () => {
    while (left.length && !isOver) await next();
  };
  work = mine;
  // No progress is shown for a quick action.
  if (!bar.hidden) drawBar();
  if (left.length) await next();
  await Promise.all(Array.from({ length: REQUESTS }, goOn));
  if (work === mine) work = null;
  drawBar();
  const isWhole = done.length === rows.length;
  const why = failure && (unheard(what, failure, 'a few more') ?? failure.message);
  if (why && !isWhole) emit('toast', { bad: true, text: `${mine.text()} ${why}` });
  return { done, isWhole };
}

/** Registers all of them again, each with its own lifetime, which starts anew. */
async function restoreAll(rows) {
  const { done, isWhole } = await withEach('registered again', rows, row => putRegistration(contentOf(row)));
  if (done.length) emit('written');
  const [first] = rows;
  if (isWhole && first) {
    const { ttl_seconds } = first;
    const ends = () => at(Date.now() + ttl_seconds * 1000);
    const isTimed = rows.length === 1 && ttl_seconds > 0;
    emit('toast', {
      text: ['Registered again: ', allOf(rows)],
      more: isTimed && `Its lifetime starts over: ${words(ttl_seconds)} from now, until ${ends()}.`,
    });
  }
  await reload();
  return isWhole;
}

export const keyOfEntry = entry => JSON.stringify(entry.targets);

/** Registers `rows` as they were; of a `group` that was replaced, those go that were `created`. Whether all of it is done. */
export async function takeBack({ rows, group, created = [] }) {
  const back = new Set(rows.map(keyOfEntry));
  const news = new Set(created.map(keyOfEntry).filter(key => !back.has(key)));
  try {
    const found = news.size ? (await allRegistrations({ group })).filter(row => news.has(keyOfEntry(row))) : [];
    if (!(await withEach('deleted', found, row => deleteRegistration(row.id))).isWhole) return false;
  } catch (error) {
    failed('taken back as a whole', error);
    return false;
  }
  return restoreAll(rows);
}

/** Deletes one; gives it as it was, so that it can come back. */
async function removeOne(row) {
  const now = await fetchRegistration(row.id).catch(absent(row));
  return (await deleteRegistration(row.id).catch(absent())) === null ? null : now;
}

export async function removeChosen() {
  if (work) return;
  const { done } = await withEach('deleted', [...list.chosen.values()], removeOne);
  if (!done.length) return;
  strike(...done);
  emit('written');
  const renewed = done.filter(renewalInterval).length;
  emit('toast', {
    verb: 'Deleted',
    noun: 'selection',
    text: ['Deleted ', allOf(done)],
    warn: renewed > 0 && `${plural(renewed, 'host')} will renew theirs, and bring it back, unless you stop that there.`,
    more: !renewed && 'What hosts still renew comes back.',
    back: { rows: done },
  });
}

/** Refuses more than can be handled at once, and says so. */
export function chooseSome(some) {
  if (new Set([...list.chosen.keys(), ...some.map(({ id }) => id)]).size > AT_ONCE_MAX)
    return emit('toast', { bad: true, text: `At most ${count(AT_ONCE_MAX)} can be selected at once.` });
  chooseRows(some);
}

const chooseAll = () => allRegistrations(filter()).then(chooseSome, error => failed('selected', error));
export const toggleChosen = row => (list.chosen.has(row.id) ? chooseRows([row], false) : chooseSome([row]));

/** Says whether there was something to stop, or any were chosen. */
export function chooseNone() {
  if (work) {
    work.stop();
    return true;
  }
  const was = list.chosen.size > 0;
  chooseRows([...list.chosen.values()], false);
  return was;
}

const chosenTargets = () => [...list.chosen.values()].flatMap(({ targets }) => targets).join('\n');
export const copyChosen = () => copy(chosenTargets());

/** A list as a file of which `inventor import` makes the same registrations. */
async function exportPages(pages) {
  const parts = [];
  let n = 0;
  for await (const page of pages) {
    n += page.length;
    if (page.length) parts.push(parts.length ? ',\n' : '[\n', page.map(row => `  ${json(contentOf(row))}`).join(',\n'));
  }
  saveFile('registrations.json', [...parts, n ? '\n]\n' : '[]\n']);
  emit('toast', { text: `Exported ${plural(n, 'registration')}.` });
}

function exportList() {
  if (list.total > AT_ONCE_MAX) emit('toast', { text: `Reading ${plural(list.total, 'registration')}…` });
  // In the order of ids: any other would be sorted anew for each page.
  exportPages(pagesOf(filter())).catch(error => emit('toast', { bad: true, text: `Not exported. ${error.message}` }));
}

function drawBar() {
  const rows = [...list.chosen.values()];
  const n = rows.length;
  bar.hidden = !n && !work;
  if (bar.hidden) return;
  const button = (key, text, act, more, kind = '') => ({
    key,
    shape: text + more['data-changes'],
    draw: () => h(`button.quiet${kind}`, { onclick: act, ...more }, text),
  });
  const told = (text, ...named) => ({
    key: 'n',
    shape: text + named.slice(0, NAMED_FIRST).map(({ id }) => id),
    draw: () => h('p', h('b', text), ' ', firstOf(named)),
  });
  if (work) return keep(bar, [told(work.text()), button('stop', 'Stop', work.stop, { title: 'Stop (Esc)' })]);
  const groups = rows.map(row => row.target_group);
  // One refusal is reported for all.
  const group = groups.find(refusal) ?? groups[0];
  const isMore = list.total > n && list.total <= AT_ONCE_MAX && !isOutdated();
  keep(
    bar,
    [
      told(`${count(n)} selected:`, ...rows),
      isMore && button('all', `Select all ${count(list.total)}`, chooseAll, { title: 'All that the list has' }),
      button('copy', 'Copy targets', copyChosen, { title: 'Copy targets (c)' }),
      button('export', 'Export', () => exportPages([[...list.chosen.values()]]), {
        title: 'As a file for inventor import',
      }),
      button('delete', 'Delete', removeChosen, changes(group, 'Delete (d)'), '.danger'),
      { key: 'close', draw: () => iconButton('close', 'Select none (Esc)', chooseNone) },
    ].filter(Boolean),
  );
}

export function startSeveral() {
  on('chosen', () => {
    drawBar();
    if (list.chosen.size) say(`${count(list.chosen.size)} selected`);
  });
  on('listed', drawBar);
  on('tick', () => work && drawBar());
  on('select', row => toggleChosen(rowOf(row.id) ?? row));
  on('exportlist', exportList);
}
