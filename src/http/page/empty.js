// Shown in place of an empty list: the first steps, or how many rows each condition removes.
import { codes, curlGet, curlPut } from './codes.js';
import { $, fill, foreign, h } from './dom.js';
import { emit, on } from './events.js';
import { list } from './list.js';
import { conditions } from './search.js';
import { get, origin } from './server.js';
import { filter, isFiltered, link, state } from './state.js';
import { plural } from './words.js';

const endPlace = $('#below');

function firstSteps() {
  const url = `${origin}/sd?group=node`;
  const example = { targets: ['10.0.10.2:9100'], labels: { env: 'prod' }, target_group: 'node' };
  const step = (name, kind, text) => h('li', h('h3', name), codes([[kind, text]]));
  const prometheus = `scrape_configs:\n  - job_name: node\n    http_sd_configs:\n      - url: "${url}"`;
  return h(
    'div.empty.first',
    h('h2', 'Nothing is registered yet'),
    h(
      'p',
      'Hosts register their targets, Prometheus asks for the list, and whatever is not renewed expires. ',
      'The first target appears here as soon as it is registered.',
    ),
    h(
      'ol',
      step('Register a target', 'shell', `export TOKEN=…   # API_TOKEN of the server\n${curlPut(example)}`),
      step('See what Prometheus will see', 'shell', curlGet(url)),
      step('Point Prometheus at it', 'prometheus.yml', prometheus),
    ),
    h(
      'p.line',
      h('button.primary', () => emit('register'), 'Register here'),
      h('button', () => emit('declare'), 'Import a file'),
    ),
  );
}

/** Each condition with the number of registrations that match without it. */
function relaxed() {
  return conditions().map(([text, patch]) => {
    const n = h('span');
    get('registrations', { ...filter({ ...state, ...patch }), limit: 1 }).then(
      ({ total }) => {
        n.textContent = plural(total, 'registration');
      },
      () => {},
    );
    return h('p', link(patch, 'Without ', h('b', foreign(text))), ' ', n);
  });
}

function nothingMatches() {
  const title = list.wrong ? 'The server does not show this' : 'No registration matches all of this';
  return h('div.empty', h('h2', title), list.wrong && h('p', foreign(list.wrong)), relaxed());
}

let drawnEnd;

function drawEnd() {
  const isBare = !list.total && !list.wrong && !isFiltered();
  $('#shell').classList.toggle('bare', isBare);
  const isLong = list.total > 50;
  const signature = list.total ? String(isLong) : JSON.stringify([isBare, list.wrong, filter()]);
  if (signature === drawnEnd) return;
  drawnEnd = signature;
  if (isBare) fill(endPlace, firstSteps());
  else if (!list.total) fill(endPlace, nothingMatches());
  else fill(endPlace, isLong && h('p.none', 'End of the list.'));
}

export const startEmpty = () => on('listed', drawEnd);
