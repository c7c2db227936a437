// The theme: the system's, light or dark, and what else a person chose to keep in this browser.
import { $, say } from './dom.js';

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

export function startTheme() {
  root.dataset.theme ??= 'auto';
  $('#theme').onclick = nextTheme;
  drawTheme();
}
