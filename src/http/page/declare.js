// A group as a file in the form of file_sd: out of the server, and into it after a preview of the changes.
// Also deletes a whole group.
import { $, fill, foreign, h, saveFile, say } from './dom.js';
import { same } from './effects.js';
import { emit, failed, on, trouble, unheard } from './events.js';
import { lasting, lifetimeField } from './lifetime.js';
import { reload } from './list.js';
import { alertBox, closePanel, openPanel } from './panel.js';
import { allRegistrations, deleteGroup, findRegistration, getGroup, putGroup, refusal } from './server.js';
import { AT_ONCE_MAX, keyOfEntry } from './several.js';
import { modal } from './tokens.js';
import { count, plainly, plural, sentence, setText } from './words.js';
import { readList } from './yaml.js';

const PAUSE_MS = 400;
const NAMED_MAX = 20; // of a kind, before somebody asks for all
const ERRORS_SHOWN_MAX = 20;
const LEAD = 'Makes a group exactly what a file says, all or nothing. You first see what would become of whom.';
const WARNING = 'Whatever the file does not list is deleted, so do not mix this with hosts that register themselves.';

async function exportGroup(name) {
  const { entries } = await getGroup(name);
  saveFile(`${name}.json`, [`${JSON.stringify(entries, null, 2)}\n`]);
}

const MIXED = 'Choose one lifetime for all.';
/** Servers count entries from 0. */
const counted = detail => detail.replace(/(?<=in entry )\d+/, at => +at + 1);
const told = ({ created, updated, deleted }) =>
  `${created.length} registered, ${updated.length} changed, ${deleted.length} deleted`;
const saysOf = ({ labels, modules }) => [Object.entries(labels ?? {}).sort(), modules ?? []];

/** Which entries are created, changed and deleted, and what each change does to the lifetime. */
function compare(before, wanted, ttl_seconds) {
  const had = new Map(before.map(row => [keyOfEntry(row), row]));
  const has = new Set(wanted.map(keyOfEntry));
  const was = entry => had.get(keyOfEntry(entry));
  const lasts = row => row.ttl_seconds === ttl_seconds;
  const isChanged = (row, entry) => row && !(lasts(row) && same(saysOf(row), saysOf(entry)));
  return {
    created: wanted.filter(entry => !was(entry)),
    updated: wanted.filter(entry => isChanged(was(entry), entry)),
    deleted: before.filter(row => !has.has(keyOfEntry(row))),
    lifetime: entry => !lasts(was(entry)) && ` lifetime: ${lasting(was(entry).ttl_seconds)} → ${lasting(ttl_seconds)}`,
  };
}

/** One kind of change, with names. */
function named(sign, what, entries, n = entries.length, of = () => '') {
  const line = entry => h('li', foreign(entry.targets?.join(', ') ?? ''), h('span.sub', of(entry)));
  const names = h('ul.mono', entries.slice(0, NAMED_MAX).map(line));
  const rest = entries.slice(NAMED_MAX);
  const all = () => more.replaceWith(...rest.map(line));
  const more = rest.length > 0 && h('li', h('button.link', all, `and ${count(rest.length)} more`));
  if (more) names.append(more);
  return h(`li${n ? '' : '.none'}`, h('p', h('span', sign), h('b', count(n)), what), n > 0 && names);
}

const check = (text, onchange, checked = false) =>
  h(
    'label.check',
    h('input', { type: 'checkbox', checked, onchange: e => onchange(e.target.checked) }),
    h('span', text),
  );

/** Makes a group equal to a text; each edit of the text is only tried. */
class Declaration {
  constructor(group) {
    const later = () => {
      clearTimeout(this.typing);
      // The preview no longer matches.
      this.report.inert = true;
      this.typing = setTimeout(() => this.look(), PAUSE_MS);
    };
    this.agreed = new Set(); // to what exactly
    this.name = h('input', { id: 'd-group', value: group, spellcheck: 'false', oninput: later });
    this.lifetime = lifetimeField('d-ttl_seconds', 0, 'choose…');
    this.lifetimes = h('p.warn');
    this.lifetime.el.addEventListener('input', () => {
      this.isChosen = true;
      later();
    });
    this.text = h('textarea.mono', {
      rows: 6,
      spellcheck: 'false',
      'aria-label': 'The list as text',
      placeholder: '- targets: ["10.0.10.2:9100"]\n  labels:\n    env: prod',
      oninput: later,
    });
    this.report = h('div', { 'aria-live': 'polite' });
  }

  async take(file) {
    if (!file) return;
    this.text.value = await file.text();
    this.name.value ||= file.name.replace(/\.(json|ya?ml)$/i, '');
    await this.look();
  }

  /** Parses the text and asks for a preview of the changes. */
  async look() {
    clearTimeout(this.typing);
    this.asked = {};
    const { asked } = this;
    fill(this.report);
    this.report.inert = false;
    const group = this.name.value.trim();
    try {
      const why = group && refusal(group);
      if (why) throw new Error(why);
      const { tag } = group ? await getGroup(group) : { tag: null };
      const rows = tag ? await allRegistrations({ group }) : [];
      if (asked !== this.asked) return;
      this.preset(rows);
      if (!this.text.value.trim()) return;
      this.wanted = readList(this.text.value);
      if (!Array.isArray(this.wanted)) throw new Error('A list is expected: one entry with targets after the other.');
      if (!group) return fill(this.report, h('p.note', 'For which group?'));
      const wrong = this.lifetime.fault() ?? (this.lifetime.seconds() === undefined && MIXED);
      if (wrong) throw new Error(wrong);
      const elsewhere = await this.elsewhere(group, tag);
      const answer = await this.put(group, { dry_run: 'true', tag, adopt: elsewhere.length > 0 });
      if (answer === null || asked !== this.asked) return;
      this.propose(group, tag, rows, elsewhere);
    } catch (error) {
      if (asked === this.asked) this.refused(error);
    }
  }

  /** Unless a person has chosen one, the lifetime is that of the group. */
  preset(rows) {
    const counts = new Map();
    for (const { ttl_seconds: s } of rows) counts.set(s, (counts.get(s) ?? 0) + 1);
    const [first = 0] = counts.keys();
    const isMixed = counts.size > 1;
    if (!this.isChosen) this.lifetime.set(isMixed ? undefined : first);
    const most = [...counts].sort(([, n], [, m]) => m - n).slice(0, NAMED_MAX);
    const each = most.map(([s, n]) => `${lasting(s)} (${count(n)})`);
    setText(this.lifetimes, isMixed ? `The group has several: ${each.join(', ')}. ${MIXED}` : '');
  }

  put(group, { dry_run, tag, adopt }) {
    const query = {
      dry_run,
      adopt: adopt && 'true',
      allow_empty: 'true',
      ttl_seconds: String(this.lifetime.seconds()),
    };
    return putGroup(group, this.wanted, query, tag);
  }

  /** The entries that are in other groups: [entry, text]. */
  async elsewhere(group, tag) {
    try {
      await this.put(group, { dry_run: 'true', tag });
      return [];
    } catch (error) {
      if (error.status !== 409) throw error;
      return error.errors.map(({ pointer, detail }) => [this.wanted[Number(pointer.split('/')[1])], detail]);
    }
  }

  propose(group, tag, rows, elsewhere) {
    const changes = compare(rows, this.wanted, this.lifetime.seconds());
    const { created, updated, deleted, lifetime } = changes;
    const from = new Map(elsewhere.map(([entry, detail]) => [keyOfEntry(entry), detail]));
    const news = created.filter(entry => !from.has(keyOfEntry(entry)));
    const taken = created.filter(entry => from.has(keyOfEntry(entry)));
    const fromWhere = entry => `, which ${from.get(keyOfEntry(entry))}`;
    const replace = h('button.primary', {}, rows.length ? 'Replace the group' : 'Create the group');
    const open = new Set();
    const agreedBefore = this.agreed;
    this.agreed = new Set();
    // A tick is for these entries of this group; for others it is asked again.
    const agree = (reason, entries, text) => {
      const what = JSON.stringify([group, reason, entries.map(keyOfEntry)]);
      const changed = isAgreed => {
        this.agreed[isAgreed ? 'add' : 'delete'](what);
        open[isAgreed ? 'delete' : 'add'](what);
        replace.disabled = open.size > 0;
      };
      changed(agreedBefore.has(what));
      return check(text, changed, agreedBefore.has(what));
    };
    const ticks = [
      taken.length > 0 && agree('adopt', taken, `Yes, take ${plural(taken.length, 'registration')} from there.`),
      deleted.length > 0 &&
        agree(
          'delete',
          deleted,
          `Yes, delete ${plural(deleted.length, 'registration')} that the file does not list, whoever registered them.`,
        ),
      !this.wanted.length && agree('empty', [], 'Yes, the list is empty: nothing is left of the group.'),
    ];
    replace.disabled = open.size > 0;
    replace.classList.toggle('danger', deleted.length > 0);
    const plan = { ...changes, group, tag, size: rows.length, taken };
    replace.onclick = () => this.carryOut(plan, replace);
    fill(
      this.report,
      h(
        'ul.diff',
        named('+', 'registered', news),
        taken.length > 0 && named('→', 'taken from another group', taken, taken.length, fromWhere),
        named('~', 'changed', updated, updated.length, lifetime),
        named('−', 'deleted', deleted),
        named('=', 'unchanged', [], this.wanted.length - created.length - updated.length),
      ),
      ticks,
      !(created.length + updated.length + deleted.length) &&
        h('p.note', 'The group already matches the file. Replacing it renews it.'),
      replace,
    );
    say(`Dry run: ${told(changes)}`);
  }

  async carryOut(plan, button) {
    if (button.classList.contains('busy')) return;
    button.classList.add('busy');
    try {
      const { group, tag, created, taken } = plan;
      const former = await formerOf(plan);
      const answer = await this.put(group, { tag, adopt: taken.length > 0 });
      if (answer === null) return;
      closePanel();
      emit('written');
      emit('toast', {
        verb: 'Replaced',
        noun: 'group',
        text: ['Group ', h('b', foreign(group)), ' now matches the file'],
        more: told(plan),
        back: former && { rows: former, group, created: created.map(({ targets }) => ({ targets })) },
      });
      await reload();
    } catch (error) {
      this.refused(error);
    } finally {
      button.classList.remove('busy');
    }
  }

  refused(error) {
    const lines = (error.errors ?? [])
      .slice(0, ERRORS_SHOWN_MAX)
      .map(({ pointer, detail }) => h('li', foreign(this.placeOf(pointer) + plainly(counted(detail)))));
    const isStale = error.status === 412;
    const again = isStale && h('button', () => this.look(), 'Look again');
    const text = isStale
      ? 'The group was changed meanwhile. Nothing was done.'
      : (unheard('replaced', error) ?? error.message);
    fill(this.report, alertBox(h('p', foreign(text)), h('ul', lines), again));
  }

  /** Where a pointer points, as people count: "Entry 3, db-1:9100, targets, 2: ". */
  placeOf(pointer) {
    const [at, ...rest] = pointer.split('/').slice(1);
    if (!at) return '';
    const from1 = part => (/^\d+$/.test(part) ? Number(part) + 1 : part.replaceAll('~1', '/').replaceAll('~0', '~'));
    const name = this.wanted[at]?.targets?.[0];
    return `${[`Entry ${from1(at)}`, name, ...rest.map(from1)].filter(Boolean).join(', ')}: `;
  }

  draw() {
    const ondrop = e => {
      e.preventDefault();
      this.take(e.dataTransfer.files[0]);
    };
    const file = {
      type: 'file',
      id: 'd-file',
      accept: '.json,.yml,.yaml',
      onchange: e => this.take(e.target.files[0]),
    };
    return h(
      'div.form',
      h('div.f', h('label', { for: 'd-group' }, 'Group'), this.name),
      h(
        'div.drop',
        { ondragover: e => e.preventDefault(), ondrop },
        h(
          'span',
          h('label.link', { for: 'd-file' }, 'Choose a file'),
          ' in the form of file_sd, JSON or YAML, drop it here, or paste:',
        ),
        h('input.vh', file),
        this.text,
      ),
      h('div.f', h('label', { for: 'd-ttl_seconds' }, 'Lifetime'), this.lifetime.el, this.lifetimes),
      h('p.note', WARNING),
    );
  }
}

function declare(group = '') {
  const form = new Declaration(group);
  const title = group ? 'Replace a group' : 'Import a group';
  openPanel('declare', title, { closed() {} }, h('p.lead', LEAD), form.draw(), form.report);
  (group ? form.text : form.name).focus();
  form.look();
}

/** Asks for confirmation and shows the names. */
async function removeGroup(name) {
  const { entries, tag } = await getGroup(name);
  const dialog = $('#dialog');
  const rows = entries.length <= AT_ONCE_MAX ? await allRegistrations({ group: name }) : null;
  const remove = async () => {
    dialog.close();
    try {
      if ((await deleteGroup(name, tag)) === null) return;
    } catch (error) {
      if (error.status === 412) return failed('deleted: the group was changed meanwhile', { ...error, message: '' });
      return failed('deleted', error);
    }
    emit('written');
    emit('toast', {
      verb: 'Deleted',
      noun: 'group',
      text: ['Deleted the group ', h('b', foreign(name)), `: ${plural(entries.length, 'registration')}`],
      more: 'What hosts still renew comes back.',
      back: rows && { rows },
    });
    await reload();
  };
  const content = h(
    'div.form',
    h('h2', 'Delete the group ', foreign(name), '?'),
    h('ul.diff', named('−', 'deleted', entries)),
    !rows &&
      h('p.warn', `More than ${count(AT_ONCE_MAX)} cannot be brought back by this page: export the group first.`),
    h(
      'div.line',
      h('button.primary.danger', remove, `Delete ${plural(entries.length, 'registration')}`),
      h('button', () => dialog.close(), 'Cancel'),
    ),
  );
  modal('Delete a group', content);
}

/** The registrations that a plan replaces, if they can be restored one by one; else null. */
async function formerOf({ group, size, taken }) {
  if (size + taken.length > AT_ONCE_MAX) return null;
  const rows = await allRegistrations({ group });
  for (const { targets } of taken) rows.push(await findRegistration(targets));
  return rows.filter(Boolean);
}

export function startDeclare() {
  const asked = error =>
    error.status === 404 ? emit('toast', { bad: true, text: sentence(error.message) }) : trouble(error);
  on('declare', declare);
  on('export', name => exportGroup(name).catch(asked));
  on('deletegroup', name => removeGroup(name).catch(asked));
  $('#import').onclick = () => declare();
}
