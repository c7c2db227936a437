// Where a person enters a token: a gate before everything for reading, a dialog when something is changed.
import { $, fill, h } from './dom.js';
import { emit } from './events.js';
import { checkToken, person, rights, rightsOf, server, session } from './server.js';

const dialog = $('#dialog');

export function modal(label, content, closed) {
  fill(dialog, content);
  dialog.ariaLabel = label;
  dialog.onclose = () => {
    // The dialog closed a moment ago reports that only now, when this one is open.
    if (dialog.open) return;
    fill(dialog);
    closed?.();
  };
  dialog.showModal();
}

const STAYS = ' It is kept in this tab until you close it, and sent to this server only.';
const PLAIN_HTTP = 'This page was loaded over plain HTTP: anyone on the network path can read the token.';

function tokenForm(level, name, text, refusal, submit, ...buttons) {
  const field = h('input.mono', {
    type: 'password',
    id: 'token-field',
    autocomplete: 'off',
    ...(refusal && { 'aria-invalid': 'true', 'aria-describedby': 'token-wrong' }),
  });
  const onsubmit = e => {
    e.preventDefault();
    submit(field.value.trim() || null);
  };
  return h(
    'form.form',
    { onsubmit },
    h(level, name),
    h('p', text, STAYS),
    h(
      'div.f',
      h('label', { for: 'token-field' }, 'Token'),
      field,
      refusal && h('p.wrong', { id: 'token-wrong', role: 'alert' }, refusal),
    ),
    !isSecureContext && h('p.warn', PLAIN_HTTP),
    h('div.line', h('button.primary', { type: 'submit' }, 'Continue'), buttons),
  );
}

function askForToken(refusal) {
  return new Promise(resolve => {
    let value = null;
    const submit = v => {
      value = v;
      dialog.close();
    };
    const cancel = h('button', () => dialog.close(), 'Cancel');
    const form = tokenForm('h2', 'Write token', 'Changes need a token that may write.', refusal, submit, cancel);
    modal('Write token', form, () => resolve(value));
    $('input', dialog).focus();
  });
}

/** Asks until a token may write, or the person declines. */
async function enterWriteToken() {
  let refusal = '';
  for (;;) {
    const secret = await askForToken(refusal);
    if (!secret) return;
    try {
      await checkToken(secret);
      return;
    } catch (error) {
      refusal = error.message;
    }
  }
}

const KINDS = { read: 'The token for reading', write: 'The token for writing' };

/** The tokens that are held, and how to drop them. */
function heldTokens() {
  const line = kind => {
    const forget = () => {
      session.set(kind, null);
      dialog.close();
      drawToken();
      emit('retry');
    };
    const caller = kind === 'read' ? server.status?.caller : rights();
    const text = caller ? `${KINDS[kind]}: ${rightsOf(caller)}` : KINDS[kind];
    return session.get(kind) && h('div.line', h('span.grow', text), h('button', forget, 'Forget'));
  };
  const another = () => {
    dialog.close();
    enterWriteToken().then(drawToken);
  };
  const content = h(
    'div.form',
    h('h2', 'Tokens in this tab'),
    Object.keys(KINDS).map(line),
    h(
      'div.line',
      h('button', another, 'Enter a token that may write'),
      h('button', () => dialog.close(), 'Close'),
    ),
  );
  modal('Tokens', content);
}

/** Nothing is shown before a token is accepted. Typed text stays while the gate is open, even if another request is refused. */
export function gate(message) {
  if (isGated()) return;
  const isAgain = session.get('read') ?? session.get('write');
  const close = () => {
    $('.gate')?.remove();
    document.body.classList.remove('gated');
  };
  session.set('read', null);
  session.set('write', null);
  close();
  drawToken();
  if (dialog.open) dialog.close();
  document.body.classList.add('gated');
  const submit = value => {
    session.set('read', value);
    close();
    drawToken();
    emit('retry');
  };
  const text = 'Enter the token that Prometheus polls with, or one that may write.';
  const form = tokenForm('h1', 'This server asks for a token', text, isAgain && message, submit);
  form.classList.add('gate');
  $('#browse').before(form);
  $('input', form).focus();
}

export const isGated = () => Boolean($('.gate'));

export function drawToken() {
  const held = session.get('write') ?? session.get('read');
  const caller = held && rights();
  const may = session.get('write') ?? caller?.role === 'write';
  const who = caller ? rightsOf(caller) : held ? 'tokens' : 'enter a write token';
  const label = `${may ? 'Writing is enabled' : 'Read-only'}: ${who}`;
  const button = $('#token');
  if (button.title === label) return;
  // A pressed element must stay in the document until it is released.
  $('use', button).setAttribute('href', may ? '#i-unlock' : '#i-lock');
  button.title = button.ariaLabel = label;
  button.classList.toggle('on', Boolean(may));
}

export function startTokens() {
  person.askForToken = askForToken;
  $('#token').onclick = async () => {
    if (session.get('write') || session.get('read')) return heldTokens();
    await enterWriteToken();
    drawToken();
  };
  drawToken();
}
