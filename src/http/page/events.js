// Who makes something happen need not know who cares: modules tell each other by name. route: what is looked at · listed, grouped, asked: fresh data · written: something was changed · trouble: no answer register, edit, delete, use, declare, export: acts · toast: a notice

const bus = new EventTarget();

export const on = (name, act) => bus.addEventListener(name, e => act(e.detail));
export const emit = (name, detail) => bus.dispatchEvent(new CustomEvent(name, { detail }));
export const trouble = error => emit('trouble', error);
export const failed = (text, error) => emit('toast', { bad: true, text, more: error.message });
