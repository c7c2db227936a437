// The API of the server, under whatever path a proxy puts it, and the tokens for it.
import { setServerTime } from './words.js';

const base = new URL('.', location.href);
export const origin = base.href.replace(/\/$/, '');

/** What was heard last; null as long as nothing was. Pollers are null too for a token that may not see them. */
export const server = { status: null, pollers: null };
export const storeLost = () => server.status?.store.healthy === false;
export const late = () => (server.pollers ?? []).filter(p => p.late);

// sessionStorage ends with the tab; where it is forbidden, tokens end with the page.
const held = {};
export const token = {
  get(kind) {
    try {
      return sessionStorage.getItem(`inventor.${kind}`);
    } catch {
      return held[kind] ?? null;
    }
  },
  set(kind, value) {
    held[kind] = value;
    try {
      if (value) sessionStorage.setItem(`inventor.${kind}`, value);
      else sessionStorage.removeItem(`inventor.${kind}`);
    } catch {
      // It is held above.
    }
  },
};

const REFUSED = 'The server refused this token: it is unknown, or it has no right to this group or these targets.';
const TEXT_CHARS_MAX = 500; // of an answer that is no problem document, such as a proxy's

/** An answer that says no: `status` 0 when there was none, `errors` with pointers into what was sent. */
function problem(status, body, text = '') {
  const told = body?.detail || body?.title || (/^\s*</.test(text) ? '' : text.trim().slice(0, TEXT_CHARS_MAX));
  const message = told === 'FORBIDDEN' ? REFUSED : told || `The server answered ${status}.`;
  return Object.assign(new Error(message), { status, errors: body?.errors ?? [], total: body?.errors_total });
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function send(method, path, { query = {}, body, signal } = {}, bearer = null) {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) if (one) url.searchParams.append(name, one);
  }
  const headers = { accept: 'application/json, application/problem+json' };
  if (bearer) headers.authorization = `Bearer ${bearer}`;
  const content = body && JSON.stringify(body);
  let response, text;
  try {
    response = await fetch(url, { method, headers, signal, body: content, cache: 'no-store' });
    text = await response.text();
  } catch (error) {
    throw error.name === 'AbortError' ? error : problem(0, { detail: error.message });
  }
  setServerTime(response.headers.get('date'));
  if (!response.ok) throw problem(response.status, parse(text), text);
  return text ? parse(text) : true;
}

export const get = (path, query, signal) =>
  send('GET', `api/v1/${path}`, { query, signal }, token.get('read') ?? token.get('write'));

/** What not every token may see: null if this one may not. */
export async function getAllowed(path, query) {
  try {
    return await get(path, query);
  } catch (error) {
    if (error.status !== 403) throw error;
    return null;
  }
}

/** Asks a person for the token that may write; set by the module that can. Resolves to null if they do not want to. */
export const person = { askForToken: async _refusal => null };

const isRefusal = error => error.status === 401 || error.status === 403;

/** Changes something, as often as it takes to get the right token; null if there is none. */
async function write(method, path, options) {
  // The token to look at the list is perhaps one that may write.
  let bearer = token.get('write') ?? token.get('read') ?? (await person.askForToken(''));
  let mine = token.get('write') === null && bearer === token.get('read');
  while (bearer) {
    if (!mine) token.set('write', bearer);
    try {
      const answer = await send(method, path, options, bearer);
      token.set('write', bearer);
      return answer;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      if (!mine) token.set('write', null);
      bearer = await person.askForToken(mine ? '' : error.message);
      mine = false;
    }
  }
  return null;
}

export const registrationPath = id => `registrations/${encodeURIComponent(id)}`;
export const putRegistration = content => write('PUT', 'target', { body: { static_config: content } });
export const deleteRegistration = id => write('DELETE', `api/v1/${registrationPath(id)}`);
export const putGroup = (name, body, query) =>
  write('PUT', `api/v1/groups/${encodeURIComponent(name)}`, { body, query });
