// The one script that is no module: the chosen theme stands before the first paint.
try {
  document.documentElement.dataset.theme = localStorage.getItem('inventor.theme') ?? 'auto';
} catch {
  // Storage is forbidden: the theme is the system's.
}
