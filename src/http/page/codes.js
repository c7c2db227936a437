// Texts to copy: JSON, shell lines, configuration. No value may turn a copied line around or end it early.
import { copyButton, fill, h } from './dom.js';
import { origin, registrationPath } from './server.js';

const TRICKY = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u00a0\u3164]/gu;
const escaped = char => char.replace(/./gs, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);

export const json = (value, indent) => JSON.stringify(value, null, indent).replace(TRICKY, escaped);

/** A text as JSON has it between the quotes: one sees all of it. */
export const spelled = text => json(text).slice(1, -1).replaceAll('\\"', '"');
const CONTROLS = { n: '\n', r: '\r', t: '\t', b: '\b', f: '\f' };
/** The text that is spelled like this. */
export const meant = text =>
  text.replace(/\\(?:u([\da-f]{4})|(.))/gi, (_all, hex, char) =>
    hex ? String.fromCharCode(Number.parseInt(hex, 16)) : (CONTROLS[char] ?? char),
  );

const quoted = text => `'${text.replaceAll("'", "'\\''")}'`;
const BEARER = '-H "Authorization: Bearer $TOKEN"';

const curl = (method, path) => `curl -sS -X ${method} ${quoted(`${origin}/${path}`)} ${BEARER}`;
export const curlPut = (content, query = '') =>
  `${curl('PUT', `target${query}`)} -d ${quoted(json({ static_config: content }))}`;
/** The same as the form does, which is stricter, and deletes the registration that is `left` behind. */
export const curlSave = (content, left) => {
  const put = curlPut(content, '?strict=true');
  return left ? `${put.replace('-sS', '-fsS')} &&\n${curl('DELETE', `api/v1/${registrationPath(left)}`)}` : put;
};
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
