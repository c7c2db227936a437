// The search field with the filters in it, its suggestions, and the line below with the number of matches.
import { $, fill, foreign, h, icon, keep, listen } from './dom.js';
import { emit, on } from './events.js';
import { groups } from './groups.js';
import { isOutdated, list, paint, reload, step } from './list.js';
import { changes } from './row.js';
import { isNegative, typedSelector, written } from './selector.js';
import { get, server } from './server.js';
import { filter, go, isFiltered, nothing, orders, state } from './state.js';
import { count, plural, setText, short, since, until } from './words.js';

const TYPING_MS = 180; // without a key before a search is sent
const OFFERED_MAX = 4; // of a kind

const q = $('#q');
const hint = $('#q-hint');
let typing;
let asked = new AbortController();

function filterToken(kind, body, patch) {
  const remove = () => {
    go(patch);
    q.focus();
  };
  const button = h('button.x', { 'aria-label': `Remove filter ${body.textContent}`, onclick: remove }, icon('close'));
  return h(`li.token${kind}`, body, button);
}

function drawTokens() {
  const ofGroup = g =>
    filterToken('', h('span', h('i', 'group '), foreign(g)), { groups: state.groups.filter(x => x !== g) });
  const ofLabel = (r, at) =>
    filterToken(isNegative(r) ? '.not' : '', h('span', foreign(written(r))), {
      selector: state.selector.toSpliced(at, 1),
    });
  const ofTime = state.within && filterToken('', h('span', `expire within ${state.within}`), { within: '' });
  fill($('#tokens'), ofTime, state.groups.map(ofGroup), state.selector.map(ofLabel));
  q.placeholder = isFiltered()
    ? ''
    : innerWidth < 800
      ? 'Search'
      : 'Search targets, labels, groups; or a label: env=prod';
  $('#sort').value = state.sort;
}

function groupFacts(group) {
  return [
    h('span', plural(group.targets, 'target')),
    h('span', 'last renewed ', since(group.last_updated_at)),
    group.next_expiry_at && h('span', 'next expires in ', h('span', { 'data-until': group.next_expiry_at })),
  ];
}

function paintUntil() {
  const el = $('#summary [data-until]');
  if (el) setText(el, short(until(el.dataset.until)));
}

/** Actions for the whole list, or for the group that it shows. */
function acts(group) {
  const button = (text, act, more, kind = '') =>
    h(`button.quiet.file${kind}`, { onclick: () => emit(act, group?.name), ...more }, text);
  if (!group) return button('Export', 'exportlist', { title: 'What the list has, as a file for inventor import' });
  return [
    button('Export', 'export', { title: 'The group as file_sd has it' }),
    button('Replace', 'declare', changes(group.name, 'Make the group what a file says')),
    button('Delete', 'deletegroup', changes(group.name, 'Delete the whole group'), '.danger'),
  ];
}

function pill() {
  const title = 'Update the list (r)';
  return h('button.quiet.pill', { onclick: reload, title }, 'The list has changed', h('b', 'Update'));
}

function drawSummary() {
  const group = state.groups.length === 1 && groups.by.get(state.groups[0]);
  const isWhole = !state.selector.length && !filter().q && !state.within;
  const whole = isWhole ? group : undefined;
  const all = isFiltered() && ` of ${count(groups.total)}`;
  const isOne = (isFiltered() ? groups.total : list.total) === 1;
  const clear = () => {
    q.value = '';
    go(nothing);
  };
  // Rows of another search do not answer this one.
  const none = isOutdated() && (server.isSilent ? 'No answer yet.' : 'Searching…');
  const shown = () =>
    none
      ? h('span.shown', h('b', none), list.total > 0 && h('span', ' Below is the list before.'))
      : h('span.shown', h('b', count(list.total)), all, h('span', isOne ? ' registration' : ' registrations'));
  const ofGroup = () => [
    !isWhole && h('span', `the whole group: ${plural(group.registrations, 'registration')}`),
    groupFacts(group),
  ];
  const facts = () => h('span.facts.grow', group && ofGroup());
  // A pressed element must stay in the document until it is released.
  keep(
    $('#summary'),
    [
      { key: 'shown', shape: none || `${list.total}${all}`, draw: shown },
      list.pending && { key: 'pill', draw: pill },
      { key: 'facts', shape: JSON.stringify([group, isWhole]), draw: facts },
      list.total > 0 && { key: `acts of ${whole?.name}`, draw: () => h('span.line', acts(whole)) },
      isFiltered() && { key: 'clear', draw: () => h('button.quiet', clear, 'Clear filters') },
    ].filter(Boolean),
  );
  paintUntil();
}

function search() {
  clearTimeout(typing);
  if (q.value !== state.q) go({ q: q.value }, { replace: true });
}

const [GROUP, MODULE] = [/^(__meta_inventor_)?group$/, /^(__meta_inventor_sd_)?module$/];
/** Whether it names existing groups, not values of a label. */
const isOfGroups = ({ key, op, values }) =>
  GROUP.test(key) && ['=', 'in'].includes(op) && values.every(name => groups.by.has(name));
const spoken = r => (isOfGroups(r) ? `group ${r.values.join(' or ')}` : written(r));

/** Text that is a label here but looks like something else. */
const aside = ({ key }) =>
  GROUP.test(key)
    ? `No such group to choose: this is about a label “${key}”.`
    : MODULE.test(key) && `This is about a label “${key}”. A module is found by typing its name alone.`;

/** Adds requirements, and groups, to the filter. */
function narrow(more, named = []) {
  emptyField();
  const news = new Set(more.map(written));
  const selector = [...state.selector.filter(r => !news.has(written(r))), ...more];
  go({ q: '', selector, groups: [...new Set([...state.groups, ...named])] });
}

/** The suggestions below the field: [text, number of registrations, action]. */
async function offers(text, signal) {
  const [, name = '', sign, value] = /^\{?\s*([A-Za-z_]\w*)(=|!=)"?([^",]*)$/.exec(text) ?? [];
  const scope = { group: state.groups, selector: filter().selector, limit: OFFERED_MAX };
  const ofLabel = [];
  if (name) {
    const { values } = await get(`labels/${encodeURIComponent(name)}/values`, { ...scope, prefix: value }, signal);
    const requirement = one => ({ key: name, op: sign, values: [one] });
    for (const one of values)
      ofLabel.push([written(requirement(one.value)), one.registrations, () => narrow([requirement(one.value)])]);
    if (!GROUP.test(name)) return ofLabel;
  }
  const word = (name ? value : text).trim().toLowerCase();
  const isGroup = g => g.name.toLowerCase().includes(word) && !state.groups.includes(g.name);
  const found = groups.list.filter(isGroup).slice(0, OFFERED_MAX);
  const offered = found.map(g => [`group ${g.name}`, g.registrations, () => narrow([], [g.name])]);
  if (name || !/^[A-Za-z_]\w*$/.test(word)) return [...ofLabel, ...offered];
  const { labels } = await get('labels', { ...scope, prefix: text.trim() }, signal);
  const type = label => () => {
    q.value = `${label.name}=`;
    q.focus();
    typed();
  };
  return [...labels.map(label => [`${label.name}=`, label.registrations, type(label)]), ...offered];
}

function offer(found) {
  const old = $('ul', hint);
  old?.remove();
  if (!found.length) return;
  const line = ([text, n, choose]) =>
    h('li', h('button.offer', { onclick: choose, tabindex: -1 }, h('code', foreign(text)), h('span.n', count(n))));
  hint.append(h('ul', { 'aria-label': 'Offers' }, found.map(line)));
  hint.hidden = false;
}

/** Text that parses as a label selector is offered as one; other text is searched for once typing pauses. */
function typed() {
  const text = q.value;
  const { found, wrong } = typedSelector(text);
  clearTimeout(typing);
  fill(
    hint,
    found &&
      h(
        'p',
        h('kbd', 'Enter'),
        ' only where ',
        found.map((r, at) => [at > 0 && ' and ', h('code', foreign(spoken(r)))]),
      ),
    found?.map(r => !isOfGroups(r) && aside(r)).map(text => text && h('p.note', foreign(text))),
    wrong && h('p.warn', wrong),
  );
  hint.hidden = !hint.firstChild;
  asked.abort();
  asked = new AbortController();
  const { signal } = asked;
  typing = setTimeout(() => {
    if (!found && !wrong) search();
    if (!text.trim()) return;
    offers(text, signal).then(
      found => signal.aborted || offer(found),
      () => {},
    );
  }, TYPING_MS);
}

function submit(e) {
  e.preventDefault();
  const { found, wrong } = typedSelector(q.value);
  if (wrong) return;
  if (found)
    return narrow(
      found.filter(r => !isOfGroups(r)),
      found.filter(isOfGroups).flatMap(r => r.values),
    );
  closeHint();
  search();
}

function closeHint() {
  asked.abort();
  fill(hint);
  hint.hidden = true;
}

function emptyField() {
  clearTimeout(typing);
  q.value = '';
  closeHint();
}

function dropLast() {
  if (state.selector.length) go({ selector: state.selector.slice(0, -1) });
  else if (state.groups.length) go({ groups: state.groups.slice(0, -1) });
  else if (state.within) go({ within: '' });
}

function keydown(e) {
  if (e.key === 'ArrowDown') {
    e.preventDefault();
    const offered = $('.offer', hint);
    if (offered) return offered.focus();
    step(0).catch(error => emit('trouble', error));
  } else if (e.key === 'Backspace' && !q.value) {
    dropLast();
  } else if (e.key === 'Escape' && q.value) {
    e.stopPropagation();
    e.preventDefault();
    emptyField();
    search();
  }
}

/** In the suggestions: arrows move, Escape returns to the field. */
function offerKey(e) {
  const line = e.target.closest('li');
  const to = { ArrowDown: line?.nextSibling, ArrowUp: line?.previousSibling }[e.key];
  if (to) to.firstChild.focus();
  else if (e.key === 'ArrowUp' || e.key === 'Escape') q.focus();
  else return;
  if (e.key === 'Escape') closeHint();
  e.preventDefault();
  e.stopPropagation();
}

/** The number of matches of another filter. */
export const conditions = () => [
  ...(state.within ? [[`expire within ${state.within}`, { within: '' }]] : []),
  ...state.selector.map((r, at) => [written(r), { selector: state.selector.toSpliced(at, 1) }]),
  ...state.groups.map(g => [`group ${g}`, { groups: state.groups.filter(x => x !== g) }]),
  ...(filter().q ? [[filter().q, { q: '' }]] : []),
];

export function startSearch() {
  fill(
    $('#sort'),
    Object.entries(orders).map(([value, label]) => h('option', { value }, label)),
  );
  $('#search').onsubmit = submit;
  $('#sort').onchange = e => go({ sort: e.target.value });
  $('#field').onclick = e => {
    if (e.target.id === 'field') q.focus();
  };
  listen(q, { input: typed, keydown });
  listen(hint, { keydown: offerKey, mousedown: e => e.preventDefault() });
  $('#field').addEventListener('focusout', e => {
    if (!$('#field').contains(e.relatedTarget)) closeHint();
  });
  on('listed', drawSummary);
  on('grouped', drawSummary);
  on('tick', () => (isOutdated() ? drawSummary() : paintUntil()));
  on('route', () => {
    // Typed text is never rewritten.
    if (q.value !== state.q && document.activeElement !== q) q.value = state.q;
    drawTokens();
  });
  // The heading of the columns sticks below what may be two lines high.
  new ResizeObserver(() => {
    document.documentElement.style.setProperty('--list-head', `${$('.list-head').offsetHeight}px`);
    paint();
  }).observe($('#summary'));
}
