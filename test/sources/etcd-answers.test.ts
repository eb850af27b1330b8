import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createHttpClient } from '../../src/net/http-client.ts';
import { parseEtcdAddress } from '../../src/sources/etcd-address.ts';
import {
  entryHints,
  hintsOfValue,
  tokensOfV2Key,
  v2KeyName,
} from '../../src/sources/etcd-entry.ts';
import { jsonLines, parseWatchMessage } from '../../src/sources/etcd-v3-watch.ts';
import { createEtcdPublisher } from '../../src/sources/etcd-publisher.ts';
import { createEtcdSource } from '../../src/sources/etcd.ts';
import { startHttpServer } from '../support/http-server.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { awkwardTokens, Following } from './conformance.ts';

/** What no real etcd answers on demand: a scripted one, over real sockets. */
type Script = (request: IncomingMessage, response: ServerResponse, body: string) => void;

async function withServer(
  script: Script,
  body: (url: string, seen: string[]) => Promise<void>,
): Promise<void> {
  const seen: string[] = [];
  const server = await startHttpServer((request, response) => {
    let text = '';
    request.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    request.on('end', () => {
      seen.push(`${request.method} ${request.url}`);
      response.setHeader('content-type', 'application/json');
      script(request, response, text);
    });
  });
  try {
    await body(server.url, seen);
  } finally {
    await server.close();
  }
}

async function followScript(
  path: string,
  script: Script,
  body: (following: Following, seen: string[], log: string[]) => Promise<void>,
  options: object = {},
): Promise<void> {
  await withServer(script, async (url, seen) => {
    const http = createHttpClient({});
    const log = recordedLog();
    const source = createEtcdSource({ name: 'etcd', urls: url + path, http, log, ...options });
    const following = new Following({ source, close: () => http.close() });
    try {
      await body(following, seen, log.lines);
    } finally {
      await following.stop();
    }
  });
}

const header = (revision: number, cluster = '1') => ({
  header: { cluster_id: cluster, revision: String(revision) },
});
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const kv = (key: string, revision: number) => ({
  key: base64(key),
  mod_revision: String(revision),
  value: base64('true'),
});

/** A v3 server: `/version`, a list without entries, and watches by the given function. */
function v3(
  watch: (response: ServerResponse, start: number, count: number) => void,
  range: () => object = () => header(10),
): Script {
  let watches = 0;
  return (request, response, body) => {
    if (request.url === '/version') response.end('{"etcdserver":"3.5.9"}');
    else if (request.url === '/v3/watch') {
      const asked = JSON.parse(body) as { create_request: { start_revision: string; key: string } };
      // The second prefix, /jti/, stays quiet.
      if (Buffer.from(asked.create_request.key, 'base64').toString() !== 'jti/') {
        response.write(`${JSON.stringify({ result: { ...header(10), created: true } })}\n`);
        return;
      }
      watch(response, Number(asked.create_request.start_revision), ++watches);
    } else response.end(JSON.stringify(range()));
  };
}

const message = (result: object): string => `${JSON.stringify({ result })}\n`;

describe('etcd answers', { timeout: 60_000 }, () => {
  const good = JSON.stringify({
    action: 'get',
    node: { key: '/jti', dir: true, nodes: [{ key: '/jti/a', value: 'true' }] },
  });
  const bad: Record<string, [number, string, string?]> = {
    HTML: [200, '<html>hello</html>', 'text/html'],
    'a redirect': [302, good],
    'a 401': [401, '{"errorCode":110,"message":"The request requires user authentication"}'],
    'a 403': [403, good],
    'a 500': [500, good],
    'JSON that is cut off': [200, good.slice(0, -4)],
    'an empty body': [200, ''],
    'a list': [200, '[]'],
    'an object of another kind': [200, '{"hello":1}'],
    'a node of a wrong type': [200, '{"action":"get","node":"x"}'],
    'a page not found': [404, '404 page not found', 'text/plain'],
    'another error': [404, '{"errorCode":300,"message":"Raft"}'],
  };
  for (const [what, [status, body, type]] of Object.entries(bad)) {
    it(`v2: ${what} is an error and never an empty list`, () =>
      followScript(
        '/v2/keys/jti/',
        (_request, response) => {
          response.writeHead(status, {
            'content-type': type ?? 'application/json',
            'x-etcd-index': '7',
            location: '/v2/keys/jti/',
          });
          response.end(body);
        },
        async (following) => {
          assert.ok((await following.rejection()).message.length > 5);
          assert.equal(following.sink.completes.length, 0);
        },
      ));
    it(`v3: ${what} is an error and never an empty list`, () =>
      followScript(
        '/v3/keys/jti/',
        (request, response) => {
          if (request.url === '/version') {
            response.end('{"etcdserver":"3.4.23"}');
            return;
          }
          response.writeHead(status, { 'content-type': type ?? 'application/json' });
          response.end(body);
        },
        async (following) => {
          assert.ok((await following.rejection()).message.length > 5);
          assert.equal(following.sink.completes.length, 0);
        },
      ));
  }

  it('v2: an answer without an index is not followed', () =>
    followScript(
      '/v2/keys/jti/',
      (_request, response) => response.end(good),
      async (following) => {
        await following.rejection();
        assert.equal(following.sink.completes.length, 0);
      },
    ));

  it('v2: bad nodes among good ones are counted, the good ones kept', () => {
    const nodes = [
      { key: '/jti/a', value: 'true' },
      null,
      7,
      { value: 'no key' },
      { key: 12 },
      { key: '/elsewhere/x' },
      { key: '/jti/dir', dir: true, nodes: 'none' },
      { key: '/jti/' },
      { key: '/jti/b', value: 5, ttl: 'long' },
    ];
    return followScript(
      '/v2/keys/jti/',
      (request, response) => {
        response.setHeader('x-etcd-index', '7');
        if (request.url?.includes('wait=true') === true) response.flushHeaders();
        else
          response.end(JSON.stringify({ action: 'get', node: { key: '/jti', dir: true, nodes } }));
      },
      async (following) => {
        await following.complete();
        assert.deepEqual([...following.sink.tokens].sort(), ['a', 'b']);
        assert.equal(following.sink.drops.length, 7);
      },
    );
  });

  it('v2: a long list is told of in portions, with a rest between them', () => {
    const nodes = Array.from({ length: 450 }, (_, i) => ({ key: `/jti/${i}`, value: 'true' }));
    const list = JSON.stringify({ action: 'get', node: { key: '/jti', dir: true, nodes } });
    const atRest: number[] = [];
    return followScript(
      '/v2/keys/jti/',
      (request, response) => {
        response.setHeader('x-etcd-index', '7');
        response.setHeader('x-etcd-cluster-id', 'a');
        if (!request.url?.includes('wait=true')) response.end(list);
      },
      async (following) => {
        following.sink.rest = async () => {
          const told = atRest.push(following.sink.events.length);
          for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
          assert.equal(following.sink.events.length, atRest[told - 1], 'it waited');
        };
        await following.complete();
        assert.equal(following.sink.events.length, 450);
        assert.equal(atRest.length, 2);
      },
    );
  });

  it('v2: an index that went back, or another cluster, makes it read everything again', async () => {
    for (const change of [
      { index: '3', cluster: 'c' },
      { index: '7', cluster: 'other' },
    ]) {
      let restored = false;
      await followScript(
        '/v2/keys/jti/',
        (request, response) => {
          const wait = request.url?.includes('wait=true') === true;
          restored ||= wait;
          response.setHeader('x-etcd-index', restored ? change.index : '7');
          response.setHeader('x-etcd-cluster-id', restored ? change.cluster : 'c');
          if (wait) response.flushHeaders();
          else response.end(good);
        },
        async (following, seen, log) => {
          await following.until(({ completes }) => completes.length === 2, 'a second list');
          assert.match(log.join('\n'), /The whole list is read again, because the/);
          const next = Number(change.index) + 1;
          await following.until(
            () => seen.some((line) => line.endsWith(`waitIndex=${next}`)),
            'the watch goes on behind the new list',
          );
        },
      );
    }
  });

  it('v2: an empty answer to a long poll is asked again from the same index, but not in a circle', () =>
    followScript(
      '/v2/keys/jti/',
      (request, response) => {
        response.setHeader('x-etcd-index', '7');
        response.end(request.url?.includes('wait=true') === true ? '' : good);
      },
      async (following, seen) => {
        assert.match((await following.rejection()).message, /ends every watch at once/);
        assert.equal(seen.filter((line) => line.endsWith('waitIndex=8')).length, 11);
        assert.equal(following.sink.completes.length, 1);
      },
    ));

  it('v3: the gateway is where the version has it', async () => {
    const gateways = {
      '3.2.32': '/v3alpha/kv/range',
      '3.3.27': '/v3beta/kv/range',
      '3.4.23': '/v3/kv/range',
      '3.6.0': '/v3/kv/range',
      '4.0.0': '/v3/kv/range',
    };
    for (const [version, path] of Object.entries(gateways))
      await followScript(
        '/jti/',
        (request, response) => {
          if (request.url === '/version') response.end(JSON.stringify({ etcdserver: version }));
          else response.writeHead(500).end('{}');
        },
        async (following, seen) => {
          await following.rejection();
          assert.deepEqual(seen, ['GET /version', `POST ${path}`]);
        },
      );
  });

  it('a plain URL of etcd 2 is followed with API v2; what is no etcd is refused', async () => {
    await followScript(
      '/jti/',
      (request, response) => {
        response.setHeader('x-etcd-index', '7');
        if (request.url === '/version') response.end('{"etcdserver":"2.3.8"}');
        else if (request.url?.includes('wait=true') === true) response.flushHeaders();
        else response.end(good);
      },
      async (following) => {
        await following.complete();
        assert.ok(following.sink.has('a'));
      },
    );
    for (const body of ['{}', '<html>', '{"etcdserver":true}', '{"etcdserver":"x"}'])
      await followScript(
        '/jti/',
        (_request, response) => response.end(body),
        async (following) => {
          assert.match((await following.rejection()).message, /version.*not etcd/);
        },
      );
  });

  it('v3: a line that comes in pieces is one event', () => {
    const text =
      message({ ...header(10), created: true }) +
      message({ ...header(11), events: [{ kv: kv('jti/caf\u00e9', 11) }] });
    const bytes = Buffer.from(text);
    return followScript(
      '/v3/keys/jti/',
      v3((response) => {
        let at = 0;
        const next = (): void => {
          if (at >= bytes.length) return;
          response.write(bytes.subarray(at, (at += 7)), () => setImmediate(next));
        };
        next();
      }),
      async (following) => following.until((sink) => sink.has('caf\u00e9'), 'the event'),
    );
  });

  it('v3: the answer to a watch never moves the position, events and progress do', async () => {
    const starts: number[] = [];
    await followScript(
      '/v3/keys/jti/',
      v3((response, start, count) => {
        starts.push(start);
        // Ahead of the history that it has not delivered yet.
        response.write(message({ ...header(50), created: true }));
        if (count === 2)
          response.write(message({ ...header(50), events: [{ kv: kv('jti/a', 12) }] }));
        if (count === 3) response.write(message(header(40)));
      }),
      async (following) => {
        await following.until(() => starts.length >= 4, 'four watches');
        assert.deepEqual(starts.slice(0, 4), [11, 11, 13, 41]);
      },
      { watchQuietMs: 700 },
    );
  });

  it('v3: compaction, another cluster or a revision that went back: read again from there', async () => {
    const causes = [
      message({ header: { cluster_id: '1' }, canceled: true, compact_revision: '30' }),
      message({ ...header(10, 'other'), created: true }),
      message({ ...header(4), created: true }),
    ];
    for (const cause of causes) {
      const starts: number[] = [];
      const lists = [header(10), header(10), header(33, cause.includes('other') ? 'other' : '1')];
      await followScript(
        '/v3/keys/jti/',
        v3(
          (response, start, count) => {
            starts.push(start);
            response.write(
              count === 1
                ? cause
                : message({
                    ...header(33, cause.includes('other') ? 'other' : '1'),
                    created: true,
                  }),
            );
          },
          () => lists.shift() ?? {},
        ),
        async (following) => {
          await following.until(() => starts.length === 2, 'the second watch');
          assert.deepEqual(starts, [11, 34]);
          assert.equal(following.sink.completes.length, 2);
        },
      );
    }
  });

  it('v3: history that is lost again and again breaks the link instead of reading in a circle', () =>
    followScript(
      '/v3/keys/jti/',
      v3((response) =>
        response.write(message({ ...header(10), canceled: true, compact_revision: '30' })),
      ),
      async (following, seen) => {
        assert.match((await following.rejection()).message, /keeps saying/);
        assert.ok(seen.length < 20);
      },
    ));

  it('v3: a refused or ended watch breaks the link and says why', async () => {
    const endings: [string, RegExp][] = [
      [
        message({ created: true, canceled: true, cancel_reason: 'etcdserver: permission denied' }),
        /permission denied/,
      ],
      [
        message({ ...header(10), canceled: true, cancel_reason: 'etcdserver: no leader' }),
        /no leader/,
      ],
      ['{"error":{"grpc_code":14,"message":"transport is closing"}}\n', /transport is closing/],
      ['<html>\n', /not etcd/],
      ['{"result":{"header":{"revision":"10"', /./],
      [
        message({ ...header(11), events: [{ kv: { key: 'anRpL2E=' } }, 'x'] }),
        /no usable revision/,
      ],
      [message({ ...header(11), events: 'none' }), /no list/],
    ];
    for (const [text, reason] of endings)
      await followScript(
        '/v3/keys/jti/',
        v3((response) => response.end(text)),
        async (following) => assert.match((await following.rejection()).message, reason),
      );
  });

  it('v3: an expired log-in is made anew, a wrong one is an error at once', async () => {
    let valid = 0;
    let logIns = 0;
    const script = (refuse: boolean): Script => {
      return (request, response) => {
        const token = request.headers.authorization;
        if (request.url === '/version') response.end('{"etcdserver":"3.4.23"}');
        else if (request.url === '/v3/auth/authenticate') {
          logIns++;
          if (refuse)
            response
              .writeHead(400)
              .end('{"error":"etcdserver: authentication failed, invalid user ID","code":3}');
          else response.end(JSON.stringify({ token: `token-${++valid}` }));
        } else if (token !== `token-${valid}` || valid === 1)
          response.writeHead(401).end('{"error":"etcdserver: invalid auth token","code":16}');
        else if (request.url === '/v3/watch')
          response.write(message({ ...header(10), created: true }));
        else response.end(JSON.stringify(header(10)));
      };
    };
    const credentials = { username: 'u', password: 'secret-pw' };
    await followScript(
      '/v3/keys/jti/',
      script(false),
      async (following) => {
        await following.complete();
        assert.ok(logIns >= 2);
      },
      { credentials },
    );
    logIns = 0;
    await followScript(
      '/v3/keys/jti/',
      script(true),
      async (following) => {
        const { message } = await following.rejection();
        assert.match(message, /refuses the user name or password/);
        assert.ok(!message.includes('secret-pw'));
        assert.equal(logIns, 1);
      },
      { credentials },
    );
  });
});

describe('etcd publisher', { timeout: 30_000 }, () => {
  const revocation = {
    eventId: 'e',
    token: 'a/b',
    tokenType: 'JWT' as const,
    issuer: 'me',
    expiresAtMs: Date.now() + 60_000,
  };
  const publish = async (urls: string): Promise<void> => {
    const http = createHttpClient({});
    try {
      await createEtcdPublisher({ name: 'etcd', urls, http }).publish(revocation);
    } finally {
      await http.close();
    }
  };

  it('rejects unless the write was accepted', async () => {
    for (const [status, body] of [
      [302, ''],
      [401, '{"message":"no"}'],
      [500, ''],
      [204, ''],
    ] as const)
      await withServer(
        (_request, response) => response.writeHead(status, { location: '/' }).end(body),
        (url) => assert.rejects(publish(`${url}/v2/keys/jti/`)),
      );
    for (const lease of ['{}', '<html>', '{"ID":5}'])
      await withServer(
        (request, response) =>
          response.end(request.url === '/version' ? '{"etcdserver":"3.4.0"}' : lease),
        (url) => assert.rejects(publish(`${url}/v3/keys/jti/`)),
      );
  });

  it('moves on to the next endpoint after a failure', () =>
    withServer(
      (_request, response) => response.writeHead(201).end('{}'),
      async (url) => {
        const http = createHttpClient({});
        const publisher = createEtcdPublisher({
          name: 'etcd',
          urls: `http://127.0.0.1:1,${url}/v2/keys/jti/`,
          http,
        });
        await assert.rejects(publisher.publish(revocation));
        await publisher.publish(revocation);
        await http.close();
      },
    ));
});

describe('etcd address', () => {
  const parse = (urls: string | string[]) => parseEtcdAddress(urls, 'x');

  it('reads API, directory and endpoints', () => {
    const base = { credentials: undefined };
    assert.deepEqual(parse('https://h:2379/v3/keys/jti/'), {
      ...base,
      bases: ['https://h:2379'],
      api: 'v3',
      directory: 'jti',
    });
    assert.deepEqual(parse('http://h:2379/v2/keys/a%20b/c'), {
      ...base,
      bases: ['http://h:2379'],
      api: 'v2',
      directory: 'a b/c',
    });
    assert.deepEqual(parse('http://a:1, http://b:2/etcd/v2/keys/'), {
      ...base,
      bases: ['http://a:1/etcd', 'http://b:2/etcd'],
      api: 'v2',
      directory: '',
    });
    assert.deepEqual(parse(['http://a:1/jti/', 'http://b:2/jti']), {
      ...base,
      bases: ['http://a:1', 'http://b:2'],
      api: undefined,
      directory: 'jti',
    });
    assert.deepEqual(parse('http://u:p%3A@a:1/jti/').credentials, {
      username: 'u',
      password: 'p:',
    });
  });

  it('refuses the rest without repeating it', () => {
    for (const urls of [
      '',
      ' , ',
      'localhost:2379',
      'etcd p4ss',
      'ftp://u:p4ss@h/',
      'http://a/x,http://b/y',
    ])
      assert.throws(
        () => parse(urls),
        (error: unknown) => error instanceof Error && !error.message.includes('p4ss'),
        urls,
      );
  });
});

describe('etcd entry', () => {
  it('every token comes back from its v2 key, and no name is hidden, cleaned away or split', () => {
    const check = (token: string): void => {
      const name = v2KeyName(token);
      assert.match(name, /^[A-Za-z0-9~!*()'%-][A-Za-z0-9~!*()'%._-]*$/);
      assert.ok(tokensOfV2Key(name).has(token));
    };
    for (const token of awkwardTokens('u')) check(token);
    fc.assert(fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), check));
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1 }), (text) => {
        if (text.isWellFormed()) check(text);
      }),
    );
  });

  it('a value is only a hint, whatever it is', () => {
    assert.deepEqual(hintsOfValue('true'), {});
    assert.deepEqual(hintsOfValue(''), {});
    assert.deepEqual(hintsOfValue(' 3600 '), { ttl: '3600' });
    assert.deepEqual(hintsOfValue('1e400'), {});
    assert.deepEqual(hintsOfValue('-5'), {});
    assert.deepEqual(hintsOfValue('{"expiryTime":1e999,"issuer":""}'), {});
    assert.deepEqual(hintsOfValue('{"ttl":"60","issuer":"me"}'), { ttl: '60', issuer: 'me' });
    assert.deepEqual(hintsOfValue('9'.repeat(5_000)), {});
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (value) => {
        for (const name of Object.keys(hintsOfValue(value)))
          assert.match(name, /^(?:ttl|expiryTime|issuer)$/);
      }),
    );
  });

  it('an entry that is there holds until the next reads at least, and never ends before its hints', () => {
    fc.assert(
      fc.property(
        fc.option(fc.nat(10_000), { nil: undefined }),
        fc.option(fc.nat(20_000_000), { nil: undefined }),
        (secondsLeft, expiryTime) => {
          const now = 10_000_000;
          const value = expiryTime === undefined ? 'true' : JSON.stringify({ expiryTime });
          const hints = entryHints(value, secondsLeft, 60_000, now);
          if (secondsLeft === undefined && expiryTime === undefined) {
            assert.deepEqual(hints, {});
            return;
          }
          const end = Number(hints.expiryTime);
          assert.ok(end >= now + 60_000);
          assert.ok(end >= (expiryTime ?? 0));
          assert.ok(end >= now + (secondsLeft ?? 0) * 1000);
        },
      ),
    );
  });
});

describe('etcd watch messages', () => {
  it('lines are the same however the bytes come', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => !/[\r\n]/.test(text)),
        ),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
        async (lines, sizes) => {
          const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
          async function* chunks(): AsyncGenerator<Uint8Array> {
            for (let at = 0, turn = 0; at < bytes.length; turn++)
              yield bytes.subarray(at, (at += sizes[turn % sizes.length] ?? 1));
          }
          const got: string[] = [];
          for await (const line of jsonLines(chunks(), 1_000_000)) got.push(line);
          assert.deepEqual(
            got,
            lines.filter((line) => line.trim() !== ''),
          );
        },
      ),
      { numRuns: 50 },
    );
  });

  it('a line beyond the bound, or cut off, is an error', async () => {
    const read = async (text: string): Promise<void> => {
      async function* chunks(): AsyncGenerator<Uint8Array> {
        yield Buffer.from(text);
      }
      for await (const line of jsonLines(chunks(), 100)) assert.ok(line);
    };
    await read('{}\n{}\n');
    await assert.rejects(read('x'.repeat(101)), /too large/);
    await assert.rejects(read('{}\n{'), /within an event/);
  });

  it('nothing that comes makes it fail otherwise than with a reason', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.json(),
          fc.string(),
          fc.record({ result: fc.object() }).map((value) => JSON.stringify(value)),
        ),
        (line) => {
          try {
            parseWatchMessage(line);
          } catch (error) {
            assert.ok(error instanceof Error && error.constructor !== TypeError);
          }
        },
      ),
    );
  });
});
