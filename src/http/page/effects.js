// The side effects of saving a registration, shown before it is saved.
import { foreign, h } from './dom.js';
import { lasting } from './lifetime.js';
import { nextRenewal, renewalInterval } from './renewals.js';
import { isMeta } from './row.js';
import { plural, since, words } from './words.js';

export const DEFAULT_GROUP = 'inventor-default';

export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const sorted = labels => Object.entries(labels).sort();
export const groupOf = content => content.target_group ?? DEFAULT_GROUP;
const contentShape = content => ({ ...content, labels: sorted(content.labels), target_group: groupOf(content) });

/** Whether two contents register the same. */
export const sameContent = (a, b) => same(a && contentShape(a), b && contentShape(b));

/** The change of each label, group and lifetime: -from +to. */
function differences(old, content) {
  const names = [...new Set([...Object.keys(old.labels), ...Object.keys(content.labels)])].sort();
  const lifetime = ({ ttl_seconds: s }) => (s === undefined ? 'default' : lasting(s));
  const pairs = [
    ...names.map(name => [name, old.labels[name], content.labels[name]]),
    ['group', groupOf(old), groupOf(content)],
    ['modules', old.modules?.join(', '), content.modules?.join(', ')],
    ['lifetime', lifetime(old), lifetime(content)],
  ];
  const sign = (mark, name, value) => value !== undefined && h('li', `${mark} `, foreign(name), ': ', foreign(value));
  const lines = pairs
    .filter(([, from, to]) => from !== to)
    .map(([name, from, to]) => [sign('−', name, from), sign('+', name, to)]);
  return h('ul.mono.differences', lines);
}

/** `row` is what is registered now, `old` its content, `content` what is about to replace it. */
export function effects(row, old, content) {
  const kept = labels => sorted(labels).filter(([name]) => !isMeta(name));
  if (sameContent(old, content))
    return h('p.note', 'Nothing changed yet.', row.ttl_seconds > 0 && ' Saving renews it.');
  const series = plural(row.targets.length, 'target');
  const [from, to] = [old, content].map(one => h('b', foreign(groupOf(one))));
  const every = renewalInterval(row);
  return [
    differences(old, content),
    !same(kept(content.labels), kept(old.labels)) &&
      h('p.warn', `Labels identify a target: Prometheus ends the series of ${series} and starts new ones.`),
    groupOf(content) !== groupOf(old) &&
      h('p.note', 'Whoever polls ', from, ' loses it; whoever polls ', to, ' gets it.'),
    every &&
      h(
        'p.warn',
        `Its host renews it every ${words(every)} with its own values, next ${nextRenewal(row)}. `,
        'That overwrites this edit, so change it on the host as well.',
      ),
  ];
}

/** Other targets are another registration. */
export const moved = () =>
  h(
    'p.warn',
    'Different targets make a different registration: the new one is registered, then the old one deleted. ',
    'Prometheus ends the old series and starts new ones.',
  );

/** Why saving is not possible as it is: these targets were registered or changed meanwhile. */
export const inTheWay = (row, isNews, by) =>
  h(
    'p.warn',
    { tabindex: -1 },
    isNews ? 'It was changed meanwhile, ' : 'These targets are registered already, last renewed ',
    since(row.updated_at),
    by && [' by ', foreign(by)],
    '. Saving replaces what is there:',
  );
