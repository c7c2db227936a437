// Configurations for pollers, as texts to paste. Nothing here knows the page: the documents show the same texts.

const MODULE_LABELS = ['__param_module', 'module'];
const CREDENTIALS = { name: 'inventor-read', key: 'token' };
const indented = (text, columns) => text.replace(/^(?=.)/gm, ' '.repeat(columns));
const stacked = (...parts) => parts.filter(Boolean).join('\n');

const http = (url, refresh, tokenFile) =>
  stacked(
    'http_sd_configs:',
    `  - url: ${JSON.stringify(url)}`,
    refresh && '    refresh_interval: 30s',
    tokenFile && `    authorization:\n      credentials_file: ${tokenFile}`,
  );

// Without this, all modules of one address would be one target.
const relabelling = hasModules =>
  hasModules &&
  stacked(
    'relabel_configs:',
    ...MODULE_LABELS.map(
      label => `  - source_labels: [__meta_inventor_sd_module]\n    regex: (.+)\n    target_label: ${label}`,
    ),
  );

// In quotes: a group may be called null, or 1e3, or have no letter that YAML takes bare.
const scrapeConfigs = ({ url, job, hasModules }, refresh, tokenFile) => {
  const rest = stacked(http(url, refresh, tokenFile), relabelling(hasModules));
  return stacked('scrape_configs:', `  - job_name: ${JSON.stringify(job)}`, indented(rest, 4));
};

const prometheus = given => scrapeConfigs(given, true, given.needsToken && '/etc/prometheus/inventor.token');

const vmagent = given =>
  stacked(
    '# How often: -promscrape.httpSDCheckInterval=30s',
    scrapeConfigs(given, false, given.needsToken && '/etc/vmagent/inventor.token'),
  );

const kubernetes = (apiVersion, kind, spec) =>
  stacked(`apiVersion: ${apiVersion}`, `kind: ${kind}`, 'metadata:', '  name: inventor', 'spec:', indented(spec, 2));

/** The source of targets as both operators for Kubernetes name it, and the relabelling under their name for it. */
const source = ({ url, needsToken, hasModules }, refresh, rules) =>
  stacked(
    `httpSDConfigs:\n  - url: ${JSON.stringify(url)}`,
    refresh && '    refreshInterval: 30s',
    needsToken &&
      `    authorization:\n      credentials:\n        name: ${CREDENTIALS.name}\n        key: ${CREDENTIALS.key}`,
    hasModules && `${rules}:`,
    ...(hasModules ? MODULE_LABELS : []).map(
      label => `  - sourceLabels: [__meta_inventor_sd_module]\n    regex: (.+)\n    targetLabel: ${label}`,
    ),
  );

const scrapeConfig = given =>
  kubernetes(
    'monitoring.coreos.com/v1alpha1',
    'ScrapeConfig',
    stacked(`jobName: ${JSON.stringify(given.job)}`, source(given, true, 'relabelings')),
  );

const vmScrapeConfig = given =>
  kubernetes('operator.victoriametrics.com/v1beta1', 'VMScrapeConfig', source(given, false, 'relabelConfigs'));

/** The operator hands the targets out to its collectors; the file with the token is mounted into the allocator. */
const targetAllocator = given => {
  const jobs = scrapeConfigs(given, true, given.needsToken && '/etc/inventor/token');
  // The collector takes a dollar for a variable.
  const config = stacked('receivers:', '  prometheus:', '    config:', indented(jobs.replaceAll('$', '$$$$'), 6));
  const rest = [
    'exporters:\n  otlphttp:\n    endpoint: http://otel-gateway:4318',
    'service:\n  pipelines:\n    metrics:\n      receivers: [prometheus]\n      exporters: [otlphttp]',
  ];
  const spec = stacked(
    'mode: statefulset\ntargetAllocator:\n  enabled: true\nconfig:',
    indented(stacked(config, ...rest), 2),
  );
  return kubernetes('opentelemetry.io/v1beta1', 'OpenTelemetryCollector', spec);
};

function alloy({ url, needsToken, hasModules }) {
  const token =
    '  authorization {\n    type             = "Bearer"\n    credentials_file = "/etc/alloy/inventor.token"\n  }';
  const rule = label =>
    `  rule {\n    source_labels = ["__meta_inventor_sd_module"]\n    regex         = "(.+)"\n    target_label  = "${label}"\n  }`;
  const relabel = stacked(
    'discovery.relabel "inventor" {\n  targets = discovery.http.inventor.targets',
    ...MODULE_LABELS.map(rule),
    '}\n',
  );
  return stacked(
    `discovery.http "inventor" {\n  url              = ${JSON.stringify(url)}\n  refresh_interval = "30s"`,
    needsToken && token,
    '}\n',
    hasModules && relabel,
    `prometheus.scrape "inventor" {\n  targets    = discovery.${hasModules ? 'relabel.inventor.output' : 'http.inventor.targets'}`,
    '  forward_to = [prometheus.remote_write.default.receiver]\n}',
  );
}

/** Names and texts, for a list at this URL: which job, whether reading needs a token, whether there are modules. */
export const configurations = given => [
  ['Prometheus', prometheus(given)],
  ['ScrapeConfig', scrapeConfig(given)],
  ['OpenTelemetry', targetAllocator(given)],
  ['vmagent', vmagent(given)],
  ['VMScrapeConfig', vmScrapeConfig(given)],
  ['Alloy', alloy(given)],
];
