// The list: what it shows, how it is narrowed, ordered and walked through.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually, hasText, holdAnswers, press, rowCountIs, rowOf, rows, withPage } from './browser.js';
import { withOwnServer } from './own.js';
import { Server } from './server.js';

let server;
const targets = page => rows(page).locator('.addr').allTextContents();
const shown = page => page.locator('#summary .shown').textContent();

before(async () => {
  server = await Server.start();
  const prod = { env: 'prod', dc: 'fra1' };
  await server.register(['10.0.0.1:9100', '10.0.0.2:9100'], { labels: prod, target_group: 'node', ttl_seconds: 3000 });
  await server.register('10.0.0.3:9100', { labels: { ...prod, canary: 'true' }, target_group: 'node' });
  await server.register('db.example.net:9104', { labels: { env: 'stg', dc: 'ams1' }, target_group: 'mysqld' });
  const modules = ['http_2xx', 'icmp'];
  await server.register('https://shop.example.com/', {
    labels: { env: 'dev' },
    target_group: 'blackbox',
    modules,
    ttl_seconds: 0,
  });
});
after(() => server.stop());

test('the overview counts registrations, addresses and groups apart', () =>
  withPage(server, {}, async page => {
    await hasText(page.locator('#fresh'), 'live');
    const facts = await page.locator('.fact').allTextContents();
    assert.equal(facts[0], 'Registered45 addresses in 3 groups');
    assert.equal(facts[1], 'Expire unless renewed5 min01 h16 h3');
    assert.equal(facts[2], 'StoreEmbeddedhealthy');
    assert.equal(await shown(page), '4 registrations');
  }));

test('a row shows targets, labels, group, modules and the time left', () =>
  withPage(server, {}, async page => {
    const row = rowOf(page, '10.0.0.1');
    assert.equal(await row.locator('.c-targets').textContent(), '10.0.0.1:9100 +1 more targets');
    assert.deepEqual(await row.locator('.chip').allTextContents(), ['dc=fra1', 'env=prod']);
    assert.equal(await row.locator('.c-group').textContent(), 'node');
    assert.match(await row.locator('.c-left').textContent(), /^\d\dm \d\ds$/);
    const shop = rowOf(page, 'shop.example.com');
    assert.equal(await shop.locator('.c-modules').textContent(), 'http_2xx, icmp');
    assert.equal(await shop.locator('.c-left').textContent(), 'never');
  }));

test('a search narrows the list while one types, keeps what is typed, and adds no step to go back', () =>
  withPage(server, {}, async page => {
    await rowCountIs(page, 4);
    const steps = await page.evaluate(() => history.length);
    await page.locator('#q').pressSequentially('fra1 canary', { delay: 20 });
    await rowCountIs(page, 1);
    assert.equal(await page.locator('#q').inputValue(), 'fra1 canary');
    // Whoever types slowly has searched for less before, and found as much.
    await page.waitForURL(/\?q=fra1\+canary$/);
    assert.equal(await page.evaluate(() => history.length), steps);
    await eventually('of all', async () => (await shown(page)) === '1 of 4 registrations');
    await page.keyboard.press('Escape');
    await rowCountIs(page, 4);
    // What is not answered yet claims nothing; what is no longer wanted is not shown when it comes.
    let goOn;
    const held = new Promise(resolve => {
      goOn = resolve;
    });
    await page.route('**/registrations?*q=nowhere*', route => held.then(() => route.continue()).catch(() => {}));
    await page.locator('#q').fill('nowhere');
    await eventually('it is being asked', async () => (await shown(page)).startsWith('Searching…'));
    assert.equal(await page.locator('#grid').getAttribute('aria-busy'), 'true');
    await page.locator('#q').fill('');
    await eventually('all', async () => (await shown(page)) === '4 registrations');
    assert.equal(await page.locator('#grid').getAttribute('aria-busy'), null);
    goOn();
    await page.unrouteAll({ behavior: 'wait' });
    await page.keyboard.press('Escape');
    await page.keyboard.press('r');
    await rowCountIs(page, 4);
  }));

test('labels that are clicked filter, widen, exclude and go away again', () =>
  withPage(server, {}, async page => {
    const token = page.locator('#tokens .token');
    await rowOf(page, '10.0.0.1').getByRole('button', { name: 'env=prod' }).click();
    await rowCountIs(page, 2);
    assert.deepEqual(await token.allTextContents(), ['env=prod']);
    assert.equal(await rowOf(page, '10.0.0.1').locator('.chip.on').textContent(), 'env=prod');
    await page.goBack();
    await rowCountIs(page, 4);
    await rowOf(page, 'db.example')
      .getByRole('button', { name: 'dc=ams1' })
      .click({ modifiers: ['Alt'] });
    await rowCountIs(page, 3);
    assert.deepEqual(await token.allTextContents(), ['dc!=ams1']);
    await rowOf(page, 'shop').getByRole('button', { name: 'env=dev' }).click();
    await rowCountIs(page, 1);
    await page.locator('#q').press('Backspace');
    await rowCountIs(page, 3);
    await page.getByRole('button', { name: 'Remove filter dc!=ams1' }).click();
    await rowCountIs(page, 4);
  }));

test('a second value of a label widens the filter, and the same again takes it away', async () => {
  const { registrations } = await server.registrations('group=mysqld');
  const path = `?selector=env+in+(prod,stg)&id=${registrations[0].id}`;
  await withPage(server, { path, width: 2000 }, async page => {
    const token = page.locator('#tokens .token');
    await rowCountIs(page, 3);
    await rowOf(page, '10.0.0.3').getByRole('button', { name: 'env=prod' }).click();
    await rowCountIs(page, 1);
    assert.deepEqual(await token.allTextContents(), ['env=stg']);
    await page.getByRole('button', { name: 'Only where dc = ams1' }).click();
    await eventually('both', async () => (await token.allTextContents()).join() === 'env=stg,dc=ams1');
    await page.getByRole('button', { name: 'Only where env = stg' }).click();
    await eventually('one is gone', async () => (await token.allTextContents()).join() === 'dc=ams1');
    await page.getByRole('button', { name: 'Remove filter dc=ams1' }).click();
    await rowCountIs(page, 4);
    await rowOf(page, '10.0.0.3').getByRole('button', { name: 'env=prod' }).click();
    await rowCountIs(page, 2);
    await page.getByRole('button', { name: 'Only where env = stg' }).click();
    await rowCountIs(page, 3);
    assert.deepEqual(await token.allTextContents(), ['env in (prod,stg)']);
  });
});

test('a selector that is typed becomes a filter, also one that excludes', () =>
  withPage(server, {}, async page => {
    await page.locator('#q').fill('!canary');
    await page.keyboard.press('Enter');
    await rowCountIs(page, 3);
    await page.locator('#q').fill('env in (prod, dev)');
    await page.keyboard.press('Enter');
    await rowCountIs(page, 2);
    assert.deepEqual(await page.locator('#tokens .token').allTextContents(), ['!canary', 'env in (prod,dev)']);
    assert.equal(new URL(page.url()).searchParams.get('selector'), '!canary,env in (prod,dev)');
    await page.reload();
    await rowCountIs(page, 2);
  }));

test('what Prometheus users type becomes what it says, and what cannot be is told', () =>
  withPage(server, {}, async page => {
    const token = page.locator('#tokens .token');
    const q = page.locator('#q');
    for (const [text, tokens] of [
      ['env=prod,dc=fra1', ['env=prod', 'dc=fra1']],
      ['{env="prod"}', ['env=prod']],
      ['up{env="prod", dc!="x"}', ['env=prod', 'dc!=x']],
      ['env=~"prod|stg"', ['env in (prod,stg)']],
      ['env=prod, !canary', ['env=prod', '!canary']],
      ['env="prod" and dc="a and b"', ['env=prod', 'dc=a and b']],
      ['site=New York dc=fra1', ['site=New York', 'dc=fra1']],
      // A group that there is is meant as such; all else is a label.
      ['group="mysqld", env=prod', ['group mysqld', 'env=prod']],
      ['group=absent', ['group=absent']],
    ]) {
      await q.fill(text);
      await page.keyboard.press('Enter');
      await eventually(text, async () => (await token.allTextContents()).join(' ') === tokens.join(' '));
      await page.getByRole('button', { name: 'Clear filters' }).click();
      await rowCountIs(page, 4);
    }
    await q.fill('env=~"pr.*"');
    await hasText(page.locator('#q-hint'), 'Lists cannot be selected by a regular expression');
    await page.keyboard.press('Enter');
    assert.equal(await token.count(), 0);
    await q.fill('env=prod or env=stg');
    await hasText(page.locator('#q-hint'), 'Terms cannot be joined by “or”');
    await page.keyboard.press('Enter');
    assert.equal(await token.count(), 0);
    await q.fill('group=absent');
    await hasText(page.locator('#q-hint'), 'No such group to choose: this is about a label “group”.');
    await q.fill('module=snmp');
    await hasText(page.locator('#q-hint'), 'A module is found by typing its name alone.');
    await q.fill('group=mysq');
    await hasText(page.locator('#q-hint .offer'), 'group mysqld');
    await q.fill('');
  }));

test('names, values and groups are completed from what there is', () =>
  withPage(server, {}, async page => {
    const hint = page.locator('#q-hint');
    await page.locator('#q').fill('en');
    await hasText(hint.locator('.offer'), 'env=4');
    await press(page, hint.locator('.offer').filter({ hasText: 'env=' }));
    await hasText(hint.locator('.offer').first(), 'env=prod2');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await rowCountIs(page, 2);
    assert.deepEqual(await page.locator('#tokens .token').allTextContents(), ['env=prod']);
    await page.locator('#q').fill('mysq');
    await page.locator('#q').press('Escape');
    await page.getByRole('button', { name: 'Clear filters' }).click();
    await page.locator('#q').fill('mysq');
    await press(page, hint.locator('.offer').filter({ hasText: 'group mysqld' }));
    await rowCountIs(page, 1);
  }));

test('what was searched for is marked, and a target or label that was found comes first', () =>
  withPage(server, {}, async page => {
    await page.locator('#q').fill('10.0.0.2');
    await rowCountIs(page, 1);
    assert.equal(await rows(page).locator('.addr mark').textContent(), '10.0.0.2');
    await page.locator('#q').fill('PROD');
    await rowCountIs(page, 2);
    assert.equal(await rows(page).first().locator('.chip').first().textContent(), 'env=prod');
    assert.equal(await rows(page).first().locator('.chip mark').textContent(), 'prod');
  }));

test('the numbers of what expires lead to just these', () =>
  withPage(server, {}, async page => {
    await press(page, page.locator('#strip').getByRole('link', { name: '1 h' }));
    await rowCountIs(page, 1);
    assert.deepEqual(await targets(page), ['10.0.0.1:9100']);
    assert.match(await page.title(), /^expire within 1h · Registrations · inventor$/);
  }));

test('a row is a link, which opens in a tab of its own with Ctrl or the middle button', () =>
  withPage(server, {}, async page => {
    await rowCountIs(page, 4);
    const opened = page.context().waitForEvent('page');
    await rowOf(page, 'db.example')
      .locator('.c-targets a')
      .click({ modifiers: ['Control'] });
    const other = await opened;
    await hasText(other.locator('#panel h2'), 'db.example.net');
    assert.ok(await page.locator('#panel').isHidden());
  }));

test('a filter that the server does not take is explained, not ignored', () =>
  withPage(server, { path: '?selector=data-center%3Dx' }, async page => {
    await hasText(page.locator('#below'), 'The server does not show this');
    assert.match(await page.locator('#below p').first().textContent(), /expected one of/);
    assert.equal(await rows(page).count(), 0);
    await page.getByRole('link', { name: 'Without data-center=x' }).click();
    await rowCountIs(page, 4);
  }));

test('where nothing matches, each condition tells what there would be without it', () =>
  withPage(server, { path: '?group=node&selector=env%3Dprod&q=nowhere' }, async page => {
    await hasText(page.locator('#below'), 'No registration matches all of this');
    await hasText(page.locator('#below p').filter({ hasText: 'Without nowhere' }), '2 registrations');
    await hasText(page.locator('#below p').filter({ hasText: 'Without group node' }), '0 registrations');
    await page.getByRole('button', { name: 'Clear filters' }).click();
    await rowCountIs(page, 4);
  }));

test('groups filter, several with Ctrl, and tell of themselves', () =>
  withPage(server, {}, async page => {
    const group = name => page.locator('.group').filter({ hasText: name });
    await group('node').click();
    await rowCountIs(page, 2);
    await hasText(page.locator('#summary'), '3 targets');
    await hasText(page.locator('#summary'), 'next expires in');
    assert.ok(!(await page.locator('#summary').textContent()).includes('whole'));
    await rowOf(page, '10.0.0.3').getByRole('button', { name: 'canary=true' }).click();
    await hasText(page.locator('#summary'), /1 of 4 registrations.*the whole group: 2 registrations/);
    await page.goBack();
    await group('mysqld').click({ modifiers: ['Control'] });
    await rowCountIs(page, 3);
    assert.deepEqual(new URL(page.url()).searchParams.getAll('group'), ['node', 'mysqld']);
    await page.locator('#group-filter').fill('black');
    await page.keyboard.press('Enter');
    await rowCountIs(page, 1);
  }));

test('the column of modules is there when somebody has any', async () => {
  const modules = page => page.locator('.head .c-modules');
  await withPage(server, { path: '?group=node' }, async page => {
    await rowCountIs(page, 2);
    assert.ok(await modules(page).isHidden());
    await page.getByRole('button', { name: 'Clear filters' }).click();
    await rowCountIs(page, 4);
    assert.ok(await modules(page).isVisible());
  });
});

test('a heading sorts, and the other way at the second click', () =>
  withPage(server, {}, async page => {
    await page.getByRole('button', { name: 'Time left' }).click();
    await eventually('the shortest is first', async () => (await targets(page))[0] === '10.0.0.1:9100');
    assert.equal((await targets(page)).at(-1), 'https://shop.example.com/');
    await page.getByRole('button', { name: 'Time left' }).click();
    await eventually('never is first', async () => (await targets(page))[0] === 'https://shop.example.com/');
    assert.equal(await page.locator('[aria-sort]').getAttribute('aria-sort'), 'descending');
    await page.locator('.head').getByRole('button', { name: 'Targets' }).click();
    await eventually(
      'by target',
      async () => (await targets(page)).join() === [...(await targets(page))].sort().join(),
    );
    await page.locator('.head').getByRole('button', { name: 'Targets' }).click();
    await eventually('the other way', async () => (await targets(page))[0] === 'https://shop.example.com/');
    await page.locator('#sort').selectOption('By group, then target');
    await eventually('by group', async () => (await targets(page))[1] === 'db.example.net:9104');
  }));

test('a wide window has a column for the last renewal, which sorts', () =>
  withPage(server, { width: 2560 }, async page => {
    await rowCountIs(page, 4);
    for (const text of await rows(page).locator('.c-renewed').allTextContents()) assert.match(text, /^[\dhms ]+ ago$/);
    await press(page, page.locator('.head').getByRole('button', { name: 'Renewed' }));
    await page.locator('.c-renewed[aria-sort=descending]').waitFor();
    assert.match(page.url(), /\?sort=-updated_at$/);
  }));

// Each of these waits for seconds with a server of its own: they wait together.
describe('while one looks,', { concurrency: true }, () => {
  test('the time left counts each second and reaches its end', async () => {
    await withOwnServer({ targets: ['long:1'] }, async (page, own) => {
      await rowCountIs(page, 1);
      // From now on, however long the browser took to start.
      await own.register('brief:1', { ttl_seconds: 12, target_group: 'brief' });
      await page.keyboard.press('r');
      await rowCountIs(page, 2);
      const left = rowOf(page, 'brief:1').locator('.c-left');
      await rows(page).first().hover();
      const texts = new Set();
      await eventually('it has expired', async () => {
        const text = await left.textContent();
        texts.add(text);
        return text === 'expired';
      });
      assert.ok(texts.size >= 3, [...texts].join());
      // Nothing moves under the pointer: the list tells, and waits.
      await page.getByRole('button', { name: 'The list has changed' }).click();
      await rowCountIs(page, 1);
    });
  });

  test('a row that was changed elsewhere changes in place, and what was added is told of', async () => {
    await withOwnServer({ targets: ['a:1'] }, async (page, own) => {
      await rowCountIs(page, 1);
      await own.register('a:1', { labels: { version: '1' } });
      await page.keyboard.press('r');
      await hasText(rows(page), 'version=1');
      await rows(page).first().focus();
      await own.register('a:1', { labels: { version: '2' } });
      await own.register('b:1');
      await hasText(rows(page), 'version=2');
      await page.getByText('The list has changed').waitFor();
      assert.equal(await rows(page).count(), 1);
      await page.keyboard.press('r');
      await rowCountIs(page, 2);
    });
  });

  test('an answer that comes late is not taken for what is looked at now', async () => {
    await withOwnServer({ targets: ['a:1'] }, async (page, own) => {
      await rowCountIs(page, 1);
      const isList = url => url.pathname === '/api/v1/registrations';
      const early = await holdAnswers(page, isList);
      await page.keyboard.press('r');
      await early.isHeld();
      await early.noMore();
      await own.register('b:1');
      await page.keyboard.press('r');
      await rowCountIs(page, 2);
      await early.letGo();
      assert.equal(await rows(page).count(), 2);
      const search = await holdAnswers(page, url => isList(url) && url.searchParams.has('q'));
      await page.locator('#q').fill('b:1');
      await search.isHeld();
      await page.locator('#q').press('Escape');
      await search.letGo();
      assert.equal(await rows(page).count(), 2);
    });
  });

  test('large registrations have all their rows, although the server gives few at a time', async () => {
    await withOwnServer({}, async (page, own) => {
      for (let n = 0; n < 30; n++) await own.register(`host-${n}:1`, { labels: { large: '<'.repeat(60_000) } });
      await page.keyboard.press('r');
      await rowCountIs(page, 30);
      assert.equal(new Set(await targets(page)).size, 30);
    });
  });

  test('an empty registry shows the first steps, and the first target as soon as it is there', async () => {
    await withOwnServer({}, async (page, own) => {
      await hasText(page.locator('#below'), 'Nothing is registered yet');
      const shell = await page.locator('.code').first().textContent();
      assert.ok(shell.includes(`curl -sS -X PUT '${own.url}target'`), shell);
      await own.register('a:1');
      await rowCountIs(page, 1);
    });
  });

  test('a list that does not come at once comes at its place', async () => {
    const targets = Array.from({ length: 200 }, (_, i) => `n${i}:1`);
    await withOwnServer({ targets }, async (page, own) => {
      // A banner moves it by its own height, and is gone later than the list is there.
      const isAt = y => eventually(`at ${y}`, () => page.evaluate(at => Math.abs(scrollY - at) < 100, y));
      await rows(page).first().waitFor();
      await page.evaluate(() => scrollTo(0, 3000));
      const { pathname } = new URL('api/v1/registrations', own.url);
      const lists = url => url.pathname === pathname;
      await page.route(lists, route => route.abort());
      await page.reload();
      await hasText(page.locator('#banners'), 'The server cannot be reached.');
      await page.unroute(lists);
      await isAt(3000);
      await rows(page).first().waitFor();
    });
  });
});
