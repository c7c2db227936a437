// When the store or the server is gone: what was known stays in sight, is marked, and everything returns by itself.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventually, giveToken, hasText, rowCountIs, rowOf, rows, signIn, toast } from './browser.js';
import { withOwnServer } from './own.js';
import { Redis } from './server.js';

const banner = page => page.locator('#banners .banner');

// They wait more than they compute, each for servers of its own: they wait together.
describe('when something is gone,', { concurrency: true }, () => {
  test('without Redis the list stays, what expires is kept, writes say so, and it returns by itself', async () => {
    const redis = await Redis.start();
    await withOwnServer({ redis, targets: ['long:1'] }, async (page, server) => {
      await signIn(page);
      await server.register('brief:1', { ttl_seconds: 20 });
      await page.keyboard.press('r');
      await rowCountIs(page, 2);
      await redis.kill();
      await hasText(banner(page), 'The store is unavailable.');
      await hasText(banner(page), 'Polls get the last good list.');
      await hasText(page.locator('#strip'), 'Unavailable');
      await hasText(rowOf(page, 'brief:1').locator('.c-left'), 'kept');
      await rowOf(page, 'long:1').press('d');
      await toast(page, 'It may or may not have been deleted').waitFor();
      await page.keyboard.press('n');
      await page.locator('#f-targets').fill('meanwhile:1');
      await page.keyboard.press('Control+Enter');
      await hasText(page.locator('#panel .alert'), 'It may or may not have been registered');
      await redis.start();
      await banner(page).waitFor({ state: 'hidden' });
      await page.locator('#f-targets').press('Control+Enter');
      await toast(page, 'Registered meanwhile:1').waitFor();
    });
    await redis.stop();
  });

  test('without the server the page keeps what it shows, says since when, and goes on when it is back', async () => {
    await withOwnServer({ targets: ['a:1'] }, async (page, server) => {
      await rowCountIs(page, 1);
      await server.kill();
      await hasText(banner(page), 'The server cannot be reached.');
      await hasText(banner(page), 'This is what it said at');
      await hasText(banner(page), 'Trying again in');
      await hasText(page.locator('#fresh'), 'stale');
      assert.equal(await rows(page).count(), 1);
      await page.keyboard.press('n');
      await page.locator('#f-targets').fill('b:1');
      await page.keyboard.press('Control+Enter');
      await hasText(page.locator('#panel .alert'), 'Not registered. The connection failed.');
      await server.start();
      await hasText(page.locator('#fresh'), 'live');
      assert.equal(await banner(page).count(), 0);
      assert.equal(await page.locator('#f-targets').inputValue(), 'b:1');
      await page.locator('#f-targets').press('Control+Enter');
      await giveToken(page);
      await toast(page, 'Registered b:1').waitFor();
    });
  });

  test('a server that hangs is not live: it is told within two looks, and all returns when it goes on', async () => {
    await withOwnServer({ targets: ['a:1'] }, async (page, server) => {
      await signIn(page);
      await server.register('brief:1', { ttl_seconds: 20 });
      await server.register('ever:1', { ttl_seconds: 0 });
      await page.keyboard.press('r');
      await rowCountIs(page, 3);
      server.pause();
      const since = Date.now();
      await rowOf(page, 'ever:1').press('d');
      await page.locator('.row.going').waitFor();
      await page.locator('#q').fill('a:1');
      await hasText(page.locator('#fresh'), 'stale');
      assert.ok(Date.now() - since < 45_000, `told after ${Date.now() - since} ms`);
      await hasText(banner(page), 'The server cannot be reached.');
      await hasText(banner(page), 'No answer within 10 s.');
      // Nobody knows whether it was renewed.
      await hasText(rowOf(page, 'brief:1').locator('.c-left'), 'unknown');
      // The rows are those of before the search, and nothing is said of how many it finds.
      const shown = page.locator('#summary .shown');
      await hasText(shown, 'No answer yet. Below is the list before.');
      assert.equal(await page.locator('#grid').getAttribute('aria-busy'), 'true');
      await page.locator('#register').click();
      await page.locator('#f-targets').fill('b:1');
      await page.keyboard.press('Control+Enter');
      await page.locator('#panel button.busy').waitFor();
      await hasText(page.locator('#panel .alert'), 'Not registered. No answer within 10 s.');
      // What was sent may have been done, and what was only asked for has not.
      await hasText(
        page.locator('.toast'),
        /^◆ No answer within 35 s, so it may or may not have been deleted: try again/,
      );
      assert.ok(!(await page.locator('#panel button.busy').count()));
      server.goOn();
      await hasText(page.locator('#fresh'), 'live');
      await banner(page).waitFor({ state: 'hidden' });
      await hasText(shown, /^1 of \d+ registrations?$/);
      await rowCountIs(page, 1);
      await page.locator('#f-targets').press('Control+Enter');
      await toast(page, 'Registered b:1').waitFor();
    });
  });

  test('a proxy that answers for the server is not taken for it', async () => {
    await withOwnServer({ targets: ['a:1'] }, async page => {
      await rowCountIs(page, 1);
      await page.route('**/api/v1/**', route =>
        route.fulfill({ status: 200, contentType: 'text/html', body: '<p>Sign in' }),
      );
      await hasText(page.locator('#fresh'), 'stale');
      await hasText(banner(page), 'What answered is not this server');
      assert.equal(await rows(page).count(), 1);
    });
  });

  test('a server that has not loaded yet is said to be starting', async () => {
    const redis = await Redis.start();
    await redis.kill();
    await withOwnServer({ redis }, async page => {
      await hasText(banner(page), 'The server is starting.');
      await redis.start();
      await hasText(page.locator('#below'), 'Nothing is registered yet');
    });
    await redis.stop();
  });

  test('a hidden tab asks for nothing, and looks at once when it is shown', async () => {
    await withOwnServer({ targets: ['a:1'] }, async page => {
      await rowCountIs(page, 1);
      let asked = 0;
      page.on('request', () => asked++);
      const turn = hidden =>
        page.evaluate(is => {
          Object.defineProperty(document, 'hidden', { configurable: true, get: () => is });
          document.dispatchEvent(new Event('visibilitychange'));
        }, hidden);
      await turn(true);
      asked = 0;
      // Longer than the time between two looks.
      await page.waitForTimeout(11_000);
      assert.equal(asked, 0);
      await turn(false);
      await eventually('it looks', () => asked > 0);
    });
  });
});
