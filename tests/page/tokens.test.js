// Tokens: asked for when they are needed, kept in the tab, sent in a header, told when they are refused.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { eventually, giveToken, hasText, holdAnswers, press, rowCountIs, rowOf, toast, withPage } from './browser.js';
import { Nginx, PasswordProxy, Server } from './server.js';

const hash = secret => `sha256:${createHash('sha256').update(secret).digest('hex')}`;
const stored = page => page.evaluate(() => [{ ...sessionStorage }, Object.keys(localStorage), document.cookie]);

/** Enters no token; what asked for it is not under way any more then. */
async function giveUp(page) {
  await page.keyboard.press('Escape');
  await page.locator('#panel .busy').waitFor({ state: 'detached' });
}

let open;
let guarded;

before(async () => {
  open = await Server.start();
  await open.register('a:1', { target_group: 'x' });
  guarded = new Server({ SD_TOKEN: 'token-read' });
  const file = `${guarded.directory}/tokens`;
  writeFileSync(file, `team-x write x ${hash('token-x')}\nviewer read x ${hash('token-view-x')}\n`);
  guarded.env.TOKENS_FILE = file;
  await guarded.start();
  await guarded.register('a:1', { target_group: 'x' });
  await guarded.register('b:1', { target_group: 'y' });
});
after(async () => {
  await open.stop();
  await guarded.stop();
});

test('a wrong token is refused where it was entered, and nothing typed is lost', () =>
  withPage(open, {}, async page => {
    await page.getByRole('button', { name: 'Register' }).click();
    await page.locator('#f-targets').fill('typed:1');
    await page.keyboard.press('Control+Enter');
    await giveToken(page, 'token-wrong');
    await hasText(page.locator('dialog #token-wrong'), 'This token is not known here.');
    assert.equal(await page.locator('#token-field').getAttribute('aria-invalid'), 'true');
    assert.deepEqual(await stored(page), [{}, [], '']);
    await giveUp(page);
    assert.equal(await page.locator('#f-targets').inputValue(), 'typed:1');
    await page.locator('#f-targets').press('Control+Enter');
    await giveToken(page);
    await toast(page, 'Registered typed:1').waitFor();
    assert.deepEqual(await stored(page), [{ 'inventor.write': 'secret' }, [], '']);
    await page.reload();
    await page.getByRole('button', { name: 'Writing is enabled' }).click();
    await page.locator('dialog').getByRole('button', { name: 'Forget' }).click();
    await page.getByRole('button', { name: 'Read-only' }).waitFor();
    assert.deepEqual(await stored(page), [{}, [], '']);
  }));

test('writing is enabled only by a token that may write', () =>
  withPage(open, {}, async page => {
    await page.locator('#token').click();
    await giveToken(page, 'token-wrong');
    await hasText(page.locator('dialog #token-wrong'), 'This token is not known here.');
    assert.equal(await page.getByRole('button', { name: 'Writing is enabled' }).count(), 0);
    await giveToken(page);
    await page.getByRole('button', { name: 'Writing is enabled' }).waitFor();
  }));

test('what a read token does not show, the token that writes does; both can be forgotten', () =>
  withPage(guarded, { path: '?group=y' }, async page => {
    await page.locator('.gate #token-field').fill('token-view-x');
    await page.keyboard.press('Enter');
    await page.locator('#below h2').waitFor();
    await page.keyboard.press('n');
    await page.locator('#f-targets').fill('wide:1');
    await page.locator('#f-targets').press('Control+Enter');
    await giveToken(page);
    await toast(page, 'Registered wide:1').waitFor();
    await rowOf(page, 'wide:1').waitFor();
    assert.deepEqual((await stored(page))[0], { 'inventor.write': 'secret' });
    await page.getByRole('button', { name: 'Writing is enabled' }).click();
    await page.locator('dialog').getByRole('button', { name: 'Forget' }).click();
    await page.locator('.gate').waitFor();
    await guarded.request(
      'DELETE',
      `api/v1/registrations/${(await guarded.registrations('q=wide')).registrations[0].id}`,
    );
  }));

test('one reads and writes behind a proxy that asks for a password of its own', async () => {
  const proxy = await PasswordProxy.start(open, { user: 'ops', password: 'pw' });
  const httpCredentials = { username: 'ops', password: 'pw' };
  await withPage(proxy, { httpCredentials }, async page => {
    await rowOf(page, 'a:1').waitFor();
    await page.locator('#token').click();
    await giveToken(page);
    await page.getByRole('button', { name: 'Writing is enabled' }).waitFor();
    await page.keyboard.press('n');
    await page.locator('#f-targets').fill('proxied:1');
    await page.locator('#f-targets').press('Control+Enter');
    await toast(page, 'Registered proxied:1').waitFor();
    // Who is no longer let in is told that this is the proxy's doing, and is not asked for a token.
    proxy.password = 'another';
    await hasText(page.locator('#banners'), 'A proxy in front of the server wants a user name');
    assert.equal(await page.locator('.gate').count(), 0);
  });
  await proxy.stop();
});

test('below a path one reads and writes as on a host of its own', async () => {
  const nginx = await Nginx.start(open);
  await withPage(nginx, {}, async page => {
    await rowOf(page, 'a:1').waitFor();
    await page.locator('#token').click();
    await giveToken(page);
    await page.getByRole('button', { name: 'Writing is enabled' }).waitFor();
    await page.keyboard.press('n');
    await page.locator('#f-targets').fill('below:1');
    await page.locator('#f-targets').press('Control+Enter');
    await toast(page, 'Registered below:1').waitFor();
    await rowOf(page, 'below:1').click();
    await page.waitForURL(/\/inventor\/[?#]/);
    await page.reload();
    await rowOf(page, 'below:1').waitFor();
  });
  await nginx.stop();
});

test('a tab of its own has no token', () =>
  withPage(open, {}, async page => {
    await page.locator('#token').click();
    await giveToken(page);
    await page.getByRole('button', { name: 'Writing is enabled' }).waitFor();
    const other = await page.context().newPage();
    await other.goto(open.url);
    await other.getByRole('button', { name: 'Read-only' }).waitFor();
  }));

test('a server with a read token shows nothing before it is given', () =>
  withPage(guarded, {}, async page => {
    await hasText(page.locator('.gate'), 'This server asks for a token');
    assert.ok(await page.locator('#browse').isHidden());
    await page.locator('#token-field').fill('token-wrong');
    await page.keyboard.press('Enter');
    await page.locator('.gate #token-wrong').waitFor();
    // What the server says of its tokens may come after somebody has asked for the configuration.
    let goOn;
    const told = new Promise(resolve => {
      goOn = resolve;
    });
    // A question that the page has given up meanwhile needs no answer.
    await page.route('**/api/v1/status', route => told.then(() => route.continue()).catch(() => {}));
    await page.locator('#token-field').fill('token-read');
    await page.keyboard.press('Enter');
    await page.locator('.gate').waitFor({ state: 'detached' });
    await rowCountIs(page, 2);
    await page.keyboard.press('u');
    await page.locator('#panel .code').waitFor();
    goOn();
    await hasText(page.locator('#panel .code'), 'credentials_file');
    // It may look, and no more.
    await page.keyboard.press('Escape');
    await rowOf(page, 'a:1').focus();
    await page.keyboard.press('d');
    const wrong = page.locator('dialog #token-wrong');
    await hasText(wrong, 'sd may read all groups. A token that may write is needed.');
    await giveToken(page, 'token-view-x');
    await hasText(wrong, 'viewer may read x. A token that may write is needed.');
    await giveToken(page);
    await toast(page, 'Deleted a:1').waitFor();
    await page.keyboard.press('z');
    await toast(page, 'Registered again').waitFor();
  }));

test('a refusal that comes late clears nothing that is typed, and takes no token that was entered meanwhile', () =>
  withPage(guarded, {}, async page => {
    const field = page.locator('.gate #token-field');
    for (const isEntered of [false, true]) {
      const lists = await holdAnswers(page, url => url.pathname === '/api/v1/registrations');
      await page.reload();
      await lists.isHeld();
      await field.fill('token-read');
      await lists.noMore();
      if (isEntered) await field.press('Enter');
      await lists.letGo();
      if (!isEntered) await field.press('Enter');
      await rowCountIs(page, 2);
      assert.deepEqual(await stored(page), [{ 'inventor.read': 'token-read' }, [], '']);
      await page.evaluate(() => sessionStorage.clear());
    }
  }));

test('a token that may write is asked for once', () =>
  withPage(guarded, {}, async page => {
    await page.locator('.gate #token-field').fill('secret');
    await page.keyboard.press('Enter');
    await rowOf(page, 'b:1').focus();
    await page.keyboard.press('d');
    await toast(page, 'Deleted b:1').waitFor();
    await page.keyboard.press('z');
    await toast(page, 'Registered again').waitFor();
  }));

test('a token for one group sees that group alone, and is told what it may not', () =>
  withPage(guarded, {}, async page => {
    await page.locator('.gate #token-field').fill('token-x');
    await page.keyboard.press('Enter');
    await rowCountIs(page, 1);
    await eventually('all groups and this one', async () => (await page.locator('.group').count()) === 2);
    await page.keyboard.press('4');
    await hasText(page.locator('#view'), 'This token may not see pollers');
    await page.keyboard.press('1');
    await page.keyboard.press('n');
    await page.locator('#f-targets').fill('c:1');
    await page.locator('#f-target_group').fill('y');
    await page.keyboard.press('Control+Enter');
    // In the same words before, when it is refused, and when what it may not see is looked for.
    const outside = 'team-x may change x. This is in another group.';
    await hasText(page.locator('#panel .effect'), outside);
    await hasText(page.locator('dialog #token-wrong'), outside);
    await giveUp(page);
    await page.locator('#f-target_group').fill('x');
    await page.locator('#f-target_group').press('Control+Enter');
    await toast(page, 'Registered c:1').waitFor();
    await page.goto(`${guarded.url}?group=y`);
    await hasText(page.locator('#below p'), outside);
  }));

test('a group that a token may not read is refused, not empty', () =>
  withPage(guarded, { path: '?group=y' }, async page => {
    await page.locator('.gate #token-field').fill('token-view-x');
    await page.keyboard.press('Enter');
    await hasText(page.locator('#below h2'), 'The server does not show this');
    await hasText(page.locator('#below p'), 'viewer may read x. This is in another group.');
  }));

test('what a token may do is shown, and buttons that it may not press say so', async () => {
  const server = new Server();
  writeFileSync(`${server.directory}/tokens`, `team-x write x,nas-* ${hash('token-x')}\n`);
  server.env.TOKENS_FILE = `${server.directory}/tokens`;
  await server.start();
  for (const group of ['x', 'nas-1', 'y']) await server.register(`${group}:1`, { target_group: group });
  const why = /team-x may change x, nas-\*\. This is in another group\.$/;
  await withPage(server, {}, async page => {
    await rowCountIs(page, 3);
    const titleIs = (button, text) =>
      eventually(`a title like ${text}`, async () => text.test(await button.getAttribute('title')));
    const removeIs = async (group, text) => {
      await rowOf(page, `${group}:1`).locator('.c-targets').hover();
      await titleIs(rowOf(page, `${group}:1`).getByRole('button', { name: 'Delete (d)' }), text);
    };
    await removeIs('y', /^Delete \(d\)$/);
    await press(page, page.locator('#token'));
    await giveToken(page, 'token-x');
    await page.getByRole('button', { name: 'Writing is enabled: team-x may change x, nas-*.' }).waitFor();
    for (const group of ['x', 'nas-1']) await removeIs(group, /^Delete \(d\)$/);
    await removeIs('y', why);
    await page.keyboard.press('n');
    await page.locator('#f-target_group').fill('y');
    await hasText(page.locator('#panel .effect'), why);
    await page.locator('#f-target_group').fill('nas-2');
    await page.locator('#panel .effect').waitFor({ state: 'hidden' });
    await press(page, page.locator('#panel').getByRole('button', { name: 'Cancel' }));
    const dialog = page.locator('dialog');
    await press(page, page.locator('#token'));
    await hasText(dialog, 'The token for writing: team-x may change x, nas-*.');
    await press(page, dialog.getByRole('button', { name: 'Enter a token that may write' }));
    await giveToken(page, 'token-wrong');
    await hasText(dialog.locator('#token-wrong'), 'This token is not known here.');
    await page.keyboard.press('Escape');
    await page.keyboard.press('i');
    await page.locator('#d-group').fill('y');
    await page.getByLabel('The list as text').fill('[]');
    await hasText(page.locator('#panel .alert'), why);
    await press(page, rowOf(page, 'y:1').locator('.c-targets'));
    const button = page.locator('#panel').getByRole('button', { name: 'Delete' });
    await titleIs(button, why);
    // It can be pressed all the same, to enter another token.
    await press(page, button);
    await hasText(page.locator('dialog #token-wrong'), why);
    await giveToken(page);
    await toast(page, 'Deleted y:1').waitFor();
    await page.getByRole('button', { name: 'Writing is enabled: api may change all groups.' }).waitFor();
  });
  await server.stop();
});
