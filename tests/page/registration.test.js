// One registration: looked at, registered, edited, deleted, brought back. With Redis: what a hand does is pressed with
// the embedded store.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  eventually,
  giveToken,
  hasText,
  holdAnswers,
  rowCountIs,
  rowOf,
  rows,
  signIn,
  toast,
  withPage,
} from './browser.js';
import { Redis, Server } from './server.js';

const panel = page => page.locator('#panel');
const field = (page, name) => page.locator(`#f-${name}`);
const button = (page, name) => panel(page).getByRole('button', { name, exact: true });

let server;
let redis;

before(async () => {
  redis = await Redis.start();
  server = await Server.start(redis.env());
});
after(async () => {
  await server.stop();
  await redis.stop();
});

test('a click opens a registration, j and k walk on, Esc closes it and returns to the row', async () => {
  const labels = { env: 'prod', __meta_team: 'storage', empty: '' };
  await server.register(['walk-a:1', 'walk-b:1'], { labels, target_group: 'walk', modules: ['m1', 'm2'] });
  await server.register('walk-c:1', { target_group: 'walk', ttl_seconds: 0 });
  await withPage(server, { path: '?group=walk' }, async page => {
    await rowOf(page, 'walk-a').locator('.c-targets').click();
    await hasText(panel(page), 'walk-b:1');
    const [{ id }] = (await server.registrations('q=walk-a')).registrations;
    assert.equal(new URL(page.url()).searchParams.get('id'), id);
    await hasText(panel(page).locator('.labels'), 'empty');
    await hasText(panel(page), 'Names that begin with __ steer relabelling');
    await panel(page).getByRole('tab', { name: 'What Prometheus gets from /sd' }).click();
    const entries = JSON.parse(await panel(page).locator('.code').textContent());
    assert.deepEqual(
      entries.map(e => e.labels.__meta_inventor_sd_module),
      ['m1', 'm2'],
    );
    await rowOf(page, 'walk-a').focus();
    const first = (await rows(page).first().textContent()).includes('walk-a');
    await page.keyboard.press(first ? 'j' : 'k');
    await hasText(panel(page), 'It stays until somebody deletes it.');
    await page.keyboard.press('Escape');
    await panel(page).waitFor({ state: 'hidden' });
    await eventually('the row has the focus', () =>
      rowOf(page, 'walk-c').evaluate(el => el === document.activeElement),
    );
  });
});

test('a link to what is not registered says so, and what became of it', async () => {
  const id = await server.register('gone:1');
  await server.request('DELETE', `api/v1/registrations/${id}`);
  await withPage(server, { path: `?id=${id}` }, async page => {
    await hasText(panel(page), 'Not registered');
    await hasText(panel(page).locator('.action').first(), 'deleted');
    await hasText(panel(page).locator('.action').nth(1), 'registered');
  });
});

test('what is wrong with a registration is told at its field, and what was typed stays', () =>
  withPage(server, {}, async page => {
    await page.keyboard.press('n');
    await field(page, 'targets').fill('new-a:9100\nnew-b:9100');
    await panel(page).getByLabel('Label name').first().fill('data-center');
    await panel(page).getByLabel('Label value').first().fill('dc-01');
    await field(page, 'target_group').fill('new');
    assert.match(await panel(page).locator('.code').textContent(), /"target_group":"new"/);
    await page.keyboard.press('Control+Enter');
    await giveToken(page);
    const name = panel(page).getByLabel('Label name').first();
    await hasText(panel(page).locator('.wrong'), 'Letters, digits and _ only, not a digit first.');
    assert.equal(await name.getAttribute('aria-invalid'), 'true');
    assert.ok(await name.evaluate(el => el === document.activeElement));
    assert.equal(await field(page, 'targets').inputValue(), 'new-a:9100\nnew-b:9100');
    await name.fill('data_center');
    await field(page, 'ttl_seconds').selectOption('another…');
    const amount = panel(page).getByLabel('Lifetime as a number');
    // Nothing is no number: least of all 0, which is for ever.
    for (const wrong of ['', '-1', '1.5']) {
      await amount.fill(wrong);
      await amount.press('Control+Enter');
      await hasText(panel(page).locator('.wrong'), 'A lifetime is a whole number');
      assert.equal(await amount.getAttribute('aria-invalid'), 'true');
    }
    assert.equal(await name.getAttribute('aria-invalid'), null);
    assert.equal((await server.registrations('group=new')).total, 0);
    await field(page, 'ttl_seconds').selectOption('6 h');
    await field(page, 'ttl_seconds').press('Control+Enter');
    await toast(page, 'Registered new-a:9100').waitFor();
    const { registrations } = await server.registrations('group=new');
    assert.deepEqual(registrations[0].targets, ['new-a:9100', 'new-b:9100']);
    assert.deepEqual(registrations[0].labels, { data_center: 'dc-01' });
    await hasText(panel(page), 'new-a');
  }));

test('all that is wrong with a form is told at once, each at its place', () =>
  withPage(server, {}, async page => {
    await signIn(page);
    await page.keyboard.press('n');
    await panel(page).getByLabel('Label name').first().fill('a-b');
    await panel(page).getByLabel('Label name').nth(1).fill('1c');
    await page.keyboard.press('Control+Enter');
    await hasText(panel(page).locator('.alert'), '3 things to mend. Nothing was registered.');
    assert.equal(await panel(page).locator('.wrong').count(), 3);
    await hasText(field(page, 'targets').locator('+ .wrong'), 'At least one is required.');
    await hasText(panel(page).locator('.pair').nth(1).locator('+ .wrong'), 'Letters, digits and _ only');
    // A mark goes when its own field is changed, and no other with it.
    const wrong = n => eventually(`${n} marks`, async () => (await panel(page).locator('.wrong').count()) === n);
    await field(page, 'targets').fill('faults:1');
    await wrong(2);
    await hasText(panel(page).locator('.alert'), '2 things to mend. Nothing was registered.');
    await field(page, 'target_group').fill('faults');
    await wrong(2);
    await panel(page).getByRole('button', { name: 'Remove label' }).nth(1).click();
    await wrong(1);
    await panel(page).locator('.alert').waitFor({ state: 'hidden' });
    // What the form knows and what the server knows is told together. Of two of one name the last would win without a word.
    for (const at of [1, 2]) await panel(page).getByLabel('Label name').nth(at).fill('same');
    await field(page, 'ttl_seconds').selectOption('another…');
    await panel(page).getByLabel('Lifetime as a number').fill('');
    const command = panel(page).getByText('no curl for it yet');
    await command.waitFor();
    await field(page, 'targets').press('Control+Enter');
    await hasText(panel(page).locator('.alert'), '3 things to mend. Nothing was registered.');
    await hasText(panel(page).locator('.pair').first().locator('+ .wrong'), 'Letters, digits and _ only');
    await hasText(panel(page).locator('.pair').nth(2).locator('+ .wrong'), 'This name is there twice.');
    await hasText(panel(page).locator('.wrong'), 'A lifetime is a whole number');
    // It is no longer so once the other one has another name.
    await panel(page).getByLabel('Label name').nth(1).fill('other');
    await wrong(2);
    await panel(page).getByLabel('Lifetime as a number').fill('0');
    await wrong(1);
    await command.waitFor();
    // What Prometheus would drop.
    await panel(page).getByLabel('Label name').first().fill('__scheme__');
    await panel(page).getByLabel('Label value').first().fill('ftp');
    await field(page, 'targets').press('Control+Enter');
    await hasText(panel(page).locator('.pair').first().locator('+ .wrong'), 'expected http or https');
    assert.equal((await server.registrations('q=faults')).total, 0);
    // What can be sent is what the command sends.
    await panel(page).getByLabel('Label value').first().fill('http');
    const line = await panel(page).locator('.code').textContent();
    const content = { targets: ['faults:1'], labels: { __scheme__: 'http', other: '', same: '' } };
    assert.match(line, /\/target\?strict=true'/);
    assert.ok(
      line.endsWith(
        `-d '${JSON.stringify({ static_config: { ...content, target_group: 'faults', ttl_seconds: 0 } })}'`,
      ),
      line,
    );
  }));

test('registering what is registered shows what would go, and replaces it only then', async () => {
  const content = { labels: { env: 'prod' }, target_group: 'kept', ttl_seconds: 600 };
  await server.register('present:1', content);
  await withPage(server, {}, async page => {
    await signIn(page);
    await page.keyboard.press('n');
    await field(page, 'targets').fill('present:1');
    await page.keyboard.press('Control+Enter');
    await hasText(panel(page), 'These targets are registered already');
    await hasText(panel(page).locator('.differences'), '− env: prod');
    await hasText(panel(page), 'Prometheus ends the series');
    const [before] = (await server.registrations('q=present')).registrations;
    assert.deepEqual(before.labels, { env: 'prod' });
    await button(page, 'Replace it').click();
    await toast(page, 'Registered present:1').waitFor();
    const [after] = (await server.registrations('q=present')).registrations;
    assert.deepEqual(after.labels, {});
  });
});

test('an edit sends back untouched what nobody touched, byte for byte', async () => {
  const labels = { text: 'one\ntwo', crlf: 'a\r\nb', blank: ' x ' };
  const id = await server.register('lossless:1', { labels, target_group: ' g ', modules: ['a b', 'c,d'] });
  await withPage(server, { path: `?id=${id}` }, async page => {
    await signIn(page);
    await button(page, 'Edit').click();
    await hasText(panel(page), 'Nothing changed yet.');
    await panel(page).getByLabel('Label name').nth(3).fill('new');
    await panel(page).getByLabel('Label value').nth(3).fill('y');
    await button(page, 'Save').click();
    await toast(page, 'Saved lossless:1').waitFor();
    const row = await server.registration(id);
    assert.deepEqual(row.labels, { ...labels, new: 'y' });
    assert.deepEqual([row.target_group, row.modules], [' g ', ['a b', 'c,d']]);
  });
});

test('an edit shows what a field would hide, and sends it back as it was', async () => {
  const labels = { 'a\nb': '1', tab: 'x\ty', return: 'a\rb', slash: 'C:\\n', zero: 'a\u200bb\u{e0041}' };
  const utf8 = await Server.start({ LABEL_NAMES: 'utf8' });
  const id = await utf8.register(['lf\nb:1', 'hidden:1'], { labels, target_group: 'g\u00ad', modules: ['m\n'] });
  await withPage(utf8, { path: `?id=${id}` }, async page => {
    await signIn(page);
    await button(page, 'Edit').click();
    await page.getByRole('button', { name: 'Change the targets' }).click();
    await hasText(panel(page), 'Nothing changed yet.');
    const values = locator => locator.evaluateAll(all => all.map(el => el.value));
    assert.deepEqual(await values(panel(page).getByLabel('Label name')), [
      'a\\nb',
      'return',
      'slash',
      'tab',
      'zero',
      '',
    ]);
    assert.deepEqual(await values(panel(page).getByLabel('Label value')), [
      '1',
      'a\\rb',
      'C:\\n',
      'x\\ty',
      'a\\u200bb\\udb40\\udc41',
      '',
    ]);
    assert.equal(await field(page, 'targets').inputValue(), 'lf\\nb:1\nhidden:1');
    assert.equal(await field(page, 'target_group').inputValue(), 'g\\u00ad');
    assert.equal(await field(page, 'modules').inputValue(), 'm\\n');
    await panel(page).getByLabel('Label name').first().fill('a\\nc');
    await panel(page).getByLabel('Label value').nth(1).fill('a\\rb \\\\');
    await button(page, 'Save').click();
    await toast(page, 'Saved').waitFor();
    const row = await utf8.registration(id);
    const { 'a\nb': moved, ...rest } = labels;
    assert.deepEqual(row.labels, { ...rest, 'a\nc': moved, return: 'a\rb \\' });
    assert.deepEqual([row.targets, row.target_group, row.modules], [['lf\nb:1', 'hidden:1'], 'g\u00ad', ['m\n']]);
  });
  await utf8.stop();
});

test('an edit says when somebody else changed it meanwhile, and overwrites only after that', async () => {
  const id = await server.register('both:1', { labels: { v: '1' } });
  await withPage(server, { path: `?id=${id}` }, async page => {
    await signIn(page);
    await button(page, 'Edit').click();
    await field(page, 'target_group').fill('mine');
    await server.register('both:1', { labels: { v: '2' } });
    await button(page, 'Save').click();
    await hasText(panel(page), 'It was changed meanwhile');
    await hasText(panel(page).locator('.differences'), '− v: 2');
    assert.deepEqual((await server.registration(id)).labels, { v: '2' });
    await button(page, 'Save').click();
    await toast(page, 'Saved both:1').waitFor();
    assert.deepEqual((await server.registration(id)).labels, { v: '1' });
  });
});

test('what was typed is kept through Escape, a click on a row, a tab and Back', async () => {
  await server.register('other:1', { target_group: 'other' });
  await withPage(server, { path: '?group=other' }, async page => {
    await rowCountIs(page, 1);
    await page.keyboard.press('n');
    await field(page, 'targets').fill('typed:1');
    const isThere = async () => {
      await page.locator('#register').click();
      assert.equal(await field(page, 'targets').inputValue(), 'typed:1');
    };
    await page.keyboard.press('Escape');
    await toast(page, 'What you typed is kept').waitFor();
    await isThere();
    await rowOf(page, 'other:1').locator('.c-targets').click();
    await hasText(panel(page).locator('h2'), 'other:1');
    await isThere();
    await page.locator('#tabs').getByRole('link', { name: 'Changes' }).click();
    await panel(page).waitFor({ state: 'hidden' });
    await page.goBack();
    await isThere();
    // A reload shows it again, with what is wrong in it; there is no token in what is kept.
    await signIn(page);
    for (const at of [0, 1]) await panel(page).getByLabel('Label name').nth(at).fill('twice');
    await panel(page).getByLabel('Label value').nth(1).fill(' x ');
    await field(page, 'ttl_seconds').selectOption('another…');
    await panel(page).getByLabel('Lifetime as a number').fill('');
    await page.reload();
    await hasText(panel(page), 'Register targets');
    assert.equal(await field(page, 'targets').inputValue(), 'typed:1');
    assert.equal(await panel(page).getByLabel('Label name').nth(1).inputValue(), 'twice');
    assert.equal(await panel(page).getByLabel('Label value').nth(1).inputValue(), ' x ');
    assert.equal(await panel(page).getByLabel('Lifetime as a number').inputValue(), '');
    const forms = await page.evaluate(() => {
      dispatchEvent(new Event('pagehide'));
      return sessionStorage.getItem('inventor.forms');
    });
    assert.match(forms, /typed:1/);
    assert.doesNotMatch(forms, /secret/);
    await button(page, 'Cancel').click();
    await page.locator('#register').click();
    assert.equal(await field(page, 'targets').inputValue(), '');
    await page.reload();
    await rowCountIs(page, 1);
    assert.equal(await panel(page).locator('form').count(), 0);
    // So is an edit, and it knows whether somebody else changed it meanwhile.
    await rowOf(page, 'other:1').focus();
    await page.keyboard.press('e');
    await field(page, 'target_group').fill('mine');
    await page.reload();
    await hasText(panel(page).locator('h2'), 'Edit');
    assert.equal(await field(page, 'target_group').inputValue(), 'mine');
    await hasText(panel(page).locator('.differences'), '+ group: mine');
    await server.register('other:1', { target_group: 'other', labels: { v: '2' } });
    await button(page, 'Save').click();
    await hasText(panel(page), 'It was changed meanwhile');
  });
});

test('two writes by hand are no rhythm of renewals', async () => {
  const id = await server.register('hand:1', { ttl_seconds: 600 });
  const { updated_at } = await server.registration(id);
  await eventually('a second later', () => Date.now() > Date.parse(updated_at) + 1500);
  await server.register('hand:1', { ttl_seconds: 600 });
  assert.equal((await server.registration(id)).renewal_interval_seconds, null);
  await withPage(server, { path: `?id=${id}` }, async page => {
    await hasText(panel(page).locator('.verdict'), 'No rhythm of renewals is known yet.');
    await signIn(page);
    await button(page, 'Delete').click();
    await hasText(toast(page, 'Deleted hand:1'), 'If a host still renews it, it will come back.');
  });
});

test('editing tells what follows from it, and saves', async () => {
  const id = await server.register('edit:1', { labels: { env: 'prod' }, target_group: 'before' });
  await withPage(server, { path: `?id=${id}` }, async page => {
    await signIn(page);
    await hasText(panel(page), 'edit:1');
    await button(page, 'Edit').click();
    await hasText(panel(page), 'Nothing changed yet.');
    await panel(page).getByLabel('Label value').first().fill('stg');
    await hasText(panel(page), 'Prometheus ends the series of 1 target and starts new ones.');
    await field(page, 'target_group').fill('after');
    await hasText(panel(page), 'Whoever polls before loses it; whoever polls after gets it.');
    await button(page, 'Save').click();
    await toast(page, 'Saved edit:1').waitFor();
    const row = await server.registration(id);
    assert.deepEqual([row.labels, row.target_group], [{ env: 'stg' }, 'after']);
    await hasText(rowOf(page, 'edit:1'), 'env=stg');
  });
});

test('other targets are another registration: the new one comes, the old one goes', async () => {
  const id = await server.register('moves-from:1', { target_group: 'moves' });
  await withPage(server, { path: `?group=moves&id=${id}` }, async page => {
    await signIn(page);
    await button(page, 'Edit').click();
    await page.getByRole('button', { name: 'Change the targets' }).click();
    await field(page, 'targets').fill('moves-to:1');
    await hasText(panel(page), 'Different targets make a different registration');
    const past = await holdAnswers(
      page,
      url => url.searchParams.get('id') === id && url.pathname === '/api/v1/changes',
    );
    await button(page, 'Save').click();
    await toast(page, 'Saved moves-to:1').waitFor();
    // What became of the old one is no longer looked at.
    await past.letGo();
    await hasText(panel(page).locator('h2'), 'moves-to:1');
    const { registrations } = await server.registrations('group=moves');
    assert.deepEqual(
      registrations.map(r => r.targets),
      [['moves-to:1']],
    );
  });
});

test('deleting warns of the next renewal, and can be undone', async () => {
  const content = { labels: { a: 'b' }, target_group: 'renewed', ttl_seconds: 600 };
  const id = await server.register('renewed:1', content);
  await eventually('an interval is known', async () => {
    await server.register('renewed:1', content);
    return (await server.registration(id)).renewal_interval_seconds;
  });
  await withPage(server, { path: '?group=renewed' }, async page => {
    await signIn(page);
    await rowOf(page, 'renewed:1').focus();
    await page.keyboard.press('d');
    await hasText(toast(page, 'Deleted renewed:1'), 'It will come back at its next renewal');
    await page.locator('.row.gone').waitFor();
    assert.equal((await server.registrations('group=renewed')).total, 0);
    // Also after a reload, within its time.
    await page.reload();
    await hasText(toast(page, 'Deleted renewed:1'), 'It will come back at its next renewal');
    await page.keyboard.press('z');
    await hasText(toast(page, 'Registered again: renewed:1'), 'Its lifetime starts over: 10 min from now');
    const row = await server.registration(id);
    assert.deepEqual([row.labels, row.target_group, row.ttl_seconds], [{ a: 'b' }, 'renewed', 600]);
    await eventually('it is no longer struck out', async () => !(await page.locator('.row.gone').count()));
  });
});

test('a group goes out as a file and comes in again after a look at what would change', async () => {
  for (const name of ['file-a:1', 'file-b:1']) await server.register(name, { target_group: 'file' });
  for (const [at, ttl_seconds] of [0, 600, 0].entries())
    await server.register(`lifetime-${at}:1`, { target_group: 'lifetimes', ttl_seconds });
  await withPage(server, { path: '?group=file', acceptDownloads: true }, async page => {
    await signIn(page);
    await rowCountIs(page, 2);
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Export' }).click();
    assert.equal((await download).suggestedFilename(), 'file.json');
    await page.getByRole('button', { name: 'Replace' }).click();
    const text = panel(page).getByLabel('The list as text');
    const line = what => panel(page).locator('.diff > li').filter({ hasText: what });
    // By itself it stays what it is, its lifetime as well; where that differs, somebody has to choose.
    const lifetime = panel(page).locator('#d-ttl_seconds');
    const lifetimeIs = seconds => eventually(seconds, async () => (await lifetime.inputValue()) === seconds);
    await lifetimeIs('21600');
    await text.fill('[{"targets": ["file-a:1"]}, {"targets": ["file-b:1"]}]');
    await hasText(line('unchanged'), '2');
    await hasText(panel(page), 'The group already matches the file.');
    await panel(page).locator('#d-group').fill('lifetimes');
    await hasText(panel(page).locator('.alert'), 'Choose one lifetime for all.');
    await hasText(panel(page), 'The group has several: never ends (2), 10 minutes (1).');
    await lifetimeIs('');
    await panel(page).locator('#d-group').fill('file');
    await lifetimeIs('21600');
    await text.fill('[{"targets": ["file-a:1"]}, {"targets": ["file-c:1"], "labels": {"bad-name": "x"}}]');
    await text.blur();
    // As people count, and in their words.
    await hasText(panel(page).locator('.alert'), 'Entry 2, file-c:1, labels, bad-name: Letters, digits and _ only');
    await text.fill('[{"targets": ["file-a:1"]}, {"targets": ["file-a:1"]}, {"targets": []}]');
    await text.blur();
    await hasText(panel(page).locator('.alert'), 'Entry 2, file-a:1, targets: The same targets as in entry 1.');
    await hasText(panel(page).locator('.alert'), 'Entry 3, targets: At least one is needed.');
    await text.fill('[\n {"targets": ["file-a:1"]},\n {"targets": ["file-c:1"]\n  "labels": {}}\n]');
    await text.blur();
    await hasText(panel(page).locator('.alert'), 'Line 4: this is not JSON.');
    await text.fill('{"targets": ["file-a:1"]}');
    await text.blur();
    await hasText(panel(page).locator('.alert'), 'A list is expected');
    await text.fill('[{"targets": ["file-a:1"]}, {"targets": ["file-c:1"]}]');
    await text.blur();
    await hasText(line('registered'), 'file-c:1');
    await hasText(line('deleted'), 'file-b:1');
    assert.equal((await server.registrations('group=file')).total, 2);
    const replace = page.getByRole('button', { name: 'Replace the group' });
    assert.ok(await replace.isDisabled());
    const tick = panel(page).getByLabel('Yes, delete 1 registration');
    await tick.check();
    // It stands for what would be deleted: another text is asked about anew, another lifetime is not.
    const another = async act => {
      await panel(page)
        .locator('.diff')
        .evaluate(el => el.classList.add('before'));
      await act();
      await panel(page).locator('.diff:not(.before)').waitFor();
    };
    await another(() => lifetime.selectOption('1 day'));
    await hasText(line('changed'), 'file-a:1 lifetime: 6 hours → 1 day');
    assert.ok(await tick.isChecked());
    await another(() => text.fill('[{"targets": ["file-b:1"]}, {"targets": ["file-c:1"]}]'));
    assert.ok(!(await tick.isChecked()));
    await another(() => text.fill('[{"targets": ["file-a:1"]}, {"targets": ["file-c:1"]}]'));
    assert.ok(!(await tick.isChecked()));
    await tick.check();
    // Somebody else changes the group meanwhile: what is done is what was shown, or nothing.
    const d = await server.register('file-d:1', { target_group: 'file' });
    await replace.click();
    await hasText(panel(page).locator('.alert'), 'The group was changed meanwhile. Nothing was done.');
    await server.request('DELETE', `api/v1/registrations/${d}`);
    await panel(page).getByRole('button', { name: 'Look again' }).click();
    await panel(page).getByLabel('Yes, delete 1 registration').check();
    await replace.click();
    await toast(page, 'Group file now matches the file').waitFor();
    const inFile = async () => {
      const { registrations } = await server.registrations('group=file');
      return registrations.map(r => `${r.targets} ${r.ttl_seconds}`).sort();
    };
    assert.deepEqual(await inFile(), ['file-a:1 86400', 'file-c:1 86400']);
    await page.keyboard.press('z');
    await toast(page, 'Registered again: 2 registrations').waitFor();
    assert.deepEqual(await inFile(), ['file-a:1 21600', 'file-b:1 21600']);
  });
});

test('a new group comes from YAML, takes what stands elsewhere only when asked, and can be deleted and brought back', async () => {
  await server.register('yaml-a:1', { target_group: 'elsewhere', labels: { old: '1' } });
  await withPage(server, {}, async page => {
    await signIn(page);
    await page.getByRole('button', { name: 'Import' }).click();
    await panel(page).getByLabel('Group').fill('yaml');
    const yaml = ['- targets: [yaml-a:1]  # moves', '  labels:', '    env: prod', '- targets:', "  - 'yaml-b:1'"];
    await panel(page).getByLabel('The list as text').fill(yaml.join('\n'));
    await panel(page).locator('#d-ttl_seconds').selectOption('1 day');
    const line = what => panel(page).locator('.diff > li').filter({ hasText: what });
    await hasText(line('registered'), 'yaml-b:1');
    await hasText(line('taken from another group'), 'which is in the group "elsewhere"');
    await panel(page).getByLabel('Yes, take 1 registration from there.').check();
    const create = page.getByRole('button', { name: 'Create the group' });
    // Somebody else makes a group of this name meanwhile: it is not replaced unseen.
    const z = await server.register('yaml-z:1', { target_group: 'yaml' });
    await create.click();
    await hasText(panel(page).locator('.alert'), 'The group was changed meanwhile. Nothing was done.');
    await server.request('DELETE', `api/v1/registrations/${z}`);
    await panel(page).getByRole('button', { name: 'Look again' }).click();
    await create.click();
    await toast(page, 'Group yaml now matches the file').waitFor();
    const before = (await server.registrations('group=yaml')).registrations;
    assert.deepEqual(before.map(r => [r.targets[0], r.labels, r.ttl_seconds]).sort(), [
      ['yaml-a:1', { env: 'prod' }, 86_400],
      ['yaml-b:1', {}, 86_400],
    ]);
    await page.locator('.group').filter({ hasText: 'yaml' }).click();
    await page.locator('#summary').getByRole('button', { name: 'Delete' }).click();
    await hasText(page.locator('dialog .diff'), 'yaml-b:1');
    await page.locator('dialog').getByRole('button', { name: 'Delete 2 registrations' }).click();
    await toast(page, 'Deleted the group yaml').waitFor();
    assert.equal((await server.registrations('group=yaml')).total, 0);
    await page.keyboard.press('z');
    await toast(page, 'Registered again: 2 registrations').waitFor();
    const after = (await server.registrations('group=yaml')).registrations;
    assert.deepEqual(
      after.map(r => [r.targets, r.labels, r.ttl_seconds]),
      before.map(r => [r.targets, r.labels, r.ttl_seconds]),
    );
  });
});

test('what is registered is text, whatever it says', async () => {
  const hostile = '"><script>alert(1)</script>:9100';
  const labels = {
    note: '<img src=x onerror=alert(1)>',
    name: 'abc\u202egnp.exe',
    quote: "it's $(id) `id`",
    zero: 'a\u200bb',
  };
  await server.register(hostile, { labels, target_group: '<b>x</b> شبكة', modules: ['<i>'] });
  await withPage(server, {}, async page => {
    await rowOf(page, 'script').locator('.c-targets').click();
    await hasText(panel(page), '<img src=x onerror=alert(1)>');
    await hasText(panel(page), 'abcU+202Egnp.exe');
    await hasText(panel(page), 'aU+200Bb');
    assert.equal(await page.locator('#grid script, #panel script, #grid b, #panel img, #grid img').count(), 0);
    await panel(page).getByRole('tab', { name: 'curl' }).click();
    const line = await panel(page).locator('.code').textContent();
    assert.ok(line.includes("it'\\''s $(id) `id`"), line);
    assert.ok(line.includes('abc\\u202egnp.exe'), line);
    await panel(page).getByRole('link', { name: '<b>x</b>' }).click();
    await rowCountIs(page, 1);
  });
});
