import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { OperatorApiOptions } from '../../src/admin/operator-api.ts';
import type { Io } from '../../src/cli/io.ts';
import { CLIENT_OPTIONS } from '../../src/cli/operator-client.ts';
import { main } from '../../src/cli/micro-gw-command.ts';
import { loadKeyStore } from '../../src/tls/key-store.ts';
import { startApi, TOKEN } from '../admin/stage.ts';
import { ROOT } from '../support/checkout.ts';
import { startHttpServer } from '../support/http-server.ts';

const FIXTURES = join(ROOT, 'test/tls/fixtures');
const JWT = `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJraW0ifQ.${'s'.repeat(43)}`;

/** A home with the token, and a gateway's operator listener over a fake core that micro-gw.conf names. */
async function stage(t: TestContext, options: Partial<OperatorApiOptions> = {}, conf = '') {
  const home = mkdtempSync(join(tmpdir(), 'operator-cli-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const api = await startApi(t, options);
  mkdirSync(join(home, 'security'));
  mkdirSync(join(home, 'conf'));
  writeFileSync(join(home, 'security/operator.token'), `${TOKEN}\n`, { mode: 0o600 });
  writeFileSync(join(home, 'conf/micro-gw.conf'), `[operatorConfig]\nport = ${api.port}\n${conf}`);
  const micro = async (words: readonly string[], input = '') => {
    let out = '';
    let err = '';
    const io: Io = {
      out: (text) => void (out += text),
      err: (text) => void (err += text),
      colour: false,
      cwd: home,
      env: { MGW_HOME: home, MGW_OPERATOR_KEY_STORE_PASSWORD: 'changeit' },
      input: (async function* () {
        yield await Promise.resolve(input);
      })(),
    };
    const code = await main(words, io);
    assert.ok(!`${out}${err}`.includes(JWT), 'no token text is printed');
    assert.ok(!`${out}${err}`.includes(TOKEN), "nor the operator's");
    return { code, out, err };
  };
  return { ...api, home, micro };
}

/** In the words of the command, not of the API behind it. */
const NOTHING_NAMED =
  /^micro-gw: Nothing says what is revoked: give --token, or any of --subject, --session, --client, --claim and --issuer \[ERR_USAGE\]\nRun 'micro-gw help revoke'/;

describe('micro-gw revoke', () => {
  it('revokes a token from standard input or the command line', async (t) => {
    const { micro, operations } = await stage(t);
    const { code, out, err } = await micro(
      ['revoke', '--token', '-', '--reason', 'stolen'],
      `${JWT}\n`,
    );
    assert.deepEqual([code, err], [0, '']);
    assert.match(out, /^Revoked: token t-A{16}, kept until \d{4}-\S+Z\nPublished to persistent\n$/);
    assert.deepEqual(operations.requests[0]?.request, {
      what: { token: { token: JWT } },
      reason: 'stolen',
    });
    assert.match((await micro(['revoke', '-t', 'jti-1'])).out, /^Was revoked already: token/);
    assert.deepEqual(operations.requests[1]?.request.what, { token: { token: 'jti-1' } });
  });

  it('makes rules', async (t) => {
    const { micro, operations } = await stage(t);
    const before = Date.now();
    const words =
      'revoke --subject kim --session s1 --client shop --claim tenant=a=b --claim role=x --issuer https://i --issued-before now --ends-at 2099-01-01T00:00:00Z --wait --timeout 2s';
    const { code, out } = await micro(words.split(' '));
    assert.equal(code, 0);
    assert.match(out, /^Revoked: claims r-\S{16}, tokens issued up to \S+Z, kept until 2099-/);
    assert.match(out, /\nConfirmed by 2 of 2 data-plane threads\n$/);
    const { request } = operations.requests[0] ?? assert.fail();
    assert.ok('rule' in request.what);
    const { issuedBefore, ...rule } = request.what.rule;
    assert.deepEqual(rule, {
      action: 'revoke',
      issuer: 'https://i',
      claims: { sub: 'kim', sid: 's1', client: 'shop', tenant: 'a=b', role: 'x' },
      endsAt: Date.UTC(2099, 0, 1),
    });
    assert.ok(Number(issuedBefore) >= before && Number(issuedBefore) <= Date.now());
    assert.equal(request.waitMs, 2_000);
    await micro(['revoke', '--issuer', 'https://i', '--issued-before', '1700000000000']);
    const second = operations.requests[1]?.request.what ?? assert.fail();
    assert.ok('rule' in second && second.rule.issuedBefore === 1_700_000_000_000);
    const json = await micro(['revoke', '--subject', 'lee', '--json']);
    assert.equal((JSON.parse(json.out) as { kind: string }).kind, 'subject');
  });

  it('fails, and says so, where it did not get everywhere', async (t) => {
    const { micro, operations } = await stage(t);
    operations.published = [
      { source: 'persistent', ok: true },
      { source: 'real\u001b[2Jtime', ok: false, reason: 'refused\u202e' },
    ];
    const half = await micro(['revoke', '--subject', 'kim']);
    assert.equal(half.code, 1);
    assert.match(half.out, /Published to persistent\n/);
    assert.equal(
      half.err,
      'micro-gw: [WARN] it holds here, but was not published to real\\u001b[2Jtime: refused\\u202e\n',
    );
    operations.published = [];
    assert.match(
      (await micro(['revoke', '--subject', 'lee'])).out,
      /No source of this gateway publishes/,
    );
    operations.threads = { confirmed: 1, of: 2 };
    const late = await micro(['revoke', '--subject', 'kim', '--wait']);
    assert.deepEqual(
      [late.code, late.err],
      [1, 'micro-gw: [WARN] not every data-plane thread confirmed in time\n'],
    );
  });

  it('says what is wrong with its words, and never repeats a token', async (t) => {
    const { micro, operations } = await stage(t);
    for (const [words, message] of [
      [['revoke', JWT], /Unexpected argument: .* \[ERR_USAGE\]\nRun 'micro-gw help revoke'/],
      [['revoke'], NOTHING_NAMED],
      [['revoke', '--reason', 'left', '--issued-before', 'now', '--wait'], NOTHING_NAMED],
      [['revoke', '-t', '-'], /no token on standard input/],
      [['revoke', '-t', 'x', '--subject', 'y'], /\(invalid_value\): subject: /],
      [['revoke', '--claim', 'tenant'], /--claim must be name=value/],
      [['revoke', '--claim', 'a=1', '--claim', 'a=2'], /--claim names a twice/],
      [['revoke', '--subject', 'x', '--timeout', '5s'], /--timeout needs --wait/],
      [['revoke', '--subject', 'x', '--wait', '--timeout', '31s'], /from 1ms to 30s/],
      [['revoke', '--subject', 'x', '--issued-before', 'yesterday'], /issuedBefore: .*RFC 3339/],
      [['revoke', '--issuer', 'x'], /\(missing_value\): issuedBefore: /],
      [['revoke', '--nonsense'], /Unknown option '--nonsense'/],
      [['revoke', '--subject', 'kim', '--subject', 'lee'], /--subject is given twice/],
      [['revoke', '--token', `Bearer ${JWT}`], /\(invalid_value\): token: /],
    ] as const) {
      const { code, out, err } = await micro(words);
      assert.deepEqual([code, out], [1, ''], words.join(' '));
      assert.match(err, message);
    }
    assert.equal(operations.requests.length, 0);
    const large = await micro(['revoke', '-t', '-'], 'x'.repeat(70_000));
    assert.match(large.err, /more than 64 KiB/);
    const two = await micro(['revoke', '-t', '-'], 'first\nsecond\n');
    assert.deepEqual([two.code, two.out], [1, '']);
    assert.match(two.err, /more than one line/);
    assert.equal(operations.requests.length, 0);
  });
});

describe('micro-gw revocations', () => {
  it('lists, shows and lifts', async (t) => {
    const { micro, operations } = await stage(t);
    assert.equal((await micro(['revocations'])).out, 'Nothing is revoked.\n');
    const none = await micro(['revocations', '--source', 'nobody']);
    assert.equal(none.out, 'Nothing of this kind or source is revoked.\n');
    await micro(['revoke', '--subject', 'kim\u001b[31m', '--issuer', 'i', '--reason', 'left']);
    await micro(['revoke', '-t', 'abc']);
    const [rule = ''] = [...operations.records.keys()].filter((id) => id.startsWith('r-'));
    const listed = (await micro(['revocations'])).out.split('\n');
    assert.match(listed[0] ?? '', /^ID {18}KIND {5}WHAT +UNTIL +SOURCE$/);
    assert.match(
      listed[1] ?? '',
      /^r-\S{16} {2}subject {2}sub=kim\\u001b\[31m issuer=i before \S+Z {2}\S+Z {2}operator$/,
    );
    assert.match(listed[2] ?? '', /^t-A{16} {2}token {4} +\S+Z {2}operator$/);
    assert.equal(listed.length, 4);

    const filter = ['revocations', '--kind', 'token', '--source', 'operator', '--json'];
    const tokens = JSON.parse((await micro(filter)).out) as { revocations: { kind: string }[] };
    assert.deepEqual(
      tokens.revocations.map(({ kind }) => kind),
      ['token'],
    );
    const first = await micro(['revocations', '--limit', '1']);
    assert.match(first.out, /There are more: --limit 10\n$/);
    assert.match(
      (await micro(['revocations', 'show', rule])).out,
      /^id {6}r-\S+\nkind {4}subject\nwhat {4}sub=kim\\u001b\[31m issuer=i before .*\n(?:.*\n)*reason {2}left\n$/,
    );

    assert.match((await micro(['revocations', 'lift', rule])).err, /Say why: --reason/);
    const lifted = await micro(['revocations', 'lift', rule, '--reason', 'she is back']);
    assert.deepEqual([lifted.code, lifted.err], [0, '']);
    assert.equal(lifted.out, `Lifted: ${rule} has no effect any more\nPublished to persistent\n`);
    assert.equal(
      [...operations.records.values()].find(({ kind }) => kind === 'lift')?.by,
      'operator token',
    );
    const again = await micro(['revocations', 'lift', rule, '--reason', 'x']);
    assert.deepEqual([again.code, again.out], [1, '']);
    assert.match(again.err, /\(not_found\)/);
    const token = await micro(['revocations', 'lift', 't-AAAAAAAAAAAAAAAA', '--reason', 'x']);
    assert.match(token.err, /\(not_a_rule\)/);
    for (const wrong of [['drop'], ['lift'], ['show', 'a/b'], ['show', 'a', 'b'], ['--limit', '0']])
      assert.equal((await micro(['revocations', ...wrong])).code, 1, wrong.join(' '));
  });

  it('goes from page to page', async (t) => {
    const { micro, operations } = await stage(t);
    for (let i = 0; i < 2_500; i++)
      operations.records.set(`t-${i}`, {
        id: `t-${i}`,
        kind: 'token',
        source: 'persistent',
        learntAtMs: 1e12,
        endsAtMs: 2e12,
      });
    const { out } = await micro(['revocations', '--limit', '2001']);
    assert.equal(out.split('\n').length, 1 + 2_001 + 1 + 1);
    assert.deepEqual(
      operations.queries.map(({ limit, cursor }) => [limit, cursor]),
      [
        [1_000, undefined],
        [1_000, '1000'],
        [1, '2000'],
      ],
    );
  });
});

describe('micro-gw explain', () => {
  it('exits with 0 for a token that would pass and with 3 for one that would not', async (t) => {
    const { micro, operations } = await stage(t);
    assert.deepEqual(await micro(['explain', JWT]), {
      code: 0,
      out: 'It would pass: it would pass\n',
      err: '',
    });
    operations.verdict = {
      wouldPass: false,
      reason: 'rule_revoked',
      status: 401,
      detail: 'a rule denies it',
      sinceMs: 1e12,
      revocation: {
        id: 'r-1',
        kind: 'subject',
        source: 'realtime',
        learntAtMs: 1e12,
        endsAtMs: 2e12,
        issuedBeforeMs: 1e12,
        claims: [['sub', 'kim']],
      },
    };
    const refused = await micro(['explain', '-'], `${JWT}\r\n`);
    assert.deepEqual([refused.code, refused.err], [3, '']);
    assert.match(
      refused.out,
      /^It would be refused with 401 \(rule_revoked\): a rule denies it\nsince {3}2001-09-09T01:46:40\.000Z\nid {6}r-1\nkind {4}subject\nwhat {4}sub=kim before /,
    );
    assert.match(refused.out, /\nsource {2}realtime\n/);
    assert.deepEqual(operations.explained, [JWT, JWT]);
    const json = await micro(['explain', JWT, '--json']);
    assert.equal(json.code, 3);
    assert.equal((JSON.parse(json.out) as { reason: string }).reason, 'rule_revoked');
    assert.equal((await micro(['explain'])).code, 1);
    assert.equal((await micro(['explain', JWT, JWT])).code, 1);
  });
});

describe('micro-gw status', () => {
  it('says how the gateway is', async (t) => {
    const { micro, operations } = await stage(t);
    operations.ready = {
      ready: false,
      reasons: [{ code: 'stale', message: 'too old', source: 'persistent', sinceMs: 1e12 }],
    };
    const { code, out } = await micro(['status']);
    assert.equal(code, 0);
    assert.match(out, /\nNOT ready\n {2}stale: too old \(persistent, since 2001-09-09T\S+Z\)\n/);
    assert.match(out, /\nRevocations: known up to 1\.2 s ago; allowed: 60\.0 s, then deny\n/);
    assert.match(out, /\nThreads: 2 of 2, 1 replaced\nJournal: healthy\n/);
    assert.match(out, /\nrealtime +amqp +broken +never +publishes, gap, broker:5672: the/);
    const json = JSON.parse((await micro(['status', '--json'])).out) as { ready: boolean };
    assert.equal(json.ready, false);
  });
});

describe('how the commands find the gateway', () => {
  it('by micro-gw.conf, overrides, or options', async (t) => {
    const { micro, port, home, log } = await stage(t);
    writeFileSync(join(home, 'conf/micro-gw.conf'), '[operatorConfig]\nport = 1\n');
    const unreachable = await micro(['status']);
    assert.deepEqual([unreachable.code, unreachable.out], [1, '']);
    assert.match(unreachable.err, /127\.0\.0\.1:1: .*refused .*\[ERR_OPERATOR_UNREACHABLE\]\n$/);
    assert.equal((await micro(['status', `--operatorConfig.port=${port}`])).code, 0);
    rmSync(join(home, 'conf/micro-gw.conf'));
    assert.equal((await micro(['status', '--operator-url', `http://127.0.0.1:${port}`])).code, 0);
    const token = join(home, 'security/operator.token');
    writeFileSync(token, `${'y'.repeat(43)}\n`);
    const stranger = await micro(['status', '--operator-url', `http://localhost:${port}`]);
    assert.match(stranger.err, /\(unauthorized\)/);
    writeFileSync(join(home, 'mine'), TOKEN, { mode: 0o600 });
    const mine = ['--operator-url', `http://[::ffff:127.0.0.1]:${port}`];
    assert.match(
      (await micro(['status', ...mine, '--operator-token-file', 'mine'])).err,
      /wrong_host/,
    );
    rmSync(token);
    assert.match((await micro(['status'])).err, /operator\.token: .*ENOENT \[ERR_OPERATOR_TOKEN\]/);
    const off = await micro(['status', '--operatorConfig.enable=false']);
    assert.match(off.err, /enable is false.*\[ERR_OPERATOR_UNREACHABLE\]/);
    for (const url of [
      'http://gateway.example:9097',
      'ftp://127.0.0.1',
      'nonsense',
      'http://u:p@127.0.0.1',
      'http://127.0.0.1/x',
    ])
      assert.match(
        (await micro(['status', '--operator-url', url, '--operator-token-file', 'mine'])).err,
        /--operator-url must be .*\[ERR_USAGE\]/,
      );
    assert.ok(!log.lines.some((line) => line.endsWith(': done')));
  });

  it('over TLS by the very certificate that the configuration names, or by an authority', async (t) => {
    const { cert, key } = await loadKeyStore(join(FIXTURES, 'java.p12'), 'changeit');
    const authority = join(FIXTURES, 'authority.pem');
    const store = `keyStorePath = "${join(FIXTURES, 'java.p12')}"\nkeyStorePassword = "changeit"\n`;
    const clientCa = [readFileSync(authority, 'utf8')];
    const { micro, port, operations } = await stage(t, { tls: { cert, key, clientCa } }, store);
    assert.equal((await micro(['status'])).code, 0);
    const url = ['--operator-url', `https://localhost:${port}`];
    const unknown = await micro(['status', ...url]);
    assert.match(unknown.err, /certificate.*\[ERR_OPERATOR_UNREACHABLE\]/);
    assert.equal((await micro(['status', ...url, '--operator-ca', authority])).code, 0);
    const client = ['--operator-ca', authority, '--operator-key-store', join(FIXTURES, 'java.p12')];
    const revoked = await micro(['revoke', '--subject', 'kim', ...url, ...client]);
    assert.equal(revoked.code, 0);
    assert.equal(operations.requests[0]?.by.name, 'CN=localhost');
  });

  it('and are not taken in by something else that answers', async (t) => {
    const answers: readonly (readonly [number, string])[] = [
      [200, '<html>'],
      [200, '{}'],
      [200, '[]'],
      [502, 'Bad Gateway'],
      [500, '{"code":7}'],
    ];
    let next = 0;
    const server = await startHttpServer((_request, response) => {
      const [status, body] = answers[next] ?? [500, ''];
      response.writeHead(status).end(body);
    });
    t.after(() => server.close());
    const { micro } = await stage(t);
    for (next = 0; next < answers.length; next += 1) {
      const { code, err } = await micro(['status', '--operator-url', server.url]);
      assert.equal(code, 1);
      assert.match(err, /\[ERR_OPERATOR_UNREACHABLE\]/);
    }
  });
});

describe('help', () => {
  it('is there for each command, and names every option that it takes', async (t) => {
    const { micro } = await stage(t);
    const all = (await micro(['help'])).out;
    for (const command of ['revoke', 'revocations', 'explain', 'status']) {
      assert.match(all, new RegExp(`^  ${command} `, 'm'));
      const { code, out } = await micro([command, '--help']);
      assert.equal(code, 0);
      assert.equal(out, (await micro(['help', command])).out);
      const file = readFileSync(join(ROOT, `src/cli/${command}.ts`), 'utf8');
      const own = [...file.matchAll(/^ {2}'?([a-z-]+)'?: \{ type:/gm)].map(
        ([, name]) => name ?? '',
      );
      for (const option of [...own, ...Object.keys(CLIENT_OPTIONS)])
        assert.match(out, new RegExp(`--${option}[ \n]`), `${command} --${option}`);
    }
  });
});
