// How a state looks: in both themes and at several widths axe finds nothing, nothing is wider than the window, and a
// picture is in target/page/screens.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { accessibilityFaults, eventually, withPage } from './browser.js';
import { root } from './tools.js';

const SCREENS = process.env.SCREENS ?? `${root}target/page/screens`;
const WIDTHS = [1440, 800, 390];
const PHONE = 480; // px: narrower ones are
export const THEMES = ['light', 'dark'];

mkdirSync(SCREENS, { recursive: true });

export const picture = (page, name) => page.screenshot({ path: `${SCREENS}/${name}.png` });

async function isNoWiderThanTheWindow(page) {
  const { wide, window } = await page.evaluate(() => ({
    wide: document.documentElement.scrollWidth,
    window: innerWidth,
  }));
  assert.ok(wide <= window, `${wide} > ${window}`);
}

/** On a phone, and at 400 % zoom, nothing sticks out at the side: not even into what one could scroll, if one knew. */
async function isWithinTheWindow(page) {
  const outside = await page.evaluate(() => {
    const isOutside = el => {
      const { left, right, width } = el.getBoundingClientRect();
      return width > 1 && (left < -1 || right > innerWidth + 1);
    };
    const seen = [...document.querySelectorAll('body *')].filter(el =>
      el.checkVisibility({ visibilityProperty: true }),
    );
    return seen.filter(isOutside).map(el => el.outerHTML.slice(0, 100));
  });
  assert.deepEqual(outside, []);
}

export const settled = page =>
  Promise.all([
    eventually('it is live', async () => (await page.locator('#fresh').textContent()) === 'live'),
    eventually('nothing is under way', async () => !(await page.locator('[aria-busy]').count())),
  ]);

/** What stands at the top has its lines and is no wider than the window, also with all that may ever stand there. */
async function headIsWhole(page) {
  const outside = await page.locator('.top').evaluate(top => {
    const fresh = top.querySelector('#fresh');
    const before = [...fresh.childNodes];
    fresh.replaceChildren('stale 12m 03s');
    const badges = [...top.querySelectorAll('#tabs a + a')].map(tab => {
      const badge = document.createElement('span');
      badge.className = 'tag';
      badge.textContent = '1,234';
      tab.append(badge);
      return badge;
    });
    const isOutside = el => {
      const { right, bottom } = el.getBoundingClientRect();
      return right > innerWidth + 1 || bottom > top.getBoundingClientRect().bottom;
    };
    const found = [...top.children].filter(isOutside).map(el => el.id);
    for (const badge of badges) badge.remove();
    fresh.replaceChildren(...before);
    return found;
  });
  assert.deepEqual(outside, []);
}

/** Looks at a state in every width, each loaded and acted in once, and in both themes. */
export async function look(name, server, path, { widths = WIDTHS, act = async () => {} } = {}) {
  for (const width of widths) {
    const height = width < 800 ? 844 : 900;
    await withPage(server, { path, width, height, reducedMotion: 'reduce' }, async page => {
      await settled(page);
      await act(page);
      await isNoWiderThanTheWindow(page);
      if (width < PHONE) await isWithinTheWindow(page);
      await headIsWhole(page);
      for (const colorScheme of THEMES) {
        await page.emulateMedia({ colorScheme });
        await picture(page, `${name}-${width}-${colorScheme}`);
        const { rules, faults } = await accessibilityFaults(page);
        assert.ok(rules > 20, `axe has looked: ${rules}`);
        assert.deepEqual(faults, [], `${name} ${width} ${colorScheme}`);
      }
    });
  }
}
