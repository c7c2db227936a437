// What a hand does: everything that can be pressed is pressed with a mouse that moves, presses and lets go, also while
// renewals come in; in Chromium, and what is the browser's doing in Firefox as well.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { eventually, hasText, press, rowCountIs, rowOf, signIn, toast, withPage } from './browser.js';
import { Server } from './server.js';

const RENEWAL_PAUSE_MS = 200;

const panel = page => page.locator('#panel');
const icons = (page, name) => page.getByRole('button', { name, exact: true });
const id = page => new URL(page.url()).searchParams.get('id');

function facts(browser) {
  let server;

  /** Eight in two groups; once more is a renewal. */
  async function registerEight() {
    for (let i = 0; i < 8; i++) {
      const labels = { env: 'prod', n: `${i}` };
      await server.register(`n${i}:1`, { labels, target_group: `g${i % 2}`, ttl_seconds: 3600 });
    }
  }

  before(async () => {
    server = await Server.start();
    await registerEight();
  });
  after(() => server.stop());
  const withHand = (options, fact) => withPage(server, { browser, ...options }, fact);

  /** Renews all for as long as something happens, as hosts do. */
  async function whileRenewed(act) {
    let isOver = false;
    const renewing = (async () => {
      while (!isOver) {
        await registerEight();
        await setTimeout(RENEWAL_PAUSE_MS);
      }
    })();
    try {
      await act();
    } finally {
      isOver = true;
      await renewing;
    }
  }

  /** Pastes into a field until it holds what was copied. */
  async function clipboardIs(page, text) {
    const field = page.locator('#group-filter');
    await eventually(`${text} is in the clipboard`, async () => {
      await field.fill('');
      await field.press('Control+V');
      return (await field.inputValue()) === text;
    });
    await field.fill('');
  }

  test('the buttons of a row do what they say, each time, also after Escape and while renewals come in', () =>
    withHand({}, page =>
      whileRenewed(async () => {
        await signIn(page);
        for (let round = 0; round < 2; round++) {
          for (const name of ['n1:1', 'n6:1', 'n3:1']) {
            const row = rowOf(page, name);
            await row.locator('.c-targets').hover();
            await press(page, row.getByRole('button', { name: 'Copy targets (c)' }));
            await clipboardIs(page, name);
            await row.locator('.c-targets').hover();
            await press(page, row.getByRole('button', { name: 'Edit (e)' }));
            await hasText(panel(page).locator('h2'), 'Edit');
            await hasText(panel(page), name);
            await page.keyboard.press('Escape');
            await panel(page).waitFor({ state: 'hidden' });
          }
        }
        await rowOf(page, 'n4:1').locator('.c-targets').hover();
        await press(page, rowOf(page, 'n4:1').getByRole('button', { name: 'Delete (d)' }));
        await press(page, toast(page, 'Deleted n4:1').getByRole('button', { name: 'Undo' }));
        await toast(page, 'Registered again: n4:1').waitFor();
      }),
    ));

  test('nothing is taken out of the document while the pointer rests on a row', () =>
    withHand({}, async page => {
      await rowCountIs(page, 8);
      await rowOf(page, 'n2:1').locator('.c-targets').hover();
      await icons(page, 'Edit (e)').hover();
      const changes = await page.evaluate(
        () =>
          new Promise(resolve => {
            let n = 0;
            new MutationObserver(records => {
              n += records.filter(r => r.target.matches?.('.c-acts')).length;
            }).observe(document.querySelector('#grid'), { childList: true, subtree: true });
            window.setTimeout(() => resolve(n), 1500);
          }),
      );
      assert.equal(changes, 0);
    }));

  test('rows, chips, groups, headings, tabs and what stands at the top are pressed with a mouse', () =>
    withHand({}, async page => {
      await rowCountIs(page, 8);
      await press(page, rowOf(page, 'n2:1').locator('.c-targets'));
      await hasText(panel(page).locator('h2'), 'n2:1');
      await press(page, panel(page).getByRole('button', { name: 'Close (Esc)' }));
      await panel(page).waitFor({ state: 'hidden' });
      await press(page, rowOf(page, 'n2:1').getByRole('button', { name: 'n=2' }));
      await rowCountIs(page, 1);
      await press(page, page.getByRole('button', { name: 'Remove filter n=2' }));
      await rowCountIs(page, 8);
      await press(page, rowOf(page, 'n3:1').locator('.c-group button'));
      await rowCountIs(page, 4);
      await press(page, page.getByRole('button', { name: 'Clear filters' }));
      await rowCountIs(page, 8);
      await press(page, page.locator('.group').filter({ hasText: 'g0' }));
      await rowCountIs(page, 4);
      await press(page, page.locator('.group').filter({ hasText: 'All groups' }));
      await rowCountIs(page, 8);
      await press(page, page.locator('.head').getByRole('button', { name: 'Time left' }));
      await page.locator('.c-left[aria-sort=ascending]').waitFor();
      for (const view of ['Pollers', 'Changes', 'Problems']) {
        await press(page, page.locator('#tabs').getByRole('link', { name: view }));
        await hasText(page.locator('#view h1'), view);
      }
      await press(page, page.locator('.brand'));
      await rowCountIs(page, 8);
      await press(page, page.locator('#theme'));
      await eventually('another theme', () => page.evaluate(() => document.documentElement.dataset.theme === 'light'));
      await press(page, page.locator('#help'));
      await press(page, page.locator('dialog').getByRole('button', { name: 'Close' }));
      await press(page, page.locator('#use'));
      await press(page, panel(page).getByRole('tab', { name: 'curl' }));
      await hasText(panel(page).locator('.code'), 'curl -sS');
      await press(page, page.locator('#register'));
      await hasText(panel(page).locator('h2'), 'Register targets');
      await press(page, panel(page).getByRole('button', { name: 'Cancel' }));
      await panel(page).waitFor({ state: 'hidden' });
    }));

  test('several rows are selected, also all from one to another, and no longer', () =>
    withHand({}, async page => {
      await rowCountIs(page, 8);
      const bar = page.locator('#chosen');
      await rowOf(page, 'n0:1').locator('.c-targets').hover();
      await press(page, rowOf(page, 'n0:1').getByRole('button', { name: 'Select (x)' }));
      await hasText(bar, '1 selected');
      await page.keyboard.down('Shift');
      await press(page, rowOf(page, 'n4:1').locator('.c-left'));
      await page.keyboard.up('Shift');
      // By group, then target.
      await hasText(bar, '3 selected');
      assert.equal(await page.evaluate(() => String(getSelection())), '');
      await press(page, bar.getByRole('button', { name: 'Select none (Esc)' }));
      await bar.waitFor({ state: 'hidden' });
    }));

  test('a notice hides nothing: it stands below the groups, or the last row is scrolled out from under it', async () => {
    for (const width of [1440, 390]) {
      await withHand({ width, height: 560 }, async page => {
        await signIn(page);
        for (const name of ['n0:1', 'n2:1']) {
          await rowOf(page, name).press('d');
          await toast(page, `Deleted ${name}`).waitFor();
        }
        await page.keyboard.press('z');
        await toast(page, 'Registered again: n2:1').waitFor();
        const last = rowOf(page, 'n7:1');
        await rowOf(page, 'n4:1').press('End');
        await eventually('the last row can be seen', async () => {
          // A notice that grows meanwhile lies over it until one scrolls on.
          await page.mouse.wheel(0, 500);
          return last.evaluate(el => {
            const { left, width, top, height } = el.getBoundingClientRect();
            const places = [0.05, 0.2, 0.5, 0.95].flatMap(x =>
              [0.2, 0.5, 0.8].map(y => [left + width * x, top + height * y]),
            );
            return places.every(([x, y]) => el.contains(document.elementFromPoint(x, y)));
          });
        });
        await press(page, last.locator('.c-targets'), { at: 0.1 });
        await hasText(panel(page).locator('h2'), 'n7:1');
        await page.keyboard.press('z');
        await toast(page, 'Registered again: n0:1').waitFor();
      });
    }
  });

  // What the page does with the keys is the same in every browser.
  if (browser !== 'chromium') return;

  test('five that were deleted go back one by one, the last one first', () =>
    withHand({}, async page => {
      await signIn(page);
      const names = ['n0:1', 'n1:1', 'n2:1', 'n3:1', 'n5:1'];
      for (const name of names) {
        await rowOf(page, name).locator('.c-targets').hover();
        await press(page, rowOf(page, name).getByRole('button', { name: 'Delete (d)' }));
        await toast(page, `Deleted ${name}`).waitFor();
      }
      assert.equal((await server.registrations()).total, 3);
      await hasText(toast(page, 'Deleted n5:1'), 'Deleted 4 registrations before it.');
      for (const name of names.toReversed()) {
        await page.keyboard.press('z');
        await toast(page, `Registered again: ${name}`).waitFor();
      }
      assert.equal((await server.registrations()).total, 8);
      await rowCountIs(page, 8);
      assert.equal(id(page), null);
    }));

  test('on a phone a tap opens a row, what can be tapped is large, and the groups close by a tap beside them', () =>
    withHand({ width: 390, height: 844, hasTouch: true, isMobile: true }, async page => {
      await rowCountIs(page, 8);
      const small = await page.locator('.top button, #search > button, #side button').evaluateAll(all =>
        all
          .map(el => [el.id, el.getBoundingClientRect()])
          .filter(([, { width, height }]) => height > 0 && Math.min(width, height) < 44)
          .map(([name]) => name),
      );
      assert.deepEqual(small, []);
      await press(page, page.locator('#side-open'));
      await page.locator('#side.open').waitFor();
      await page.touchscreen.tap(370, 500);
      await page.locator('#side.open').waitFor({ state: 'detached' });
      assert.ok(await panel(page).isHidden());
      const { x, y, height } = await rowOf(page, 'n2:1').locator('.chip').first().boundingBox();
      await page.touchscreen.tap(x + 8, y + height / 2);
      await hasText(panel(page).locator('h2'), 'n2:1');
    }));
}

for (const browser of ['chromium', 'firefox']) describe(`in ${browser}:`, () => facts(browser));
