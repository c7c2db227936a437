// Who makes something happen need not know who cares: modules tell each other by name. route: what is looked at · listed, grouped: fresh data · chosen: rows, or no longer · written: something was changed · trouble: no answer register, edit, delete, select, use, declare, export, exportlist: acts · toast: a notice

const bus = new EventTarget();

export const on = (name, act) => bus.addEventListener(name, e => act(e.detail));
export const emit = (name, detail) => bus.dispatchEvent(new CustomEvent(name, { detail }));
export const trouble = error => emit('trouble', error);

/** A sentence for changes that were sent and may have happened without an answer; undefined if there are none. */
export const unheard = (done, { isWrite, status, message }, what = 'it') =>
  isWrite && !(status > 0 && status < 500)
    ? `${message.replace(/;.*|\.$/s, '')}, so ${what} may or may not have been ${done}: try again, which is safe.`
    : undefined;

/** A notice of something that was not `done`, or perhaps was. */
export const failed = (done, error) =>
  emit('toast', { bad: true, text: unheard(done, error) ?? `Not ${done}. ${error.message}` });
