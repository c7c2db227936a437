// Pollers, changes, problems, the configuration to paste, and what is done by keyboard.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { eventually, hasText, press, rowCountIs, rowOf, rows, withPage } from './browser.js';
import { Redis, Server } from './server.js';

let redis;
let server;
const view = page => page.locator('#view');
const PROMETHEUS = { 'user-agent': 'Prometheus/3.5.0', 'x-prometheus-refresh-interval-seconds': '1' };
const poll = path => fetch(new URL(path, server.url), { headers: PROMETHEUS });

before(async () => {
  redis = await Redis.start();
  server = await Server.start(redis.env());
  for (let i = 0; i < 6; i++) await server.register(`n${i}:1`, { labels: { env: 'prod' }, target_group: 'node' });
  await server.register(['n0:1', 'other:1'], {
    target_group: 'twice',
    modules: ['if_mib'],
    labels: { __scheme__: 'ftp' },
  });
  await redis.command('SET', '7214ebb0-ab3e-513a-bafe-fb6b460c2cfa', '{"no": "registration"');
});
after(async () => {
  await server.stop();
  await redis.stop();
});

test('pollers are listed with what they ask for, which is a link to that list; late ones stand first', async () => {
  // At the pace that it claims: who never kept it cannot be late.
  for (let polls = 0; polls < 4; polls++) {
    await poll('sd?group=node&selector=env%3Dprod');
    await setTimeout(1000);
  }
  await withPage(server, {}, async page => {
    await page.keyboard.press('2');
    await hasText(view(page), 'Prometheus/3.5.0');
    await hasText(view(page).locator('tr.late'), 'late');
    await hasText(page.locator('#tabs'), 'Pollers1');
    await fetch(new URL('sd', server.url), { headers: { 'user-agent': 'vmagent/1' } });
    await page.keyboard.press('r');
    const lines = view(page).locator('tbody tr');
    const onlyLine = text =>
      eventually(text, async () => {
        const [line, ...others] = await lines.allTextContents();
        return !others.length && line?.includes(text);
      });
    await press(page, view(page).getByRole('button', { name: 'unknown' }));
    await onlyLine('vmagent/1');
    await page.reload();
    await onlyLine('vmagent/1');
    await page.locator('#find').fill('prometheus env=prod');
    await hasText(view(page), 'No poller matches.');
    await press(page, view(page).getByRole('button', { name: 'all' }));
    await onlyLine('Prometheus/3.5.0');
    await view(page).getByRole('link', { name: 'group node, env=prod' }).click();
    await rowCountIs(page, 6);
    assert.deepEqual(await page.locator('#tokens .token').allTextContents(), ['group node', 'env=prod']);
  });
});

test('changes are listed by day, many at once fold into one line, and can be filtered', () =>
  withPage(server, { path: '?view=changes' }, async page => {
    const run = view(page).locator('details').filter({ hasText: 'registrations' });
    await run.locator('summary').click();
    await hasText(run, 'n0:1');
    await page.locator('#find').fill('twice');
    await eventually('one is left', async () => (await view(page).locator('.change').count()) === 1);
    await hasText(view(page).locator('.change'), 'n0:1 +1');
    await page.locator('#find').fill('nowhere');
    await hasText(view(page), 'No change matches.');
  }));

test('times are told in UTC for whoever wants that, here and after a reload', async () => {
  const { changes } = await server.request('GET', 'api/v1/changes?target_group=twice');
  const path = '?view=changes&find=twice';
  await withPage(server, { path, timezoneId: 'Asia/Kolkata', locale: 'en-GB' }, async page => {
    const [, minutes] = /T(\d\d:\d\d)/.exec(changes[0].at);
    const shown = view(page).locator('.change time').first();
    await shown.waitFor();
    assert.ok(!(await shown.textContent()).startsWith(minutes));
    await press(page, view(page).getByLabel('Times in UTC'));
    await eventually('UTC', async () => (await shown.textContent()).startsWith(minutes));
    await page.reload();
    await eventually('still UTC', async () => (await shown.textContent()).startsWith(minutes));
    await view(page).locator('.change a').first().click();
    await hasText(page.locator('#panel .ends'), / UTC$/);
    await page.keyboard.press('?');
    await page.locator('dialog').getByLabel('Times in UTC').uncheck();
    await hasText(page.locator('#panel .ends'), /\d$/);
  });
});

test('problems show what is left out of the lists, what is registered twice, and what Prometheus drops', () =>
  withPage(server, { path: '?view=problems' }, async page => {
    await hasText(view(page), 'Quarantined');
    await hasText(view(page), '7214ebb0-ab3e-513a-bafe-fb6b460c2cfa');
    await hasText(view(page).locator('pre'), '{"no": "registration"');
    await hasText(view(page), 'Registered twice');
    await hasText(view(page).locator('.cards'), 'n0:1');
    await hasText(view(page), 'Not scraped');
    await hasText(view(page), '__scheme__="ftp": expected http or https');
    await hasText(page.locator('#strip'), '1 quarantined');
    assert.match(await page.title(), /^\(\d+\) Problems · inventor$/);
    const headings = async () => (await view(page).locator('h2').allTextContents()).join();
    await press(page, view(page).getByRole('button', { name: 'not scraped' }));
    await eventually('one kind', async () => (await headings()) === 'Not scraped 1');
    await press(page, view(page).getByRole('button', { name: 'all' }));
    await page.locator('#find').fill('if_mib');
    await hasText(view(page), 'No problem that is listed matches.');
    await page.locator('#find').fill('7214ebb0');
    await eventually('one is found', async () => (await headings()) === 'Quarantined 1');
    // What is typed, selected and looked at stays while the server is asked again.
    await view(page)
      .locator('pre')
      .evaluate(el => getSelection().selectAllChildren(el));
    const id = await server.register('another:1', { labels: { __scheme__: 'ftp' } });
    await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
    await hasText(view(page).locator('.segments'), 'not scraped 2');
    assert.equal(await page.evaluate(() => String(getSelection())), '{"no": "registration"');
    assert.equal(await page.locator('#find').inputValue(), '7214ebb0');
    await server.request('DELETE', `api/v1/registrations/${id}`);
  }));

test('the configuration to paste selects what the list shows, and Prometheus accepts it', () =>
  withPage(server, { path: '?group=twice&q=other' }, async page => {
    await rowCountIs(page, 1);
    await page.keyboard.press('u');
    const panel = page.locator('#panel');
    await hasText(panel, 'The search “other” is not part of it');
    await hasText(panel, 'exactly these 1 registration');
    await panel.getByLabel('Servers sharing the work').fill('3');
    await page.keyboard.press('Tab');
    await panel.getByLabel('this is number').selectOption('2');
    const config = await panel.locator('.code').textContent();
    assert.ok(config.includes(`url: "${server.url}sd?group=twice&shard=2&shards=3"`), config);
    assert.ok(config.includes('__meta_inventor_sd_module'), config);
    const file = `${server.directory}/prometheus.yml`;
    writeFileSync(file, config);
    execFileSync('promtool', ['check', 'config', file]);
    await panel.getByRole('tab', { name: 'Alloy' }).click();
    await hasText(panel.locator('.code'), 'discovery.relabel');
    await panel.getByRole('tab', { name: 'Alloy' }).press('ArrowRight');
    await hasText(panel.locator('.code'), 'curl -sS');
    await page.getByRole('button', { name: 'Clear filters' }).click();
    await hasText(panel, 'Poll this for all 7 registrations');
    // No list is selected by the time that is left.
    await press(page, page.locator('#strip').getByRole('link', { name: '5 min' }));
    await hasText(panel, 'The time left is not part of it');
    await hasText(panel, 'Poll this for all 7 registrations');
  }));

test('the name of a job is a text for Prometheus, whatever the group is called', async () => {
  for (const group of ['null', '東京', 'a: b # c', '1e3']) {
    await withPage(server, { path: `?group=${encodeURIComponent(group)}` }, async page => {
      await page.keyboard.press('u');
      const config = await page.locator('#panel .code').textContent();
      assert.ok(config.includes(`job_name: ${JSON.stringify(group)}`), config);
      const file = `${server.directory}/prometheus.yml`;
      writeFileSync(file, config);
      execFileSync('promtool', ['check', 'config', file]);
    });
  }
});

test('everything is reached by keyboard, and single keys can be turned off', () =>
  withPage(server, {}, async page => {
    const focusIs = selector =>
      eventually(`${selector} has the focus`, () => page.locator(`${selector}:focus`).count());
    await rowCountIs(page, 7);
    await page.keyboard.press('/');
    await focusIs('#q');
    await page.keyboard.press('ArrowDown');
    await focusIs('.row.current');
    await page.keyboard.press('End');
    const last = await rows(page).last().getAttribute('data-id');
    await focusIs(`.row[data-id="${last}"]`);
    await page.keyboard.press('Home');
    await page.keyboard.press('Enter');
    await focusIs('#panel h2');
    await page.keyboard.press('Escape');
    await focusIs('.row.current');
    // Past the link of the row, its group and its labels.
    const hasButton = () => page.locator('.row.current button:focus').count();
    for (let tabs = 0; tabs < 12 && !(await hasButton()); tabs++) await page.keyboard.press('Tab');
    await focusIs('.row.current button');
    await page.keyboard.press('f');
    await focusIs('#group-filter');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('End');
    await page.keyboard.press('Enter');
    await rowCountIs(page, 1);
    await page.keyboard.press('t');
    await eventually('another theme', () => page.evaluate(() => document.documentElement.dataset.theme === 'light'));
    await page.keyboard.press('?');
    await page.getByLabel('Single-key shortcuts').uncheck();
    await page.keyboard.press('Escape');
    await page.keyboard.press('3');
    await page.keyboard.press('n');
    await hasText(rowOf(page, 'n0:1'), 'twice');
    assert.ok(await page.locator('#panel').isHidden());
    await page.reload();
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'light');
  }));
