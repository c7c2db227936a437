// The theme: the system's, light or dark, and what else a person chose to keep in this browser.
import { $, $$, h, say } from './dom.js';
import { emit } from './events.js';
import { setZone, zone } from './words.js';

const THEMES = ['auto', 'light', 'dark'];
const root = document.documentElement;

/** A choice kept in the browser; storage may be forbidden. */
export function kept(name, value) {
  try {
    if (value !== undefined) localStorage.setItem(`inventor.${name}`, value);
    return localStorage.getItem(`inventor.${name}`);
  } catch {
    return value ?? null;
  }
}

function drawTheme() {
  const now = root.dataset.theme;
  const button = $('#theme');
  button.title = button.ariaLabel = `Theme: ${now === 'auto' ? 'as the system' : now} (t)`;
}

export function nextTheme() {
  const now = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
  root.dataset.theme = now;
  kept('theme', now);
  say(`Theme: ${now}`);
  drawTheme();
}

/** A box to tick, in the help and where many times are. */
export function zoneBox() {
  const onchange = e => {
    setZone(e.target.checked);
    kept('zone', zone ?? '');
    for (const box of $$('.zone')) box.checked = Boolean(zone);
    emit('retry');
  };
  const box = h('input.zone', { type: 'checkbox', checked: Boolean(zone), onchange });
  return h('label.check', box, h('span', 'Times in UTC'));
}

export function startTheme() {
  setZone(kept('zone'));
  root.dataset.theme ??= 'auto';
  $('#theme').onclick = nextTheme;
  drawTheme();
}
