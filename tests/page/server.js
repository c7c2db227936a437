// The server under test, and Redis: the real programs, in directories and on ports of their own.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request as forward } from 'node:http';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';
import { after } from 'node:test';
import { root } from './tools.js';

export const BINARY = process.env.INVENTOR_BINARY ?? `${root}target/debug/inventor`;
const START_MS = 60_000;
const TOKEN = 'secret';

const running = new Set();
const killAll = () => {
  for (const child of running) child.kill('SIGKILL');
};
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));
process.on('exit', killAll);
// What a test left that failed would keep this process alive.
after(killAll);

/** Starts a program and waits for a line that says that it is ready. */
function launch(program, args, options, ready) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  running.add(child);
  const ended = new Promise(resolve => child.once('close', resolve)).then(() => running.delete(child));
  return new Promise((resolve, reject) => {
    const said = [];
    const timer = setTimeout(() => reject(new Error(`${program} is not ready:\n${said.join('\n')}`)), START_MS);
    const heard = line => {
      said.push(line);
      const found = ready.exec(line);
      if (!found) return;
      clearTimeout(timer);
      resolve({ child, ended, found });
    };
    for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', heard);
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`${program} ended:\n${said.join('\n')}`)));
  });
}

// In memory where there is such a place: how long a busy disk takes is not what these tests are about.
const place = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** A program with a directory of its own, which it keeps while it is killed and started again. */
class Program {
  directory = mkdtempSync(`${place}/inventor-page-`);

  async kill() {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  /** Stands still with all its connections open, as behind a path that is dead, until it goes on. */
  pause = () => this.child.kill('SIGSTOP');
  goOn = () => this.child.kill('SIGCONT');

  async stop() {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A server with the token `secret`; it keeps its data and its port when it is stopped and started again. */
export class Server extends Program {
  constructor(env = {}) {
    super();
    this.env = {
      APP_ENV: 'test',
      API_TOKEN: TOKEN,
      LISTEN_ADDR: '127.0.0.1',
      LISTEN_PORT: '0',
      DATA_DIR: `${this.directory}/data`,
      ...env,
    };
  }

  static async start(env) {
    const server = new Server(env);
    await server.start();
    return server;
  }

  async start() {
    const options = { env: { ...this.env, PATH: process.env.PATH }, cwd: this.directory };
    const { child, ended, found } = await launch(BINARY, [], options, /server started.* address=127\.0\.0\.1:(\d+)/);
    Object.assign(this, { child, ended, url: `http://127.0.0.1:${found[1]}/` });
    this.env.LISTEN_PORT = found[1];
  }

  /** A request; a write that had to wait too long is repeated, as a 503 asks for. */
  async request(method, path, { body, token = TOKEN, headers = {}, tries = 5 } = {}) {
    const response = await fetch(new URL(path, this.url), {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
      headers: { ...(token && { authorization: `Bearer ${token}` }), ...headers },
    });
    const text = await response.text();
    if (response.status === 503 && tries > 1)
      return this.request(method, path, { body, token, headers, tries: tries - 1 });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text && JSON.parse(text);
  }

  /** Registers, and gives the id. */
  async register(targets, more = {}) {
    const content = { targets: [targets].flat(), ...more };
    return (await this.request('PUT', 'target', { body: { static_config: content } })).id;
  }

  registration = id => this.request('GET', `api/v1/registrations/${id}`);
  registrations = (query = '') => this.request('GET', `api/v1/registrations?${query}`);
}

/** A Redis on a socket; it can go, come back, and be asked. */
export class Redis extends Program {
  socket = `${this.directory}/redis.sock`;

  static async start() {
    const redis = new Redis();
    await redis.start();
    return redis;
  }

  env = () => ({ REDIS_URL: `redis+unix://${this.socket}` });

  async start() {
    const args = ['--port', '0', '--unixsocket', this.socket, '--appendonly', 'yes', '--dir', this.directory];
    Object.assign(
      this,
      await launch('redis-server', args, {}, /Ready to accept connections|ready to accept connections/),
    );
  }

  /** Runs a command of Redis, such as another program would. */
  async command(...args) {
    const child = spawn('redis-cli', ['-s', this.socket, ...args], { stdio: 'ignore' });
    const code = await new Promise(resolve => child.once('close', resolve));
    if (code) throw new Error(`redis-cli ended with ${code}`);
  }
}

/** A port that was free a moment ago. */
async function freePort() {
  const listening = createServer();
  await new Promise(resolve => listening.listen(0, '127.0.0.1', resolve));
  const { port } = listening.address();
  await new Promise(resolve => listening.close(resolve));
  return port;
}

/** nginx with its example before a server, without TLS; `url` is below a path. */
export class Nginx extends Program {
  /** Tries another port when somebody else was faster. */
  static async start(server, tries = 10) {
    const [nginx, port] = [new Nginx(), await freePort()];
    const example = readFileSync(`${root}deploy/nginx/inventor.conf`, 'utf8')
      .replace(/^\s*(ssl_|listen \[).*$/gm, '')
      .replace('server 127.0.0.1:9101;', `server ${new URL(server.url).host};`)
      .replace('listen 443 ssl;', `listen 127.0.0.1:${port};`);
    const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    const http = places.map(name => `${name}_temp_path ${nginx.directory}/${name};`).join('\n');
    const file = `${nginx.directory}/nginx.conf`;
    writeFileSync(
      file,
      `daemon off; master_process off; user root; error_log stderr notice; pid ${nginx.directory}/pid; events {}
      http { access_log off; ${http} ${example} }`,
    );
    try {
      Object.assign(nginx, await launch('nginx', ['-e', 'stderr', '-c', file], {}, /using the "\w+" event method/));
    } catch (error) {
      if (tries > 1) return Nginx.start(server, tries - 1);
      throw error;
    }
    return Object.assign(nginx, { url: `http://127.0.0.1:${port}/inventor/` });
  }
}

/** A proxy that asks for a password of its own and passes all else on. */
export class PasswordProxy {
  static async start(server, { user, password }) {
    const proxy = Object.assign(new PasswordProxy(), { user, password });
    const basic = () => `Basic ${Buffer.from(`${proxy.user}:${proxy.password}`).toString('base64')}`;
    proxy.http = createServer((request, response) => {
      if (request.headers.authorization !== basic()) {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="proxy"', 'content-type': 'text/html' });
        return response.end('<h1>401 Authorization Required</h1>');
      }
      const { method, headers, url } = request;
      const passed = forward(new URL(url, server.url), { method, headers }, answer => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      });
      passed.on('error', () => response.destroy());
      request.pipe(passed);
    });
    await new Promise(resolve => proxy.http.listen(0, '127.0.0.1', resolve));
    proxy.http.unref();
    proxy.url = `http://127.0.0.1:${proxy.http.address().port}/`;
    return proxy;
  }

  stop() {
    this.http.closeAllConnections();
    return new Promise(resolve => this.http.close(resolve));
  }
}
