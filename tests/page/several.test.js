// Several rows at once, the list as a file, and labels with their counts: all pressed with a mouse.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { hasText, press, rowCountIs, rowOf, signIn, toast, withPage } from './browser.js';
import { BINARY, Server } from './server.js';

const bar = page => page.locator('#chosen');
const inBar = (page, name) => bar(page).getByRole('button', { name });
const tokens = page => page.locator('#tokens .token').allTextContents();

let server;

before(async () => {
  server = await Server.start();
  for (let i = 0; i < 6; i++) {
    const labels = { env: i % 2 ? 'stg' : 'prod', n: `${i}` };
    await server.register(`n${i}:1`, { labels, target_group: `g${i % 3}`, ttl_seconds: 3600 + i, modules: ['m'] });
  }
});
after(() => server.stop());

const all = async () => {
  const { registrations } = await server.registrations();
  return registrations
    .map(({ targets, labels, target_group, modules, ttl_seconds }) =>
      JSON.stringify([targets, labels, target_group, modules, ttl_seconds]),
    )
    .sort();
};

/** Presses a row where it has neither a link nor a label. */
const pressRow = (page, name) => press(page, rowOf(page, name).locator('.c-left'));

async function select(page, name) {
  await rowOf(page, name).locator('.c-targets').hover();
  await press(page, rowOf(page, name).getByRole('button', { name: 'Select (x)' }));
}

test('several are selected with a mouse, deleted together, and come back together', () =>
  withPage(server, {}, async page => {
    const before = await all();
    await signIn(page);
    await rowCountIs(page, 6);
    await select(page, 'n0:1');
    await hasText(bar(page), '1 selected');
    await page.keyboard.down('Shift');
    await pressRow(page, 'n1:1');
    await page.keyboard.up('Shift');
    // By group, then target: n0, n3, n1.
    await hasText(bar(page), '3 selected');
    assert.equal(await page.locator('.row[aria-selected=true]').count(), 3);
    await select(page, 'n3:1');
    await hasText(bar(page), '2 selected');
    await page.keyboard.press('Escape');
    await bar(page).waitFor({ state: 'hidden' });
    assert.equal(await page.locator('.row[aria-selected]').count(), 0);
    await select(page, 'n2:1');
    await press(page, inBar(page, 'Select all 6'));
    await hasText(bar(page), /6 selected: n2:1, n\d:1 and 4 more/);
    await press(page, inBar(page, 'Delete'));
    await hasText(page.locator('.toast'), /Deleted 6 registrations: n2:1, n\d:1 and 4 more/);
    await bar(page).waitFor({ state: 'hidden' });
    assert.equal((await server.registrations()).total, 0);
    await press(page, toast(page, 'Deleted 6 registrations').getByRole('button', { name: 'Undo' }));
    await toast(page, 'Registered again: 6 registrations').waitFor();
    assert.deepEqual(await all(), before);
    await rowCountIs(page, 6);
    // Nothing stays selected that is no longer in the list.
    await select(page, 'n1:1');
    await press(page, rowOf(page, 'n4:1').getByRole('button', { name: 'env=prod' }));
    await rowCountIs(page, 3);
    await bar(page).waitFor({ state: 'hidden' });
  }));

test('of several that could not all be deleted, those that were come back', () =>
  withPage(server, {}, async page => {
    const before = await all();
    await signIn(page);
    await rowCountIs(page, 6);
    await select(page, 'n0:1');
    await press(page, inBar(page, 'Select all 6'));
    await hasText(bar(page), '6 selected');
    const { registrations } = await server.registrations('q=n5');
    const last = `**/registrations/${registrations[0].id}`;
    await page.route(last, route => (route.request().method() === 'DELETE' ? route.abort() : route.continue()));
    await press(page, inBar(page, 'Delete'));
    await hasText(
      page.locator('.toast'),
      /Deleted [1-5] of 6. The connection failed, so a few more may or may not have been deleted/,
    );
    await hasText(bar(page), 'selected');
    await page.unroute(last);
    await page.keyboard.press('z');
    await toast(page, 'Registered again:').waitFor();
    assert.deepEqual(await all(), before);
  }));

test('how far many are deleted is told, and they can be stopped: what is left stays, and what is gone comes back', async () => {
  const names = Array.from({ length: 20 }, (_, i) => `many${i}:1`);
  for (const name of names) await server.register(name, { target_group: 'many' });
  await withPage(server, { path: '?group=many' }, async page => {
    await signIn(page);
    await rowCountIs(page, 20);
    await select(page, 'many7:1');
    await press(page, inBar(page, 'Select all 20'));
    await hasText(bar(page), '20 selected: many7:1');
    let asked = 0;
    let goOn;
    const held = new Promise(resolve => {
      goOn = resolve;
    });
    await page.route('**/api/v1/registrations/*', async route => {
      if (route.request().method() === 'DELETE' && ++asked > 3) await held;
      await route.continue();
    });
    await press(page, inBar(page, 'Delete'));
    await hasText(bar(page), 'Deleted 3 of 20.');
    await press(page, inBar(page, 'Stop'));
    goOn();
    const stopped = page.locator('.toast').filter({ hasText: 'Stopped.' });
    const [, n] = /Deleted (\d+) of 20\. Stopped\./.exec(await stopped.textContent());
    assert.ok(n > 2 && n < 20, `${n} were deleted`);
    await hasText(bar(page), `${20 - n} selected`);
    assert.equal((await server.registrations('group=many')).total, 20 - n);
    await press(page, toast(page, `Deleted ${n} registrations`).getByRole('button', { name: 'Undo' }));
    await toast(page, `Registered again: ${n} registrations`).waitFor();
    assert.equal((await server.registrations('group=many')).total, 20);
    await page.unrouteAll({ behavior: 'wait' });
  });
  await server.request('DELETE', 'api/v1/groups/many');
});

test('what the list shows goes out as a file, of which the command line makes the same', () =>
  withPage(server, { acceptDownloads: true }, async page => {
    await rowCountIs(page, 6);
    const exported = async button => {
      const download = page.waitForEvent('download');
      await press(page, button);
      return await (await download).path();
    };
    const sorted = [];
    page.on(
      'request',
      request => /limit=1000.*sort=|sort=.*limit=1000/.test(request.url()) && sorted.push(request.url()),
    );
    const whole = await exported(page.locator('#summary').getByRole('button', { name: 'Export' }));
    assert.deepEqual(sorted, [], 'each page of another order than by id would look at all registrations');
    const args = ['import', whole, '--url', server.url, '--dry-run'];
    const said = execFileSync(BINARY, args, { encoding: 'utf8', env: { PATH: process.env.PATH }, stdio: 'pipe' });
    assert.match(said, /0 to create, 0 to change, 6 unchanged/);
    await press(page, rowOf(page, 'n4:1').getByRole('button', { name: 'env=prod' }));
    await rowCountIs(page, 3);
    const part = await exported(page.locator('#summary').getByRole('button', { name: 'Export' }));
    const entries = JSON.parse(readFileSync(part, 'utf8'));
    assert.deepEqual(entries.map(entry => entry.targets[0]).sort(), ['n0:1', 'n2:1', 'n4:1']);
    await select(page, 'n2:1');
    const one = await exported(inBar(page, 'Export'));
    assert.deepEqual(
      JSON.parse(readFileSync(one, 'utf8')).map(entry => entry.targets[0]),
      ['n2:1'],
    );
  }));

test('labels and values are shown with their counts, and a value that is pressed filters', () =>
  withPage(server, {}, async page => {
    await rowCountIs(page, 6);
    await press(page, page.locator('#labels'));
    const name = text => page.locator('#facets details').filter({ has: page.locator('summary', { hasText: text }) });
    const value = text => name('env').getByRole('button', { name: text });
    await hasText(name('env').locator('summary'), 'env6');
    await press(page, name('env').locator('summary'));
    await hasText(value('prod'), 'prod3');
    await press(page, value('prod'));
    await rowCountIs(page, 3);
    assert.deepEqual(await tokens(page), ['env=prod']);
    // What there is beside it stays to be pressed, and what was open is.
    await page.locator('.facet[aria-pressed=true]').waitFor();
    await hasText(name('env').locator('summary'), 'env3');
    await press(page, value('stg'));
    await rowCountIs(page, 6);
    assert.deepEqual(await tokens(page), ['env in (prod,stg)']);
    await press(page, value('prod'));
    await rowCountIs(page, 3);
    assert.deepEqual(await tokens(page), ['env=stg']);
    await page.getByRole('button', { name: 'Remove filter env=stg' }).click();
    await rowCountIs(page, 6);
    await page.keyboard.down('Shift');
    await press(page, value('prod'));
    await page.keyboard.up('Shift');
    await rowCountIs(page, 3);
    assert.deepEqual(await tokens(page), ['env!=prod']);
    await page.locator('#q').fill('n1');
    await hasText(page.locator('#facets-note'), 'not part of these numbers');
  }));
