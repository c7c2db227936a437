// The panel at the right: one place for a registration, the forms and the configuration; and the boxes of text to copy.
import { $, copyButton, fill, h, iconButton, say } from './dom.js';
import { origin } from './server.js';
import { go, state } from './state.js';

// ---- The panel at the right: one place for a registration, the forms and the configuration.

const panel = $('#panel');
let shown;
let afterwards;
let opener;

/** Shows something; `closed` is done when it is closed, instead of looking at no registration any more. */
export function openPanel(what, title, { actions, closed } = {}, ...body) {
  const isSame = isOpen(what);
  const hadFocus = isSame && panel.contains(document.activeElement);
  if (panel.hidden) opener = document.activeElement;
  shown = what;
  afterwards = closed;
  const close = iconButton('close', 'Close (Esc)', () => closePanel());
  fill(panel, h('header.panel-head', h('h2.grow', { tabindex: -1 }, title), actions, close), h('div.panel-body', body));
  if (!isSame) panel.scrollTop = 0;
  panel.hidden = false;
  if (hadFocus) enterPanel();
}

export const enterPanel = () => $('h2', panel)?.focus({ preventScroll: true });
export const isOpen = what => !panel.hidden && (!what || shown === what);

/** Says whether there was something to close. `back`: the focus returns to where it came from. */
export function closePanel({ back = true } = {}) {
  if (panel.hidden) return false;
  const hadFocus = panel.contains(document.activeElement);
  panel.hidden = true;
  if (back && hadFocus && opener?.isConnected) opener.focus({ preventScroll: true });
  if (afterwards) afterwards();
  else if (state.id) go({ id: '' });
  return true;
}

/** A box that says what is wrong; screen readers hear it. */
export function alertBox(...text) {
  const box = h('div.alert', { tabindex: -1 }, text);
  say(box.textContent);
  return box;
}

// ---- Texts to copy: JSON, shell lines, configuration. No value may turn a copied line around or end it early.

const TRICKY = /[\u007f-\u00a0\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
const escaped = char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;

export const json = (value, indent) => JSON.stringify(value, null, indent).replace(TRICKY, escaped);

const quoted = text => `'${text.replaceAll("'", "'\\''")}'`;
const BEARER = '-H "Authorization: Bearer $TOKEN"';

export const curlPut = content =>
  `curl -sS -X PUT ${quoted(`${origin}/target`)} ${BEARER} -d ${quoted(json({ static_config: content }))}`;
export const curlGet = (url, needsToken) => `curl -sS ${needsToken ? `${BEARER} ` : ''}${quoted(url)}`;

/** A box with one text of several, [[name, text], ...], and a button that copies it. `chosen` tells which one. */
export function codes(forms, now = 0) {
  const pre = h('pre.code', { tabindex: 0 });
  const isOne = forms.length === 1;
  const tabs = h('div.segments', isOne ? {} : { role: 'tablist' });
  const copy = copyButton(() => pre.textContent);
  const box = h('div.codes', h('div.codes-head', tabs, copy), pre);
  const draw = () => {
    const [name, text] = forms[now];
    pre.textContent = text;
    pre.ariaLabel = name;
    pre.classList.toggle('wrap', /^(curl|export)/.test(text));
    if (isOne) return;
    for (const [at, tab] of [...tabs.children].entries()) {
      tab.ariaSelected = String(at === now);
      tab.tabIndex = at === now ? 0 : -1;
    }
  };
  const choose = at => {
    now = at;
    box.chosen?.(at);
    draw();
  };
  tabs.onkeydown = e => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
    if (!by) return;
    choose((now + by + forms.length) % forms.length);
    tabs.children[now].focus();
  };
  fill(
    tabs,
    forms.map(([name], at) => (isOne ? h('b', name) : h('button', { role: 'tab', onclick: () => choose(at) }, name))),
  );
  box.update = next => {
    forms = next;
    draw();
  };
  draw();
  return box;
}
