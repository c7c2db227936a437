// Every view in both themes and at three widths, with nothing, with a handful, and with 100,000 registrations:
// axe finds nothing, nothing is wider than the window, and pictures of all are in target/page/screens.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { accessibilityFaults, eventually, giveToken, hasText, rows, withPage } from './browser.js';
import { declareFleet, registerFive } from './fleet.js';
import { Server } from './server.js';
import { root } from './tools.js';

const SCREENS = process.env.SCREENS ?? `${root}target/page/screens`;
const WIDTHS = [1440, 800, 390];
const THEMES = ['light', 'dark'];
const FLEET_GROUP = 1000; // registrations in each of 100 groups

const servers = {};

before(async () => {
  mkdirSync(SCREENS, { recursive: true });
  servers[0] = await Server.start();
  servers[5] = await Server.start();
  await registerFive(servers[5]);
  servers['100k'] = await Server.start();
  await declareFleet(servers['100k'], FLEET_GROUP, 21_600);
  for (const user of ['Prometheus/3.5.0', 'vmagent', 'Alloy/v1.11.2'])
    for (const path of ['sd?group=node-fra1', 'sd'])
      await fetch(new URL(path, servers['100k'].url), { headers: { 'user-agent': user } });
});
after(() => Promise.all(Object.values(servers).map(server => server.stop())));

async function isNoWiderThanTheWindow(page) {
  const { wide, window } = await page.evaluate(() => ({
    wide: document.documentElement.scrollWidth,
    window: innerWidth,
  }));
  assert.ok(wide <= window, `${wide} > ${window}`);
}

const settled = page =>
  Promise.all([
    eventually('it is live', async () => (await page.locator('#fresh').textContent()) === 'live'),
    eventually('nothing is under way', async () => !(await page.locator('[aria-busy]').count())),
  ]);

/** Looks at a state in every theme and width: picture, width, axe. */
async function look(name, server, path, { widths = WIDTHS, act = async () => {} } = {}) {
  for (const colorScheme of THEMES) {
    for (const width of widths) {
      const height = width < 800 ? 844 : 900;
      await withPage(server, { path, width, height, colorScheme, reducedMotion: 'reduce' }, async page => {
        await settled(page);
        await act(page);
        await page.screenshot({ path: `${SCREENS}/${name}-${width}-${colorScheme}.png` });
        await isNoWiderThanTheWindow(page);
        const { rules, faults } = await accessibilityFaults(page);
        assert.ok(rules > 20, `axe has looked: ${rules}`);
        assert.deepEqual(faults, [], `${name} ${width} ${colorScheme}`);
      });
    }
  }
}

for (const n of [0, 5, '100k']) {
  test(`the list of ${n} is well in all themes and widths`, () => look(`list-${n}`, servers[n], ''));
  for (const view of ['pollers', 'changes', 'problems'])
    test(`${view} of ${n} are well in all themes`, () =>
      look(`${view}-${n}`, servers[n], `?view=${view}`, { widths: [1440, 390] }));
}

test('one registration is well in all themes and widths', () =>
  look('registration', servers[5], '', {
    act: async page => {
      const row = rows(page).filter({ hasText: 'script' });
      await row.locator('.c-targets').click();
      await hasText(page.locator('#panel'), 'History');
    },
  }));

test('the form with what is wrong is well in all themes and widths', () =>
  look('form', servers[5], '', {
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
  widths: [1440, 390],
  act: async page => {
    await page.keyboard.press(key);
    await page.locator(selector).waitFor();
  },
});
test('the configuration is well in all themes', () =>
  look('use', servers[5], '?group=node', press('u', '#panel .code')));
test('the help is well in all themes', () => look('help', servers[5], '', press('?', 'dialog[open]')));
test('the groups are well in all themes', () => look('groups', servers[5], '', press('f', '#group-filter')));
test('nothing found is well in all themes', () =>
  look('nothing', servers[5], '?q=zzz&group=node', { widths: [1440, 390] }));
test('a large window is used well', () => look('wide', servers['100k'], '', { widths: [2560] }));

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
      await page.screenshot({ path: `${SCREENS}/gone-1440-${colorScheme}.png` });
      assert.deepEqual((await accessibilityFaults(page)).faults, []);
    });
    await server.start();
  }
  await server.stop();
});
