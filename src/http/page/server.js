// The API of the server, under whatever path a proxy puts it, and the tokens for it.
import { sentence, setServerTime } from './words.js';

const base = new URL('.', location.href);
export const origin = base.href.replace(/\/$/, '');

/**
 * What was heard last, and whether nothing is heard now; null as long as nothing was. Pollers are null too for a token
 * that may not see them.
 */
export const server = { status: null, pollers: null, isSilent: false };
export const storeLost = () => server.status?.store.healthy === false;
/** Why it is unknown whether passed deadlines have expired; empty if the server is known to expire them. */
export const doubt = () => (server.isSilent ? 'unknown' : storeLost() ? 'kept' : '');
export const late = () => (server.pollers ?? []).filter(p => p.late);

// sessionStorage ends with the tab; where it is forbidden, or full, what it should keep ends with the page: tokens by
// their kind, and what the page hands over.
const held = {};
export const session = {
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

const HANDED_CHARS_MAX = 500_000;

/** What the page before this one left here, as before a reload; `make` gives what this one will leave. */
export function handOver(name, make) {
  const before = parse(session.get(name) ?? 'null');
  session.set(name, null);
  addEventListener('pagehide', () => {
    const text = JSON.stringify(make());
    session.set(name, text.length > HANDED_CHARS_MAX ? null : text);
  });
  return before;
}

const TEXT_CHARS_MAX = 500; // of an answer that is no problem document, such as a proxy's
const PAGE_MAX = 1000; // registrations in one answer
const WORD_CHARS_MAX = 60; // of a search: the server takes 256 bytes
const READ_SECONDS = 10; // the longest wait for an answer
const WRITE_SECONDS = 35;

// The server's reasons, for a person who has just entered a token.
const UNKNOWN = 'This token is not known here.';
const OF_A_PROXY =
  'A proxy in front of the server wants a user name and a password of its own. Reload the page to enter them.';
const NOT_JSON = 'What answered is not this server: perhaps a proxy, or a page to sign in.';

function reasonOf(status, body, text) {
  if (status === 401) return body ? UNKNOWN : OF_A_PROXY;
  const detail = body?.detail || body?.title || (/^\s*</.test(text) ? '' : text.trim().slice(0, TEXT_CHARS_MAX));
  return sentence(detail) || `The server answered ${status}.`;
}

/** An answer that says no: `status` 0 when there was none, `errors` with pointers into what was sent. */
const problem = (status, message, { detail = message, errors = [] } = {}) =>
  Object.assign(new Error(message), { status, detail, errors });

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** No answer at all, or none in time. */
function silence(error, limit, seconds) {
  if (limit.aborted) return problem(0, `No answer within ${seconds} s.`);
  return error.name === 'AbortError' ? error : problem(0, 'The connection failed.');
}

// What was answered last, by address and token: an answer that is the same is not sent again, and one that comes after
// the answer to a later question is not taken for the newest. The browser keeps nothing.
const heardBefore = new Map(); // -> {tag, answer, asked}
const KNOWN_MAX = 60;
let questions = 0; // asked so far

function remember(key, tag, answer, asked) {
  const last = heardBefore.get(key);
  if (last?.asked > asked) return last.answer;
  heardBefore.delete(key);
  if (tag) heardBefore.set(key, { tag, answer, asked });
  if (heardBefore.size > KNOWN_MAX) heardBefore.delete(heardBefore.keys().next().value);
  return answer;
}

async function send(method, path, { query = {}, body, headers = {}, signal, heard, isOnce } = {}, secret = null) {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) if (one) url.searchParams.append(name, one);
  }
  const isRead = method === 'GET';
  const seconds = isRead ? READ_SECONDS : WRITE_SECONDS;
  const limit = AbortSignal.timeout(seconds * 1000);
  const options = {
    method,
    // `Authorization` belongs to a proxy in front of the server, which may ask for a password of its own.
    headers: { accept: 'application/json, application/problem+json', ...headers },
    body: body && JSON.stringify(body),
    cache: 'no-store',
    signal: AbortSignal.any([limit, signal].filter(Boolean)),
  };
  if (secret) options.headers[isRead ? 'x-sd-token' : 'x-api-token'] = secret;
  const key = isRead && `${url} ${secret}`;
  const before = heardBefore.get(key);
  if (before) options.headers['if-none-match'] = before.tag;
  const asked = ++questions;
  let response, text;
  try {
    response = await fetch(url, options);
    text = await response.text();
  } catch (error) {
    throw silence(error, limit, seconds);
  }
  setServerTime(response.headers.get('date'));
  heard?.(response);
  if (before && response.status === 304) return remember(key, before.tag, before.answer, asked);
  const answer = parse(text);
  if (!response.ok) throw problem(response.status, reasonOf(response.status, answer, text), answer);
  if (text && answer === undefined) throw problem(0, NOT_JSON);
  return isRead ? remember(key, isOnce ? null : response.headers.get('etag'), answer, asked) : (answer ?? true);
}

const readToken = () => session.get('read') ?? session.get('write');
const writeToken = () => session.get('write') ?? readToken();

/** What is said to a token that was given up meanwhile is not heard: it is asked anew, with the one that is held. */
export async function get(path, query, signal) {
  const secret = readToken();
  try {
    const answer = await send('GET', `api/v1/${path}`, { query, signal }, secret);
    if (secret === readToken()) return answer;
  } catch (error) {
    if (secret === readToken() || error.name === 'AbortError') throw error;
  }
  return get(path, query, signal);
}

const statusBy = secret => send('GET', 'api/v1/status', {}, secret);

// What one token may do: what an answer says of another one that was held meanwhile is not taken for it.
let holder = { secret: null, caller: null };

/** What the token that writes may do: {name, role, groups}; undefined while nobody knows. */
export const rights = () => (holder.secret === writeToken() ? holder.caller : undefined);

/** How the server is, and what the token that writes may do. */
export async function loadStatus() {
  const status = await get('status');
  const secret = writeToken();
  const { caller } = secret === readToken() ? status : await statusBy(secret).catch(() => ({}));
  if (secret === writeToken()) holder = { secret, caller };
  // Before it has loaded, there are no numbers.
  if (status.store.loaded) server.status = status;
}

const isOf = (pattern, group) => {
  const name = decodeURIComponent(pattern.replace(/\*$/, ''));
  return pattern.endsWith('*') ? group.startsWith(name) : group === name;
};

/** The name and the rights of a token. */
export const rightsOf = ({ name, role, groups }) =>
  `${name} may ${role === 'write' ? 'change' : 'read'} ${groups[0] === '*' ? 'all groups' : groups.map(decodeURIComponent).join(', ').slice(0, TEXT_CHARS_MAX)}.`;

/** Why a token may not do it, in the same words everywhere. */
export const outside = caller => `${rightsOf(caller)} This is in another group.`;
const needsWriter = caller => `${rightsOf(caller)} A token that may write is needed.`;

/** Why the token that is held may not change a group; empty where it may, or where nobody knows. */
export function refusal(group) {
  const may = rights();
  return may?.role !== 'write' || may.groups.some(pattern => isOf(pattern, group)) ? '' : outside(may);
}

/** Why a change was refused: the refusal itself does not tell a token for reading from one that is not known. */
async function whyNot(secret, { message }) {
  try {
    const { caller } = await statusBy(secret);
    if (caller?.role !== 'write') return caller ? needsWriter(caller) : UNKNOWN;
    return caller.groups[0] === '*' ? message : outside(caller);
  } catch (error) {
    return error.message;
  }
}

/** For `catch`: a substitute for something that is not there. */
export const absent = instead => error => {
  if (error.status !== 404) throw error;
  return instead;
};

/** For data that not every token may see: null if this one may not. */
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

/** Whether another token may help. */
export const isRefusal = error => error.message !== OF_A_PROXY && [401, 403].includes(error.status);

let entered = null; // a token of which it is not known yet whether it may write

/** Keeps a token that is of use. Reading uses the one that sees more. */
async function accept(secret) {
  entered = null;
  if (session.get('write') === secret) return;
  session.set('write', secret);
  const reader = session.get('read');
  if (!reader || reader === secret) return;
  const sees = one =>
    statusBy(one).then(
      status => status.registrations,
      () => -1,
    );
  if ((await sees(secret)) >= (await sees(reader))) session.set('read', null);
}

async function tryToWrite(method, path, options, secret) {
  try {
    const answer = await send(method, path, options, secret);
    await accept(secret);
    return answer;
  } catch (error) {
    error.isWrite = true;
    if (isRefusal(error)) {
      entered = null;
      if (error.status === 401 && session.get('write') === secret) session.set('write', null);
    } else if (error.status > 0 && error.status < 500) {
      await accept(secret);
    } else {
      entered = secret;
    }
    throw error;
  }
}

/** Changes something, as often as it takes to get the right token; null if there is none. */
async function write(method, path, options) {
  // The token to look at the list is perhaps one that may write.
  let secret = session.get('write') ?? entered ?? session.get('read') ?? (await person.askForToken(''));
  while (secret) {
    try {
      return await tryToWrite(method, path, options, secret);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      secret = await person.askForToken(await whyNot(secret, error));
    }
  }
  return null;
}

/** Keeps a token if it may write. */
export async function checkToken(secret) {
  const { caller } = await statusBy(secret);
  if (caller?.role !== 'write') throw problem(403, await whyNot(secret, {}));
  await accept(secret);
  holder = { secret, caller };
}

export const registrationPath = id => `registrations/${encodeURIComponent(id)}`;

/** The registration with exactly these targets; null if there is none. */
export async function findRegistration(targets) {
  const longest = (a, b) => b.length - a.length;
  const [word = ''] = targets.flatMap(target => target.split(/\s+/)).sort(longest);
  const query = { q: word.slice(0, WORD_CHARS_MAX) };
  const wanted = JSON.stringify(targets);
  for await (const page of pagesOf(query)) {
    const found = page.find(row => JSON.stringify(row.targets) === wanted);
    if (found) return found;
  }
  return null;
}

export const putRegistration = content =>
  write('PUT', 'target', { query: { strict: true }, body: { static_config: content } });
export const deleteRegistration = id => write('DELETE', `api/v1/${registrationPath(id)}`);

const groupPath = name => `api/v1/groups/${encodeURIComponent(name)}`;

/** A group as it would be declared, with its tag for replacing it; a missing group is empty. */
export async function getGroup(name) {
  let tag = null;
  const heard = response => {
    // A compressed answer has a weak tag, and a condition needs the strong one.
    tag = response.headers.get('etag')?.replace('W/', '') ?? null;
  };
  const entries = await send('GET', groupPath(name), { heard }, readToken()).catch(absent(null));
  return entries ? { entries, tag } : { entries: [], tag: null };
}

/** Makes a group what `body` says, if it is still what has this tag: null where there was none. */
export function putGroup(name, body, query, tag) {
  const headers = tag ? { 'if-match': tag } : { 'if-none-match': '*' };
  return write('PUT', groupPath(name), { body, query, headers });
}
export const deleteGroup = (name, tag) => write('DELETE', groupPath(name), { headers: { 'if-match': tag } });

/** All registrations that meet a filter, page by page; however many there are, none is kept here. */
export async function* pagesOf(filter) {
  const query = { ...filter, limit: PAGE_MAX };
  do {
    const answer = await send('GET', 'api/v1/registrations', { query, isOnce: true }, readToken());
    yield answer.registrations;
    query.page_token = answer.next_page_token;
  } while (query.page_token);
}

export async function allRegistrations(filter) {
  const found = [];
  for await (const page of pagesOf(filter)) found.push(...page);
  return found;
}
