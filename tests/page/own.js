// A server of a test's own, which it may stop, starve or fill as it likes, and the page of it.
import { withPage } from './browser.js';
import { Server } from './server.js';

/** Starts it, over a Redis if there is one, registers some targets, opens its page, and stops it afterwards. */
export async function withOwnServer({ redis, targets = [], ...options }, fact) {
  const server = await Server.start(redis?.env());
  for (const target of targets) await server.register(target);
  await withPage(server, options, page => fact(page, server));
  await server.stop();
}
