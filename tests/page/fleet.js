// Registrations in numbers: a fleet as large as one likes, declared group by group.

const DATACENTRES = ['fra1', 'ams1', 'lhr1', 'cdg1', 'waw1', 'iad1', 'ord1', 'sfo1', 'gru1', 'sin1'];
const SERVICES = [
  ['node', 9100, 'infra'],
  ['mysqld', 9104, 'databases'],
  ['postgres', 9187, 'databases'],
  ['redis', 9121, 'caching'],
  ['kafka', 9308, 'streaming'],
  ['haproxy', 8404, 'edge'],
  ['nginx', 9113, 'edge'],
  ['etcd', 2379, 'platform'],
  ['checkout', 8080, 'payments'],
  ['catalog', 8080, 'shop'],
];
const OSES = ['debian-12', 'debian-13', 'ubuntu-24.04', 'rocky-9'];

function entry(service, port, team, dc, i) {
  const labels = {
    env: i % 4 === 3 ? (i % 8 === 3 ? 'dev' : 'stg') : 'prod',
    dc,
    team,
    rack: `r${String((i * 7) % 60).padStart(2, '0')}`,
    os: OSES[i % OSES.length],
    ...(i % 20 === 7 && { canary: 'true' }),
  };
  const host = n => `${service}-${String(n).padStart(4, '0')}.${dc}.example.net:${port}`;
  return { targets: i % 9 === 4 ? [host(i), host(i + 5000)] : [host(i)], labels };
}

/** Declares 100 groups of `size` registrations each; they expire after `ttl` seconds. */
export async function declareFleet(server, size, ttl) {
  for (const [service, port, team] of SERVICES) {
    for (const dc of DATACENTRES) {
      const body = Array.from({ length: size }, (_, i) => entry(service, port, team, dc, i));
      await server.request('PUT', `api/v1/groups/${service}-${dc}?ttl_seconds=${ttl}`, { body });
    }
  }
}

/** Five registrations of different kinds, one of them with little time left. */
export async function registerFive(server) {
  const dc1 = { datacenter: 'dc-01', env: 'prod' };
  await server.register(['10.0.10.2:9100', '10.0.10.3:9100'], {
    labels: { ...dc1, rack: 'r04' },
    target_group: 'node',
  });
  await server.register('proxy-01.example.net:9999', {
    labels: { ...dc1, __meta_team: 'storage' },
    target_group: 'proxy',
    modules: ['node_exporter', 'ipmi_exporter'],
    ttl_seconds: 3600,
  });
  await server.register('https://shop.example.com/healthz?deep=1', {
    labels: { env: 'prod', tier: 'public' },
    target_group: 'blackbox',
    modules: ['http_2xx'],
    ttl_seconds: 0,
  });
  await server.register('[2001:db8::17]:9100', {
    labels: { datacenter: 'dc-02', env: 'stg', canary: 'true' },
    target_group: 'node',
    ttl_seconds: 600,
  });
  await server.register('"><script>alert(1)</script>:9100', {
    labels: { note: '<img src=x onerror=alert(1)>', name: 'abc\u202egnp.exe', path: `/srv/${'long/'.repeat(40)}` },
    target_group: '<b>x</b> شبكة',
  });
}
