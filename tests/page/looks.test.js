// How every view looks with nothing and with a handful, and what stands over it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { accessibilityFaults, giveToken, hasText, rows, withPage } from './browser.js';
import { registerFive } from './fleet.js';
import { look, picture, settled, THEMES } from './look.js';
import { Server } from './server.js';

const servers = {};

before(async () => {
  servers[0] = await Server.start();
  servers[5] = await Server.start();
  await registerFive(servers[5]);
  for (const user of ['Prometheus/3.5.0', 'vmagent', 'Alloy/v1.11.2'])
    for (const path of ['sd?group=node', 'sd'])
      await fetch(new URL(path, servers[5].url), { headers: { 'user-agent': user } });
});
after(() => Promise.all(Object.values(servers).map(server => server.stop())));

for (const n of [0, 5]) {
  test(`the list of ${n} is well in all themes and widths`, () =>
    look(`list-${n}`, servers[n], '', { widths: [1440, 800, 390, 320] }));
  for (const view of ['pollers', 'changes', 'problems'])
    test(`${view} of ${n} are well in all themes`, () =>
      look(`${view}-${n}`, servers[n], `?view=${view}`, { widths: [1440, 320] }));
}

test('one registration is well in all themes and widths', () =>
  look('registration', servers[5], '', {
    widths: [2560, 1440, 800, 320],
    act: async page => {
      const row = rows(page).filter({ hasText: 'script' });
      await row.locator('.c-targets').click();
      await hasText(page.locator('#panel'), 'History');
    },
  }));

test('the form with what is wrong is well in all themes and widths', () =>
  look('form', servers[5], '', {
    widths: [1440, 800, 320],
    act: async page => {
      await page.keyboard.press('n');
      await page.locator('#f-targets').fill('10.0.0.1:9100');
      await page.locator('.pair .key').fill('data-center');
      await page.keyboard.press('Control+Enter');
      await giveToken(page);
      await page.locator('.wrong').waitFor();
    },
  }));

const press = (key, selector) => ({
  widths: [1440, 320],
  act: async page => {
    await page.keyboard.press(key);
    await page.locator(selector).waitFor();
  },
});
test('the configuration is well in all themes', () =>
  look('use', servers[5], '?group=node', press('u', '#panel .code')));
test('labels with their counts are well in all themes', () =>
  look('labels', servers[5], '', press('l', '#facets details:first-child')));
test('several that are selected are well in all themes', () =>
  look('selected', servers[5], '', {
    act: async page => {
      for (const key of ['j', 'x', 'j', 'x']) await page.keyboard.press(key);
      await hasText(page.locator('#chosen'), '2 selected');
    },
  }));
test('the help is well in all themes', () => look('help', servers[5], '', press('?', 'dialog[open]')));
test('the groups are well in all themes', () => look('groups', servers[5], '', press('f', '#group-filter')));
test('nothing found is well in all themes', () =>
  look('nothing', servers[5], '?q=zzz&group=node', { widths: [1440, 320] }));

test('a server that asks for a token is well in all themes', async () => {
  const guarded = await Server.start({ SD_TOKEN: 'token-read' });
  for (const colorScheme of THEMES) {
    await withPage(guarded, { width: 390, colorScheme }, async page => {
      await page.locator('.gate').waitFor();
      assert.deepEqual((await accessibilityFaults(page)).faults, []);
    });
  }
  await guarded.stop();
});

test('a server that is gone is well in all themes', async () => {
  const server = await Server.start();
  await registerFive(server);
  for (const colorScheme of THEMES) {
    await withPage(server, { colorScheme }, async page => {
      await settled(page);
      await server.kill();
      await page.locator('.banner').waitFor();
      await picture(page, `gone-1440-${colorScheme}`);
      assert.deepEqual((await accessibilityFaults(page)).faults, []);
    });
    await server.start();
  }
  await server.stop();
});
