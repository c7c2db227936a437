// How a state looks: in both themes and at several widths axe finds nothing, nothing is wider than the window, and a
// picture is in target/page/screens.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { accessibilityFaults, eventually, withPage } from './browser.js';
import { root } from './tools.js';

const SCREENS = process.env.SCREENS ?? `${root}target/page/screens`;
const WIDTHS = [1440, 800, 390];
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

export const settled = page =>
  Promise.all([
    eventually('it is live', async () => (await page.locator('#fresh').textContent()) === 'live'),
    eventually('nothing is under way', async () => !(await page.locator('[aria-busy]').count())),
  ]);

/** What stands at the top has its lines. */
async function headIsWhole(page) {
  const below = await page
    .locator('.top')
    .evaluate(top =>
      [...top.children]
        .filter(el => el.getBoundingClientRect().bottom > top.getBoundingClientRect().bottom)
        .map(el => el.id),
    );
  assert.deepEqual(below, []);
}

/** Looks at a state in every width, each loaded and acted in once, and in both themes. */
export async function look(name, server, path, { widths = WIDTHS, act = async () => {} } = {}) {
  for (const width of widths) {
    const height = width < 800 ? 844 : 900;
    await withPage(server, { path, width, height, reducedMotion: 'reduce' }, async page => {
      await settled(page);
      await act(page);
      await isNoWiderThanTheWindow(page);
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
