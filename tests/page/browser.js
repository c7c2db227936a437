// The browsers: one Chromium for all tests of a file, and one Firefox for what a mouse does; a fresh profile for each
// page. Whatever a page complains of, whatever it asks of other hosts and whatever its policy reports fails the test
// that opened it. What is waited for is a state that stays: whoever looks seldom must not miss it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after } from 'node:test';
import { chromium, firefox, require } from './tools.js';

const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
// How much of what a page shows goes with a failure.
const SEEN_MAX = 3000;
const WAIT_MS = Number(process.env.WAIT_MS ?? 60_000);
// Said by the browser of each answer that is no 2xx, and of a server that is gone: these are part of some facts.
const EXPECTED = /^Failed to load resource/;

const programs = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const executablePath = process.env.CHROMIUM ?? programs[0];
const LAUNCHES = {
  chromium: () => chromium.launch({ executablePath, args: ARGUMENTS }),
  // The Firefox of the system, over WebDriver BiDi.
  firefox: () =>
    firefox.launch({ executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr', channel: 'moz-firefox' }),
};
const browsers = {};
export const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

after(() => Promise.all(Object.values(browsers).map(async browser => (await browser).close())));

/** Opens the page of a server, gives it to the fact, and looks at what the browser has to say afterwards. */
export async function withPage(server, options, fact) {
  const { path = '', width = 1440, height = 900, browser = 'chromium', ...more } = options;
  browsers[browser] ??= LAUNCHES[browser]();
  const context = await (await browsers[browser]).newContext({ viewport: { width, height }, ...more });
  context.setDefaultTimeout(WAIT_MS);
  const page = await context.newPage();
  const faults = [];
  page.on('pageerror', error => faults.push(`error: ${error.stack}`));
  page.on('dialog', dialog => {
    faults.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('console', message => {
    if (!EXPECTED.test(message.text())) faults.push(`console: ${message.text()}`);
  });
  page.on('request', request => {
    if (!request.url().startsWith(server.url) && !request.url().startsWith('blob:'))
      faults.push(`asked ${request.url()}`);
    if (/secret|token-/.test(request.url())) faults.push(`a token in ${request.url()}`);
  });
  await page.exposeFunction('policyReports', report => faults.push(`policy: ${report}`));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', e =>
      window.policyReports(`${e.violatedDirective} ${e.blockedURI}`),
    );
  });
  try {
    await page.goto(server.url + path);
    await fact(page);
  } catch (error) {
    const seen = await page.locator('body').ariaSnapshot().catch(String);
    error.stack += `\nThe page said:\n${seen.slice(0, SEEN_MAX)}`;
    throw error;
  } finally {
    await context.close();
  }
  assert.deepEqual(faults, []);
}

/** The rows of the list. */
export const rows = page => page.locator('#grid .row[data-id]');
export const rowOf = (page, text) => rows(page).filter({ hasText: text });
export const toast = (page, text) => page.locator('.toast').filter({ hasText: text });

/** Presses as a hand does: goes there in steps, follows what still moves, presses, and lets go a moment later. */
export async function press(page, locator, { button = 'left', at = 0.5 } = {}) {
  await locator.scrollIntoViewIfNeeded();
  const place = async () => {
    const { x, y, width, height } = await locator.boundingBox();
    return [x + width * at, y + height / 2];
  };
  await eventually('it rests', async () => {
    const [x, y] = await place();
    await page.mouse.move(x, y, { steps: 4 });
    await page.waitForTimeout(120);
    return `${x} ${y}` === (await place()).join(' ');
  });
  await page.mouse.down({ button });
  await page.waitForTimeout(60);
  await page.mouse.up({ button });
}

/** Waits until a locator has this text, which Playwright does not offer outside of its own runner. */
export async function hasText(locator, text) {
  await locator.filter({ hasText: text }).first().waitFor();
}

export async function eventually(what, condition) {
  const end = Date.now() + WAIT_MS;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert.ok(Date.now() < end, `in vain: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

/** Holds the answers to some questions, as they were, until they are let go; then until the page has had them. */
export async function holdAnswers(page, isAsked) {
  let letGo;
  const told = new Promise(resolve => {
    letGo = resolve;
  });
  const held = [];
  // Of a question that the page has given up meanwhile nobody hears.
  const answer = async route => {
    const response = await route.fetch();
    held.push(told.then(() => route.fulfill({ response })).catch(() => {}));
  };
  await page.route(isAsked, answer);
  return {
    isHeld: () => eventually('it is asked', () => held.length),
    /** Those that are asked from now on are answered at once. */
    noMore: () => page.unroute(isAsked),
    async letGo() {
      letGo();
      await Promise.all(held);
      await page.evaluate(() => new Promise(resolve => setTimeout(resolve, 300)));
    },
  };
}

/** Waits until as many rows are shown. */
export const rowCountIs = (page, n) => eventually(`${n} rows`, async () => (await rows(page).count()) === n);

export async function giveToken(page, token = 'secret') {
  await page.locator('dialog #token-field').fill(token);
  await page.keyboard.press('Enter');
}

/** Enters a token that may write, as a hand does. */
export async function signIn(page) {
  await press(page, page.locator('#token'));
  await giveToken(page);
  await page.getByRole('button', { name: 'Writing is enabled' }).waitFor();
}

/** What axe finds; it runs in a world of its own, because the page's policy lets no foreign script in. */
export async function accessibilityFaults(page) {
  const session = await page.context().newCDPSession(page);
  const { frameTree } = await session.send('Page.getFrameTree');
  const world = await session.send('Page.createIsolatedWorld', { frameId: frameTree.frame.id, worldName: 'axe' });
  const evaluate = expression =>
    session.send('Runtime.evaluate', {
      contextId: world.executionContextId,
      awaitPromise: true,
      returnByValue: true,
      expression,
    });
  await evaluate(axe);
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
  const options = JSON.stringify({ runOnly: tags });
  const { result } = await evaluate(
    `axe.run(document, ${options}).then(found => JSON.stringify({
      rules: found.passes.length,
      faults: found.violations.map(v => v.id + ': ' + v.nodes.map(n => n.target + ' ' + n.failureSummary).join('; ')),
    }))`,
  );
  await session.detach();
  return JSON.parse(result.value);
}
