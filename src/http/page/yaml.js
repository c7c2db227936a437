// Lists of targets as files have them: JSON, or the part of YAML in which file_sd is written. Texts stay texts, as in
// Prometheus: `port: 8080` is the label "8080". Anchors, tags and texts of many lines are told, not guessed.

const COMMENT = /("(?:\\.|[^"\\])*"|'(?:''|[^'])*')|(?:^|\s)#.*$/g;
const KEY = /^("(?:\\.|[^"\\])*"|'(?:''|[^'])*'|[^\s[\]{}&*!|>'"%@`,][^[{]*?)\s*:(?:\s+(.*))?$/s;
const FLOW =
  /\s*(?:([[\]{},:])|("(?:\\.|[^"\\])*"|'(?:''|[^'])*')|((?:[^\s[\]{},:]|:(?=[^\s,[\]{}])|\s+(?=[^\s[\]{},:#]))+))/y;

class Yaml {
  constructor(text) {
    const lines = text.split(/\r?\n/).map((raw, at) => {
      const line = raw.replace(COMMENT, (_all, quoted) => quoted ?? '').trimEnd();
      return { at: at + 1, indent: line.search(/\S/), text: line.trim() };
    });
    this.lines = lines.filter(({ text: line }) => line && line !== '---');
  }

  fail(line, what) {
    throw new Error(`Line ${line?.at ?? 1}: ${what}`);
  }

  read() {
    const value = this.lines.length ? this.block(this.lines[0].indent) : null;
    if (this.lines.length) this.fail(this.lines[0], 'this stands at no place that makes sense.');
    return value;
  }

  block(indent) {
    const [{ text }] = this.lines;
    if (/^-(\s|$)/.test(text)) return this.sequence(indent);
    return KEY.test(text) ? this.mapping(indent) : this.inline(text, this.lines.shift());
  }

  isNext = (indent, pattern) => this.lines[0]?.indent === indent && pattern.test(this.lines[0].text);

  sequence(indent) {
    const items = [];
    while (this.isNext(indent, /^-(\s|$)/)) {
      const [line] = this.lines;
      const text = line.text.slice(1).trimStart();
      if (text) {
        line.indent += line.text.length - text.length;
        line.text = text;
        items.push(this.block(line.indent));
      } else {
        this.lines.shift();
        items.push(this.nested(indent, false));
      }
    }
    return items;
  }

  mapping(indent) {
    const entries = [];
    while (this.isNext(indent, KEY)) {
      const line = this.lines.shift();
      const [, key, rest] = KEY.exec(line.text);
      const name = this.scalar(key, line);
      if (entries.some(([known]) => known === name)) this.fail(line, `${name} stands there twice.`);
      entries.push([name, rest ? this.inline(rest, line) : this.nested(indent, true)]);
    }
    return Object.fromEntries(entries);
  }

  /** What stands below a key or a dash; a list below a key may be as far to the left as the key. */
  nested(indent, isBelowKey) {
    const next = this.lines[0];
    const isDeeper = next && next.indent > indent;
    return isDeeper || (isBelowKey && this.isNext(indent, /^-(\s|$)/)) ? this.block(next.indent) : null;
  }

  inline(text, line) {
    if (!/^[[{]/.test(text)) return this.scalar(text, line);
    let whole = text;
    const depth = s =>
      (s.replace(COMMENT, '').match(/[[{]/g)?.length ?? 0) - (s.replace(COMMENT, '').match(/[\]}]/g)?.length ?? 0);
    while (depth(whole) > 0 && this.lines.length) whole += ` ${this.lines.shift().text}`;
    return this.flow(whole, line);
  }

  flow(text, line) {
    FLOW.lastIndex = 0;
    const next = () => FLOW.exec(text) ?? this.fail(line, 'a bracket is missing.');
    const value = ([, sign, quoted, plain]) => {
      if (sign === '[') return items(']', token => value(token));
      if (sign === '{') return Object.fromEntries(items('}', pair));
      if (sign) this.fail(line, `unexpected ${sign}`);
      return this.scalar(quoted ?? plain, line);
    };
    const items = (end, read) => {
      const list = [];
      for (;;) {
        const token = next();
        if (token[1] === end) return list;
        if (token[1] !== ',') list.push(read(token));
      }
    };
    const pair = token => {
      const key = value(token);
      if (next()[1] !== ':') this.fail(line, `${key} has no value.`);
      return [key, value(next())];
    };
    const found = value(next());
    if (text.slice(FLOW.lastIndex).trim()) this.fail(line, 'something stands behind the last bracket.');
    return found;
  }

  scalar(text, line) {
    if (text[0] === "'") return text.slice(1, -1).replaceAll("''", "'");
    if (/^[&*!|>%@`]/.test(text)) this.fail(line, `${text} is more of YAML than this page reads. Use JSON.`);
    if (text[0] !== '"') return ['null', '~', ''].includes(text) ? null : text;
    try {
      return JSON.parse(text);
    } catch {
      return this.fail(line, `${text} is no text in quotes.`);
    }
  }
}

/** The line with which a text is no longer the beginning of JSON; its number of lines if only the end is missing. */
function faultyLine(text) {
  const lines = text.split('\n');
  const isBeginning = n => {
    const begun = lines
      .slice(0, n)
      .join('\n')
      .replace(/[\s,]*$/, '');
    let end = '';
    for (const [part] of begun.matchAll(/"(?:\\.|[^"\\])*"|[[\]{}]/g)) {
      if (part === '[' || part === '{') end = (part === '[' ? ']' : '}') + end;
      else if (part[0] !== '"') end = end.slice(1);
    }
    try {
      return [JSON.parse(begun + end)];
    } catch {
      return null;
    }
  };
  let [from, to] = [0, lines.length];
  while (to - from > 1) {
    const middle = (from + to) >> 1;
    if (isBeginning(middle)) from = middle;
    else to = middle;
  }
  return to;
}

/** Reads JSON, or else YAML; an error says what is wrong with whichever it looks like. */
export function readList(text) {
  try {
    return JSON.parse(text);
  } catch {
    if (/^\s*\[\s*\{?\s*"/.test(text))
      throw new Error(
        `Line ${faultyLine(text)}: this is not JSON. Something is wrong or missing there, or just before.`,
      );
    return new Yaml(text).read();
  }
}
