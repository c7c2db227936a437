// The form that registers or edits: what follows from saving is said before, what is wrong is said at its field.
import { codes, curlPut } from './codes.js';
import { called } from './deletion.js';
import { $, $$, address, fill, foreign, h, iconButton } from './dom.js';
import { emit, failed, on } from './events.js';
import { groups } from './groups.js';
import { apply, mark, reload, strike } from './list.js';
import { alertBox, closePanel, openPanel } from './panel.js';
import { contentOf, fetchRegistration } from './registration.js';
import { nextRenewal, renewalInterval } from './renewals.js';
import { isMeta, sortedLabels } from './row.js';
import { deleteRegistration, get, putRegistration, server } from './server.js';
import { go, state } from './state.js';
import { plural, until, words } from './words.js';

const DEFAULT_GROUP = 'inventor-default';
const SUGGESTED_GROUPS_MAX = 500;
const LIFETIMES = [
  [600, '10 min'],
  [3600, '1 h'],
  [21600, '6 h'],
  [86400, '1 day'],
  [0, 'never ends'],
];

const input = (kind, more) => h(kind, { spellcheck: 'false', autocapitalize: 'off', ...more });
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const sorted = labels => Object.entries(labels).sort();
const groupOf = content => content.target_group ?? DEFAULT_GROUP;

function labelField(name, value, remove) {
  const line = h(
    'div.pair',
    input('input.mono.key', { 'aria-label': 'Label name', placeholder: 'name', value: name }),
    '=',
    input('input.mono', { 'aria-label': 'Label value', placeholder: 'value', value }),
    iconButton('close', 'Remove label', () => remove(line)),
  );
  return line;
}

function lifetimeField(old) {
  const standard = server.status?.default_ttl_seconds;
  const isListed = old?.ttl_seconds === undefined || LIFETIMES.some(([s]) => s === old.ttl_seconds);
  const usual =
    standard === undefined ? 'the server’s default' : standard ? `default: ${words(standard)}` : 'default: never ends';
  const chosen = isListed ? (old?.ttl_seconds ?? '') : 'other';
  const choice = h(
    'select',
    { id: 'f-ttl_seconds' },
    [['', usual], ...LIFETIMES, ['other', 'another…']].map(([value, text]) =>
      h('option', { value, selected: value === chosen }, text),
    ),
  );
  const amount = h('input', {
    type: 'number',
    min: 0,
    'aria-label': 'Lifetime in seconds',
    value: isListed ? 1800 : old.ttl_seconds,
  });
  const other = h('span.line', amount, ' seconds');
  return {
    el: h('div.line', choice, other),
    amount,
    draw: () => {
      other.hidden = choice.value !== 'other';
    },
    seconds: () => (choice.value === '' ? undefined : Number(choice.value === 'other' ? amount.value : choice.value)),
  };
}

/** What saving does, beyond what it says. */
function effects(row, old, content, isMoved) {
  const kept = labels => sorted(labels).filter(([name]) => !isMeta(name));
  const isUnchanged = same({ ...content, labels: sorted(content.labels) }, { ...old, labels: sorted(old.labels) });
  if (isUnchanged) return h('p.note', 'Nothing changed yet.', row.ttl_seconds > 0 && ' Saving renews it.');
  const hasOtherLabels = !same(kept(content.labels), kept(old.labels));
  const series = plural(row.targets.length, 'target');
  const [from, to] = [old.target_group, groupOf(content)].map(name => h('b', foreign(name)));
  return [
    isMoved
      ? h(
          'p.warn',
          'Different targets make a different registration: the new one is registered, then the old one deleted. ',
          'Prometheus ends the old series and starts new ones.',
        )
      : hasOtherLabels &&
        h('p.warn', `Labels identify a target: Prometheus ends the series of ${series} and starts new ones.`),
    groupOf(content) !== old.target_group &&
      h('p.note', 'Whoever polls ', from, ' loses it; whoever polls ', to, ' gets it.'),
    renewalInterval(row) &&
      h(
        'p.warn',
        `Its host renews it every ${words(renewalInterval(row))} with its own values, next ${nextRenewal(row)}. `,
        'That overwrites this edit, so change it on the host as well.',
      ),
  ];
}

/** Who asks for a list next, so that one knows when Prometheus will have it. */
async function nextPoll() {
  const due = p => until(p.last_seen) + p.refresh_interval_seconds;
  const { pollers } = await get('pollers').catch(() => ({ pollers: [] }));
  const [first] = pollers.filter(p => !p.late && p.refresh_interval_seconds).sort((a, b) => due(a) - due(b));
  return first && `${first.client} at ${first.address} polls next, in about ${words(Math.max(1, due(first)))}.`;
}

class Form {
  constructor(row) {
    this.row = row;
    this.old = row && contentOf(row);
    this.hasTargets = !row; // whether the targets can be edited
    const { old } = this;
    const placeholder = '10.0.10.2:9100\n10.0.10.3:9100';
    this.targets = input('textarea.mono', { id: 'f-targets', rows: 3, placeholder, value: old?.targets.join('\n') });
    this.group = input('input', {
      id: 'f-target_group',
      list: 'f-groups',
      placeholder: DEFAULT_GROUP,
      value: old?.target_group ?? state.groups[0],
    });
    this.modules = input('input.mono', {
      id: 'f-modules',
      placeholder: 'node_exporter, ipmi_exporter',
      value: old?.modules?.join(', '),
    });
    this.labels = h('div.pairs', { id: 'f-labels', role: 'group', 'aria-labelledby': 'f-labels-name' });
    for (const [name, value] of sortedLabels(old?.labels ?? {})) this.addLabel(name, value);
    this.lifetime = lifetimeField(old);
    this.alerts = h('div');
    this.effect = h('div.effect', { 'aria-live': 'polite' });
    this.shell = codes([['The same with curl', '']]);
    this.el = this.draw();
  }

  draw() {
    const field = (name, label, ...kids) => h('div.f', h('label', { for: `f-${name}` }, label), kids);
    const saves = e => e.key === 'Enter' && (e.ctrlKey || e.metaKey) && this.el.requestSubmit();
    const suggested = groups.list.slice(0, SUGGESTED_GROUPS_MAX).map(g => h('option', { value: g.name }));
    return h(
      'form.form',
      {
        novalidate: true,
        autocomplete: 'off',
        onsubmit: e => this.submit(e),
        oninput: () => this.changed(),
        onkeydown: saves,
      },
      this.alerts,
      this.row ? this.fixedTargets() : field('targets', 'Targets', this.targets, this.targetsNote()),
      h('div.f', h('h3', { id: 'f-labels-name' }, 'Labels'), this.labels),
      field('target_group', 'Group', this.group),
      field('modules', 'Modules', this.modules, h('p.note', 'Each target appears once per module.')),
      field('ttl_seconds', 'Lifetime', this.lifetime.el),
      this.effect,
      h(
        'div.line',
        h('button.primary', { type: 'submit' }, this.row ? 'Save' : 'Register'),
        h('button', () => closePanel(), 'Cancel'),
      ),
      this.shell,
      h('datalist', { id: 'f-groups' }, suggested),
    );
  }

  targetsNote = () => h('p.note', 'host:port, one per line. URLs for blackbox jobs.');

  /** The id is made of the targets, so that changing them is something else than editing. */
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

  addLabel(name, value) {
    const remove = line => {
      line.remove();
      this.changed();
      $('input', this.labels.lastChild).focus();
    };
    this.labels.append(labelField(name, value, remove));
  }

  lines = () => $$('.pair', this.labels);
  read = line => $$('input', line).map(el => el.value);

  content() {
    const labels = {};
    for (const [name, value] of this.lines().map(this.read)) if (name.trim() || value) labels[name.trim()] = value;
    const modules = this.modules.value.split(/[\s,]+/).filter(Boolean);
    const ttl_seconds = this.lifetime.seconds();
    return {
      targets: this.targets.value
        .split('\n')
        .map(t => t.trim())
        .filter(Boolean),
      labels,
      ...(this.group.value.trim() && { target_group: this.group.value.trim() }),
      ...(modules.length && { modules }),
      ...(ttl_seconds !== undefined && { ttl_seconds }),
    };
  }

  isMoved = content => Boolean(this.row) && this.hasTargets && !same(content.targets, this.old.targets);

  /** After each key: what would be sent, and what follows from it. */
  changed() {
    const lines = this.lines();
    if (!lines.length || this.read(lines.at(-1)).some(Boolean)) this.addLabel();
    const content = this.content();
    this.lifetime.draw();
    this.shell.update([['The same with curl', curlPut(content)]]);
    if (this.row) fill(this.effect, effects(this.row, this.old, content, this.isMoved(content)));
  }

  /** The field that a message names, as in `static_config: labels: "a-b" is not a label name`, and the rest of it. */
  fieldOf(message) {
    const [, part, detail] = /^static_config: (\w+): (.*)$/s.exec(message) ?? [];
    const line = part === 'labels' && this.lines().find(l => detail.startsWith(JSON.stringify(this.read(l)[0].trim())));
    if (line) return { field: $('input', line), place: line, detail };
    const { amount, el } = this.lifetime;
    if (part === 'ttl_seconds' && !amount.parentElement.hidden) return { field: amount, place: el, detail };
    const field = part && $(`[id="f-${part}"]`, this.el);
    return field && { field, place: field.closest('.line') ?? field, detail };
  }

  refused({ message }) {
    for (const el of $$('.wrong', this.el)) el.remove();
    for (const el of $$('[aria-invalid]', this.el)) el.removeAttribute('aria-invalid');
    const found = this.fieldOf(message);
    fill(this.alerts, !found && alertBox(foreign(message)));
    if (!found) return this.alerts.firstChild.focus();
    const id = 'f-wrong';
    found.field.setAttribute('aria-invalid', 'true');
    found.field.setAttribute('aria-describedby', id);
    found.place.after(h('p.wrong', { id }, foreign(found.detail)));
    found.field.focus();
  }

  async submit(e) {
    e.preventDefault();
    if (this.el.ariaBusy) return;
    this.el.ariaBusy = 'true';
    const content = this.content();
    try {
      const answer = await putRegistration(content);
      if (answer !== null) await this.saved(content, answer.id);
    } catch (error) {
      const lost = 'No answer: it may or may not have been registered. Trying again is safe.';
      if (error.status === 400) this.refused(error);
      else fill(this.alerts, alertBox(error.status ? `Not registered. ${error.message}` : lost));
    } finally {
      this.el.ariaBusy = null;
    }
  }

  async saved(content, id) {
    const { row } = this;
    const isMoved = this.isMoved(content);
    if (isMoved) {
      await deleteRegistration(row.id).then(
        () => strike(row.id),
        error => failed('The old one could not be deleted', error),
      );
    }
    closePanel({ back: false });
    emit('written');
    if (row && !isMoved) apply(await fetchRegistration(id));
    else await reload();
    mark(id, { focus: true });
    if (!row || isMoved) go({ id });
    emit('toast', { text: [row ? 'Saved ' : 'Registered ', called(content)], more: await nextPoll() });
  }
}

export function register(row = null) {
  const form = new Form(row);
  openPanel('form', row ? 'Edit' : 'Register targets', { closed: () => emit('route') }, form.el);
  form.changed();
  (row ? $('input', form.labels) : form.targets).focus();
  if (!row || renewalInterval(row)) return;
  const learnt = fresh => {
    renewalInterval(fresh);
    form.changed();
  };
  fetchRegistration(row.id).then(learnt, () => {});
}

export function startForm() {
  on('edit', register);
  on('register', () => register());
}
