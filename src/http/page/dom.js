// Elements and the text in them. No markup is ever parsed: whatever somebody registered becomes text nodes.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

const isAbsent = value => value === null || value === undefined || value === false;

/** An element: `h('p.note', {title: 'x'}, 'text', node, [nodes])`; a function in place of the object is what a click does. */
export function h(kind, props, ...kids) {
  const [tag, ...classes] = kind.split('.');
  const el = document.createElement(tag);
  if (tag === 'button') el.type = 'button';
  el.classList.add(...classes);
  if (typeof props === 'function') return putInto(el, kids, { onclick: props });
  return props?.constructor === Object ? putInto(el, kids, props) : putInto(el, [props, ...kids]);
}

function putInto(el, kids, props = {}) {
  for (const [name, value] of Object.entries(props)) {
    if (isAbsent(value)) continue;
    if (name.startsWith('on')) el.addEventListener(name.slice(2), value);
    else if (name === 'value') el.value = value;
    else el.setAttribute(name, value === true ? '' : value);
  }
  for (const kid of kids) {
    if (Array.isArray(kid)) putInto(el, kid);
    else if (!isAbsent(kid)) el.append(kid);
  }
  return el;
}

/** Replaces what an element holds. */
export function fill(el, ...kids) {
  el.replaceChildren();
  el.kept = undefined;
  return putInto(el, kids);
}

/**
 * Shows items, {key, shape, draw, update}, in an element. What has the same shape keeps its element, and with it focus,
 * selection, place and what is open; what has another is updated if it can be, else drawn anew.
 */
export function keep(el, items) {
  const had = el.kept ?? new Map();
  const keys = new Set(items.map(({ key }) => key));
  if (!el.kept) el.replaceChildren();
  for (const [key, one] of had) if (!keys.has(key)) one.el.remove();
  el.kept = new Map();
  let place = el.firstChild;
  for (const { key, shape, draw, update } of items) {
    const one = had.get(key) ?? { el: draw(), shape };
    if (one.shape !== shape && update) {
      update(one.el);
    } else if (one.shape !== shape) {
      const next = draw();
      one.el.replaceWith(next);
      if (place === one.el) place = next;
      one.el = next;
    }
    one.shape = shape;
    el.kept.set(key, one);
    if (one.el === place) place = place.nextSibling;
    else el.insertBefore(one.el, place);
  }
}

export function listen(el, events) {
  for (const [name, act] of Object.entries(events)) el.addEventListener(name, act);
}

/** Whether a click or key means one more choice, or another tab. */
export const wantsMore = e => e.ctrlKey || e.metaKey || e.shiftKey;

export function icon(name) {
  const [svg, use] = ['svg', 'use'].map(tag => document.createElementNS('http://www.w3.org/2000/svg', tag));
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

export const tag = (mood, name, ...text) => h(`span.tag.${mood}`, icon(name), text);
export const heading = (text, n) => h('h1', text, h('span.n', ' ', n));
export const iconButton = (name, label, onclick, more) =>
  h('button.icon-only', { 'aria-label': label, title: label, onclick, ...more }, icon(name));

const FILE_MS = 10_000; // within which the browser has taken a file

const PRINTABLE = /^[ -~]*$/;
// Control and format characters, separators of lines and paragraphs, and the Hangul filler.
export const UNSEEN = /([\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u3164])/u;
const codePoint = char => `U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}`;

/** Registered text: isolated from the text around it, with invisible characters made visible. */
export function foreign(value) {
  if (PRINTABLE.test(value)) return value;
  const parts = value.split(UNSEEN);
  const unseen = char => h('span.unseen', { title: 'an invisible character' }, codePoint(char));
  return h(
    'bdi',
    parts.map((part, at) => (at % 2 ? unseen(part) : part)),
  );
}

/** A target. Its port is dimmed, so that the host stands out. */
export function address(text = '', shown = foreign) {
  const [, host, port] = /^(.*[^:])(:\d{1,5})$/.exec(text) ?? [null, text, ''];
  return h('span.addr', h('span', shown(host)), h('span.port', port));
}

/** Offers a file for download. */
export function saveFile(name, parts) {
  const a = h('a', { href: URL.createObjectURL(new Blob(parts, { type: 'application/json' })), download: name });
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), FILE_MS);
}

let saying;

/** Tells screen readers; the pause makes them read the same text again. */
export function say(text) {
  clearTimeout(saying);
  $('#say').textContent = '';
  saying = setTimeout(() => {
    $('#say').textContent = text;
  }, 60);
}

/** Without the clipboard's permission, as on plain HTTP, the old way works. */
function copyOldWay(text) {
  const box = h('textarea.vh', { value: text });
  const focused = document.activeElement;
  document.body.append(box);
  box.select();
  document.execCommand('copy');
  box.remove();
  focused?.focus();
}

export async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyOldWay(text);
  }
  say('Copied.');
  const use = button && $('use', button);
  use?.setAttribute('href', '#i-check');
  setTimeout(() => use?.setAttribute('href', '#i-copy'), 1400);
}

/** Copies a text, or what a function gives at that moment. */
export const copyButton = (what, label = 'Copy') =>
  iconButton('copy', label, e => copy(typeof what === 'function' ? what() : what, e.currentTarget));
