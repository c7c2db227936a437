// Texts to copy: JSON, shell lines, configuration. No value may turn a copied line around or end it early.
import { copyButton, fill, h } from './dom.js';
import { origin } from './server.js';

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
  const pre = h('pre.code', { tabindex: 0, role: 'group' });
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
