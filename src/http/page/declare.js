// A group as a file in the form of file_sd: out of the server, and into it after a look at what would change.
import { fill, foreign, h, say } from './dom.js';
import { load } from './list.js';
import { alertBox, closePanel, openPanel } from './panel.js';
import { get, putGroup } from './server.js';
import { emit, on, trouble } from './state.js';
import { count, plural } from './words.js';

const ERRORS_SHOWN_MAX = 20;

async function exportGroup(name) {
  const content = await get(`groups/${encodeURIComponent(name)}`);
  const file = new Blob([`${JSON.stringify(content, null, 2)}\n`], { type: 'application/json' });
  const a = h('a', { href: URL.createObjectURL(file), download: `${name}.json` });
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 10_000);
}

const told = ({ created, updated, deleted }) => `${created} registered, ${updated} changed, ${deleted} deleted`;

function difference({ created, updated, unchanged, deleted }) {
  const lines = [
    ['+', created, 'registered'],
    ['~', updated, 'changed'],
    ['−', deleted, 'deleted'],
    ['=', unchanged, 'as they are'],
  ];
  const line = ([sign, n, what]) => h(`li${n ? '' : '.none'}`, h('span', sign), h('b', count(n)), what);
  return h('ul.diff', lines.map(line));
}

function declare(group = '') {
  let wanted;
  const report = h('div', { 'aria-live': 'polite' });
  const name = h('input', { id: 'd-group', value: group, spellcheck: 'false', onchange: check });
  const text = h('textarea.mono', {
    rows: 6,
    spellcheck: 'false',
    'aria-label': 'The list as text',
    placeholder: '[{"targets": ["10.0.10.2:9100"], "labels": {"env": "prod"}}]',
    onchange: check,
  });

  async function take(file) {
    if (!file) return;
    text.value = await file.text();
    name.value ||= file.name.replace(/\.json$/i, '');
    check();
  }

  function check() {
    fill(report);
    if (!text.value.trim()) return;
    try {
      wanted = JSON.parse(text.value);
    } catch (error) {
      return fill(report, alertBox('This is not JSON: ', error.message));
    }
    if (name.value.trim()) put({ dry: true });
    else fill(report, h('p.note', 'For which group?'));
  }

  async function put({ dry }) {
    const into = name.value.trim();
    try {
      const answer = await putGroup(into, wanted, { dry_run: dry && 'true' });
      if (answer === null) return;
      if (dry) return propose(answer);
      closePanel();
      emit('written');
      emit('toast', { text: ['Group ', h('b', foreign(into)), ' is as the file says'], more: told(answer) });
      await load();
    } catch (error) {
      const errors = error.errors.slice(0, ERRORS_SHOWN_MAX);
      const lines = errors.map(e => h('li', foreign(`${e.pointer} ${e.detail}`)));
      fill(report, alertBox(h('p', foreign(error.message)), h('ul', lines)));
    }
  }

  function propose(answer) {
    const { created, updated, deleted } = answer;
    const replace = h(
      `button.primary${deleted ? '.danger' : ''}`,
      { disabled: deleted > 0, onclick: () => put({ dry: false }) },
      'Replace the group',
    );
    const agree = e => {
      replace.disabled = !e.target.checked;
    };
    const sure = `Yes, delete ${plural(deleted, 'registration')} that the file does not name, whoever registered them.`;
    fill(
      report,
      difference(answer),
      deleted > 0 && h('label.check', h('input', { type: 'checkbox', onchange: agree }), h('span', sure)),
      created + updated + deleted ? replace : h('p.note', 'The group is exactly so already.'),
    );
    say(`Would be: ${told(answer)}`);
  }

  const drop = e => {
    e.preventDefault();
    take(e.dataTransfer.files[0]);
  };
  const warning =
    'These targets get no end. What the file does not name is deleted: do not mix with hosts that register themselves.';
  openPanel(
    'declare',
    'Replace a group',
    { closed() {} },
    h('p.lead', 'Makes a group be exactly what a file says, all or nothing. First you see what would change.'),
    h(
      'div.form',
      h('div.f', h('label', { for: 'd-group' }, 'Group'), name),
      h(
        'div.drop',
        { ondragover: e => e.preventDefault(), ondrop: drop },
        h(
          'span',
          h('label.link', { for: 'd-file' }, 'Choose a file'),
          ' in the form of file_sd, drop it here, or paste:',
        ),
        h('input.vh', { type: 'file', id: 'd-file', accept: '.json', onchange: e => take(e.target.files[0]) }),
        text,
      ),
      h('p.note', warning),
    ),
    report,
  );
  (group ? text : name).focus();
}

export function start() {
  on('declare', declare);
  on('export', name => exportGroup(name).catch(trouble));
}
