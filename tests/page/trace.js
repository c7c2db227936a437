// What a page costs the processor, as the browser itself traces it.

const CATEGORIES = ['toplevel', 'devtools.timeline', 'disabled-by-default-devtools.timeline'];

/** The longest task of the page's main thread while something is done: its own time, in milliseconds, however busy the machine is. */
export async function longestTask(page, act) {
  const browser = page.context().browser();
  await browser.startTracing(page, { categories: CATEGORIES });
  let trace;
  try {
    await act();
  } finally {
    trace = await browser.stopTracing();
  }
  const { traceEvents } = JSON.parse(trace);
  const mains = new Set(traceEvents.filter(e => e.args?.name === 'CrRendererMain').map(e => `${e.pid} ${e.tid}`));
  const tasks = traceEvents.filter(e => e.name.endsWith('RunTask') && e.tdur && mains.has(`${e.pid} ${e.tid}`));
  return Math.round(Math.max(0, ...tasks.map(e => e.tdur)) / 1000);
}
