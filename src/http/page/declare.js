// A group as a file in the form of file_sd: out of the server, and into it after a look at what would change.
import { fill, foreign, h, say } from './dom.js';
import { emit, on, trouble } from './events.js';
import { reload } from './list.js';
import { alertBox, closePanel, openPanel } from './panel.js';
import { get, putGroup } from './server.js';
import { count, plural } from './words.js';

const ERRORS_SHOWN_MAX = 20;
const LEAD = 'Makes a group exactly what a file says, all or nothing. You first see what would change.';
const WARNING =
  'These targets never expire. Whatever the file does not list is deleted, so do not mix this with hosts that register themselves.';

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
    ['=', unchanged, 'unchanged'],
  ];
  const line = ([sign, n, what]) => h(`li${n ? '' : '.none'}`, h('span', sign), h('b', count(n)), what);
  return h('ul.diff', lines.map(line));
}

/** Makes a group be what a text says; each change of the text is tried without doing it. */
class Declaration {
  constructor(group) {
    const checks = () => this.check();
    this.name = h('input', { id: 'd-group', value: group, spellcheck: 'false', onchange: checks });
    this.text = h('textarea.mono', {
      rows: 6,
      spellcheck: 'false',
      'aria-label': 'The list as text',
      placeholder: '[{"targets": ["10.0.10.2:9100"], "labels": {"env": "prod"}}]',
      onchange: checks,
    });
    this.report = h('div', { 'aria-live': 'polite' });
  }

  async take(file) {
    if (!file) return;
    this.text.value = await file.text();
    this.name.value ||= file.name.replace(/\.json$/i, '');
    this.check();
  }

  check() {
    fill(this.report);
    if (!this.text.value.trim()) return;
    try {
      this.wanted = JSON.parse(this.text.value);
    } catch (error) {
      fill(this.report, alertBox('This is not JSON: ', error.message));
      return;
    }
    if (this.name.value.trim()) this.put({ dry: true });
    else fill(this.report, h('p.note', 'For which group?'));
  }

  async put({ dry }) {
    const group = this.name.value.trim();
    try {
      const answer = await putGroup(group, this.wanted, { dry_run: dry && 'true' });
      if (answer === null) return;
      if (dry) return this.propose(answer);
      closePanel();
      emit('written');
      emit('toast', { text: ['Group ', h('b', foreign(group)), ' now matches the file'], more: told(answer) });
      await reload();
    } catch (error) {
      const errors = (error.errors ?? []).slice(0, ERRORS_SHOWN_MAX);
      const lines = errors.map(e => h('li', foreign(`${e.pointer} ${e.detail}`)));
      fill(this.report, alertBox(h('p', foreign(error.message)), h('ul', lines)));
    }
  }

  propose(answer) {
    const { created, updated, deleted } = answer;
    const replace = h(
      `button.primary${deleted ? '.danger' : ''}`,
      { disabled: deleted > 0, onclick: () => this.put({ dry: false }) },
      'Replace the group',
    );
    const agree = e => {
      replace.disabled = !e.target.checked;
    };
    const sure = `Yes, delete ${plural(deleted, 'registration')} that the file does not list, whoever registered them.`;
    fill(
      this.report,
      difference(answer),
      deleted > 0 && h('label.check', h('input', { type: 'checkbox', onchange: agree }), h('span', sure)),
      created + updated + deleted ? replace : h('p.note', 'The group already matches the file.'),
    );
    say(`Dry run: ${told(answer)}`);
  }

  draw() {
    const ondrop = e => {
      e.preventDefault();
      this.take(e.dataTransfer.files[0]);
    };
    const file = { type: 'file', id: 'd-file', accept: '.json', onchange: e => this.take(e.target.files[0]) };
    return h(
      'div.form',
      h('div.f', h('label', { for: 'd-group' }, 'Group'), this.name),
      h(
        'div.drop',
        { ondragover: e => e.preventDefault(), ondrop },
        h(
          'span',
          h('label.link', { for: 'd-file' }, 'Choose a file'),
          ' in the form of file_sd, drop it here, or paste:',
        ),
        h('input.vh', file),
        this.text,
      ),
      h('p.note', WARNING),
    );
  }
}

function declare(group = '') {
  const form = new Declaration(group);
  openPanel('declare', 'Replace a group', { closed() {} }, h('p.lead', LEAD), form.draw(), form.report);
  (group ? form.text : form.name).focus();
}

export function startDeclare() {
  on('declare', declare);
  on('export', name => exportGroup(name).catch(trouble));
}
