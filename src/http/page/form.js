// The form that registers or edits: what follows from saving is said before, what is wrong is said at its field. What
// was typed is kept until it is saved or cancelled.
import { codes, curlSave, meant, spelled } from './codes.js';
import { called } from './deletion.js';
import { $, $$, address, fill, foreign, h, iconButton, UNSEEN } from './dom.js';
import { DEFAULT_GROUP, effects, groupOf, inTheWay, moved, same, sameContent } from './effects.js';
import { emit, failed, on, trouble, unheard } from './events.js';
import { groups } from './groups.js';
import { lifetimeField } from './lifetime.js';
import { apply, mark, reload, strike } from './list.js';
import { alertBox, closePanel, isOpen, openPanel } from './panel.js';
import { contentOf, fetchRegistration } from './registration.js';
import { sortedLabels } from './row.js';
import { absent, deleteRegistration, findRegistration, get, handOver, putRegistration, refusal } from './server.js';
import { go, state } from './state.js';
import { plainly, until, words } from './words.js';

const SUGGESTED_GROUPS_MAX = 500;

const input = (kind, more) => h(kind, { spellcheck: 'false', autocapitalize: 'off', ...more });
const lines = text =>
  text
    .split('\n')
    .map(line => line.trim())
    .filter(Boolean);

/**
 * Puts a text, or a list of them, into a field, which gives it back byte for byte until somebody changes it. What the
 * field would hide or drop is spelled out.
 */
function keeps(field, original) {
  const texts = [original].flat();
  const isText = field.matches('textarea') && texts[0] === original; // in which lines are seen
  const isSpelled = texts.some(text => UNSEEN.test(isText ? text.replaceAll('\n', '') : text));
  field.value = texts.map(isSpelled ? spelled : String).join('\n');
  if (isSpelled) field.title = 'What cannot be seen is written as in JSON: \\n is a line break';
  return Object.assign(field, { original, shown: field.value, means: isSpelled ? meant : String });
}
const given = (field, parse) => (field.value === field.shown ? field.original : parse(field.value, field.means));

function labelField([name, value] = ['', ''], remove) {
  const kind = value.includes('\n') ? 'textarea' : 'input';
  const line = h(
    'div.pair',
    keeps(input('input.mono.key', { 'aria-label': 'Label name', placeholder: 'name' }), name),
    '=',
    keeps(input(`${kind}.mono`, { 'aria-label': 'Label value', placeholder: 'value', rows: 1 }), value),
    iconButton('close', 'Remove label', () => remove(line)),
  );
  return line;
}

const readLine = line => {
  const [name, value] = line.children;
  return [given(name, (text, means) => means(text.trim())), given(value, (text, means) => means(text))];
};

/** The next poll of a list, which tells when Prometheus will have it. */
async function nextPoll() {
  const due = p => until(p.last_seen) + p.refresh_interval_seconds;
  const { pollers } = await get('pollers').catch(() => ({ pollers: [] }));
  const [first] = pollers.filter(p => !p.late && p.refresh_interval_seconds).sort((a, b) => due(a) - due(b));
  return first && `${first.client} at ${first.address} polls next, in about ${words(Math.max(1, due(first)))}.`;
}

const lastAuthor = id =>
  get('changes', { id, limit: 1 }).then(
    ({ changes }) => changes[0]?.by,
    () => null,
  );

const labelPointer = name => `/static_config/labels/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;

/** The server's faults: [pointer, text]. */
const faultsOf = ({ errors }) => errors.map(({ pointer, detail }) => [pointer, plainly(detail)]);

class Form {
  /** `draft`: what was typed before a reload. */
  constructor(row, draft) {
    this.row = row;
    this.old = row && contentOf(row);
    this.hasTargets = !row; // whether the targets can be edited
    const {
      targets = [],
      pairs = sortedLabels(this.old?.labels ?? {}),
      target_group = state.groups[0] ?? '',
      modules = [],
      ttl_seconds,
    } = draft ?? this.old ?? {};
    const placeholder = '10.0.10.2:9100\n10.0.10.3:9100';
    const list = (id, value, more) => keeps(input('textarea.mono', { id, ...more }), value);
    this.targets = list('f-targets', targets, { rows: 3, placeholder });
    this.modules = list('f-modules', modules, { rows: 1, placeholder: 'node_exporter, ipmi_exporter' });
    const group = { id: 'f-target_group', list: 'f-groups', placeholder: DEFAULT_GROUP };
    this.group = keeps(input('input', group), target_group);
    this.labels = h('div.pairs', { id: 'f-labels', role: 'group', 'aria-labelledby': 'f-labels-name' });
    for (const label of pairs) this.addLabel(label);
    this.lifetime = lifetimeField('f-ttl_seconds', ttl_seconds);
    this.alerts = h('div');
    this.effect = h('div.effect', { 'aria-live': 'polite' });
    this.marks = []; // of what is wrong: {field, below, pointer, note, isOwn}
    this.elsewhere = []; // what is wrong and has no place here
    this.shell = codes([['The same with curl', '']]);
    this.command = h('div');
    this.saveButton = h('button.primary', { type: 'submit' });
    this.el = this.draw();
    if (draft?.hasTargets && row) $('button.link', this.el).click();
    this.changed();
    this.isTouched = Boolean(draft);
  }

  /** The parts that make two forms look the same. */
  draft() {
    const { row, hasTargets, el } = this;
    const pairs = this.pairs().map(([, ...pair]) => pair);
    return { target_group: '', ...this.content(), row, hasTargets, pairs, isOpen: el.isConnected && isOpen('form') };
  }

  draw() {
    const field = (name, label, ...kids) => h('div.f', h('label', { for: `f-${name}` }, label), kids);
    const saves = e => e.key === 'Enter' && (e.ctrlKey || e.metaKey) && this.el.requestSubmit();
    const suggested = groups.list.slice(0, SUGGESTED_GROUPS_MAX).map(g => h('option', { value: g.name }));
    const cancel = () => {
      this.isTouched = false;
      closePanel();
    };
    return h(
      'form.form',
      {
        novalidate: true,
        autocomplete: 'off',
        onsubmit: e => this.submit(e),
        oninput: e => this.changed(e.target),
        onchange: () => this.changed(),
        onkeydown: saves,
      },
      this.alerts,
      this.row ? this.fixedTargets() : field('targets', 'Targets', this.targets, this.targetsNote()),
      h('div.f', h('h3', { id: 'f-labels-name' }, 'Labels'), this.labels),
      field('target_group', 'Group', this.group),
      field('modules', 'Modules', this.modules, h('p.note', 'Each target appears once per module.')),
      field('ttl_seconds', 'Lifetime', this.lifetime.el),
      this.effect,
      h('div.line', this.saveButton, h('button', cancel, 'Cancel')),
      this.command,
      h('datalist', { id: 'f-groups' }, suggested),
    );
  }

  targetsNote = () => h('p.note', 'host:port, one per line. URLs for blackbox jobs.');

  /** The id is made of the targets, so changing them is not editing. */
  fixedTargets() {
    const field = h(
      'div.f',
      h('h3', 'Targets'),
      h(
        'ul.mono',
        this.row.targets.map(t => h('li', address(t))),
      ),
      h(
        'button.link',
        () => {
          this.hasTargets = true;
          fill(field, h('label', { for: 'f-targets' }, 'Targets'), this.targets, this.targetsNote());
          this.targets.focus();
          this.changed();
        },
        'Change the targets…',
      ),
      h('p.note', 'The id is derived from the targets: other targets make another registration.'),
    );
    return field;
  }

  addLabel(label) {
    const remove = line => {
      line.remove();
      this.changed();
      this.labelLines().at(-1).firstChild.focus();
    };
    this.labels.append(labelField(label, remove));
  }

  labelLines = () => $$('.pair', this.labels);

  /** Name and value of each label; lines with nothing in them are none. */
  pairs = () =>
    this.labelLines()
      .map(line => [line, ...readLine(line)])
      .filter(([, ...pair]) => pair.some(Boolean));

  content() {
    const group = given(this.group, (text, means) => means(text.trim()));
    // A line that was there before may have blanks and commas in it; what is typed is parted by them.
    const { modules: before = [] } = this.old ?? {};
    const part = line => (before.includes(line) ? line : line.split(/[\s,]+/).filter(Boolean));
    const modules = given(this.modules, (text, means) => lines(text).map(means).flatMap(part));
    const ttl_seconds = this.lifetime.seconds();
    return {
      targets: given(this.targets, (text, means) => lines(text).map(means)),
      // Not by assignment: a label may be called __proto__.
      labels: Object.fromEntries(this.pairs().map(([, name, value]) => [name, value])),
      ...(group && { target_group: group }),
      ...(modules.length && { modules }),
      ...(ttl_seconds !== undefined && { ttl_seconds }),
    };
  }

  isMoved = content => Boolean(this.row) && this.hasTargets && !same(content.targets, this.old.targets);

  /** After each key in this field: the content to be sent, and its effects. */
  changed(field) {
    const last = this.labelLines().at(-1);
    if (!last || readLine(last).some(Boolean)) this.addLabel();
    this.isTouched = true;
    this.forgive(field);
    this.draws(this.content());
    this.drawCommand();
  }

  /** A faulty form cannot be sent. */
  drawCommand() {
    const content = this.content();
    const isWrong = this.marks.length + this.elsewhere.length + this.ownFaults().length > 0;
    if (!isWrong) this.shell.update([['The same with curl', curlSave(content, this.isMoved(content) && this.row.id)]]);
    fill(this.command, isWrong ? h('p.note', 'Something above is missing or wrong: no curl for it yet.') : this.shell);
  }

  /** The effects of saving on the present registration, as far as known. */
  draws(content) {
    const isMoved = this.isMoved(content);
    const { row, content: now, told } = this.known(content);
    this.saveButton.textContent = this.row ? 'Save' : now ? 'Replace it' : 'Register';
    const why = refusal(groupOf(content)) || (now && refusal(groupOf(now)));
    fill(this.effect, why && h('p.warn', why), told, isMoved && moved(), row && now && effects(row, now, content));
    this.effect.hidden = !this.effect.textContent;
  }

  /** The registration that this form has seen under these targets. */
  known(content) {
    const key = JSON.stringify(content.targets);
    if (this.seen?.key === key) return this.seen;
    return this.row && !this.isMoved(content) ? { row: this.row, content: this.old } : { row: null, content: null };
  }

  /** Whether the registration is the one that this form knows. If not, says so; the next try replaces it. */
  async isClear(content) {
    const isOwn = this.row && !this.isMoved(content);
    const look = isOwn ? fetchRegistration(this.row.id) : findRegistration(content.targets);
    const row = await look.catch(absent(null));
    const now = row && contentOf(row);
    const before = this.known(content).content;
    if (sameContent(now, before) || (now && sameContent(now, content))) return true;
    const gone = h('p.warn', { tabindex: -1 }, 'It was deleted or has expired meanwhile. Saving registers it again.');
    const told = row ? inTheWay(row, before !== null, await lastAuthor(row.id)) : gone;
    this.seen = { key: JSON.stringify(content.targets), row, content: now, told };
    this.draws(content);
    told.focus();
    return false;
  }

  /** Where a fault is shown: its field, and the element above its text. */
  placeOf(pointer) {
    const part = /^\/static_config\/(\w+)/.exec(pointer)?.[1];
    if (part === 'labels') {
      const line = this.pairs().findLast(([, own]) => labelPointer(own) === pointer)?.[0];
      return line && { field: line.firstChild, below: line };
    }
    if (part === 'ttl_seconds') return { field: this.lifetime.field(), below: this.lifetime.el };
    const field = part && $(`[id="f-${part}"]`, this.el);
    return field && { field, below: field };
  }

  /** The faults that this form finds itself. */
  ownFaults() {
    const names = this.pairs().map(([, name]) => name);
    const twice = new Set(names.filter((name, at) => names.indexOf(name) !== at));
    const lifetime = this.lifetime.fault();
    const faults = [...twice].map(name => [labelPointer(name), 'This name is there twice.']);
    if (!this.content().targets.length) faults.push(['/static_config/targets', 'At least one is required.']);
    if (lifetime) faults.push(['/static_config/ttl_seconds', lifetime]);
    return faults;
  }

  /** The server's further faults: it is asked with an extra empty target, which it never registers. */
  async otherFaults(own, content) {
    const known = [...own.map(([pointer]) => pointer), `/static_config/targets/${content.targets.length}`];
    try {
      await putRegistration({ ...content, targets: [...content.targets, ''] });
      return [];
    } catch (error) {
      return faultsOf(error).filter(([pointer]) => !known.includes(pointer));
    }
  }

  /** Shows all faults at once, each at its place. */
  refused(faults) {
    for (const { note } of this.marks) note.remove();
    const own = this.ownFaults().map(([pointer]) => pointer);
    const placed = faults.map(([pointer, text], at) => {
      const note = h('p.wrong', { id: `f-wrong-${at}` }, foreign(text));
      return { ...this.placeOf(pointer), pointer, text, note, isOwn: own.includes(pointer) };
    });
    this.marks = placed.filter(mark => mark.field);
    this.elsewhere = placed.filter(mark => !mark.field).map(({ text }) => text);
    for (const { below, note } of this.marks) below.after(note);
    this.drawMarks();
    ($('[aria-invalid]', this.el) ?? this.alerts.firstChild)?.focus();
  }

  /** A mark disappears when its field is changed or removed, or when its fault is gone. */
  forgive(field) {
    const own = this.ownFaults().map(([pointer]) => pointer);
    const isOver = mark =>
      mark.below.contains(field) || !mark.below.isConnected || (mark.isOwn && !own.includes(mark.pointer));
    const over = this.marks.filter(isOver);
    if (!over.length) return;
    for (const { note } of over) note.remove();
    this.marks = this.marks.filter(mark => !over.includes(mark));
    this.drawMarks();
  }

  drawMarks() {
    for (const el of $$('[aria-invalid]', this.el))
      for (const name of ['aria-invalid', 'aria-describedby']) el.removeAttribute(name);
    for (const { field, note } of this.marks) {
      field.setAttribute('aria-invalid', 'true');
      field.setAttribute('aria-describedby', `${field.getAttribute('aria-describedby') ?? ''} ${note.id}`.trim());
    }
    const n = this.marks.length + this.elsewhere.length;
    const told = [n > 1 && `${n} things to mend. Nothing was registered.`, ...this.elsewhere].filter(Boolean);
    fill(this.alerts, told.length > 0 && alertBox(told.map(text => h('p', foreign(text)))));
    this.drawCommand();
  }

  async submit(e) {
    e.preventDefault();
    if (this.el.ariaBusy) return;
    const own = this.ownFaults();
    this.el.ariaBusy = 'true';
    this.saveButton.classList.add('busy');
    const content = this.content();
    try {
      if (own.length) return this.refused([...own, ...(await this.otherFaults(own, content))]);
      this.refused([]);
      if (!(await this.isClear(content))) return;
      const answer = await putRegistration(content);
      if (answer !== null) await this.saved(content, answer.id);
    } catch (error) {
      if (error.status === 400) this.refused(error.errors.length ? faultsOf(error) : [['', error.message]]);
      else fill(this.alerts, alertBox(unheard('registered', error) ?? `Not registered. ${error.message}`));
      if (!this.el.isConnected) emit('toast', { bad: true, text: this.alerts.textContent });
    } finally {
      this.el.ariaBusy = null;
      this.saveButton.classList.remove('busy');
    }
  }

  async saved(content, id) {
    const { row } = this;
    const isMoved = this.isMoved(content);
    this.isTouched = false;
    drafts.delete(row?.id);
    if (isMoved) {
      await deleteRegistration(row.id).then(
        () => strike(row),
        error => failed('deleted (the old one)', error),
      );
    }
    if (this.el.isConnected) closePanel({ back: false });
    emit('written');
    // It is registered, even if showing it fails.
    await (row && !isMoved ? fetchRegistration(id).then(apply, trouble) : reload());
    mark(id, { focus: true });
    if (!row || isMoved) go({ id });
    emit('toast', { text: [row ? 'Saved ' : 'Registered ', called(content)], more: await nextPoll() });
  }
}

/** Forms that were filled in and neither saved nor cancelled, by the id of what they edit. */
const drafts = new Map();

const isKept = { true: 'e, Edit', false: 'n, Register' };

export function register(row = null) {
  const form = drafts.get(row?.id) ?? new Form(row);
  drafts.set(row?.id, form);
  form.left ??= () => {
    if (!form.isTouched) drafts.delete(row?.id);
    else emit('toast', { text: `What you typed is kept: ${isKept[row !== null]}, shows it again.` });
  };
  openPanel('form', row ? 'Edit' : 'Register targets', { closed: () => emit('route'), left: form.left }, form.el);
  (row ? form.labels.firstChild.firstChild : form.targets).focus();
  // Whether a host renews it is known to the server.
  const drawn = () => isOpen('form') && form.draws(form.content());
  if (row) fetchRegistration(row.id).then(drawn, () => {});
}

let typedBefore; // until it is shown again
const draftsLeft = () => typedBefore ?? [...drafts.values()].filter(form => form.isTouched).map(form => form.draft());

/** Restores text typed before a reload, once the server's defaults are known. */
export function restoreForms() {
  const drawn = typedBefore ?? [];
  typedBefore = null;
  for (const draft of drawn) drafts.set(draft.row?.id, new Form(draft.row, draft));
  const open = drawn.find(draft => draft.isOpen);
  if (open && (!isOpen() || isOpen('registration'))) register(open.row);
}

export function startForm() {
  typedBefore = handOver('forms', draftsLeft);
  on('edit', register);
  on('register', () => register());
}
