// The configurations to paste: the documents show what the page writes, and Prometheus takes it, whatever is in it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { configurations } from '../../src/http/page/polling.js';

const GIVEN = { url: 'http://inventor:9101/sd?group=node', job: 'node', needsToken: true, hasModules: true };
const document = readFileSync(new URL('../../docs/scrape-configurations.md', import.meta.url), 'utf8');

test('the documents show what the page writes', () => {
  const blocks = [...document.matchAll(/```\w+\n(.*?)\n```/gs)].map(match => match[1]);
  assert.deepEqual(
    blocks,
    configurations(GIVEN).map(([, text]) => text.trim()),
  );
});

/** The jobs in a text, wherever they stand in it, as Prometheus reads them. */
function jobs(text) {
  const lines = text.split('\n');
  const start = lines.findIndex(line => line.trim() === 'scrape_configs:');
  const columns = lines[start].search(/\S/);
  const rest = lines.slice(start + 1);
  const end = rest.findIndex(line => line.search(/\S/) <= columns);
  return [lines[start], ...(end < 0 ? rest : rest.slice(0, end))].map(line => line.slice(columns)).join('\n');
}

test('Prometheus takes the jobs, with and without token and modules', () => {
  const directory = mkdtempSync(join(tmpdir(), 'configurations-'));
  try {
    const file = join(directory, 'prometheus.yml');
    for (const [needsToken, hasModules] of [
      [true, true],
      [false, false],
      [true, false],
      [false, true],
    ]) {
      const all = Object.fromEntries(configurations({ ...GIVEN, job: 'a: "$1"', needsToken, hasModules }));
      for (const name of ['Prometheus', 'vmagent', 'OpenTelemetry']) {
        writeFileSync(file, jobs(all[name]));
        execFileSync('promtool', ['check', 'config', '--syntax-only', file], { stdio: 'pipe' });
      }
      assert.equal(all.OpenTelemetry.includes('$$1'), true, 'a dollar is a dollar for the collector');
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});
