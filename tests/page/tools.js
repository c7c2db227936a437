// What npm installed, without a folder of packages among the sources: tests/run puts them below target.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));
export const require = createRequire(`${root}target/page/`);
export const { chromium, firefox } = require('playwright-core');
